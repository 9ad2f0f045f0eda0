//! Levee's routing: [`levee_core::breaker`] as used by `functions/ai-proxy/src/exchange/failover.rs`, with a
//! [`Store`] for each provider in place of Redis.

use std::collections::{BTreeMap, VecDeque};

use levee_core::breaker::provider_status::SERVED_LATELY;
use levee_core::breaker::room::By;
use levee_core::breaker::{
    Affinity, BreakerConfig, BreakerState, Candidate, Entry, Local, Mode, ProviderStatus, Share, Target, route,
};
use levee_core::clock::Timestamp;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Answer, Router};
use crate::goodput::fleet::{Call, Settings};
use crate::rate::Rate;
use crate::store::{Moment, Report, Seen, Store};

const NAMES: [&str; 3] = ["first", "second", "third"];
const WARM: Share = Share::from_basis_points(100);

/// Levee's router.
#[derive(Debug, Clone)]
pub struct Levee {
    has_room: bool,
    rng: SmallRng,
    stores: Vec<Store>,
    /// Breakers of each environment, one for each provider.
    locals: Vec<Vec<Local>>,
    rate: Rate,
    courses: BTreeMap<u64, Course>,
}

/// Call in progress.
#[derive(Debug, Clone)]
struct Course {
    standings: Vec<ProviderStatus>,
    stops: VecDeque<Target>,
    /// Stops whose provider had no room.
    full: VecDeque<Target>,
    asked: Vec<usize>,
    /// Generation and rule that let the last attempt through.
    generation: u64,
    by: By,
    /// Failed attempt that is not reported yet, because the call itself may be at fault.
    held_back: Option<Attempt>,
    is_own_fault: bool,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    provider: usize,
    answer: Answer,
    generation: u64,
    by: By,
}

impl Levee {
    /// Creates the router for `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self::with(settings, &BreakerConfig::default())
    }

    /// Creates a router with other constants.
    pub fn with(settings: &Settings, config: &BreakerConfig) -> Self {
        Self {
            has_room: true,
            rng: SmallRng::seed_from_u64(settings.seed ^ 0xabcd),
            stores: (0..settings.providers).map(|_| Store::new(config.clone())).collect(),
            locals: vec![vec![Local::new(); settings.providers]; settings.environments],
            rate: Rate::default(),
            courses: BTreeMap::new(),
        }
    }

    /// Creates a router that refuses a call that no share lets through.
    pub fn without_room(settings: &Settings) -> Self {
        Self { has_room: false, ..Self::new(settings) }
    }

    /// Returns the decision about each provider.
    pub fn states(&self) -> impl Iterator<Item = &BreakerState> {
        self.stores.iter().map(Store::state)
    }

    fn moment(&mut self, at: f64) -> Moment {
        Moment { at, now: clock(at), rate: self.rate.a_second(), jitter: self.rng.random() }
    }

    fn standings(&mut self, at: f64, call: Call) -> Vec<ProviderStatus> {
        let rate = self.rate.a_second();
        let standing = |(provider, store): (usize, &Store)| ProviderStatus {
            state: store.state().clone(),
            rate,
            late_after: None,
            first_content: None,
            is_shared: true,
            is_away: !self.locals[call.environment][provider].lets_through(clock(at)),
            has_room: store.room.is_free_for(&call.account.to_string()),
            pause: None,
            served_another: store
                .served_another(call.account)
                .is_some_and(|then| at - then <= SERVED_LATELY.as_secs_f64()),
            now: clock(at),
        };
        self.stores.iter().enumerate().map(standing).collect()
    }

    fn may_enter(&mut self, at: f64, account: &str, stop: Target, standing: &ProviderStatus) -> bool {
        let rate = self.rate.a_second();
        let store = &mut self.stores[stop.provider];
        match stop.entry {
            Entry::Free => true,
            Entry::Probe => {
                let is_on = store.state().mode == Mode::Probe && store.state().generation == standing.state.generation;
                is_on && store.take_probe(at)
            }
            Entry::Room => self.has_room && (standing.has_room || store.room.admit(rate, account, clock(at))),
            // No provider of the simulation asks for a pause.
            Entry::Pause | Entry::LastPause => false,
        }
    }

    fn report(&mut self, at: f64, call: Call, attempt: Attempt) {
        let Attempt { provider, answer, generation, by } = attempt;
        let is_good = answer == Answer::Served;
        let moment = self.moment(at);
        self.locals[call.environment][provider].record(is_good, moment.now);
        let store = &mut self.stores[provider];
        store.room.record(answer, by, &call.account.to_string());
        if is_good {
            store.served(at, call.account);
        }
        let seen = if is_good { Seen::Good } else { Seen::Bad };
        let Call { environment, account, .. } = call;
        store.report(Report { environment, account, generation, is_probe: by == By::Probe, seen }, moment);
    }

    /// Returns the failures to report after the call's last attempt failed. Others are held back or forgotten.
    fn blamed(course: &mut Course, failure: Attempt) -> Vec<Attempt> {
        // Once the call is known to be at fault, no further failure counts.
        let may_be_own = failure.answer == Answer::Failed;
        if may_be_own && course.is_own_fault {
            return Vec::new();
        }
        let serves = |provider: usize| course.standings[provider].served_another;
        let mut blamed = Vec::new();
        // A second provider failed too. The call is at fault if one of the two serves other accounts.
        if let Some(before) = course.held_back.take() {
            if may_be_own && (serves(before.provider) || serves(failure.provider)) {
                course.is_own_fault = true;
                return blamed;
            }
            blamed.push(before);
        }
        // Hold the failure back if another provider's failure may still show that the call is at fault.
        if may_be_own && course.standings.iter().any(|standing| standing.served_another) {
            course.held_back = Some(failure);
        } else {
            blamed.push(failure);
        }
        blamed
    }
}

