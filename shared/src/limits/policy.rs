//! What is limited: policies, their windows and their subjects.

use std::fmt;

use crate::clock::Timestamp;
use crate::config::Reader;

/// Whose calls a policy counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One client address: an IPv4 address or an IPv6 /64.
    ClientAddress,
    /// One integration of an account.
    Integration,
    /// One account.
    Account,
    /// All calls of the platform.
    Global,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::ClientAddress => "client-address",
            Scope::Integration => "integration",
            Scope::Account => "account",
            // Callers are not told how large the platform's pool is, nor that it is one policy.
            Scope::Global => "platform",
        })
    }
}

/// One limit: at most `limit` calls in each window of `window_secs`, aligned to the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name in headers, errors and statistics.
    pub name: &'static str,
    /// Whose calls are counted together.
    pub scope: Scope,
    /// Calls per window.
    pub limit: u64,
    /// Length of the window in seconds; at least 1.
    pub window_secs: u64,
}

impl Policy {
    /// When the window that holds `now` began.
    pub fn window_start(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_secs(now.as_secs() - now.as_secs() % self.window_secs)
    }

    /// When the window that holds `now` ends and the count begins anew.
    pub fn resets_at(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_secs(self.window_start(now).as_secs() + self.window_secs)
    }

    /// Whether its numbers may be told to callers. The size and use of the global pool are nobody's business.
    pub fn is_public(&self) -> bool {
        self.scope != Scope::Global
    }

    /// Whether a customer may ask for more of it.
    pub fn is_raisable(&self) -> bool {
        matches!(self.scope, Scope::Account | Scope::Integration)
    }
}

/// Who is charged under a policy, as it stands in a Redis key: an id or a pseudonym, never an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(pub String);

/// A call that is to be charged to one subject under one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The policy.
    pub policy: Policy,
    /// The subject.
    pub subject: Subject,
}

impl Charge {
    /// The Redis key of the counter for the window that holds `now`. All keys share one hash tag, so that one script
    /// may touch them together.
    pub fn key(&self, now: Timestamp) -> String {
        let Charge { policy, subject: Subject(subject) } = self;
        format!("{{levee}}:limit:{}:{subject}:{}", policy.name, policy.window_start(now).as_secs())
    }
}

/// The default limits. A limit of 0 turns its policy off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsConfig {
    /// `LIMIT_AI_PER_ADDRESS`: AI calls a minute per client address. Default 30.
    pub ai_per_address: u64,
    /// `LIMIT_LOGIN_PER_ADDRESS`: sign-ins a minute per client address. Default 10.
    pub login_per_address: u64,
    /// `LIMIT_INTEGRATION_PER_MINUTE`: calls a minute per integration. Default 300.
    pub integration_per_minute: u64,
    /// `LIMIT_ACCOUNT_PER_MINUTE`: calls a minute per account. Default 600.
    pub account_per_minute: u64,
    /// `LIMIT_ACCOUNT_PER_DAY`: calls a day (UTC) per account. Default 0, no limit.
    pub account_per_day: u64,
    /// `LIMIT_GLOBAL_PER_MINUTE`: calls a minute of all accounts together. Default 6,000.
    pub global_per_minute: u64,
}

const LARGEST_LIMIT: u64 = 1_000_000_000;
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 3600;

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            ai_per_address: 30,
            login_per_address: 10,
            integration_per_minute: 300,
            account_per_minute: 600,
            account_per_day: 0,
            global_per_minute: 6_000,
        }
    }
}

impl LimitsConfig {
    /// Reads the variables named at the fields; each is 0 to 1,000,000,000.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let mut limit = |name, default| reader.number(name, default, 0..=LARGEST_LIMIT);
        let default = Self::default();
        Self {
            ai_per_address: limit("LIMIT_AI_PER_ADDRESS", default.ai_per_address),
            login_per_address: limit("LIMIT_LOGIN_PER_ADDRESS", default.login_per_address),
            integration_per_minute: limit("LIMIT_INTEGRATION_PER_MINUTE", default.integration_per_minute),
            account_per_minute: limit("LIMIT_ACCOUNT_PER_MINUTE", default.account_per_minute),
            account_per_day: limit("LIMIT_ACCOUNT_PER_DAY", default.account_per_day),
            global_per_minute: limit("LIMIT_GLOBAL_PER_MINUTE", default.global_per_minute),
        }
    }

    /// The charge of one sign-in. Without an address there is nothing to count.
    pub fn login(&self, address: Option<Subject>) -> Vec<Charge> {
        let charge = |it| charge("login-address", Scope::ClientAddress, self.login_per_address, MINUTE, it);
        address.map(charge).into_iter().filter(|charge| charge.policy.limit > 0).collect()
    }

    /// The charges of one AI call, narrowest scope first. `address` is `None` for callers exempt from that limit.
    pub fn ai_call(&self, address: Option<Subject>, account: &str, integration: &str) -> Vec<Charge> {
        let address = address.map(|it| charge("ai-address", Scope::ClientAddress, self.ai_per_address, MINUTE, it));
        let integration = Subject(format!("{account}/{integration}"));
        let account = Subject(account.to_owned());
        let all = Subject("all".to_owned());
        address
            .into_iter()
            .chain([
                charge("integration", Scope::Integration, self.integration_per_minute, MINUTE, integration),
                charge("account", Scope::Account, self.account_per_minute, MINUTE, account.clone()),
                charge("account-day", Scope::Account, self.account_per_day, DAY, account),
                charge("global", Scope::Global, self.global_per_minute, MINUTE, all),
            ])
            .filter(|charge| charge.policy.limit > 0)
            .collect()
    }
}

fn charge(name: &'static str, scope: Scope, limit: u64, window_secs: u64, subject: Subject) -> Charge {
    Charge { policy: Policy { name, scope, limit, window_secs }, subject }
}
