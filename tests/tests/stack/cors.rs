//! Calls from pages of another origin: none unless the stack allows one, and never with credentials.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use reqwest::Method;
use rstest::rstest;
use tests::{Answer, Stack, messages};

const ROUTES: [(&str, &str); 7] = [
    ("/v1/messages", "POST"),
    ("/v1/messages/count_tokens", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/claude-sonnet-5-5", "GET"),
    ("/v1/usage", "GET"),
    ("/v1/catalogs/modules", "GET"),
    ("/v1/catalogs/modules/crm-sync", "GET"),
];

/// Starts a stack in which `origin` is allowed.
async fn stack(origin: &str) -> Stack {
    let builder = Stack::builder().parameter("AllowedOrigin", origin);
    builder.env("LIMIT_FAILED_AUTH_PER_ADDRESS", "2").start().await
}

async fn ask(stack: &Stack, path: &str, method: &str) -> Answer {
    let request = stack.client().request(Method::OPTIONS, stack.url(path)).header("origin", "https://app.example");
    let request = request.header("access-control-request-method", method);
    let request = request.header("access-control-request-headers", "authorization,anthropic-version,x-api-key");
    Answer::read(request.send().await.unwrap()).await
}

#[rstest]
#[case::one_origin("https://app.example")]
#[case::all_origins("*")]
#[tokio::test]
async fn pages_of_an_allowed_origin_may_call_every_route_of_the_api_and_read_every_answer(#[case] origin: &str) {
    let stack = stack(origin).await;
    stack.skip_to_fresh_window().await;
    for (path, method) in ROUTES {
        let answer = ask(&stack, path, method).await;
        let allowed = ["origin", "methods", "headers", "credentials"];
        let allowed = allowed.map(|what| answer.header(&format!("access-control-allow-{what}")).to_owned());
        assert_eq!(
            (answer.status, allowed),
            (204, [origin, method, "authorization, *", ""].map(str::to_owned)),
            "{path}"
        );
    }

    let call = messages("Hello");
    let answers = [
        (200, stack.call("/v1/messages", &call).await),
        (200, stack.get("/v1/usage").await),
        (400, stack.call("/v1/messages", &serde_json::json!([])).await),
        (404, stack.get("/v1/nothing").await),
        (404, stack.get("/v1/messages").await),
        (413, stack.call("/v1/messages", &messages(&"x".repeat(7 * 1024 * 1024))).await),
        (401, stack.call_with_key("nonsense", "/v1/messages", &call).await),
        (401, stack.call_with_key("nonsense", "/v1/messages", &call).await),
        (429, stack.call_with_key("nonsense", "/v1/messages", &call).await),
    ];
    for (status, answer) in answers {
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, origin), "{answer:?}");
        assert_eq!(answer.header("access-control-expose-headers"), "*", "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{answer:?}");
    }
    // The board is never available to other origins.
    for path in ["/login", "/admin", "/health"] {
        assert_eq!(ask(&stack, path, "GET").await.header("access-control-allow-headers"), "", "{path}");
    }
    assert_eq!(stack.get("/health").await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn an_origin_that_is_given_to_the_functions_alone_is_refused_with_the_way_to_give_it() {
    let output = Stack::builder().env("ALLOWED_ORIGIN", "*").try_start().await.unwrap_err();
    assert!(output.contains("start with --parameter AllowedOrigin=…"), "{output}");
    let output = Stack::builder().parameter("NoSuch", "1").try_start().await.unwrap_err();
    assert!(output.contains("the template has no parameter NoSuch"), "{output}");
}

#[tokio::test]
async fn by_default_no_page_of_another_origin_may_call() {
    let stack = Stack::builder().start().await;
    for (path, method) in ROUTES {
        let answer = ask(&stack, path, method).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (404, ""), "{path}: {answer:?}");
    }
    for answer in [stack.call("/v1/messages", &messages("Hello")).await, stack.get("/v1/nothing").await] {
        assert_eq!(answer.header("access-control-allow-origin"), "", "{answer:?}");
    }
}
