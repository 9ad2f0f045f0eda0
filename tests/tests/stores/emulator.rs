//! A DynamoDB of a test's own, with the template's tables.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Credentials, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use levee::stores::aws::AwsConfig;
use levee::stores::dynamodb::{self, DynamoDbConfig};
use local::dynamodb::DynamoDb;
use local::template::Template;

/// Time-out of a call to the emulator: longer than any takes on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// A running emulator, which ends with the test.
pub struct Emulator {
    dynamodb: DynamoDb,
    client: Client,
}

impl Emulator {
    /// Starts the emulator with empty tables.
    pub async fn start() -> Self {
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let template = Template::load(&tests::workspace().join("template.yaml")).unwrap();
        let dynamodb = DynamoDb::start(&template.tables).await.unwrap();
        let client = dynamodb::client(&DynamoDbConfig {
            aws: AwsConfig {
                region: "us-east-1".to_owned(),
                credentials: Credentials::new("test", "test", None, None, "test"),
            },
            endpoint_url: Some(format!("http://{}", dynamodb.address())),
            timeout: TIMEOUT,
        });
        Self { dynamodb, client }
    }

    /// Returns a client for it.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns a client whose requests are counted.
    pub fn counted(&self) -> (Client, Asked) {
        let asked = Asked::default();
        let config = self.client.config().to_builder().interceptor(asked.clone()).build();
        (Client::from_conf(config), asked)
    }
}

/// Number of requests to DynamoDB, by operation.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<Mutex<BTreeMap<String, u64>>>);

impl Intercept for Asked {
    fn name(&self) -> &'static str {
        "asked"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit_once('.').map_or(target, |(_, operation)| operation).to_owned();
        *self.0.lock().unwrap().entry(operation).or_default() += 1;
        Ok(())
    }
}

impl Asked {
    /// Returns the numbers of requests since the last call, by operation.
    pub fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Access to the emulator's faults: refuse, hang, throttle, lose answers.
impl Deref for Emulator {
    type Target = DynamoDb;

    fn deref(&self) -> &DynamoDb {
        &self.dynamodb
    }
}
