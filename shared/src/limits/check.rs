//! The I/O around the decision: one script call on Redis. Start reading at [`Limiter::check`].

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Script, ServerErrorKind};

use super::config::DegradedMode;
use super::decide::{Decision, Reply, decide, remaining_millionths};
use super::degraded::Local;
use super::leases::UNTIL_ARRIVAL;
use super::policy::{Algorithm, Charge, Mode};
use super::refusal_cache::RefusalCache;
use super::tally::{MINUTES, minute_of, tally_key};
use super::versions::{CATALOGS_MARKER, Version, decode};
use crate::clock::{Clock, Timestamp};
use crate::stores::redis::Redis;
use crate::sync::lock;

/// Time for which a counter outlives its window, milliseconds, so that an environment with a slow clock still finds
/// it.
const KEPT_AFTER_WINDOW_MILLIS: u64 = 60_000;

/// Call that is to be decided.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Charges of the call, those of calls in flight last, as from
    /// [`LimitsConfig::charges`](super::LimitsConfig::charges).
    pub charges: Vec<Charge>,
    /// Versions of the records that the caller decided from.
    pub known: Vec<Version>,
    /// Group in the statistics, as written by [`group`](super::tally::group); empty for none.
    pub group: String,
    /// Id of the call, under which it is in flight.
    pub id: String,
}

/// Time for which a clock that agreed with Redis's is trusted, by that clock itself and by the monotonic clock.
const CLOCK_TRUSTED: Duration = Duration::from_secs(1);

/// Rate limiter: checks calls against their policies.
pub struct Limiter {
    redis: Redis,
    clock: Clock,
    script: Script,
    spared: RefusalCache,
    local: Option<Local>,
    /// Correction of this machine's clock to Redis's, milliseconds; 0 unless it was found to be off.
    correction: AtomicI64,
    /// Time at which this machine's clock, with the correction, last agreed with Redis's.
    agreed: Mutex<Option<(Timestamp, Instant)>>,
}

impl Limiter {
    /// Creates a limiter that counts in the given Redis. Callers must take their `now` from [`Limiter::now`], which
    /// reads `clock`.
    pub fn new(redis: Redis, clock: Clock, degraded: DegradedMode) -> Self {
        Self {
            redis,
            clock,
            script: Script::new(include_str!("check.lua")),
            spared: RefusalCache::default(),
            local: (degraded == DegradedMode::Local).then(Local::default),
            correction: AtomicI64::new(0),
            agreed: Mutex::new(None),
        }
    }

    /// Returns the present time, by Redis's clock if this machine's was found to be off.
    pub fn now(&self) -> Timestamp {
        let correction = self.correction.load(Ordering::Relaxed);
        Timestamp::from_millis(self.clock.now().as_millis().saturating_add_signed(correction))
    }

    /// Charges one call to all of its charges, or to none if one of them is used up. `now` is from [`Limiter::now`].
    pub async fn check(&self, ask: Ask, now: Timestamp) -> Decision {
        self.check_carrying(ask, now, false).await.0
    }

    /// Works as [`Limiter::check`], and returns in the same round trip the version of the catalogs that was published
    /// last, 0 if none was lately; `None` if Redis did not say.
    pub async fn check_with_catalogs(&self, ask: Ask, now: Timestamp) -> (Decision, Option<u64>) {
        self.check_carrying(ask, now, true).await
    }

    async fn check_carrying(&self, ask: Ask, now: Timestamp, carries: bool) -> (Decision, Option<u64>) {
        // Repeat a refusal from memory, without a round trip.
        if let Some(refusal) = self.spared.refusal(&ask, now) {
            return (Decision::Refused(refusal), None);
        }
        // Ask Redis, and send the tallies of earlier refusals from memory along.
        let kept = self.spared.take_tallies();
        let before = self.correction.load(Ordering::Relaxed);
        let (decision, catalogs) = match self.ask(&ask, &kept, now, carries).await {
            Some(CheckInput::Decided(decision, catalogs)) => (decision, catalogs),
            // The clock is off: correct it by Redis's time, and ask once more.
            Some(CheckInput::Skewed(right)) => {
                let off = right.as_millis().cast_signed() - now.as_millis().cast_signed();
                // If several calls find this at the same time, only one of them corrects.
                let corrected = before + off;
                let _by_one = self.correction.compare_exchange(before, corrected, Ordering::Relaxed, Ordering::Relaxed);
                tracing::error!(
                    code = "limits.clock_skew",
                    skew_ms = -off,
                    "this machine's clock is off; Redis's is used"
                );
                match self.ask(&ask, &kept, right, carries).await {
                    Some(CheckInput::Decided(decision, catalogs)) => (decision, catalogs),
                    Some(CheckInput::Skewed(_)) | None => (Decision::Unchecked, None),
                }
            }
            None => (Decision::Unchecked, None),
        };
        // Keep the tallies if they did not get through, and remember a refusal.
        match &decision {
            Decision::Unchecked => {
                self.spared.keep_tallies(kept);
                if let Some(local) = &self.local {
                    return (local.check(&ask.charges, now), None);
                }
            }
            Decision::Stale(_) => self.spared.keep_tallies(kept),
            Decision::Refused(refusal) => self.spared.remember(&ask, refusal, now),
            Decision::Allowed(_) => {}
        }
        (decision, catalogs)
    }

