//! Breakers at work: one for each provider, shared by all environments.
//!
//! A call that begins asks where its providers stand ([`Breakers::look`]), and reports what becomes of it
//! ([`Breakers::report`]); each is one round trip to Redis, and tells the present decision. Once a second somebody who asks or
//! reports gets what was seen since that decision, and evaluates it. A new decision is written to DynamoDB, then put into
//! Redis; who was second adopts what the first one decided. While nothing changes, nothing is written to DynamoDB.
//!
//! | gone | then |
//! | --- | --- |
//! | Redis | decisions are read from DynamoDB, at most every 2 s; nobody makes new ones; each environment has its [`Local`] breaker |
//! | DynamoDB | decisions are made and shared in Redis, and written when DynamoDB is back |
//! | both | the decision known last holds for 60 s; then all calls pass, but for the [`Local`] breaker |

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;

use super::config::BreakerConfig;
use super::evidence::Evidence;
use super::local::Local;
use super::mirror::{Mirror, Report, Seen, Shared};
use super::protocol::{Mend, mend};
use super::state::State;
use super::step::step;
use super::table::{BreakersTable, TableError, Wrote};
use super::transition::{Grounds, Transition};
use crate::clock::{Clock, Timestamp};
use crate::stores::redis::Redis;
use crate::sync::lock;

/// How long a decision that was read from DynamoDB is gone by while Redis is away.
const READ_EVERY: Duration = Duration::from_secs(2);
/// How long a decision is gone by that nobody can confirm.
const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// Where a provider stands for one call.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What is decided.
    pub state: State,
    /// AI calls a second to whatever provider, as far as that is known.
    pub rate: f64,
    /// When 19 of 20 such calls were back, or had their first content; `None` while too few are known.
    pub late_after: Option<Duration>,
    /// How long the first content of streams lately took.
    pub first_content: Option<Duration>,
    /// Whether environments share what they see at this moment. If not, nobody decides anything.
    pub is_shared: bool,
    /// Whether this environment keeps away from it.
    pub is_away: bool,
    /// The moment for which this holds.
    pub now: Timestamp,
}

/// The breakers of all providers, as one environment has them.
pub struct Breakers {
    mirror: Mirror,
    table: BreakersTable,
    timeout: Duration,
    clock: Clock,
    config: BreakerConfig,
    function: &'static str,
    environment: String,
    providers: Vec<Own>,
}

/// What one environment has of a provider.
struct Own {
    name: String,
    local: Mutex<Local>,
    known: Mutex<Known>,
}

/// What an environment knew last.
#[derive(Debug, Clone)]
struct Known {
    state: State,
    rate: f64,
    /// When somebody confirmed it.
    at: Timestamp,
    /// When DynamoDB may be read again.
    read_again: Timestamp,
}

impl Breakers {
    /// The breakers of `providers` for an environment of `function`. A call to DynamoDB takes no longer than `timeout`.
    pub fn new(
        redis: Arc<Redis>,
        table: BreakersTable,
        timeout: Duration,
        clock: Clock,
        function: &'static str,
        providers: Vec<String>,
    ) -> Self {
        let nothing = || Known {
            state: State::new(),
            rate: 0.0,
            at: Timestamp::from_millis(0),
            read_again: Timestamp::from_millis(0),
        };
        let own = |name| Own { name, local: Mutex::default(), known: Mutex::new(nothing()) };
        Self {
            mirror: Mirror::new(redis, clock.clone()),
            table,
            timeout,
            clock,
            config: BreakerConfig::default(),
            function,
            environment: format!("{:016x}", rand::random::<u64>()),
            providers: providers.into_iter().map(own).collect(),
        }
    }

    /// The constants.
    pub fn config(&self) -> &BreakerConfig {
        &self.config
    }

    /// Where each provider stands, in their order, for a call of `class` that begins.
    pub async fn look(&self, class: &str) -> Vec<Standing> {
        let names: Vec<&str> = self.providers.iter().map(|own| own.name.as_str()).collect();
        let mut standings = Vec::with_capacity(names.len());
        match self.mirror.look(&names, class, true).await {
            Ok(all) => {
                for (own, shared) in self.providers.iter().zip(all) {
                    // Where Redis has a decision, comparing it with DynamoDB's can wait for a report.
                    let asks_truth = shared.state.is_none();
                    standings.push(self.follow(own, Shared { asks_truth, ..shared }).await);
                }
            }
            Err(_) => {
                for own in &self.providers {
                    standings.push(self.alone(own).await);
                }
            }
        }
        standings
    }

    /// Whether a probe may go to the provider `index`, whose decision is of `generation`.
    pub async fn may_probe(&self, index: usize, generation: u64) -> bool {
        self.mirror.probe(&self.providers[index].name, generation).await.unwrap_or(false)
    }

    /// Whether a call may be tried again at a provider that it has been to, of which `percent` may, in the whole fleet.
    pub async fn may_retry(&self, percent: u64) -> bool {
        percent > 0 && self.mirror.retry(percent).await.unwrap_or(false)
    }

    /// Takes down that this environment got an answer of the provider `index`, or none. True where it keeps away from now
    /// on: its connections had better be made anew.
    pub fn record(&self, index: usize, is_good: bool) -> bool {
        lock(&self.providers[index].local).record(is_good, self.clock.now())
    }

