//! One breaker for each provider, shared by all environments.
//!
//! A call that begins reads the status of its providers ([`Breakers::look`]) and reports its outcome
//! ([`Breakers::report`]). Each is one round trip to Redis and returns the present decision. Once a second one of
//! these calls gets the evidence since that decision and evaluates it. A new decision is written to DynamoDB, then
//! put into Redis. An environment that comes second adopts the first one's decision. While nothing changes, nothing
//! is written to DynamoDB.
//!
//! Overrides by admins are written to DynamoDB alone. So every 4 s one environment that reports, or else after 5 s
//! one that begins a call, compares the decision in Redis with the one in DynamoDB.
//!
//! [`Breakers::admit`] decides if a provider has [`Room`] for a call that no other provider can take.
//!
//! | unavailable | effect |
//! | --- | --- |
//! | Redis | decisions are read from DynamoDB, every 2 s at most; none are made; [`Local`] breakers apply |
//! | DynamoDB | decisions are made and shared in Redis, and written when DynamoDB is back |
//! | both | the last known decision holds for 60 s; then all calls pass, except for the [`Local`] breaker |

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use super::config::BreakerConfig;
use super::evidence::Evidence;
use super::local::Local;
use super::mirror::{Admission, AttemptReport, Observation, RedisBreakerState, Shared};
use super::protocol::{Reconciliation, reconcile};
use super::provider_status::{Pause, ProviderStatus, SERVED_LATELY};
use super::room::Room;
use super::state::BreakerState;
use super::step;
use super::table::{BreakersTable, Wrote};
use super::transition::{Grounds, Transition};
use crate::clock::{Clock, Timestamp};
use crate::stores::redis::Redis;
use crate::stores::with_timeout;
use crate::sync::lock;

/// Interval between reads of a decision from DynamoDB while Redis is away.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Interval between calls to a provider in spite of a pause that it asked for.
const ASKED_EVERY: Duration = Duration::from_secs(300);
/// The same for accounts that the provider has not announced the pause to, if no other provider is left.
const ASKED_BY_OTHERS_EVERY: Duration = Duration::from_secs(5);
/// Time for which a decision holds while neither store can confirm it.
const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// Breakers of all providers, as seen by one environment.
pub struct Breakers {
    mirror: RedisBreakerState,
    table: BreakersTable,
    timeout: Duration,
    clock: Clock,
    config: BreakerConfig,
    function: &'static str,
    environment: String,
    providers: Vec<Own>,
}

/// State of one provider within this environment.
struct Own {
    name: String,
    local: Mutex<Local>,
    /// Answers that this environment got, for use while Redis is away.
    room: Mutex<Room>,
    known: Mutex<Known>,
}

/// Last decision that this environment has read.
#[derive(Debug, Clone)]
struct Known {
    state: BreakerState,
    rate: f64,
    /// Time at which a store last confirmed it.
    at: Timestamp,
    /// Earliest time of the next read from DynamoDB.
    read_again: Timestamp,
}

impl Known {
    fn nothing() -> Self {
        let never = Timestamp::from_millis(0);
        Self { state: BreakerState::new(), rate: 0.0, at: never, read_again: never }
    }
}

impl Breakers {
    /// Creates the breakers of `providers` for an environment of `function`. `timeout` bounds each call to DynamoDB.
    pub fn new(
        redis: Arc<Redis>,
        table: BreakersTable,
        timeout: Duration,
        clock: Clock,
        function: &'static str,
        providers: Vec<String>,
    ) -> Self {
        let own =
            |name| Own { name, local: Mutex::default(), room: Mutex::default(), known: Mutex::new(Known::nothing()) };
        Self {
            mirror: RedisBreakerState::new(redis, clock.clone()),
            table,
            timeout,
            clock,
            config: BreakerConfig::default(),
            function,
            environment: format!("{:016x}", rand::random::<u64>()),
            providers: providers.into_iter().map(own).collect(),
        }
    }

    /// Returns the breaker's constants.
    pub fn config(&self) -> &BreakerConfig {
        &self.config
    }

    /// Returns the status of each provider, in their order, for a call of `class` of `account` that begins. `counts`
    /// is true if its outcome will be reported.
    pub async fn look(&self, class: &str, account: &str, counts: bool) -> Vec<ProviderStatus> {
        let names: Vec<&str> = self.providers.iter().map(|own| own.name.as_str()).collect();
        // All at the same time, so that reads from DynamoDB for several providers take no longer than one.
        match self.mirror.look(&names, class, account, counts).await {
            Ok(all) => {
                join_all(self.providers.iter().zip(all).map(|(own, shared)| self.follow(own, shared, account))).await
            }
            Err(_) => join_all(self.providers.iter().map(|own| self.alone(own, account))).await,
        }
    }

    /// Returns true if a probe may go to the provider `index`, whose decision is of `generation`.
    pub async fn may_probe(&self, index: usize, generation: u64) -> bool {
        self.mirror.probe(&self.providers[index].name, generation).await.unwrap_or(false)
    }

