//! Decides which alerts to raise. Pure: breadcrumbs and the state of providers in, alerts out.

pub mod breakers;
pub mod csp;
mod many;
mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use levee::alerts::Alert;
use levee::breadcrumbs::{Breadcrumb, Severity};
use levee::clock::Timestamp;

pub use self::breakers::BreakerSummary;
use self::many::{MANY, Many};
use self::rules::{RULES, Rule};
use crate::config::Thresholds;

/// Age up to which breadcrumbs are judged. Longer than a minute, because an environment that was frozen or could not
/// reach the table may write a breadcrumb late. Shorter than [`COOL_DOWN`], so that no breadcrumb raises an alert
/// twice.
pub const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Cool-down, during which the same alert is not raised again.
pub const COOL_DOWN: Duration = Duration::from_secs(3600);
/// Advice for an alert about many errors of one code.
const SPIKE_ADVICE: &str =
    "Look at the errors of this code on the board: they name requests, accounts and connections.";

/// Returns the codes with a rule of their own, which are judged independently of severity and of the configured
/// threshold.
pub fn codes() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.code).chain(MANY.iter().flat_map(|many| many.codes).copied())
}

/// Returns the alerts for `breadcrumbs`, which may be in any order, sorted by key. There is one for each [rule](rules)
/// and its subject, one for each entry of [many] that was exceeded within one minute, and one for each other code with
/// more errors in one minute than `thresholds` allow.
pub fn judge(breadcrumbs: &[Breadcrumb], thresholds: &Thresholds, now: Timestamp) -> Vec<Alert> {
    // Group recent breadcrumbs: by rule and subject, or by code and minute.
    let mut alerts = BTreeMap::<String, (String, &str, Findings)>::new();
    let mut errors = BTreeMap::<(&str, u64), Findings>::new();
    let mut crowds = BTreeMap::<(&str, u64), (&Many, Findings)>::new();
    for breadcrumb in breadcrumbs.iter().filter(|it| Timestamp::from_millis(it.last_at).until(now) <= WINDOW) {
        let minute = breadcrumb.first_at / 60_000;
        if let Some(rule) = Rule::for_code(&breadcrumb.code) {
            let (key, title) = rule.about(breadcrumb);
            alerts.entry(key).or_insert_with(|| (title, rule.advice, Findings::default())).2.add(breadcrumb);
        } else if let Some(many) = Many::for_code(&breadcrumb.code) {
            crowds.entry((many.key, minute)).or_insert_with(|| (many, Findings::default())).1.add(breadcrumb);
        } else if breadcrumb.severity == Severity::Error {
            errors.entry((&breadcrumb.code, minute)).or_default().add(breadcrumb);
        }
    }
    // Keep the groups that exceed their threshold.
    for (many, findings) in crowds.into_values().filter(|(many, findings)| findings.count > many.per_minute) {
        // If several minutes exceed it, the last one is reported.
        let title = format!("More than {} {}", many.per_minute, many.what);
        alerts.insert(many.key.to_owned(), (title, many.advice, findings));
    }
    for ((code, _), findings) in errors {
        if findings.count > thresholds.errors_per_minute {
            let title = format!("More than {} errors in a minute: {code}", thresholds.errors_per_minute);
            // If several minutes exceed it, the last one is reported.
            alerts.insert(format!("spike/{code}"), (title, SPIKE_ADVICE, findings));
        }
    }
    // Write the alerts: facts first, then the advice.
    let alert = |(key, (title, advice, findings)): (String, (String, &str, Findings<'_>))| Alert {
        key,
        title,
        detail: format!("{}\n{advice}", findings.tell()),
        cool_down: COOL_DOWN,
    };
    alerts.into_iter().map(alert).collect()
}

/// Breadcrumbs of one alert, summed up.
#[derive(Default)]
struct Findings<'a> {
    count: u64,
    first_at: Option<u64>,
    last: Option<&'a Breadcrumb>,
}

impl<'a> Findings<'a> {
    fn add(&mut self, breadcrumb: &'a Breadcrumb) {
        self.count = self.count.saturating_add(breadcrumb.count);
        self.first_at = Some(self.first_at.map_or(breadcrumb.first_at, |first_at| first_at.min(breadcrumb.first_at)));
        if self.last.is_none_or(|last| last.last_at < breadcrumb.last_at) {
            self.last = Some(breadcrumb);
        }
    }

