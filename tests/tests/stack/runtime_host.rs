//! The Runtime API host runs functions as Lambda does: "Lambda execution environment"
//! (lambda-runtime-environment.html) and "Lambda runtime API" (runtimes-api.html) of the AWS Lambda developer guide.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Answer, Builder, Stack, signal_to, wait_for};

fn builder() -> Builder {
    Stack::builder().template("tests/fixtures/template.yaml")
}

async fn probe(stack: &Stack, path: &str, what: &str) -> Answer {
    let request = stack.client().get(stack.url(path)).header("x-probe", what);
    Answer::read(request.send().await.unwrap()).await
}

/// Returns the letter of a process's state; T is stopped.
fn state_of(pid: &Value) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('-')
}

#[tokio::test]
async fn a_panic_is_a_502_for_its_caller_and_the_environment_goes_on() {
    let stack = builder().start().await;
    let pid = probe(&stack, "/echo", "pid").await.text().to_owned();
    assert_eq!(probe(&stack, "/echo", "panic").await.status, 502);
    assert_eq!(probe(&stack, "/echo", "pid").await.text(), pid);
}

#[tokio::test]
async fn a_hang_is_killed_at_the_functions_time_out_and_the_next_call_is_served_by_a_fresh_environment() {
    let stack = builder().start().await;
    let pid = probe(&stack, "/quick", "pid").await.text().to_owned();
    assert_eq!(probe(&stack, "/quick", "hang").await.status, 504);
    let next = probe(&stack, "/quick", "pid").await;
    assert_eq!(next.status, 200);
    assert_ne!(next.text(), pid);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the hung process lives on");
}

#[tokio::test]
async fn a_sigkill_is_a_502_for_its_caller_alone() {
    let stack = builder().environments("probe=2").start().await;
    let killed = probe(&stack, "/echo", "hang");
    let unharmed = async {
        let busy = stack.busy_environment("probe").await;
        let pid = stack.environments("probe").await[busy]["pid"].as_u64().unwrap();
        let unharmed = probe(&stack, "/echo", "sleep:300");
        let kill = async {
            let both = async || (stack.invocations("probe").await.iter().sum::<u64>() == 2).then_some(());
            wait_for(both).await;
            signal_to(u32::try_from(pid).unwrap(), Signal::KILL);
        };
        tokio::join!(unharmed, kill).0
    };
    let (killed, unharmed) = tokio::join!(killed, unharmed);
    assert_eq!((killed.status, unharmed.status, unharmed.text()), (502, 200, "awake"));
    for _ in 0..4 {
        assert_eq!(probe(&stack, "/echo", "pid").await.status, 200);
    }
}

#[tokio::test]
async fn no_waiting_call_is_lost_when_an_environment_crashes() {
    let stack = builder().start().await;
    let calls = (0..12).map(|n| {
        let stack = &stack;
        async move { (n, probe(stack, "/echo", if n % 3 == 0 { "exit" } else { "pid" }).await.status) }
    });
    for (n, status) in join_all(calls).await {
        assert_eq!(status, if n % 3 == 0 { 502 } else { 200 }, "call {n}");
    }
}

#[tokio::test]
async fn an_environment_is_stopped_between_its_calls() {
    let stack = builder().start().await;
    let pid = stack.environments("probe").await[0]["pid"].clone();
    let stopped = async || (state_of(&pid) == 'T').then_some(());
    wait_for(stopped).await;
    assert_eq!(probe(&stack, "/echo", "pid").await.text(), pid.to_string());
    wait_for(stopped).await;
}

#[tokio::test]
async fn with_no_freeze_environments_are_left_running() {
    let stack = builder().argument("--no-freeze").start().await;
    let pid = probe(&stack, "/echo", "pid").await.json();
    wait_for(async || (stack.environments("probe").await[0]["state"] == "idle").then_some(())).await;
    assert_ne!(state_of(&pid), 'T');
}

