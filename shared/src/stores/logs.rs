//! CloudWatch Logs Insights: finds the functions' log lines about one request, or under one code.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::{BehaviorVersion, Region};
use aws_sdk_cloudwatchlogs::types::{QueryStatus, ResultField};

use super::aws::{self, AwsConfig};
use super::dynamodb::describe;
use crate::clock::Timestamp;
use crate::config::Reader;

/// Time-out of one call, including its retries.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the first request for a query's results; half as long again before each later one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two requests for results.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Longest request id that is searched for.
const LONGEST_ID: usize = 128;
/// Most lines that are read about one request.
const LINES_OF_REQUEST: usize = 1_000;
/// Most lines that one query can return
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Limit.html>).
const MOST_LINES: usize = 10_000;

/// Configuration of the log search.
#[derive(Debug, Clone)]
pub struct LogsConfig {
    /// Region and credentials.
    pub aws: AwsConfig,
    /// `LOG_GROUPS`: log groups of the functions, separated by commas.
    pub groups: Vec<String>,
    /// `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS`: endpoint in place of the region's, as the SDKs define it. Default: unset.
    pub endpoint_url: Option<String>,
}

impl LogsConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            aws: AwsConfig::read(reader),
            groups: groups(&reader.required("LOG_GROUPS")),
            endpoint_url: reader.optional("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"),
        }
    }
}

/// Splits a comma-separated list of log groups.
pub fn groups(list: &str) -> Vec<String> {
    list.split(',').map(|group| group.trim().to_owned()).filter(|group| !group.is_empty()).collect()
}

/// Returns true if `text` has the form of a request id: 1 to 128 characters of base64, in either alphabet.
pub fn is_request_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte);
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(allowed)
}

/// Client that searches log lines.
#[derive(Debug, Clone)]
pub struct Logs {
    client: Client,
    groups: Vec<String>,
}

/// Failed search of the logs.
#[derive(Debug, thiserror::Error)]
#[error("CloudWatch Logs: {0}")]
pub struct LogsError(String);

