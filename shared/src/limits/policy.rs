//! Policies, their subjects, and the charges of a call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::clock::Timestamp;

/// PolicyScope of a policy: the calls that it counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyScope {
    /// Calls of one client address: an IPv4 address or an IPv6 /64. With a valid key, only the account's calls from
    /// it.
    ClientAddress,
    /// Calls with one API key.
    Key,
    /// Calls of one integration of an account.
    Integration,
    /// Calls of one account on routes of one class.
    AccountClass,
    /// Calls of one account.
    Account,
    /// Calls of one account, against its share of the platform's pool.
    #[serde(skip)]
    Share,
    /// All calls of the platform, against its pool.
    Global,
}

impl fmt::Display for PolicyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PolicyScope::ClientAddress => "client-address",
            PolicyScope::Key => "key",
            PolicyScope::Integration => "integration",
            PolicyScope::AccountClass => "account-class",
            PolicyScope::Account => "account",
            // The message for callers hides the pool's size, and that pool and share are separate policies.
            PolicyScope::Share | PolicyScope::Global => "platform",
        })
    }
}

/// Algorithm by which calls are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Counts the calls of the current window.
    #[default]
    Fixed,
    /// Counts the calls of the current window, and of the previous window the share that one window's length back
    /// still covers. See [`decide()`](super::decide()) for its error.
    Sliding,
    /// Counts the calls in flight. A call holds its place until the proxy releases it, or until its lease expires
    /// ([`leases`](super::leases)).
    Concurrency,
}

/// Treatment of a call beyond the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The call is refused.
    #[default]
    Enforce,
    /// The call passes, with a header and a metric.
    Warn,
    /// The call passes, with a metric. The caller sees nothing of the policy.
    Shadow,
}

/// Class of calls that are limited together: calls to a class of routes, or rejected requests to any route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// AI calls.
    Ai,
    /// Other calls that cost an account's quotas, such as those to catalogs.
    Api,
    /// Sign-ins.
    Login,
    /// Requests to any route that are turned away: without a valid key, with conflicting credentials, or not
    /// permitted.
    FailedAuth,
    /// Calls by which an account reads or changes its own settings and usage. They cost no other quota.
    #[serde(rename = "self")]
    Own,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] = [Self::Ai, Self::Api, Self::Login, Self::FailedAuth, Self::Own];

    /// Returns true if calls of this class have a valid key.
    pub fn has_key(self) -> bool {
        matches!(self, Self::Ai | Self::Api | Self::Own)
    }

    /// Returns the class's name in logs, metrics and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ai => "ai",
            Self::Api => "api",
            Self::Login => "login",
            Self::FailedAuth => "failed-auth",
            Self::Own => "self",
        }
    }
}

/// Name under which a policy stores the weight of the routes that it does not name.
pub const OTHER_ROUTES: &str = "*";

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name in headers, errors and statistics: 1 to 32 lower-case letters, digits and hyphens.
    pub name: String,
    /// PolicyScope: the calls that are counted together.
    pub scope: PolicyScope,
    /// Limit: calls per window, or calls in flight. 0 turns the policy off.
    pub limit: u64,
    /// Window; has no meaning for [`Algorithm::Concurrency`].
    pub window: Window,
    /// Algorithm by which calls are counted.
    pub algorithm: Algorithm,
    /// Treatment of a call beyond the limit.
    pub mode: Mode,
    /// Classes of calls that the policy applies to.
    pub classes: Vec<Class>,
    /// Weights of calls by the route's resource, such as `/v1/messages`. A route that is not named has the weight of
    /// [`OTHER_ROUTES`], or 1 if that is not set. A call of weight 0 is not counted.
    pub weights: BTreeMap<String, u64>,
}

impl Policy {
    /// Returns true if callers may see the policy's numbers. The size and use of the pool are not shown to callers.
    pub fn is_public(&self) -> bool {
        !matches!(self.scope, PolicyScope::Global | PolicyScope::Share) && self.mode != Mode::Shadow
    }

    /// Returns true if an account may ask for a higher limit: one that it or one of its integrations has for itself.
    pub fn is_raisable(&self) -> bool {
        let scopes = [PolicyScope::Integration, PolicyScope::AccountClass, PolicyScope::Account];
        scopes.contains(&self.scope) && self.mode != Mode::Shadow
    }

    /// Returns the weight of a call to `resource`.
    pub fn weight(&self, resource: &str) -> u64 {
        self.weights.get(resource).or_else(|| self.weights.get(OTHER_ROUTES)).copied().unwrap_or(1)
    }
}

/// Returns true if `name` is a valid policy name.
pub fn is_policy_name(name: &str) -> bool {
    let is_of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(is_of_a_name)
}

/// Subject that is charged under a policy, as it stands in a Redis key: an id or a pseudonym, never an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(pub String);

/// Charge of a call to one subject under one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Policy.
    pub policy: Arc<Policy>,
    /// Subject.
    pub subject: Subject,
    /// Weight of the call; at least 1.
    pub weight: u64,
}

impl Charge {
    /// Returns the Redis key of the counter for the window that holds `now`. All keys share one hash tag, so that one
    /// script may use them together.
    pub fn counter(&self, now: Timestamp) -> String {
        self.counter_of(self.policy.window.start(now))
    }

    /// Returns the Redis key of the counter for the window before the one that holds `now`.
    pub fn previous_counter(&self, now: Timestamp) -> String {
        self.counter_of(self.policy.window.previous_start(now))
    }

    fn counter_of(&self, start: Timestamp) -> String {
        counter_key(&self.policy.name, &self.subject.0, self.policy.window, start)
    }

    /// Returns the Redis key of the set of calls in flight, for [`Algorithm::Concurrency`].
    pub fn leases(&self) -> String {
        format!("{{levee}}:lease:{}:{}", self.policy.name, self.subject.0)
    }
}

/// Returns the Redis key of the counter of `policy` and `subject` for the window that began at `start`.
pub fn counter_key(policy: &str, subject: &str, window: Window, start: Timestamp) -> String {
    format!("{{levee}}:limit:{policy}:{subject}:{}:{}", window.name(), start.as_secs())
}
