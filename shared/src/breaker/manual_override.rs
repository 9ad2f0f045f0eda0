//! Overrides by admins: a provider gets a fixed share of the calls until a deadline, or is left to its breaker again.
//!
//! An override is a decision like any other. It is written to DynamoDB alone, on top of the decision that holds.
//! Environments notice it at their next comparison of Redis with DynamoDB. One of them makes it at a report, or else
//! at the start of a call, at most 5 s after the last one.

use std::time::Duration;

use super::config::BreakerConfig;
use super::state::{BreakerState, Share};
use super::table::{BreakersTable, BreakersTableError, Wrote};
use super::transition::{Grounds, Transition};
use super::{force, release};
use crate::clock::Timestamp;

/// Longest time for which an override holds.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Time within which an override is in force everywhere, while calls are made and Redis is available.
pub const IN_FORCE_WITHIN: Duration = Duration::from_secs(5);
/// Attempts to write an override while other decisions are written in between.
const TRIES: usize = 5;

/// Override of a provider's breaker by an admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManualOverride {
    /// The provider gets `share` of the calls for `lasts`.
    Hold {
        /// Share of the calls.
        share: Share,
        /// Duration of the override. Callers limit it to [`LONGEST`].
        lasts: Duration,
    },
    /// The breaker decides again.
    Release,
}

/// Reason why an override was not written.
#[derive(Debug, thiserror::Error)]
pub enum OverrideError {
    /// There is no override to release.
    #[error("there is no override for this provider: its breaker decides")]
    NotHeld,
    /// Other decisions were written in between at every attempt.
    #[error("other decisions about this provider are being written at this moment; try again")]
    Overtaken,
    /// The table cannot be read or written.
    #[error(transparent)]
    Table(#[from] BreakersTableError),
}

/// Writes the override `word` of the admin `by` for `provider` at `now`, retrying if other decisions are written at
/// the same time.
///
/// # Errors
/// Returns [`OverrideError`]. Nothing was changed then, unless the table could not tell if it was.
pub async fn apply(
    table: &BreakersTable,
    provider: &str,
    word: ManualOverride,
    by: &str,
    now: Timestamp,
) -> Result<Transition, OverrideError> {
    // Build on the decision that holds. If another one was written first, build on that one.
    let mut state = table.read(provider).await?;
    for _ in 0..TRIES {
        let next = word.after(&state, by, now).ok_or(OverrideError::NotHeld)?;
        let transition = Transition::new(provider, &state, next, Grounds::default(), by);
        match table.write(&transition, &state).await {
            Ok(Wrote::Now) => return Ok(transition),
            Ok(Wrote::Lost(winner)) => state = *winner,
            // The write may have been applied although its answer was lost: read the decision that holds.
            Err(error) => {
                let held = table.read(provider).await;
                return if held.is_ok_and(|held| held == transition.to) { Ok(transition) } else { Err(error.into()) };
            }
        }
    }
    Err(OverrideError::Overtaken)
}

impl ManualOverride {
    /// Returns the decision that the override makes of `state`, or `None` if it changes nothing.
    fn after(self, state: &BreakerState, by: &str, now: Timestamp) -> Option<BreakerState> {
        match self {
            Self::Hold { share, lasts } => Some(force(state, share, now.plus(lasts), by, now)),
            Self::Release => release(state, now, &BreakerConfig::default()),
        }
    }
}

/// Parses a share given in percent, in steps of 0.01. 0 and 100 are refused: these are forced, not pinned.
///
/// # Errors
/// Returns the mistake as a sentence.
pub fn share(text: &str) -> Result<Share, &'static str> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let mistake = "a share is a percentage from 0.01 to 99.99 with at most two decimals";
    if !is_number(whole) || !is_number(fraction) {
        return Err(mistake);
    }
    let basis_points: Option<u16> = format!("{whole}{fraction:0<2}").parse().ok();
    basis_points.filter(|it| *it > 0).map(Share::from_basis_points).ok_or(mistake)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::state::Mode;

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

    #[test]
    fn a_word_holds_until_its_end_and_only_what_is_held_is_released() {
        let lasts = Duration::from_secs(1800);
        let held =
            ManualOverride::Hold { share: Share::NONE, lasts }.after(&BreakerState::new(), "cli:ada", NOW).unwrap();
        let forced = held.forced.clone().unwrap();
        assert_eq!((held.mode, held.generation, forced.until), (Mode::Open, 1, NOW.plus(lasts)));
        assert_eq!(forced.by, "cli:ada");
        let released = ManualOverride::Release.after(&held, "cli:bob", NOW).unwrap();
        assert_eq!((released.generation, released.forced.is_none()), (2, true));
        assert_eq!(ManualOverride::Release.after(&released, "cli:bob", NOW), None);
    }

    #[test]
    fn a_pinned_share_is_a_percentage_between_none_and_all() {
        for (text, basis_points) in [("25", 2_500), ("0.01", 1), ("99.99", 9_999), ("5.5", 550), ("05", 500)] {
            assert_eq!(share(text).map(Share::basis_points), Ok(basis_points), "{text}");
        }
        for text in [
            "",
            " ",
            "0",
            "00",
            "0.0",
            "0.00",
            "100",
            "100.00",
            "99.999",
            "0.001",
            "-1",
            "-0.5",
            "+1",
            "1e1",
            "1.234",
            ".5",
            "5.",
            ".",
            "..",
            "1.2.3",
            "1..2",
            "25%",
            "25 ",
            " 25",
            "1,5",
            "0x1",
            "NaN",
            "inf",
            "٢٥",
            "２５",
            "5.٥",
            "5\0",
            "18446744073709551616",
        ] {
            assert!(share(text).is_err(), "{text:?}");
        }
    }
}
