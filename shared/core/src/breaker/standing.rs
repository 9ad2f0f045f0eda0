//! A provider's position, as a call that begins finds it.

use std::time::Duration;

use super::state::State;
use crate::clock::Timestamp;

/// The greatest age of a served call that shows that a provider works.
pub const SERVED_LATELY: Duration = Duration::from_secs(10);

/// Where a provider stands for one call.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What is decided.
    pub state: State,
    /// AI calls a second to whatever provider, as far as that is known.
    pub rate: f64,
    /// When 19 of 20 such calls were back, or had their first content; `None` while too few are known.
    pub late_after: Option<Duration>,
    /// How long the first content of streams lately took.
    pub first_content: Option<Duration>,
    /// Whether environments share what they see at this moment. If not, nobody decides anything.
    pub is_shared: bool,
    /// Whether this environment keeps away from it.
    pub is_away: bool,
    /// True if it lately had room for all calls, however small its share is.
    pub has_room: bool,
    /// That it asks to be left alone, and has served nothing since.
    pub pause: Option<Pause>,
    /// True if it served another account's call within [`SERVED_LATELY`].
    pub served_another: bool,
    /// The moment for which this holds.
    pub now: Timestamp,
}

/// A provider's wish to be left alone for a time (`Retry-After`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The moment from which it wants to be asked again.
    pub until: Timestamp,
    /// True if it is to be asked all the same now, to find out if it still says so.
    pub is_probe_due: bool,
    /// True if this account may ask it where nobody else is left: it has told other accounts so, not this one.
    pub may_ask: bool,
}
