//! Functions that are called on a schedule, as EventBridge does.

use std::sync::Arc;

use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    host::{Function, FunctionFailure, Invocation, uuid},
    template::{ACCOUNT, REGION, Schedule},
};

/// Calls a function at the rate of its schedule, beginning one period from now.
pub(crate) async fn keep(schedule: Schedule, function: Arc<Function>) {
    let mut ticks = interval_at(Instant::now() + schedule.every, schedule.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if let Err(failure) = call(&function).await {
            tracing::warn!("the scheduled call of {} failed: {failure}", function.config.name);
        }
    }
}

/// Calls a function with a scheduled event and returns its answer. The event is that of "Amazon EventBridge scheduled
/// events" (services-cloudwatchevents.html).
pub(crate) async fn call(function: &Function) -> Result<String, FunctionFailure> {
    let event = json!({
        "version": "0",
        "id": uuid(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}", function.config.name)],
        "detail": {},
    });
    let call = Invocation { event: event.to_string().into(), trace_id: String::new() };
    let payload = function.invoke(call).await?.whole().await?;
    Ok(String::from_utf8_lossy(&payload).into_owned())
}
