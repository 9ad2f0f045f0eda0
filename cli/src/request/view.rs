//! Requests as they are listed and shown.

use anyhow::Context as _;
use levee::clock::Timestamp;
use levee::quotas::{GrantState, QuotaRequest, RequestList, RequestView};
use levee::text::grouped;
use serde::Serialize;

use super::{StateArg, Which};
use crate::context::Context;
use crate::limit::between;
use crate::output::{NOTHING, fields, moment, or_nothing, table};

/// Request in a list.
#[derive(Debug, Serialize)]
struct ListedRequest {
    #[serde(flatten)]
    request: RequestView,
    #[serde(skip)]
    row: Vec<String>,
}

impl ListedRequest {
    const HEADERS: &[&str] = &["ACCOUNT", "REQUEST", "POLICY", "LIMIT", "STATE", "RULE", "GRANTED", "UNTIL", "MADE"];

    fn new(request: &QuotaRequest, now: Timestamp) -> Self {
        let row = vec![
            request.account.clone(),
            request.id.clone(),
            subject(request),
            raise(request),
            state(request, now),
            request.rule.name().to_owned(),
            or_nothing(&request.granted.map(grouped)),
            or_nothing(&moment(request.granted_until.or(request.until))),
            moment(Some(request.created_at)).unwrap_or_default(),
        ];
        Self { request: RequestView::for_admins(request, now), row }
    }
}

/// Lists requests.
pub(super) async fn list(
    context: &Context,
    state: StateArg,
    account: Option<&str>,
    limit: usize,
) -> anyhow::Result<()> {
    let requests = &context.target.requests;
    let page = match (account, state) {
        (Some(account), _) => requests.requests(account, None, limit).await?,
        (None, StateArg::Pending) => requests.listed(RequestList::Pending, None, limit).await?,
        (None, StateArg::Decided) => requests.listed(RequestList::Decided, None, limit).await?,
    };
    let now = context.now();
    let rows: Vec<_> = page.requests.iter().map(|request| ListedRequest::new(request, now)).collect();
    if page.next.is_some() {
        crate::output::aside(&format!("note: there are more than these {limit}; see --limit"));
    }
    context.output.list(&rows, ListedRequest::HEADERS, "no requests", |request| request.row.clone())
}

/// Shows one request.
pub(super) async fn show(context: &Context, which: &Which) -> anyhow::Result<()> {
    let request = find(context, which).await?;
    let now = context.now();
    context.output.say(&RequestView::for_admins(&request, now), || text(&request, now))
}

/// Reads a request. Fails if it does not exist.
pub(super) async fn find(context: &Context, Which { account, id }: &Which) -> anyhow::Result<QuotaRequest> {
    let found = context.target.requests.request(account, id).await?;
    found.with_context(|| {
        format!("{account} has no request {id}; list them with: levee request list --account {account}")
    })
}

fn text(request: &QuotaRequest, now: Timestamp) -> String {
    let evidence = &request.evidence;
    let pool = evidence.pool.map(|pool| {
        let used = pool.used.map_or_else(|| "not known".to_owned(), grouped);
        format!("{used} of {} used, {} for one account", grouped(pool.limit), grouped(pool.share))
    });
    let would = evidence.would_refuse.as_ref().map(|would| {
        let (days, windows) = (between(would.days_over), between(would.windows_over));
        format!("on {days} of {} days, in {windows} of {} windows", would.days, grouped(would.windows))
    });
    // The request and its state, then the evidence.
    let mut text = fields(&[
        ("request", request.id.clone()),
        ("account", request.account.clone()),
        ("policy", subject(request)),
        ("limit", raise(request)),
        ("until", or_nothing(&moment(request.until))),
        ("reason", request.reason.replace('\n', " ")),
        ("refused call", or_nothing(&request.refused_request_id)),
        ("state", state(request, now)),
        ("rule", request.rule.name().to_owned()),
        ("explanation", request.explanation.replace('\n', " ")),
        ("granted", or_nothing(&request.granted.map(grouped))),
        ("granted until", or_nothing(&moment(request.granted_until))),
        ("account since", or_nothing(&moment(evidence.account_created_at))),
        ("demand (p95)", or_nothing(&evidence.demand_p95.map(grouped))),
        ("refused", format!("on {} of the last 7 days", evidence.days_refused)),
        ("today", format!("{} passed, {} refused", grouped(evidence.used_today), grouped(evidence.refused_today))),
        ("last grant", or_nothing(&moment(evidence.last_granted_at))),
        ("pool", or_nothing(&pool)),
        ("would refuse", or_nothing(&would)),
    ]);
    // Everything that happened to it.
    let event = |event: &levee::quotas::RequestEvent| {
        let kind = serde_json::to_value(event.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
        let note = if event.note.is_empty() { NOTHING.to_owned() } else { event.note.replace('\n', " ") };
        vec![moment(Some(event.at)).unwrap_or_default(), kind.unwrap_or_default(), event.by.name(), note]
    };
    text.push('\n');
    text.push_str(&table(&["TIME", "EVENT", "BY", "NOTE"], &request.events.iter().map(event).collect::<Vec<_>>()));
    text
}

/// Returns the policy, with the integration if it is that of one.
pub(super) fn subject(request: &QuotaRequest) -> String {
    match &request.integration {
        Some(integration) => format!("{} of {integration}", request.policy),
        None => request.policy.clone(),
    }
}

/// Returns the present limit and the requested one.
fn raise(request: &QuotaRequest) -> String {
    format!("{} -> {}", grouped(request.evidence.present), grouped(request.limit))
}

/// Returns the state, and that of the grant if it has ended.
fn state(request: &QuotaRequest, now: Timestamp) -> String {
    match request.grant_state(now) {
        Some(GrantState::Expired) => format!("{} (expired)", request.state.name()),
        _ => request.state.name().to_owned(),
    }
}
