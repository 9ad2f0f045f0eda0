//! Breakers at work: one for each provider, shared by all environments.
//!
//! A call that begins asks where its providers stand ([`Breakers::look`]), and reports what becomes of it
//! ([`Breakers::report`]); each is one round trip to Redis, and tells the present decision. Once a second somebody who asks or
//! reports gets what was seen since that decision, and evaluates it. A new decision is written to DynamoDB, then put into
//! Redis; who was second adopts what the first one decided. While nothing changes, nothing is written to DynamoDB.
//! Every 4 s somebody who reports, or else after 5 s somebody who asks, compares what Redis has with what DynamoDB has: what
//! an admin says is written to DynamoDB alone.
//!
//! [`Breakers::admit`] says whether a provider has [`Room`] for a call that nobody else can take.
//!
//! | gone | then |
//! | --- | --- |
//! | Redis | decisions are read from DynamoDB, at most every 2 s; nobody makes new ones; each environment has its [`Local`] breaker |
//! | DynamoDB | decisions are made and shared in Redis, and written when DynamoDB is back |
//! | both | the decision known last holds for 60 s; then all calls pass, but for the [`Local`] breaker |

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use super::config::BreakerConfig;
use super::evidence::Evidence;
use super::local::Local;
use super::mirror::{Admission, Mirror, Report, Seen, Shared};
use super::protocol::{Mend, mend};
use super::room::Room;
use super::standing::{Pause, SERVED_LATELY, Standing};
use super::state::State;
use super::step;
use super::table::{BreakersTable, Wrote};
use super::transition::{Grounds, Transition};
use crate::clock::{Clock, Timestamp};
use crate::stores::redis::Redis;
use crate::stores::with_timeout;
use crate::sync::lock;

/// How long a decision that was read from DynamoDB is gone by while Redis is away.
const READ_EVERY: Duration = Duration::from_secs(2);
/// The interval at which a provider that asks to be left alone is asked all the same.
const ASKED_EVERY: Duration = Duration::from_secs(300);
/// The interval at which accounts that it has not told so ask it, where nobody else is left.
const ASKED_BY_OTHERS_EVERY: Duration = Duration::from_secs(5);
/// How long a decision is gone by that nobody can confirm.
const BELIEVED_FOR: Duration = Duration::from_secs(60);

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
    /// The results that this environment alone has seen, for use while Redis is away.
    room: Mutex<Room>,
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

impl Known {
    fn nothing() -> Self {
        let never = Timestamp::from_millis(0);
        Self { state: State::new(), rate: 0.0, at: never, read_again: never }
    }
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
        let own =
            |name| Own { name, local: Mutex::default(), room: Mutex::default(), known: Mutex::new(Known::nothing()) };
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

    /// Returns where each provider stands, in their order, for a call of `class` of `account` that begins; `counts` where
    /// its outcome will be reported.
    pub async fn look(&self, class: &str, account: &str, counts: bool) -> Vec<Standing> {
        let names: Vec<&str> = self.providers.iter().map(|own| own.name.as_str()).collect();
        // At once, so that several that DynamoDB is to be asked about take no longer than one.
        match self.mirror.look(&names, class, account, counts).await {
            Ok(all) => {
                join_all(self.providers.iter().zip(all).map(|(own, shared)| self.follow(own, shared, account))).await
            }
            Err(_) => join_all(self.providers.iter().map(|own| self.alone(own, account))).await,
        }
    }

    /// Whether a probe may go to the provider `index`, whose decision is of `generation`.
    pub async fn may_probe(&self, index: usize, generation: u64) -> bool {
        self.mirror.probe(&self.providers[index].name, generation).await.unwrap_or(false)
    }

    /// Returns whether the provider `index` has room for a call of `account` that nobody else can take, where there are
    /// `rate` calls a second.
    pub async fn admit(&self, index: usize, account: &str, rate: f64) -> bool {
        let own = &self.providers[index];
        match self.mirror.admit(&own.name, Admission::Room(rate)).await {
            Ok(is_admitted) => is_admitted,
            // Each environment for itself: what others see is not known.
            Err(_) => lock(&own.room).admit(rate, account, self.clock.now()),
        }
    }

