//! Which report somebody asks for, and in which format the answer is: the same for customers and admins.

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use serde::Serialize;

use super::month::Month;
use super::report::{UsageReport, csv};
use crate::clock::Timestamp;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The month.
    pub month: Month,
    /// How the answer is written.
    pub format: Format,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// CSV, with a header line.
    Csv,
}

/// A parameter that makes no sense. The sentence is public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAsked(String);

impl Asked {
    /// Reads the parameters `month` and `format`, and what else the client prefers. Without a month, it is the one that
    /// holds `now`; without a format, JSON unless the client accepts CSV and names it before JSON.
    ///
    /// # Errors
    /// When a parameter has no such value, or the month is yet to come.
    pub fn read(
        month: Option<&str>,
        format: Option<&str>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Self, NotAsked> {
        let (present, _) = Month::of(now);
        let month = match month {
            None => present,
            Some(text) => {
                text.parse().map_err(|_| NotAsked("'month' takes a month as in 2026-11 (UTC).".to_owned()))?
            }
        };
        if month > present {
            return Err(NotAsked(format!("'month' takes no month that is yet to come: it is {present} (UTC).")));
        }
        let format = match format {
            None => Format::preferred(headers),
            Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some(_) => return Err(NotAsked("'format' takes 'json' or 'csv'.".to_owned())),
        };
        Ok(Self { month, format })
    }

    /// The answer: `json` or `reports`, which say the same, in the format that is asked for.
    pub fn answer<'a>(
        &self,
        json: &impl Serialize,
        reports: impl IntoIterator<Item = &'a UsageReport>,
    ) -> Response<String> {
        let (kind, body) = match self.format {
            Format::Json => ("application/json", serde_json::to_string(json).unwrap_or_default()),
            Format::Csv => ("text/csv; charset=utf-8; header=present", csv(reports)),
        };
        let mut answer = Response::new(body);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        if self.format == Format::Csv
            && let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"usage-{}.csv\"", self.month))
        {
            headers.insert(CONTENT_DISPOSITION, name);
        }
        answer
    }
}

impl Format {
    /// Its name, as the parameter takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    fn preferred(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let mut kinds = lines.flat_map(|line| line.split(',')).filter_map(|range| range.split(';').next());
        let first = kinds.find_map(|kind| match kind.trim().to_ascii_lowercase().as_str() {
            "text/csv" => Some(Self::Csv),
            "application/json" => Some(Self::Json),
            _ => None,
        });
        first.unwrap_or(Self::Json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

    fn asked(month: Option<&str>, format: Option<&str>, accept: &str) -> Result<(String, Format), String> {
        let headers = [(ACCEPT, accept.parse().unwrap())].into_iter().collect();
        let asked = Asked::read(month, format, &headers, NOW);
        asked.map(|asked| (asked.month.to_string(), asked.format)).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn a_month_is_one_of_utc_that_has_begun() {
        let asked = |month| asked(month, None, "*/*").map(|(month, _)| month);
        assert_eq!(asked(None), Ok("2026-11".to_owned()), "the present one");
        assert_eq!(asked(Some("2026-11")), Ok("2026-11".to_owned()));
        assert_eq!(asked(Some("2025-01")), Ok("2025-01".to_owned()));
        let future = asked(Some("2026-12")).unwrap_err();
        assert_eq!(future, "'month' takes no month that is yet to come: it is 2026-11 (UTC).");
        for text in ["november", "2026-13", "2026-11-22", "11"] {
            assert_eq!(asked(Some(text)).unwrap_err(), "'month' takes a month as in 2026-11 (UTC).", "{text}");
        }
    }

    #[test]
    fn the_parameter_says_the_format_or_else_what_the_client_names_first() {
        for (format, accept, expected) in [
            (None, "*/*", Ok(Format::Json)),
            (None, "text/csv", Ok(Format::Csv)),
            (None, "text/html, Text/CSV;q=0.9, application/json;q=0.1", Ok(Format::Csv)),
            (None, "application/json, text/csv", Ok(Format::Json)),
            (Some("json"), "text/csv", Ok(Format::Json)),
            (Some("csv"), "application/json", Ok(Format::Csv)),
            (Some("xml"), "*/*", Err("'format' takes 'json' or 'csv'.".to_owned())),
        ] {
            assert_eq!(asked(None, format, accept).map(|(_, format)| format), expected, "{format:?} {accept}");
        }
    }
}
