//! What is limited: policies and their subjects.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::clock::Timestamp;

/// Whose calls a policy counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One client address: an IPv4 address or an IPv6 /64. With a valid key, the account's calls from that address.
    ClientAddress,
    /// One API key.
    Key,
    /// One integration of an account.
    Integration,
    /// One account, on routes of one class.
    AccountClass,
    /// One account.
    Account,
    /// One account's share of the platform's pool.
    #[serde(skip)]
    Share,
    /// All calls of the platform: the pool.
    Global,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::ClientAddress => "client-address",
            Scope::Key => "key",
            Scope::Integration => "integration",
            Scope::AccountClass => "account-class",
            Scope::Account => "account",
            // Callers are not told how large the platform's pool is, nor that it is one policy.
            Scope::Share | Scope::Global => "platform",
        })
    }
}

/// How calls are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// The calls of the window that holds the moment.
    #[default]
    Fixed,
    /// The calls of this window and, of the one before, the share that the last window's length still covers. See
    /// [`decide()`](super::decide()) for how far that is from the truth.
    Sliding,
    /// The calls in flight. A call holds its place until the proxy gives it back, or until the longest time that a
    /// call may take is over.
    Concurrency,
}

/// What becomes of a call beyond the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It passes; a header and a metric say so.
    Warn,
    /// It passes; a metric says so, and its caller sees nothing of the policy.
    Shadow,
}

/// What is limited together: a class of routes, or something that happens on any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// AI calls.
    Ai,
    /// Other calls that cost an account's quotas, such as those to catalogs.
    Api,
    /// Sign-ins.
    Login,
    /// Requests whose API key is not valid, on any route.
    FailedAuth,
    /// Calls by which an account reads or changes its own things; they cost no other quota.
    #[serde(rename = "self")]
    Own,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ai, Self::Api, Self::Login, Self::FailedAuth, Self::Own];

    /// Returns whether its requests have a valid key.
    pub fn has_key(self) -> bool {
        matches!(self, Self::Ai | Self::Api | Self::Own)
    }

    /// Returns its name in logs, metrics and configuration.
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

/// The name under which a policy has the weight of the routes that it does not name.
pub const OTHER_ROUTES: &str = "*";

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name in headers, errors and statistics: 1 to 32 lower-case letters, digits and hyphens.
    pub name: String,
    /// Whose calls are counted together.
    pub scope: Scope,
    /// Calls per window, or in flight. 0 turns the policy off.
    pub limit: u64,
    /// The window; without meaning for [`Algorithm::Concurrency`].
    pub window: Window,
    /// How calls are counted.
    pub algorithm: Algorithm,
    /// What becomes of a call beyond the limit.
    pub mode: Mode,
    /// What it is about.
    pub classes: Vec<Class>,
    /// Weights of calls by the route's resource, such as `/v1/messages`. A route that is not named has that of
    /// [`OTHER_ROUTES`], or else 1. A call of weight 0 is not counted.
    pub weights: BTreeMap<String, u64>,
}

impl Policy {
    /// Whether its numbers may be told to callers. The size and use of the pool are nobody's business.
    pub fn is_public(&self) -> bool {
        !matches!(self.scope, Scope::Global | Scope::Share) && self.mode != Mode::Shadow
    }

    /// Returns the weight of a call of `resource`.
    pub fn weight(&self, resource: &str) -> u64 {
        self.weights.get(resource).or_else(|| self.weights.get(OTHER_ROUTES)).copied().unwrap_or(1)
    }
}

/// Whether `name` may name a policy.
pub fn is_policy_name(name: &str) -> bool {
    let is_of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(is_of_a_name)
}

/// Who is charged under a policy, as it stands in a Redis key: an id or a pseudonym, never an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(pub String);

/// A call that is to be charged to one subject under one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The subject.
    pub subject: Subject,
    /// How much the call counts; at least 1.
    pub weight: u64,
}

impl Charge {
    /// The Redis key of the counter for the window that holds `now`. All keys share one hash tag, so that one script
    /// may touch them together.
    pub fn counter(&self, now: Timestamp) -> String {
        self.counter_of(self.policy.window.start(now))
    }

    /// The Redis key of the counter for the window before the one that holds `now`.
    pub fn previous_counter(&self, now: Timestamp) -> String {
        self.counter_of(self.policy.window.previous_start(now))
    }

    fn counter_of(&self, start: Timestamp) -> String {
        counter_key(&self.policy.name, &self.subject.0, self.policy.window, start)
    }

    /// The Redis key of the calls in flight, for [`Algorithm::Concurrency`].
    pub fn leases(&self) -> String {
        format!("{{levee}}:lease:{}:{}", self.policy.name, self.subject.0)
    }
}

/// The Redis key of the counter of `policy` and `subject` for the window that began at `start`.
pub fn counter_key(policy: &str, subject: &str, window: Window, start: Timestamp) -> String {
    format!("{{levee}}:limit:{policy}:{subject}:{}:{}", window.name(), start.as_secs())
}
