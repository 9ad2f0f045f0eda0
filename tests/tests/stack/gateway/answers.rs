//! Conversion of a function's answer to HTTP.

use serde_json::json;
use tests::{Answer, Stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{answered, connect, get, headers_of, stack};

/// handle-errors-in-lambda-integration.html: a function's error and a malformed answer are 502.
#[tokio::test]
async fn an_error_or_a_malformed_answer_of_a_function_is_a_502() {
    let stack = stack().await;
    let malformed = [
        json!("text"),
        json!({}),
        json!({ "statusCode": "soon" }),
        json!({ "statusCode": 200, "body": { "a": 1 } }),
        json!({ "statusCode": 200, "headers": { "a": {} } }),
        json!({ "statusCode": 200, "headers": { "no name": "x" } }),
        json!({ "statusCode": 200, "extra": true }),
    ];
    for answer in malformed {
        assert_eq!(answered(&stack, answer.clone()).await.status, 502, "{answer}");
    }
    for fault in ["error", "panic", "exit", "big:7000000"] {
        let answer = get(&stack, "/echo", &[("x-probe", fault)]).await;
        assert_eq!((answer.status, answer.text()), (502, r#"{"message":"Internal server error"}"#), "{fault}");
        assert_eq!(answer.header("x-default"), "5xx");
    }
}

/// set-up-lambda-proxy-integrations.html: `headers` and `multiValueHeaders` become one list; the default type is JSON.
#[tokio::test]
async fn a_functions_headers_of_both_kinds_are_merged() {
    let stack = stack().await;
    let answer = json!({
        "statusCode": "201", "headers": { "x-a": "1", "x-n": 5 }, "multiValueHeaders": { "x-a": ["1", "2"], "set-cookie": ["c=1", "d=2"] },
    });
    let headers = headers_of(&stack, "/echo", &format!("answer:{answer}")).await;
    let all = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((all("x-a"), all("x-n")), (vec!["1", "2"], vec!["5"]));
    assert_eq!(all("set-cookie"), ["c=1", "d=2"]);
    assert_eq!(all("content-type"), ["application/json"]);
    assert_eq!(answered(&stack, answer).await.status, 201);
}

/// api-gateway-known-issues.html, the table of headers that are remapped; every answer has a request id.
#[tokio::test]
async fn headers_that_the_gateway_keeps_for_itself_are_remapped() {
    let stack = stack().await;
    let sent = json!({ "www-authenticate": "Bearer", "server": "mine", "date": "then", "connection": "close", "content-length": "7" });
    let answer = answered(&stack, json!({ "statusCode": 200, "headers": sent, "body": "x" })).await;
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(answer.header(&format!("x-amzn-remapped-{name}")), value, "{name}");
    }
    assert_eq!((answer.header("www-authenticate"), answer.header("content-length")), ("", "1"));
    for name in ["x-amzn-requestid", "x-amz-apigw-id", "x-amzn-trace-id"] {
        assert!(!answer.header(name).is_empty(), "{name}");
    }
}

/// lambda-proxy-binary-media.html and api-gateway-payload-encodings-workflow.html: by the API's binary media types.
#[tokio::test]
async fn bodies_of_binary_media_types_travel_as_base64_both_ways() {
    let stack = stack().await;
    let post = async |content_type: &str| {
        let request =
            stack.client().post(stack.url("/echo")).header("content-type", content_type).body(vec![0xff, 0x00]);
        Answer::read(request.send().await.unwrap()).await.json()
    };
    let event = post("image/png").await;
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
    assert_eq!(post("application/octet-stream").await["isBase64Encoded"], json!(false));

    let accepting = async |accept| get(&stack, "/echo", &[("x-probe", "binary"), ("accept", accept)]).await.body;
    assert_eq!(accepting("image/png").await, b"\x89PNG\r\n\x1a\n");
    assert_eq!(accepting("text/html").await, b"iVBORw0KGgo=");
    // supported-gateway-response-types.html, API_CONFIGURATION_ERROR: "when base64 decoding fails on binary data".
    let bad = get(&stack, "/echo", &[("x-probe", "bad-base64"), ("accept", "image/png")]).await;
    assert_eq!(bad.status, 500);
}

/// apigateway-custom-domain-tls-version.html: APIs are served over TLS; `X-Forwarded-Proto` says so.
#[tokio::test]
async fn https_is_served_with_the_certificate_of_the_state_folder() {
    let stack = Stack::builder().template("tests/fixtures/template.yaml").tls().start().await;
    assert!(stack.local("url").starts_with("https://localhost:"), "{}", stack.local("url"));
    let event = get(&stack, "/echo", &[]).await.json();
    assert_eq!(event["headers"]["X-Forwarded-Proto"], "https");
}

#[tokio::test]
async fn the_status_line_of_529_has_a_reason() {
    let stack = stack().await;
    let mut socket = connect(&stack).await;
    let probe = json!({ "statusCode": 529 });
    let request =
        format!("GET /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-probe: answer:{probe}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.lines().next(), Some("HTTP/1.1 529 Overloaded"));
}
