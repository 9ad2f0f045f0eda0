//! The decision about a provider: mode, share, reason and override.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Share of all calls in basis points, 0 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share(u16);

impl Share {
    /// No calls.
    pub const NONE: Self = Self(0);
    /// All calls.
    pub const ALL: Self = Self(10_000);
    /// Steps by which a share comes back.
    pub const LADDER: [Self; 5] = [Self(500), Self(1_000), Self(2_500), Self(5_000), Self::ALL];

    /// Returns a share of `basis_points`, capped at [`Share::ALL`].
    pub const fn from_basis_points(basis_points: u16) -> Self {
        if basis_points > Self::ALL.0 { Self::ALL } else { Self(basis_points) }
    }

    /// Returns the share in basis points.
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// Returns the share of good results if `bad` of `results` were bad.
    pub fn without(bad: u32, results: u32) -> Self {
        let good = u64::from(results.saturating_sub(bad)) * u64::from(Self::ALL.0) / u64::from(results.max(1));
        // It is at most 10,000, so it fits.
        Self::from_basis_points(u16::try_from(good).unwrap_or(0))
    }

    /// Returns the share in percent, 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Divides the share by `parts`, rounding down.
    #[must_use]
    pub const fn part(self, parts: u16) -> Self {
        Self(self.0 / parts)
    }

    /// Returns the next step of [`Share::LADDER`] above this share.
    #[must_use]
    pub fn next(self) -> Self {
        Self::LADDER.into_iter().find(|step| *step > self).unwrap_or(Self::ALL)
    }
}

/// Mode of a provider's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The provider gets all calls.
    Closed,
    /// The provider gets a part of the calls, less than before.
    Shed,
    /// The provider gets no calls until a deadline.
    Open,
    /// Half-open: the provider gets single calls.
    Probe,
    /// The provider gets a part of the calls, more than before.
    Ramp,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.percent())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Shed => "shed",
            Self::Open => "open",
            Self::Probe => "probe",
            Self::Ramp => "ramp",
        })
    }
}

/// Reason for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No decision has been made yet.
    Fresh,
    /// Most results are bad.
    Failing,
    /// The error rate is above the normal one.
    Erring,
    /// Most calls are late, which means slower than 19 of 20 calls in health.
    Stalling,
    /// The rate of late calls is above the normal one.
    Slowing,
    /// The provider rate-limits the platform.
    Throttled,
    /// The platform's budget at the provider is spent.
    Spent,
    /// A pause has ended.
    Paused,
    /// Probes, or calls that no other provider could take, went well.
    Recovered,
    /// Probes went badly.
    StillFailing,
    /// Results were good under the present share, or none was bad for long enough.
    Clean,
    /// An admin set or released an override, or an override expired.
    Forced,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "fresh",
            Self::Failing => "failing",
            Self::Erring => "erring",
            Self::Stalling => "stalling",
            Self::Slowing => "slowing",
            Self::Throttled => "throttled",
            Self::Spent => "spent",
            Self::Paused => "paused",
            Self::Recovered => "recovered",
            Self::StillFailing => "still-failing",
            Self::Clean => "clean",
            Self::Forced => "forced",
        })
    }
}

/// Override by an admin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// Share that the provider gets, whatever the evidence says.
    pub share: Share,
    /// End of the override.
    pub until: Timestamp,
    /// Admin who set the override.
    pub by: String,
}

/// Number of recent openings of a provider's circuit. It grows by one with each opening and decays exponentially.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Penalty {
    points: f64,
    at: Timestamp,
}

impl Penalty {
    /// No openings.
    pub const NONE: Self = Self { points: 0.0, at: Timestamp::from_millis(0) };

    /// Returns the value at `now`, after decay.
    pub fn at(self, now: Timestamp, half_life: Duration) -> f64 {
        self.points * 0.5f64.powf(self.at.until(now).as_secs_f64() / half_life.as_secs_f64())
    }

    /// Returns the penalty after one more opening at `now`.
    #[must_use]
    pub fn raised(self, now: Timestamp, half_life: Duration) -> Self {
        Self { points: self.at(now, half_life) + 1.0, at: now }
    }
}

/// Decision about a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakerState {
    /// Number of the decision. It rises with every decision; results of calls that were let through under an earlier
    /// one are ignored.
    pub generation: u64,
    /// Mode of the breaker.
    pub mode: Mode,
    /// Share of the calls that the provider gets.
    pub share: Share,
    /// Time of the decision.
    pub since: Timestamp,
    /// Earliest time at which the share may rise or probes may start.
    pub not_before: Timestamp,
    /// Consecutive rounds of probes that failed.
    pub failed_rounds: u32,
    /// Recent openings.
    pub penalty: Penalty,
    /// Reason for the decision.
    pub reason: Reason,
    /// Share of good results in the evidence of the last decision for the worse. [`Share::ALL`] if there was none
    /// since the breaker was closed last.
    pub health: Share,
    /// Override by an admin. It takes precedence over all evidence.
    pub forced: Option<Forced>,
    /// Generation in which an admin last set or released an override; 0 if none ever did. It shows which of two
    /// decisions takes the override into account.
    #[serde(default)]
    pub word: u64,
}

impl BreakerState {
    /// Returns the decision about a provider without history: closed, with all calls.
    pub fn new() -> Self {
        Self {
            generation: 0,
            mode: Mode::Closed,
            share: Share::ALL,
            since: Timestamp::from_millis(0),
            not_before: Timestamp::from_millis(0),
            failed_rounds: 0,
            penalty: Penalty::NONE,
            reason: Reason::Fresh,
            health: Share::ALL,
            forced: None,
            word: 0,
        }
    }

    /// Returns the admin's override while it is in force.
    pub fn forced_at(&self, now: Timestamp) -> Option<&Forced> {
        self.forced.as_ref().filter(|forced| now < forced.until)
    }

    /// Returns the time of the next probe while the circuit is open and that time is still to come.
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        let is_paused = self.mode == Mode::Open && now < self.not_before;
        is_paused.then_some(self.not_before)
    }
}

impl Default for BreakerState {
    fn default() -> Self {
        Self::new()
    }
}
