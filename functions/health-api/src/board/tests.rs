use levee::clock::Timestamp;
use levee::headroom::Headroom;
use levee::limits::{Algorithm, Mode};

use super::*;
use crate::breakers::BreakerReport;
use crate::snapshot::{
    AlertReport, DefaultLimit, Guard, LimitsReport, Moment, Pool, ProviderReport, RedisReport, TokensReport,
};

const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

fn snapshot() -> Snapshot {
    Snapshot {
        at: Moment(NOW),
        overall: Health::Up,
        failed_parts: Vec::new(),
        no_ai_calls: false,
        more_accounts: false,
        redis: RedisReport {
            state: RedisState::Up,
            since: None,
            guard: Guard::Closed,
            latency_ms: Some(0.25),
            used_memory_bytes: Some(1_572_864),
            max_memory_bytes: Some(1 << 30),
            connected_clients: Some(1),
            uptime_seconds: Some(7_200),
        },
        providers: Vec::new(),
        limits: LimitsReport { defaults: [].into(), pools: [].into(), near: Some(Vec::new()) },
        tokens: Some(Vec::new()),
        errors: Some(Vec::new()),
        alerts: Some(Vec::new()),
    }
}

fn shown(snapshot: &Snapshot) -> String {
    content(&Links::configured("https://levee.example").unwrap(), snapshot).into_string()
}

#[test]
fn a_quiet_platform_is_up_and_every_number_has_its_unit() {
    let shown = shown(&snapshot());
    for part in ["<strong>Up.</strong>", "0.2 ms", "1.5 MiB of 1.0 GiB", "1 connection<", "2 hours", "No alerts."] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(!shown.contains("cannot be read") && !shown.contains("more than"), "{shown}");
}

