//! Breakers: shown, and overridden for a limited time.

use levee::breaker::{BreakerState, BreakersTable, Grounds, Mode, Reason, Share, Transition};

use super::limits::rows;
use super::*;

fn table(stack: &Stack) -> BreakersTable {
    BreakersTable::new(stack.dynamodb(), "Breakers")
}

/// Opens the breaker by an environment's decision.
async fn give_up(stack: &Stack, after: &BreakerState) -> BreakerState {
    let now = stack.now();
    let open = BreakerState {
        generation: after.generation + 1,
        mode: Mode::Open,
        share: Share::NONE,
        since: now,
        not_before: now.plus(Duration::from_secs(60)),
        reason: Reason::Failing,
        forced: None,
        ..after.clone()
    };
    let grounds = Grounds { results: 9, bad: 8, ..Grounds::default() };
    let transition = Transition::new("primary", after, open, grounds, "0123456789abcdef");
    table(stack).write(&transition, after).await.unwrap();
    transition.to
}

#[tokio::test]
async fn a_provider_is_forced_pinned_and_released() {
    let stack = Stack::builder().start().await;
    let none = levee(&stack, "breaker show").await.ok();
    let nothing = "nothing was ever decided about a provider: each gets all calls that are meant for it\n";
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", nothing));
    let fresh = levee(&stack, "breaker show primary").await.ok();
    assert_eq!(rows(&fresh)[..3], ["provider primary", "mode closed", "share 100 %"]);

    let forced = levee_with(&stack, "breaker force primary open --for 30m --reason", &["maintenance"]).await.ok();
    let state = table(&stack).read("primary").await.unwrap();
    let held = state.forced.clone().unwrap();
    assert_eq!((held.share, held.by.as_str()), (Share::NONE, "cli:tester"));
    assert_eq!(state.since.until(held.until), Duration::from_secs(1800));
    let until = held.until.to_rfc3339();
    assert_eq!(forced.line(), format!("primary: closed at 100 % -> open at 0 %, until {until}"));
    let typo = "Nothing was ever decided about primary: check that AI_PROVIDERS names one so.";
    assert_eq!(forced.stderr, format!("{typo}\nIt is in force everywhere within 5 s.\n"));

    // Pin a share after an environment's decision. An open provider shows the time of its probe.
    let opened = give_up(&stack, &state).await;
    let since = Timestamp::from_secs(opened.since.as_secs()).to_rfc3339();
    let listed = rows(&levee(&stack, "breaker show").await.ok());
    let paused = opened.not_before.to_rfc3339();
    assert_eq!(listed[1..], [format!("primary open 0 % {since} failing {paused} - -")]);
    let pinned = levee(&stack, "breaker pin primary --share 12.5 --for 7d --json").await.ok().json();
    assert_eq!(
        (&pinned["mode"], &pinned["share"], &pinned["by"]),
        (&json!("ramp"), &json!(12.5), &json!("cli:tester"))
    );
    assert_eq!((&pinned["effective"], &pinned["paused_until"]), (&json!("within 5 s"), &Value::Null));
    let released = levee(&stack, "breaker release primary").await.ok();
    assert_eq!(released.line(), "primary: ramp at 12.5 % -> ramp at 12.5 %; its breaker decides again");
    levee(&stack, "breaker release primary").await.fails(1, "there is no override for primary: its breaker decides");

    let history = levee(&stack, "breaker history primary --limit 3 --json").await.ok().json();
    let told: Vec<_> = history.as_array().unwrap().iter().map(|it| (&it["generation"], &it["to"], &it["by"])).collect();
    let (ramp, open, tester) = (json!("ramp"), json!("open"), json!("cli:tester"));
    let environment = json!("0123456789abcdef");
    let expected = [(&json!(4), &ramp, &tester), (&json!(3), &ramp, &tester), (&json!(2), &open, &environment)];
    assert_eq!(told, expected);
    let lines = rows(&levee(&stack, "breaker history primary").await.ok());
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[3].ends_with("open open 0 % failing 9 8 0 0 - 0123456789abcdef"), "{lines:?}");

    let log = audit(&stack).await;
    let told: Vec<_> =
        log.iter().rev().map(|it| (it.action.as_str(), it.target.as_str(), it.detail.as_str())).collect();
    let week = pinned["forced_until"].as_str().unwrap();
    assert_eq!(
        told,
        [
            ("breaker.force", "primary", &*format!("100 % to 0 %, until {until}, reason 'maintenance'")),
            ("breaker.pin", "primary", &format!("0 % to 12.5 %, until {week}")),
            ("breaker.release", "primary", &format!("held at 12.5 % until {week} by cli:tester")),
        ]
    );
}

