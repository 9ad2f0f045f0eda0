//! Table of the AI providers.

use levee::headroom::Headroom;
use levee::http::Links;
use levee::web::{show, table};
use maud::{Markup, html};

use crate::breakers::{self, BreakerReport};
use crate::snapshot::ProviderReport;

const COLUMNS: [&str; 9] = [
    "Provider",
    "Mode",
    "Share",
    "Failed",
    "Late",
    "First content",
    "Left of our limits",
    "In the last hour",
    "Last error",
];
/// Percentage of the platform's rate limits below which the remainder is marked as scarce.
const SCARCE: u64 = 10;

pub(super) fn providers(links: &Links, providers: &[ProviderReport]) -> Markup {
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
                td { @if let Some(ms) = breaker.ttft_ms { (levee::text::grouped(ms)) " ms" } @else { "not known" } }
                td { (left(provider.headroom)) }
                td { (errors) }
                td { @if let Some(at) = provider.last_error_at { (show::time(at.0)) } @else { "none" } }
            }
        })
        .collect();
    table("In order of preference", &COLUMNS, &rows, "No providers.")
}

/// Renders the remainder of the platform's rate limits at a provider: the scarcest one in percent, and the amount left
/// of each.
fn left(headroom: Option<Headroom>) -> Markup {
    // Figures that are not known are left out.
    let Some(Headroom { requests_left, input_tokens_left, output_tokens_left, least_percent }) = headroom else {
        return html! { "not known" };
    };
    let parts = [
        requests_left.map(|left| show::count(left, "call")),
        input_tokens_left.map(|left| show::count(left, "input token")),
        output_tokens_left.map(|left| show::count(left, "output token")),
    ];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    // Mark a limit that is nearly used up.
    html! {
        @match least_percent {
            Some(percent) if percent < SCARCE => { strong class="warn" { (percent) " %" } " " },
            Some(percent) => { (percent) " % " },
            None => {},
        }
        @if !parts.is_empty() { "(" (parts) ")" }
    }
}

/// Renders the mode of a provider, its reason and start, and the admin that overrides it.
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
