//! The function `health-api`: reads its configuration and serves the board.

use health_api::{BoardState, HealthApiConfig, handle};
use lambda_http::Error;
use levee::function::Function;
use levee::http::run_buffered;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::begin("health-api");
    let state = &function.start(HealthApiConfig::read, |config| &config.common, BoardState::new).await?;
    run_buffered(&function, |request| handle(state, request)).await
}
