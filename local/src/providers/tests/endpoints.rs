//! The front door, the models, the token counts: everything besides a message's content.

use serde_json::json;

use super::client::{Stage, message};

#[tokio::test]
async fn a_call_needs_the_key_and_the_version() {
    let stage = Stage::set().await;
    let (key, version) = (("x-api-key", stage.provider.api_key()), ("anthropic-version", "2023-06-01"));
    let json = ("content-type", "application/json");
    let bearer = format!("Bearer {}", stage.provider.api_key());
    let body = message(json!({})).to_string();
    for (headers, status, kind) in [
        (&[version, json][..], 401, "authentication_error"),
        (&[("x-api-key", "sk-wrong"), version, json], 401, "authentication_error"),
        (&[key, json], 400, "invalid_request_error"),
        (&[key, ("anthropic-version", "1999-01-01"), json], 400, "invalid_request_error"),
        (&[key, version, json], 200, ""),
        (&[key, ("anthropic-version", "2026-10-21"), json], 200, ""),
        (&[("authorization", &bearer), version, json], 200, ""),
    ] {
        let answer = stage.call("POST", "/v1/messages", headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status != 200 {
            let envelope = answer.json();
            assert_eq!(envelope["type"], "error");
            assert_eq!(envelope["error"]["type"], kind);
            assert_eq!(envelope["request_id"], answer.header("request-id").unwrap());
        }
    }
    let shown = stage.shown().await;
    assert_eq!((&shown["refused"], &shown["requests"]), (&json!(4), &json!(3)));
}

#[tokio::test]
async fn a_body_that_is_no_valid_request_is_refused_as_anthropic_does() {
    let stage = Stage::set().await;
    let key = stage.provider.api_key();
    let headers = [("x-api-key", key), ("anthropic-version", "2023-06-01"), ("content-type", "application/json")];
    let answer = stage.call("POST", "/v1/messages", &headers, b"{\"model\"").await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (400, &json!("invalid_request_error")));

    let answer = stage.message(json!({ "max_tokens": null })).await;
    assert_eq!((answer.status, &answer.json()["error"]["message"]), (400, &json!("max_tokens: Field required")));
    let answer = stage.message(json!({ "model": "gpt-4" })).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (404, &json!("not_found_error")));

    let large = vec![b' '; 32 * 1024 * 1024 + 1];
    let answer = stage.call("POST", "/v1/messages", &headers, &large).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (413, &json!("request_too_large")));
    assert_eq!(stage.shown().await["last_request"]["body_length"], large.len());
}

#[tokio::test]
async fn every_answer_has_anthropics_headers_and_some_that_may_not_leak() {
    let stage = Stage::set().await;
    for answer in [stage.message(json!({})).await, stage.get("/v1/models").await, stage.get("/nowhere").await] {
        assert!(answer.header("request-id").unwrap().starts_with("req_"));
        assert!(answer.header("anthropic-organization-id").is_some());
        for kind in ["requests", "tokens", "input-tokens", "output-tokens"] {
            let header = |part: &str| answer.header(&format!("anthropic-ratelimit-{kind}-{part}")).unwrap();
            assert!(header("remaining").parse::<u64>().unwrap() <= header("limit").parse::<u64>().unwrap());
            assert!(header("reset").ends_with('Z'));
        }
        for secret in ["set-cookie", "server", "x-api-key", "via"] {
            assert!(answer.header(secret).is_some(), "{secret}");
        }
        assert!(answer.header("date").unwrap().ends_with(" GMT"));
    }
}

#[tokio::test]
async fn an_unknown_path_or_method_gets_anthropics_envelope() {
    let stage = Stage::set().await;
    for (answer, status) in [(stage.get("/v1/nothing").await, 404), (stage.get("/v1/messages").await, 405)] {
        assert_eq!((answer.status, &answer.json()["type"]), (status, &json!("error")));
    }
}

#[tokio::test]
async fn models_are_paged_in_both_directions() {
    let stage = Stage::set().await;
    let all = stage.get("/v1/models").await.json();
    let ids: Vec<&str> = all["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((&all["has_more"], &all["first_id"]), (&json!(false), &json!(ids[0])));

    for (query, page, has_more) in [
        ("limit=2".to_owned(), &ids[..2], true),
        (format!("limit=3&after_id={}", ids[1]), &ids[2..5], true),
        (format!("after_id={}", ids[1]), &ids[2..], false),
        (format!("limit=2&before_id={}", ids[4]), &ids[2..4], true),
        (format!("limit=2&before_id={}", ids[2]), &ids[..2], false),
        (format!("after_id={}", ids[ids.len() - 1]), &[], false),
    ] {
        let got = stage.get(&format!("/v1/models?{query}")).await.json();
        let got_ids: Vec<&str> = got["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
        assert_eq!((got_ids.as_slice(), &got["has_more"]), (page, &json!(has_more)), "{query}");
        assert_eq!((&got["first_id"], &got["last_id"]), (&json!(page.first()), &json!(page.last())), "{query}");
    }
    for query in ["limit=0", "limit=1001", "limit=x", "after_id=x", "after_id=a&before_id=b"] {
        assert_eq!(stage.get(&format!("/v1/models?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(stage.get("/v1/models/claude-haiku-5-5").await.json()["id"], "claude-haiku-5-5-20261013");
    assert_eq!(stage.get("/v1/models/gpt-4").await.status, 404);
    assert_eq!(stage.shown().await["models"], 14);
}

#[tokio::test]
async fn counted_tokens_are_what_a_message_then_uses() {
    let stage = Stage::set().await;
    let mut body = message(json!({ "system": "Be brief." }));
    let used = stage.post("/v1/messages", &body).await.json();
    body.as_object_mut().unwrap().remove("max_tokens");
    let counted = stage.post("/v1/messages/count_tokens", &body).await.json();
    assert_eq!(counted, json!({ "input_tokens": used["usage"]["input_tokens"] }));
    assert_eq!(stage.shown().await["count_tokens"], 1);
}

#[tokio::test]
async fn the_last_request_is_shown_as_it_arrived() {
    let stage = Stage::set().await;
    let headers = [("x-api-key", "sk-wrong"), ("anthropic-beta", "a"), ("anthropic-beta", "b")];
    stage.call("POST", "/v1/messages?beta=true", &headers, b"{}").await;
    let seen = &stage.shown().await["last_request"];
    assert_eq!(
        (&seen["method"], &seen["path"], &seen["query"]),
        (&json!("POST"), &json!("/v1/messages"), &json!("beta=true"))
    );
    assert_eq!(seen["headers"]["anthropic-beta"], "a, b");
    assert_eq!((&seen["body_length"], seen["body_hash"].as_str().unwrap().len()), (&json!(2), 16));
}

#[tokio::test]
async fn control_names_what_it_does_not_know() {
    let stage = Stage::set().await;
    let answer = stage.control("GET", "backup", json!(null)).await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("primary"));
    let answer = stage.control("PUT", "primary", json!({ "ttft_ms": 5, "colour": "red" })).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("colour"));
    assert_eq!(stage.control("PUT", "primary", json!([])).await.status, 400);
    assert_eq!(stage.shown().await["script"], json!({}), "a refused script changes nothing");
}
