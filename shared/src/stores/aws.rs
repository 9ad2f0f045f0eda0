//! What every AWS client shares: region, credentials and one HTTPS client on rustls with ring.
//!
//! The values come from the variables that Lambda sets, so no credential chain is linked and start-up does no I/O.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_types::timeout::TimeoutConfig;

use crate::config::Reader;

/// Where AWS is and who we are there.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    /// `AWS_REGION`, set by Lambda.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, set by Lambda for the function's role.
    pub credentials: Credentials,
}

impl AwsConfig {
    /// Reads the variables that Lambda sets.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            region: reader.required("AWS_REGION"),
            credentials: Credentials::new(
                reader.required("AWS_ACCESS_KEY_ID"),
                reader.required("AWS_SECRET_ACCESS_KEY"),
                reader.optional("AWS_SESSION_TOKEN"),
                None,
                "environment",
            ),
        }
    }

    pub(super) fn credentials_provider(&self) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(self.credentials.clone())
    }
}

/// The HTTPS client under every AWS SDK client of a function.
pub(super) fn https_client() -> aws_sdk_dynamodb::config::SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Bounds a call, connecting and retries included.
pub(super) fn timeouts(call: std::time::Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(call).operation_timeout(call).build()
}
