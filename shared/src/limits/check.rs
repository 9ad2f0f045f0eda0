//! The plumbing around the decision: one script call on Redis.

use std::sync::atomic::{AtomicI64, Ordering};

use redis::Script;

use super::config::DegradedMode;
use super::decide::{Decision, Reply, decide, remaining_millionths};
use super::degraded::Local;
use super::leases::LONGEST_CALL;
use super::markers::{Version, decode};
use super::policy::{Algorithm, Charge, Mode};
use super::spared::Spared;
use super::tally::{MINUTES, minute_of, tally_key};
use crate::clock::{Clock, Timestamp};
use crate::stores::redis::Redis;

/// How long a counter outlives its window, so that a slow clock elsewhere still finds it.
const KEPT_AFTER_WINDOW_MILLIS: u64 = 60_000;

/// A call that is to be decided.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// What it is charged to: calls in flight last, as [`LimitsConfig::charges`](super::LimitsConfig::charges) has them.
    pub charges: Vec<Charge>,
    /// The records that the caller decided from.
    pub known: Vec<Version>,
    /// Who counts in the statistics, as [`group`](super::tally::group) writes it; empty for nobody.
    pub group: String,
    /// The call's id, under which it is in flight.
    pub id: String,
}

/// Checks calls against their policies.
pub struct Limiter {
    redis: Redis,
    clock: Clock,
    script: Script,
    spared: Spared,
    local: Option<Local>,
    /// What to add to this machine's clock, in milliseconds, to have Redis's; 0 unless it was found to be off.
    correction: AtomicI64,
}

impl Limiter {
    /// A limiter that counts in the given Redis. `clock` is what callers take their `now` from.
    pub fn new(redis: Redis, clock: Clock, degraded: DegradedMode) -> Self {
        Self {
            redis,
            clock,
            script: Script::new(include_str!("check.lua")),
            spared: Spared::default(),
            local: (degraded == DegradedMode::Local).then(Local::default),
            correction: AtomicI64::new(0),
        }
    }

    /// The present moment, by Redis's clock where this machine's was found to be off.
    pub fn now(&self) -> Timestamp {
        let correction = self.correction.load(Ordering::Relaxed);
        Timestamp::from_millis(self.clock.now().as_millis().saturating_add_signed(correction))
    }

    /// Charges one call to all of its charges, or to none where one of them is used up. `now` is from [`Limiter::now`].
    pub async fn check(&self, ask: Ask, now: Timestamp) -> Decision {
        if let Some(refusal) = self.spared.refusal(&ask, now) {
            return Decision::Refused(refusal);
        }
        let kept = self.spared.take_tallies();
        let decision = match self.ask(&ask, &kept, now).await {
            Some(Asked::Decided(decision)) => decision,
            // A clock that is off: put right by what Redis says, and asked again, once.
            Some(Asked::Skewed(right)) => {
                let off = right.as_millis().cast_signed() - now.as_millis().cast_signed();
                self.correction.fetch_add(off, Ordering::Relaxed);
                tracing::error!(
                    code = "limits.clock_skew",
                    skew_ms = -off,
                    "this machine's clock is off; Redis's is used"
                );
                match self.ask(&ask, &kept, right).await {
                    Some(Asked::Decided(decision)) => decision,
                    Some(Asked::Skewed(_)) | None => Decision::Unchecked,
                }
            }
            None => Decision::Unchecked,
        };
        match &decision {
            Decision::Unchecked => {
                self.spared.keep_tallies(kept);
                if let Some(local) = &self.local {
                    return local.check(ask.charges, now);
                }
            }
            Decision::Stale(_) => self.spared.keep_tallies(kept),
            Decision::Refused(refusal) => self.spared.remember(&ask, refusal, now),
            Decision::Allowed(_) => {}
        }
        decision
    }

    /// One round trip; `None` where Redis cannot be asked.
    async fn ask(&self, ask: &Ask, kept: &[(String, u64)], now: Timestamp) -> Option<Asked> {
        let mut call = self.script.prepare_invoke();
        let is_leased = |charge: &&Charge| charge.policy.algorithm == Algorithm::Concurrency;
        let (leased, counted): (Vec<&Charge>, Vec<&Charge>) = ask.charges.iter().partition(is_leased);

        call.arg(now.as_millis()).arg(self.clock.offset_millis()).arg(&ask.id);
        call.arg(now.plus(LONGEST_CALL).as_millis()).arg(&ask.group);
        call.arg(ask.known.len()).arg(counted.len()).arg(leased.len());
        for Version { of, version, .. } in &ask.known {
            call.key(of.key()).arg(*version);
        }
        for charge in counted {
            let policy = &charge.policy;
            let millionths = remaining_millionths(policy, now);
            call.key(charge.counter(now));
            let mut kept_until = policy.window.end(now);
            if millionths > 0 {
                call.key(charge.previous_counter(now));
                kept_until = policy.window.end(kept_until);
            }
            let kept = kept_until.as_millis() - now.as_millis() + KEPT_AFTER_WINDOW_MILLIS;
            call.arg(policy.limit).arg(charge.weight).arg(kept).arg(millionths).arg(refuses(charge));
        }
        for charge in leased {
            call.key(charge.leases()).arg(charge.policy.limit).arg(refuses(charge));
        }
        call.key(tally_key(minute_of(now))).key(MINUTES);
        for (field, calls) in kept {
            call.arg(field).arg(*calls);
        }

        let call = &call;
        let reply = self.redis.run(async |mut connection| call.invoke_async::<Vec<i64>>(&mut connection).await);
        let reply = reply.await.ok()?;
        let decision = match Reply::of(&reply) {
            Reply::Charged(counts) => decide(ask.charges.clone(), true, counts, now),
            Reply::Refused(counts) => decide(ask.charges.clone(), false, counts, now),
            Reply::Stale(markers) => Decision::Stale(markers.iter().map(|marker| decode(*marker)).collect()),
            Reply::Skewed(right) => return Some(Asked::Skewed(right)),
            Reply::Odd => Decision::Unchecked,
        };
        if decision == Decision::Unchecked {
            tracing::error!(code = "limits.odd_reply", ?reply, "the limits script gave a reply of another shape");
        }
        Some(Asked::Decided(decision))
    }

    /// Connects and loads the script ahead of the first call, whose budget is too short for a first TLS handshake on a
    /// small function. Failing is no harm: the first call tries again.
    pub async fn warm_up(&self) {
        self.redis.warm_up(async |mut connection| self.script.load_async(&mut connection).await.map(drop)).await;
    }
}

enum Asked {
    Decided(Decision),
    Skewed(Timestamp),
}

fn refuses(charge: &Charge) -> u8 {
    u8::from(charge.policy.mode == Mode::Enforce)
}