#[test]
fn a_limit_says_what_it_counts_and_what_becomes_of_a_call_beyond_it() {
    let mut snapshot = snapshot();
    let pool = |window_seconds, used: Option<u64>| {
        let percent = used.map(|used| used as f64 / 4.0);
        Pool { limit: 400, window_seconds, used, percent }
    };
    let pools = [("global", pool(Some(60), None)), ("global-in-flight", pool(None, Some(100)))];
    snapshot.limits.pools = pools.map(|(name, pool)| (name.to_owned(), pool)).into();
    let (scope, algorithm, mode) = ("account".to_owned(), Algorithm::Sliding, Mode::Warn);
    let default = DefaultLimit { limit: 600, window_seconds: Some(60), scope, algorithm, mode };
    snapshot.limits.defaults = [("account".to_owned(), default)].into();
    let shown = shown(&snapshot);
    for part in [
        "<td>600 calls per 60 seconds</td><td>account</td><td>passes with a warning; the window slides</td>",
        "<code>global</code> in this window: of 400 calls per 60 seconds, how many is not known.",
        "<code>global-in-flight</code> in this moment: 100 of 400 calls in flight (25.0 %).",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[test]
fn tokens_say_how_near_their_cap_they_are_in_words_and_figures() {
    let tokens = |account: &str, used: u64, cap: Option<u64>, projected| TokensReport {
        account: account.to_owned(),
        used,
        calls: 1,
        cap,
        percent: cap.map(|cap| used as f64 * 100.0 / cap as f64),
        projected,
    };
    let tokens = [
        tokens("acme", 1_250, Some(1_000), 3_000),
        tokens("globex", 805, Some(1_000), 1_600),
        tokens("initech", 10, Some(1_000), 20),
        tokens("umbrella", 5, None, 10),
    ];
    let shown = shown(&Snapshot { tokens: Some(tokens.to_vec()), ..snapshot() });
    for part in [
        "<td>1,000 tokens</td><td><strong class=\"bad\">125.0 % (cap used up)</strong></td><td>1 call</td><td>3,000 tokens</td>",
        "<strong class=\"warn\">80.5 % (near the cap)</strong></td><td>1 call</td><td>1,600 tokens <strong class=\"warn\">(beyond the cap)</strong></td>",
        "<td>10 tokens</td><td>1,000 tokens</td><td>1.0 %</td><td>1 call</td><td>20 tokens</td>",
        "<td>5 tokens</td><td>none</td><td></td>",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[test]
fn a_provider_shows_its_share_as_a_bar_and_who_holds_it() {
    let held = BreakerReport {
        mode: Some(levee::breaker::Mode::Ramp),
        share: Some(25.0),
        failure_ratio: Some(0.5),
        reason: Some(levee::breaker::Reason::Forced),
        forced_until: Some(Moment(NOW)),
        by: Some("<ada>".to_owned()),
        ..BreakerReport::unread("primary")
    };
    let report = |breaker| ProviderReport { breaker, errors_last_hour: Some(1), last_error_at: None, headroom: None };
    let providers = vec![report(held), report(BreakerReport::unread("backup"))];
    let shown = shown(&Snapshot { providers, ..snapshot() });
    for part in [
        "<a href=\"/admin/breakers/primary\">primary</a></th><td><strong class=\"warn\">ramp</strong> (forced), held until ",
        " by &lt;ada&gt;</td><td><meter min=\"0\" max=\"100\" value=\"25\" aria-label=\"Share of primary\"></meter> 25.0 %</td><td>50.0 %</td>",
        "backup</a></th><td>not known</td><td>not known</td>",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[test]
fn what_a_provider_leaves_of_the_platforms_limits_is_shown_and_marked_where_it_is_scarce() {
    let of = |percent| Headroom {
        requests_left: Some(3_999),
        input_tokens_left: Some(150_000),
        least_percent: Some(percent),
        ..Headroom::default()
    };
    let report = |name, headroom| ProviderReport {
        breaker: BreakerReport::unread(name),
        errors_last_hour: None,
        last_error_at: None,
        headroom,
    };
    let providers = vec![report("primary", Some(of(7))), report("backup", Some(of(10))), report("third", None)];
    let shown = shown(&Snapshot { providers, ..snapshot() });
    for part in [
        "<td><strong class=\"warn\">7 %</strong> (3,999 calls, 150,000 input tokens)</td>",
        "<td>10 % (3,999 calls, 150,000 input tokens)</td>",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[test]
fn where_not_all_accounts_are_looked_at_limits_and_tokens_say_so() {
    let shown = shown(&Snapshot { more_accounts: true, ..snapshot() });
    let sentence = "There are more than 100 accounts: this shows only the first 100 by id.";
    assert_eq!(shown.matches(sentence).count(), 2, "{shown}");
}

#[test]
fn what_is_down_or_unread_is_said_in_words() {
    let mut snapshot = snapshot();
    (snapshot.overall, snapshot.failed_parts) = (Health::Degraded, vec!["alerts", "tokens"]);
    (snapshot.redis.state, snapshot.redis.since) = (RedisState::Down, Some(Moment(NOW)));
    (snapshot.alerts, snapshot.tokens, snapshot.limits.near) = (None, None, None);
    let shown = shown(&snapshot);
    assert!(shown.contains("Parts of this board cannot be read: alerts, tokens."), "{shown}");
    assert!(shown.contains("<dt>Since</dt><dd><time datetime=\"2026-11-22T01:15:18Z\">"), "{shown}");
    assert_eq!(shown.matches("This part cannot be read right now.").count(), 3);
}

#[test]
fn a_platform_that_can_serve_no_ai_calls_is_shown_in_red() {
    let shown = shown(&Snapshot { overall: Health::Degraded, no_ai_calls: true, ..snapshot() });
    assert!(
        shown.contains(
            r#"<div class="notice bad" role="status"><p><strong>Degraded.</strong> AI calls cannot be served.</p>"#
        ),
        "{shown}"
    );
    assert!(shown.contains("529 Overloaded"), "{shown}");
}

#[test]
fn an_alerts_text_comes_out_escaped() {
    let alert = AlertReport {
        key: "k".to_owned(),
        title: "<b>".to_owned(),
        detail: "<script>".to_owned(),
        raised_at: Moment(NOW),
        sent_at: None,
        repeats: 1,
    };
    let shown = shown(&Snapshot { alerts: Some(vec![alert]), ..snapshot() });
    assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script>") && !shown.contains("<b>"), "{shown}");
    assert!(shown.contains("waits to be sent") && shown.contains("1 time<"), "{shown}");
}