    /// Returns the count, the times, the last function and message, and the request, account and connection, one fact
    /// per line.
    fn tell(&self) -> String {
        let (Some(first_at), Some(last)) = (self.first_at, self.last) else { return String::new() };
        let times = if self.count == 1 { "once".to_owned() } else { format!("{} times", self.count) };
        let at = |millis: u64| Timestamp::from_secs(millis / 1000).to_rfc3339();
        let message = last.message.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut facts = format!("How often: {times}, first at {}, last at {}\n", at(first_at), at(last.last_at));
        facts.push_str(&format!("The last one, in {}: {message}\n", last.function));
        let facets = [("Request", &last.request_id), ("Account", &last.account), ("Connection", &last.connection)];
        for (name, value) in facets {
            if let Some(value) = value {
                facts.push_str(&format!("{name}: {value}\n"));
            }
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use levee::metering::unwritten;
    use rstest::rstest;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);
    const THRESHOLDS: Thresholds = Thresholds { errors_per_minute: 60 };

    fn breadcrumb(code: &str, age_secs: u64, count: u64) -> Breadcrumb {
        let at = NOW.as_millis() - age_secs * 1000;
        Breadcrumb {
            first_at: at,
            last_at: at,
            function: "ai-proxy".to_owned(),
            severity: Severity::Error,
            code: code.to_owned(),
            message: "it\nbroke".to_owned(),
            request_id: Some("r-1".to_owned()),
            more_request_ids: Vec::new(),
            account: None,
            connection: Some("primary".to_owned()),
            count,
        }
    }

    fn keys(breadcrumbs: &[Breadcrumb]) -> Vec<String> {
        judge(breadcrumbs, &THRESHOLDS, NOW).into_iter().map(|alert| alert.key).collect()
    }

    #[rstest]
    #[case("redis.gone", "redis.gone")]
    #[case("redis.refused", "redis.refused")]
    #[case("limits.odd_reply", "limits.odd_reply")]
    #[case("limits.clock_skew", "limits.clock_skew/ai-proxy")]
    #[case("statistics.unfolded", "statistics.unfolded")]
    #[case("statistics.unrestored", "statistics.unrestored")]
    #[case("statistics.odd_row", "statistics.odd_row")]
    #[case("accounts.odd_block", "accounts.odd_block")]
    #[case("accounts.unreachable", "accounts.unreachable")]
    #[case("peppers.unreadable", "peppers.unreadable")]
    #[case("usage.unwritten", "usage.unwritten")]
    #[case("usage.unopened", "usage.unopened")]
    #[case("usage.lost_track", "usage.lost_track")]
    #[case("usage.unsettled", "usage.unsettled")]
    #[case("usage.odd_record", "usage.odd_record")]
    #[case("provider.refused", "provider.refused/primary")]
    #[case("provider.unpaid", "provider.unpaid/primary")]
    #[case("context.unreadable", "context.unreadable/ai-proxy")]
    #[case("panic", "panic/ai-proxy")]
    #[case("start.failed", "start.failed/ai-proxy")]
    #[case("deadline.near", "deadline.near/ai-proxy")]
    fn one_breadcrumb_of_these_codes_is_an_alert_whatever_its_severity(#[case] code: &str, #[case] key: &str) {
        let warning = Breadcrumb { severity: Severity::Warning, ..breadcrumb(code, 0, 1) };
        assert_eq!(keys(&[warning]), [key]);
        assert!(RULES.iter().any(|rule| rule.code == code));
    }

    #[test]
    fn every_rule_has_a_case_above() {
        assert_eq!(RULES.len(), 21);
    }

    #[test]
    fn every_record_that_was_not_written_is_an_alert_that_says_how_to_bring_it_back() {
        for code in [unwritten::UNOPENED, unwritten::UNWRITTEN] {
            let alerts = judge(&[breadcrumb(code, 0, 1)], &THRESHOLDS, NOW);
            assert_eq!(alerts.len(), 1, "{code}");
            assert!(alerts[0].detail.contains("levee usage replay"), "{}", alerts[0].detail);
        }
    }

    #[test]
    fn other_codes_are_an_alert_when_one_minute_has_more_errors_than_allowed() {
        // 18 s into a minute.
        let minute = |age, count| breadcrumb("provider.cut", age, count);
        assert_eq!(keys(&[minute(0, 60)]), Vec::<String>::new());
        assert_eq!(keys(&[minute(0, 30), minute(17, 31)]), ["spike/provider.cut"]);
        assert_eq!(keys(&[minute(0, 30), minute(19, 31)]), Vec::<String>::new(), "two minutes");
        assert_eq!(keys(&[minute(0, 60), breadcrumb("provider.timeout", 0, 60)]), Vec::<String>::new(), "two codes");
        let warning = Breadcrumb { severity: Severity::Warning, ..minute(0, 61) };
        assert_eq!(keys(&[warning]), Vec::<String>::new(), "no errors");
    }

    #[test]
    fn more_wrong_sign_ins_in_one_minute_than_admins_mistype_are_an_alert() {
        // 18 s into a minute.
        let wrong = |code, age, count| {
            let function = "health-api".to_owned();
            Breadcrumb { function, severity: Severity::Warning, ..breadcrumb(code, age, count) }
        };
        let none = Vec::<String>::new();
        assert_eq!(keys(&[wrong("login.refused", 0, 15), wrong("login.blocked", 0, 15)]), none);
        assert_eq!(keys(&[wrong("login.refused", 0, 15), wrong("login.blocked", 17, 16)]), ["login.guessing"]);
        assert_eq!(keys(&[wrong("login.refused", 0, 15), wrong("login.blocked", 19, 16)]), none, "two minutes");
        let alerts = judge(&[wrong("login.blocked", 0, 31), wrong("login.blocked", 60, 99)], &THRESHOLDS, NOW);
        assert_eq!(alerts.len(), 1);
        assert!(alerts[0].detail.starts_with("How often: 31 times"), "{}", alerts[0].detail);
        assert!(alerts[0].detail.contains("levee admin unblock"), "{}", alerts[0].detail);
    }

    #[test]
    fn calls_that_never_came_to_their_end_are_an_alert_when_they_are_many() {
        let abandoned = |age_secs, count| Breadcrumb {
            severity: Severity::Warning,
            ..breadcrumb("usage.abandoned", age_secs, count)
        };
        assert_eq!(keys(&[abandoned(0, 5), abandoned(1, 5)]), Vec::<String>::new());
        assert_eq!(keys(&[abandoned(0, 5), abandoned(1, 6)]), ["usage.abandoned"]);
    }

    #[test]
    fn a_code_that_alerts_at_once_is_no_spike_besides() {
        assert_eq!(keys(&[breadcrumb("redis.gone", 0, 1000)]), ["redis.gone"]);
    }

    #[test]
    fn what_is_older_than_the_window_is_not_judged() {
        assert_eq!(keys(&[breadcrumb("panic", WINDOW.as_secs(), 1)]), ["panic/ai-proxy"]);
        assert_eq!(keys(&[breadcrumb("panic", WINDOW.as_secs() + 1, 1)]), Vec::<String>::new());
    }

    #[test]
    fn what_rules_are_about_makes_alerts_of_their_own() {
        let other = Breadcrumb { connection: Some("backup".to_owned()), ..breadcrumb("provider.refused", 1, 1) };
        let nameless = Breadcrumb { connection: None, ..breadcrumb("provider.refused", 1, 1) };
        let all = [breadcrumb("provider.refused", 0, 1), other, nameless];
        assert_eq!(keys(&all), ["provider.refused", "provider.refused/backup", "provider.refused/primary"]);
    }

    #[test]
    fn an_alert_tells_how_often_when_where_and_what_to_do() {
        let alerts =
            judge(&[breadcrumb("provider.refused", 90, 4), breadcrumb("provider.refused", 5, 1)], &THRESHOLDS, NOW);
        assert_eq!((alerts.len(), alerts[0].cool_down), (1, COOL_DOWN));
        assert_eq!(alerts[0].title, "An AI provider refuses the platform's credentials: primary");
        let (facts, advice) = alerts[0].detail.split_once("\n\n").unwrap();
        assert_eq!(
            facts,
            "How often: 5 times, first at 2026-11-22T01:13:48Z, last at 2026-11-22T01:15:13Z\n\
             The last one, in ai-proxy: it broke\nRequest: r-1\nConnection: primary"
        );
        assert!(advice.contains("credentials"));
    }
}
