//! Usual latencies: learned in health, and used once there are enough results.

use super::script::{GOOD, Report, Scripts};

const LATENCIES: &str = "{levee}:breaker:primary:latency:m";

/// Returns the latency that 19 of 20 `values` do not exceed.
fn quantile(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * 95).div_ceil(100) - 1] as f64
}

#[tokio::test]
async fn what_is_late_is_known_from_fifty_results_on_and_is_right_within_a_class() {
    let scripts = Scripts::start("closed").await;
    let mut values = Vec::new();
    for number in 1..=2_000u32 {
        // Between 60 ms and a minute, most of them short, in no particular order.
        let place = f64::from(number * 1_237 % 2_000) / 2_000.0;
        let latency = (60.0 * 1_000f64.powf(place.powi(3))) as u64;
        values.push(latency);
        let told = scripts.report(&Report::new("a", GOOD).took(latency)).await.late_after;
        assert_eq!(told > 0, number >= 50, "{number}");
        if number == 50 || (number > 50 && number % 16 == 0) {
            let ratio = told as f64 / quantile(&values);
            assert!((0.99..=1.11).contains(&ratio), "{number}: {told} is {ratio} of what it should be");
        }
    }
    let all = async || scripts.server.command::<u64>(&["HGET", LATENCIES, "all"]).await;
    assert_eq!(all().await, 2_000);
    let before = scripts.look().await.late_after;
    scripts.report(&Report::new("a", GOOD).took(100)).await;
    assert!((950..=1_000).contains(&all().await), "half of it fades: {}", all().await);
    let after = scripts.look().await.late_after as f64 / before as f64;
    assert!((0.9..=1.1).contains(&after), "{after}");

    // The usual latency may change: after twice the memory nothing remains of the old one.
    for _ in 0..4_000 {
        scripts.report(&Report::new("a", GOOD).took(20_000)).await;
    }
    let late_after = scripts.look().await.late_after;
    assert!((20_000..=22_000).contains(&late_after), "{late_after}");
    let classes: u64 = scripts.server.command(&["HLEN", LATENCIES]).await;
    assert!(classes <= 98);
}

#[tokio::test]
async fn what_is_usual_is_not_learnt_from_a_provider_that_is_not_well() {
    for mode in ["shed", "open", "ramp"] {
        let scripts = Scripts::start(mode).await;
        for _ in 0..60 {
            scripts.report(&Report::new("a", GOOD).took(100)).await;
        }
        assert_eq!(scripts.look().await.late_after, 0, "{mode}");
    }
}

#[tokio::test]
async fn probes_tell_what_has_become_usual() {
    let scripts = Scripts::start("closed").await;
    for _ in 0..60 {
        scripts.report(&Report::new("a", GOOD).took(1_000)).await;
    }
    let before = scripts.look().await.late_after;
    scripts.put(2, "probe", "two", true).await;
    for _ in 0..20 {
        scripts.report(&Report { generation: 2, ..Report::new("a", GOOD) }.took(4_000)).await;
    }
    let after = scripts.look().await.late_after;
    assert!(before < 1_200 && after >= 4_000, "{before} {after}");
}

#[tokio::test]
async fn any_latency_falls_into_a_class() {
    let scripts = Scripts::start("closed").await;
    for latency in [0, 1, 49, 50, 51, 500_000, u64::from(u32::MAX), u64::MAX].repeat(8) {
        scripts.report(&Report::new("a", GOOD).took(latency)).await;
    }
    let classes: Vec<String> = scripts.server.command(&["HKEYS", LATENCIES]).await;
    let classes: Vec<u64> = classes.iter().filter_map(|class| class.parse().ok()).collect();
    assert!(classes.iter().all(|class| *class < 96), "{classes:?}");
}

#[tokio::test]
async fn the_first_content_is_a_mean_that_forgets_and_outlasts_a_decision() {
    let scripts = Scripts::start("closed").await;
    let first = |latency: u64| Report { is_first_content: true, ..Report::new("a", GOOD) }.took(latency);
    assert_eq!(scripts.look().await.first_content, 0);
    assert_eq!(scripts.report(&first(1_000)).await.first_content, 1_000);
    assert_eq!(scripts.report(&first(2_000)).await.first_content, 1_100);
    assert_eq!(scripts.report(&Report::new("a", GOOD).took(90_000)).await.first_content, 1_100);
    scripts.put(2, "shed", "two", true).await;
    assert_eq!(scripts.look().await.first_content, 1_100);
}
