//! A group as the board shows it, on pages and as JSON.

use levee::clock::Timestamp;
use levee::csp::GroupRow;
use serde::Serialize;

use crate::snapshot::Moment;

/// A group as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct GroupReport {
    /// Project and group, as the addresses of the board name it.
    pub key: String,
    pub class: &'static str,
    pub directive: &'static str,
    pub blocked: String,
    pub page: String,
    pub state: &'static str,
    pub reports: u64,
    /// Networks with reports on the last day that had any.
    pub networks: u64,
    pub first_seen: Moment,
    pub last_seen: Moment,
}

impl GroupReport {
    pub(super) fn new(row: &GroupRow) -> Self {
        let many = |text: &str| if row.group().is_overflow() { "many".to_owned() } else { text.to_owned() };
        Self {
            key: format!("{}.{}", row.project, row.id),
            class: row.class.name(),
            directive: row.directive.name(),
            blocked: many(&row.blocked),
            page: many(&row.document),
            state: row.state.name(),
            reports: row.total,
            networks: row.reach,
            first_seen: Moment(Timestamp::from_secs(row.first_seen)),
            last_seen: Moment(Timestamp::from_secs(row.last_seen)),
        }
    }

    /// Returns a title in one line.
    pub(super) fn title(&self) -> String {
        match self.page.as_str() {
            "" => format!("{} of {}", self.directive, self.blocked),
            page => format!("{} of {} on {page}", self.directive, self.blocked),
        }
    }
}