#[tokio::test]
async fn what_is_said_is_in_force_after_five_seconds_with_the_calls_that_come() {
    let stack = Stack::builder().start().await;
    let serves = async |name: &str| {
        // Each text is a session of its own, with a place of its own among the shares.
        let text = format!("Hello {name} {}", stack.now().as_millis());
        let answer = stack.call("/v1/messages", &messages(&text)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.header("x-levee-provider") == name).then_some(())
    };
    assert!(serves("primary").await.is_some());
    levee(&stack, "breaker force primary open --for 30m").await.ok();
    stack.advance(5).await;
    wait_for(async || serves("backup").await).await;
    for _ in 0..5 {
        assert!(serves("backup").await.is_some());
    }
    levee(&stack, "breaker force primary closed --for 30m").await.ok();
    stack.advance(5).await;
    wait_for(async || serves("primary").await).await;
    for _ in 0..5 {
        assert!(serves("primary").await.is_some());
    }
    // After the override has expired, the breaker decides again.
    stack.advance(1_801).await;
    let is_over = async || {
        serves("primary").await;
        let shown = levee(&stack, "breaker show primary --json").await.ok().json();
        (shown["forced_until"].is_null()).then_some(shown)
    };
    assert_eq!(wait_for(is_over).await["mode"], "closed");
}

#[tokio::test]
async fn a_provider_is_held_only_for_a_time_of_at_most_a_week() {
    let stack = Stack::builder().start().await;
    for (command, why) in [
        ("breaker force primary open", "--for"),
        ("breaker force primary open --for 8d", "from 1m to 7d"),
        ("breaker force primary open --for 0m", "from 1m to 7d"),
        ("breaker force primary half --for 1h", "open, closed"),
        ("breaker pin primary --share 25", "--for"),
        ("breaker pin primary --for 1h", "--share"),
        ("breaker pin primary --share 100 --for 1h", "a percentage from 0.01 to 99.99"),
        ("breaker pin a_b --share 25 --for 1h", "letters, digits and hyphens"),
        ("breaker history primary --limit 0", "1..=1000"),
    ] {
        levee(&stack, command).await.fails(2, why);
    }
    assert_eq!(table(&stack).providers().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn of_many_who_hold_a_provider_at_once_all_are_in_the_history_and_one_is_last() {
    let stack = Stack::builder().start().await;
    let hold = async |share: &str| {
        let command = format!("breaker pin primary --share {share} --for 1h");
        levee(&stack, &command).await.ok();
    };
    tokio::join!(hold("10"), hold("20"), hold("30"), hold("40"));
    let history = table(&stack).history("primary", None, 10).await.unwrap();
    let generations: Vec<_> = history.iter().map(|it| it.to.generation).collect();
    assert_eq!(generations, [4, 3, 2, 1]);
    let mut shares: Vec<_> = history.iter().map(|it| it.to.share.basis_points()).collect();
    shares.sort_unstable();
    assert_eq!(shares, [1_000, 2_000, 3_000, 4_000]);
    assert_eq!(table(&stack).read("primary").await.unwrap(), history[0].to);
    assert_eq!(table(&stack).providers().await.unwrap(), ["primary"]);
}
