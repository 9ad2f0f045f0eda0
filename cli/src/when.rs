//! Parsing of times in arguments: `90d`, `24h`, `2027-01-31`.

use std::time::Duration;

use levee::clock::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longest duration that is accepted: ten years.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);

/// End of a key, an override or a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Never,
    After(Duration),
    At(u64),
}

impl End {
    /// Returns the end in Unix seconds; `None` for never. Fails if it is in the past.
    pub(crate) fn from(self, now: Timestamp) -> Result<Option<u64>, String> {
        let at = match self {
            Self::Never => return Ok(None),
            Self::After(duration) => now.plus(duration).as_secs(),
            Self::At(at) => at,
        };
        if at <= now.as_secs() {
            return Err(format!("{} is in the past", Timestamp::from_secs(at).to_rfc3339()));
        }
        Ok(Some(at))
    }
}

/// Parses a whole number of `m`, `h`, `d` or `w`, up to ten years.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let mistake = || "a time is a number and a unit, such as 30m, 24h, 90d or 2w".to_owned();
    let unit = text.chars().last().ok_or_else(mistake)?;
    let secs = match unit {
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        'w' => 7 * 24 * 3600,
        _ => return Err(mistake()),
    };
    // Check the digits, as `parse` would take a sign too.
    let number = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    let number: u64 = number.and_then(|digits| digits.parse().ok()).ok_or_else(mistake)?;
    let duration = Duration::from_secs(number.saturating_mul(secs));
    if duration > LONGEST { Err("at most 3650d".to_owned()) } else { Ok(duration) }
}

/// Parses an end: a time from now on, the beginning of a day in UTC, a moment in RFC 3339, or `never`.
pub(crate) fn end(text: &str) -> Result<End, String> {
    if text == "never" {
        return Ok(End::Never);
    }
    if let Ok(duration) = duration(text) {
        return Ok(End::After(duration));
    }
    // A day begins at midnight in UTC.
    let moment = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let moment = OffsetDateTime::parse(&moment, &Rfc3339).ok();
    let secs = moment.and_then(|moment| u64::try_from(moment.unix_timestamp()).ok());
    secs.map(End::At).ok_or_else(|| "give 90d, 2027-01-31, 2027-01-31T12:00:00Z or never".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("24h"), duration("1d"));
        assert_eq!(duration("2w"), duration("14d"));
        assert_eq!(duration("0h"), Ok(Duration::ZERO));
        for text in ["", "h", "24", "-1d", "+1d", "1.5d", "1 d", "24H", "3651d", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_end_is_a_time_a_day_a_moment_or_never() {
        let now = Timestamp::from_secs(1_795_305_600); // 2026-11-22T00:00:00Z
        let at = |text: &str| end(text).unwrap().from(now).unwrap().map(|at| Timestamp::from_secs(at).to_rfc3339());
        assert_eq!(at("90d").as_deref(), Some("2027-02-20T00:00:00Z"));
        assert_eq!(at("2027-01-31").as_deref(), Some("2027-01-31T00:00:00Z"));
        assert_eq!(at("2027-01-31T12:00:00+02:00").as_deref(), Some("2027-01-31T10:00:00Z"));
        assert_eq!(at("never"), None);
        for text in ["soon", "2027-13-01", "2027-02-30", "31.1.2027", "1960-01-01"] {
            assert!(end(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_end_in_the_past_is_refused() {
        let now = Timestamp::from_secs(1_795_305_600);
        assert!(end("2026-11-22").unwrap().from(now).is_err());
        assert!(end("0d").unwrap().from(now).unwrap_err().contains("past"));
    }
}
