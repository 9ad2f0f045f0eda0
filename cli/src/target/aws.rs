//! A stack on AWS, as its CloudFormation outputs describe it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_cloudformation::types::StackStatus;
use levee::clock::Clock;
use levee::config::{self, Reader};
use levee::stores::aws::{AwsConfig, https_client};
use levee::stores::dynamodb::{DynamoDbConfig, describe};
use levee::stores::logs::{self, Logs, LogsConfig};
use levee::stores::secrets::SecretRef;

use super::publisher::{Monitor, Publisher};
use super::{DYNAMODB_TIMEOUT, FoundStack, LogPlace, Target, TargetArgs};

/// Name of the stack, if no other is given.
const DEFAULT_STACK: &str = "levee";
/// Time-out of a call about credentials or the stack, or to one of its functions, retries included.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Outputs that hold variables of the functions, with the names of these variables.
const VARIABLES: [(&str, &str); 3] =
    [("TokenCapDefault", "AI_TOKEN_CAP_DEFAULT"), ("TokenCapCounts", "AI_TOKEN_CAP_COUNTS"), ("Prices", "AI_PRICES")];
/// Part of CloudFormation's error about an unknown stack.
const NO_STACK: &str = "does not exist";

/// Settings from environment variables.
struct Environment {
    stack: Option<String>,
    dynamodb_url: Option<String>,
    logs_url: Option<String>,
}

impl Environment {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            stack: reader.optional("LEVEE_STACK"),
            dynamodb_url: reader.optional("AWS_ENDPOINT_URL_DYNAMODB"),
            logs_url: reader.optional("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"),
        }
    }
}

pub(super) async fn open(args: &TargetArgs) -> anyhow::Result<Target> {
    let environment = config::from_environment(Environment::read)?;
    let sdk = load(args).await;
    // Find region and credentials, then the stack's outputs.
    let region = sdk.region().map(ToString::to_string);
    let region = region.context("it is not known in which region the stack is: give --region, or set AWS_REGION")?;
    let aws = AwsConfig { credentials: credentials(&sdk).await?, region };
    let stack = args.stack.clone().or(environment.stack).unwrap_or_else(|| DEFAULT_STACK.to_owned());
    let outputs = outputs(&sdk, &stack, &aws.region).await?;
    Ok(FoundStack {
        accounts_table: outputs.accounts_table,
        admins_table: outputs.admins_table,
        breakers_table: outputs.breakers_table,
        csp_table: outputs.csp_table,
        catalogs_table: outputs.catalogs_table,
        usage_table: outputs.usage_table,
        variables: outputs.variables,
        dynamodb: DynamoDbConfig {
            aws: aws.clone(),
            endpoint_url: environment.dynamodb_url,
            timeout: DYNAMODB_TIMEOUT,
        },
        clock: Clock::system(),
        key_environment: outputs.key_environment,
        peppers: SecretRef::new(outputs.key_peppers_secret),
        logs: LogPlace::Aws(Logs::new(&LogsConfig {
            aws,
            groups: logs::groups(&outputs.log_groups),
            endpoint_url: environment.logs_url,
        })),
        publisher: Publisher::Monitor(Monitor {
            client: aws_sdk_lambda::Client::new(&sdk),
            function: outputs.monitor_function,
        }),
    }
    .into())
}

/// Loads region and credentials as AWS's own tools do.
async fn load(args: &TargetArgs) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).build();
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(https_client()).timeout_config(timeouts);
    if let Some(region) = &args.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &args.profile {
        loader = loader.profile_name(profile);
    }
    loader.load().await
}

async fn credentials(sdk: &SdkConfig) -> anyhow::Result<aws_credential_types::Credentials> {
    let advice = "there are no AWS credentials: give --profile, or sign in, for instance with: aws sso login";
    let provider = sdk.credentials_provider().context(advice)?;
    provider.provide_credentials().await.context(advice)
}

