//! Simulates several providers, their callers and the environments that serve these, event by event.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp, LogNormal};

use super::routers::{Answer, Router};
use super::scene::{BACK, Condition, LENGTH, Scene};
use crate::plan::Plan;
use crate::world::account;

/// Time to the first content of a served call: median in seconds, and standard deviation of the logarithm.
const FIRST_CONTENT: (f64, f64) = (0.6, 0.5);
/// Time from a call's first content to its end, in seconds.
const CONTENT: f64 = 1.4;
/// Time after which a call fails, in seconds.
const FAILS_IN: f64 = 0.3;
/// Time after which a call is refused as too many, in seconds.
const REFUSED_IN: f64 = 0.1;
/// Calls that a provider of limited capacity takes at once, in seconds' worth of its capacity.
const BUCKET: f64 = 10.0;
/// Lower bound of those calls.
const FEWEST: f64 = 5.0;
/// Ratio of calls that fail at a healthy provider.
const ERRORS: f64 = 0.01;

/// Settings of a run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Faults of the providers.
    pub scene: Scene,
    /// Number of providers.
    pub providers: usize,
    /// Calls a second.
    pub rate: f64,
    /// Number of environments. A call that finds none free is not counted.
    pub environments: usize,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// Call of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Number of the call.
    pub id: u64,
    /// Account that makes the call.
    pub account: u32,
    /// Environment that serves the call.
    pub environment: usize,
}

/// Sums of one or more runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Goodput {
    /// Calls that a provider would have served; in [`Scene::Limited`] as many as the capacity allows.
    pub servable: f64,
    /// Calls among them that were served.
    pub served: u64,
    /// Attempts at providers in the measured time.
    pub attempts: u64,
    /// Attempts among them that were not served.
    pub failed: u64,
}

impl Goodput {
    /// Returns the ratio of servable calls that were served, 0 to 1.
    pub fn ratio(&self) -> f64 {
        self.served as f64 / self.servable.max(1.0)
    }

    /// Returns the failed attempts for each servable call.
    pub fn failures(&self) -> f64 {
        self.failed as f64 / self.servable.max(1.0)
    }

    /// Returns the attempts for each servable call.
    pub fn asked(&self) -> f64 {
        self.attempts as f64 / self.servable.max(1.0)
    }
}

impl std::iter::Sum for Goodput {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            servable: sum.servable + one.servable,
            served: sum.served + one.served,
            attempts: sum.attempts + one.attempts,
            failed: sum.failed + one.failed,
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    Comes,
    Answers { call: Call, provider: usize, answer: Answer, counts: bool },
    Ends { environment: usize },
}

/// Token bucket of the calls that a provider of limited capacity can take now.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: f64,
    at: f64,
}

impl Bucket {
    fn take(&mut self, at: f64, a_second: f64) -> bool {
        self.level = (self.level + (at - self.at).max(0.0) * a_second).min((a_second * BUCKET).max(FEWEST));
        self.at = self.at.max(at);
        let has_one = self.level >= 1.0;
        if has_one {
            self.level -= 1.0;
        }
        has_one
    }
}

/// Runs `router` through `settings`, and returns the goodput.
pub fn run(router: &mut dyn Router, settings: &Settings) -> Goodput {
    let mut fleet = Fleet {
        settings: *settings,
        rng: SmallRng::seed_from_u64(settings.seed ^ 0x1a7e),
        plan: Plan::new(),
        buckets: vec![Bucket { level: 0.0, at: BACK }; settings.providers],
        goodput: Goodput::default(),
    };
    fleet.run(router);
    fleet.goodput
}

struct Fleet {
    settings: Settings,
    rng: SmallRng,
    plan: Plan<Happening>,
    buckets: Vec<Bucket>,
    goodput: Goodput,
}

