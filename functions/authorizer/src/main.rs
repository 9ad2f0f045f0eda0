//! Starts the authorizer.

use authorizer::{Config, Event, State, handle};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use levee::function::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::begin("authorizer");
    let state = &function.start(Config::read, |config| &config.common, State::new).await?;
    let authorize = async |LambdaEvent { payload, context }: LambdaEvent<Event>| {
        let id = payload.request_id().to_owned();
        function.observe(&id, context.deadline, handle(state, payload)).await
    };
    lambda_runtime::run(service_fn(authorize)).await
}
