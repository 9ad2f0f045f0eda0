//! System Health page: the platform at one moment. Each part of the snapshot is rendered by a file of its own.

mod alerts;
mod limits;
mod providers;
mod redis;
mod tokens;

use levee::breadcrumbs::KEPT_DAYS;
use levee::http::Links;
use levee::web::{self, Answer, WebError, show};
use maud::{Markup, html};

use self::alerts::alerts;
use self::limits::limits;
use self::providers::providers;
use self::redis::redis;
use self::tokens::tokens;
use crate::errors;
use crate::health::Health;
use crate::site::{Call, SignedIn};
use crate::snapshot::{self, ACCOUNTS, RedisState, Snapshot};

/// Interval at which the browser loads the page again, in seconds.
const REFRESH_SECS: u32 = 30;

/// Shows the System Health page.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let content = content(call.links, &snapshot::take(call).await);
    Ok(web::signed_in(call, admin, "/admin", "System Health", Some(REFRESH_SECS), content))
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
            Some(errors) => (errors::rows(links, &format!("The newest errors of the last {KEPT_DAYS} days, newest first"), errors)),
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

/// Renders a note about the accounts that are covered, if not all of them are.
fn first_accounts(snapshot: &Snapshot) -> Markup {
    html! {
        @if snapshot.more_accounts {
            p.notice.warn { "There are more than " (ACCOUNTS) " accounts: this shows only the first " (ACCOUNTS) " by id." }
        }
    }
}

fn overall(snapshot: &Snapshot) -> Markup {
    // Choose the headline. A platform that cannot serve AI calls is shown in red, although it is only degraded.
    let (class, word, sentence) = match snapshot.overall {
        Health::Degraded if snapshot.no_ai_calls => ("bad", "Degraded.", "AI calls cannot be served."),
        Health::Up => ("good", "Up.", "Requests are authorized, and their limits checked."),
        Health::Degraded => ("warn", "Degraded.", "Requests are authorized, but not everything works."),
        Health::Down => {
            ("bad", "Down.", "The accounts cannot be read: only keys that were used in the last minutes still pass.")
        }
    };
    html! {
        div.notice.(class) role="status" {
            p { strong { (word) } " " (sentence) }
            @if snapshot.no_ai_calls {
                p { "Every AI provider is given up, or held open by an admin: calls are answered with 529 Overloaded." }
            }
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

fn unread() -> Markup {
    html! { p.notice.warn { "This part cannot be read right now." } }
}

#[cfg(test)]
mod tests;
