//! Calendar months in UTC, by which tokens are summed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::{Date, Month as Name, OffsetDateTime};

use crate::clock::Timestamp;

/// Calendar month in UTC, written as `2026-11`. Text is accepted for 1970-01 to 9998-12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: i32,
    name: u8,
}

/// Text that is not a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a month is written as in 2026-11")]
pub struct NoMonth;

impl Month {
    /// Returns the month of `moment`, and the day in it, from 1.
    pub fn from_timestamp(moment: Timestamp) -> (Self, u8) {
        let secs = i64::try_from(moment.as_secs()).unwrap_or(i64::MAX);
        let date = OffsetDateTime::from_unix_timestamp(secs).unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
        (Self { year: date.year(), name: date.month().into() }, date.day())
    }

    /// Returns the first moment of the month.
    pub fn begins_at(self) -> Timestamp {
        let name = Name::try_from(self.name).unwrap_or(Name::January);
        let date = Date::from_calendar_date(self.year, name, 1).unwrap_or(Date::MIN);
        let secs = date.midnight().assume_utc().unix_timestamp();
        Timestamp::from_secs(u64::try_from(secs).unwrap_or(0))
    }

    /// Returns the end of the month, which is the first moment of the next one.
    pub fn ends_at(self) -> Timestamp {
        self.next().begins_at()
    }

    fn next(self) -> Self {
        match self.name {
            12 => Self { year: self.year + 1, name: 1 },
            name => Self { name: name + 1, ..self },
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.name)
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl TryFrom<String> for Month {
    type Error = NoMonth;

    fn try_from(text: String) -> Result<Self, NoMonth> {
        text.parse()
    }
}

impl FromStr for Month {
    type Err = NoMonth;

    fn from_str(text: &str) -> Result<Self, NoMonth> {
        // Require exactly four and two digits: no sign, no missing zero.
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let (year, name) =
            text.split_once('-').filter(|(year, name)| year.len() == 4 && name.len() == 2).ok_or(NoMonth)?;
        let (year, name): (i32, i32) = (digits(year).ok_or(NoMonth)?, digits(name).ok_or(NoMonth)?);
        if !(1970..=9998).contains(&year) || !(1..=12).contains(&name) {
            return Err(NoMonth);
        }
        Ok(Self { year, name: u8::try_from(name).map_err(|_| NoMonth)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_of_utc_and_ends_as_the_next_one_begins() {
        let last_second = Timestamp::from_secs(1_798_761_599);
        assert_eq!(last_second.to_rfc3339(), "2026-12-31T23:59:59Z");
        let (december, day) = Month::from_timestamp(last_second);
        assert_eq!((december.to_string().as_str(), day), ("2026-12", 31));
        let (january, day) = Month::from_timestamp(Timestamp::from_secs(1_798_761_600));
        assert_eq!((january.to_string().as_str(), day), ("2027-01", 1));
        assert_eq!(december.ends_at(), january.begins_at());
        assert_eq!(january.begins_at().to_rfc3339(), "2027-01-01T00:00:00Z");
        assert_eq!(january.ends_at().to_rfc3339(), "2027-02-01T00:00:00Z");
    }

    #[test]
    fn a_month_is_read_as_it_is_written_and_nothing_else_is_one() {
        assert_eq!("2026-11".parse::<Month>().unwrap().to_string(), "2026-11");
        for text in ["", "2026", "2026-13", "2026-00", "26-11", "2026-1", "2026-11-01", "+026-11", "2026-+1", "1969-12"]
        {
            assert_eq!(text.parse::<Month>(), Err(NoMonth), "{text}");
        }
        assert_eq!(serde_json::to_string(&"2026-11".parse::<Month>().unwrap()).unwrap(), "\"2026-11\"");
    }
}