    /// Returns whether a call may go to the provider `index` although it asks to be left alone; where nobody else is left,
    /// sooner than else.
    pub async fn admit_in_pause(&self, index: usize, is_last: bool) -> bool {
        let every = if is_last { ASKED_BY_OTHERS_EVERY } else { ASKED_EVERY };
        self.mirror.admit(&self.providers[index].name, Admission::Pause(every)).await.unwrap_or(true)
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

    /// Reports what was seen of a call of `class` of `account` to the provider `index` that was let through under
    /// `generation`, and returns where it stands now.
    pub async fn report(&self, index: usize, class: &str, account: &str, generation: u64, seen: &Seen) -> Standing {
        let own = &self.providers[index];
        if let Some(answer) = seen.answer {
            lock(&own.room).record(answer, seen.by, account);
        }
        let report = Report { generation, account, environment: &self.environment, seen };
        match self.mirror.report(&own.name, class, report).await {
            Ok(shared) => self.follow(own, shared, account).await,
            // What was seen without Redis is seen by nobody else.
            Err(_) => self.unshared(own, account),
        }
    }

    /// Does what Redis asks for, and says where the provider stands then.
    async fn follow(&self, own: &Own, shared: Shared, account: &str) -> Standing {
        let mut state = match &shared.state {
            Some(state) => state.clone(),
            None => self.believed(own).state,
        };
        if shared.asks_truth {
            state = self.compare(own, &shared, state).await;
        }
        if let Some(evidence) = shared.evidence.as_ref().filter(|_| shared.state.as_ref() == Some(&state)) {
            state = self.evaluate(own, state, evidence, shared.now).await;
        }
        let known = Known { state, rate: shared.rate, at: self.clock.now(), ..Known::nothing() };
        lock(&own.known).clone_from(&known);
        self.standing(own, known, Some(&shared), account, shared.now)
    }

    fn standing(&self, own: &Own, known: Known, shared: Option<&Shared>, account: &str, now: Timestamp) -> Standing {
        Standing {
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

    /// Where a provider stands while Redis is away.
    async fn alone(&self, own: &Own, account: &str) -> Standing {
        let now = self.clock.now();
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
                    // So that an outage of both costs one call now and then, and not each of them.
                    lock(&own.known).read_again = now.plus(READ_EVERY.max(self.timeout * 10));
                }
            }
        }
        self.unshared(own, account)
    }

    fn unshared(&self, own: &Own, account: &str) -> Standing {
        self.standing(own, self.believed(own), None, account, self.clock.now())
    }

    /// What this environment knew last, while that is not too long ago.
    fn believed(&self, own: &Own) -> Known {
        let mut known = lock(&own.known).clone();
        if known.at.until(self.clock.now()) > BELIEVED_FOR {
            known.state = State::new();
        }
        known
    }

    /// Compares what DynamoDB has with what Redis has, mends what is different, and says what holds. Where Redis has lost it,
    /// what this environment knows stands in for it: it may be later, where DynamoDB could not be written.
    async fn compare(&self, own: &Own, shared: &Shared, known: State) -> State {
        let is_lost = shared.state.is_none();
        let truth = match self.read(own).await {
            Ok(truth) => truth,
            Err(error) => {
                self.unreadable(own, &error);
                return if is_lost { self.put(own, known, false).await } else { known };
            }
        };
        match mend(&truth, &known, shared.is_saved) {
            Mend::Agreed if is_lost || !shared.is_saved => self.put(own, truth, true).await,
            Mend::Agreed => known,
            Mend::Mirror(state) => self.put(own, state, true).await,
            Mend::Write(state) => {
                let transition = Transition::new(&own.name, &truth, state, Grounds::default(), &self.environment);
                self.write(own, transition, &truth, &known).await
            }
        }
    }

    async fn evaluate(&self, own: &Own, state: State, evidence: &Evidence, now: Timestamp) -> State {
        let Some(next) = step(&state, evidence, now, rand::random(), &self.config) else { return state };
        let transition = Transition::new(&own.name, &state, next, evidence.into(), &self.environment);
        self.write(own, transition, &state, &state).await
    }

    /// Makes a decision hold, which takes the place of `from` in DynamoDB and of `before` here; the one that holds then.
    async fn write(&self, own: &Own, mut transition: Transition, from: &State, before: &State) -> State {
        let mut written = self.try_write(&transition, from).await;
        if let Ok(Wrote::Lost(other)) = &written {
            match mend(other, &transition.to, false) {
                // The answer to an attempt was lost, not the decision.
                Mend::Agreed => written = Ok(Wrote::Now),
                Mend::Mirror(winner) => return self.put(own, winner, true).await,
                // Redis was ahead, because DynamoDB could not be written for a while; or a write that was in the way came
                // to nothing.
                Mend::Write(to) => {
                    let other = other.clone();
                    transition = Transition::new(&own.name, &other, to, transition.grounds, &self.environment);
                    written = self.try_write(&transition, &other).await;
                }
            }
        }
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
        // Of those who could not write, the first one in Redis decides; and what was decided before has been told.
        if (is_saved || holds == transition.to) && transition.to != *before {
            transition.tell(self.function, is_saved);
        }
        holds
    }

    async fn read(&self, own: &Own) -> Result<State, String> {
        with_timeout(self.timeout, self.table.read(&own.name)).await
    }

    async fn try_write(&self, transition: &Transition, from: &State) -> Result<Wrote, String> {
        with_timeout(self.timeout, self.table.write(transition, from)).await
    }

    /// Puts a decision into Redis; the one that holds there then. That Redis is gone is logged where it is found out.
    async fn put(&self, own: &Own, state: State, is_saved: bool) -> State {
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
