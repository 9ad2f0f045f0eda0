//! Publisher for an SNS topic.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::config::{BehaviorVersion, Region};

use super::{Message, PublishError, Publisher};
use crate::config::Reader;
use crate::stores::aws::{self, AwsConfig};
use crate::stores::dynamodb::describe;

/// Time-out of publishing one message, including connecting and the one retry.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Configuration of the SNS publisher.
#[derive(Debug, Clone)]
pub struct SnsConfig {
    /// Region and credentials.
    pub aws: AwsConfig,
    /// `ALERT_TOPIC_ARN`: topic that alerts are published to.
    pub topic_arn: String,
    /// `AWS_ENDPOINT_URL_SNS`: endpoint in place of the region's, as the SDKs define it. Default: unset.
    pub endpoint_url: Option<String>,
}

impl SnsConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            aws: AwsConfig::read(reader),
            topic_arn: reader.required("ALERT_TOPIC_ARN"),
            endpoint_url: reader.optional("AWS_ENDPOINT_URL_SNS"),
        }
    }
}

/// Publisher for an SNS topic.
#[derive(Debug, Clone)]
pub struct Sns {
    client: Client,
    topic_arn: String,
}

impl Sns {
    /// Creates a publisher. Does not connect yet.
    pub fn new(config: SnsConfig) -> Self {
        let mut builder = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.aws.region.clone()))
            .credentials_provider(config.aws.credentials_provider())
            .http_client(aws::https_client())
            .timeout_config(aws::timeouts(TIMEOUT))
            .retry_config(RetryConfig::standard().with_max_attempts(2));
        builder.set_endpoint_url(config.endpoint_url);
        Self { client: Client::from_conf(builder.build()), topic_arn: config.topic_arn }
    }
}

impl Publisher for Sns {
    async fn publish(&self, message: &Message) -> Result<(), PublishError> {
        let publish =
            self.client.publish().topic_arn(&self.topic_arn).subject(message.subject()).message(message.body());
        publish.send().await.map(drop).map_err(|error| PublishError(describe(&error)))
    }
}