impl Fleet {
    fn run(&mut self, router: &mut dyn Router) {
        let Settings { rate, environments, scene, .. } = self.settings;
        // Without a valid rate there are no calls.
        let Ok(gaps) = Exp::new(rate) else { return };
        // Arrivals have their own generator, so that all routers get the same ones.
        let mut arrivals = SmallRng::seed_from_u64(self.settings.seed);
        let mut free: VecDeque<usize> = (0..environments).collect();
        let mut id = 0;
        // Play events in the order of time; each arrival plans the next one.
        self.plan.add(gaps.sample(&mut arrivals), Happening::Comes);
        while let Some((at, happening)) = self.plan.next().filter(|(at, _)| *at <= LENGTH) {
            match happening {
                Happening::Comes => {
                    self.plan.add(at + gaps.sample(&mut arrivals), Happening::Comes);
                    id += 1;
                    // Drop the call if no environment is free. It counts if it is measured and servable.
                    let Some(environment) = free.pop_front() else { continue };
                    let call = Call { id, account: account(id), environment };
                    let counts = scene.measured().contains(&at) && self.is_servable(at, call);
                    self.goodput.servable += f64::from(u8::from(counts));
                    router.begin(at, call);
                    self.go_on(at, call, counts, router, &mut free);
                }
                Happening::Answers { call, provider, answer, counts } => {
                    // A served call keeps its environment until its end; a failed one goes to the next provider.
                    let is_served = answer == Answer::Served;
                    router.answered(at, call, provider, answer);
                    if is_served {
                        router.end(at, call);
                        self.goodput.served += u64::from(counts);
                        self.plan.add(at + CONTENT, Happening::Ends { environment: call.environment });
                    } else {
                        self.go_on(at, call, counts, router, &mut free);
                    }
                }
                Happening::Ends { environment } => free.push_back(environment),
            }
        }
        // A limited provider is measured by its capacity, not by single calls.
        if let Some(capacity) = scene.capacity(rate) {
            let measured = scene.measured();
            self.goodput.servable = (measured.end - measured.start) * capacity;
        }
    }

    /// Sends the call to the next provider, or ends it.
    fn go_on(&mut self, at: f64, call: Call, counts: bool, router: &mut dyn Router, free: &mut VecDeque<usize>) {
        let Some(provider) = router.next(at, call) else {
            router.end(at, call);
            free.push_back(call.environment);
            return;
        };
        let (answer, after) = self.ask(at, call, provider);
        // In a limited scene only the first provider counts, because the others are out.
        if self.settings.scene.measured().contains(&at) && (self.settings.scene != Scene::Limited || provider == 0) {
            self.goodput.attempts += 1;
            self.goodput.failed += u64::from(answer != Answer::Served);
        }
        self.plan.add(at + after, Happening::Answers { call, provider, answer, counts });
    }

    fn ask(&mut self, at: f64, call: Call, provider: usize) -> (Answer, f64) {
        let Settings { scene, providers, rate, .. } = self.settings;
        // Condition and capacity of the provider, then the call's own fate, then the latency.
        let has_room = match scene.condition(provider, providers, at, rate) {
            Condition::Out => return (Answer::Failed, FAILS_IN),
            Condition::Limited(a_second) => self.buckets[provider].take(at, a_second),
            Condition::Well => true,
        };
        if !has_room {
            return (Answer::Refused, REFUSED_IN);
        }
        if scene.poisons(call.account) || self.has_bad_luck(call, provider) {
            return (Answer::Failed, FAILS_IN);
        }
        let (median, spread) = FIRST_CONTENT;
        let spread: f64 = LogNormal::new(0.0, spread).map_or(1.0, |spread| spread.sample(&mut self.rng));
        (Answer::Served, median * spread)
    }

    fn is_servable(&self, at: f64, call: Call) -> bool {
        let Settings { scene, providers, .. } = self.settings;
        // Calls served there are compared with its capacity, so all calls count.
        scene == Scene::Limited
            || (!scene.poisons(call.account)
                && (0..providers)
                    .any(|index| scene.is_surely_well(index, providers, at) && !self.has_bad_luck(call, index)))
    }

    /// Returns true if the call fails at the provider by chance. The result is the same for each attempt and all
    /// routers.
    fn has_bad_luck(&self, call: Call, provider: usize) -> bool {
        let seed = self.settings.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (call.id << 3 | provider as u64);
        SmallRng::seed_from_u64(seed).random::<f64>() < ERRORS
    }
}
