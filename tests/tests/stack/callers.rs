//! The key and the client's address of a request, in all forms.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use reqwest::RequestBuilder;
use rstest::rstest;
use serde_json::{Value, json};
use tests::{Answer, Stack, messages};

/// POSTs a call with these headers, which include the key, and the headers of every call.
async fn call(stack: &Stack, headers: &[(&str, &str)]) -> Answer {
    let request = stack.client().post(stack.url("/v1/messages")).header("anthropic-version", "2023-06-01");
    send(request.json(&messages("Hello")), headers).await
}

async fn send(request: RequestBuilder, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::read(request.send().await.unwrap()).await
}

/// Returns the authorizer's wide event about the request of `answer`.
async fn report(stack: &Stack, answer: &Answer) -> Value {
    stack.wide_event("authorizer", answer.header("x-levee-request-id")).await
}

#[tokio::test]
async fn a_levee_key_is_found_beside_another_services_key_and_costs_no_failed_attempt() {
    let stack = Stack::builder().env("LIMIT_FAILED_AUTH_PER_ADDRESS", "1").start().await;
    stack.skip_to_fresh_window().await;
    let (key, bearer) = (stack.plain_api_key(), format!("Bearer {}", stack.plain_api_key()));
    for headers in [
        [("x-api-key", "anything"), ("authorization", bearer.as_str())],
        [("x-api-key", key), ("authorization", "Bearer anything")],
        [("x-api-key", key), ("authorization", "Basic YTpi")],
        [("x-api-key", ""), ("authorization", bearer.as_str())],
        [("x-api-key", key), ("authorization", bearer.as_str())],
        [("x-api-key", key), ("x-api-key", key)],
    ] {
        let answer = call(&stack, &headers).await;
        assert_eq!(answer.status, 200, "{headers:?}: {answer:?}");
        assert_eq!(report(&stack, &answer).await["account.id"], stack.account_id());
    }
    // None of these calls counted as a failed attempt.
    assert_eq!(call(&stack, &[("x-api-key", "anything"), ("authorization", "Bearer nothing")]).await.status, 401);
    assert_eq!(call(&stack, &[("x-api-key", "anything")]).await.status, 429);
}

#[tokio::test]
async fn a_request_with_two_keys_gets_400_on_every_route_and_counts_as_a_failed_attempt() {
    let stack = Stack::builder().with_demo().env("LIMIT_FAILED_AUTH_PER_ADDRESS", "5").start().await;
    stack.skip_to_fresh_window().await;
    let (key, other) = (stack.plain_api_key().to_owned(), stack.demo_keys()["globex/shop"].clone());
    let bearer = format!("Bearer {other}");
    let two_headers = [("x-api-key", key.as_str()), ("authorization", bearer.as_str())];
    let two_lines = [("x-api-key", key.as_str()), ("x-api-key", other.as_str())];
    let one_is_none = [("x-api-key", "anything"), ("x-api-key", key.as_str())];

    for headers in [two_headers, two_lines, one_is_none] {
        let answer = call(&stack, &headers).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["error"]["type"]), (400, &json!("invalid_request_error")), "{answer:?}");
        assert!(!body.to_string().contains("lv_"), "{body}");
        assert_eq!(answer.header("x-should-retry"), "false");
        let report = report(&stack, &answer).await;
        assert_eq!((&report["verdict"], &report["account.id"]), (&json!("bad_request"), &Value::Null));
        assert!(!report.to_string().contains("lv_"), "{report}");
    }
    for (path, type_name) in [("/v1/models", "error"), ("/v1/usage", "about:blank")] {
        let answer = send(stack.client().get(stack.url(path)), &two_headers).await;
        assert_eq!((answer.status, &answer.json()["type"]), (400, &json!(type_name)), "{path}: {answer:?}");
        assert_eq!(answer.header("x-should-retry"), "false", "{path}");
    }
    let answer = call(&stack, &two_headers).await;
    assert_eq!((answer.status, &answer.json()["policy"]), (429, &json!("failed-auth-address")));
    assert_eq!(call(&stack, &[("x-api-key", &key)]).await.status, 200, "a valid key passes nonetheless");
    assert_eq!(stack.requests("primary").await, 1);
}

#[tokio::test]
async fn a_proxy_secret_with_two_values_gets_400_and_a_blocked_client_never_passes_with_one() {
    let stack = Stack::builder().environments("authorizer=2").start().await;
    let (key, secret) = (stack.api_key().to_owned(), stack.proxy_secret().to_owned());
    let from = |address: &'static str| [("x-api-key", key.as_str()), ("x-forwarded-for", address)];
    let proxy = ("x-levee-proxy-secret", secret.as_str());
    let guess = ("x-levee-proxy-secret", "guess");

    let ambiguous = async |address| {
        let [key, forwarded] = from(address);
        [call(&stack, &[key, forwarded, proxy, guess]).await, call(&stack, &[key, forwarded, guess, proxy]).await]
    };
    for answer in ambiguous("198.51.100.7").await {
        assert_eq!((answer.status, &answer.json()["error"]["type"]), (400, &json!("invalid_request_error")));
    }
    let login = stack.client().post(stack.url("/login"));
    assert_eq!(send(login, &[proxy, guess]).await.status, 400, "on a route without a key too");

    let block = ["block", "add", "198.51.100.0/24", "--reason", "floods"];
    let state = format!("--local={}", stack.state().display());
    let mut levee = tokio::process::Command::new(tests::binaries().join("levee"));
    assert!(levee.args(block).arg(state).output().await.unwrap().status.success());
    for _ in 0..6 {
        for answer in ambiguous("198.51.100.7").await {
            assert_eq!(answer.status, 403, "{answer:?}");
        }
    }
}

