//! Models and ways of serving: all that used tokens for a call are in the ledger, in reports and in costs.

use levee::metering::{Month, Record};
use serde_json::{Value, json};
use tests::{Answer, Builder, Scripted, Stack, messages};

const PRICES: &str = r#"{"claude-sonnet-5-5":{"input":3,"output":15},"claude-opus-5-5":{"input":5,"output":25},
    "claude-haiku-5-5*":{"input":1,"output":5},"scripted#claude-haiku-5-5*":{"input":2,"output":10},
    "*":{"speed":{"fast":6},"geo":{"us":"1.1"},"tier":{"batch":0.5}}}"#;

fn builder() -> Builder {
    Stack::builder().only_primary().env("AI_PRICES", PRICES)
}

/// Makes a call, streamed or not, and returns its record.
async fn record(stack: &Stack, model: &str, is_streamed: bool) -> Record {
    let mut call = messages("Hello");
    (call["model"], call["stream"]) = (model.into(), is_streamed.into());
    let answer = stack.call("/v1/messages", &call).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut records = stack.records().await;
    records.retain(|record| record.call.request_id == answer.header("x-levee-request-id"));
    records.pop().unwrap()
}

async fn usage(stack: &Stack) -> Value {
    let request = stack.client().get(stack.url("/v1/usage")).header("x-api-key", stack.plain_api_key());
    Answer::read(request.send().await.unwrap()).await.json()
}

/// Returns the parts of a record: model, input and output.
fn parts(record: &Record) -> Vec<(&str, u64, u64)> {
    let parts = record.parts.iter();
    parts.map(|part| (part.service.model.as_str(), part.usage.input, part.usage.output)).collect()
}

#[tokio::test]
async fn every_sampling_pass_is_counted_under_the_model_that_made_it() {
    let stack = builder().start().await;
    let before = stack.month(stack.account_id()).await;
    let iterations = json!([
        { "type": "compaction", "input_tokens": 150_000, "output_tokens": 2_500 },
        { "type": "message", "input_tokens": 900, "output_tokens": 40 },
        { "type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 800, "output_tokens": 60 },
    ]);
    let usage = json!({ "input_tokens": 900, "output_tokens": 40, "iterations": iterations });
    stack.script("primary", json!({ "usage": usage })).await;
    let served = "claude-sonnet-5-5-20260915";
    for is_streamed in [false, true] {
        let record = record(&stack, "claude-sonnet-5-5", is_streamed).await;
        let expected = [(served, 900, 40), (served, 150_000, 2_500), ("claude-opus-5-5", 800, 60)];
        assert_eq!((parts(&record), record.estimated), (expected.to_vec(), false));
        assert_eq!((record.figures.usage.input, record.figures.usage.output), (151_700, 2_600));
    }
    let after = stack.month(stack.account_id()).await;
    assert_eq!((after.calls - before.calls, after.input - before.input), (2, 2 * 151_700));

    let report = self::usage(&stack).await;
    let told = |parts: &Value| {
        let told =
            parts.as_array().unwrap().iter().map(|it| [&it["provider"], &it["model"], &it["calls"], &it["input"]]);
        told.map(|it| it.map(Clone::clone)).collect::<Vec<_>>()
    };
    let primary = json!("primary");
    let expected = [
        [primary.clone(), json!(served), json!(2), json!(2 * 150_900)],
        [primary, json!("claude-opus-5-5"), json!(0), json!(1_600)],
    ];
    assert_eq!(told(&report["by_served"]), expected, "{report}");
    let asked = [[Value::Null, json!("claude-sonnet-5-5"), json!(2), json!(2 * 151_700)]];
    assert_eq!(told(&report["by_model"]), asked, "{report}");
    // 2 * (150,900 * 3 + 2,540 * 15 + 800 * 5 + 60 * 25) millionths of a dollar.
    assert_eq!(report["totals"]["cost_usd"], "0.9926", "{report}");
}

#[tokio::test]
async fn a_cost_is_of_what_served_and_absent_where_a_part_of_a_call_has_no_price() {
    let stack = builder().start().await;
    let million = |more: Value| {
        let mut usage = json!({ "input_tokens": 1_000_000, "output_tokens": 0 });
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "usage": usage })
    };
    let advisor = |model: &str| {
        let advice =
            json!({ "type": "advisor_message", "model": model, "input_tokens": 1_000_000, "output_tokens": 0 });
        json!({ "iterations": [advice] })
    };
    for (more, expected) in [
        (json!({}), Some("3.00")),
        (json!({ "speed": "fast" }), Some("18.00")),
        (json!({ "inference_geo": "us" }), Some("3.30")),
        (json!({ "inference_geo": "global", "speed": "standard" }), Some("3.00")),
        (json!({ "service_tier": "batch" }), Some("1.50")),
        (advisor("claude-opus-5-5"), Some("8.00")),
        (json!({ "service_tier": "priority" }), None),
        (json!({ "inference_geo": "eu" }), None),
        (advisor("claude-unheard-of"), None),
    ] {
        // Use a new month for each case.
        let now = stack.now();
        stack.advance(Month::from_timestamp(now).0.ends_at().as_secs() - now.as_secs() + 60).await;
        for is_streamed in [false, true] {
            stack.script("primary", million(more.clone())).await;
            let record = record(&stack, "claude-sonnet-5-5", is_streamed).await;
            let service = &record.parts[0].service;
            for (told, field) in [(&service.speed, "speed"), (&service.geo, "inference_geo")] {
                assert!(more[field].as_str().is_none_or(|said| said == told), "{more}: {service:?}");
            }
            if !is_streamed {
                assert_eq!(usage(&stack).await["totals"]["cost_usd"].as_str(), expected, "{more}");
            }
        }
    }
}

#[tokio::test]
async fn an_alias_is_booked_and_priced_as_the_model_that_it_stands_for() {
    let usage = json!({ "input_tokens": 1_000_000, "output_tokens": 0 });
    for (model, served) in
        [(json!("claude-haiku-5-5-20261013"), "claude-haiku-5-5-20261013"), (Value::Null, "claude-haiku-5-5")]
    {
        let message = json!({ "type": "message", "model": model, "content": [], "usage": usage }).to_string();
        let length = message.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{message}"
        );
        let provider = Scripted::start(vec![(std::time::Duration::ZERO, answer)]).await;
        let only = provider.as_only_provider(r#","models":{"fast-and-cheap":"claude-haiku-5-5"}"#);
        let stack = builder().env("AI_PROVIDERS", &only).start().await;
        let record = record(&stack, "fast-and-cheap", false).await;
        assert_eq!((record.call.model.as_str(), parts(&record)), ("fast-and-cheap", vec![(served, 1_000_000, 0)]));
        let report = self::usage(&stack).await;
        assert_eq!(report["totals"]["cost_usd"], "2.00", "the entry for this provider holds: {report}");
        assert_eq!(
            (&report["by_model"][0]["model"], &report["by_served"][0]["model"]),
            (&json!("fast-and-cheap"), &json!(served))
        );
    }
}