impl Router for Levee {
    fn begin(&mut self, at: f64, call: Call) {
        self.rate.count(at);
        // Evaluate all providers if that is due, then order them for this call.
        for index in 0..self.stores.len() {
            let moment = self.moment(at);
            self.stores[index].evaluate(moment);
        }
        let standings = self.standings(at, call);
        let candidates: Vec<Candidate<'_>> = NAMES
            .into_iter()
            .zip(&standings)
            .map(|(name, standing)| Candidate { name, standing, is_allowed: true })
            .collect();
        let session = call.id.to_string();
        let whose = Affinity { session: &session, call: &session };
        let stops =
            route(whose, &candidates, WARM, self.stores[0].config()).map(|route| route.stops).unwrap_or_default();
        let course = Course {
            standings,
            stops: stops.into(),
            full: VecDeque::new(),
            asked: Vec::new(),
            generation: 0,
            by: By::Share,
            held_back: None,
            is_own_fault: false,
        };
        self.courses.insert(call.id, course);
    }

    fn next(&mut self, at: f64, call: Call) -> Option<usize> {
        let mut course = self.courses.remove(&call.id)?;
        let mut next = None;
        loop {
            // A provider without room is tried once more after the others: it may have room by then.
            let is_again = course.stops.is_empty();
            let Some(stop) = course.stops.pop_front().or_else(|| course.full.pop_front()) else { break };
            let Target { provider, entry } = stop;
            if course.asked.contains(&provider) {
                continue;
            }
            // Remember a stop without room for a second look.
            if !self.may_enter(at, &call.account.to_string(), stop, &course.standings[provider]) {
                course.full.extend((entry == Entry::Room && !is_again).then_some(stop));
                continue;
            }
            // Keep the generation and the rule for the report.
            course.asked.push(provider);
            course.generation = course.standings[provider].state.generation;
            course.by = entry.by(course.standings[provider].has_room);
            next = Some(provider);
            break;
        }
        self.courses.insert(call.id, course);
        next
    }

    fn answered(&mut self, at: f64, call: Call, provider: usize, answer: Answer) {
        // A success is reported at once. Failures may be held back, see `blamed`.
        let Some(course) = self.courses.get_mut(&call.id) else { return };
        let attempt = Attempt { provider, answer, generation: course.generation, by: course.by };
        let reports = match answer {
            Answer::Served => vec![attempt],
            Answer::Failed | Answer::Refused => Self::blamed(course, attempt),
        };
        for report in reports {
            self.report(at, call, report);
        }
    }

    fn end(&mut self, at: f64, call: Call) {
        if let Some(before) = self.courses.remove(&call.id).and_then(|course| course.held_back) {
            self.report(at, call, before);
        }
    }
}

fn clock(at: f64) -> Timestamp {
    Timestamp::from_millis((at * 1000.0) as u64)
}