impl Logs {
    /// Creates a client for the given log groups. Does not connect yet.
    pub fn new(config: &LogsConfig) -> Self {
        let mut builder = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.aws.region.clone()))
            .credentials_provider(config.aws.credentials_provider())
            .http_client(aws::https_client())
            .timeout_config(aws::timeouts(CALL_TIMEOUT));
        builder.set_endpoint_url(config.endpoint_url.clone());
        Self { client: Client::from_conf(builder.build()), groups: config.groups.clone() }
    }

    /// Finds the lines about the request `request_id` that were logged since `since`: at most 1,000, in the order of
    /// logging. Waits for at most `timeout`.
    ///
    /// # Errors
    /// [`LogsError`] if `request_id` is malformed, or if the logs cannot be searched in time.
    pub async fn find(
        &self,
        request_id: &str,
        since: Timestamp,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<Vec<String>, LogsError> {
        // Reject every character that could end the string literal in the query.
        if !is_request_id(request_id) {
            return Err(LogsError("this is not a request's id".to_owned()));
        }
        // Round up, so that lines of the present second are found.
        let range = (seconds(since), seconds(now).saturating_add(1));
        self.search_in_time(request_id, range, LINES_OF_REQUEST, timeout).await
    }

    /// Finds all lines that contain `code`, such as `usage.unwritten`, and were logged since `since`. One query
    /// returns at most 10,000 lines, so the time range is split into as many queries as needed. Each query may take at
    /// most `timeout`. The lines are sorted as text, not by time.
    ///
    /// # Errors
    /// [`LogsError`] if `code` is malformed, if the logs cannot be searched in time, or if one second holds more lines
    /// than a query can return.
    pub async fn find_all(
        &self,
        code: &str,
        since: Timestamp,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<BTreeSet<String>, LogsError> {
        if code.is_empty() || !code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.' || byte == b'_') {
            return Err(LogsError("this is not a code of a log line".to_owned()));
        }
        let mut lines = BTreeSet::new();
        let mut ranges = vec![(seconds(since), seconds(now).saturating_add(1))];
        // Query each range, and split a range that holds too many lines.
        while let Some((first, last)) = ranges.pop() {
            let found = self.search_in_time(code, (first, last), MOST_LINES, timeout).await?;
            if found.len() < MOST_LINES {
                lines.extend(found);
            } else if last - first > 1 {
                // Both halves include the second in the middle. A line that both return counts once in the set,
                // because it holds its time.
                let middle = first + (last - first) / 2;
                ranges.extend([(middle, last), (first, middle)]);
            } else {
                return Err(LogsError(format!("{MOST_LINES} lines or more with {code} within a second")));
            }
        }
        Ok(lines)
    }

    async fn search_in_time(
        &self,
        text: &str,
        range: (i64, i64),
        limit: usize,
        timeout: Duration,
    ) -> Result<Vec<String>, LogsError> {
        let timed_out = |_| LogsError(format!("no result within {timeout:?}"));
        tokio::time::timeout(timeout, self.search(text, range, limit)).await.map_err(timed_out).flatten()
    }

    /// Returns at most `limit` lines that contain `text`, within a range of Unix seconds, inclusive. `text` must not
    /// be able to end a string literal.
    async fn search(&self, text: &str, range: (i64, i64), limit: usize) -> Result<Vec<String>, LogsError> {
        let query = format!(
            "fields @timestamp, @log, @message | filter @message like \"{text}\" | sort @timestamp asc | limit {limit}"
        );
        // Start the query.
        let started = self
            .client
            .start_query()
            .set_log_group_names(Some(self.groups.clone()))
            .query_string(query)
            .start_time(range.0)
            .end_time(range.1)
            .send()
            .await
            .map_err(|error| LogsError(describe(&error)))?;
        let query = started.query_id.ok_or_else(|| LogsError("a query without an id".to_owned()))?;

        // Poll until the query ends, with growing pauses.
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            let request = self.client.get_query_results().query_id(&query);
            let answer = request.send().await.map_err(|error| LogsError(describe(&error)))?;
            match answer.status {
                Some(QueryStatus::Complete) => {
                    return Ok(answer.results.unwrap_or_default().into_iter().filter_map(message).collect());
                }
                Some(QueryStatus::Scheduled | QueryStatus::Running) => {}
                status => {
                    let status = status.as_ref().map_or("without a status", QueryStatus::as_str);
                    return Err(LogsError(format!("the query ended {status}")));
                }
            }
        }
    }
}

fn seconds(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_secs()).unwrap_or(i64::MAX)
}

