//! Logs as JSON lines on standard output, as CloudWatch reads them.
//!
//! Lambda files a line of a custom runtime as INFO unless it carries both a `level` and an RFC 3339 time, so the
//! subscriber writes both; `lambda_runtime`'s own default leaves the time out.

use tracing_subscriber::EnvFilter;

/// What is logged of libraries, whatever level is asked for: at lower levels they log events and headers whole, keys and
/// prompts included. `lambda_runtime` logs each error that a handler returns a second time, as a line of its own.
const LIBRARIES: &str = "aws_config=info,aws_runtime=info,aws_sdk_dynamodb=info,aws_smithy_runtime=info,\
    aws_smithy_http_client=info,h2=info,hyper=info,hyper_util=info,lambda_http=info,lambda_runtime=info,\
    lambda_runtime::layers::panic=off,redis=info,reqwest=info,rustls=info";

/// Starts logging and installs the process's TLS provider. Call it first in `main`; later calls do nothing.
///
/// `AWS_LAMBDA_LOG_LEVEL`, then `RUST_LOG`, choose what is logged; the default is `info`.
#[expect(clippy::disallowed_methods, reason = "logging starts before the configuration is read")]
pub fn init() {
    // `rediss://` and the SDK's HTTPS client need a provider chosen explicitly; a second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asked = std::env::var("AWS_LAMBDA_LOG_LEVEL").or_else(|_| std::env::var("RUST_LOG")).unwrap_or_default();
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter(&asked))
        .try_init();
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
