//! The faults of several providers over time.

use std::ops::Range;

use super::fleet::Goodput;

/// Time, in seconds, after which a healthy provider is expected to serve all calls.
pub const GRACE: f64 = 3.0;
/// Target for Levee: smallest goodput, 0 to 1.
pub const LEAST: f64 = 0.995;
/// Target for Levee: smallest used part of a limited provider's capacity, 0 to 1.
pub const LEAST_OF_CAPACITY: f64 = 0.9;
/// Target for Levee: largest number of attempts at a limited provider for each call that it can serve.
pub const MOST_ASKED: f64 = 1.3;
/// Smallest capacity that [`MOST_ASKED`] applies to, in calls a second. One call a second is sent in any case.
const ASKED_FROM: f64 = 1.0;
/// Duration of a run, in seconds.
pub(super) const LENGTH: f64 = 420.0;
/// Earliest start of the measured time, in seconds. All fleets are warm by then.
const MEASURED_FROM: f64 = 60.0;
/// End of the first phase of faults, in which all providers are out, in seconds.
pub(super) const BACK: f64 = 180.0;
/// Part of all calls that a provider with limited capacity can serve.
const PART: f64 = 0.3;
/// Duration of each phase of a flapping provider, failing or serving, in seconds.
const FLAP: f64 = 20.0;

/// Faults of all providers in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// All providers fail. The last one is back after 120 s, and each other one 20 s after its successor in the list.
    AllOut,
    /// The backup fails and is coming back as the first provider fails too. A third one is out all the time.
    WhileRamping,
    /// Each provider alternates between failing for 20 s and serving for 20 s, shifted against the others.
    Flapping,
    /// All providers fail for 120 s. Then the first one serves 30 % of all calls and refuses the rest; the others
    /// stay out.
    Limited,
    /// All providers are well, but fail at every call of one account of ten.
    Poison,
    /// [`Scene::AllOut`] with the failing account of [`Scene::Poison`].
    PoisonedOutage,
}

/// Condition of a provider at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Condition {
    Well,
    Out,
    /// It serves this many calls a second.
    Limited(f64),
}

impl Scene {
    /// All scenes.
    pub const ALL: [Self; 6] =
        [Self::AllOut, Self::WhileRamping, Self::Flapping, Self::Limited, Self::Poison, Self::PoisonedOutage];

    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllOut => "all out and back",
            Self::WhileRamping => "primary fails while the backup ramps",
            Self::Flapping => "all flapping",
            Self::Limited => "back at 30 % of its capacity",
            Self::Poison => "one account's poison calls",
            Self::PoisonedOutage => "all out and back, with poison calls",
        }
    }

    /// Returns true if the scene makes sense with this number of providers.
    pub fn is_for(self, providers: usize) -> bool {
        self != Self::WhileRamping || providers > 1
    }

    /// Returns the seconds of a run in which calls are counted: during and after the faults, so that a long healthy
    /// time does not hide refused calls.
    pub(super) fn measured(self) -> Range<f64> {
        match self {
            Self::AllOut | Self::PoisonedOutage => BACK..BACK + 60.0,
            Self::WhileRamping => 150.0..240.0,
            Self::Flapping | Self::Poison => MEASURED_FROM..300.0,
            Self::Limited => BACK + GRACE..BACK + 120.0,
        }
    }

    /// Returns the condition of the provider `index` of `providers` at `at`, at `rate` calls a second in all.
    pub(super) fn condition(self, index: usize, providers: usize, at: f64, rate: f64) -> Condition {
        let is_out = match self {
            Self::AllOut | Self::PoisonedOutage => {
                let back = BACK + 20.0 * (providers - 1 - index) as f64;
                (60.0..back).contains(&at)
            }
            Self::WhileRamping => match index {
                0 => (60.0..100.0).contains(&at) || (150.0..240.0).contains(&at),
                1 => (80.0..120.0).contains(&at),
                _ => at >= 60.0,
            },
            Self::Flapping => {
                let phase = 2.0 * FLAP * index as f64 / providers as f64;
                at >= MEASURED_FROM && (at - phase).rem_euclid(2.0 * FLAP) < FLAP
            }
            Self::Limited if index == 0 && at >= BACK => return Condition::Limited(rate * PART),
            Self::Limited => at >= 60.0,
            Self::Poison => false,
        };
        if is_out { Condition::Out } else { Condition::Well }
    }

    /// Returns the calls a second that can be served at all, if that is only a part of `rate`.
    pub fn capacity(self, rate: f64) -> Option<f64> {
        (self == Self::Limited).then_some(rate * PART)
    }

    /// Returns a description of the target that `goodput` misses at `rate` calls a second, if any.
    pub fn miss(self, rate: f64, goodput: &Goodput) -> Option<String> {
        let capacity = self.capacity(rate);
        let least = if capacity.is_some() { LEAST_OF_CAPACITY } else { LEAST };
        if goodput.ratio() < least {
            return Some(format!("{:.2} % served", goodput.ratio() * 100.0));
        }
        let is_over = capacity.is_some_and(|capacity| capacity >= ASKED_FROM) && goodput.asked() > MOST_ASKED;
        is_over.then(|| format!("asked {:.2} times the capacity", goodput.asked()))
    }

    /// Returns true if the provider `index` has been well for [`GRACE`] seconds at `at`.
    pub(super) fn is_surely_well(self, index: usize, providers: usize, at: f64) -> bool {
        // No condition changes twice within that time, so both ends are enough.
        [at - GRACE, at].iter().all(|at| self.condition(index, providers, *at, 0.0) == Condition::Well)
    }

    /// Returns true if every provider fails at each call of `account`.
    pub(super) fn poisons(self, account: u32) -> bool {
        matches!(self, Self::Poison | Self::PoisonedOutage) && account == 0
    }
}
