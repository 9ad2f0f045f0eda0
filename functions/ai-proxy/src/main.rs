//! Starts the AI proxy.

use ai_proxy::{Config, State, handle};
use lambda_http::Error;
use levee::function::Function;
use levee::http::run_streaming;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::begin("ai-proxy");
    let state = &function.start(Config::read, |config| &config.common, State::new).await?;
    run_streaming(&function, |request| handle(state, request)).await
}