    /// Makes one round trip; `None` if Redis cannot be asked.
    async fn ask(&self, ask: &Ask, kept: &[(String, u64)], now: Timestamp, carries: bool) -> Option<CheckInput> {
        // Call the script, and load it first if Redis does not know it.
        let is_compared = !self.is_trusted(now);
        let call = &self.call(ask, kept, now, (is_compared, carries));
        let script = &self.script;
        let run =
            async |mut connection: MultiplexedConnection| match call.query_async::<Vec<i64>>(&mut connection).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    script.load_async(&mut connection).await?;
                    call.query_async(&mut connection).await
                }
                reply => reply,
            };
        let reply = self.redis.run(run).await.ok()?;
        // Split off the carried marker: a reply with counts ends with it.
        let (reply, marker) = match reply.as_slice() {
            [0 | 1, .., marker] if carries => (&reply[..reply.len() - 1], Some(*marker)),
            reply => (reply, None),
        };
        let catalogs = marker.map(|marker| decode(marker).map_or(0, |(version, _)| version));
        // Turn the reply into a decision.
        let decision = match Reply::from_reply(reply) {
            Reply::Charged(counts) => decide(&ask.charges, true, counts, now),
            Reply::Refused(counts) => decide(&ask.charges, false, counts, now),
            Reply::Stale(markers) => Decision::Stale(markers.iter().map(|marker| decode(*marker)).collect()),
            Reply::Skewed(right) => return Some(CheckInput::Skewed(right)),
            Reply::Odd => Decision::Unchecked,
        };
        // An answer to a call that compared the clocks means that they agree.
        if decision == Decision::Unchecked {
            tracing::error!(code = "limits.odd_reply", ?reply, "the limits script gave a reply of another shape");
        } else if is_compared {
            *lock(&self.agreed) = Some((now, Instant::now()));
        }
        Some(CheckInput::Decided(decision, catalogs))
    }

    /// Returns true if this machine's clock agreed with Redis's less than [`CLOCK_TRUSTED`] ago.
    fn is_trusted(&self, now: Timestamp) -> bool {
        lock(&self.agreed).is_some_and(|(at, instant)| {
            at <= now && at.until(now) < CLOCK_TRUSTED && instant.elapsed() < CLOCK_TRUSTED
        })
    }

    /// Builds the script's call, as `check.lua` describes it. It is written straight into one command, because the
    /// client's own `ScriptInvocation` copies each argument twice.
    fn call(&self, ask: &Ask, kept: &[(String, u64)], now: Timestamp, (is_compared, carries): (bool, bool)) -> Cmd {
        let (counted, leased) = ask.charges.split_at(ask.charges.partition_point(|charge| !is_leased(charge)));
        let mut keys = Vec::with_capacity(ask.known.len() + 2 * counted.len() + leased.len() + 3);
        let mut numbers = Numbers(Vec::with_capacity(8 * (9 + ask.known.len() + 5 * counted.len() + 2 * leased.len())));
        // Numbers of the whole call.
        numbers.push(now.as_millis());
        numbers.push_signed(self.clock.offset_millis());
        numbers.push(is_compared.into());
        numbers.push(now.plus(UNTIL_ARRIVAL).as_millis());
        let is_tallied = !(ask.group.is_empty() && kept.is_empty());
        numbers.push_all([ask.known.len(), counted.len(), leased.len(), is_tallied.into()].map(|count| count as u64));
        numbers.push(carries.into());
        // Markers of the records that the caller decided from.
        for Version { of, version, .. } in &ask.known {
            keys.push(of.key());
            numbers.push(*version);
        }
        if carries {
            keys.push(CATALOGS_MARKER.to_owned());
        }
        // Counters of the charges by windows. A counter of a sliding policy is needed for one window more.
        for charge in counted {
            let policy = &charge.policy;
            let millionths = remaining_millionths(policy, now);
            keys.push(charge.counter(now));
            let mut counts_until = policy.window.end(now);
            if millionths > 0 {
                keys.push(charge.previous_counter(now));
                counts_until = policy.window.end(counts_until);
            }
            let kept = counts_until.as_millis() - now.as_millis() + KEPT_AFTER_WINDOW_MILLIS;
            numbers.push_all([policy.limit, charge.weight, kept, millionths, refuses(charge)]);
        }
        // Sets of calls in flight.
        for charge in leased {
            keys.push(charge.leases());
            numbers.push_all([charge.policy.limit, refuses(charge)]);
        }
        // Tallies of this minute.
        if is_tallied {
            keys.push(tally_key(minute_of(now)));
            keys.push(MINUTES.to_owned());
        }

        // All numbers travel as one packed argument.
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.script.get_hash()).arg(keys.len()).arg(&keys).arg(numbers.0).arg(&ask.id).arg(&ask.group);
        for (field, calls) in kept {
            call.arg(field).arg(*calls);
        }
        call
    }

    /// Connects and loads the script ahead of the first call, whose budget is too short for a first TLS handshake on
    /// a small function. A failure has no effect, because the first call tries again.
    pub async fn warm_up(&self) {
        self.redis.warm_up(async |mut connection| self.script.load_async(&mut connection).await.map(drop)).await;
    }
}

enum CheckInput {
    /// A decision, with the version of the catalogs if it was carried.
    Decided(Decision, Option<u64>),
    Skewed(Timestamp),
}

/// Numbers packed for the script as little-endian doubles. All are whole and below 2^53, so a double holds them
/// exactly.
struct Numbers(Vec<u8>);

impl Numbers {
    fn push(&mut self, number: u64) {
        self.0.extend((number as f64).to_le_bytes());
    }

    fn push_signed(&mut self, number: i64) {
        self.0.extend((number as f64).to_le_bytes());
    }

    fn push_all<const N: usize>(&mut self, numbers: [u64; N]) {
        numbers.into_iter().for_each(|number| self.push(number));
    }
}

fn is_leased(charge: &Charge) -> bool {
    charge.policy.algorithm == Algorithm::Concurrency
}

fn refuses(charge: &Charge) -> u64 {
    u64::from(charge.policy.mode == Mode::Enforce)
}
