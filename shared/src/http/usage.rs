//! Parameters and answer formats of usage reports, the same for customers and admins.

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::Problem;
use crate::clock::Timestamp;
use crate::metering::report::csv;
use crate::metering::{Month, UsageReport};

/// A parsed request for a usage report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageQuery {
    /// Month of the report.
    pub month: Month,
    /// Format of the answer.
    pub format: Format,
}

/// Format of a usage report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// CSV, with a header line.
    Csv,
}

/// Error of an invalid parameter. The message is public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAsked(String);

/// Error of an answer that is larger than a function may return. The message is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", match .0 {
    Format::Csv => "This table is longer than an answer may be. Ask for JSON, which has its sums, or for another month.",
    Format::Json => "This report is longer than an answer may be. Ask for another month, or for fewer accounts.",
})]
pub struct TooLong(Format);

impl TooLong {
    /// Returns the problem to answer with. Its status is 422: the request is well formed, but cannot be answered.
    pub fn problem(self) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "answer_too_large", self.to_string())
    }
}

/// Largest body of an answer as it is transferred, bytes. Headers have the rest of the 6 MB that a function may return
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const LONGEST_ANSWER: usize = 5_500_000;

/// Returns the number of bytes that `body` takes in the JSON in which a function returns it.
fn carried(body: &str) -> usize {
    let extra = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        0..0x20 => 5,
        _ => 0,
    };
    body.bytes().map(|byte| 1 + extra(byte)).sum()
}

impl UsageQuery {
    /// Reads the parameters `month` and `format`, and the `Accept` header. The month defaults to the one that contains
    /// `now`. The format defaults to JSON, unless the client accepts CSV and names it before JSON.
    ///
    /// # Errors
    /// Returns [`NotAsked`] if a parameter has an invalid value, or if the month is in the future.
    pub fn read(
        month: Option<&str>,
        format: Option<&str>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Self, NotAsked> {
        // Parse the month, which must not be in the future.
        let (present, _) = Month::from_timestamp(now);
        let month = match month {
            None => present,
            Some(text) => {
                text.parse().map_err(|_| NotAsked("'month' takes a month as in 2026-11 (UTC).".to_owned()))?
            }
        };
        if month > present {
            return Err(NotAsked(format!("'month' takes no month that is yet to come: it is {present} (UTC).")));
        }
        // Choose the format: the parameter takes precedence over the header.
        let format = match format {
            None => Format::preferred(headers),
            Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some(_) => return Err(NotAsked("'format' takes 'json' or 'csv'.".to_owned())),
        };
        Ok(Self { month, format })
    }

    /// Returns the answer in the requested format. `json` and `reports` hold the same data.
    ///
    /// # Errors
    /// Returns [`TooLong`] if the answer is larger than a function may return.
    pub fn answer<'a>(
        &self,
        json: &impl Serialize,
        reports: impl IntoIterator<Item = &'a UsageReport>,
    ) -> Result<Response<String>, TooLong> {
        // Write the body, and check its size.
        let (kind, body) = match self.format {
            Format::Json => ("application/json", serde_json::to_string(json).unwrap_or_default()),
            Format::Csv => ("text/csv; charset=utf-8; header=present", csv(reports)),
        };
        if carried(&body) > LONGEST_ANSWER {
            return Err(TooLong(self.format));
        }
        // Set the headers. A browser saves CSV as a file.
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
        Ok(answer)
    }
}

impl Format {
    /// Returns the value of the parameter `format` for this format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    fn preferred(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let mut kinds = lines.flat_map(|line| line.split(',')).filter_map(|range| range.split(';').next());
        // Take the first supported media type; weights (`q`) are ignored.
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
    use crate::accounts::IntegrationKind;
    use crate::metering::{Counts, Prices, Service, Tally, UsageLine};

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

    fn parsed(month: Option<&str>, format: Option<&str>, accept: &str) -> Result<(String, Format), String> {
        let headers = [(ACCEPT, accept.parse().unwrap())].into_iter().collect();
        let asked = UsageQuery::read(month, format, &headers, NOW);
        asked.map(|asked| (asked.month.to_string(), asked.format)).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn a_month_is_one_of_utc_that_has_begun() {
        let asked = |month| parsed(month, None, "*/*").map(|(month, _)| month);
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
            assert_eq!(parsed(None, format, accept).map(|(_, format)| format), expected, "{format:?} {accept}");
        }
    }

    /// Returns the report of a month with the given number of `lines`.
    fn report(lines: usize) -> UsageReport {
        let line = |number: usize| UsageLine {
            day: 1,
            integration: "crm".to_owned(),
            kind: IntegrationKind::Customer,
            model: format!("{number:0>100}"),
            provider: "primary".to_owned(),
            service: Service::default(),
            tally: Tally { calls: 1, input: 1, ..Tally::default() },
        };
        let lines: Vec<_> = (0..lines).map(line).collect();
        let (month, _) = Month::from_timestamp(NOW);
        UsageReport::new("acme", month, &lines, 0, None, Counts::default(), &Prices::default(), NOW)
    }

    #[test]
    fn an_answer_that_is_longer_than_one_may_be_is_a_problem_that_says_what_to_do() {
        let ask = |format, report: &UsageReport| {
            let asked = UsageQuery { month: report.month, format };
            asked.answer(&serde_json::json!({ "totals": report.totals }), [report])
        };
        let (small, large) = (report(10_000), report(40_000));
        assert_eq!(ask(Format::Csv, &small).unwrap().body().lines().count(), 10_001);
        let problem = ask(Format::Csv, &large).unwrap_err().problem();
        assert_eq!((problem.status.as_u16(), problem.code), (422, "answer_too_large"));
        assert!(problem.detail.contains("Ask for JSON"), "{}", problem.detail);
        assert!(ask(Format::Json, &large).is_ok());
    }

    #[test]
    fn an_answer_takes_as_much_as_its_json() {
        for body in ["", "plain", "a,\"b\"\r\n", "{\"a\":\"\\\\\"}", "\t\u{1}\u{1f}", "Zoë – 1"] {
            assert_eq!(carried(body), serde_json::to_string(body).unwrap().len() - 2, "{body:?}");
        }
    }
}