    /// Returns true if the provider `index` has room for a call of `account` that no other provider can take, at
    /// `rate` calls a second in all.
    pub async fn admit(&self, index: usize, account: &str, rate: f64) -> bool {
        let own = &self.providers[index];
        match self.mirror.admit(&own.name, Admission::Room(rate)).await {
            Ok(is_admitted) => is_admitted,
            // Without Redis the answers to other environments are not known: use those to this one.
            Err(_) => lock(&own.room).admit(rate, account, self.clock.now()),
        }
    }

    /// Returns true if a call may go to the provider `index` in spite of a pause that it asked for. The interval is
    /// shorter if no other provider is left (`is_last`).
    pub async fn admit_in_pause(&self, index: usize, is_last: bool) -> bool {
        let every = if is_last { ASKED_BY_OTHERS_EVERY } else { ASKED_EVERY };
        self.mirror.admit(&self.providers[index].name, Admission::Pause(every)).await.unwrap_or(true)
    }

    /// Returns true if a call may be retried at a provider that it was already sent to. At most `percent` of all
    /// calls in the fleet may be.
    pub async fn may_retry(&self, percent: u64) -> bool {
        percent > 0 && self.mirror.retry(percent).await.unwrap_or(false)
    }

    /// Records with the environment's own breaker if a call to the provider `index` succeeded. Returns true if that
    /// starts a pause; the caller should then discard its connections.
    pub fn record(&self, index: usize, is_good: bool) -> bool {
        lock(&self.providers[index].local).record(is_good, self.clock.now())
    }

    /// Reports results of a call of `class` of `account` to the provider `index` that was let through under
    /// `generation`. Returns the provider's status after that.
    pub async fn report(
        &self,
        index: usize,
        class: &str,
        account: &str,
        generation: u64,
        seen: &Observation,
    ) -> ProviderStatus {
        let own = &self.providers[index];
        // Keep the answer here too, for use while Redis is away.
        if let Some(answer) = seen.answer {
            lock(&own.room).record(answer, seen.by, account);
        }
        let report = AttemptReport { generation, account, environment: &self.environment, seen };
        match self.mirror.report(&own.name, class, report).await {
            Ok(shared) => self.follow(own, shared, account).await,
            // Without Redis the report is lost: no other environment gets it.
            Err(_) => self.unshared(own, account),
        }
    }

    /// Compares and evaluates if Redis asks for it, and returns the provider's status after that.
    async fn follow(&self, own: &Own, shared: Shared, account: &str) -> ProviderStatus {
        // If Redis has lost the decision, use the last known one.
        let mut state = match &shared.state {
            Some(state) => state.clone(),
            None => self.believed(own).state,
        };
        // Reconcile with DynamoDB if it is this call's turn.
        if shared.asks_truth {
            state = self.compare(own, &shared, state).await;
        }
        // Evaluate the evidence if it is this call's turn. It belongs to the decision in Redis, so it is void if that
        // was replaced.
        if let Some(evidence) = shared.evidence.as_ref().filter(|_| shared.state.as_ref() == Some(&state)) {
            state = self.evaluate(own, state, evidence, shared.now).await;
        }
        let known = Known { state, rate: shared.rate, at: self.clock.now(), ..Known::nothing() };
        lock(&own.known).clone_from(&known);
        self.standing(own, known, Some(&shared), account, shared.now)
    }

    fn standing(
        &self,
        own: &Own,
        known: Known,
        shared: Option<&Shared>,
        account: &str,
        now: Timestamp,
    ) -> ProviderStatus {
        ProviderStatus {
            is_away: !lock(&own.local).lets_through(self.clock.now()),
            state: known.state,
            rate: known.rate,
            late_after: shared.and_then(|shared| shared.late_after),
            first_content: shared.and_then(|shared| shared.first_content),
            is_shared: shared.is_some(),
            has_room: shared.map_or_else(|| lock(&own.room).is_free_for(account), |shared| shared.has_room),
            pause: shared.and_then(|shared| {
                let until = shared.paused_until.filter(|until| *until > now)?;
                let is_probe_due = shared.asked_ago >= ASKED_EVERY;
                let may_ask = !shared.told_account && shared.asked_ago >= ASKED_BY_OTHERS_EVERY;
                Some(Pause { until, is_probe_due, may_ask })
            }),
            served_another: shared.and_then(|shared| shared.served_another).is_some_and(|ago| ago <= SERVED_LATELY),
            now,
        }
    }

    /// Returns a provider's status while Redis is away.
    async fn alone(&self, own: &Own, account: &str) -> ProviderStatus {
        let now = self.clock.now();
        // Claim the next read before waiting for it, so that it happens once.
        let is_due = {
            let mut known = lock(&own.known);
            let is_due = known.read_again <= now;
            if is_due {
                known.read_again = now.plus(READ_EVERY);
            }
            is_due
        };
        if is_due {
            match self.read(own).await {
                Ok(state) => {
                    let mut known = lock(&own.known);
                    (known.state, known.at) = (state, now);
                }
                Err(error) => {
                    self.unreadable(own, &error);
                    // Read less often while both stores are away, so that few calls wait for the time-out.
                    lock(&own.known).read_again = now.plus(READ_EVERY.max(self.timeout * 10));
                }
            }
        }
        self.unshared(own, account)
    }

