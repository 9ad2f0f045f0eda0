//! Providers configured by the operator, and their time-outs.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Answer, STREAM_HEAD, Scripted, Stack, event, messages};

const NOW: Duration = Duration::ZERO;

fn start() -> String {
    let usage = json!({ "input_tokens": 3, "output_tokens": 1 });
    event("message_start", &json!({ "type": "message_start", "message": { "usage": usage } }))
        + &event("content_block_start", &json!({ "type": "content_block_start", "index": 0 }))
}

fn end() -> String {
    event("message_delta", &json!({ "type": "message_delta", "usage": { "output_tokens": 5 } }))
        + &event("message_stop", &json!({ "type": "message_stop" }))
}

async fn stack_of(provider: &Scripted, more: &str) -> Stack {
    Stack::builder()
        .env("AI_PROVIDERS", &provider.as_only_provider(more))
        .one_attempt()
        .env("AI_CONNECT_TIMEOUT_MS", "400")
        .env("AI_FIRST_TOKEN_TIMEOUT_MS", "800")
        .env("AI_FAILOVER_AFTER_MS", "800")
        .env("AI_STREAM_GAP_TIMEOUT_MS", "800")
        .start()
        .await
}

fn streamed() -> Value {
    let mut call = messages("Hello");
    call["stream"] = true.into();
    call
}

