//! Decisions about requests.

use anyhow::anyhow;
use levee::limits::versions::RecordId;
use levee::quotas::{AdminDecision, DecisionError, QuotaRequest, RequestView, decide};
use levee::text::grouped;
use serde_json::json;

use super::Which;
use super::view::{find, subject};
use crate::context::Context;
use crate::error::usage;
use crate::output::{moment, or_nothing};
use crate::when::End;

pub(super) async fn approve(
    context: &Context,
    which: &Which,
    limit: Option<u64>,
    until: Option<End>,
    note: Option<&str>,
) -> anyhow::Result<()> {
    let until = until.map(|until| until.from(context.now())).transpose().map_err(usage)?.flatten();
    let request = find(context, which).await?;
    let (granted, end) = (limit.unwrap_or(request.limit), or_nothing(&moment(until.or(request.until))));
    let detail = format!("{}: {} -> {granted} until {end}", subject(&request), request.evidence.present);
    let decision = AdminDecision::Approve { limit, until, note: note.unwrap_or_default().to_owned() };
    make(context, which, "request.approve", detail, &decision).await
}

pub(super) async fn deny(context: &Context, which: &Which, reason: &str) -> anyhow::Result<()> {
    let request = find(context, which).await?;
    let detail = format!("{} to {}: {}", subject(&request), request.limit, one_line(reason));
    make(context, which, "request.deny", detail, &AdminDecision::Deny { reason: reason.to_owned() }).await
}

pub(super) async fn revoke(context: &Context, which: &Which, reason: &str) -> anyhow::Result<()> {
    let request = find(context, which).await?;
    let granted = or_nothing(&request.granted.map(grouped));
    let detail = format!("{} of {granted}: {}", subject(&request), one_line(reason));
    make(context, which, "request.revoke", detail, &AdminDecision::Revoke { reason: reason.to_owned() }).await
}

/// Returns a note in one line, for the record of changes.
fn one_line(note: &str) -> String {
    note.replace('\n', " ")
}

/// Records the decision, makes it, and publishes the grants.
async fn make(
    context: &Context,
    which: &Which,
    action: &str,
    detail: String,
    decision: &AdminDecision,
) -> anyhow::Result<()> {
    let Which { account, id } = which;
    let tables = (&context.target.accounts, &context.target.requests);
    let deciding = async {
        let decided = decide(tables, (account, id), decision, context.actor(), context.now()).await;
        decided.map_err(|error| match error {
            DecisionError::Table(error) => error.into(),
            DecisionError::NotFound | DecisionError::NotPossible(_) | DecisionError::Changed => anyhow!("{error}"),
        })
    };
    let changed = [RecordId::Grants(account.clone())];
    let target = format!("{account}/{id}");
    let ((request, has_changed_grants), effective) =
        context.change_and_publish(action, &target, detail, &changed, deciding).await?;
    if has_changed_grants {
        effective.tell();
    }
    let mut json = serde_json::to_value(RequestView::for_admins(&request, context.now()))?;
    json["effective"] = json!(effective);
    context.output.say(&json, || sentence(&request))
}

fn sentence(request: &QuotaRequest) -> String {
    let (id, account, state) = (&request.id, &request.account, request.state.name());
    match request.granted {
        Some(granted) => {
            let (what, end) = (subject(request), or_nothing(&moment(request.granted_until)));
            format!("request {id} of {account} is {state}: {what} to {}, until {end}", grouped(granted))
        }
        None => format!("request {id} of {account} is {state}"),
    }
}
