//! Moments in time. Code in this crate never reads a clock: a [`Timestamp`] is an argument.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment in milliseconds since the Unix epoch, UTC. Serialized as that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Creates a moment from milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Creates a moment from whole seconds since the Unix epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Returns the milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the whole seconds from `self` until `later`, rounded up, so that a wait of that length never ends
    /// early. Returns 0 if `later` is not later.
    pub const fn secs_until(self, later: Timestamp) -> u64 {
        later.0.saturating_sub(self.0).div_ceil(1000)
    }

    /// Returns the time from `self` until `later`, or zero if `later` is not later.
    pub const fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// Returns the moment `duration` later.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the moment `duration` earlier, but not before the epoch.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the moment `millis` later, or earlier if negative, but not before the epoch.
    #[must_use]
    pub const fn shifted(self, millis: i64) -> Self {
        Self(self.0.saturating_add_signed(millis))
    }

    /// Formats the moment as RFC 3339 in UTC with whole seconds, rounded up: `2026-11-22T01:15:18Z`.
    pub fn to_rfc3339(self) -> String {
        self.utc(self.0.div_ceil(1000)).format(&Rfc3339).unwrap_or_default()
    }

    /// Formats the moment as RFC 3339 in UTC with milliseconds, without trailing zeros: `2026-11-22T01:15:18.042Z`.
    pub fn to_rfc3339_millis(self) -> String {
        let moment = self.utc(self.as_secs());
        let moment = moment.replace_millisecond((self.0 % 1000) as u16).unwrap_or(moment);
        moment.format(&Rfc3339).unwrap_or_default()
    }

    /// Parses a day in UTC such as `2026-11-22` and returns its beginning; `None` if it has another format or does not
    /// exist.
    pub fn of_date(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let mut part = |digits: usize| {
            let part =
                parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
            part.parse::<u16>().ok()
        };
        let (year, month, day) = (part(4)?, part(2)?, part(2)?);
        let (month, day) = (u8::try_from(month).ok()?.try_into().ok()?, u8::try_from(day).ok()?);
        let date = time::Date::from_calendar_date(year.into(), month, day).ok()?;
        u64::try_from(date.midnight().assume_utc().unix_timestamp()).ok().map(Self::from_secs)
    }

    /// Returns the calendar month in UTC: `2026-11`.
    pub fn month(self) -> String {
        let date = self.utc(self.as_secs());
        format!("{:04}-{:02}", date.year(), u8::from(date.month()))
    }

    fn utc(self, secs: u64) -> OffsetDateTime {
        i64::try_from(secs)
            .ok()
            .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_whole_seconds_never_ends_before_the_moment_it_waits_for() {
        let now = Timestamp::from_millis(1_700_000_000_001);
        assert_eq!(now.secs_until(Timestamp::from_millis(1_700_000_001_000)), 1);
        assert_eq!(now.secs_until(Timestamp::from_millis(1_700_000_001_002)), 2);
        assert_eq!(now.secs_until(Timestamp::from_millis(1_699_999_999_000)), 0);
    }

    #[test]
    fn nothing_is_earlier_than_the_epoch() {
        let moment = Timestamp::from_secs(60);
        assert_eq!(moment.minus(Duration::from_secs(59)), Timestamp::from_secs(1));
        assert_eq!(moment.minus(Duration::MAX), Timestamp::from_millis(0));
    }

    #[test]
    fn a_timestamp_prints_as_rfc_3339_and_as_a_month() {
        let moment = Timestamp::from_millis(1_795_310_118_001);
        assert_eq!(moment.to_rfc3339(), "2026-11-22T01:15:19Z");
        assert_eq!(moment.to_rfc3339_millis(), "2026-11-22T01:15:18.001Z");
        assert_eq!(moment.month(), "2026-11");
    }
}
