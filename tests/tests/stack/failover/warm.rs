//! The backup is kept warm: a share of the sessions goes there in health, and each session stays at its provider.

use serde_json::json;
use tests::{Answer, Stack};

use super::{builder, course, hello, id, status};

const SESSIONS: usize = 40;

enum By {
    Header,
    User,
}

async fn call(stack: &Stack, by: &By, session: usize) -> Answer {
    let name = format!("session-{session}");
    let mut call = hello(session.is_multiple_of(2));
    let request = stack.request("/v1/messages");
    let request = match by {
        By::Header => request.header("x-levee-session", name),
        By::User => {
            call["metadata"] = json!({ "user_id": name });
            request
        }
    };
    let answer = Answer::read(request.json(&call).send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[tokio::test]
async fn a_part_of_the_sessions_goes_to_the_backup_and_each_stays_where_it_is() {
    let stack = builder().env("AI_WARM_PERCENT", "50").start().await;
    for by in [By::Header, By::User] {
        let mut warm = Vec::new();
        for session in 0..SESSIONS {
            let answer = call(&stack, &by, session).await;
            match course(&answer) {
                ("primary", "1", "") => {}
                ("backup", "1", "warm") => warm.push(session),
                other => panic!("{other:?}"),
            }
        }
        assert!((SESSIONS / 4..=SESSIONS * 3 / 4).contains(&warm.len()), "{} of {SESSIONS}", warm.len());
        for session in (0..SESSIONS).step_by(5) {
            let expected = if warm.contains(&session) { "backup" } else { "primary" };
            assert_eq!(call(&stack, &by, session).await.header("x-levee-provider"), expected);
        }
    }
}

#[tokio::test]
async fn a_warm_backup_that_fails_is_the_primarys_turn() {
    let stack = builder().env("AI_WARM_PERCENT", "50").env("BREAKER_MODE", "dry-run").start().await;
    stack.script("backup", status(500)).await;
    let mut attempts = Vec::new();
    for session in 0..12 {
        let answer = call(&stack, &By::Header, session).await;
        // The preferred provider served these calls, so they have no fallback reason.
        assert_eq!((course(&answer).0, course(&answer).2), ("primary", ""));
        let event = stack.wide_event("ai-proxy", id(&answer)).await;
        assert!(event["fallback.reason"].is_null(), "{event}");
        attempts.push(answer.header("x-levee-attempts").to_owned());
    }
    assert!(["1", "2"].iter().all(|number| attempts.iter().any(|it| it == number)), "{attempts:?}");
}