#[tokio::test]
async fn providers_named_in_the_environment_take_the_stand_ins_place_and_get_the_model_names_they_know() {
    let provider = Scripted::start(vec![(NOW, format!("{STREAM_HEAD}{}{}", start(), end()))]).await;
    let stack = stack_of(&provider, r#","models":{"claude-sonnet-5-5":"another-name"}"#).await;
    let call =
        r#"{"z":1.0e2,"model":"claude-sonnet-5-5","stream":true,"a":{"y":"\u00e9","x":12345678901234567890123}}"#;

    let answer = Answer::read(stack.request("/v1/messages").body(call).send().await.unwrap()).await;

    assert_eq!((answer.status, answer.header("x-levee-provider")), (200, "scripted"), "{answer:?}");
    assert_eq!(answer.text(), start() + &end());
    assert_eq!(stack.provider("primary").await["requests"], 0);

    // Except for the model name, values keep the client's bytes.
    let sent = provider.bodies().remove(0);
    assert!(sent.contains(r#""model":"another-name""#) && !sent.contains("claude"), "{sent}");
    assert!(sent.contains(r#""a":{"y":"\u00e9","x":12345678901234567890123}"#) && sent.contains("1.0e2"), "{sent}");
    let places = ["\"z\"", "\"model\"", "\"stream\"", "\"a\""].map(|key| sent.find(key).unwrap());
    assert!(places.is_sorted(), "the keys are in another order: {sent}");
}

#[tokio::test]
async fn a_call_whose_keys_have_escapes_is_served_under_another_model_name_as_any_other() {
    let usage = json!({ "input_tokens": 3, "output_tokens": 1 });
    let message = json!({ "type": "message", "content": [], "usage": usage }).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
    let provider = Scripted::start(vec![(NOW, format!("{head}{message}"))]).await;
    let stack = stack_of(&provider, r#","models":{"claude-sonnet-5-5":"another-name"}"#).await;
    for (body, sent) in [
        (r#"{"max\u005ftokens":16,"model":"claude-sonnet-5-5"}"#, r#"{"max\u005ftokens":16,"model":"another-name"}"#),
        (r#"{"mod\u0065l":"claude-sonnet-5-5","b":1,"a":2}"#, r#"{"mod\u0065l":"another-name","b":1,"a":2}"#),
    ] {
        let answer = Answer::read(stack.request("/v1/messages").body(body).send().await.unwrap()).await;
        assert_eq!((answer.status, answer.header("x-levee-attempts")), (200, "1"), "{answer:?}");
        assert_eq!(provider.bodies().last().unwrap(), sent);
    }
    assert!(!stack.output().contains("usage.lost_track"));
}

#[tokio::test]
async fn comments_alone_keep_no_stream_alive() {
    let comment = || (Duration::from_millis(200), ": still here\n\n".to_owned());
    let mut pieces = vec![(NOW, format!("{STREAM_HEAD}{}", start()))];
    pieces.extend((0..30).map(|_| comment()));
    let provider = Scripted::start(pieces).await;
    let stack = stack_of(&provider, "").await;
    let began = tokio::time::Instant::now();
    let answer = stack.call("/v1/messages", &streamed()).await;
    let text = answer.text();
    assert!(text.starts_with(&start()) && text.contains("timeout_error"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    // Comments do not count as the beginning of a stream either.
    let mut pieces = vec![(NOW, STREAM_HEAD.to_owned())];
    pieces.extend((0..30).map(|_| comment()));
    let provider = Scripted::start(pieces).await;
    let stack = stack_of(&provider, "").await;
    let answer = stack.call("/v1/messages", &streamed()).await;
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (504, Some("timeout_error")), "{answer:?}");
}

#[tokio::test]
async fn after_the_first_content_a_ping_is_a_sign_of_life() {
    let ping = event("ping", &json!({ "type": "ping" }));
    let mut pieces = vec![(NOW, format!("{STREAM_HEAD}{}", start()))];
    pieces.extend(vec![(Duration::from_millis(300), ping); 6]);
    pieces.push((NOW, end()));
    let provider = Scripted::start(pieces).await;
    let stack = stack_of(&provider, "").await;

    let answer = stack.call("/v1/messages", &streamed()).await;
    let names: Vec<_> = answer.events().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| *name == "ping").count(), 6);
    assert_eq!(names.last().unwrap(), "message_stop");
}

#[tokio::test]
async fn a_stream_that_ends_after_nothing_but_pings_ends_in_an_error() {
    let head = format!("{STREAM_HEAD}{}", event("message_start", &json!({ "type": "message_start", "message": {} })));
    let ping = event("ping", &json!({ "type": "ping" }));
    let mut pieces = vec![(NOW, head)];
    pieces.extend(vec![(Duration::from_millis(300), ping); 6]);
    let provider = Scripted::start(pieces).await;
    let stack = stack_of(&provider, "").await;

    let answer = stack.call("/v1/messages", &streamed()).await;
    let (name, data) = answer.events().pop().unwrap();
    assert_eq!(
        (answer.status, name.as_str(), &data["error"]["type"]),
        (200, "error", &json!("api_error")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn half_an_event_is_dropped_when_a_stream_breaks_off_within_it() {
    let provider =
        Scripted::start(vec![(NOW, format!("{STREAM_HEAD}{}event: content_block_delta\ndata: {{\"ty", start()))]).await;
    let stack = stack_of(&provider, "").await;

    let events = stack.call("/v1/messages", &streamed()).await.events();
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["message_start", "content_block_start", "error"]);
    assert_eq!(events[2].1["error"]["type"], "api_error");
}

#[tokio::test]
async fn a_provider_that_accepts_no_connection_in_time_is_answered_504() {
    // A listener with a full queue drops every further connection attempt.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let attempts: Vec<_> = (0..8).map(|_| tokio::spawn(tokio::net::TcpStream::connect(address))).collect();
    let full = Scripted::start(Vec::new()).await.as_only_provider("");
    let start = full.find("http://").unwrap();
    let end = start + full[start..].find('"').unwrap();
    let full = format!("{}http://{address}{}", &full[..start], &full[end..]);
    let builder = Stack::builder().env("AI_PROVIDERS", &full).env("AI_CONNECT_TIMEOUT_MS", "400");
    let stack = builder.one_attempt().start().await;

    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (504, Some("timeout_error")), "{answer:?}");
    assert!(answer.text().contains("did not accept a connection in time"), "{answer:?}");
    drop((listener, attempts));
}

#[tokio::test]
async fn an_answer_that_is_no_answer_of_the_api_becomes_an_error_of_the_api() {
    for head in [
        "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>an edge</html>",
        "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.example/\r\nconnection: close\r\n\r\n",
    ] {
        let provider = Scripted::start(vec![(NOW, head.to_owned())]).await;
        let stack = stack_of(&provider, "").await;
        for call in [messages("Hello"), streamed()] {
            let answer = stack.call("/v1/messages", &call).await;
            assert_eq!(
                (answer.status, answer.json()["error"]["type"].as_str()),
                (502, Some("api_error")),
                "{answer:?}"
            );
        }
    }
}
