//! The local gateway behaves as API Gateway REST. One test a rule, each naming the page of the API Gateway developer guide
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/>) or the SAM or Lambda guide that it follows.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use futures_util::future::join_all;
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};
use tests::{Answer, Stack};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Ends the metadata of a stream.
const DELIMITER: &str = "\0\0\0\0\0\0\0\0";
/// The content type of a stream that begins with metadata.
const INTEGRATION_RESPONSE: &str = "application/vnd.awslambda.http-integration-response";

async fn stack() -> Stack {
    Stack::builder().template("tests/fixtures/template.yaml").start().await
}

async fn send(stack: &Stack, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = stack.client().request(method, stack.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(request.send().await.unwrap()).await
}

async fn get(stack: &Stack, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(stack, Method::GET, path, headers).await
}

/// What a probe answers with `answer` as its whole result.
async fn answered(stack: &Stack, answer: Value) -> Answer {
    get(stack, "/echo", &[("x-probe", &format!("answer:{answer}"))]).await
}

/// What comes of an answer that is sent as it is, in `type`, `parts` and `streamed`: see probe-raw.rs.
async fn raw(stack: &Stack, path: &str, answer: Value) -> Answer {
    get(stack, path, &[("x-raw", &answer.to_string())]).await
}

/// A connection to the gateway, for what no client sends.
async fn connect(stack: &Stack) -> TcpStream {
    TcpStream::connect(stack.local("url").strip_prefix("http://").unwrap()).await.unwrap()
}

async fn headers_of(stack: &Stack, path: &str, probe: &str) -> HeaderMap {
    stack.client().get(stack.url(path)).header("x-probe", probe).send().await.unwrap().headers().clone()
}

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

/// api-gateway-known-issues.html: "REST APIs decode URL-encoded request parameters before passing them to backend integrations".
#[tokio::test]
async fn parameters_of_the_path_are_decoded() {
    let stack = stack().await;
    let event = get(&stack, "/echo/a%20b/c/d%2Fe", &[]).await.json();
    assert_eq!(event["resource"], "/echo/{id}/{rest+}");
    assert_eq!(event["pathParameters"], json!({ "id": "a b", "rest": "c/d/e" }));
    assert_eq!(event["requestContext"]["path"], "/echo/a%20b/c/d%2Fe");
}

/// api-gateway-set-up-simple-proxy.html and api-gateway-method-settings-method-request.html: the most specific resource serves.
#[tokio::test]
async fn a_literal_part_wins_over_a_variable_one_and_that_over_a_greedy_one() {
    let stack = stack().await;
    let resource = async |path| get(&stack, path, &[]).await.json()["resource"].clone();
    assert_eq!(resource("/").await, "/");
    assert_eq!(resource("/echo/own").await, "/echo/own");
    assert_eq!(resource("/echo/other").await, "/echo/{id}");
    assert_eq!(resource("/echo/own/deeper").await, "/echo/{id}/{rest+}");
}

/// supported-gateway-response-types.html, MISSING_AUTHENTICATION_TOKEN: "including the cases when the client attempts to invoke an
/// unsupported API method or resource".
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

/// how-to-call-api.html: an API's own domain has the stage first in the path; api-gateway-mapping-template-reference.html:
/// `$context.path` includes it.
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

/// set-up-lambda-proxy-integrations.html: the example's `X-Forwarded-For` ends with the caller's address; X-Forwarded-Port,
/// X-Forwarded-Proto and X-Amzn-Trace-Id are added.
#[tokio::test]
async fn the_callers_address_is_appended_to_the_forwarding_header() {
    let stack = stack().await;
    let event = get(&stack, "/echo", &[("x-forwarded-for", "203.0.113.7"), ("connection", "close")]).await.json();
    let headers = &event["headers"];
    assert_eq!(headers["X-Forwarded-For"], "203.0.113.7, 127.0.0.1");
    assert_eq!(headers["X-Forwarded-Proto"], "http");
    assert!(headers["X-Amzn-Trace-Id"].as_str().unwrap().starts_with("Root=1-"));
    assert_eq!((&headers["x-forwarded-for"], &headers["connection"]), (&Value::Null, &Value::Null));
}

/// xray-services-apigateway.html of the X-Ray guide: a tracing header is added to "incoming HTTP requests that don't already
/// have one"; one that is there is propagated.
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

/// api-gateway-method-settings-method-request.html: a resource's path has no slash at its end, and no page gives one in the
/// request a meaning. Where the slash names nothing, the resource serves; `path` of the event is as the client sent it.
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
    // Calls are taken in order, so that the broken ones would have been counted before this one.
    assert_eq!(get(&stack, "/echo", &[("x-probe", "pid")]).await.status, 200);
    assert_eq!(stack.invocations("probe").await, [1]);
}

