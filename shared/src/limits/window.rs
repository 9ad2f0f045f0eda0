//! Windows: the spans of time in which calls are counted, aligned to UTC.

use time::{Date, OffsetDateTime};

use crate::clock::Timestamp;

/// The longest window in seconds: 31 days.
pub const LONGEST_WINDOW_SECS: u64 = 31 * 24 * 3600;

/// Span of time in which calls are counted together. Windows are aligned to the Unix epoch, so that minutes, hours
/// and days are those of UTC. A month is a calendar month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// A number of seconds, 1 to [`LONGEST_WINDOW_SECS`].
    Secs(u64),
    /// A calendar month in UTC.
    Month,
}

impl Window {
    /// Minute of UTC.
    pub const MINUTE: Self = Self::Secs(60);
    /// Day of UTC.
    pub const DAY: Self = Self::Secs(24 * 3600);

    /// Returns the start of the window that holds `now`.
    pub fn start(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Secs(secs) => Timestamp::from_secs(now.as_secs() - now.as_secs() % secs.max(1)),
            Self::Month => first_of_month(date(now)),
        }
    }

    /// Returns the end of the window that holds `now`, which is the start of the next one.
    pub fn end(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Secs(secs) => Timestamp::from_secs(self.start(now).as_secs().saturating_add(secs.max(1))),
            Self::Month => {
                let date = date(now);
                let last = date.replace_day(date.month().length(date.year())).unwrap_or(date);
                first_of_month(last.next_day().unwrap_or(last))
            }
        }
    }

    /// Returns the start of the window before the one that holds `now`.
    pub fn previous_start(self, now: Timestamp) -> Timestamp {
        let start = self.start(now);
        self.start(Timestamp::from_millis(start.as_millis().saturating_sub(1)))
    }

    /// Returns the length of the window that holds `now`, in seconds.
    pub fn secs(self, now: Timestamp) -> u64 {
        self.end(now).as_secs() - self.start(now).as_secs()
    }

    /// Returns the window's name in Redis keys: its seconds, or `month`.
    pub fn name(self) -> String {
        match self {
            Self::Secs(secs) => secs.to_string(),
            Self::Month => "month".to_owned(),
        }
    }

    /// Parses `minute`, `hour`, `day`, `month` or a number of seconds.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "minute" => Some(Self::MINUTE),
            "hour" => Some(Self::Secs(3600)),
            "day" => Some(Self::DAY),
            "month" => Some(Self::Month),
            secs => secs.parse().ok().filter(|secs| (1..=LONGEST_WINDOW_SECS).contains(secs)).map(Self::Secs),
        }
    }
}

fn date(moment: Timestamp) -> Date {
    let secs = i64::try_from(moment.as_secs()).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp(secs).unwrap_or(OffsetDateTime::UNIX_EPOCH).date()
}

fn first_of_month(date: Date) -> Timestamp {
    let first = Date::from_calendar_date(date.year(), date.month(), 1).unwrap_or(date);
    Timestamp::from_secs(u64::try_from(first.midnight().assume_utc().unix_timestamp()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_310_118_042); // 2026-11-22T01:15:18.042Z

    #[rstest]
    #[case("minute", "2026-11-22T01:14:00Z", "2026-11-22T01:15:00Z", "2026-11-22T01:16:00Z")]
    #[case("hour", "2026-11-22T00:00:00Z", "2026-11-22T01:00:00Z", "2026-11-22T02:00:00Z")]
    #[case("day", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z")]
    #[case("month", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")]
    #[case("1", "2026-11-22T01:15:17Z", "2026-11-22T01:15:18Z", "2026-11-22T01:15:19Z")]
    fn windows_are_those_of_utc(#[case] text: &str, #[case] previous: &str, #[case] start: &str, #[case] end: &str) {
        let window = Window::parse(text).unwrap();
        let told = [window.previous_start(NOW), window.start(NOW), window.end(NOW)].map(Timestamp::to_rfc3339);
        assert_eq!(told, [previous, start, end]);
    }

    #[test]
    fn months_have_the_calendars_length() {
        let at = |text| Timestamp::from_secs(text);
        for (moment, days) in [(1_709_164_800, 29), (1_677_628_799, 28), (1_767_225_599, 31), (0, 31)] {
            assert_eq!(Window::Month.secs(at(moment)), days * 24 * 3600, "{moment}");
        }
    }

    #[rstest]
    #[case("0")]
    #[case("2678401")]
    #[case("year")]
    #[case("")]
    #[case("-1")]
    fn what_is_no_window_is_refused(#[case] text: &str) {
        assert_eq!(Window::parse(text), None);
    }
}
