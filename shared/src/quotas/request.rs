//! Stored form of a request, and its states.

use serde::{Deserialize, Serialize};

use super::ask::QuotaAsk;
use super::evidence::Evidence;
use super::judge::{Judgement, Rule};
use crate::accounts::GrantSubject;
use crate::clock::Timestamp;
use crate::limits::Grant;

/// State of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// An admin has to decide.
    Pending,
    /// Granted by the rules.
    AutoApproved,
    /// Granted in full by an admin.
    Approved,
    /// Granted in part by an admin.
    PartiallyApproved,
    /// Denied by an admin.
    Denied,
    /// Cancelled by its account.
    Cancelled,
    /// Granted, and taken back by an admin.
    Revoked,
}

impl RequestState {
    /// Returns the state's name, as stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::AutoApproved => "auto-approved",
            Self::Approved => "approved",
            Self::PartiallyApproved => "partially-approved",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Revoked => "revoked",
        }
    }

    /// Returns true if a grant followed from the request.
    pub fn is_granted(self) -> bool {
        matches!(self, Self::AutoApproved | Self::Approved | Self::PartiallyApproved | Self::Revoked)
    }
}

/// State of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    /// In force.
    Active,
    /// Ended by itself.
    Expired,
    /// Taken back by an admin.
    Revoked,
}

/// Author of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Author {
    /// A customer, by the id of its key.
    Key(String),
    /// The rules.
    Rules,
    /// An admin, by name.
    Admin(String),
}

impl Author {
    /// Returns the author as customers see it: they see no admin's name.
    pub fn public(&self) -> String {
        match self {
            Self::Key(id) => format!("key {id}"),
            Self::Rules => "automatic rules".to_owned(),
            Self::Admin(_) => "the platform".to_owned(),
        }
    }

    /// Returns the author as admins see it.
    pub fn name(&self) -> String {
        match self {
            Self::Admin(name) => name.clone(),
            Self::Key(_) | Self::Rules => self.public(),
        }
    }
}

/// Kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The request was made.
    Requested,
    /// It was granted in full.
    Approved,
    /// It was granted in part.
    PartiallyApproved,
    /// It was denied.
    Denied,
    /// It was cancelled.
    Cancelled,
    /// Its grant was taken back.
    Revoked,
}

/// Change of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestEvent {
    /// Time, Unix seconds.
    pub at: u64,
    /// Kind of the change.
    pub kind: EventKind,
    /// Author of the change.
    pub by: Author,
    /// Public note; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Request of an account for a higher limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRequest {
    /// Id, unique within the account. Ids sort by the time of the request.
    pub id: String,
    /// Account's id.
    pub account: String,
    /// Integration whose limit is meant; `None` for a limit of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// Name of the policy.
    pub policy: String,
    /// Requested limit.
    pub limit: u64,
    /// Reason.
    pub reason: String,
    /// Requested end, Unix seconds; `None` for no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Id of the refused request that led to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_request_id: Option<String>,
    /// State.
    pub state: RequestState,
    /// Rule that decided about the request when it was made.
    pub rule: Rule,
    /// Public reason of the last decision.
    pub explanation: String,
    /// Granted limit; `None` if nothing was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<u64>,
    /// End of the grant, Unix seconds; `None` if it does not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_until: Option<u64>,
    /// Facts at the time of the request.
    pub evidence: Evidence,
    /// Changes, the oldest first.
    pub events: Vec<RequestEvent>,
    /// Time of the request, Unix seconds.
    pub created_at: u64,
    /// Number of changes.
    pub revision: u64,
}

impl QuotaRequest {
    /// Creates the request of `ask` about `subject` by the key `key`, as it was judged.
    pub(super) fn new(
        id: String,
        account: &str,
        subject: GrantSubject,
        ask: QuotaAsk,
        key: &str,
        (evidence, judgement): (Evidence, Judgement),
        now: Timestamp,
    ) -> Self {
        let at = now.as_secs();
        let Judgement { granted_until, rule, explanation } = judgement;
        let is_granted = granted_until.is_some();
        let event = |kind, by, note: &str| RequestEvent { at, kind, by, note: note.to_owned() };
        let mut events = vec![event(EventKind::Requested, Author::Key(key.to_owned()), "")];
        if is_granted {
            events.push(event(EventKind::Approved, Author::Rules, &explanation));
        }
        Self {
            id,
            account: account.to_owned(),
            integration: subject.integration,
            policy: subject.policy,
            limit: ask.limit,
            reason: ask.reason,
            until: ask.until,
            refused_request_id: ask.refused_request_id,
            state: if is_granted { RequestState::AutoApproved } else { RequestState::Pending },
            rule,
            explanation,
            granted: is_granted.then_some(ask.limit),
            granted_until,
            evidence,
            events,
            created_at: at,
            revision: 1,
        }
    }

    /// Returns the policy that the request is about.
    pub fn subject(&self) -> GrantSubject {
        GrantSubject { integration: self.integration.clone(), policy: self.policy.clone() }
    }

    /// Returns the grant that follows from the request, if it is granted; it may have ended.
    pub fn grant(&self) -> Option<Grant> {
        let limit = self.granted.filter(|_| self.state != RequestState::Revoked)?;
        let decided = self
            .events
            .iter()
            .rev()
            .find(|event| matches!(event.kind, EventKind::Approved | EventKind::PartiallyApproved));
        let granted_at = decided.map_or(self.created_at, |event| event.at);
        Some(Grant { limit, until: self.granted_until, granted_at, request: self.id.clone() })
    }

    /// Returns the state of the grant at `now`; `None` if nothing was granted.
    pub fn grant_state(&self, now: Timestamp) -> Option<GrantState> {
        self.granted?;
        let is_over = self.granted_until.is_some_and(|until| until <= now.as_secs());
        Some(match self.state {
            RequestState::Revoked => GrantState::Revoked,
            _ if is_over => GrantState::Expired,
            _ => GrantState::Active,
        })
    }

    /// Returns the request after a change by `by`. The note is public, and becomes the explanation unless it is empty.
    pub(super) fn changed(&self, state: RequestState, kind: EventKind, by: Author, note: &str, now: Timestamp) -> Self {
        let mut changed = Self { state, revision: self.revision + 1, ..self.clone() };
        if !note.is_empty() {
            changed.explanation = note.to_owned();
        }
        changed.events.push(RequestEvent { at: now.as_secs(), kind, by, note: note.to_owned() });
        changed
    }
}
