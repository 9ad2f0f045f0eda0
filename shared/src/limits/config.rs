//! Configuration of the policies: those that every stack has, and those of `LIMIT_POLICIES`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::policy::{Algorithm, Class, Mode, OTHER_ROUTES, Policy, PolicyScope, is_policy_name};
use super::routes::Route;
use super::window::Window;
use crate::config::Reader;

/// Largest number of policies in one decision, shares of the pool included.
pub const MOST_POLICIES: usize = 16;
/// Largest limit.
pub const LARGEST_LIMIT: u64 = 1_000_000_000;
/// Largest weight of one call.
const LARGEST_WEIGHT: u64 = 1_000;

/// Policies of a stack, and the way they are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// `LIMIT_…` and `LIMIT_POLICIES`: all policies, those by windows before those of calls in flight, each narrowest
    /// scope first. A policy whose limit is 0 is off unless an override gives it another.
    pub policies: Vec<Arc<Policy>>,
    /// `LIMIT_ACCOUNT_SHARE_PERCENT`: share of each global policy that one account may use, 1 to 100 percent. Default
    /// 20.
    pub share_percent: u64,
    /// `LIMITS_MODE`: `enforce`, the default, or `shadow`: nothing is refused, and metrics count the calls that would
    /// be.
    pub mode: StackMode,
    /// `DEGRADED_LIMITS`: behaviour while Redis cannot be reached. `allow`, the default, lets every call pass; with
    /// `local`, each environment counts by itself.
    pub degraded: DegradedMode,
}

/// Mode of a whole stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StackMode {
    /// Each policy has its own mode.
    #[default]
    Enforce,
    /// All policies are in [`Mode::Shadow`]: for a first rollout.
    Shadow,
}

/// Behaviour while Redis cannot be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DegradedMode {
    /// Every call passes.
    #[default]
    Allow,
    /// Each environment counts by itself.
    Local,
}

/// Policy that every stack has, with its variable and its default limit.
struct BuiltIn {
    variable: &'static str,
    default: u64,
    name: &'static str,
    scope: PolicyScope,
    window: Window,
    algorithm: Algorithm,
    classes: &'static [Class],
    weights: &'static [(&'static str, u64)],
}

/// AI routes that ask for no message: quick, and free of charge at the provider. A client may send many such calls at
/// once.
const WITHOUT_A_MESSAGE: &[(&str, u64)] = &[(COUNT_TOKENS, 0), ("/v1/models", 0), ("/v1/models/{id}", 0)];
const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

const AI: &[Class] = &[Class::Ai];
/// Classes of calls that cost an account's quotas.
const CALLS: &[Class] = &[Class::Ai, Class::Api];

const fn built_in(
    variable: &'static str,
    default: u64,
    name: &'static str,
    scope: PolicyScope,
    classes: &'static [Class],
) -> BuiltIn {
    let (window, algorithm) = (Window::MINUTE, Algorithm::Fixed);
    BuiltIn { variable, default, name, scope, window, algorithm, classes, weights: &[] }
}

const fn weighted(built_in: BuiltIn, weights: &'static [(&'static str, u64)]) -> BuiltIn {
    BuiltIn { weights, ..built_in }
}

const fn per_day(built_in: BuiltIn) -> BuiltIn {
    BuiltIn { window: Window::DAY, ..built_in }
}

const fn in_flight(built_in: BuiltIn) -> BuiltIn {
    BuiltIn { algorithm: Algorithm::Concurrency, weights: WITHOUT_A_MESSAGE, ..built_in }
}

/// Built-in policies by scope, narrowest first.
const BUILT_IN: [BuiltIn; 13] = [
    weighted(built_in("LIMIT_AI_PER_ADDRESS", 30, "ai-address", PolicyScope::ClientAddress, AI), WITHOUT_A_MESSAGE),
    built_in("LIMIT_LOGIN_PER_ADDRESS", 10, "login-address", PolicyScope::ClientAddress, &[Class::Login]),
    built_in(
        "LIMIT_FAILED_AUTH_PER_ADDRESS",
        20,
        "failed-auth-address",
        PolicyScope::ClientAddress,
        &[Class::FailedAuth],
    ),
    built_in("LIMIT_KEY_PER_MINUTE", 0, "key", PolicyScope::Key, CALLS),
    built_in("LIMIT_INTEGRATION_PER_MINUTE", 300, "integration", PolicyScope::Integration, CALLS),
    built_in("LIMIT_ACCOUNT_AI_PER_MINUTE", 0, "account-ai", PolicyScope::AccountClass, AI),
    weighted(
        built_in("LIMIT_COUNT_TOKENS_PER_MINUTE", 120, "count-tokens", PolicyScope::Account, AI),
        &[(OTHER_ROUTES, 0), (COUNT_TOKENS, 1)],
    ),
    built_in("LIMIT_ACCOUNT_PER_MINUTE", 600, "account", PolicyScope::Account, CALLS),
    built_in("LIMIT_ACCOUNT_SELF_PER_MINUTE", 60, "account-self", PolicyScope::Account, &[Class::Own]),
    per_day(built_in("LIMIT_ACCOUNT_PER_DAY", 0, "account-day", PolicyScope::Account, CALLS)),
    in_flight(built_in("LIMIT_ACCOUNT_IN_FLIGHT", 20, "in-flight", PolicyScope::Account, AI)),
    built_in("LIMIT_GLOBAL_PER_MINUTE", 6_000, "global", PolicyScope::Global, CALLS),
    in_flight(built_in("LIMIT_GLOBAL_IN_FLIGHT", 400, "global-in-flight", PolicyScope::Global, AI)),
];

