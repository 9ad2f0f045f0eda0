//! Compares Redis with [`Room`]; checks the accounts that a provider turns away, and those whose results count.

use levee::breaker::room::By;
use levee::breaker::{Answer, Room};
use levee::clock::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tests::property;
use tokio::runtime::Runtime;

use super::script::{BAD, GOOD, Report, Scripts};

const THROTTLED: [u64; 5] = [0, 0, 1, 0, 0];

#[derive(Clone, Debug)]
enum Event {
    Answer(Answer, By, &'static str),
    Ask(&'static str),
    Wait(u64),
    SetBack(u64),
    Decide,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let answer = prop_oneof![4 => Just(Answer::Served), 2 => Just(Answer::Failed), 1 => Just(Answer::Refused)];
    let by = prop_oneof![1 => Just(By::Share), 1 => Just(By::Probe), 3 => Just(By::Room)];
    let accounts = prop_oneof![4 => Just("a"), 2 => Just("b"), 1 => Just("c"), 1 => Just("d"), 1 => Just("")];
    let event = prop_oneof![
        8 => (answer, by, accounts.clone()).prop_map(|(answer, by, account)| Event::Answer(answer, by, account)),
        8 => accounts.prop_map(Event::Ask),
        2 => prop_oneof![0u64..1_500, 1_000u64..15_000].prop_map(Event::Wait),
        1 => (0u64..20_000).prop_map(Event::SetBack),
        1 => Just(Event::Decide),
    ];
    proptest::collection::vec(event, 1..120)
}

#[test]
fn the_scripts_let_calls_through_as_the_rules_say() {
    let runtime = Runtime::new().unwrap();
    let result = TestRunner::new(property(12)).run(&(events(), 0.5..100.0f64), |(events, rate)| {
        runtime.block_on(async {
            let mut scripts = Scripts::start("open").await;
            let (mut room, mut generation) = (Room::default(), 1);
            for event in events {
                match event {
                    Event::Answer(answer, by, account) => {
                        room.record(answer, by, account);
                        // Use a past generation, so that decisions made meanwhile have no effect.
                        let report = Report {
                            generation: 0,
                            letter: answer.letter(),
                            by,
                            ..Report::new("e", [0; 5]).of(account)
                        };
                        prop_assert_eq!(scripts.report(&report).await.has_room, room.is_free_for(account));
                    }
                    Event::Ask(account) => {
                        let now = Timestamp::from_millis(scripts.now);
                        let has_room = scripts.look_for(account).await.has_room;
                        let is_admitted = has_room || scripts.has_room_for_one(rate).await;
                        prop_assert_eq!(is_admitted, room.admit(rate, account, now), "{:?}", room);
                    }
                    Event::Wait(millis) => scripts.now += millis,
                    Event::SetBack(millis) => scripts.now -= millis,
                    Event::Decide => {
                        generation += 1;
                        scripts.put(generation, "open", "another", true).await;
                    }
                }
            }
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

fn told(account: &str, retry_after: u64) -> Report {
    Report { retry_after, letter: "r", ..Report::new("e", THROTTLED).of(account) }
}

fn served(account: &str) -> Report {
    Report { letter: "g", ..Report::new("e", GOOD).of(account) }
}

#[tokio::test]
async fn a_provider_that_asks_to_be_left_alone_is_until_it_serves_a_call() {
    let scripts = Scripts::start("closed").await;
    let until = scripts.now + 7_200_000;
    let reply = scripts.report(&told("acme", until)).await;
    assert_eq!((reply.paused_until, reply.told_account), (until.cast_signed(), true), "nobody else called");
    let other = scripts.look_for("globex").await;
    assert_eq!((other.paused_until, other.told_account), (until.cast_signed(), false));

    scripts.report(&served("globex")).await;
    assert_eq!(scripts.look_for("acme").await.paused_until, 0, "it serves calls");
    scripts.report(&told("acme", until)).await;
    scripts.report(&Report { letter: "f", ..Report::new("e", BAD).of("globex") }).await;
    assert_eq!(scripts.look().await.paused_until, 0, "it told one of two accounts so");
    scripts.report(&told("globex", until)).await;
    assert_eq!(scripts.look().await.paused_until, until.cast_signed());
}

#[tokio::test]
async fn in_a_pause_it_is_asked_now_and_then() {
    let mut scripts = Scripts::start("closed").await;
    scripts.report(&told("acme", scripts.now + 7_200_000)).await;
    assert!(!scripts.may_ask_in_pause(300_000).await, "it has just been asked");
    scripts.now += 5_000;
    assert!(scripts.may_ask_in_pause(5_000).await && !scripts.may_ask_in_pause(5_000).await);
    scripts.now += 300_000;
    assert!(scripts.may_ask_in_pause(300_000).await && !scripts.may_ask_in_pause(300_000).await);
}

#[tokio::test]
async fn accounts_count_from_the_first_bad_result_on_and_a_minute_back_at_most() {
    let mut scripts = Scripts::start("closed").await;
    for account in ["a", "b", "c"] {
        scripts.report(&served(account)).await;
    }
    scripts.now += 10_000;
    scripts.report(&Report::new("e", BAD).of("a")).await;
    let seen = scripts.seen().await;
    assert_eq!((seen.accounts, seen.troubled_accounts), (1, 1), "the others called before");
    scripts.now += 1_000;
    scripts.report(&served("b")).await;
    let seen = scripts.seen().await;
    assert_eq!((seen.accounts, seen.troubled_accounts), (2, 1));
    scripts.now += 61_000;
    scripts.report(&Report::new("e", BAD).of("c")).await;
    let seen = scripts.seen().await;
    assert_eq!((seen.accounts, seen.troubled_accounts), (1, 1), "a minute later");
    for account in ["d", "e", "f", "g"] {
        scripts.report(&served(account)).await;
    }
    scripts.report(&Report::new("e", [0, 0, 0, 1, 0]).of("d")).await;
    let seen = scripts.seen().await;
    assert_eq!((seen.accounts, seen.troubled_accounts, seen.late_accounts), (2, 1, 1), "two and more are two");
}

#[tokio::test]
async fn a_pause_that_is_over_leaves_nothing_behind_and_the_newest_word_holds() {
    let mut scripts = Scripts::start("closed").await;
    scripts.report(&told("a", scripts.now + 10_000)).await;
    scripts.report(&told("b", scripts.now + 10_000)).await;
    scripts.now += 3_600_000;
    let day = scripts.now + 86_400_000;
    scripts.report(&Report { letter: "f", ..Report::new("e", BAD).of("b") }).await;
    assert_eq!(scripts.report(&told("a", day)).await.paused_until, day.cast_signed());
    scripts.report(&Report { letter: "f", ..Report::new("e", BAD).of("b") }).await;
    assert_eq!(scripts.look().await.paused_until, 0, "it told b so an hour ago, and not again");
    let soon = scripts.now + 2_000;
    scripts.report(&told("b", soon)).await;
    assert_eq!(scripts.look().await.paused_until, soon.cast_signed());
}

#[tokio::test]
async fn what_was_no_probe_frees_no_probes_place() {
    let scripts = Scripts::start("probe").await;
    assert!(scripts.may_probe(1).await && scripts.may_probe(1).await && !scripts.may_probe(1).await);
    for _ in 0..5 {
        scripts.report(&Report { by: By::Share, ..served("a") }).await;
    }
    assert!(!scripts.may_probe(1).await, "these were let through as nobody else could take them");
    scripts.report(&served("a")).await;
    assert!(scripts.may_probe(1).await);
}

#[tokio::test]
async fn who_was_served_last_is_known_for_each_account() {
    let mut scripts = Scripts::start("closed").await;
    assert_eq!(scripts.look_for("a").await.served_another, -1);
    scripts.report(&served("a")).await;
    scripts.now += 2_000;
    assert_eq!(scripts.look_for("a").await.served_another, -1, "only itself");
    assert_eq!(scripts.look_for("b").await.served_another, 2_000);
    scripts.report(&served("b")).await;
    scripts.now += 3_000;
    assert_eq!(scripts.look_for("a").await.served_another, 3_000);
    assert_eq!(scripts.look_for("b").await.served_another, 5_000);
    assert_eq!(scripts.look_for("c").await.served_another, 3_000);
}
