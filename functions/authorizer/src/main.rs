//! Starts the authorizer.

use authorizer::{AuthorizerConfig, AuthorizerState, Event, handle};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use levee::function::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::begin("authorizer");
    let state = &function.start(AuthorizerConfig::read, |config| &config.common, AuthorizerState::new).await?;
    let authorize = async |LambdaEvent { payload, context }: LambdaEvent<Event>| {
        let id = payload.request_id().to_owned();
        function.observe(&id, context.deadline, handle(state, payload)).await
    };
    lambda_runtime::run(service_fn(authorize)).await
}