impl BuiltIn {
    fn policy(&self, limit: u64) -> Policy {
        Policy {
            name: self.name.to_owned(),
            scope: self.scope,
            limit,
            window: self.window,
            algorithm: self.algorithm,
            mode: Mode::Enforce,
            classes: self.classes.to_vec(),
            weights: self.weights.iter().map(|(resource, weight)| ((*resource).to_owned(), *weight)).collect(),
        }
    }
}

/// Returns the name, the scope and the classes of each built-in policy.
pub fn built_in_policies() -> impl Iterator<Item = (&'static str, PolicyScope, &'static [Class])> {
    BUILT_IN.iter().map(|built_in| (built_in.name, built_in.scope, built_in.classes))
}

/// Entry of `LIMIT_POLICIES`. If its name is that of an existing policy, it changes the fields that it names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyEntry {
    name: String,
    scope: Option<PolicyScope>,
    limit: Option<u64>,
    window: Option<WindowText>,
    algorithm: Option<Algorithm>,
    mode: Option<Mode>,
    classes: Option<Vec<Class>>,
    weights: Option<BTreeMap<String, u64>>,
}

/// Window as a name such as `"hour"` or as a number of seconds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WindowText {
    Secs(u64),
    Name(String),
}

impl WindowText {
    fn window(&self) -> Option<Window> {
        match self {
            Self::Secs(secs) => Window::parse(&secs.to_string()),
            Self::Name(name) => Window::parse(name),
        }
    }
}

impl PolicyEntry {
    /// Builds the policy that replaces `there`, or a new one if there is none.
    fn apply(self, there: Option<&Policy>) -> Result<Policy, String> {
        let Self { name, scope, limit, window, algorithm, mode, classes, weights } = self;
        let wrong = |what: &str| format!("the policy '{name}' {what}");
        // Check the name and the scope.
        if !is_policy_name(&name) {
            return Err("a policy's name has 1 to 32 lower-case letters, digits and hyphens".to_owned());
        }
        // These names are reserved: callers see the pool as `platform`, and its shares end in `-share`.
        if name == "platform" || name.ends_with("-share") {
            return Err(wrong("has a name that stands for the pool"));
        }
        if there.is_some_and(|there| scope.is_some_and(|scope| scope != there.scope)) {
            return Err(wrong("has its scope already"));
        }
        // Fill in the fields that the entry does not name.
        let needed = |what: &str| wrong(&format!("needs {what}"));
        let algorithm = algorithm.or(there.map(|it| it.algorithm)).unwrap_or_default();
        let window = match (window, there) {
            (Some(window), _) => window.window().ok_or_else(|| wrong("has a window that is none"))?,
            (None, Some(there)) => there.window,
            (None, None) if algorithm == Algorithm::Concurrency => Window::MINUTE,
            (None, None) => return Err(needed("a window")),
        };
        let policy = Policy {
            scope: scope.or(there.map(|it| it.scope)).ok_or_else(|| needed("a scope"))?,
            limit: limit.or(there.map(|it| it.limit)).ok_or_else(|| needed("a limit"))?,
            window,
            algorithm,
            mode: mode.or(there.map(|it| it.mode)).unwrap_or_default(),
            classes: classes.or(there.map(|it| it.classes.clone())).unwrap_or_else(|| vec![Class::Ai]),
            // Keep the weights of routes that the entry does not name.
            weights: there
                .map(|it| it.weights.clone())
                .into_iter()
                .flatten()
                .chain(weights.into_iter().flatten())
                .collect(),
            name: name.clone(),
        };
        // Check the bounds of the result.
        if policy.limit > LARGEST_LIMIT {
            return Err(wrong(&format!("has a limit of more than {LARGEST_LIMIT}")));
        }
        if policy.classes.is_empty() {
            return Err(wrong("is about no class of routes"));
        }
        if policy.weights.values().any(|weight| *weight > LARGEST_WEIGHT) {
            return Err(wrong(&format!("has a weight of more than {LARGEST_WEIGHT}")));
        }
        // Check the weights: known routes, and none that could never pass.
        let is_route = |resource: &&String| *resource == OTHER_ROUTES || Route::from_resource(resource).is_some();
        if let Some(resource) = policy.weights.keys().find(|resource| !is_route(resource)) {
            return Err(wrong(&format!("has a weight for '{resource}', which is no route that limits are checked on")));
        }
        if policy.limit > 0 && policy.weights.values().any(|weight| *weight > policy.limit) {
            return Err(wrong("has a weight above its limit: such a call could never pass"));
        }
        // Check that the classes suit the algorithm and the scope.
        if policy.algorithm == Algorithm::Concurrency && policy.classes != [Class::Ai] {
            return Err(wrong("counts calls in flight, which only AI calls are"));
        }
        if policy.scope != PolicyScope::ClientAddress && !policy.classes.iter().all(|class| class.has_key()) {
            return Err(wrong("is about callers, which their keys tell: of the classes 'ai', 'api' and 'self'"));
        }
        Ok(policy)
    }
}

