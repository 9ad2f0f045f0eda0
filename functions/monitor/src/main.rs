//! Starts the monitor.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use levee::function::Function;
use monitor::{MonitorConfig, MonitorEvent, MonitorState, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::begin("monitor");
    let state = &function.start(MonitorConfig::read, |config| &config.common, MonitorState::new).await?;
    let run = async |LambdaEvent { payload, context }: LambdaEvent<MonitorEvent>| {
        let id = payload.id.clone();
        function.observe(&id, context.deadline, handle(state, payload)).await
    };
    lambda_runtime::run(service_fn(run)).await
}
