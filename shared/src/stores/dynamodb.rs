//! The DynamoDB client: the SDK with bounded calls.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::aws::{self, AwsConfig};
use crate::config::Reader;

/// How to reach DynamoDB and how long to wait for it.
#[derive(Debug, Clone)]
pub struct DynamoDbConfig {
    /// Region and credentials.
    pub aws: AwsConfig,
    /// `AWS_ENDPOINT_URL_DYNAMODB`: another address than the region's, as the SDKs define it. Default: unset.
    pub endpoint_url: Option<String>,
    /// `DYNAMODB_TIMEOUT_MS`: how long a call may take, connecting and its one retry included. Default 500, 50 to
    /// 15,000.
    pub timeout: Duration,
}

impl DynamoDbConfig {
    /// Reads the variables named at the fields.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            aws: AwsConfig::read(reader),
            endpoint_url: reader.optional("AWS_ENDPOINT_URL_DYNAMODB"),
            timeout: reader.millis("DYNAMODB_TIMEOUT_MS", 500, 50..=15_000),
        }
    }
}

/// A client for the given configuration. Opens no connection yet.
pub fn client(config: &DynamoDbConfig) -> Client {
    let mut builder = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config.aws.region.clone()))
        .credentials_provider(config.aws.credentials_provider())
        .http_client(aws::https_client())
        .timeout_config(aws::timeouts(config.timeout))
        .retry_config(RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(25)));
    builder.set_endpoint_url(config.endpoint_url.clone());
    Client::from_conf(builder.build())
}

/// What went wrong with a call, in one line: DynamoDB's code and message, or where the call broke off.
pub fn describe<E: ProvideErrorMetadata + std::error::Error + 'static, R: std::fmt::Debug>(
    error: &SdkError<E, R>,
) -> String {
    if let (Some(code), Some(message)) = (error.code(), error.message()) {
        return format!("{code}: {message}");
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
