//! Overrides of limits, as they are shown.

use levee::clock::Timestamp;
use levee::limits::{Mode, Override, Overrides};
use serde::Serialize;

use crate::output::{NOTHING, moment, table};
use crate::place::Whose;

/// Override of one policy in one place.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LimitView {
    /// Place, in the form that commands take.
    place: String,
    policy: String,
    limit: Option<u64>,
    exempt: bool,
    mode: Option<Mode>,
    until: Option<String>,
    /// True if the override has expired.
    over: bool,
}

impl LimitView {
    pub(crate) const HEADERS: &[&str] = &["PLACE", "POLICY", "LIMIT", "MODE", "UNTIL"];

    pub(crate) fn new(whose: &Whose, policy: &str, change: &Override, now: Timestamp) -> Self {
        Self {
            place: whose.to_string(),
            policy: policy.to_owned(),
            limit: change.limit,
            exempt: change.exempt,
            mode: change.mode,
            until: moment(change.until),
            over: !change.is_live(now),
        }
    }

    /// Creates the views of all overrides in one place.
    pub(crate) fn all(whose: &Whose, changes: &Overrides, now: Timestamp) -> Vec<Self> {
        changes.iter().map(|(policy, change)| Self::new(whose, policy, change, now)).collect()
    }

    pub(crate) fn row(&self) -> Vec<String> {
        let [limit, mode, until] = self.values();
        vec![self.place.clone(), self.policy.clone(), limit, mode, until]
    }

    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let [limit, mode, until] = self.values();
        let (place, policy) = (self.place.clone(), self.policy.clone());
        vec![("place", place), ("policy", policy), ("limit", limit), ("mode", mode), ("until", until)]
    }

    fn values(&self) -> [String; 3] {
        let over = if self.over { " (over)" } else { "" };
        let until = self.until.as_ref().map_or_else(|| NOTHING.to_owned(), |until| format!("{until}{over}"));
        [limit_text(self.exempt, self.limit), mode_name(self.mode).to_owned(), until]
    }

    /// Formats a table of overrides, set off from the text above it; empty if there are none.
    pub(crate) fn below<'a>(views: impl IntoIterator<Item = &'a Self>) -> String {
        let rows: Vec<_> = views.into_iter().map(Self::row).collect();
        if rows.is_empty() { String::new() } else { format!("\n{}", table(Self::HEADERS, &rows)) }
    }
}

/// Formats a limit: a number, an exemption, or [`NOTHING`] if the override leaves it unchanged.
pub(crate) fn limit_text(exempt: bool, limit: Option<u64>) -> String {
    match limit {
        _ if exempt => "exempt".to_owned(),
        Some(limit) => limit.to_string(),
        None => NOTHING.to_owned(),
    }
}

/// Returns the name of a mode, in the form of an argument.
pub(crate) fn mode_name(mode: Option<Mode>) -> &'static str {
    match mode {
        Some(Mode::Enforce) => "enforce",
        Some(Mode::Warn) => "warn",
        Some(Mode::Shadow) => "shadow",
        None => NOTHING,
    }
}