    fn unshared(&self, own: &Own, account: &str) -> ProviderStatus {
        self.standing(own, self.believed(own), None, account, self.clock.now())
    }

    /// Returns the last known decision, or a fresh one if the last one is too old.
    fn believed(&self, own: &Own) -> Known {
        let mut known = lock(&own.known).clone();
        if known.at.until(self.clock.now()) > BELIEVED_FOR {
            known.state = BreakerState::new();
        }
        known
    }

    /// Compares the decision in DynamoDB with the one in Redis, reconciles them, and returns the one that holds. If
    /// Redis has lost its decision, `known` stands in for it: it may be ahead of DynamoDB after failed writes.
    async fn compare(&self, own: &Own, shared: &Shared, known: BreakerState) -> BreakerState {
        let is_lost = shared.state.is_none();
        // Without DynamoDB the decision in Redis holds. A lost one is restored from memory.
        let truth = match self.read(own).await {
            Ok(truth) => truth,
            Err(error) => {
                self.unreadable(own, &error);
                return if is_lost { self.put(own, known, false).await } else { known };
            }
        };
        match reconcile(&truth, &known, shared.is_saved) {
            Reconciliation::Agreed if is_lost || !shared.is_saved => self.put(own, truth, true).await,
            Reconciliation::Agreed => known,
            Reconciliation::Mirror(state) => self.put(own, state, true).await,
            Reconciliation::Write(state) => {
                let transition = Transition::new(&own.name, &truth, state, Grounds::default(), &self.environment);
                self.write(own, transition, &truth, &known).await
            }
        }
    }

    async fn evaluate(&self, own: &Own, state: BreakerState, evidence: &Evidence, now: Timestamp) -> BreakerState {
        let Some(next) = step(&state, evidence, now, rand::random(), &self.config) else { return state };
        let transition = Transition::new(&own.name, &state, next, evidence.into(), &self.environment);
        self.write(own, transition, &state, &state).await
    }

    /// Makes a decision hold: it replaces `from` in DynamoDB, and `before` in Redis and here. Returns the decision
    /// that holds after that.
    async fn write(
        &self,
        own: &Own,
        mut transition: Transition,
        from: &BreakerState,
        before: &BreakerState,
    ) -> BreakerState {
        let mut written = self.try_write(&transition, from).await;
        if let Ok(Wrote::Lost(other)) = &written {
            match reconcile(other, &transition.to, false) {
                // An earlier attempt was written, and only its answer was lost.
                Reconciliation::Agreed => written = Ok(Wrote::Now),
                Reconciliation::Mirror(winner) => return self.put(own, winner, true).await,
                // Redis was ahead because DynamoDB could not be written for a while, or a conflicting write failed.
                // Try again once, on top of the decision that DynamoDB has.
                Reconciliation::Write(to) => {
                    let other = other.clone();
                    transition = Transition::new(&own.name, &other, to, transition.grounds, &self.environment);
                    written = self.try_write(&transition, &other).await;
                }
            }
        }
        // Adopt the decision of a faster writer. If DynamoDB cannot be written, go on with Redis alone.
        let is_saved = written.is_ok();
        match written {
            Ok(Wrote::Now) => {}
            Ok(Wrote::Lost(winner)) => return self.put(own, *winner, true).await,
            Err(error) => tracing::error!(
                code = "breaker.unwritten",
                provider = own.name,
                %error,
                "a decision about a provider could not be written; it holds in Redis until it can"
            ),
        }
        let holds = self.put(own, transition.to.clone(), is_saved).await;
        // Log the decision once: of unsaved ones only the first in Redis holds, and `before` is logged already.
        if (is_saved || holds == transition.to) && transition.to != *before {
            transition.tell(self.function, is_saved);
        }
        holds
    }

    async fn read(&self, own: &Own) -> Result<BreakerState, String> {
        with_timeout(self.timeout, self.table.read(&own.name)).await
    }

    async fn try_write(&self, transition: &Transition, from: &BreakerState) -> Result<Wrote, String> {
        with_timeout(self.timeout, self.table.write(transition, from)).await
    }

    /// Puts a decision into Redis and returns the one that holds there after that. Redis's guard logs its failures.
    async fn put(&self, own: &Own, state: BreakerState, is_saved: bool) -> BreakerState {
        self.mirror.put(&own.name, &state, is_saved).await.ok().flatten().unwrap_or(state)
    }

    fn unreadable(&self, own: &Own, error: &str) {
        tracing::error!(
            code = "breaker.unread",
            provider = own.name,
            error,
            "what is decided about a provider could not be read"
        );
    }
}
