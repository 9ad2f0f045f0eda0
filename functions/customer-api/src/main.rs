//! Starts the customers' API.

use customer_api::{CustomerApiConfig, CustomerApiState, handle};
use lambda_http::Error;
use levee::function::Function;
use levee::http::run_buffered;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::begin("customer-api");
    let state = &function.start(CustomerApiConfig::read, |config| &config.common, CustomerApiState::new).await?;
    run_buffered(&function, |request| handle(state, request)).await
}