/// Applies the entries of `LIMIT_POLICIES` to the built-in policies.
fn with_entries(mut policies: Vec<Policy>, text: &str) -> Result<Vec<Policy>, String> {
    let entries: Vec<PolicyEntry> =
        serde_json::from_str(text).map_err(|error| format!("is not a JSON list of policies: {error}"))?;
    // Change the policy of the entry's name, or add a new one.
    for entry in entries {
        match policies.iter().position(|policy| policy.name == entry.name) {
            Some(at) => policies[at] = entry.apply(Some(&policies[at]))?,
            None => policies.push(entry.apply(None)?),
        }
    }
    // Sort in the order of headers: policies by windows first, then narrowest scope first.
    policies.sort_by_key(|policy| (policy.algorithm == Algorithm::Concurrency, policy.scope));
    // Check that no class has too many policies. A global one counts twice, because its share is a policy of its own.
    for class in Class::ALL {
        let of_class = policies.iter().filter(|policy| policy.classes.contains(&class));
        let count: usize = of_class.map(|policy| if policy.scope == PolicyScope::Global { 2 } else { 1 }).sum();
        if count > MOST_POLICIES {
            let class = class.name();
            return Err(format!(
                "makes {count} policies for the class '{class}', shares of the pool included; {MOST_POLICIES} is the most"
            ));
        }
    }
    Ok(policies)
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self::with_entries(BUILT_IN.iter().map(|it| it.policy(it.default)).collect(), "[]")
            .unwrap_or_else(|_| Self::none())
    }
}

impl LimitsConfig {
    /// Reads the variables that the fields name. Each limit is 0 to 1,000,000,000, and 0 turns its policy off.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let limit = |it: &BuiltIn| it.policy(reader.number(it.variable, it.default, 0..=LARGEST_LIMIT));
        let policies: Vec<Policy> = BUILT_IN.iter().map(limit).collect();
        let more = reader.parsed("LIMIT_POLICIES", |text| Self::with_entries(policies.clone(), text));
        let config = more.or_else(|| Self::with_entries(policies, "[]").ok()).unwrap_or_else(Self::none);
        Self {
            share_percent: reader.number("LIMIT_ACCOUNT_SHARE_PERCENT", config.share_percent, 1..=100),
            mode: reader.parsed("LIMITS_MODE", stack_mode).unwrap_or_default(),
            degraded: reader.parsed("DEGRADED_LIMITS", degraded_mode).unwrap_or_default(),
            ..config
        }
    }

    /// Replaces limits by policy name: for tests and benchmarks.
    #[must_use]
    pub fn with(mut self, limits: &[(&str, u64)]) -> Self {
        for policy in &mut self.policies {
            if let Some((_, limit)) = limits.iter().find(|(name, _)| *name == policy.name) {
                Arc::make_mut(policy).limit = *limit;
            }
        }
        self
    }

    fn with_entries(policies: Vec<Policy>, entries: &str) -> Result<Self, String> {
        let policies = with_entries(policies, entries)?.into_iter().map(Arc::new).collect();
        Ok(Self { policies, ..Self::none() })
    }

    fn none() -> Self {
        let (mode, degraded) = (StackMode::default(), DegradedMode::default());
        Self { policies: Vec::new(), share_percent: 20, mode, degraded }
    }
}

fn stack_mode(text: &str) -> Result<StackMode, &'static str> {
    match text {
        "enforce" => Ok(StackMode::Enforce),
        "shadow" => Ok(StackMode::Shadow),
        _ => Err("must be enforce or shadow"),
    }
}

fn degraded_mode(text: &str) -> Result<DegradedMode, &'static str> {
    match text {
        "allow" => Ok(DegradedMode::Allow),
        "local" => Ok(DegradedMode::Local),
        _ => Err("must be allow or local"),
    }
}

#[cfg(test)]
mod tests;
