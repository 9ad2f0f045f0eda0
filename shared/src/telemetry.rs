//! Logs as JSON lines on standard output, as CloudWatch reads them.
//!
//! Lambda files a line of a custom runtime as INFO unless it carries both a `level` and an RFC 3339 time, so the
//! subscriber writes both; `lambda_runtime`'s own default leaves the time out.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging and installs the process's TLS provider. Call it first in `main`; later calls do nothing.
///
/// `AWS_LAMBDA_LOG_LEVEL`, then `RUST_LOG`, choose what is logged; the default is `info`.
pub fn init() {
    // `rediss://` and the SDK's HTTPS client need a provider chosen explicitly; a second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let filter = EnvFilter::try_from_env("AWS_LAMBDA_LOG_LEVEL")
        .or_else(|_| EnvFilter::try_from_default_env())
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_span_events(FmtSpan::NONE)
        .with_env_filter(filter)
        .try_init();
}
