//! The CloudWatch Logs stand-in. It implements StartQuery and GetQueryResults.
//!
//! Follows the JSON protocol (<https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>) and the Amazon
//! CloudWatch Logs API reference. A query runs when it is started, and its first poll reports that it is still
//! running.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::insights::{self, Query};
use crate::host::uuid;

/// Maximum number of queries whose results are kept.
const REMEMBERED: usize = 100;
/// Prefix of the operation's name in `X-Amz-Target`.
const TARGET: &str = "Logs_20140328.";

/// The stand-in for CloudWatch Logs.
#[derive(Debug)]
pub(crate) struct CloudWatchLogs {
    folder: PathBuf,
    /// Function names by log group.
    groups: BTreeMap<String, String>,
    queries: Mutex<VecDeque<Started>>,
}

#[derive(Debug)]
struct Started {
    id: String,
    results: Vec<Value>,
    polled: bool,
}

/// Shape and message of an error.
struct LogsError(&'static str, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartQuery {
    log_group_names: Vec<String>,
    query_string: String,
    start_time: i64,
    end_time: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetQueryResults {
    query_id: String,
}

impl CloudWatchLogs {
    /// Serves the log files of `folder` on a free port and returns the address. `groups` maps log groups to
    /// functions.
    pub(crate) async fn serve(folder: PathBuf, groups: BTreeMap<String, String>) -> std::io::Result<String> {
        let logs = Arc::new(Self { folder, groups, queries: Mutex::default() });
        super::serve(Router::new().route("/", post(answer)).with_state(logs)).await
    }

    fn call(&self, operation: &str, body: &[u8]) -> Result<Value, LogsError> {
        match operation {
            "StartQuery" => self.start(read(body)?),
            "GetQueryResults" => self.results(&read(body)?),
            _ => Err(LogsError("UnknownOperationException", String::new())),
        }
    }

    fn start(&self, call: StartQuery) -> Result<Value, LogsError> {
        // Validate the call in the order of the service.
        let Some(query) = Query::read(&call.query_string) else {
            return Err(LogsError("MalformedQueryException", "a query of this form is not emulated".to_owned()));
        };
        if call.log_group_names.is_empty() {
            return Err(LogsError("InvalidParameterException", "no log group is named".to_owned()));
        }
        if call.start_time > call.end_time {
            return Err(LogsError("InvalidParameterException", "End time should not be before start time".to_owned()));
        }
        let group = |name: String| match self.groups.get(&name) {
            Some(function) => Ok((name, function.clone())),
            None => Err(LogsError("ResourceNotFoundException", format!("Log group '{name}' does not exist"))),
        };
        let groups = call.log_group_names.into_iter().map(group).collect::<Result<_, _>>()?;
        // Run the query now and keep the results for the polls.
        let found = insights::search(&self.folder, &groups, &query, (call.start_time, call.end_time));
        let results = found.iter().map(insights::Line::result).collect();
        let started = Started { id: uuid(), results, polled: false };
        let answer = json!({ "queryId": started.id });
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        // Evict the oldest query at the bound.
        if queries.len() == REMEMBERED {
            queries.pop_front();
        }
        queries.push_back(started);
        Ok(answer)
    }

    fn results(&self, call: &GetQueryResults) -> Result<Value, LogsError> {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(query) = queries.iter_mut().find(|query| query.id == call.query_id) else {
            return Err(LogsError("ResourceNotFoundException", "there is no such query".to_owned()));
        };
        let was_polled = std::mem::replace(&mut query.polled, true);
        let (status, results) = if was_polled { ("Complete", &query.results[..]) } else { ("Running", &[][..]) };
        Ok(json!({ "status": status, "results": results }))
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, LogsError> {
    serde_json::from_slice(body).map_err(|error| LogsError("InvalidParameterException", error.to_string()))
}

async fn answer(State(logs): State<Arc<CloudWatchLogs>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let (status, body) = match logs.call(target.strip_prefix(TARGET).unwrap_or_default(), &body) {
        Ok(answer) => (StatusCode::OK, answer),
        Err(LogsError(kind, message)) => (StatusCode::BAD_REQUEST, json!({ "__type": kind, "message": message })),
    };
    (status, [("content-type", "application/x-amz-json-1.1")], Json(body).into_response().into_body()).into_response()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const QUERY: &str =
        r#"fields @timestamp, @log, @message | filter @message like "r-1" | sort @timestamp asc | limit 9"#;

    fn logs(folder: &tempfile::TempDir) -> CloudWatchLogs {
        let line = "{\"timestamp\":\"2026-11-22T01:00:00Z\",\"request.id\":\"r-1\"}\n";
        std::fs::write(folder.path().join("authorizer.log"), line).unwrap();
        CloudWatchLogs {
            folder: folder.path().to_owned(),
            groups: [("/levee/authorizer".to_owned(), "authorizer".to_owned())].into(),
            queries: Mutex::default(),
        }
    }

    fn start() -> Value {
        let groups = ["/levee/authorizer"];
        json!({ "logGroupNames": groups, "queryString": QUERY, "startTime": 1_795_309_200, "endTime": 1_795_309_200 })
    }

    #[test]
    fn a_query_is_running_at_its_first_poll_and_complete_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let logs = logs(&folder);
        let started = logs.call("StartQuery", start().to_string().as_bytes()).ok().unwrap();
        let poll = || logs.call("GetQueryResults", started.to_string().as_bytes()).ok().unwrap();
        assert_eq!(poll(), json!({ "status": "Running", "results": [] }));
        for _ in 0..2 {
            let complete = poll();
            assert_eq!(
                (&complete["status"], &complete["results"][0][1]["field"]),
                (&json!("Complete"), &json!("@log"))
            );
        }
    }

    #[rstest]
    #[case::other_operation("PutLogEvents", json!({}), "UnknownOperationException")]
    #[case::other_query("StartQuery", json!({ "queryString": "fields @message" }), "MalformedQueryException")]
    #[case::other_group("StartQuery", json!({ "logGroupNames": ["/levee/none"] }), "ResourceNotFoundException")]
    #[case::no_group("StartQuery", json!({ "logGroupNames": [] }), "InvalidParameterException")]
    #[case::backwards("StartQuery", json!({ "endTime": 0 }), "InvalidParameterException")]
    #[case::no_time("StartQuery", json!({ "endTime": null }), "InvalidParameterException")]
    #[case::other_id("GetQueryResults", json!({ "queryId": "none" }), "ResourceNotFoundException")]
    fn what_cloudwatch_logs_refuses_is_refused(#[case] operation: &str, #[case] change: Value, #[case] kind: &str) {
        let folder = tempfile::tempdir().unwrap();
        let mut call = start();
        for (name, value) in change.as_object().unwrap() {
            call[name] = value.clone();
        }
        assert_eq!(logs(&folder).call(operation, call.to_string().as_bytes()).unwrap_err().0, kind);
    }
}