/// api-gateway-lambda-authorizer-input.html: a REQUEST authorizer gets the request without its body, and the method's ARN.
#[tokio::test]
async fn an_authorizer_gets_the_request_and_the_arn_of_what_is_asked_for() {
    let stack = stack().await;
    let event = get(&stack, "/closed/7?q=1", &[]).await.json();
    let seen = event["requestContext"]["authorizer"]["event"].as_str().unwrap();
    let seen: Value = serde_json::from_str(seen).unwrap();
    assert_eq!(seen["type"], "REQUEST");
    let arn = "arn:aws:execute-api:us-east-1:123456789012:leveelocal/local/GET/closed/7";
    assert_eq!(seen["methodArn"], arn);
    assert_eq!((&seen["resource"], &seen["path"]), (&json!("/closed/{id}"), &json!("/closed/7")));
    assert_eq!(seen["queryStringParameters"], json!({ "q": "1" }));
    assert_eq!(seen["pathParameters"], json!({ "id": "7" }));
    assert_eq!(seen["requestContext"]["requestId"], event["requestContext"]["requestId"]);
    assert!(seen.get("body").is_none());
}

/// api-gateway-lambda-authorizer-output.html: context values arrive as text, beside principalId and the latency.
#[tokio::test]
async fn an_authorizers_context_reaches_the_function_as_text() {
    let event = get(&stack().await, "/closed/7", &[]).await.json();
    let authorizer = &event["requestContext"]["authorizer"];
    assert_eq!((&authorizer["wait"], &authorizer["sure"]), (&json!("7"), &json!("true")));
    assert_eq!(authorizer["principalId"], "someone");
    assert!(authorizer["integrationLatency"].is_u64());
}

/// apigateway-authorization-flow.html (explicit and implicit deny) and api-gateway-gatewayResponse-definition.html: the status,
/// headers and body of the template, with the Deny's context.
#[tokio::test]
async fn a_denial_is_answered_as_the_template_says_with_the_denials_context() {
    let stack = stack().await;
    let deny = ("x-authorizer", "deny");
    let answer = get(&stack, "/closed/7?q=of+query", &[deny, ("x-ask", "me")]).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!((answer.header("retry-after"), answer.header("x-asked")), ("7", "me"));
    assert_eq!((answer.header("x-query"), answer.header("x-absent")), ("of query", ""));
    assert_eq!(answer.header("x-request-id"), answer.header("x-amzn-requestid"));
    let body = answer.json();
    assert_eq!((&body["type"], &body["wait"], &body["absent"]), (&json!("limited"), &json!(7), &json!("")));
    assert_eq!(body["request_id"], answer.header("x-amzn-requestid"));
    assert_eq!(body["says"], "User is not authorized to access this resource with an explicit deny");
    assert_eq!(body["costs"], "$5");

    let implicit = get(&stack, "/closed/7", &[("x-authorizer", "allow-something-else")]).await;
    assert_eq!(implicit.json()["says"], "User is not authorized to access this resource");
}

/// api-gateway-gatewayResponse-definition.html: the template of a media type that the client accepts, else the JSON one.
#[tokio::test]
async fn a_denials_body_is_of_a_media_type_that_the_client_accepts() {
    let stack = stack().await;
    let answer = async |accept| get(&stack, "/closed/7", &[("x-authorizer", "deny"), ("accept", accept)]).await;
    assert_eq!(answer("text/plain").await.text(), "wait 7.");
    assert!(answer("image/webp").await.json()["type"].is_string());
}

