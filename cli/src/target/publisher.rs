//! Publication of changes to every environment of the functions, so that they take effect at once.
//!
//! On the local stack, this command writes them to Redis. On AWS, Redis cannot be reached from outside, so the monitor
//! is called to do it.

use anyhow::{anyhow, bail};
use aws_sdk_lambda::primitives::Blob;
use levee::accounts::{self, AccountsTable};
use levee::catalogs::{self, CatalogsTable};
use levee::clock::Timestamp;
use levee::limits::versions::{CATALOGS_NAME, RecordId};
use levee::stores::dynamodb::describe;
use levee::stores::redis::Redis;
use serde_json::{Value, json};

/// Writer of the changes to Redis.
pub(crate) enum Publisher {
    /// This command itself.
    Redis(Box<Redis>),
    /// A function of the stack.
    Monitor(Monitor),
}

/// The monitor of a stack on AWS.
pub(crate) struct Monitor {
    pub(super) client: aws_sdk_lambda::Client,
    pub(super) function: String,
}

impl Publisher {
    pub(super) async fn publish(
        &self,
        table: &AccountsTable,
        changed: &[RecordId],
        now: Timestamp,
    ) -> anyhow::Result<()> {
        match self {
            Self::Redis(redis) => Ok(accounts::publish(table, redis, changed, now).await?),
            Self::Monitor(monitor) => monitor.publish(changed.iter().map(ToString::to_string).collect()).await,
        }
    }

    pub(super) async fn publish_catalogs(&self, table: &CatalogsTable) -> anyhow::Result<()> {
        match self {
            Self::Redis(redis) => Ok(catalogs::publish(table, redis).await?),
            Self::Monitor(monitor) => monitor.publish(vec![CATALOGS_NAME.to_owned()]).await,
        }
    }
}

impl Monitor {
    async fn publish(&self, changed: Vec<String>) -> anyhow::Result<()> {
        // Ask the monitor to publish the changes.
        let event = json!({ "publish": changed });
        let call = self.client.invoke().function_name(&self.function).payload(Blob::new(event.to_string()));
        let answer = call.send().await.map_err(|error| anyhow!("Lambda: {}", describe(&error)))?;
        // Read the monitor's answer.
        let said = answer.payload().map(|payload| payload.as_ref()).unwrap_or_default();
        let said: Value = serde_json::from_slice(said).unwrap_or_default();
        if let Some(error) = answer.function_error() {
            let message = said["errorMessage"].as_str().unwrap_or("it did not say why");
            bail!("the function {} failed ({error}): {message}", self.function);
        }
        // A monitor of an earlier version does not know this event.
        if !said["published"].is_u64() {
            bail!("the function {} does not know how; deploy this version of the stack", self.function);
        }
        Ok(())
    }
}
