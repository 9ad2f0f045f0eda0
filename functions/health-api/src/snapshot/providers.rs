//! The AI providers and their recent errors.

use std::time::Duration;

use levee::breadcrumbs::{Breadcrumb, Severity};
use levee::clock::Timestamp;
use levee::headroom::Headroom;
use serde::Serialize;

use super::Moment;
use crate::breakers::BreakerReport;

/// Period within which errors count.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// State and recent errors of one provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderReport {
    /// State of its breaker. If that could not be read, only its name is known.
    #[serde(flatten)]
    pub breaker: BreakerReport,
    /// Number of errors within the last hour; `None` if they could not be read.
    pub errors_last_hour: Option<u64>,
    /// Moment of the last of them.
    pub last_error_at: Option<Moment>,
    /// Remainder of the platform's rate limits; `None` if no answer of the last two minutes reported it.
    pub headroom: Option<Headroom>,
}

/// Returns a report on each of the providers `names`, from their breakers, the newest breadcrumbs and the remainder of
/// the platform's rate limits at each.
pub(super) fn judge(
    names: &[String],
    breakers: Option<Vec<BreakerReport>>,
    recent: Option<&[Breadcrumb]>,
    headrooms: Option<&[Option<Headroom>]>,
    now: Timestamp,
) -> Vec<ProviderReport> {
    let is_error = |it: &Breadcrumb| it.severity == Severity::Error;
    let is_recent = |it: &Breadcrumb| Timestamp::from_millis(it.last_at).plus(HOUR) >= now;
    let headroom_of = |name: &str| {
        let at = names.iter().position(|it| it == name)?;
        *headrooms?.get(at)?
    };
    // Count the errors of the last hour that name this provider.
    let report = |breaker: BreakerReport| {
        let is_own =
            |it: &&Breadcrumb| it.connection.as_deref() == Some(breaker.name.as_str()) && is_error(it) && is_recent(it);
        let own = || recent.unwrap_or_default().iter().filter(is_own);
        ProviderReport {
            errors_last_hour: recent.map(|_| own().map(|error| error.count).sum()),
            last_error_at: own().map(|error| Moment(Timestamp::from_millis(error.last_at))).max(),
            headroom: headroom_of(&breaker.name),
            breaker,
        }
    };
    let unread = || names.iter().map(|name| BreakerReport::unread(name)).collect();
    breakers.unwrap_or_else(unread).into_iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn error(connection: Option<&str>, secs_ago: u64, count: u64) -> Breadcrumb {
        Breadcrumb {
            first_at: 0,
            last_at: NOW.as_millis() - secs_ago * 1000,
            function: "ai-proxy".to_owned(),
            severity: Severity::Error,
            code: "provider.cut".to_owned(),
            message: String::new(),
            request_id: None,
            more_request_ids: Vec::new(),
            account: None,
            connection: connection.map(str::to_owned),
            count,
        }
    }

    #[test]
    fn each_provider_has_its_own_errors_of_the_last_hour() {
        let names = ["primary".to_owned(), "backup".to_owned()];
        let recent = [error(None, 1, 1), error(Some("primary"), 2, 3), error(Some("primary"), 3_600, 1)];
        let warning = Breadcrumb { severity: Severity::Warning, ..error(Some("backup"), 1, 1) };
        let recent = [&recent[..], &[warning, error(Some("primary"), 3_601, 9)]].concat();
        let headroom = Headroom { requests_left: Some(7), ..Headroom::default() };
        let reports = judge(&names, None, Some(&recent), Some(&[None, Some(headroom)]), NOW);
        assert_eq!((reports[0].headroom, reports[1].headroom), (None, Some(headroom)));
        assert_eq!((reports[0].breaker.name.as_str(), reports[0].breaker.mode), ("primary", None));
        assert_eq!((reports[0].errors_last_hour, reports[1].errors_last_hour), (Some(4), Some(0)));
        assert_eq!(reports[0].last_error_at, Some(Moment(Timestamp::from_secs(NOW.as_secs() - 2))));
        assert_eq!(judge(&names, None, None, None, NOW)[0].errors_last_hour, None);
    }
}
