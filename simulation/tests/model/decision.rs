//! Decisions made by the breaker itself, hashable for the model checker.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use levee_core::breaker::{BreakerConfig, BreakerState, Evidence, Forced, SecondBucket, Share, force, release, step};
use levee_core::clock::Timestamp;

/// Time of the first decision, in Unix seconds.
const BEGINNING: u64 = 1_795_310_000;
/// Time between decisions, in seconds. It is longer than all pauses and dwells.
const BETWEEN: u64 = 1_000;
/// Duration of an override, in seconds. It is longer than all decisions of a run take.
const LASTS: u64 = 1_000_000;

/// Decision about a provider. Different decisions have different hashes.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision(pub BreakerState);

impl Eq for Decision {}

impl Hash for Decision {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let BreakerState {
            generation,
            mode,
            share,
            since,
            not_before,
            failed_rounds,
            penalty,
            reason,
            health,
            forced,
            word,
        } = &self.0;
        let points = |secs| penalty.at(Timestamp::from_secs(secs), Duration::from_secs(300)).to_bits();
        (generation, *mode as u8, share.basis_points(), since, not_before, failed_rounds).hash(hasher);
        (points(0), points(2 * BEGINNING), *reason as u8, health.basis_points()).hash(hasher);
        word.hash(hasher);
        forced.as_ref().map(|Forced { share, until, .. }| (share.basis_points(), until)).hash(hasher);
    }
}

/// Results of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum News {
    /// All failed.
    Bad,
    /// All went well.
    Good,
}

/// Override by an admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// No calls.
    Open,
    /// All calls.
    Closed,
    /// Ends the override.
    Release,
}

impl Decision {
    /// Returns the decision about a provider without history.
    pub fn fresh() -> Self {
        Self(BreakerState::new())
    }

    /// Returns the generation.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// Returns the next decision at `now`, or `None` if this one stays.
    pub fn next(&self, news: News, now: Timestamp) -> Option<Self> {
        let second = |ago| match news {
            News::Bad => SecondBucket { at: now.as_secs() - ago, bad: 5, ..SecondBucket::default() },
            News::Good => SecondBucket { at: now.as_secs() - ago, good: 5, on_time: 5, ..SecondBucket::default() },
        };
        let seconds = [4, 3, 2, 1].map(second).to_vec();
        let evidence =
            Evidence { seconds, rate: 5.0, environments: 9, troubled_environments: 9, ..Evidence::default() };
        step(&self.0, &evidence, now, 0.5, &BreakerConfig::default()).map(Self)
    }

    /// Returns the decision that an admin's `word` makes of this one at `now`.
    pub fn told(&self, word: Word, now: Timestamp) -> Option<Self> {
        let until = Timestamp::from_secs(BEGINNING + LASTS);
        let forced = |share| Some(force(&self.0, share, until, "ada", now));
        match word {
            Word::Open => forced(Share::NONE),
            Word::Closed => forced(Share::ALL),
            Word::Release => release(&self.0, now, &BreakerConfig::default()),
        }
        .map(Self)
    }
}

/// Returns the time of the decision number `ticks`, during the override or after it `is_over`. Each decision has a
/// time of its own.
pub fn moment(ticks: u64, is_over: bool) -> Timestamp {
    let over = if is_over { 2 * LASTS } else { 0 };
    Timestamp::from_secs(BEGINNING + over + BETWEEN * ticks)
}
