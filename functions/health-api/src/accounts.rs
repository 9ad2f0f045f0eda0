//! List of the accounts, and their suspension and resumption.

use std::time::Duration;

use http::StatusCode;
use levee::accounts::directory::FRESH;
use levee::accounts::{self, Account, Status};
use levee::admins::Role;
use levee::limits::versions::RecordId;
use levee::web::{self, Answer, WebError, is_name, show, table};
use maud::html;
use serde_json::json;
use url::form_urlencoded::byte_serialize;

use crate::audit::record;
use crate::site::{Call, SignedIn};
use crate::{error, layout};

const PAGE: &str = "/admin/accounts";

/// Answers with a page of accounts as JSON.
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, WebError> {
    let (accounts, next) = read(call).await?;
    let accounts: Vec<_> = accounts
        .iter()
        .map(|Account { id, name, status, .. }| json!({ "id": id, "name": name, "status": status }))
        .collect();
    Ok(web::json(StatusCode::OK, &json!({ "accounts": accounts, "next": next })))
}

/// Shows a page of accounts, with buttons for operators.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let (accounts, next) = read(call).await?;
    let is_operator = admin.user.role >= Role::Operator;
    // One row per account, with the button that changes its status.
    let rows: Vec<_> = accounts
        .iter()
        .map(|account| {
            let change = match account.status {
                Status::Active => ("suspend", "Suspend"),
                Status::Suspended | Status::Revoked => ("resume", "Resume"),
            };
            let path = format!("{PAGE}/{}/{}", account.id, change.0);
            html! {
                td { code { (account.id) } }
                td { (account.name) }
                td { (status(account.status)) }
                @if is_operator { td { (web::button(call, admin, &path, change.1, &account.name)) } }
            }
        })
        .collect();
    // Viewers do not get the column of buttons.
    let columns = ["Account", "Name", "Status", "Change"];
    let columns = if is_operator { &columns[..] } else { &columns[..3] };
    let content = html! {
        @if is_operator {
            p {
                "A change takes effect everywhere at once, and within " (show::duration(FRESH))
                " while Redis cannot be reached. What is suspended gets 403."
            }
        } @else {
            p { "Only operators may suspend and resume accounts." }
        }
        (table("Accounts by id", columns, &rows, "There are no accounts."))
        @if let Some(next) = next {
            @let after: String = byte_serialize(next.as_bytes()).collect();
            p { a href={ (call.links.to(PAGE)) "?after=" (after) } { "More accounts" } }
        }
    };
    Ok(layout::page(call, admin, PAGE, "Accounts", content))
}

/// Suspends an account.
pub(crate) async fn suspend(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    change(call, admin, "account.suspend", Status::Suspended).await
}

/// Resumes an account.
pub(crate) async fn resume(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    change(call, admin, "account.resume", Status::Active).await
}

async fn read(call: &Call<'_>) -> Result<(Vec<Account>, Option<String>), WebError> {
    let (after, limit) = (call.query_name("after")?, call.limit()?);
    call.state.accounts.accounts(after, limit).await.map_err(error::accounts)
}

async fn change(call: &Call<'_>, admin: &SignedIn, action: &str, to: Status) -> Result<Answer, WebError> {
    // Check that the account exists.
    let id = call.id;
    let found = if is_name(id) { call.state.accounts.account(id).await.map_err(error::accounts)? } else { None };
    let before = found.ok_or(WebError::NotFound)?.account;

    // Write the audit, then make the change.
    let detail = format!("{} to {}", status(before.status), status(to));
    record(call, &admin.user.email, action, id, &detail).await?;
    match call.state.accounts.set_account_status(id, to).await {
        Ok(true) => {
            let within = publish(call, id).await.as_secs();
            Ok(call.changed(&json!({ "id": id, "status": to, "effective_within_seconds": within }), PAGE))
        }
        done => {
            // Record that the change failed or that its outcome is unknown.
            let detail = "could not be done; nothing was changed, or it is not known";
            record(call, &admin.user.email, &format!("{action}.failed"), id, detail).await?;
            done.map_err(error::accounts).and(Err(WebError::NotFound))
        }
    }
}

/// Publishes the change of an account to all environments. Returns the time within which all of them notice it.
async fn publish(call: &Call<'_>, id: &str) -> Duration {
    let (state, changed) = (call.state, [RecordId::Account(id.to_owned())]);
    match accounts::publish(&state.accounts, &state.redis, &changed, call.now).await {
        Ok(()) => Duration::ZERO,
        Err(error) => {
            tracing::warn!(
                code = "accounts.unpublished",
                request.id = call.request_id,
                account.id = id,
                %error,
                "a change of an account is noticed only when caches are over"
            );
            // Environments notice the change when their cached record expires.
            FRESH
        }
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Suspended => "suspended",
        Status::Revoked => "revoked",
    }
}
