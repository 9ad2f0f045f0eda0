//! Limits on the size and duration of a request.

use futures_util::future::join_all;
use serde_json::Value;
use tests::Answer;

use super::{get, stack};

/// api-gateway-execution-service-limits-table.html, "Payload size: 10 MB", and Lambda's gettingstarted-limits.html,
/// "6 MB" for an event.
#[tokio::test]
async fn a_body_over_the_payload_or_the_event_limit_is_413() {
    let stack = stack().await;
    for size in [6 * 1024 * 1024, 10 * 1024 * 1024 + 1] {
        let answer = stack.client().post(stack.url("/echo")).body("x".repeat(size)).send().await.unwrap();
        let answer = Answer::read(answer).await;
        assert_eq!((answer.status, answer.text()), (413, r#"{"message":"Request Too Long"}"#), "{size}");
    }
    let just_fits = stack.client().post(stack.url("/echo")).header("x-probe", "pid").body("x".repeat(6 * 1000 * 1000));
    assert_eq!(just_fits.send().await.unwrap().status(), 200);
}

/// api-gateway-execution-service-limits-table.html: "Total combined size of request line and header values: 10240
/// bytes".
#[tokio::test]
async fn a_head_over_10240_bytes_is_431() {
    let stack = stack().await;
    assert_eq!(get(&stack, "/echo", &[("x-long", &"x".repeat(10_240))]).await.status, 431);
    assert_eq!(get(&stack, "/echo", &[("x-long", &"x".repeat(9_900))]).await.status, 200);
}

/// RFC 9112, section 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
/// … that contains more than one Host header field line or a Host header field with an invalid field value."
#[tokio::test]
async fn a_host_that_is_none_is_400() {
    let stack = stack().await;
    for host in ["<x>", "a b", "a\"b", "a%22b", "a|b", "a/b", "user@host", "a?b", "host:port", "[::1"] {
        assert_eq!(get(&stack, "/echo", &[("host", host)]).await.status, 400, "{host}");
    }
    for host in ["levee.example", "levee.example:8080", "[::1]:8080", "127.0.0.1"] {
        assert_eq!(get(&stack, "/echo", &[("host", host)]).await.status, 200, "{host}");
    }
}

/// supported-gateway-response-types.html, INTEGRATION_TIMEOUT, after the route's TimeoutInMillis; the function may go
/// on.
#[tokio::test]
async fn an_answer_after_the_routes_time_is_a_504() {
    let stack = stack().await;
    let answer = get(&stack, "/short", &[("x-probe", "sleep:900")]).await;
    assert_eq!((answer.status, answer.text()), (504, r#"{"message":"Endpoint request timed out"}"#));
    assert_eq!(answer.header("x-default"), "5xx");
    let pid = stack.environments("probe").await[0]["pid"].clone();
    assert_eq!(get(&stack, "/echo", &[("x-probe", "pid")]).await.text(), pid.to_string());
}

/// api-gateway-execution-service-limits-table.html, "Integration timeout": it bounds the integration as a whole, the
/// wait for a free environment included.
#[tokio::test]
async fn waiting_for_an_environment_counts_in_the_routes_time() {
    let stack = stack().await;
    let busy = get(&stack, "/echo", &[("x-probe", "sleep:1500")]);
    let waiting = async {
        stack.busy_environment("probe").await;
        get(&stack, "/short", &[("x-probe", "pid")]).await.status
    };
    let (busy, waiting) = tokio::join!(busy, waiting);
    assert_eq!((busy.status, waiting), (200, 504));
}

/// Lambda's gettingstarted-limits.html, "Concurrent executions: 1,000", and API_Invoke.html, TooManyRequestsException
/// beyond them; in a proxy integration that is an "Internal server error"
/// (handle-errors-in-lambda-integration.html), 500.
#[tokio::test]
async fn a_call_for_which_there_is_no_more_room_is_a_500() {
    let stack = stack().await;
    stack.control("POST", "/functions/probe/0/freeze", Value::Null).await;
    tests::wait_for(async || (stack.environments("probe").await[0]["state"] == "held").then_some(())).await;
    for _ in 0..5 {
        let waiting = join_all((0..200).map(|_| get(&stack, "/short", &[]))).await;
        assert!(waiting.iter().all(|answer| answer.status == 504));
    }
    let answer = get(&stack, "/short", &[]).await;
    assert_eq!((answer.status, answer.text()), (500, r#"{"message":"Internal server error"}"#));
    assert_eq!(answer.header("x-default"), "5xx");
    // The callers of these thousand calls have gone, so the function is not called for them.
    stack.control("POST", "/functions/probe/0/thaw", Value::Null).await;
    let served = async || (get(&stack, "/echo", &[("x-probe", "pid")]).await.status == 200).then_some(());
    tests::wait_for(served).await;
    assert_eq!(stack.invocations("probe").await, [1]);
}
