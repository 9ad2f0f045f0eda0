//! The simulated world: callers, environments and time.

use std::collections::VecDeque;
use std::ops::Range;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Exp};

use crate::design::{Design, Result, Ticket};
use crate::plan::Plan;
use crate::provider::{FALLS_ILL, SLOW, Scenario, TIMEOUT};

/// Duration of a run, in seconds.
pub const LENGTH: f64 = 1_500.0;
/// Number of accounts that call.
const ACCOUNTS: u64 = 10;
/// Latency of the backup, in seconds.
const BACKUP: f64 = 2.0;

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Fault of the provider.
    pub scenario: Scenario,
    /// Calls a second.
    pub rate: f64,
    /// Number of environments. A call that finds none free is dropped.
    pub environments: usize,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Further faults.
    pub faults: Faults,
}

/// Faults of anything but the provider.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Number of environments whose calls all fail, whatever the provider does.
    pub poisoned: usize,
    /// Seconds in which the store that environments share is gone, with all its content.
    pub store_is_gone: Option<Range<f64>>,
    /// Clock skew in seconds: half of the environments are ahead by it, the other half behind.
    pub skew: f64,
}

/// Results of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Calls that were served.
    pub calls: u64,
    /// Calls that the provider got.
    pub attempts: u64,
    /// Calls among them that failed or were slow.
    pub bad: u64,
    /// Changes of the share.
    pub transitions: u32,
    /// Time until the share was below a tenth, in seconds since the fault began.
    pub reduced_after: Option<f64>,
    /// Time until the share was whole again, in seconds since the fault ended.
    pub whole_after: Option<f64>,
    /// Share at the beginning of each second.
    pub shares: Vec<f64>,
    /// Calls that the provider got while its share was zero, by second.
    pub probes: Vec<u32>,
}

impl Outcome {
    /// Returns the ratio of calls that the backup got.
    pub fn on_backup(&self) -> f64 {
        1.0 - self.attempts as f64 / self.calls.max(1) as f64
    }
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    Comes,
    IsLate { environment: usize, ticket: Ticket },
    IsSlow { environment: usize, ticket: Ticket },
    IsDone { environment: usize, ticket: Ticket, result: Result },
    BackupIsDone { environment: usize },
}

/// Returns the account of the call `id`.
pub(crate) fn account(id: u64) -> u32 {
    // Mixed, so that accounts do not take turns; below [`ACCOUNTS`], so it fits.
    ((id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % ACCOUNTS) as u32
}

/// Runs `design` through `settings`, and returns the results.
pub fn run(design: &mut dyn Design, settings: &Settings) -> Outcome {
    let Settings { scenario, rate, environments, seed, faults } = settings;
    let mut rng = SmallRng::seed_from_u64(*seed);
    // Without a valid rate there are no calls.
    let Ok(gaps) = Exp::new(*rate) else { return Outcome::default() };
    let mut plan = Plan::new();
    let mut free: VecDeque<usize> = (0..*environments).collect();
    let mut lately: VecDeque<f64> = VecDeque::new();
    let mut outcome = Outcome::default();
    let mut id = 0;
    // Play events in the order of time; each arrival plans the next one.
    plan.add(gaps.sample(&mut rng), Happening::Comes);
    while let Some((at, happening)) = plan.next() {
        if at > LENGTH {
            break;
        }
        outcome.look(design, at, *scenario);
        match happening {
            Happening::Comes => {
                plan.add(at + gaps.sample(&mut rng), Happening::Comes);
                id += 1;
                // Drop the call if no environment is free, and send it to the backup if the design refuses it.
                let Some(environment) = free.pop_front() else { continue };
                outcome.calls += 1;
                let Some(ticket) = design.admit(at, environment, id) else {
                    plan.add(at + BACKUP, Happening::BackupIsDone { environment });
                    continue;
                };
                // The provider's load is the number of its calls within the last second.
                outcome.attempted(design.share());
                while lately.front().is_some_and(|then| *then < at - 1.0) {
                    lately.pop_front();
                }
                lately.push_back(at);
                // Decide the call's fate, and plan the moments at which the design hears of it.
                let (latency, fails) = scenario.call(at, lately.len() as f64, *rate, &mut rng);
                let latency = latency.min(TIMEOUT);
                let is_error = fails || environment < faults.poisoned;
                let result = Result { is_error, is_slow: latency > SLOW, latency };
                outcome.bad += u64::from(result.is_error || result.is_slow);
                if let Some(after) = design.looks_after().filter(|after| *after < latency) {
                    plan.add(at + after, Happening::IsLate { environment, ticket });
                }
                if result.is_slow {
                    plan.add(at + SLOW, Happening::IsSlow { environment, ticket });
                }
                plan.add(at + latency, Happening::IsDone { environment, ticket, result });
            }
            Happening::IsLate { environment, ticket } => design.late(at, environment, ticket),
            Happening::IsSlow { environment, ticket } => design.slow(at, environment, ticket),
            Happening::IsDone { environment, ticket, result } => {
                design.done(at, environment, ticket, result);
                free.push_back(environment);
            }
            Happening::BackupIsDone { environment } => free.push_back(environment),
        }
    }
    outcome.transitions = design.transitions();
    outcome
}

impl Outcome {
    /// Records the share once a second.
    fn look(&mut self, design: &dyn Design, at: f64, scenario: Scenario) {
        while (self.shares.len() as f64) <= at {
            let (second, share) = (self.shares.len() as f64, design.share());
            self.shares.push(share);
            self.probes.push(0);
            if second >= FALLS_ILL && share < 0.1 {
                self.reduced_after.get_or_insert(second - FALLS_ILL);
            }
            if second >= scenario.is_well_from() && share >= 1.0 {
                self.whole_after.get_or_insert(second - scenario.is_well_from());
            }
        }
    }

    fn attempted(&mut self, share: f64) {
        self.attempts += 1;
        if share == 0.0
            && let Some(probes) = self.probes.last_mut()
        {
            *probes += 1;
        }
    }
}
