//! Shared configuration of all AWS clients: region, credentials and one HTTPS client on rustls with ring.
//!
//! The values come from the variables that Lambda sets, so no credential chain is linked and reading them needs no
//! I/O.

use std::sync::OnceLock;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_types::timeout::TimeoutConfig;

use crate::config::Reader;

/// AWS region and credentials.
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

/// Idle time after which a pooled connection is dropped: the environment may have been frozen meanwhile.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Returns the HTTPS client, with its connection pool, that all AWS SDK clients of a function share.
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

/// Returns time-outs that bound a call to `call`, including connecting and one retry. An attempt gets two fifths of
/// it, so that an attempt on a dead connection leaves time for another.
pub(crate) fn timeouts(call: Duration) -> TimeoutConfig {
    let attempt = call * 2 / 5;
    TimeoutConfig::builder().connect_timeout(attempt).operation_attempt_timeout(attempt).operation_timeout(call).build()
}
