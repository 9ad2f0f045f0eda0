//! The AI providers, and what went wrong with them lately.

use std::time::Duration;

use levee::breadcrumbs::{Breadcrumb, Severity};
use levee::clock::Timestamp;
use serde::Serialize;

use super::Moment;

/// How far back errors count.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// Which calls a provider gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All calls.
    Serving,
    /// None, while another serves.
    Standby,
}

impl Mode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Standby => "standby",
        }
    }
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderReport {
    /// Its name.
    pub name: String,
    /// Which calls it gets.
    pub mode: Mode,
    /// Errors within the last hour; `None` where they could not be read.
    pub errors_last_hour: Option<u64>,
    /// When the last of them happened.
    pub last_error_at: Option<Moment>,
}

/// The providers of these `names`, given the newest breadcrumbs.
pub(super) fn judge(names: &[String], recent: Option<&[Breadcrumb]>, now: Timestamp) -> Vec<ProviderReport> {
    let is_error = |it: &Breadcrumb| it.severity == Severity::Error;
    let is_recent = |it: &Breadcrumb| Timestamp::from_millis(it.last_at).plus(HOUR) >= now;
    let report = |(place, name): (usize, &String)| {
        let is_own = |it: &&Breadcrumb| it.connection.as_deref() == Some(name) && is_error(it) && is_recent(it);
        let own = || recent.unwrap_or_default().iter().filter(is_own);
        ProviderReport {
            name: name.clone(),
            mode: if place == 0 { Mode::Serving } else { Mode::Standby },
            errors_last_hour: recent.map(|_| own().map(|error| error.count).sum()),
            last_error_at: own().map(|error| Moment(Timestamp::from_millis(error.last_at))).max(),
        }
    };
    names.iter().enumerate().map(report).collect()
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
    fn the_first_provider_serves_and_each_has_its_own_errors_of_the_last_hour() {
        let names = ["primary".to_owned(), "backup".to_owned()];
        let recent = [error(None, 1, 1), error(Some("primary"), 2, 3), error(Some("primary"), 3_600, 1)];
        let warning = Breadcrumb { severity: Severity::Warning, ..error(Some("backup"), 1, 1) };
        let recent = [&recent[..], &[warning, error(Some("primary"), 3_601, 9)]].concat();
        let reports = judge(&names, Some(&recent), NOW);
        assert_eq!((reports[0].mode, reports[1].mode), (Mode::Serving, Mode::Standby));
        assert_eq!((reports[0].errors_last_hour, reports[1].errors_last_hour), (Some(4), Some(0)));
        assert_eq!(reports[0].last_error_at, Some(Moment(Timestamp::from_secs(NOW.as_secs() - 2))));
        assert_eq!(judge(&names, None, NOW)[0].errors_last_hour, None);
    }
}