#[rstest]
#[case::with_a_port("198.51.100.7:4711", "198.51.100.8:4711")]
#[case::in_brackets("[2001:db8:1::1]:443", "[2001:db8:2::1]:443")]
#[case::in_quotes("\"[2001:db8:1::1]\"", "\"[2001:db8:2::1]\"")]
#[tokio::test]
async fn clients_behind_the_trusted_proxy_are_counted_and_blocked_in_every_form_of_their_address(
    #[case] first: &str,
    #[case] second: &str,
) {
    let stack = Stack::builder().env("LIMIT_AI_PER_ADDRESS", "1").start().await;
    stack.skip_to_fresh_window().await;
    let (key, secret) = (stack.plain_api_key().to_owned(), stack.proxy_secret().to_owned());
    let common = [("x-api-key", key.as_str()), ("x-levee-proxy-secret", secret.as_str())];
    let from = async |address: &str| call(&stack, &[&common[..], &[("x-forwarded-for", address)]].concat()).await;
    let in_lines = async |address: &str| {
        call(&stack, &[&common[..], &[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", address)]].concat()).await
    };

    let answer = from(first).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(report(&stack, &answer).await["UnknownAddress"], 0);
    assert_eq!(in_lines(first).await.status, 429, "it is one client in whatever form");
    assert_eq!(in_lines(second).await.status, 200, "it is another client");
    assert_eq!(from(second).await.status, 429);
}

#[tokio::test]
async fn clients_whose_address_cannot_be_read_are_counted_together_and_never_as_the_proxy() {
    let stack = Stack::builder().env("LIMIT_AI_PER_ADDRESS", "2").start().await;
    stack.skip_to_fresh_window().await;
    let (key, secret) = (stack.plain_api_key().to_owned(), stack.proxy_secret().to_owned());
    let proxied = [("x-api-key", key.as_str()), ("x-levee-proxy-secret", secret.as_str())];
    let from = async |address: &str| call(&stack, &[&proxied[..], &[("x-forwarded-for", address)]].concat()).await;

    let answer = from("unknown").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(report(&stack, &answer).await["UnknownAddress"], 1);
    // A request in which the proxy named no address at all.
    assert_eq!(call(&stack, &proxied).await.status, 200);
    assert_eq!(from("198.51.100.1, nonsense").await.status, 429, "all of them have one count");
    assert_eq!(call(&stack, &proxied[..1]).await.status, 200, "the proxy itself has another");
    let logged = stack.log_lines("authorizer");
    let logged: Vec<_> = logged.iter().filter(|line| line["code"] == "client_address.unknown").collect();
    assert_eq!(logged.len(), 3, "{logged:?}");
    assert!(logged.iter().all(|line| !line.to_string().contains("198.51.100.1")), "{logged:?}");
}

#[tokio::test]
async fn accounts_behind_one_address_do_not_use_up_each_others_calls() {
    let stack = Stack::builder().with_demo().env("LIMIT_AI_PER_ADDRESS", "2").start().await;
    stack.skip_to_fresh_window().await;
    let keys = stack.demo_keys();
    for integration in ["globex/shop", "initech/helpdesk"] {
        let key = &keys[integration];
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(call(&stack, &[("x-api-key", key)]).await.status);
        }
        assert_eq!(statuses, [200, 200, 429], "{integration}");
    }
    // Another integration behind the same address shares its account's count.
    assert_eq!(call(&stack, &[("x-api-key", &keys["globex/warehouse"])]).await.status, 429);
}

#[tokio::test]
async fn token_counts_take_no_place_in_flight_and_are_bounded_by_a_policy_of_their_own() {
    let stack = Stack::builder()
        .env("LIMIT_AI_PER_ADDRESS", "1")
        .env("LIMIT_ACCOUNT_IN_FLIGHT", "1")
        .env("LIMIT_COUNT_TOKENS_PER_MINUTE", "18")
        .environments("authorizer=2,ai-proxy=4")
        .start()
        .await;
    stack.skip_to_fresh_window().await;
    let key = stack.plain_api_key();
    let count = async || stack.call_with_key(key, "/v1/messages/count_tokens", &messages("Hello")).await;
    let models = async || {
        let headers = [("x-api-key", key), ("anthropic-version", "2023-06-01")];
        send(stack.client().get(stack.url("/v1/models")), &headers).await
    };

    let answers = futures_util::future::join_all((0..18).map(|_| count())).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert!(!answers[0].header("ratelimit").contains("in-flight"), "{answers:?}");
    for answer in [models().await, models().await] {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let refused = count().await;
    assert_eq!((refused.status, &refused.json()["policy"]), (429, &json!("count-tokens")), "{refused:?}");
    // The only message of the address has not been used up.
    let answer = stack.call_with_key(key, "/v1/messages", &messages("Hello")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
