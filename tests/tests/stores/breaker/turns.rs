//! Counts of the scripts, and the turns to evaluate that they grant.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rstest::rstest;
use tests::property;
use tokio::runtime::Runtime;

use levee::breaker::protocol::supersedes;

use super::script::{BAD, GOOD, Report, Scripts};

#[tokio::test]
async fn a_report_counts_once_in_its_second_and_one_about_another_generation_not_at_all() {
    let mut scripts = Scripts::start("closed").await;
    scripts.report(&Report::new("a", [1, 2, 3, 4, 5])).await;
    scripts.report(&Report::new("a", GOOD)).await;
    let before = scripts.fields().await;
    for generation in [0, 2] {
        let stale = Report { generation, retry_after: 9, ..Report::new("b", BAD) }.took(100);
        let told = scripts.report(&stale).await;
        assert_eq!(told.generation, 1, "but who reports it learns what holds");
    }
    assert_eq!(scripts.fields().await, before);
    scripts.now += 1_000;
    scripts.report(&Report::new("a", BAD)).await;

    let seen = scripts.seen().await;
    let expected = [(1_800_000_000, "2 2 3 4 6".to_owned()), (1_800_000_001, "0 1 0 0 0".to_owned())];
    assert_eq!((seen.seconds, seen.environments, seen.troubled), (expected.into(), 1, 1));
    assert_eq!(scripts.fields().await["results"], "8", "late and on time are no results");
}

#[tokio::test]
async fn environments_are_counted_once_each_up_to_sixteen_while_they_were_seen_lately() {
    let mut scripts = Scripts::start("closed").await;
    let start = scripts.now;
    for number in 0..40 {
        for _ in 0..2 {
            let counts = if number % 2 == 0 { BAD } else { GOOD };
            scripts.report(&Report::new(&format!("e{number}"), counts)).await;
        }
        let (all, troubled) = (number + 1, number / 2 + 1);
        let seen = scripts.seen().await;
        assert_eq!((seen.environments, seen.troubled), (all.min(16), troubled.min(16)), "{all}");
    }
    // Only those of the last five minutes count; later on they make room for others.
    scripts.now = start + 200_000;
    scripts.report(&Report::new("e0", GOOD)).await;
    scripts.now = start + 300_000;
    let seen = scripts.seen().await;
    assert_eq!((seen.environments, seen.troubled), (1, 0));
    scripts.report(&Report::new("new", BAD)).await;
    let seen = scripts.seen().await;
    assert_eq!((seen.environments, seen.troubled), (2, 1));
}

#[tokio::test]
async fn a_second_has_one_evaluation_and_bad_news_another_one_800_ms_sooner() {
    let mut scripts = Scripts::start("closed").await;
    let start = scripts.now;
    let is_granted = async |scripts: &Scripts, counts: Option<[u64; 5]>| match counts {
        Some(counts) => scripts.report(&Report::new("a", counts)).await.evidence.is_some(),
        None => scripts.look().await.evidence.is_some(),
    };
    assert!(is_granted(&scripts, None).await);
    for (after, counts, expected) in [
        (0, Some(BAD), false),
        (199, Some(BAD), false),
        (200, Some(GOOD), false),
        (200, Some([0, 0, 0, 1, 0]), true),
        (399, Some([0, 0, 1, 0, 0]), false),
        (400, Some([0, 0, 1, 0, 0]), true),
        (1_399, Some(GOOD), false),
        (1_399, None, false),
        (1_400, None, true),
        (1_400, None, false),
        (2_400, Some(GOOD), true),
    ] {
        scripts.now = start + after;
        assert_eq!(is_granted(&scripts, counts).await, expected, "{after} {counts:?}");
    }
    // A new decision is not evaluated sooner.
    assert_eq!(scripts.put(2, "closed", "two", true).await, "");
    assert!(!is_granted(&scripts, None).await);
    scripts.now = start;
    assert!(is_granted(&scripts, None).await, "a clock that was set back stops nobody");
}

