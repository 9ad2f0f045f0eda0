//! Streamed answers.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{DELIMITER, INTEGRATION_RESPONSE, get, raw, stack};

/// response-transfer-mode-lambda.html: metadata becomes the head, the rest goes to the client while the function runs.
#[tokio::test]
async fn a_stream_reaches_the_client_while_the_function_still_runs() {
    let stack = stack().await;
    let request = stack.client().get(stack.url("/stream")).header("x-probe", "one,hang");
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let cookies: Vec<_> =
        answer.headers().get_all("set-cookie").iter().map(|it| it.to_str().unwrap().to_owned()).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "one\n");
    assert_eq!(stack.environments("probe-stream").await[0]["state"], "busy");
}

/// response-transfer-mode-lambda.html, "Lambda proxy integration format for response streaming": the content type,
/// metadata in JSON, eight NUL bytes within the first 16 KB; handle-errors-in-lambda-integration.html: what is
/// malformed is 502.
#[tokio::test]
async fn a_stream_without_proper_metadata_is_a_502() {
    let stack = stack().await;
    let stream = async |parts: Value, content_type: &str| {
        raw(&stack, "/raw-stream", json!({ "streamed": true, "type": content_type, "parts": parts })).await
    };
    // Braces and delimiter take ten bytes.
    for parts in [json!([r#"{"statusCode":200}"#, DELIMITER, "text"]), json!(["{}", 16_374, DELIMITER, "text"])] {
        let whole = stream(parts.clone(), INTEGRATION_RESPONSE).await;
        assert_eq!((whole.status, whole.text()), (200, "text"), "{parts}");
        assert_eq!(stream(parts.clone(), "application/octet-stream").await.status, 502, "{parts}");
    }
    for parts in [
        json!(["{", DELIMITER, "text"]),
        json!(["[]", DELIMITER, "text"]),
        json!([DELIMITER, "text"]),
        json!([r#"{"statusCode":"soon"}"#, DELIMITER, "text"]),
        json!([r#"{"headers":{"a":{}}}"#, DELIMITER, "text"]),
        json!([r#"{"headers":{"no name":"x"}}"#, DELIMITER, "text"]),
        json!(["{}", 16_375, DELIMITER, "text"]),
        json!(["{}", 200_000]),
        json!(["{}"]),
        json!(["{}\0\0\0\0\0\0\0"]),
        json!([]),
    ] {
        let answer = stream(parts.clone(), INTEGRATION_RESPONSE).await;
        assert_eq!((answer.status, answer.text()), (502, r#"{"message":"Internal server error"}"#), "{parts}");
    }
}

/// response-transfer-mode.html: a stream that breaks off must not look whole to the client.
#[tokio::test]
async fn a_function_that_dies_within_its_stream_cuts_the_clients_connection() {
    let stack = stack().await;
    let request = stack.client().get(stack.url("/stream")).header("x-probe", "one,sleep:200,exit");
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "one\n");
    assert!(answer.chunk().await.is_err(), "the body ended as if it were whole");
    assert_eq!(get(&stack, "/stream", &[]).await.text(), "one\ntwo\n");
}

/// response-transfer-mode.html: the route's time bounds the whole stream: before the head 504, after it the
/// connection is cut.
#[tokio::test]
async fn the_routes_time_bounds_the_whole_stream() {
    let stack = stack().await;
    assert_eq!(get(&stack, "/short-stream", &[("x-probe", "hang")]).await.status, 504);
    stack.control("POST", "/functions/probe-stream/0/kill", Value::Null).await;
    let request = stack.client().get(stack.url("/short-stream")).header("x-probe", "one,sleep:5000,two");
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "one\n");
    assert!(answer.chunk().await.is_err());
}

/// response-transfer-mode-lambda.html: route and function must agree on the format.
#[tokio::test]
async fn a_stream_on_a_buffered_route_or_the_other_way_round_is_a_502() {
    let stack = stack().await;
    let statuses = ["/buffered", "/not-streaming"].map(async |path| get(&stack, path, &[]).await.status);
    assert_eq!(join_all(statuses).await, [502, 502]);
    assert_eq!(get(&stack, "/stream", &[("x-probe", "error")]).await.status, 502);
}
