//! Routing, and the events of functions.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{answered, connect, get, send, stack};

/// set-up-lambda-proxy-integrations.html, "Input format of a Lambda function for proxy integration".
#[tokio::test]
async fn a_function_gets_the_proxy_event() {
    let stack = stack().await;
    let request = stack.client().post(stack.url("/echo?a=1&b=%20x&a=2")).header("x-twice", "1").header("x-twice", "2");
    let event = Answer::read(request.body("text").send().await.unwrap()).await.json();
    assert_eq!(event["resource"], "/echo");
    assert_eq!(event["path"], "/echo");
    assert_eq!(event["httpMethod"], "POST");
    assert_eq!(event["queryStringParameters"], json!({ "a": "2", "b": " x" }));
    assert_eq!(event["multiValueQueryStringParameters"], json!({ "a": ["1", "2"], "b": [" x"] }));
    assert_eq!(event["headers"]["x-twice"], "2");
    assert_eq!(event["multiValueHeaders"]["x-twice"], json!(["1", "2"]));
    assert_eq!((&event["pathParameters"], &event["stageVariables"]), (&Value::Null, &Value::Null));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("text"), &json!(false)));
    let context = &event["requestContext"];
    assert_eq!(context["path"], "/echo");
    assert_eq!(context["stage"], "local");
    assert_eq!(context["resourcePath"], "/echo");
    assert_eq!(context["identity"]["sourceIp"], "127.0.0.1");
    assert_eq!(context["protocol"], "HTTP/1.1");
    assert!(context["requestTimeEpoch"].is_i64());
    for name in ["requestId", "extendedRequestId", "apiId", "accountId", "domainName", "requestTime", "resourceId"] {
        assert!(context[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {context}");
    }
}

/// set-up-lambda-proxy-integrations.html: absent maps and an empty body are null.
#[tokio::test]
async fn what_a_request_lacks_is_null_in_its_event() {
    let event = get(&stack().await, "/echo", &[]).await.json();
    for name in ["queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "body"] {
        assert_eq!(event[name], Value::Null, "{name}");
    }
}

/// api-gateway-known-issues.html: "REST APIs decode URL-encoded request parameters before passing them to backend
/// integrations".
#[tokio::test]
async fn parameters_of_the_path_are_decoded() {
    let stack = stack().await;
    let event = get(&stack, "/echo/a%20b/c/d%2Fe", &[]).await.json();
    assert_eq!(event["resource"], "/echo/{id}/{rest+}");
    assert_eq!(event["pathParameters"], json!({ "id": "a b", "rest": "c/d/e" }));
    assert_eq!(event["requestContext"]["path"], "/echo/a%20b/c/d%2Fe");
}

/// api-gateway-set-up-simple-proxy.html and api-gateway-method-settings-method-request.html: the most specific
/// resource serves.
#[tokio::test]
async fn a_literal_part_wins_over_a_variable_one_and_that_over_a_greedy_one() {
    let stack = stack().await;
    let resource = async |path| get(&stack, path, &[]).await.json()["resource"].clone();
    assert_eq!(resource("/").await, "/");
    assert_eq!(resource("/echo/own").await, "/echo/own");
    assert_eq!(resource("/echo/other").await, "/echo/{id}");
    assert_eq!(resource("/echo/own/deeper").await, "/echo/{id}/{rest+}");
}

/// supported-gateway-response-types.html, MISSING_AUTHENTICATION_TOKEN: "including the cases when the client attempts
/// to invoke an unsupported API method or resource".
#[tokio::test]
async fn an_unknown_route_or_method_is_a_missing_authentication_token() {
    let stack = stack().await;
    for (method, path) in [(Method::GET, "/nothing"), (Method::POST, "/echo/own"), (Method::HEAD, "/echo/own")] {
        let answer = send(&stack, method.clone(), path, &[]).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert_eq!(answer.header("x-amzn-errortype"), "MissingAuthenticationTokenException");
        if method != Method::HEAD {
            assert_eq!(answer.text(), r#"{"message":"Missing Authentication Token"}"#);
        }
    }
}

/// supported-gateway-response-types.html, INVALID_SIGNATURE: without an authorizer in the way, an `Authorization`
/// header is read as a signature, and API Gateway's message repeats it.
#[tokio::test]
async fn an_unknown_route_with_an_authorization_header_is_an_invalid_signature() {
    let stack = stack().await;
    for (method, path) in [(Method::GET, "/nothing"), (Method::POST, "/echo/own"), (Method::GET, "/closed")] {
        let answer = send(&stack, method.clone(), path, &[("authorization", "Bearer abc")]).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert_eq!(answer.header("x-amzn-errortype"), "IncompleteSignatureException");
        assert!(
            answer.json()["message"].as_str().unwrap().ends_with("in Authorization header: 'Bearer abc'."),
            "{answer:?}"
        );
    }
}

/// api-gateway-set-up-simple-proxy.html: ANY is every method, HEAD among them, whose answer has no body.
#[tokio::test]
async fn any_answers_every_method() {
    let stack = stack().await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS] {
        let answer = send(&stack, method.clone(), "/echo", &[]).await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.body.is_empty(), method == Method::HEAD);
    }
}

