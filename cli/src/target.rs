//! Stack that a command works on: one on AWS, or the local one.

mod aws;
mod local;
mod metering;
mod publisher;

use std::collections::BTreeMap;
use std::path::PathBuf;

use levee::accounts::{AccountsTable, Peppers};
use levee::admins::AdminsTable;
use levee::breaker::BreakersTable;
use levee::catalogs::CatalogsTable;
use levee::clock::{Clock, Timestamp};
use levee::csp::CspTable;
use levee::limits::versions::RecordId;
use levee::quotas::RequestsTable;
use levee::statistics::StatisticsTable;
use levee::stores::aws::AwsConfig;
use levee::stores::dynamodb::{self, DynamoDbConfig};
use levee::stores::logs::Logs;
use levee::stores::secrets::SecretRef;

pub(crate) use self::metering::MeteringConfig;
use self::metering::MeteringPlace;
use self::publisher::Publisher;
use crate::error::usage;

/// Time-out of a call to DynamoDB.
const DYNAMODB_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Where to work.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct TargetArgs {
    /// Work on the local stack; STATE_DIR is where its local.json is [default: target/levee, here or further up]
    #[arg(long, global = true, value_name = "STATE_DIR", num_args = 0..=1, require_equals = true)]
    local: Option<Option<PathBuf>>,
    /// The CloudFormation stack on AWS [env: LEVEE_STACK] [default: levee]
    #[arg(long, global = true, value_name = "NAME")]
    stack: Option<String>,
    /// The stack's region [default: that of the profile or of AWS_REGION]
    #[arg(long, global = true)]
    region: Option<String>,
    /// The profile of the AWS configuration whose credentials are used [env: AWS_PROFILE]
    #[arg(long, global = true)]
    profile: Option<String>,
}

impl TargetArgs {
    pub(crate) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Finds the stack. Its tables are not read yet.
    pub(crate) async fn open(&self) -> anyhow::Result<Target> {
        let Some(state) = &self.local else { return aws::open(self).await };
        // The options of a stack on AWS contradict `--local`.
        if self.stack.is_some() || self.region.is_some() || self.profile.is_some() {
            return Err(usage(
                "--local is one stack, --stack, --region and --profile are about another: leave one out",
            ));
        }
        local::open(state.as_deref())
    }
}

/// A stack, with everything that commands use of it.
pub(crate) struct Target {
    pub(crate) accounts: AccountsTable,
    pub(crate) admins: AdminsTable,
    pub(crate) breakers: BreakersTable,
    pub(crate) csp: CspTable,
    pub(crate) catalogs: CatalogsTable,
    pub(crate) requests: RequestsTable,
    pub(crate) statistics: StatisticsTable,
    /// Clock that the stack runs on.
    pub(crate) clock: Clock,
    /// Environment that the stack's keys are for.
    pub(crate) key_environment: String,
    pub(crate) logs: LogPlace,
    metering: MeteringPlace,
    aws: AwsConfig,
    peppers: SecretRef,
    publisher: Publisher,
}

/// Place of the functions' logs.
pub(crate) enum LogPlace {
    Aws(Logs),
    Local(PathBuf),
}

/// Properties that differ between stacks.
struct FoundStack {
    dynamodb: DynamoDbConfig,
    accounts_table: String,
    admins_table: String,
    breakers_table: String,
    csp_table: String,
    catalogs_table: String,
    usage_table: String,
    /// Variables of its functions that this command reads too, by name.
    variables: BTreeMap<String, String>,
    clock: Clock,
    key_environment: String,
    peppers: SecretRef,
    logs: LogPlace,
    publisher: Publisher,
}

impl From<FoundStack> for Target {
    fn from(found: FoundStack) -> Self {
        let client = dynamodb::client(&found.dynamodb);
        Self {
            requests: RequestsTable::new(client.clone(), found.accounts_table.clone()),
            statistics: StatisticsTable::new(client.clone(), found.usage_table.clone()),
            accounts: AccountsTable::new(client.clone(), found.accounts_table),
            admins: AdminsTable::new(client.clone(), found.admins_table),
            breakers: BreakersTable::new(client.clone(), found.breakers_table),
            csp: CspTable::new(client.clone(), found.csp_table),
            catalogs: CatalogsTable::new(client.clone(), found.catalogs_table),
            metering: MeteringPlace { client, table: found.usage_table, variables: found.variables },
            clock: found.clock,
            key_environment: found.key_environment,
            logs: found.logs,
            aws: found.dynamodb.aws,
            peppers: found.peppers,
            publisher: found.publisher,
        }
    }
}

impl Target {
    /// Reads the peppers that keys are hashed under. Only commands that create keys need them.
    pub(crate) async fn peppers(&self) -> anyhow::Result<Peppers> {
        let text = self.peppers.resolve(&self.aws).await?;
        Peppers::from_json(&text).map_err(|error| anyhow::anyhow!("the secret with the peppers {error}"))
    }

    /// Makes every environment of the functions notice `changed` at its next request.
    pub(crate) async fn publish(&self, changed: &[RecordId], now: Timestamp) -> anyhow::Result<()> {
        self.publisher.publish(&self.accounts, changed, now).await
    }

    /// Makes every environment of the functions notice the present catalogs at its next request.
    pub(crate) async fn publish_catalogs(&self) -> anyhow::Result<()> {
        self.publisher.publish_catalogs(&self.catalogs).await
    }
}
