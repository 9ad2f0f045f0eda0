//! Starts the monitor.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use levee::function::Function;
use monitor::{Config, Event, State, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::begin("monitor");
    let state = &function.start(Config::read, |config| &config.common, State::new).await?;
    let run = async |LambdaEvent { payload, context }: LambdaEvent<Event>| {
        let id = payload.id.clone();
        function.observe(&id, context.deadline, handle(state, payload)).await
    };
    lambda_runtime::run(service_fn(run)).await
}
