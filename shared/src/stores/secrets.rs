//! Secrets: a configuration value is either the secret itself or the ARN of a Secrets Manager secret that holds it.
//!
//! On AWS the template passes ARNs, so that no secret stands in a function's configuration; on one machine the value
//! itself is passed. Secrets are fetched once, at start.

use std::fmt;
use std::time::Duration;

use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use serde::Deserialize;

use super::aws::{self, AwsConfig};

const ARN_PREFIX: &str = "arn:";

/// A secret value or the ARN of one. Never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(String);

/// A secret that could not be fetched at start.
#[derive(Debug, thiserror::Error)]
#[error("the secret {arn} cannot be read: {cause}")]
pub struct SecretError {
    arn: String,
    cause: String,
}

impl SecretRef {
    /// A reference from a configuration value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret's value, fetched from Secrets Manager when this is an ARN.
    ///
    /// # Errors
    /// When Secrets Manager refuses, cannot be reached within 5 seconds, or holds no text.
    pub async fn resolve(&self, aws: &AwsConfig) -> Result<String, SecretError> {
        if !self.0.starts_with(ARN_PREFIX) {
            return Ok(self.0.clone());
        }
        let failed = |cause: String| SecretError { arn: self.0.clone(), cause };
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(aws.region.clone()))
            .credentials_provider(aws.credentials_provider())
            .http_client(aws::https_client())
            .timeout_config(aws::timeouts(Duration::from_secs(5)))
            .build();
        let secret = aws_sdk_secretsmanager::Client::from_conf(config)
            .get_secret_value()
            .secret_id(&self.0)
            .send()
            .await
            .map_err(|error| failed(DisplayErrorContext(&error).to_string()))?;
        secret.secret_string.ok_or_else(|| failed("it holds no text".to_owned()))
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretRef(..)")
    }
}
