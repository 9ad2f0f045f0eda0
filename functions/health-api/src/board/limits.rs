//! The platform's limits, and the accounts near a limit.

use levee::limits::{Algorithm, Mode};
use levee::web::{show, table};
use maud::{Markup, html};

use super::unread;
use crate::snapshot::{DefaultLimit, LimitsReport, Near};

pub(super) fn limits(limits: &LimitsReport) -> Markup {
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
                        (levee::text::grouped(used)) " of " (show::count(pool.limit, "call")) (per(pool.window_seconds))
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

/// Returns the unit of a number of calls: per window, or in flight.
fn per(window_seconds: Option<u64>) -> String {
    match window_seconds {
        Some(seconds) => format!(" per {}", show::count(seconds, "second")),
        None => " in flight".to_owned(),
    }
}

/// Returns the handling of a call beyond the limit, and a note if the window slides.
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
                td { (levee::text::grouped(near.used)) " of " (show::count(near.limit, "call")) (per(near.window_seconds)) }
                td { (show::percent(near.percent)) }
            }
        })
        .collect();
    table("Accounts near a limit", &["Account", "Policy", "Used", "Share"], &rows, "No account is near a limit.")
}