/// apigateway-use-lambda-authorizer.html: the error `Unauthorized` is 401; supported-gateway-response-types.html: what is
/// unspecified takes the default of its class.
#[tokio::test]
async fn the_error_unauthorized_is_a_401_shaped_by_the_default() {
    let answer = get(&stack().await, "/closed/7", &[("x-authorizer", "unauthorized")]).await;
    assert_eq!((answer.status, answer.text()), (401, r#"{"message":"Unauthorized"}"#));
    assert_eq!(answer.header("x-default"), "4xx");
}

/// supported-gateway-response-types.html, AUTHORIZER_FAILURE: and the next caller is served.
#[tokio::test]
async fn an_authorizer_that_fails_is_an_authorizer_failure() {
    let stack = stack().await;
    for fault in ["error", "panic", "exit"] {
        let answer = get(&stack, "/closed/7", &[("x-authorizer", fault)]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{fault}");
        assert_eq!(get(&stack, "/closed/7", &[]).await.status, 200, "after {fault}");
    }
}

/// supported-gateway-response-types.html, AUTHORIZER_CONFIGURATION_ERROR, and api-gateway-lambda-authorizer-output.html: "you can't
/// set a JSON object or array as a valid value of any key in the context map".
#[tokio::test]
async fn an_authorizers_malformed_answer_is_a_configuration_error() {
    let stack = stack().await;
    for fault in ["malformed", "no-principal", "nested-context"] {
        let answer = get(&stack, "/closed/7", &[("x-authorizer", fault)]).await;
        assert_eq!((answer.status, answer.text()), (500, r#"{"message":null}"#), "{fault}");
        assert_eq!(answer.header("x-default"), "5xx");
    }
}

/// supported-gateway-response-types.html, AUTHORIZER_CONFIGURATION_ERROR, and api-gateway-lambda-authorizer-output.html: the output is
/// one JSON object. A stream is none, whatever it holds.
#[tokio::test]
async fn an_authorizer_that_streams_or_answers_no_json_is_a_configuration_error() {
    let stack = stack().await;
    let allow = json!({
        "principalId": "someone",
        "policyDocument": { "Statement": [{ "Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*" }] },
    });
    let allow = allow.to_string();
    assert_eq!(raw(&stack, "/raw-closed", json!({ "parts": [allow] })).await.status, 200);
    for fault in [
        json!({ "parts": [allow], "streamed": true }),
        json!({ "parts": ["{}", DELIMITER, allow], "streamed": true, "type": INTEGRATION_RESPONSE }),
        json!({ "parts": [allow, "and more"] }),
        json!({ "parts": [] }),
    ] {
        let answer = raw(&stack, "/raw-closed", fault.clone()).await;
        assert_eq!((answer.status, answer.text()), (500, r#"{"message":null}"#), "{fault}");
        assert_eq!(answer.header("x-amzn-errortype"), "AuthorizerConfigurationException");
    }
    assert_eq!(stack.invocations("probe").await, [1]);
}

/// api-gateway-execution-service-limits-table.html: an ARN of over 1600 bytes is 414.
#[tokio::test]
async fn a_path_too_long_for_its_arn_is_414() {
    let answer = get(&stack().await, &format!("/closed/{}", "x".repeat(1600)), &[]).await;
    assert_eq!(answer.status, 414);
}

/// how-to-cors.html and "CorsConfiguration" of the SAM guide: OPTIONS of a resource that has none, without the authorizer.
#[tokio::test]
async fn a_preflight_is_answered_without_function_and_authorizer() {
    let stack = stack().await;
    let answer = send(&stack, Method::OPTIONS, "/closed/7", &[("x-authorizer", "deny")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
    assert_eq!(answer.header("access-control-allow-headers"), "x-api-key");
    assert_eq!(answer.header("access-control-allow-methods"), "GET,OPTIONS");
    assert_eq!(answer.header("access-control-max-age"), "600");
    assert_eq!(stack.invocations("probe-authorizer").await, [0]);
}

/// api-gateway-execution-service-limits-table.html, "Payload size: 10 MB", and Lambda's gettingstarted-limits.html, "6 MB" for an event.
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

/// api-gateway-execution-service-limits-table.html: "Total combined size of request line and header values: 10240 bytes".
#[tokio::test]
async fn a_head_over_10240_bytes_is_431() {
    let stack = stack().await;
    assert_eq!(get(&stack, "/echo", &[("x-long", &"x".repeat(10_240))]).await.status, 431);
    assert_eq!(get(&stack, "/echo", &[("x-long", &"x".repeat(9_900))]).await.status, 200);
}

/// supported-gateway-response-types.html, INTEGRATION_TIMEOUT, after the route's TimeoutInMillis; the function may go on.
#[tokio::test]
async fn an_answer_after_the_routes_time_is_a_504() {
    let stack = stack().await;
    let answer = get(&stack, "/short", &[("x-probe", "sleep:900")]).await;
    assert_eq!((answer.status, answer.text()), (504, r#"{"message":"Endpoint request timed out"}"#));
    assert_eq!(answer.header("x-default"), "5xx");
    let pid = stack.environments("probe").await[0]["pid"].clone();
    assert_eq!(get(&stack, "/echo", &[("x-probe", "pid")]).await.text(), pid.to_string());
}

/// api-gateway-execution-service-limits-table.html, "Integration timeout": it bounds the integration as a whole, the wait for a free
/// environment included.
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

/// Lambda's gettingstarted-limits.html, "Concurrent executions: 1,000", and API_Invoke.html, TooManyRequestsException beyond them;
/// in a proxy integration that is an "Internal server error" (handle-errors-in-lambda-integration.html), 500.
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
    // Nobody waits for the thousand any more, so that the function is not called for them.
    stack.control("POST", "/functions/probe/0/thaw", Value::Null).await;
    let served = async || (get(&stack, "/echo", &[("x-probe", "pid")]).await.status == 200).then_some(());
    tests::wait_for(served).await;
    assert_eq!(stack.invocations("probe").await, [1]);
}

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

/// response-transfer-mode-lambda.html, "Lambda proxy integration format for response streaming": the content type, metadata in JSON,
/// eight NUL bytes within the first 16 KB; handle-errors-in-lambda-integration.html: what is malformed is 502.
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

/// response-transfer-mode.html: the route's time bounds the whole stream: before the head 504, after it the connection is cut.
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

/// apigateway-custom-domain-tls-version.html: APIs are served over TLS; `X-Forwarded-Proto` says so.
#[tokio::test]
async fn https_is_served_with_the_certificate_of_the_state_folder() {
    let stack = Stack::builder().template("tests/fixtures/template.yaml").tls().start().await;
    assert!(stack.local("url").starts_with("https://localhost:"), "{}", stack.local("url"));
    let event = get(&stack, "/echo", &[]).await.json();
    assert_eq!(event["headers"]["X-Forwarded-Proto"], "https");
}