async fn outputs(sdk: &SdkConfig, stack: &str, region: &str) -> anyhow::Result<Outputs> {
    let client = aws_sdk_cloudformation::Client::new(sdk);
    // Read the stack, and answer an unknown name with advice.
    let answer = client.describe_stacks().stack_name(stack).send().await.map_err(|error| {
        let text = describe(&error);
        let missing = text.contains(NO_STACK);
        let advice =
            format!("there is no stack {stack} in {region}; give its name with --stack, its place with --region");
        if missing { anyhow!(advice) } else { anyhow!("CloudFormation: {text}") }
    })?;
    let Some(found) = answer.stacks.unwrap_or_default().into_iter().next() else {
        bail!("CloudFormation said nothing about the stack {stack}");
    };
    // A stack of another version may lack outputs. The error names its status.
    let status = found.stack_status.as_ref().map_or("unknown", StackStatus::as_str);
    let outputs = found.outputs.unwrap_or_default();
    let outputs = outputs.into_iter().filter_map(|output| Some((output.output_key?, output.output_value?)));
    Outputs::from_pairs(outputs).map_err(|name| {
        anyhow!("the stack {stack} has no output {name} (it is {status}); deploy this version of it first")
    })
}

/// Outputs of the stack; see `Outputs` in template.yaml.
#[derive(Debug, PartialEq, Eq)]
struct Outputs {
    accounts_table: String,
    admins_table: String,
    breakers_table: String,
    csp_table: String,
    catalogs_table: String,
    usage_table: String,
    key_peppers_secret: String,
    key_environment: String,
    log_groups: String,
    monitor_function: String,
    /// Variables of the functions, by name.
    variables: BTreeMap<String, String>,
}

impl Outputs {
    /// Reads the outputs by name. The error is the name of a missing one.
    fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, &'static str> {
        let mut by_name: BTreeMap<String, String> = pairs.into_iter().collect();
        // A variable without an output has its default.
        let variables =
            VARIABLES.into_iter().filter_map(|(output, name)| Some((name.to_owned(), by_name.remove(output)?)));
        let variables = variables.collect();
        // An empty output counts as missing.
        let mut take = |name: &'static str| by_name.remove(name).filter(|value| !value.is_empty()).ok_or(name);
        Ok(Self {
            variables,
            accounts_table: take("AccountsTable")?,
            admins_table: take("AdminsTable")?,
            breakers_table: take("BreakersTable")?,
            csp_table: take("CspTable")?,
            catalogs_table: take("CatalogsTable")?,
            usage_table: take("UsageTable")?,
            key_peppers_secret: take("KeyPeppersSecret")?,
            key_environment: take("KeyEnvironment")?,
            log_groups: take("LogGroups")?,
            monitor_function: take("MonitorFunction")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../template.yaml");

    /// Returns the outputs of template.yaml, each with its own name as its value.
    fn of_template() -> Vec<(String, String)> {
        let outputs = TEMPLATE.split_once("\nOutputs:\n").unwrap().1;
        let names = outputs.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        names.filter(|name| !name.starts_with(' ')).map(|name| (name.to_owned(), name.to_owned())).collect()
    }

    #[test]
    fn the_template_has_every_output_that_is_needed() {
        let outputs = Outputs::from_pairs(of_template()).unwrap();
        assert_eq!(outputs.key_peppers_secret, "KeyPeppersSecret");
        assert_eq!((outputs.accounts_table.as_str(), outputs.log_groups.as_str()), ("AccountsTable", "LogGroups"));
    }

    #[test]
    fn a_missing_output_is_named() {
        let without = |name: &'static str| of_template().into_iter().filter(move |(key, _)| key != name);
        assert_eq!(Outputs::from_pairs(without("AdminsTable")), Err("AdminsTable"));
        assert_eq!(
            Outputs::from_pairs(without("ApiUrl")).map(|it| it.key_environment).as_deref(),
            Ok("KeyEnvironment")
        );
        let empty = [("AccountsTable".to_owned(), String::new())];
        assert_eq!(Outputs::from_pairs(empty), Err("AccountsTable"));
    }
}
