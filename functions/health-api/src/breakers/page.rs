//! Page of one provider: its state, its decisions, and forms to override them.

use levee::admins::Role;
use levee::breaker::Mode;
use levee::http::Links;
use levee::web::{Answer, TOKEN_FIELD, WebError, show, table};
use maud::{Markup, html};

use super::report::{BreakerReport, Decision};
use super::{decisions, standing};
use crate::layout;
use crate::site::{Call, SignedIn};

const PAGE: &str = "/admin/breakers";
const COLUMNS: [&str; 10] = ["When", "From", "To", "Share", "Why", "Results", "Bad", "Throttled", "Late", "By"];
/// Durations of an override that the forms offer, in minutes and in words.
const TIMES: [(u32, &str); 6] =
    [(10, "10 minutes"), (30, "30 minutes"), (120, "2 hours"), (480, "8 hours"), (1_440, "a day"), (10_080, "a week")];

/// Shows the page of one provider.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let report = standing(call).await?;
    let (decisions, next) = decisions(call).await?;
    let content = html! {
        (facts(&report))
        @if admin.user.role >= Role::Operator { (forms(call, admin, &report)) }
        @else { p { "Only operators may decide by hand." } }
        h2 { "What was decided" }
        (rows(&decisions))
        @if let Some(next) = next {
            @let link = format!("{}?limit={}&after={next}", link(call.links, call.id), call.limit()?);
            p { a href=(link) { "Older decisions" } }
        }
    };
    Ok(layout::page(call, admin, "/admin", &format!("Provider {}", report.name), content))
}

/// Returns the path of the page of a provider.
pub(super) fn path(name: &str) -> String {
    format!("{PAGE}/{name}")
}

/// Returns the link to the page of a provider.
pub(crate) fn link(links: &Links, name: &str) -> String {
    links.to(&path(name))
}

fn facts(report: &BreakerReport) -> Markup {
    html! {
        dl {
            @if let (Some(mode), Some(share)) = (report.mode, report.share) {
                dt { "Mode" } dd { strong class=(class(mode)) { (mode) } }
                dt { "Share of the calls" } dd { (bar(&report.name, share)) }
            }
            @if let Some(ratio) = report.failure_ratio { dt { "Failed" } dd { (show::percent(ratio * 100.0)) } }
            @if let Some(ratio) = report.slow_ratio { dt { "Late" } dd { (show::percent(ratio * 100.0)) } }
            @if let Some(ms) = report.ttft_ms { dt { "First content" } dd { (levee::text::grouped(ms)) " ms" } }
            @if let Some(reason) = report.reason { dt { "Why" } dd { (reason) } }
            @if let Some(since) = report.since { dt { "Since" } dd { (show::time(since.0)) } }
            @if let Some(until) = report.paused_until { dt { "Probed at" } dd { (show::time(until.0)) } }
            @if let Some(until) = report.forced_until {
                dt { "Held until" } dd { (show::time(until.0)) " by " (report.by.as_deref().unwrap_or("nobody")) }
            }
        }
    }
}

/// Renders a share as a bar and a number.
pub(crate) fn bar(name: &str, share: f64) -> Markup {
    html! { meter min="0" max="100" value=(share) aria-label={ "Share of " (name) } {} " " (show::percent(share)) }
}

/// Returns the CSS class that marks a mode as good, doubtful or bad.
pub(crate) fn class(mode: Mode) -> &'static str {
    match mode {
        Mode::Closed => "good",
        Mode::Shed | Mode::Probe | Mode::Ramp => "warn",
        Mode::Open => "bad",
    }
}

fn forms(call: &Call<'_>, admin: &SignedIn, report: &BreakerReport) -> Markup {
    // All forms have the session's token, a reason and a button in common.
    let form = |verb: &str, label: &str, fields: Markup| {
        html! {
            form.row method="post" action={ (link(call.links, call.id)) "/" (verb) } aria-label=(label) {
                input type="hidden" name=(TOKEN_FIELD) value=(admin.token.csrf().reveal());
                (fields)
                label { "Why (optional)" input name="reason" maxlength="200"; }
                button { (label) }
            }
        }
    };
    let how_long = html! {
        label {
            "For"
            select name="minutes" {
                @for (minutes, name) in TIMES { option value=(minutes) selected[minutes == 30] { (name) } }
            }
        }
    };
    html! {
        h2 { "Decide by hand" }
        p { "It is in force everywhere within 5 seconds, whatever the breaker would decide, until the time is over." }
        (form("force", "Force", html! {
            label {
                "It gets"
                select name="to" { option value="open" { "no calls (open)" } option value="closed" { "all calls (closed)" } }
            }
            (how_long)
        }))
        (form("pin", "Pin", html! {
            label {
                "Share, percent"
                input name="share" type="number" min="0.01" max="99.99" step="0.01" required;
            }
            (how_long)
        }))
        @if report.forced_until.is_some() { (form("release", "Release", html! {})) }
    }
}

fn rows(decisions: &[Decision]) -> Markup {
    let rows: Vec<_> = decisions
        .iter()
        .map(|decision| {
            html! {
                td { (show::time(decision.at.0)) }
                td { (decision.from) }
                td { (decision.to) }
                td { (show::percent(decision.share)) }
                td {
                    (decision.reason)
                    @if let Some(until) = decision.forced_until { " until " (show::time(until.0)) }
                }
                td { (decision.results) }
                td { (decision.bad) }
                td { (decision.throttled) }
                td { (decision.late) }
                td { (decision.by) }
            }
        })
        .collect();
    table("The decisions of the last 14 days, newest first", &COLUMNS, &rows, "Nothing was decided.")
}
