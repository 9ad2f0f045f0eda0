//! A DynamoDB of a test's own, with the template's tables.

use std::ops::Deref;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
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
}

/// Access to the emulator's faults: refuse, hang, throttle, lose answers.
impl Deref for Emulator {
    type Target = DynamoDb;

    fn deref(&self) -> &DynamoDb {
        &self.dynamodb
    }
}
