//! Quotas and requests as JSON, for customers and for admins.

use serde::Serialize;

use super::evidence::{Evidence, PoolEvidence};
use super::judge::largest_automatic;
use super::request::{Author, EventKind, GrantState, QuotaRequest, RequestState};
use super::rules::QuotaRules;
use crate::clock::Timestamp;
use crate::limits::{Algorithm, AppliedLimit, LimitSource, Mode, Reading};

/// One limit of a caller and its use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitView {
    /// Name of the policy.
    pub name: String,
    /// Calls that are counted together.
    pub scope: String,
    /// Class of calls that are counted.
    pub class: &'static str,
    /// `requests`, or `concurrent-requests` for calls in flight.
    pub unit: &'static str,
    /// Algorithm by which calls are counted.
    pub algorithm: Algorithm,
    /// Treatment of a call beyond the limit.
    pub mode: Mode,
    /// Limit.
    pub limit: u64,
    /// Length of the window in seconds; `None` for calls in flight.
    pub window_seconds: Option<u64>,
    /// Calls counted; `None` if Redis could not be reached.
    pub used: Option<u64>,
    /// Calls left; `None` if Redis could not be reached.
    pub remaining: Option<u64>,
    /// Time of the reset, RFC 3339; `None` for calls in flight.
    pub resets_at: Option<String>,
    /// Origin of the limit.
    pub source: LimitSource,
    /// End of the limit, RFC 3339; `None` if it does not end.
    pub until: Option<String>,
    /// True if a request may raise the limit.
    pub raisable: bool,
    /// Largest limit that may be granted automatically; `None` if an admin decides in any case.
    pub max_automatic: Option<u64>,
}

impl LimitView {
    /// Returns the view of a limit. `share` is the most that one account may take of the pool that the calls are counted
    /// in as well.
    pub fn new(
        limit: &AppliedLimit,
        reading: Option<&Reading>,
        share: Option<u64>,
        rules: &QuotaRules,
        now: Timestamp,
    ) -> Self {
        // Calls in flight have no window, and nothing to reset.
        let policy = limit.policy();
        let is_in_flight = policy.algorithm == Algorithm::Concurrency;
        Self {
            name: policy.name.clone(),
            scope: policy.scope.to_string(),
            class: limit.class.name(),
            unit: if is_in_flight { "concurrent-requests" } else { "requests" },
            algorithm: policy.algorithm,
            mode: policy.mode,
            limit: policy.limit,
            window_seconds: (!is_in_flight).then(|| policy.window.secs(now)),
            used: reading.map(|reading| reading.used),
            remaining: reading.map(Reading::remaining),
            resets_at: (!is_in_flight).then(|| policy.window.end(now).to_rfc3339()),
            source: limit.source,
            until: limit.until.map(date),
            raisable: limit.policy().is_raisable(),
            max_automatic: largest_automatic(limit, share, rules),
        }
    }
}

/// A request as customers and admins see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestView {
    id: String,
    account: String,
    integration: Option<String>,
    policy: String,
    limit: u64,
    reason: String,
    until: Option<String>,
    refused_request_id: Option<String>,
    state: RequestState,
    rule: &'static str,
    explanation: String,
    granted: Option<u64>,
    grant: Option<GrantView>,
    evidence: Evidence,
    events: Vec<EventView>,
    created_at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct GrantView {
    limit: u64,
    until: Option<String>,
    state: GrantState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct EventView {
    at: String,
    kind: EventKind,
    by: String,
    note: String,
}

impl RequestView {
    /// Returns the request as its customer sees it: without the pool's figures and admins' names.
    pub fn public(request: &QuotaRequest, now: Timestamp) -> Self {
        Self::new(request, None, Author::public, now)
    }

    /// Returns the request as admins see it.
    pub fn for_admins(request: &QuotaRequest, now: Timestamp) -> Self {
        Self::new(request, request.evidence.pool, Author::name, now)
    }

    fn new(request: &QuotaRequest, pool: Option<PoolEvidence>, name: fn(&Author) -> String, now: Timestamp) -> Self {
        // The grant, if there is one, and the events under the names that the reader may see.
        let grant = request.granted.zip(request.grant_state(now));
        let event = |event: &super::request::RequestEvent| EventView {
            at: date(event.at),
            kind: event.kind,
            by: name(&event.by),
            note: event.note.clone(),
        };
        Self {
            id: request.id.clone(),
            account: request.account.clone(),
            integration: request.integration.clone(),
            policy: request.policy.clone(),
            limit: request.limit,
            reason: request.reason.clone(),
            until: request.until.map(date),
            refused_request_id: request.refused_request_id.clone(),
            state: request.state,
            rule: request.rule.name(),
            explanation: request.explanation.clone(),
            granted: request.granted,
            grant: grant.map(|(limit, state)| GrantView { limit, until: request.granted_until.map(date), state }),
            evidence: Evidence { pool, ..request.evidence.clone() },
            events: request.events.iter().map(event).collect(),
            created_at: date(request.created_at),
        }
    }
}

fn date(secs: u64) -> String {
    Timestamp::from_secs(secs).to_rfc3339()
}