fn message(row: Vec<ResultField>) -> Option<String> {
    row.into_iter().find(|field| field.field.as_deref() == Some("@message"))?.value
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;
    use crate::stores::dynamodb::stub::Stub;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const PATIENT: Duration = Duration::from_secs(60);
    const STARTED: (u16, &str) = (200, r#"{"queryId":"q"}"#);
    const RUNNING: (u16, &str) = (200, r#"{"status":"Running","results":[]}"#);
    const COMPLETE: (u16, &str) = (
        200,
        r#"{"status":"Complete","results":[
        [{"field":"@timestamp","value":"2026-11-22 01:15:18.000"},{"field":"@message","value":"first"}],
        [{"field":"@ptr","value":"x"}],
        [{"field":"@message","value":"second"}]]}"#,
    );

    fn logs(stub: &Stub) -> Logs {
        Logs::new(&LogsConfig {
            aws: AwsConfig {
                region: "us-east-1".to_owned(),
                credentials: Credentials::new("test", "test", None, None, "test"),
            },
            groups: vec!["/levee/ai-proxy".to_owned()],
            endpoint_url: Some(stub.url.clone()),
        })
    }

    async fn find(
        answers: &'static [(u16, &'static str)],
        id: &str,
        timeout: Duration,
    ) -> (Result<Vec<String>, String>, usize) {
        let stub = Stub::start(answers).await;
        let logs = logs(&stub);
        let found = logs.find(id, Timestamp::from_secs(0), NOW, timeout).await;
        (found.map_err(|error| error.to_string()), stub.answered())
    }

    #[tokio::test]
    async fn lines_come_when_the_query_is_complete() {
        let (found, calls) = find(&[STARTED, RUNNING, COMPLETE], "/I35jLf7JA2CvdI=", PATIENT).await;
        assert_eq!(found.unwrap(), ["first", "second"]);
        assert_eq!(calls, 3);
    }

    #[tokio::test]
    async fn a_query_that_fails_or_never_ends_is_an_error() {
        let (failed, _) = find(&[STARTED, (200, r#"{"status":"Failed"}"#)], "abc", PATIENT).await;
        assert_eq!(failed.unwrap_err(), "CloudWatch Logs: the query ended Failed");
        let (endless, _) = find(&[STARTED, RUNNING], "abc", FIRST_PAUSE * 2).await;
        assert!(endless.unwrap_err().contains("no result within"));
        let refused = (400, r#"{"__type":"ResourceNotFoundException","message":"no such log group"}"#);
        let (refused, _) = find(vec![refused].leak(), "abc", PATIENT).await;
        assert_eq!(refused.unwrap_err(), "CloudWatch Logs: ResourceNotFoundException: no such log group");
    }

    #[tokio::test]
    async fn what_is_no_request_id_is_not_searched_for() {
        let longest = "a".repeat(128);
        assert!(is_request_id("/I35jLf7JA2CvdI=") && is_request_id("a-b_c+d") && is_request_id(&longest));
        let too_long = "a".repeat(129);
        for id in ["", "a b", "a\" or 1=1", "a\\", "a\n", "ä", too_long.as_str()] {
            let (found, calls) = find(&[STARTED, COMPLETE], id, PATIENT).await;
            assert_eq!(
                (found.unwrap_err().as_str(), calls),
                ("CloudWatch Logs: this is not a request's id", 0),
                "{id}"
            );
        }
    }

    #[test]
    fn log_groups_are_separated_by_commas() {
        assert_eq!(groups("/levee/a, /levee/b,"), ["/levee/a", "/levee/b"]);
    }

    /// Returns the response to a query that found `lines`.
    fn found(lines: impl Iterator<Item = String>) -> (u16, &'static str) {
        let rows: Vec<_> = lines.map(|line| format!(r#"[{{"field":"@message","value":"{line}"}}]"#)).collect();
        (200, format!(r#"{{"status":"Complete","results":[{}]}}"#, rows.join(",")).leak())
    }

    #[tokio::test]
    async fn more_lines_than_a_query_finds_are_found_by_several() {
        let full = found((0..MOST_LINES).map(|it| format!("cut {it}")));
        let (first, second) = (["a", "b"].map(str::to_owned), ["b", "c"].map(str::to_owned));
        let answers = vec![STARTED, full, STARTED, found(first.into_iter()), STARTED, found(second.into_iter())];
        let stub = Stub::start(answers.leak()).await;
        let lines = logs(&stub).find_all("usage.unwritten", Timestamp::from_secs(0), NOW, PATIENT).await.unwrap();
        assert_eq!(lines.into_iter().collect::<Vec<_>>(), ["a", "b", "c"], "a line between two ranges is one");
        assert_eq!(stub.answered(), 6);
    }

    #[tokio::test]
    async fn a_second_with_more_lines_than_a_query_finds_is_an_error_and_a_code_holds_no_quote() {
        let full = found((0..MOST_LINES).map(|it| it.to_string()));
        let stub = Stub::start(vec![STARTED, full].leak()).await;
        let failed = logs(&stub).find_all("usage.unwritten", NOW, NOW, PATIENT).await.unwrap_err();
        assert!(failed.to_string().contains("within a second"), "{failed}");
        for code in ["a\" | limit 1", "usage unwritten", "Usage"] {
            assert!(logs(&stub).find_all(code, NOW, NOW, PATIENT).await.is_err(), "{code}");
        }
        assert_eq!(stub.answered(), 2);
    }
}
