//! The authorizer, the gateway's own answers, and preflights.

use reqwest::Method;
use serde_json::{Value, json};

use super::{DELIMITER, INTEGRATION_RESPONSE, get, raw, send, stack};

/// api-gateway-lambda-authorizer-input.html: a REQUEST authorizer gets the request without its body, and the method's
/// ARN.
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

/// apigateway-authorization-flow.html (explicit and implicit deny) and api-gateway-gatewayResponse-definition.html:
/// the status, headers and body of the template, with the Deny's context.
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

/// api-gateway-gatewayResponse-definition.html: the template of a media type that the client accepts, else the JSON
/// one.
#[tokio::test]
async fn a_denials_body_is_of_a_media_type_that_the_client_accepts() {
    let stack = stack().await;
    let answer = async |accept| get(&stack, "/closed/7", &[("x-authorizer", "deny"), ("accept", accept)]).await;
    assert_eq!(answer("text/plain").await.text(), "wait 7.");
    assert!(answer("image/webp").await.json()["type"].is_string());
}

/// apigateway-use-lambda-authorizer.html: the error `Unauthorized` is 401; supported-gateway-response-types.html:
/// what is unspecified takes the default of its class.
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

/// supported-gateway-response-types.html, AUTHORIZER_CONFIGURATION_ERROR, and
/// api-gateway-lambda-authorizer-output.html: "you can't set a JSON object or array as a valid value of any key in
/// the context map".
#[tokio::test]
async fn an_authorizers_malformed_answer_is_a_configuration_error() {
    let stack = stack().await;
    for fault in ["malformed", "no-principal", "nested-context"] {
        let answer = get(&stack, "/closed/7", &[("x-authorizer", fault)]).await;
        assert_eq!((answer.status, answer.text()), (500, r#"{"message":null}"#), "{fault}");
        assert_eq!(answer.header("x-default"), "5xx");
    }
}

/// supported-gateway-response-types.html, AUTHORIZER_CONFIGURATION_ERROR, and
/// api-gateway-lambda-authorizer-output.html: the output is one JSON object. A stream is none, whatever it holds.
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

/// how-to-cors.html and "CorsConfiguration" of the SAM guide: OPTIONS of a resource that has none, without the
/// authorizer.
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
