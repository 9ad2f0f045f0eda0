//! The board: the platform at one moment, for people.

use levee::http::Links;
use levee::limits::{Algorithm, Mode};
use levee::metering::TokenState;
use levee::pages::{show, table};
use maud::{Markup, html};

use crate::answer::Answer;
use crate::breakers::BreakerReport;
use crate::call::{Call, SignedIn};
use crate::health::Health;
use crate::snapshot::{
    ACCOUNTS, AlertReport, DefaultLimit, LimitsReport, Near, ProviderReport, RedisReport, RedisState, Snapshot,
    TokensReport,
};
use crate::{breakers, errors, layout};

const PROVIDERS: [&str; 8] =
    ["Provider", "Mode", "Share", "Failed", "Late", "First content", "In the last hour", "Last error"];
/// How often the browser loads it again.
const REFRESH_SECS: u32 = 30;

/// The board.
pub(crate) fn page(call: &Call<'_>, admin: &SignedIn, snapshot: &Snapshot) -> Answer {
    let content = content(call.links, snapshot);
    layout::signed_in(call, admin, "/admin", "System Health", Some(REFRESH_SECS), content)
}

fn content(links: &Links, snapshot: &Snapshot) -> Markup {
    html! {
        (overall(snapshot))
        h2 { "Redis" }
        (redis(&snapshot.redis))
        h2 { "AI providers" }
        (providers(links, &snapshot.providers))
        h2 { "Limits" }
        (first_accounts(snapshot))
        (limits(&snapshot.limits))
        h2 { "Recent errors" }
        @match &snapshot.errors {
            Some(errors) => (errors::rows(links, "The newest errors of the last 7 days, newest first", errors)),
            None => (unread()),
        }
        p { a href=(links.to("/admin/errors")) { "All errors" } }
        h2 { "Tokens of this month" }
        (first_accounts(snapshot))
        (tokens(snapshot.tokens.as_deref()))
        h2 { "Alerts" }
        (alerts(snapshot.alerts.as_deref()))
    }
}

/// Says which accounts are looked at, where that is not all of them.
fn first_accounts(snapshot: &Snapshot) -> Markup {
    html! {
        @if snapshot.more_accounts {
            p.notice.warn { "There are more than " (ACCOUNTS) " accounts: this shows only the first " (ACCOUNTS) " by id." }
        }
    }
}

fn overall(snapshot: &Snapshot) -> Markup {
    let (class, word, sentence) = match snapshot.overall {
        Health::Up => ("good", "Up.", "Requests are authorized, and their limits checked."),
        Health::Degraded => ("warn", "Degraded.", "Requests are authorized, but not everything works."),
        Health::Down => {
            ("bad", "Down.", "The accounts cannot be read: only keys that were used in the last minutes still pass.")
        }
    };
    html! {
        div.notice.(class) role="status" {
            p { strong { (word) } " " (sentence) }
            @if snapshot.redis.state == RedisState::Down {
                p { "Redis cannot be reached: requests pass without limits." }
            }
            @if !snapshot.failed_parts.is_empty() {
                p { "Parts of this board cannot be read: " (snapshot.failed_parts.join(", ")) "." }
            }
        }
        p.soft { "As of " (show::time(snapshot.at.0)) "; loads again every " (REFRESH_SECS) " seconds." }
    }
}

fn redis(redis: &RedisReport) -> Markup {
    let row =
        |name: &str, value: Option<String>| html! { @if let Some(value) = value { dt { (name) } dd { (value) } } };
    html! {
        dl {
            dt { "State" }
            dd {
                @match redis.state {
                    RedisState::Up => strong.good { "answers" },
                    RedisState::Down => strong.bad { "cannot be reached" },
                }
            }
            @if let Some(since) = redis.since { dt { "Since" } dd { (show::time(since.0)) } }
            (row("Answer time", redis.latency_ms.map(|ms| format!("{ms:.1} ms"))))
            (row("Memory", redis.used_memory_bytes.map(|used| match redis.max_memory_bytes {
                Some(most) => format!("{} of {}", show::bytes(used), show::bytes(most)),
                None => show::bytes(used),
            })))
            (row("Connections", redis.connected_clients.map(|clients| show::count(clients, "connection"))))
            (row("Running for", redis.uptime_seconds.map(|secs| show::duration(std::time::Duration::from_secs(secs)))))
        }
    }
}

fn providers(links: &Links, providers: &[ProviderReport]) -> Markup {
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "not known".to_owned(), |it| show::percent(it * 100.0));
    let rows: Vec<_> = providers
        .iter()
        .map(|provider| {
            let errors = provider.errors_last_hour.map(|count| show::count(count, "error"));
            let errors = errors.unwrap_or_else(|| "not known".to_owned());
            let breaker = &provider.breaker;
            html! {
                th scope="row" { a href=(breakers::link(links, &breaker.name)) { (breaker.name) } }
                td { (standing(breaker)) }
                td { @if let Some(share) = breaker.share { (breakers::bar(&breaker.name, share)) } @else { "not known" } }
                td { (ratio(breaker.failure_ratio)) }
                td { (ratio(breaker.slow_ratio)) }
                td { @if let Some(ms) = breaker.ttft_ms { (show::grouped(ms)) " ms" } @else { "not known" } }
                td { (errors) }
                td { @if let Some(at) = provider.last_error_at { (show::time(at.0)) } @else { "none" } }
            }
        })
        .collect();
    table("In order of preference", &PROVIDERS, &rows, "No providers.")
}