#[tokio::test]
async fn dynamodb_is_asked_by_reports_and_by_a_call_that_begins_where_there_are_none() {
    let mut scripts = Scripts::start("open").await;
    let start = scripts.now;
    let stale = Report { generation: 0, ..Report::new("a", GOOD) };
    assert!(scripts.look().await.asks_truth);
    for (after, is_report, expected) in [
        (3_999, true, false),
        (4_000, false, false),
        (4_000, true, true),
        (4_000, true, false),
        (8_999, false, false),
        (9_000, false, true),
        (13_000, true, true),
    ] {
        scripts.now = start + after;
        let reply = if is_report { scripts.report(&stale).await } else { scripts.look().await };
        assert_eq!(reply.asks_truth, expected, "{after} {is_report}");
    }
}

#[tokio::test]
async fn a_probe_that_says_nothing_makes_room_for_another_one_and_counts_nowhere() {
    let scripts = Scripts::start("probe").await;
    assert!(scripts.may_probe(1).await && scripts.may_probe(1).await && !scripts.may_probe(1).await);
    let before = scripts.seen().await;
    scripts.report(&Report { is_void: true, ..Report::new("a", [0; 5]) }).await;
    assert!(scripts.may_probe(1).await && !scripts.may_probe(1).await);
    assert_eq!(scripts.seen().await, before);
}

#[tokio::test]
async fn two_probes_are_out_and_one_more_for_each_result_and_for_each_fifteen_seconds() {
    let mut scripts = Scripts::start("probe").await;
    let out = async |scripts: &Scripts| {
        let mut probes = 0;
        while scripts.may_probe(1).await {
            probes += 1;
        }
        probes
    };
    assert!(!scripts.may_probe(0).await && !scripts.may_probe(2).await, "who knows another decision lets none out");
    // A long time without calls makes no difference.
    scripts.now += 600_000;
    let start = scripts.now;
    assert_eq!(out(&scripts).await, 2);
    scripts.report(&Report::new("a", GOOD)).await;
    scripts.report(&Report::new("a", [0, 0, 0, 1, 0])).await;
    assert_eq!(out(&scripts).await, 1, "what is late has no result yet");
    scripts.report(&Report { generation: 0, ..Report::new("a", BAD) }).await;
    assert_eq!(out(&scripts).await, 0);
    scripts.report(&Report::new("a", BAD)).await;
    scripts.report(&Report::new("a", [0, 0, 1, 0, 0])).await;
    assert_eq!(out(&scripts).await, 2);
    for (after, expected) in [(14_999, 0), (15_000, 1), (29_999, 0), (30_000, 1)] {
        scripts.now = start + after;
        assert_eq!(out(&scripts).await, expected, "{after}");
    }
    assert_eq!(scripts.put(2, "probe", "two", true).await, "");
    assert_eq!(out(&scripts).await, 0);
    assert!(scripts.may_probe(2).await, "a new round begins anew");
    assert_eq!(scripts.put(3, "ramp", "three", true).await, "");
    assert!(!scripts.may_probe(3).await);
}

#[tokio::test]
async fn a_tenth_of_the_calls_lately_is_retried_and_one_in_any_case() {
    let mut scripts = Scripts::start("closed").await;
    let retries = async |scripts: &Scripts| {
        let mut retries = 0;
        while scripts.may_retry(10).await {
            retries += 1;
        }
        retries
    };
    assert_eq!(retries(&scripts).await, 1);
    for _ in 0..100 {
        scripts.look().await;
    }
    assert_eq!(retries(&scripts).await, 9);
    scripts.now += 10_000;
    assert_eq!(retries(&scripts).await, 0, "of the last ten seconds all were used");
    for _ in 0..50 {
        scripts.look().await;
    }
    assert_eq!(retries(&scripts).await, 5);
    scripts.now += 20_000;
    assert_eq!(retries(&scripts).await, 1);
}

