//! The plumbing around the decision: one script call on Redis.

use redis::Script;

use super::decide::{Decision, decide};
use super::policy::Charge;
use crate::clock::Timestamp;
use crate::stores::redis::Redis;

/// How long a counter outlives its window, so that a slow clock elsewhere still finds it.
const KEPT_AFTER_WINDOW_MILLIS: u64 = 60_000;

/// Checks calls against their policies.
pub struct Limiter {
    redis: Redis,
    script: Script,
}

impl Limiter {
    /// A limiter that counts in the given Redis.
    pub fn new(redis: Redis) -> Self {
        Self { redis, script: Script::new(include_str!("check.lua")) }
    }

    /// Charges one call to all of `charges`, or to none where one of them is used up.
    pub async fn check(&self, charges: Vec<Charge>, now: Timestamp) -> Decision {
        if charges.is_empty() {
            return decide(charges, &[1], now);
        }
        let mut call = self.script.prepare_invoke();
        for charge in &charges {
            let left = charge.policy.resets_at(now).as_millis() - now.as_millis();
            call.key(charge.key(now)).arg(charge.policy.limit).arg(left + KEPT_AFTER_WINDOW_MILLIS);
        }
        let call = &call;
        let reply = self.redis.run(async |mut connection| call.invoke_async::<Vec<i64>>(&mut connection).await).await;
        let Ok(reply) = reply else { return Decision::Unchecked };
        let decision = decide(charges, &reply, now);
        if decision == Decision::Unchecked {
            tracing::error!(code = "limits.odd_reply", ?reply, "the limits script gave a reply of another shape");
        }
        decision
    }

    /// Connects and loads the script ahead of the first call, whose budget is too short for a first TLS handshake on a
    /// small function. Failing is no harm: the first call tries again.
    pub async fn warm_up(&self) {
        self.redis.warm_up(async |mut connection| self.script.load_async(&mut connection).await.map(drop)).await;
    }
}
