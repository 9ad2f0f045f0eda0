//! What every AWS client shares: region, credentials and one HTTPS client on rustls with ring.
//!
//! The values come from the variables that Lambda sets, so no credential chain is linked, and finding them does no I/O.

use std::sync::OnceLock;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::SharedHttpClient;
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

    pub(crate) fn credentials_provider(&self) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(self.credentials.clone())
    }
}

/// A pooled connection idle for longer is dropped: the environment may have been frozen meanwhile.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// The HTTPS client, with its pool of connections, under every AWS SDK client of a function.
pub fn https_client() -> SharedHttpClient {
    static CLIENT: OnceLock<SharedHttpClient> = OnceLock::new();
    let build = || {
        aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .pool_idle_timeout(POOL_IDLE)
            .build_https()
    };
    CLIENT.get_or_init(build).clone()
}

/// Bounds a call, connecting and its one retry included: an attempt that finds a dead connection leaves time for
/// another.
pub(crate) fn timeouts(call: Duration) -> TimeoutConfig {
    let attempt = call * 2 / 5;
    TimeoutConfig::builder().connect_timeout(attempt).operation_attempt_timeout(attempt).operation_timeout(call).build()
}
