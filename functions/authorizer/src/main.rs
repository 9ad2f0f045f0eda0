//! Starts the authorizer.

use authorizer::{Config, State, handle};
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    levee::telemetry::init();
    let config = levee::config::from_environment(Config::read)
        .inspect_err(|error| tracing::error!(code = "config.invalid", %error, "the authorizer cannot start"))?;
    let state = State::new(config)
        .await
        .inspect_err(|error| tracing::error!(code = "start.failed", %error, "the authorizer cannot start"))?;
    let state = &state;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| handle(state, event.payload).await)).await
}
