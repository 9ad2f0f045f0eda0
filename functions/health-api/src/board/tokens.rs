//! Table of the accounts' token usage and caps.

use levee::metering::TokenState;
use levee::web::{show, table};
use maud::{Markup, html};

use super::unread;
use crate::snapshot::TokensReport;

pub(super) fn tokens(tokens: Option<&[TokensReport]>) -> Markup {
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

/// Renders the used part of the cap, and marks it if the cap is near or used up.
fn share(tokens: &TokensReport) -> Markup {
    let (Some(cap), Some(percent)) = (tokens.cap, tokens.percent) else { return html! {} };
    let percent = show::percent(percent);
    match TokenState::from_usage(tokens.used, cap) {
        TokenState::Ok => html! { (percent) },
        TokenState::Warn => html! { strong.warn { (percent) " (near the cap)" } },
        TokenState::Over => html! { strong.bad { (percent) " (cap used up)" } },
    }
}
