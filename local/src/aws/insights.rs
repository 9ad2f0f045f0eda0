//! The one form of Logs Insights query that the stand-in understands, and the search of the functions' log files.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use crate::template::ACCOUNT;

/// First stage of a query.
const FIELDS: &str = "fields @timestamp, @log, @message";
const SORT: &str = "sort @timestamp asc";
/// Largest `limit` of a query. "Maximum of 10,000": CWL_QuerySyntax-Limit.html.
const LARGEST_LIMIT: usize = 10_000;

/// A query of the form
/// `fields @timestamp, @log, @message | filter @message like "<text>" | sort @timestamp asc | limit <n>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) limit: usize,
}

impl Query {
    /// Parses a query of exactly this form and returns `None` for any other. The text is not empty and contains no
    /// quote and no backslash.
    pub(super) fn read(query: &str) -> Option<Self> {
        let rest = query.trim().strip_prefix(FIELDS)?.strip_prefix(" | filter @message like \"")?;
        let (text, rest) = rest.split_once("\" | ")?;
        let limit = rest.strip_prefix(SORT)?.strip_prefix(" | limit ")?.parse().ok()?;
        let is_plain = !text.is_empty() && !text.contains(['"', '\\']);
        (is_plain && (1..=LARGEST_LIMIT).contains(&limit)).then(|| Self { text: text.to_owned(), limit })
    }
}

/// One line of a log.
#[derive(Debug, Clone)]
pub(super) struct Line {
    at: OffsetDateTime,
    group: String,
    message: String,
}

impl Line {
    /// Converts the line into one row of a query's results: a list of fields.
    pub(super) fn result(&self) -> Value {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
        let fields = [
            ("@timestamp", self.at.format(format).unwrap_or_default()),
            ("@log", format!("{ACCOUNT}:{}", self.group)),
            ("@message", self.message.clone()),
        ];
        json!(fields.map(|(field, value)| json!({ "field": field, "value": value })))
    }
}

/// Returns the lines that match `query`, oldest first, from the files of `folder` that belong to `groups` and from
/// `start` to `end` (Unix seconds, both included). A group without a file has logged nothing.
pub(super) fn search(
    folder: &Path,
    groups: &BTreeMap<String, String>,
    query: &Query,
    (start, end): (i64, i64),
) -> Vec<Line> {
    let mut found: Vec<Line> = groups
        .iter()
        .flat_map(|(group, function)| {
            let log = std::fs::read(folder.join(format!("{function}.log"))).unwrap_or_default();
            read(group, &String::from_utf8_lossy(&log))
        })
        .filter(|line| line.message.contains(&query.text))
        .filter(|line| (start..=end).contains(&line.at.unix_timestamp()))
        .collect();
    found.sort_by_key(|line| line.at);
    found.truncate(query.limit);
    found
}

/// Splits a log into lines. A line without a timestamp gets that of the line before it.
fn read(group: &str, log: &str) -> Vec<Line> {
    let mut at = OffsetDateTime::UNIX_EPOCH;
    log.lines()
        .map(|message| {
            at = timestamp(message).unwrap_or(at);
            Line { at, group: group.to_owned(), message: message.to_owned() }
        })
        .collect()
}

fn timestamp(line: &str) -> Option<OffsetDateTime> {
    let line: Value = serde_json::from_str(line).ok()?;
    OffsetDateTime::parse(line.get("timestamp")?.as_str()?, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str =
        r#"fields @timestamp, @log, @message | filter @message like "needle" | sort @timestamp asc | limit 2"#;

    #[test]
    fn the_one_form_of_a_query_is_read_and_no_other() {
        assert_eq!(Query::read(QUERY), Some(Query { text: "needle".to_owned(), limit: 2 }));
        for other in [
            "".to_owned(),
            QUERY.replace("limit 2", "limit 0"),
            QUERY.replace("limit 2", "limit 10001"),
            QUERY.replace("limit 2", "limit 2 | stats count()"),
            QUERY.replace(" asc", " desc"),
            QUERY.replace("like", "not like"),
            QUERY.replace("needle", ""),
            QUERY.replace("needle", r#"a\" or @message like \"b"#),
            QUERY.replace("needle", r#"a" or @message like "b"#),
            QUERY.replace("@log, ", ""),
        ] {
            assert_eq!(Query::read(&other), None, "{other}");
        }
    }

    #[test]
    fn lines_are_found_in_all_groups_in_order_of_time_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: &str| std::fs::write(folder.path().join(name), lines).unwrap();
        write(
            "a.log",
            "{\"timestamp\":\"2026-11-22T01:00:02.5Z\",\"message\":\"needle 2\"}\n\
             a needle without a time\n\
             {\"timestamp\":\"2026-11-22T01:00:09Z\",\"message\":\"needle too late\"}\n",
        );
        write("b.log", "{\"timestamp\":\"2026-11-22T01:00:01Z\",\"message\":\"needle 1\"}\nnothing\n");
        write("c.log", "{\"timestamp\":\"2026-11-22T01:00:01Z\",\"message\":\"needle of no group\"}\n");
        let groups = [("/g/a", "a"), ("/g/b", "b"), ("/g/silent", "silent")];
        let groups = groups.map(|(group, function)| (group.to_owned(), function.to_owned())).into();
        let find = |limit| {
            let query = Query { text: "needle".to_owned(), limit };
            // 2026-11-22T01:00:00Z to 01:00:02Z.
            search(folder.path(), &groups, &query, (1_795_309_200, 1_795_309_202))
        };
        let messages = |lines: Vec<Line>| lines.into_iter().map(|line| line.message).collect::<Vec<_>>();
        assert_eq!(
            messages(find(9)),
            [
                r#"{"timestamp":"2026-11-22T01:00:01Z","message":"needle 1"}"#,
                r#"{"timestamp":"2026-11-22T01:00:02.5Z","message":"needle 2"}"#,
                "a needle without a time",
            ]
        );
        assert_eq!(messages(find(1)).len(), 1);
        assert_eq!(
            find(2)[1].result(),
            json!([
                { "field": "@timestamp", "value": "2026-11-22 01:00:02.500" },
                { "field": "@log", "value": "123456789012:/g/a" },
                { "field": "@message", "value": r#"{"timestamp":"2026-11-22T01:00:02.5Z","message":"needle 2"}"# },
            ])
        );
    }
}