/// how-to-call-api.html: an API's own domain has the stage first in the path;
/// api-gateway-mapping-template-reference.html: `$context.path` includes it.
#[tokio::test]
async fn under_a_stage_paths_begin_with_it_and_others_are_unknown() {
    let stack = Stack::builder().template("tests/fixtures/template.yaml").stage("prod").start().await;
    assert!(stack.local("url").ends_with("/prod"));
    let event = get(&stack, "/echo", &[]).await.json();
    assert_eq!((&event["path"], &event["requestContext"]["path"]), (&json!("/echo"), &json!("/prod/echo")));
    assert_eq!(event["requestContext"]["stage"], "prod");
    let root = stack.local("url").strip_suffix("/prod").unwrap().to_owned();
    for path in ["/echo", "/production/echo", "/"] {
        let answer = stack.client().get(format!("{root}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
    }
}

/// set-up-lambda-proxy-integrations.html: the example's `X-Forwarded-For` ends with the caller's address;
/// X-Forwarded-Port, X-Forwarded-Proto and X-Amzn-Trace-Id are added.
#[tokio::test]
async fn the_callers_address_is_appended_to_the_forwarding_header() {
    let stack = stack().await;
    let event = get(&stack, "/echo", &[("x-forwarded-for", "203.0.113.7"), ("connection", "close")]).await.json();
    let headers = &event["headers"];
    assert_eq!(headers["X-Forwarded-For"], "203.0.113.7, 127.0.0.1");
    assert_eq!(headers["X-Forwarded-Proto"], "http");
    assert!(headers["X-Amzn-Trace-Id"].as_str().unwrap().starts_with("Root=1-"));
    assert_eq!((&headers["x-forwarded-for"], &headers["connection"]), (&Value::Null, &Value::Null));

    let lines = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "198.51.100.1")];
    let event = get(&stack, "/echo", &lines).await.json();
    assert_eq!(event["headers"]["X-Forwarded-For"], "203.0.113.7, 198.51.100.1, 127.0.0.1");
}

/// xray-services-apigateway.html of the X-Ray guide: a tracing header is added to "incoming HTTP requests that don't
/// already have one"; one that is there is propagated.
#[tokio::test]
async fn a_trace_that_the_client_began_goes_on() {
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let answer = get(&stack().await, "/echo", &[("x-amzn-trace-id", trace)]).await;
    let event = answer.json();
    assert_eq!(event["headers"]["X-Amzn-Trace-Id"], trace);
    assert_eq!(event["multiValueHeaders"]["X-Amzn-Trace-Id"], json!([trace]));
    assert_eq!(event["headers"]["x-amzn-trace-id"], Value::Null);
    assert_eq!(answer.header("x-amzn-trace-id"), trace);
}

