//! The illnesses of several providers.

use std::ops::Range;

use super::fleet::Goodput;

/// A provider that has been well for so many seconds is expected to serve whoever comes.
pub const GRACE: f64 = 3.0;
/// The least goodput that Levee is to have, 0 to 1.
pub const LEAST: f64 = 0.995;
/// The least part of a limited provider's capacity that it is to use, 0 to 1.
pub const LEAST_OF_CAPACITY: f64 = 0.9;
/// The most that it is to ask a limited provider, for each call that this can serve.
pub const MOST_ASKED: f64 = 1.3;
/// The least capacity for which [`MOST_ASKED`] says anything, calls a second: one call a second is asked in any case.
const ASKED_FROM: f64 = 1.0;
/// The end of a run, seconds.
pub(super) const LENGTH: f64 = 420.0;
/// The beginning of what is measured, seconds: by then all fleets are warm.
const MEASURED_FROM: f64 = 60.0;
/// The end of a time of illness in which all are out, seconds.
pub(super) const BACK: f64 = 180.0;
/// The part of all calls that a provider can serve that comes back at a part of its capacity.
const PART: f64 = 0.3;
/// Half of the time in which flapping providers fail and serve again, seconds.
const FLAP: f64 = 20.0;

/// A scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// All providers fail for 120 s; the last one of them is well first, the others 20 s apart.
    AllOut,
    /// The backup fails and is on its way back when the first provider fails too. A third one is out all the time.
    WhileRamping,
    /// All providers fail for 20 s and serve for 20 s, one after the other.
    Flapping,
    /// All providers fail for 120 s; then the first one serves 30 % of all calls, and refuses the others. The others stay out.
    Limited,
    /// All providers are well, and all fail at every call of one account of ten.
    Poison,
    /// [`Scene::AllOut`] with the poison calls of [`Scene::Poison`].
    PoisonedOutage,
}

/// A provider's condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Condition {
    Well,
    Out,
    /// It serves so many calls a second.
    Limited(f64),
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::AllOut, Self::WhileRamping, Self::Flapping, Self::Limited, Self::Poison, Self::PoisonedOutage];

    /// The name in tables.
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

    /// Returns whether the scene says anything with so many providers.
    pub fn is_for(self, providers: usize) -> bool {
        self != Self::WhileRamping || providers > 1
    }

    /// The seconds of a run in which calls are counted: those of and after the illness, so that a long time of health does
    /// not hide what was refused.
    pub(super) fn measured(self) -> Range<f64> {
        match self {
            Self::AllOut | Self::PoisonedOutage => BACK..BACK + 60.0,
            Self::WhileRamping => 150.0..240.0,
            Self::Flapping | Self::Poison => MEASURED_FROM..300.0,
            Self::Limited => BACK + GRACE..BACK + 120.0,
        }
    }

    /// The condition of the provider `index` of `providers` at `at`, where there are `rate` calls a second.
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

    /// Returns the calls a second that can be served at all, where that is a part of `rate`.
    pub fn capacity(self, rate: f64) -> Option<f64> {
        (self == Self::Limited).then_some(rate * PART)
    }

    /// Returns what `goodput`, at `rate` calls a second, misses of the targets, if anything.
    pub fn miss(self, rate: f64, goodput: &Goodput) -> Option<String> {
        let capacity = self.capacity(rate);
        let least = if capacity.is_some() { LEAST_OF_CAPACITY } else { LEAST };
        if goodput.ratio() < least {
            return Some(format!("{:.2} % served", goodput.ratio() * 100.0));
        }
        let is_over = capacity.is_some_and(|capacity| capacity >= ASKED_FROM) && goodput.asked() > MOST_ASKED;
        is_over.then(|| format!("asked {:.2} times the capacity", goodput.asked()))
    }

    /// Returns whether the provider `index` has been well for [`GRACE`] seconds at `at`.
    pub(super) fn is_surely_well(self, index: usize, providers: usize, at: f64) -> bool {
        // No condition changes twice within so short a time.
        [at - GRACE, at].iter().all(|at| self.condition(index, providers, *at, 0.0) == Condition::Well)
    }

    /// Returns whether every provider fails at each call of `account`.
    pub(super) fn poisons(self, account: u32) -> bool {
        matches!(self, Self::Poison | Self::PoisonedOutage) && account == 0
    }
}
