//! What a function says of itself: JSON lines on standard output, as CloudWatch reads them.
//!
//! There are two kinds of lines, described for their readers in docs/LOGGING.md. *Log lines* are tracing events: Lambda
//! files a line of a custom runtime as INFO unless it carries both a `level` and an RFC 3339 time, so the subscriber
//! writes both; `lambda_runtime`'s own default leaves the time out. *Wide events*, one for each request and function,
//! hold everything that is known of it; they carry CloudWatch's embedded metric format, so that the same line is what
//! people read and what alarms count ([`Head`] is what they have in common). Errors and chosen warnings become
//! breadcrumbs besides.

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

/// The CloudWatch namespace of all metrics.
pub const NAMESPACE: &str = "Levee";

/// What is logged of libraries, whatever level is asked for: at lower levels they log events and headers whole, keys and
/// prompts included. `lambda_runtime` logs each error that a handler returns, and each panic, a second time.
const LIBRARIES: &str = "aws_config=info,aws_runtime=info,aws_sdk_cloudwatchlogs=info,aws_sdk_dynamodb=info,\
    aws_sdk_secretsmanager=info,aws_sdk_sns=info,aws_sigv4=info,aws_smithy_runtime=info,aws_smithy_http_client=info,\
    h2=info,hyper=info,hyper_util=info,lambda_http=info,lambda_runtime=info,lambda_runtime::layers::panic=off,\
    redis=info,reqwest=info,rustls=info";
/// The request that is answered, for panics.
static ANSWERING: Mutex<String> = Mutex::new(String::new());
/// What may become a breadcrumb.
const BREADCRUMBS: &str = "warn,lambda_runtime::layers::panic=off";

/// Starts logging for `function` and installs the process's TLS provider. Call it first in `main`; of later calls only
/// the trail is new.
///
/// `AWS_LAMBDA_LOG_LEVEL`, then `RUST_LOG`, choose what is logged; the default is `info`. Breadcrumbs and wide events do
/// not depend on it.
#[expect(clippy::disallowed_methods, reason = "logging starts before the configuration is read")]
pub fn init(function: &'static str) -> Trail {
    // `rediss://` and the SDK's HTTPS client need a provider chosen explicitly; a second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asked = std::env::var("AWS_LAMBDA_LOG_LEVEL").or_else(|_| std::env::var("RUST_LOG")).unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_filter(filter(&asked));
    let trail = Trail::new(function);
    let breadcrumbs = trail.layer().with_filter(EnvFilter::new(BREADCRUMBS));
    let _ = tracing_subscriber::registry().with(lines).with(breadcrumbs).try_init();

    if ServiceMetrics::try_sink().is_none() {
        let dimensions = vec![vec!["Function".to_owned()]];
        let format = Emf::builder(NAMESPACE.to_owned(), dimensions).build();
        ServiceMetrics::write_directly_to(format.output_to_makewriter(|| std::io::stdout().lock())).forget();
    }
    log_panics();
    trail
}

/// From now on panics are logged. The default hook would print a panic's text, which may hold anything, as a line without
/// a level.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let request = lock(&ANSWERING).clone();
        tracing::error!(code = "panic", request.id = request, error = location, "a request panicked");
    }));
}

/// From now on the request `request_id` is the one that is answered: an environment answers one at a time.
pub(crate) fn answering(request_id: &str) {
    request_id.clone_into(&mut lock(&ANSWERING));
}

fn filter(asked: &str) -> EnvFilter {
    let level = match asked.trim() {
        "" => "info".to_owned(),
        // Lambda's name for the level above all others.
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
