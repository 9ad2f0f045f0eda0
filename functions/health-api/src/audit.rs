//! What admins did.

use http::StatusCode;
use levee::admins::AuditEntry;
use levee::clock::Timestamp;
use levee::pages::{show, table};
use maud::html;
use serde::Serialize;

use crate::answer::{Answer, json};
use crate::call::{Call, SignedIn};
use crate::failed::Failed;
use crate::layout;

/// How many entries the page shows.
const SHOWN: usize = 100;
const COLUMNS: [&str; 6] = ["When", "Who", "What", "To what", "Detail", "Request"];

/// Writes down what is about to be done. Where that fails, it must not be done.
pub(crate) async fn record(
    call: &Call<'_>,
    actor: &str,
    action: &str,
    target: &str,
    detail: &str,
) -> Result<(), Failed> {
    let entry = AuditEntry {
        at: call.now.as_millis(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        target: target.to_owned(),
        detail: detail.to_owned(),
        request_id: Some(call.request_id.to_owned()),
    };
    call.state.admins.audit(&entry).await.map_err(Failed::admins)
}

/// An entry for programs.
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

/// The newest entries, as JSON.
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, Failed> {
    let limit = call.limit()?;
    let entries = call.state.admins.audit_log(limit, call.now).await.map_err(Failed::admins)?;
    let entries: Vec<Shown> = entries.into_iter().map(Shown::from).collect();
    Ok(json(StatusCode::OK, &serde_json::json!({ "entries": entries })))
}

/// The newest entries, as a page.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, Failed> {
    let entries = call.state.admins.audit_log(SHOWN, call.now).await.map_err(Failed::admins)?;
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
    let caption = format!("The newest {SHOWN} entries, newest first");
    let content = html! {
        (table(&caption, &COLUMNS, &rows, "Nothing was done yet."))
        h2 { "Your sessions" }
        p { "Signs you out on every device, this one too." }
        (layout::button(call, admin, "/admin/sign-out-everywhere", "Sign out everywhere", ""))
    };
    Ok(layout::page(call, admin, "/admin/audit", "Audit", content))
}
