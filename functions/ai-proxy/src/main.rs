//! Starts the AI proxy.

use ai_proxy::{AiProxyConfig, ProxyState, handle};
use lambda_http::Error;
use levee::function::Function;
use levee::http::run_streaming;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::begin("ai-proxy");
    let state = &function.start(AiProxyConfig::read, |config| &config.common, ProxyState::new).await?;
    run_streaming(&function, |request| handle(state, request)).await
}
