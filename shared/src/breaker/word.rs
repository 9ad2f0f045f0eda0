//! What an admin says about a provider: it gets a share of the calls until some moment, whatever happens, or is left to its
//! breaker again.
//!
//! It is a decision as any other: written to DynamoDB alone, after the one that holds. Environments notice it when they next
//! compare what Redis has with that, which one of them does at a report, or else when a call begins, at most 5 s after the last
//! time.

use std::time::Duration;

use super::config::BreakerConfig;
use super::state::{Share, State};
use super::table::{BreakersTable, TableError, Wrote};
use super::transition::{Grounds, Transition};
use super::{force, release};
use crate::clock::Timestamp;

/// The longest time for which an admin's word holds.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How soon it is in force everywhere, while calls are made and Redis can be asked.
pub const IN_FORCE_WITHIN: Duration = Duration::from_secs(5);
/// How often it is tried where others decide in between.
const TRIES: usize = 5;

/// What an admin says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The provider gets `share` of the calls for `lasts`.
    Hold {
        /// The share.
        share: Share,
        /// How long; callers keep it to [`LONGEST`].
        lasts: Duration,
    },
    /// The breaker decides again.
    Release,
}

/// Why what was said does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Unsaid {
    /// There is nothing to take back.
    #[error("nobody holds this provider: its breaker decides")]
    NotHeld,
    /// Others decided again and again meanwhile.
    #[error("others decide about this provider at this moment; try again")]
    Overtaken,
    /// The table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Makes `word` of the admin `by` hold for `provider` from `now` on, whatever others decide at the same time.
///
/// # Errors
/// [`Unsaid`]; nothing was changed then, unless the table could not say whether it was.
pub async fn say(
    table: &BreakersTable,
    provider: &str,
    word: Word,
    by: &str,
    now: Timestamp,
) -> Result<Transition, Unsaid> {
    let mut state = table.read(provider).await?;
    for _ in 0..TRIES {
        let next = word.after(&state, by, now).ok_or(Unsaid::NotHeld)?;
        let transition = Transition::new(provider, &state, next, Grounds::default(), by);
        match table.write(&transition, &state).await? {
            Wrote::Now => return Ok(transition),
            Wrote::Lost(winner) => state = *winner,
        }
    }
    Err(Unsaid::Overtaken)
}

impl Word {
    /// The decision that it makes of `state`; `None` where it makes none.
    fn after(self, state: &State, by: &str, now: Timestamp) -> Option<State> {
        match self {
            Self::Hold { share, lasts } => Some(force(state, share, now.plus(lasts), by, now)),
            Self::Release => release(state, now, &BreakerConfig::default()),
        }
    }
}

/// The share that `text` gives in percent, in steps of 0.01: more than none and less than all, which are forced, not pinned.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn share(text: &str) -> Result<Share, &'static str> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let mistake = "a share is a percentage from 0.01 to 99.99 with at most two decimals";
    if !is_number(whole) || !is_number(fraction) {
        return Err(mistake);
    }
    let basis_points: Option<u16> = format!("{whole}{fraction:0<2}").parse().ok();
    basis_points.filter(|it| *it > 0).map(Share::of).ok_or(mistake)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::state::Mode;

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

    #[test]
    fn a_word_holds_until_its_end_and_only_what_is_held_is_released() {
        let lasts = Duration::from_secs(1800);
        let held = Word::Hold { share: Share::NONE, lasts }.after(&State::new(), "cli:ada", NOW).unwrap();
        let forced = held.forced.clone().unwrap();
        assert_eq!((held.mode, held.generation, forced.until), (Mode::Open, 1, NOW.plus(lasts)));
        assert_eq!(forced.by, "cli:ada");
        let released = Word::Release.after(&held, "cli:bob", NOW).unwrap();
        assert_eq!((released.generation, released.forced.is_none()), (2, true));
        assert_eq!(Word::Release.after(&released, "cli:bob", NOW), None);
    }

    #[test]
    fn a_pinned_share_is_a_percentage_between_none_and_all() {
        for (text, basis_points) in [("25", 2_500), ("0.01", 1), ("99.99", 9_999), ("5.5", 550), ("05", 500)] {
            assert_eq!(share(text).map(Share::basis_points), Ok(basis_points), "{text}");
        }
        for text in ["", "0", "0.00", "100", "-1", "+1", "1e1", "1.234", ".5", "5.", "25%", "1,5"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
