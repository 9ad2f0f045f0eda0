//! Records as they are shown: everything except hashes.

mod limits;

use levee::accounts::{Account, Integration, KeyRecord, KeyScope, Status};
use levee::admins::{Admin, AuditEntry};
use levee::clock::Timestamp;
use serde::Serialize;

pub(crate) use self::limits::{LimitView, limit_text, mode_name};
use crate::output::{NOTHING, moment, or_nothing};
use crate::place::{Place, Whose};

/// An account, as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct AccountView {
    id: String,
    name: String,
    status: String,
    created_at: Option<String>,
    pub(crate) limits: Vec<LimitView>,
}

impl AccountView {
    pub(crate) const HEADERS: &[&str] = &["ID", "NAME", "STATUS", "CREATED"];

    pub(crate) fn new(account: &Account, now: Timestamp) -> Self {
        let limits = LimitView::all(&Whose::Account(account.id.clone()), &account.limits, now);
        let Account { id, name, status, created_at, .. } = account.clone();
        Self { id, name, status: status.to_string(), created_at: moment(created_at), limits }
    }

    pub(crate) fn row(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone(), self.status.clone(), or_nothing(&self.created_at)]
    }

    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        labelled(["id", "name", "status", "created"], self.row())
    }
}

/// An integration, as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct IntegrationView {
    account: String,
    id: String,
    name: String,
    kind: String,
    status: String,
    created_at: Option<String>,
    pub(crate) limits: Vec<LimitView>,
}

impl IntegrationView {
    pub(crate) const HEADERS: &[&str] = &["INTEGRATION", "NAME", "KIND", "STATUS", "CREATED"];

    pub(crate) fn new(account: &str, integration: &Integration, now: Timestamp) -> Self {
        let Integration { id, name, kind, status, created_at, limits, .. } = integration.clone();
        let (account, created_at) = (account.to_owned(), moment(created_at));
        let whose = Whose::Integration(Place { account: account.clone(), integration: id.clone() });
        let limits = LimitView::all(&whose, &limits, now);
        Self { account, id, name, kind: kind.to_string(), status: status.to_string(), created_at, limits }
    }

    pub(crate) fn row(&self) -> Vec<String> {
        let created = or_nothing(&self.created_at);
        vec![self.id.clone(), self.name.clone(), self.kind.clone(), self.status.clone(), created]
    }

    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![("account", self.account.clone())];
        fields.extend(labelled(["integration", "name", "kind", "status", "created"], self.row()));
        fields
    }
}

/// A key, as it is shown. The key itself is not known.
#[derive(Debug, Serialize)]
pub(crate) struct KeyView {
    id: String,
    account: String,
    integration: String,
    name: String,
    scopes: Vec<KeyScope>,
    /// `active`, `expired` or `revoked`.
    status: String,
    expires_at: Option<String>,
    address_exempt: bool,
    created_at: Option<String>,
    pub(crate) limits: Vec<LimitView>,
}

impl KeyView {
    pub(crate) const HEADERS: &[&str] =
        &["KEY", "INTEGRATION", "NAME", "SCOPES", "STATUS", "EXPIRES", "ADDRESS LIMIT", "CREATED"];

    pub(crate) fn new(key: &KeyRecord, now: Timestamp) -> Self {
        let over = key.status == Status::Active && !key.is_live(now);
        Self {
            id: key.id.clone(),
            account: key.account.clone(),
            integration: key.integration.clone(),
            name: key.name.clone(),
            scopes: key.scopes.iter().copied().collect(),
            status: if over { "expired".to_owned() } else { key.status.to_string() },
            expires_at: moment(key.expires_at),
            address_exempt: key.address_exempt,
            created_at: moment(key.created_at),
            limits: LimitView::all(&Whose::Key(key.id.clone()), &key.limits, now),
        }
    }

    pub(crate) fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.integration.clone(),
            self.name.clone(),
            scopes(&self.scopes),
            self.status.clone(),
            self.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
            if self.address_exempt { "exempt" } else { "counts" }.to_owned(),
            or_nothing(&self.created_at),
        ]
    }

    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let labels = ["key", "integration", "name", "scopes", "status", "expires", "address limit", "created"];
        let mut fields = labelled(labels, self.row());
        fields.insert(1, ("account", self.account.clone()));
        fields
    }
}

/// A platform admin, as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct AdminView {
    email: String,
    role: String,
    created_at: Option<String>,
    /// Moment at which all sessions were last ended at once.
    signed_out_at: Option<String>,
}

impl AdminView {
    pub(crate) const HEADERS: &[&str] = &["EMAIL", "ROLE", "CREATED", "SIGNED OUT EVERYWHERE"];

    pub(crate) fn new(admin: &Admin) -> Self {
        Self {
            email: admin.email.clone(),
            role: admin.role.to_string(),
            created_at: moment(Some(admin.created_at)),
            signed_out_at: moment(Some(admin.sessions_from / 1000).filter(|&secs| secs > 0)),
        }
    }

    pub(crate) fn row(&self) -> Vec<String> {
        vec![self.email.clone(), self.role.clone(), or_nothing(&self.created_at), or_nothing(&self.signed_out_at)]
    }

    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        labelled(["email", "role", "created", "signed out everywhere"], self.row())
    }
}

/// An entry of the audit, as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct AuditView {
    at: Option<String>,
    actor: String,
    action: String,
    target: String,
    detail: String,
    request_id: Option<String>,
}

impl AuditView {
    pub(crate) const HEADERS: &[&str] = &["AT", "ACTOR", "ACTION", "TARGET", "DETAIL"];

    pub(crate) fn new(entry: &AuditEntry) -> Self {
        let AuditEntry { at, actor, action, target, detail, request_id } = entry.clone();
        Self { at: moment(Some(at / 1000)), actor, action, target, detail, request_id }
    }

    pub(crate) fn row(&self) -> Vec<String> {
        let detail = if self.detail.is_empty() { NOTHING.to_owned() } else { self.detail.clone() };
        vec![or_nothing(&self.at), self.actor.clone(), self.action.clone(), self.target.clone(), detail]
    }
}

/// Formats scopes in the form of an argument: separated by commas.
pub(crate) fn scopes<'a>(scopes: impl IntoIterator<Item = &'a KeyScope>) -> String {
    scopes.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn labelled<const N: usize>(labels: [&'static str; N], values: Vec<String>) -> Vec<(&'static str, String)> {
    labels.into_iter().zip(values).collect()
}
