//! Model of providers that fail and come back, and of two accounts that call them, in every order of a few events. It
//! checks that calls are served, that one account's failures do not count against a provider, and that a healthy
//! provider comes back. The decisions are the breaker's own: `step`, `route`, `Room`.

use std::hash::{Hash, Hasher};

use levee_core::breaker::provider_status::SERVED_LATELY;
use levee_core::breaker::{BreakerConfig, Mode};
use simulation::goodput::routers::{Answer, Levee, Router};
use simulation::goodput::{Call, GRACE, Scene, Settings};
use stateright::{Model, Property};

pub const SERVED: &str = "a call of the steady account is served where a provider has been well for a while";
pub const ONES_OWN: &str = "one account's failures at a provider change nothing while that serves another account";
pub const COMES_BACK: &str = "providers that stay well come back to all calls, and serve whoever comes until then";

/// Latency of a failure, in seconds.
const FAILS_IN: f64 = 0.3;
/// Latency of a good answer, in seconds.
const SERVED_IN: f64 = 0.6;
/// Time for which an account's results count beside another account's, in seconds.
const ACCOUNTS_FOR: f64 = 60.0;
/// Calls in a burst, one after the other.
const BURST: u64 = 3;

/// Account that calls all the time.
pub const STEADY: u32 = 0;
/// Account whose calls are sometimes at fault themselves.
pub const ODD: u32 = 1;

/// Parameters of the model.
#[derive(Debug)]
pub struct Calls {
    pub providers: usize,
    pub config: BreakerConfig,
    pub has_room: bool,
    pub events: u8,
}

/// Event of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A burst of calls of an account.
    Burst(u32),
    /// A burst of calls of the odd account that every provider fails at.
    Poison,
    /// A healthy provider fails, or a failed one recovers.
    Turn(usize),
    /// Time passes, in seconds.
    Wait(u32),
}

/// State of the model: router, providers and clock, and flags for broken rules.
#[derive(Debug, Clone)]
pub struct Things {
    router: Levee,
    left: u8,
    at: f64,
    calls: u64,
    is_well: Vec<bool>,
    turned_at: Vec<f64>,
    has_turned: bool,
    poisoned_at: Option<f64>,
    /// Time at which each provider first failed.
    first_bad_at: Vec<Option<f64>>,
    /// Time at which each provider last served the steady account.
    steady_at: Vec<Option<f64>>,
    was_refused: bool,
    was_wronged: bool,
}

impl Things {
    /// Makes one call, which is answered before anything else happens. Returns true if it was served.
    fn call(&mut self, account: u32, is_poison: bool) -> bool {
        self.calls += 1;
        let call = Call { id: self.calls, account, environment: 0 };
        let has_well = self.has_sure_one();
        if is_poison {
            self.poisoned_at = Some(self.at);
        }
        // A call that every provider fails at is not reported if one of them served another account just now.
        let lately = self.at - SERVED_LATELY.as_secs_f64();
        let is_own = is_poison && self.is_well.len() > 1 && self.steady_at.iter().flatten().any(|at| *at >= lately);
        // Send the call from provider to provider, as the router says.
        self.router.begin(self.at, call);
        let mut is_served = false;
        while let Some(provider) = self.router.next(self.at, call).filter(|_| !is_served) {
            is_served = self.is_well[provider] && !is_poison;
            self.at += if is_served { SERVED_IN } else { FAILS_IN };
            if is_served && account == STEADY {
                self.steady_at[provider] = Some(self.at);
            } else if !is_served && !is_own {
                self.first_bad_at[provider].get_or_insert(self.at);
            }
            let answer = if is_served { Answer::Served } else { Answer::Failed };
            self.router.answered(self.at, call, provider, answer);
            if is_served {
                break;
            }
        }
        self.router.end(self.at, call);
        // Refusals of the odd account do not count: it may have to wait because of its own failures.
        self.was_refused |= has_well && account == STEADY && !is_served;
        is_served
    }

    /// Returns true if some provider is known to be well: it has been for a while, and no poison call since then
    /// looked like a continued outage.
    fn has_sure_one(&self) -> bool {
        let is_poisoned = |turned: f64| turned > 0.0 && self.poisoned_at.is_some_and(|at| at > turned);
        let mut providers = self.is_well.iter().zip(&self.turned_at);
        providers.any(|(is_well, turned)| *is_well && self.at - turned >= GRACE && !is_poisoned(*turned))
    }

