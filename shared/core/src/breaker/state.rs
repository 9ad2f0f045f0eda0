//! What is decided about a provider.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A share of all calls in basis points: 10,000 are all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share(u16);

impl Share {
    /// No calls.
    pub const NONE: Self = Self(0);
    /// All calls.
    pub const ALL: Self = Self(10_000);
    /// The steps by which a share comes back.
    pub const LADDER: [Self; 5] = [Self(500), Self(1_000), Self(2_500), Self(5_000), Self::ALL];

    /// So many basis points; more than all are all.
    pub const fn of(basis_points: u16) -> Self {
        if basis_points > Self::ALL.0 { Self::ALL } else { Self(basis_points) }
    }

    /// Basis points.
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// What is left of all where `bad` of `results` went badly.
    pub fn without(bad: u32, results: u32) -> Self {
        let good = u64::from(results.saturating_sub(bad)) * u64::from(Self::ALL.0) / u64::from(results.max(1));
        // At most all, so it fits.
        Self::of(u16::try_from(good).unwrap_or(0))
    }

    /// Returns the share in percent, 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// One part of `parts` of it.
    #[must_use]
    pub const fn part(self, parts: u16) -> Self {
        Self(self.0 / parts)
    }

    /// The next step above it.
    #[must_use]
    pub fn next(self) -> Self {
        Self::LADDER.into_iter().find(|step| *step > self).unwrap_or(Self::ALL)
    }
}

/// Where a provider stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It gets all calls.
    Closed,
    /// It gets a part: fewer than before.
    Shed,
    /// It gets none until some moment.
    Open,
    /// It gets single calls.
    Probe,
    /// It gets a part: more than before.
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

/// Why a decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing has happened yet.
    Fresh,
    /// Most results are bad.
    Failing,
    /// More results are bad than should be.
    Erring,
    /// Most calls take longer than nearly all of them used to.
    Stalling,
    /// More calls take longer than should.
    Slowing,
    /// The provider limits the platform.
    Throttled,
    /// The platform's budget at the provider is spent.
    Spent,
    /// A pause is over.
    Paused,
    /// Probes went well.
    Recovered,
    /// Probes went badly.
    StillFailing,
    /// Everything went well at the present share.
    Clean,
    /// An admin said so, or what an admin said is over.
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

/// What an admin said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// The share that it gets, whatever happens.
    pub share: Share,
    /// Until when.
    pub until: Timestamp,
    /// Who said so.
    pub by: String,
}

/// How often a provider was given up lately: a figure that grows by one each time, and halves with time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Penalty {
    points: f64,
    at: Timestamp,
}

impl Penalty {
    /// None.
    pub const NONE: Self = Self { points: 0.0, at: Timestamp::from_millis(0) };

    /// What is left of it at `now`.
    pub fn at(self, now: Timestamp, half_life: Duration) -> f64 {
        self.points * 0.5f64.powf(self.at.until(now).as_secs_f64() / half_life.as_secs_f64())
    }

    /// One more at `now`.
    #[must_use]
    pub fn raised(self, now: Timestamp, half_life: Duration) -> Self {
        Self { points: self.at(now, half_life) + 1.0, at: now }
    }
}

/// What is decided about a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Rises by one with every decision. Results of calls that were let through under an earlier one are ignored.
    pub generation: u64,
    /// Where it stands.
    pub mode: Mode,
    /// How much of the calls it gets.
    pub share: Share,
    /// Since when.
    pub since: Timestamp,
    /// When its share may rise, or be probed, at the earliest.
    pub not_before: Timestamp,
    /// Rounds of probes that failed, one after the other.
    pub failed_rounds: u32,
    /// How often it was given up lately.
    pub penalty: Penalty,
    /// Why this was decided.
    pub reason: Reason,
    /// How much of the calls went well when too much last went badly; all where nothing did since it was whole.
    pub health: Share,
    /// What an admin said, which goes before all else.
    pub forced: Option<Forced>,
    /// The generation in which an admin said something last; 0 where none ever did. It tells who has heard of it.
    #[serde(default)]
    pub word: u64,
}

impl State {
    /// A provider that nothing is known of.
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

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}
