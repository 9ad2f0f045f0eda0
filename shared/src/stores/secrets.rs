//! Secrets: a configuration value is either the secret itself, or the ARN of a Secrets Manager secret that holds it.
//!
//! On AWS the template passes ARNs, so that no secret appears in a function's configuration; on a local machine the
//! value itself is passed.

use std::fmt;
use std::time::Duration;

use aws_sdk_secretsmanager::config::{BehaviorVersion, Builder, Region};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use serde::Deserialize;

use super::aws::{self, AwsConfig};
use super::dynamodb::describe;

const ARN_PREFIX: &str = "arn:";
/// Cause given for a response that is neither a secret nor an error with a code.
const UNREADABLE: &str = "its answer cannot be read";

/// Secret value, or the ARN of one. Never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(String);

/// Error of fetching a secret.
#[derive(Debug, thiserror::Error)]
#[error("the secret {arn} cannot be read: {cause}")]
pub struct SecretError {
    arn: String,
    cause: String,
}

impl SecretRef {
    /// Creates a reference from a configuration value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the secret's value, fetched from Secrets Manager if this is an ARN.
    ///
    /// # Errors
    /// Secrets Manager rejects the request, cannot be reached within 5 seconds, or holds no text.
    pub async fn resolve(&self, aws: &AwsConfig) -> Result<String, SecretError> {
        if !self.0.starts_with(ARN_PREFIX) {
            return Ok(self.0.clone());
        }
        self.fetch(config(aws)).await
    }

    async fn fetch(&self, config: Builder) -> Result<String, SecretError> {
        let failed = |cause: String| SecretError { arn: self.0.clone(), cause };
        let secret = aws_sdk_secretsmanager::Client::from_conf(config.build())
            .get_secret_value()
            .secret_id(&self.0)
            .send()
            .await
            .map_err(|error| failed(why(&error)))?;
        secret.secret_string.ok_or_else(|| failed("it holds no text".to_owned()))
    }
}

fn config(aws: &AwsConfig) -> Builder {
    aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(aws.region.clone()))
        .credentials_provider(aws.credentials_provider())
        .http_client(aws::https_client())
        .timeout_config(aws::timeouts(Duration::from_secs(5)))
}

/// Describes the error. Of the response it uses only a named error: a response that cannot be parsed may hold the
/// secret.
fn why<R: fmt::Debug>(error: &SdkError<GetSecretValueError, R>) -> String {
    match error {
        SdkError::ResponseError(_) => UNREADABLE.to_owned(),
        // A response that cannot be parsed counts as a service error without a code.
        SdkError::ServiceError(_) if error.code().is_none() => UNREADABLE.to_owned(),
        error => describe(error),
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretRef(..)")
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;
    use crate::stores::dynamodb::stub::Stub;

    async fn fetch(status: u16, body: &'static str) -> Result<String, SecretError> {
        let stub = Stub::start(vec![(status, body)].leak()).await;
        let credentials = Credentials::new("test", "test", None, None, "test");
        let aws = AwsConfig { region: "us-east-1".to_owned(), credentials };
        SecretRef::new("arn:secret").fetch(config(&aws).endpoint_url(&stub.url)).await
    }

    #[tokio::test]
    async fn a_secret_is_the_text_that_secrets_manager_holds() {
        assert_eq!(fetch(200, r#"{"SecretString":"hush"}"#).await.unwrap(), "hush");
        let none = fetch(200, "{}").await.unwrap_err().to_string();
        assert_eq!(none, "the secret arn:secret cannot be read: it holds no text");
    }

    #[tokio::test]
    async fn an_error_names_its_code_and_never_the_answer() {
        let cut = fetch(200, r#"{"SecretString":"hush","VersionId":hush"#).await.unwrap_err();
        assert_eq!(cut.to_string(), "the secret arn:secret cannot be read: its answer cannot be read");
        let denied = r#"{"__type":"AccessDeniedException","message":"not yours","SecretString":"hush"}"#;
        let denied = fetch(400, denied).await.unwrap_err();
        assert_eq!(denied.to_string(), "the secret arn:secret cannot be read: AccessDeniedException: not yours");
        let odd = fetch(500, "hush").await.unwrap_err();
        for error in [cut, denied, odd] {
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
    }
}