    /// Returns true if a provider served the steady account since it first failed, and recently.
    fn serves_steady(&self, provider: usize) -> bool {
        let at = self.first_bad_at[provider].zip(self.steady_at[provider]);
        // Evidence is counted by whole seconds, hence the margin.
        at.is_some_and(|(bad, steady)| bad <= steady && self.at - steady < ACCOUNTS_FOR - 2.0)
    }

    fn burst(&mut self, account: u32, is_poison: bool) {
        for _ in 0..BURST {
            // Only a first decision that poison calls alone caused, about a provider that serves the steady account,
            // is wrong.
            let served: Vec<bool> = (0..self.is_well.len()).map(|provider| self.serves_steady(provider)).collect();
            let before: Vec<u64> = self.router.states().map(|state| state.generation).collect();
            self.call(account, is_poison);
            let after = self.router.states().map(|state| state.generation);
            let is_decided = before.iter().zip(after).map(|(before, after)| *before == 0 && after > 0);
            let is_wrong = is_decided.zip(served).any(|(is_decided, is_served)| is_decided && is_served);
            self.was_wronged |= is_poison && !self.has_turned && is_wrong;
            self.at += 0.1;
        }
    }

    /// Returns true if the first provider comes back to all calls once all providers stay well and calls arrive, and
    /// if calls are served until then.
    fn comes_back(&self) -> bool {
        let mut things = self.clone();
        let providers = things.is_well.len();
        for provider in 0..providers {
            if !things.is_well[provider] {
                (things.is_well[provider], things.turned_at[provider]) = (true, things.at);
            }
        }
        for second in 0..900 {
            // Calls are frequent until some were served, then one every 15 s.
            let is_time = second < 6 || second % 15 == 0;
            if is_time && !things.call(STEADY, false) && f64::from(second) > GRACE {
                return false;
            }
            things.at += 1.0;
            if second > 60 && things.router.states().next().is_some_and(|state| state.mode == Mode::Closed) {
                return true;
            }
        }
        false
    }
}

// The debug output holds all figures.
impl Hash for Things {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        format!("{self:?}").hash(hasher);
    }
}

impl PartialEq for Things {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Eq for Things {}

impl Model for Calls {
    type State = Things;
    type Action = Event;

    fn init_states(&self) -> Vec<Things> {
        let Self { providers, .. } = *self;
        let settings = Settings { scene: Scene::Poison, providers, rate: 1.0, environments: 1, seed: 7 };
        let router = Levee::with(&settings, &self.config);
        vec![Things {
            router: if self.has_room { router } else { Levee::without_room(&settings) },
            left: self.events,
            at: 1_000.0,
            calls: 0,
            is_well: vec![true; providers],
            turned_at: vec![0.0; providers],
            has_turned: false,
            poisoned_at: None,
            first_bad_at: vec![None; providers],
            steady_at: vec![None; providers],
            was_refused: false,
            was_wronged: false,
        }]
    }

    fn actions(&self, things: &Things, events: &mut Vec<Event>) {
        if things.left > 0 {
            events.extend([Event::Burst(STEADY), Event::Burst(ODD), Event::Poison, Event::Wait(2), Event::Wait(20)]);
            events.extend((0..self.providers).map(Event::Turn));
        }
    }

    fn next_state(&self, before: &Things, event: Event) -> Option<Things> {
        let mut things = before.clone();
        things.left -= 1;
        match event {
            Event::Burst(account) => things.burst(account, false),
            Event::Poison => things.burst(ODD, true),
            Event::Turn(provider) => {
                things.has_turned = true;
                things.is_well[provider] = !things.is_well[provider];
                things.turned_at[provider] = things.at;
            }
            Event::Wait(seconds) => things.at += f64::from(seconds),
        }
        Some(things)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SERVED, |_, things: &Things| !things.was_refused),
            Property::always(ONES_OWN, |_, things: &Things| !things.was_wronged),
            Property::always(COMES_BACK, |_, things: &Things| things.comes_back()),
            Property::sometimes("a provider is given up", |_, things: &Things| {
                things.router.states().any(|state| state.mode == Mode::Open)
            }),
        ]
    }
}
