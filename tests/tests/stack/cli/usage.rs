//! Usage of accounts, and replay of unwritten records.

use super::limits::rows;
use super::*;

/// Input and output tokens that the provider reports for each call.
const USED: (u64, u64) = (7, 9);

/// Starts a stack with a short time-out for DynamoDB, and a provider that reports the same usage for each call.
async fn impatient() -> Stack {
    let stack = Stack::builder().env("DYNAMODB_TIMEOUT_MS", "500").start().await;
    stack.script("primary", json!({ "usage": { "input_tokens": USED.0, "output_tokens": USED.1 } })).await;
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
    stack
}

async fn dynamodb(stack: &Stack, what: &str) {
    let answer = stack.control("POST", &format!("/dynamodb/{what}"), json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Makes `calls` calls while their usage cannot be written, one of them streamed.
async fn serve_without_dynamodb(stack: &Stack, calls: u64) {
    dynamodb(stack, "stop").await;
    for call in 0..calls {
        let mut body = messages("Hello");
        body["stream"] = (call == 0).into();
        assert_eq!(stack.call("/v1/messages", &body).await.status, 200);
    }
    dynamodb(stack, "start").await;
    wait_for_lines(stack, "usage.unwritten", calls).await;
}

async fn wait_for_lines(stack: &Stack, code: &str, count: u64) -> Vec<String> {
    tests::wait_for(async || {
        let log = std::fs::read_to_string(stack.state().join("logs/ai-proxy.log")).unwrap();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(code)).map(str::to_owned).collect();
        (lines.len() as u64 == count).then_some(lines)
    })
    .await
}

/// Returns the current month by the stack's clock.
fn this_month(stack: &Stack) -> String {
    stack.now().month()
}

fn outcome(json: &Value) -> [u64; 5] {
    let length = |name: &str| json[name].as_array().unwrap().len() as u64;
    let number = |name: &str| json[name].as_u64().unwrap();
    [number("written"), number("already_there"), length("too_old"), length("failed"), number("unreadable")]
}

async fn replays_in_audit(stack: &Stack) -> Vec<String> {
    let log = audit(stack).await;
    log.into_iter().filter(|entry| entry.action == "usage.replay").map(|entry| entry.detail).collect()
}

#[tokio::test]
async fn what_could_not_be_written_is_brought_back_exactly_once() {
    let stack = impatient().await;
    let month = this_month(&stack);
    let before = stack.month_of("acme", &month).await;
    serve_without_dynamodb(&stack, 5).await;
    assert_eq!(stack.month_of("acme", &month).await, before);

    let dry = levee(&stack, "usage replay --dry-run").await.ok();
    assert_eq!(rows(&dry)[..2], ["to be written 5", "already there 0"], "{dry:?}");
    assert_eq!(stack.month_of("acme", &month).await, before, "a dry run writes nothing");
    assert!(replays_in_audit(&stack).await.is_empty());

    let first = levee(&stack, "usage replay --json").await.ok().json();
    assert_eq!((outcome(&first), &first["dry_run"]), ([5, 0, 0, 0, 0], &json!(false)));
    let after = stack.month_of("acme", &month).await;
    let (calls, used) = after.since(&before);
    assert_eq!((calls, &used["input_tokens"], &used["output_tokens"]), (5, &json!(5 * USED.0), &json!(5 * USED.1)));
    assert_eq!(after.estimated_calls, before.estimated_calls);
    let again = levee(&stack, "usage replay --json").await.ok().json();
    assert_eq!(outcome(&again), [0, 5, 0, 0, 0]);
    assert_eq!(stack.month_of("acme", &month).await, after);
    assert_eq!(replays_in_audit(&stack).await, ["records: 5, of acme"], "nothing was changed the second time");
}

#[tokio::test]
async fn several_replays_at_once_write_each_record_once() {
    let stack = impatient().await;
    let month = this_month(&stack);
    let before = stack.month_of("acme", &month).await.calls;
    serve_without_dynamodb(&stack, 12).await;
    let runs = tokio::join!(
        levee(&stack, "usage replay --json"),
        levee(&stack, "usage replay --json"),
        levee(&stack, "usage replay --json")
    );
    let written: u64 = [runs.0, runs.1, runs.2].into_iter().map(|run| outcome(&run.ok().json())[0]).sum();
    assert_eq!((written, stack.month_of("acme", &month).await.calls), (12, before + 12));
}

#[tokio::test]
async fn a_replay_whose_writes_conflict_or_get_no_answer_may_be_repeated_until_all_is_there_once() {
    let stack = impatient().await;
    let month = this_month(&stack);
    let before = stack.month_of("acme", &month).await;
    serve_without_dynamodb(&stack, 12).await;
    let faults = json!({ "conflict_ratio": 0.5, "lost_ratio": 0.3, "seed": 7 });
    assert_eq!(stack.control("PUT", "/dynamodb/faults", faults).await.status, 200);
    tests::wait_for(async || (levee(&stack, "usage replay").await.code == 0).then_some(())).await;
    assert_eq!(stack.control("DELETE", "/dynamodb/faults", Value::Null).await.status, 200);
    let (calls, used) = stack.month_of("acme", &month).await.since(&before);
    assert_eq!((calls, &used["input_tokens"]), (12, &json!(12 * USED.0)));
    assert_eq!(outcome(&levee(&stack, "usage replay --json").await.ok().json()), [0, 12, 0, 0, 0]);
}

#[tokio::test]
async fn a_call_that_was_given_up_on_is_corrected_by_its_end() {
    let stack = impatient().await;
    let script = json!({ "gap_ms": 50, "deltas": 20, "usage": { "input_tokens": 7, "output_tokens": 9 } });
    stack.script("primary", script).await;
    let month = this_month(&stack);
    let before = stack.month_of("acme", &month).await;
    let mut body = messages("Hello");
    body["stream"] = true.into();
    let mut answer = stack.send("/v1/messages", &body).await;
    // The record is open before any part of the answer arrives. Its end cannot be written.
    assert!(answer.chunk().await.unwrap().is_some());
    dynamodb(&stack, "stop").await;
    while answer.chunk().await.unwrap().is_some() {}
    dynamodb(&stack, "start").await;
    wait_for_lines(&stack, "usage.unwritten", 1).await;

    stack.advance(3600).await;
    tests::wait_for(async || {
        assert_eq!(stack.control("POST", "/monitor/run", Value::Null).await.status, 200);
        let month = stack.month_of("acme", &month).await;
        (month.estimated_calls == before.estimated_calls + 1).then_some(())
    })
    .await;
    let replayed = levee(&stack, "usage replay --json").await.ok().json();
    assert_eq!(outcome(&replayed), [1, 0, 0, 0, 0]);
    let after = stack.month_of("acme", &month).await;
    let (calls, used) = after.since(&before);
    assert_eq!((calls, &used["input_tokens"], &used["output_tokens"]), (1, &json!(7), &json!(9)));
    assert_eq!(after.estimated_calls, before.estimated_calls);
}

#[tokio::test]
async fn calls_of_more_than_sixty_days_ago_are_refused_by_name() {
    let stack = impatient().await;
    let month = this_month(&stack);
    let before = stack.month_of("acme", &month).await;
    serve_without_dynamodb(&stack, 2).await;
    let lines = wait_for_lines(&stack, "usage.unwritten", 2).await;
    let record: Value = serde_json::from_str(&lines[0]).unwrap();
    let record: Value = serde_json::from_str(record["record"].as_str().unwrap()).unwrap();
    stack.advance(61 * 24 * 3600).await;

    let refused = levee(&stack, "usage replay").await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let begun = Timestamp::from_secs(record["started_at"].as_u64().unwrap()).to_rfc3339();
    let told =
        format!("attempt 1 of call {} of acme, begun {begun}: more than 60 days ago", record["id"].as_str().unwrap());
    assert!(refused.stderr.contains(&told) && refused.stderr.contains("2 could not be written"), "{refused:?}");
    assert_eq!(rows(&refused)[..3], ["written 0", "already there 0", "too old 2"]);
    assert_eq!(stack.month_of("acme", &month).await, before);
    assert!(replays_in_audit(&stack).await.is_empty());
}

#[tokio::test]
async fn a_file_is_replayed_whatever_else_is_in_it() {
    let stack = impatient().await;
    let month = this_month(&stack);
    let before = stack.month_of("acme", &month).await;
    serve_without_dynamodb(&stack, 1).await;
    let lines = wait_for_lines(&stack, "usage.unwritten", 1).await;
    let line = &lines[0];
    let input = [
        "not a line of a log",
        "",
        r#"{"code":"provider.cut","record":"{}"}"#,
        &line[..line.len() / 2],
        r#"{"code":"usage.unwritten","record":"{\"id\":\"1\"}"}"#,
        &line.replace("\"code\":\"usage.unwritten\"", "\"code\":\"usage.unopened\""),
        &format!("2026-11-22T01:15:18 {line}"),
        line,
    ]
    .join("\n");
    let file = levee_reading(&stack, "usage replay --file - --json", &[], &input).await;
    assert_eq!((file.code, outcome(&file.json())), (1, [1, 0, 0, 0, 3]), "{file:?}");
    assert!(file.stderr.contains("3 could not be written"), "{file:?}");
    assert_eq!(stack.month_of("acme", &month).await.calls, before.calls + 1);
    levee(&stack, "usage replay --file nothing.log").await.fails(1, "nothing.log cannot be read");
    levee(&stack, "usage replay --file - --since 7d").await.fails(2, "cannot be used with");

    // An attempt of which only the beginning is known is opened, so that the monitor settles it.
    let record: Value = serde_json::from_str(line).unwrap();
    let mut record: Value = serde_json::from_str(record["record"].as_str().unwrap()).unwrap();
    (record["id"], record["state"], record["input"], record["output"]) =
        (json!("another"), json!("open"), json!(0), json!(0));
    let open = json!({ "code": "usage.unopened", "record": record.to_string() }).to_string();
    let opened = levee_reading(&stack, "usage replay --file - --json", &[], &open).await.ok();
    assert_eq!(outcome(&opened.json()), [1, 0, 0, 0, 0]);
    let shown = levee(&stack, &format!("usage show acme --month {month} --json")).await.ok().json();
    assert_eq!((&shown["totals"]["open_calls"], &shown["totals"]["calls"]), (&json!(1), &json!(before.calls + 1)));
}

#[tokio::test]
async fn while_the_ledger_cannot_be_asked_nothing_is_replayed() {
    let stack = impatient().await;
    serve_without_dynamodb(&stack, 1).await;
    dynamodb(&stack, "stop").await;
    levee(&stack, "usage replay").await.fails(1, "the usage table");
    dynamodb(&stack, "start").await;
    assert_eq!(outcome(&levee(&stack, "usage replay --json").await.ok().json()), [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn usage_is_listed_by_account_and_shown_by_day_integration_and_model() {
    let prices = r#"{"claude-sonnet-*":{"input":"3","output":"15"}}"#;
    let stack = Stack::builder().env("AI_TOKEN_CAP_DEFAULT", "1000").env("AI_PRICES", prices).start().await;
    stack.script("primary", json!({ "usage": { "input_tokens": 100, "output_tokens": 60 } })).await;
    let month = this_month(&stack);
    let key = newco(&stack).await;
    levee(&stack, "cap set newco --tokens 400").await.ok();
    for _ in 0..2 {
        assert_eq!(status(&stack, &key).await, 200);
    }

    let listed = levee(&stack, &format!("usage list --month {month} --json")).await.ok().json();
    let of_newco = listed.as_array().unwrap().iter().find(|it| it["account"] == "newco").unwrap();
    assert_eq!(
        *of_newco,
        json!({
            "account": "newco", "month": month, "calls": 2, "attempts": 2, "input": 200, "output": 120, "cache_read": 0,
            "cache_write_5m": 0, "cache_write_1h": 0, "counted": 320, "estimated_calls": 0, "cost_usd": "0.0024",
            "cap": of_newco["cap"],
        })
    );
    assert_eq!((&of_newco["cap"]["limit"], &of_newco["cap"]["percent"]), (&json!(400), &json!(80)));
    let table = rows(&levee(&stack, "usage list").await.ok());
    assert_eq!(table[0], "ACCOUNT CALLS ATTEMPTS INPUT OUTPUT CACHE READ CACHE WRITE COUNTED COST USD CAP");
    assert!(table.contains(&"newco 2 2 200 120 0 0 320 0.0024 80% of 400 (warn)".to_owned()), "{table:?}");

    let shown = levee(&stack, &format!("usage show newco --month {month}")).await.ok();
    for row in ["calls 2", "attempts 2", "counted 320", "cap 80% of 400 (warn)", "crm 2 2 200 120 0 0 320 0.0024"] {
        assert!(rows(&shown).contains(&row.to_owned()), "{row}: {shown:?}");
    }
    assert!(rows(&shown).contains(&"claude-sonnet-5-5 2 2 200 120 0 0 320 0.0024".to_owned()), "{shown:?}");
    let csv = levee(&stack, &format!("usage show newco --month {month} --csv")).await.ok();
    let lines: Vec<&str> = csv.stdout.split("\r\n").collect();
    assert!(lines[0].starts_with("account,date,integration,kind,model,calls"), "{csv:?}");
    assert!(lines[1].starts_with(&format!("newco,{month}-")), "{csv:?}");
    let line = ",crm,customer,claude-sonnet-5-5,2,0,200,120,0,0,0,0,0,320,0.0024,2,primary,claude-sonnet-5-5-20260915,standard,";
    assert!(lines[1].contains(line), "{csv:?}");

    // The usage of a deleted account is kept.
    for command in ["key revoke {} --yes", "integration delete newco/crm --yes", "account delete newco --yes"] {
        levee(&stack, &command.replace("{}", id_of(&key))).await.ok();
    }
    let shown = levee(&stack, &format!("usage show newco --month {month} --json")).await.ok().json();
    assert_eq!((&shown["totals"]["calls"], &shown["cap"]), (&json!(2), &Value::Null));
    levee(&stack, "usage show nobody").await.fails(1, "there is no account nobody");
    levee(&stack, "usage show newco --month 2026-13").await.fails(2, "a month is written as in 2026-11");
    levee(&stack, "usage show newco --csv --json").await.fails(2, "cannot be used with");
}