/// api-gateway-variables-for-access-logging.html, `$context.requestId`: "Clients can override this request ID", but not
/// `$context.extendedRequestId`.
#[tokio::test]
async fn a_client_may_choose_its_request_id_but_not_the_extended_one() {
    let stack = stack().await;
    let ask = async || get(&stack, "/echo", &[("x-amzn-RequestId", "chosen"), ("x-amz-apigw-id", "chosen")]).await;
    let (first, second) = (ask().await, ask().await);
    for answer in [&first, &second] {
        let context = &answer.json()["requestContext"];
        assert_eq!((&context["requestId"], answer.header("x-amzn-requestid")), (&json!("chosen"), "chosen"));
        assert_eq!(context["extendedRequestId"], answer.header("x-amz-apigw-id"));
    }
    let extended = [&first, &second].map(|answer| answer.header("x-amz-apigw-id"));
    assert!(extended[0] != extended[1] && !extended.contains(&"chosen"), "{extended:?}");
}

/// api-gateway-method-settings-method-request.html: a resource's path has no slash at its end, and no page gives one
/// in the request a meaning. Where the slash names nothing, the resource serves; `path` of the event is as the client
/// sent it.
#[tokio::test]
async fn a_slash_at_the_end_of_the_path_names_the_same_resource() {
    let stack = stack().await;
    for (path, resource) in [("/echo/", "/echo"), ("/echo/own/", "/echo/own"), ("/echo/7/", "/echo/{id}")] {
        let event = get(&stack, path, &[]).await.json();
        assert_eq!((&event["resource"], &event["path"]), (&json!(resource), &json!(path)));
    }
    for path in ["/nothing/", "/echo//", "//echo"] {
        assert_eq!(get(&stack, path, &[]).await.status, 403, "{path}");
    }
}

/// api-gateway-known-issues.html, the table of headers: those that concern one connection alone end at the gateway.
#[tokio::test]
async fn headers_of_the_connection_reach_neither_function_nor_client() {
    let stack = stack().await;
    let mut socket = connect(&stack).await;
    let request = "POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\
                   upgrade: h2c\r\ntransfer-encoding: chunked\r\nx-kept: yes\r\n\r\n4\r\ntext\r\n0\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let event: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&event["body"], &event["headers"]["x-kept"]), (&json!("text"), &json!("yes")));
    for name in ["connection", "keep-alive", "te", "upgrade", "transfer-encoding"] {
        assert_eq!(
            (&event["headers"][name], &event["multiValueHeaders"][name]),
            (&Value::Null, &Value::Null),
            "{name}"
        );
    }

    let answer =
        json!({ "statusCode": 200, "headers": { "transfer-encoding": "chunked", "x-kept": "yes" }, "body": "text" });
    let answer = answered(&stack, answer).await;
    assert_eq!((answer.text(), answer.header("content-length"), answer.header("x-kept")), ("text", "4", "yes"));
    assert_eq!((answer.header("transfer-encoding"), answer.header("x-amzn-remapped-transfer-encoding")), ("", ""));
}

/// set-up-lambda-proxy-integrations.html: `body` is the request's payload; RFC 9112, section 8: a message cut short is
/// incomplete, and never taken for a whole one.
#[tokio::test]
async fn a_request_body_that_breaks_off_is_never_passed_on() {
    let stack = stack().await;
    for body in [
        "content-length: 10\r\n\r\ntext",
        "transfer-encoding: chunked\r\n\r\n4\r\ntext\r\n",
        "transfer-encoding: chunked\r\n\r\nno-size\r\n",
    ] {
        let mut socket = connect(&stack).await;
        let request = format!("POST /echo HTTP/1.1\r\nhost: localhost\r\n{body}");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = String::new();
        let _reset = socket.read_to_string(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
    }
    // Calls are handled in order, so the incomplete requests would have been counted before this one.
    assert_eq!(get(&stack, "/echo", &[("x-probe", "pid")]).await.status, 200);
    assert_eq!(stack.invocations("probe").await, [1]);
}
