//! Days of UTC.

use std::fmt;
use std::str::FromStr;

use time::{Date, Month};

use crate::clock::Timestamp;

const SECS: u64 = 24 * 3600;

/// Day of UTC. Written as `2026-11-22`, so that the names sort as the days do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u64);

impl Day {
    /// Returns the day that holds `moment`.
    pub fn from_timestamp(moment: Timestamp) -> Self {
        Self(moment.as_secs() / SECS)
    }

    /// Returns the start of the day.
    pub fn start(self) -> Timestamp {
        Timestamp::from_secs(self.0.saturating_mul(SECS))
    }

    /// Returns the end of the day.
    pub fn end(self) -> Timestamp {
        Self(self.0.saturating_add(1)).start()
    }

    /// Returns the day that is `days` earlier.
    #[must_use]
    pub fn back(self, days: u64) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.start().to_rfc3339().split('T').next().unwrap_or_default())
    }
}

/// Error for a text that is not a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no day such as 2026-11-22")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let [year, month, day] = text.split('-').collect::<Vec<_>>()[..] else { return Err(NotADay) };
        if (year.len(), month.len(), day.len()) != (4, 2, 2) {
            return Err(NotADay);
        }
        let month: u8 = month.parse().map_err(|_| NotADay)?;
        let month = Month::try_from(month).map_err(|_| NotADay)?;
        let (year, day) = (year.parse().map_err(|_| NotADay)?, day.parse().map_err(|_| NotADay)?);
        let date = Date::from_calendar_date(year, month, day).map_err(|_| NotADay)?;
        let secs = u64::try_from(date.midnight().assume_utc().unix_timestamp()).map_err(|_| NotADay)?;
        Ok(Self::from_timestamp(Timestamp::from_secs(secs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_as_it_is_written() {
        let day = Day::from_timestamp(Timestamp::from_millis(1_795_310_118_042));
        assert_eq!(day.to_string(), "2026-11-22");
        assert_eq!("2026-11-22".parse(), Ok(day));
        assert_eq!(day.back(22).to_string(), "2026-10-31");
        for text in ["", "2026-11", "2026-13-01", "2026-02-30", "26-11-22", "2026-11-22-1", "1969-12-31"] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
        }
    }
}
