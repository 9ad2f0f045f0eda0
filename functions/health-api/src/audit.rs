//! The audit: a log of the actions of admins.

use http::StatusCode;
use levee::admins::AuditEntry;
use levee::admins::audit::{AuditCursor, AuditPage};
use levee::clock::Timestamp;
use levee::web::{self, Answer, WebError, json, show, table};
use maud::html;
use serde::Serialize;

use crate::site::{Call, SignedIn};
use crate::{error, layout};

const PAGE: &str = "/admin/audit";
const COLUMNS: [&str; 6] = ["When", "Who", "What", "To what", "Detail", "Request"];

/// Writes an action to the audit before it is taken. If this fails, the caller must not take the action.
pub(crate) async fn record(
    call: &Call<'_>,
    actor: &str,
    action: &str,
    target: &str,
    detail: &str,
) -> Result<(), WebError> {
    let entry = AuditEntry {
        at: call.now.as_millis(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        target: target.to_owned(),
        detail: detail.to_owned(),
        request_id: Some(call.request_id.to_owned()),
    };
    call.state.admins.audit(&entry).await.map_err(error::admins)
}

/// One entry as JSON.
#[derive(Serialize)]
struct Shown {
    at: String,
    actor: String,
    action: String,
    target: String,
    detail: String,
    request_id: Option<String>,
}

impl From<AuditEntry> for Shown {
    fn from(AuditEntry { at, actor, action, target, detail, request_id }: AuditEntry) -> Self {
        let at = Timestamp::from_millis(at).to_rfc3339_millis();
        Self { at, actor, action, target, detail, request_id }
    }
}

/// Reads the page of entries that the caller asks for.
async fn read(call: &Call<'_>) -> Result<AuditPage, WebError> {
    let after: Option<AuditCursor> = call
        .query("after")
        .map(str::parse)
        .transpose()
        .map_err(|_| WebError::Invalid("'after' takes what a page before said.".to_owned()))?;
    let page = call.state.admins.audit_page(call.limit()?, after.as_ref(), call.now).await;
    page.map_err(error::admins)
}

/// Answers with a page of entries as JSON.
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, WebError> {
    let AuditPage { entries, next } = read(call).await?;
    let entries: Vec<Shown> = entries.into_iter().map(Shown::from).collect();
    let next = next.map(|next| next.to_string());
    Ok(json(StatusCode::OK, &serde_json::json!({ "entries": entries, "next": next })))
}

/// Shows a page of entries.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let AuditPage { entries, next } = read(call).await?;
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            html! {
                td { (show::time(Timestamp::from_millis(entry.at))) }
                td { (entry.actor) }
                td { (entry.action) }
                td { (entry.target) }
                td.wide { (entry.detail) }
                td { (layout::story(call.links, entry.request_id.as_deref())) }
            }
        })
        .collect();
    let (caption, when_empty) = match call.query("after") {
        None => ("The newest entries, newest first", "Nothing was done yet."),
        Some(_) => ("Older entries, newest first", "Nothing was done before that."),
    };
    let content = html! {
        (table(caption, &COLUMNS, &rows, when_empty))
        @if let Some(next) = next {
            @let link = format!("{}?limit={}&after={next}", call.links.to(PAGE), call.limit()?);
            p { a href=(link) { "Older entries" } }
        }
        h2 { "Your sessions" }
        p { "Signs you out on every device, this one too." }
        (web::button(call, admin, "/admin/sign-out-everywhere", "Sign out everywhere", ""))
    };
    Ok(layout::page(call, admin, PAGE, "Audit", content))
}