#[tokio::test]
async fn several_environments_of_a_function_serve_at_the_same_time_each_one_call() {
    let stack = builder().environments("probe=3").start().await;
    let answers = join_all((0..3).map(|_| probe(&stack, "/echo", "sleep:300"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(stack.invocations("probe").await, [1, 1, 1]);
    let pids: BTreeSet<_> = stack.environments("probe").await.iter().map(|it| it["pid"].as_u64().unwrap()).collect();
    assert_eq!(pids.len(), 3);
}

#[tokio::test]
async fn a_late_answer_of_a_call_that_was_given_up_on_reaches_nobody() {
    let stack = builder().start().await;
    let pid = probe(&stack, "/echo", "pid").await.text().to_owned();
    assert_eq!(probe(&stack, "/short", "sleep:600").await.status, 504);
    // Queued behind the sleeping call, whose answer "awake" comes first.
    let next = probe(&stack, "/echo", "pid").await;
    assert_eq!((next.status, next.text()), (200, pid.as_str()));
}

/// runtimes-api.html, "Invocation response": an id that is not that of the call in flight is rejected.
#[tokio::test]
async fn a_late_answer_within_the_next_call_is_refused() {
    let stack = builder().start().await;
    let raw = async |what: Value| {
        let request = stack.client().get(stack.url("/raw")).header("x-raw", what.to_string());
        Answer::read(request.send().await.unwrap()).await
    };
    let own = json!({ "parts": [json!({ "statusCode": 200, "body": "own" }).to_string()] });
    let (given_up, next) = tokio::join!(raw(json!({ "gives_up": true })), async {
        wait_for(async || (stack.invocations("probe-raw").await == [1]).then_some(())).await;
        raw(own.clone()).await
    });
    assert_eq!(given_up.status, 502);
    assert_eq!((next.status, next.text()), (200, "own"));
    let refused = async || stack.output().contains("the late answer: HTTP/1.1 400 Bad Request").then_some(());
    wait_for(refused).await;
}

#[tokio::test]
async fn a_frozen_environment_takes_no_call_until_it_is_thawed() {
    let stack = builder().start().await;
    let frozen = stack.control("POST", "/functions/probe/0/freeze", Value::Null).await;
    assert_eq!(frozen.status, 200, "{frozen:?}");
    assert_eq!(probe(&stack, "/short", "pid").await.status, 504);
    assert_eq!(stack.environments("probe").await[0]["state"], "held");
    let (answer, _) =
        tokio::join!(probe(&stack, "/echo", "pid"), stack.control("POST", "/functions/probe/0/thaw", Value::Null));
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_function_frozen_within_a_call_is_killed_at_its_time_out() {
    let stack = builder().start().await;
    let call = probe(&stack, "/quick", "sleep:200");
    let freeze = async {
        stack.busy_environment("quick").await;
        stack.control("POST", "/functions/quick/0/freeze", Value::Null).await;
    };
    assert_eq!(tokio::join!(call, freeze).0.status, 504);
    stack.control("POST", "/functions/quick/0/thaw", Value::Null).await;
    assert_eq!(probe(&stack, "/quick", "pid").await.status, 200);
}

#[tokio::test]
async fn a_killed_environment_is_started_again() {
    let stack = builder().start().await;
    let before = stack.environments("probe").await[0].clone();
    stack.control("POST", "/functions/probe/0/kill", Value::Null).await;
    assert_eq!(probe(&stack, "/echo", "pid").await.status, 200);
    let after = stack.environments("probe").await[0].clone();
    assert_ne!(before["pid"], after["pid"]);
    assert_eq!((&before["starts"], &after["starts"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn an_environment_that_waits_after_crashes_is_started_at_once_when_asked_to() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("crash");
    let stack = builder().env("CRASH_FILE", file.to_str().unwrap()).environments("probe=2").start().await;
    let starts = async |number: usize| stack.environments("probe").await[number]["starts"].as_u64().unwrap();
    let is_down = async |number: usize| {
        wait_for(async || (stack.environments("probe").await[number]["state"] == "down").then_some(())).await;
    };
    let start = async || {
        is_down(0).await;
        let before = starts(0).await;
        stack.control("POST", "/functions/probe/0/start", Value::Null).await;
        wait_for(async || (starts(0).await > before).then_some(())).await;
    };
    std::fs::write(&file, "").unwrap();
    for number in 0..2 {
        stack.control("POST", &format!("/functions/probe/{number}/kill"), Value::Null).await;
    }
    // From the sixth failure in a row on, the pauses have their maximum length.
    wait_for(async || (starts(1).await >= 7).then_some(())).await;
    is_down(1).await;
    let (asked, not_asked) = (starts(0).await, starts(1).await);
    for _ in 0..12 {
        start().await;
    }
    let (asked, not_asked) = (starts(0).await - asked, starts(1).await - not_asked);
    assert!(asked >= 12 && not_asked < asked / 2, "{asked} starts, and {not_asked} of the one that waits");

    is_down(0).await;
    std::fs::remove_file(&file).unwrap();
    stack.control("POST", "/functions/probe/0/start", Value::Null).await;
    wait_for(async || (stack.environments("probe").await[0]["state"] == "idle").then_some(())).await;
}

#[tokio::test]
async fn a_function_is_told_its_deadline_and_its_arn() {
    let context = probe(&builder().start().await, "/quick", "context").await.json();
    assert_eq!(context["arn"], "arn:aws:lambda:us-east-1:123456789012:function:quick");
    assert!(context["deadline"].as_u64().unwrap() > 1_700_000_000_000);
}

/// configuration-envvars.html, "Defined runtime environment variables"; the template's variables have their evaluated
/// values.
#[tokio::test]
async fn a_function_has_lambdas_variables_and_the_templates_and_no_others() {
    let stack = builder().env("GREETING", "from outside").env("UNDECLARED", "x").start().await;
    let variables: Vec<(String, String)> =
        serde_json::from_str(probe(&stack, "/echo", "variables").await.text()).unwrap();
    let value = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(value("GREETING"), Some("from outside"));
    assert_eq!((value("POLITE"), value("GONE"), value("UNDECLARED")), (Some("yes"), None, None));
    assert_eq!(value("TABLE"), Some("rows-hello"));
    assert_eq!(value("REDIS_URL"), Some(stack.local("redis_url")));
    assert_eq!(value("AWS_ENDPOINT_URL_DYNAMODB"), Some(stack.local("dynamodb_url")));
    assert_eq!(value("AWS_LAMBDA_FUNCTION_NAME"), Some("probe"));
    assert_eq!(value("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), Some("256"));
    assert_eq!(value("HOME"), None);
}

#[tokio::test]
async fn output_of_functions_is_prefixed_and_kept_in_a_file() {
    let stack = builder().start().await;
    let printed = async || stack.output().contains("[probe/0] probe starts").then_some(());
    wait_for(printed).await;
    let log = std::fs::read_to_string(stack.state().join("logs/probe.log")).unwrap();
    assert!(log.contains("probe starts\n"), "{log}");
}
