//! Starts the AI proxy.

use ai_proxy::{Config, State, handle};
use lambda_http::{Error, Request};
use levee::http::run_streaming;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    levee::telemetry::init();
    let config = levee::config::from_environment(Config::read)
        .inspect_err(|error| tracing::error!(code = "config.invalid", %error, "the AI proxy cannot start"))?;
    let state = State::new(config)
        .await
        .inspect_err(|error| tracing::error!(code = "start.failed", %error, "the AI proxy cannot start"))?;
    let state = &state;
    run_streaming(|request: Request| handle(state, request)).await
}