    /// Reports what was seen of a call of `class` to the provider `index` that was let through under `generation`. Where it
    /// stands now.
    pub async fn report(&self, index: usize, class: &str, generation: u64, seen: &Seen) -> Standing {
        let own = &self.providers[index];
        let report = Report { generation, environment: &self.environment, seen };
        match self.mirror.report(&own.name, class, report).await {
            Ok(shared) => self.follow(own, shared).await,
            // What was seen without Redis is seen by nobody else.
            Err(_) => self.standing(own, lock(&own.known).clone(), None, self.clock.now()),
        }
    }

    /// Does what Redis asks for, and says where the provider stands then.
    async fn follow(&self, own: &Own, shared: Shared) -> Standing {
        let mut state = match &shared.state {
            Some(state) => state.clone(),
            None => lock(&own.known).state.clone(),
        };
        if shared.asks_truth {
            state = self.compare(own, &shared, state).await;
        }
        if let Some(evidence) = shared.evidence.as_ref().filter(|_| shared.state.as_ref() == Some(&state)) {
            state = self.evaluate(own, state, evidence, shared.now).await;
        }
        let known = Known { state, rate: shared.rate, at: self.clock.now(), read_again: Timestamp::from_millis(0) };
        lock(&own.known).clone_from(&known);
        self.standing(own, known, Some(&shared), shared.now)
    }

    fn standing(&self, own: &Own, known: Known, shared: Option<&Shared>, now: Timestamp) -> Standing {
        Standing {
            is_away: !lock(&own.local).lets_through(self.clock.now()),
            state: known.state,
            rate: known.rate,
            late_after: shared.and_then(|shared| shared.late_after),
            first_content: shared.and_then(|shared| shared.first_content),
            is_shared: shared.is_some(),
            now,
        }
    }

    /// Where a provider stands while Redis is away.
    async fn alone(&self, own: &Own) -> Standing {
        let now = self.clock.now();
        let is_due = now >= lock(&own.known).read_again;
        if is_due {
            match self.read(own).await {
                Ok(state) => {
                    let mut known = lock(&own.known);
                    (known.state, known.at, known.read_again) = (state, now, now.plus(READ_EVERY));
                }
                Err(error) => {
                    self.unreadable(own, &error);
                    // So that an outage of both costs one call now and then, and not each of them.
                    lock(&own.known).read_again = now.plus(READ_EVERY.max(self.timeout * 10));
                }
            }
        }
        let mut known = lock(&own.known).clone();
        if known.at.until(now) > BELIEVED_FOR {
            known.state = State::new();
        }
        self.standing(own, known, None, now)
    }

    /// Compares what DynamoDB has with what Redis has, mends what is different, and says what holds.
    async fn compare(&self, own: &Own, shared: &Shared, known: State) -> State {
        let truth = match self.read(own).await {
            Ok(truth) => truth,
            Err(error) => {
                self.unreadable(own, &error);
                if shared.state.is_none() {
                    self.put(own, &known, false).await;
                }
                return known;
            }
        };
        let Some(mirrored) = &shared.state else {
            // Redis has lost it. What this environment knows may be later, where DynamoDB could not be written.
            self.put(own, &truth, true).await;
            return truth;
        };
        match mend(&truth, mirrored, shared.is_saved) {
            Mend::Agreed => {
                if !shared.is_saved {
                    self.put(own, &truth, true).await;
                }
                truth
            }
            Mend::Mirror(state) => {
                self.put(own, &state, true).await;
                state
            }
            Mend::Write(state) => {
                let transition = Transition::new(&own.name, &truth, state, Grounds::default(), &self.environment);
                self.write(own, transition, truth.generation).await
            }
        }
    }

    async fn evaluate(&self, own: &Own, state: State, evidence: &Evidence, now: Timestamp) -> State {
        let Some(next) = step(&state, evidence, now, rand::random(), &self.config) else { return state };
        let transition = Transition::new(&own.name, &state, next, evidence.into(), &self.environment);
        self.write(own, transition, state.generation).await
    }

    /// Makes a decision hold, which follows the generation `after`; the one that holds then.
    async fn write(&self, own: &Own, transition: Transition, after: u64) -> State {
        let written = match self.try_write(&transition, after).await {
            // Redis was ahead: DynamoDB could not be written for a while.
            Ok(Wrote::Lost(behind)) if behind.generation < after => {
                self.try_write(&transition, behind.generation).await
            }
            written => written,
        };
        let is_saved = written.is_ok();
        match written {
            Ok(Wrote::Now) => {}
            Ok(Wrote::Lost(winner)) => {
                self.put(own, &winner, true).await;
                return *winner;
            }
            Err(error) => tracing::error!(
                code = "breaker.unwritten",
                provider = own.name,
                %error,
                "a decision about a provider could not be written; it holds in Redis until it can"
            ),
        }
        // Of those who could not write, the first one in Redis decides.
        if self.put(own, &transition.to, is_saved).await || is_saved {
            transition.tell(self.function, is_saved);
        }
        transition.to
    }

    async fn read(&self, own: &Own) -> Result<State, String> {
        match timeout(self.timeout, self.table.read(&own.name)).await {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    async fn try_write(&self, transition: &Transition, after: u64) -> Result<Wrote, String> {
        match timeout(self.timeout, self.table.write(transition, after)).await {
            Ok(wrote) => wrote.map_err(|error: TableError| error.to_string()),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    /// Puts a decision into Redis; false where another one holds there. That Redis is gone is logged where it is found out.
    async fn put(&self, own: &Own, state: &State, is_saved: bool) -> bool {
        self.mirror.put(&own.name, state, is_saved).await.unwrap_or(true)
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