#[tokio::test]
async fn the_rate_is_of_the_calls_of_the_last_ten_to_twenty_seconds_and_older_ones_are_forgotten() {
    let mut scripts = Scripts::start("closed").await;
    for _ in 0..200 {
        scripts.look().await;
        scripts.now += 100;
    }
    assert_eq!(scripts.seen().await.environments, 0);
    let rate = scripts.look().await.rate;
    assert!((9_900..=10_300).contains(&rate), "{rate}");
    let report = scripts.report(&Report::new("a", GOOD)).await;
    assert_eq!(report.rate, rate, "a report is no call");
    // With rare calls the rate still never falls to zero.
    for _ in 0..50 {
        scripts.now += 45_000;
        let rate = scripts.look().await.rate;
        assert!((50..=100).contains(&rate), "{rate}");
        assert!(scripts.calls().await.len() <= 2, "{:?}", scripts.calls().await);
    }
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_ends_by_itself_however_long_it_goes_on() {
    let mut scripts = Scripts::start("closed").await;
    for second in 0..1_000 {
        let report = Report::new(&format!("e{}", second % 50), if second % 7 == 0 { BAD } else { GOOD });
        scripts.report(&report.took(100 + second)).await;
        scripts.now += 1_000;
    }
    let seen = scripts.seen().await;
    assert_eq!(seen.seconds.len(), 299);
    // The place of an environment that has gone is reused only by another one.
    assert!((14..=16).contains(&seen.environments) && (14..=16).contains(&seen.troubled), "{seen:?}");
    let fields = scripts.fields().await;
    assert_eq!(fields.keys().filter(|field| field.starts_with("s:")).count(), 299);
    assert!(fields.len() < 299 + 2 * 16 + 16, "{}", fields.len());
    // The snapshot checks that each key has the hash tag and expires.
    scripts.may_retry(10).await;
    let keys: Vec<_> = scripts.server.snapshot().await.into_keys().collect();
    assert_eq!(keys, ["{levee}:breaker-calls", "{levee}:breaker:primary", "{levee}:breaker:primary:latency:m"]);
    scripts.now += 3_600_000;
    assert_eq!(scripts.seen().await.seconds.len(), 0);
    assert_eq!(scripts.fields().await.keys().filter(|field| field.contains(':')).count(), 0);
}

#[tokio::test]
async fn the_latest_moments_that_a_provider_names_are_kept_until_the_next_decision() {
    let scripts = Scripts::start("closed").await;
    for (retry_after, spent_until) in [(2_000, 0), (1_000, 7_000), (0, 0), (2_500, 6_000)] {
        scripts.report(&Report { retry_after, spent_until, ..Report::new("a", BAD) }).await;
    }
    let seen = scripts.seen().await;
    assert_eq!((seen.retry_after, seen.spent_until), (2_500, 7_000));
    scripts.put(2, "open", "two", true).await;
    let seen = scripts.seen().await;
    assert_eq!((seen.retry_after, seen.spent_until, seen.environments, seen.seconds.len()), (0, 0, 0, 0));
}

#[rstest]
#[case(false)]
#[case(true)]
fn a_decision_takes_the_place_of_another_one_where_it_supersedes_it(#[case] is_equal: bool) {
    let runtime = Runtime::new().unwrap();
    let scripts = runtime.block_on(Scripts::start("closed"));
    let config = property(32);
    let cases = ((2u64..5, any::<bool>()), (2u64..5, any::<bool>()));
    let result = TestRunner::new(config).run(&cases, |(here, new)| {
        runtime.block_on(async {
            scripts.server.command::<()>(&["FLUSHALL"]).await;
            let text = |generation: u64, is_new: bool| format!("{generation} {}", is_new && !is_equal);
            let (old, put) = (text(here.0, false), text(new.0, true));
            scripts.put(here.0, "closed", &old, here.1).await;
            scripts.report(&Report { generation: here.0, ..Report::new("a", GOOD) }).await;
            let told = scripts.put(new.0, "open", &put, new.1).await;
            let (fields, is_same) = (scripts.fields().await, old == put);
            let is_taken = supersedes(new, here) && !is_same;
            prop_assert_eq!(&fields["state"], if is_taken { &put } else { &old });
            prop_assert_eq!(&told, if is_taken || is_same { "" } else { &old });
            prop_assert_eq!(fields.contains_key("results"), !is_taken, "what was seen goes with its decision");
            let is_saved = if is_taken { new.1 } else { here.1 || (is_same && new.1) };
            prop_assert_eq!(&fields["saved"], if is_saved { "1" } else { "0" });
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
