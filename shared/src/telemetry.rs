//! Logs and metrics of a function: JSON lines on standard output, in the format that CloudWatch reads.
//!
//! There are two kinds of lines; docs/LOGGING.md describes them for readers. *Log lines* are tracing events. Lambda
//! files a line of a custom runtime as INFO unless it carries both a `level` and an RFC 3339 time, so the subscriber
//! writes both; `lambda_runtime`'s own default omits the time. *Wide events*, one for each request and function, hold
//! everything that is known about the request. They carry CloudWatch's embedded metric format, so that people and
//! alarms use the same line; [`Head`] is their common part. Errors, and warnings with a code, also become breadcrumbs.

mod head;
mod outcome;

pub use head::Head;
pub use outcome::outcome;

use std::sync::Mutex;

use metrique::ServiceMetrics;
use metrique::emf::Emf;
use metrique::writer::{AttachGlobalEntrySink, AttachGlobalEntrySinkExt, FormatExt};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::breadcrumbs::Trail;
use crate::sync::lock;

/// CloudWatch namespace of all metrics.
pub const NAMESPACE: &str = "Levee";

/// Log levels of libraries, regardless of the requested level: at lower levels they log whole events and headers,
/// including keys and prompts. `lambda_runtime::layers::panic` is off because it logs each handler error and each
/// panic a second time.
const LIBRARIES: &str = "aws_config=info,aws_runtime=info,aws_sdk_cloudwatchlogs=info,aws_sdk_dynamodb=info,\
    aws_sdk_secretsmanager=info,aws_sdk_sns=info,aws_sigv4=info,aws_smithy_runtime=info,aws_smithy_http_client=info,\
    h2=info,hyper=info,hyper_util=info,lambda_http=info,lambda_runtime=info,lambda_runtime::layers::panic=off,\
    redis=info,reqwest=info,rustls=info";
/// Id of the request that is being served, for log lines about panics.
static ANSWERING: Mutex<String> = Mutex::new(String::new());
/// Filter for events that may become breadcrumbs.
const BREADCRUMBS: &str = "warn,lambda_runtime::layers::panic=off";

/// Starts logging for `function` and installs the process's TLS provider. Call it first in `main`. A later call only
/// creates a new trail.
///
/// `AWS_LAMBDA_LOG_LEVEL`, then `RUST_LOG`, set the log level; the default is `info`. Breadcrumbs and wide events do
/// not depend on it.
#[expect(clippy::disallowed_methods, reason = "logging starts before the configuration is read")]
pub fn init(function: &'static str) -> Trail {
    // `rediss://` and the SDK's HTTPS client need an explicit provider. A second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asked = std::env::var("AWS_LAMBDA_LOG_LEVEL").or_else(|_| std::env::var("RUST_LOG")).unwrap_or_default();
    // Log lines to standard output, and breadcrumbs.
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_filter(filter(&asked));
    let trail = Trail::new(function);
    let breadcrumbs = trail.layer().with_filter(EnvFilter::new(BREADCRUMBS));
    // A second call finds a subscriber installed, and keeps it.
    let _ = tracing_subscriber::registry().with(lines).with(breadcrumbs).try_init();

    // Wide events to standard output.
    if ServiceMetrics::try_sink().is_none() {
        let dimensions = vec![vec!["Function".to_owned()]];
        let format = Emf::builder(NAMESPACE.to_owned(), dimensions).build();
        ServiceMetrics::write_directly_to(format.output_to_makewriter(|| std::io::stdout().lock())).forget();
    }
    log_panics();
    trail
}

/// Installs a panic hook that logs panics. The default hook would print the panic's text, which may hold anything, as
/// a line without a level.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let request = lock(&ANSWERING).clone();
        tracing::error!(code = "panic", request.id = request, error = location, "a request panicked");
    }));
}

/// Sets the request that is being served. An environment serves one at a time.
pub(crate) fn answering(request_id: &str) {
    request_id.clone_into(&mut lock(&ANSWERING));
}

fn filter(asked: &str) -> EnvFilter {
    let level = match asked.trim() {
        "" => "info".to_owned(),
        // `FATAL` is Lambda's highest level.
        level if level.eq_ignore_ascii_case("fatal") => "error".to_owned(),
        level => level.to_lowercase(),
    };
    EnvFilter::try_new(format!("{level},{LIBRARIES}")).unwrap_or_else(|_| EnvFilter::new(format!("info,{LIBRARIES}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_level_lets_libraries_log_what_they_carry() {
        for asked in ["", "TRACE", "fatal", "debug", "=nonsense="] {
            let filter = filter(asked).to_string();
            assert!(filter.contains("lambda_runtime=info") && filter.contains("hyper=info"), "{asked}: {filter}");
        }
        assert!(filter("FATAL").to_string().contains("error"));
    }
}