/// Where a provider stands, why, since when, and who holds it.
fn standing(breaker: &BreakerReport) -> Markup {
    let Some(mode) = breaker.mode else { return html! { "not known" } };
    html! {
        strong class=(breakers::class(mode)) { (mode) }
        @if let Some(reason) = breaker.reason { " (" (reason) ")" }
        @if let Some(since) = breaker.since { " since " (show::time(since.0)) }
        @if let Some(until) = breaker.forced_until {
            ", held until " (show::time(until.0)) " by " (breaker.by.as_deref().unwrap_or("nobody"))
        }
    }
}

fn limits(limits: &LimitsReport) -> Markup {
    let defaults: Vec<_> = limits
        .defaults
        .iter()
        .map(|(name, default)| {
            html! {
                th scope="row" { (name) }
                td { (show::count(default.limit, "call")) (per(default.window_seconds)) }
                td { (default.scope) }
                td { (how(default)) }
            }
        })
        .collect();
    html! {
        @for (name, pool) in &limits.pools {
            p {
                "The platform's pool " code { (name) } " in this "
                (if pool.window_seconds.is_some() { "window: " } else { "moment: " })
                @match (pool.used, pool.percent) {
                    (Some(used), Some(percent)) => {
                        (show::grouped(used)) " of " (show::count(pool.limit, "call")) (per(pool.window_seconds))
                        " (" (show::percent(percent)) ")."
                    }
                    _ => { "of " (show::count(pool.limit, "call")) (per(pool.window_seconds)) ", how many is not known." }
                }
            }
        }
        @match &limits.near {
            Some(near) => (near_limits(near)),
            None => (unread()),
        }
        (table("Default limits", &["Policy", "Limit", "Counted by", "Beyond it"], &defaults, "No limits: all are turned off."))
    }
}

/// What a number of calls is about: a window, or the calls in flight.
fn per(window_seconds: Option<u64>) -> String {
    match window_seconds {
        Some(seconds) => format!(" per {}", show::count(seconds, "second")),
        None => " in flight".to_owned(),
    }
}

/// What becomes of a call beyond the limit, and how exactly it is counted.
fn how(default: &DefaultLimit) -> &'static str {
    match (default.mode, default.algorithm) {
        (Mode::Enforce, Algorithm::Sliding) => "refused; the window slides",
        (Mode::Enforce, _) => "refused",
        (Mode::Warn, Algorithm::Sliding) => "passes with a warning; the window slides",
        (Mode::Warn, _) => "passes with a warning",
        (Mode::Shadow, Algorithm::Sliding) => "passes, only counted; the window slides",
        (Mode::Shadow, _) => "passes, only counted",
    }
}

fn near_limits(near: &[Near]) -> Markup {
    let rows: Vec<_> = near
        .iter()
        .map(|near| {
            html! {
                th scope="row" { (near.account) }
                td { (near.policy) }
                td { (show::grouped(near.used)) " of " (show::count(near.limit, "call")) (per(near.window_seconds)) }
                td { (show::percent(near.percent)) }
            }
        })
        .collect();
    table("Accounts near a limit", &["Account", "Policy", "Used", "Share"], &rows, "No account is near a limit.")
}

fn tokens(tokens: Option<&[TokensReport]>) -> Markup {
    let Some(tokens) = tokens else { return unread() };
    let rows: Vec<_> = tokens
        .iter()
        .map(|tokens| {
            html! {
                th scope="row" { (tokens.account) }
                td { (show::count(tokens.used, "token")) }
                td { @if let Some(cap) = tokens.cap { (show::count(cap, "token")) } @else { "none" } }
                td { (share(tokens)) }
                td { (show::count(tokens.calls, "call")) }
                td {
                    (show::count(tokens.projected, "token"))
                    @if tokens.cap.is_some_and(|cap| tokens.used < cap && tokens.projected >= cap) {
                        " " strong.warn { "(beyond the cap)" }
                    }
                }
            }
        })
        .collect();
    let columns = ["Account", "Used", "Cap", "Share", "AI calls", "At the month's end, if it goes on like that"];
    table("Tokens by account since the first of the month (UTC)", &columns, &rows, "No account made an AI call.")
}

/// How much of the cap is used, and how bad that is.
fn share(tokens: &TokensReport) -> Markup {
    let (Some(cap), Some(percent)) = (tokens.cap, tokens.percent) else { return html! {} };
    let percent = show::percent(percent);
    match TokenState::of(tokens.used, cap) {
        TokenState::Ok => html! { (percent) },
        TokenState::Warn => html! { strong.warn { (percent) " (near the cap)" } },
        TokenState::Over => html! { strong.bad { (percent) " (cap used up)" } },
    }
}

fn alerts(alerts: Option<&[AlertReport]>) -> Markup {
    let Some(alerts) = alerts else { return unread() };
    let rows: Vec<_> = alerts
        .iter()
        .map(|alert| {
            html! {
                td { (show::time(alert.raised_at.0)) }
                th scope="row" { (alert.title) }
                td.wide { (alert.detail) }
                td { @if let Some(at) = alert.sent_at { (show::time(at.0)) } @else { "waits to be sent" } }
                td { (show::count(alert.repeats, "time")) }
            }
        })
        .collect();
    table("The newest alerts, newest first", &["Raised", "Alert", "Detail", "Sent", "Again since"], &rows, "No alerts.")
}

fn unread() -> Markup {
    html! { p.notice.warn { "This part cannot be read right now." } }
}

#[cfg(test)]
mod tests {
    use levee::clock::Timestamp;

    use super::*;
    use crate::snapshot::{Guard, Moment, Pool};

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

    fn snapshot() -> Snapshot {
        Snapshot {
            at: Moment(NOW),
            overall: Health::Up,
            failed_parts: Vec::new(),
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
        let report = |breaker| ProviderReport { breaker, errors_last_hour: Some(1), last_error_at: None };
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
}
