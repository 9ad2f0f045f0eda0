//! Spending terms of accounts and keys: a cap on tokens a month, and guards on the cost and the destination of each
//! call.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// Largest number of models in one list.
pub const MOST_MODELS: usize = 16;
/// Largest number of providers in one list.
pub const MOST_PROVIDERS: usize = 16;
/// Longest name of a provider in a list, bytes.
pub const LONGEST_PROVIDER: usize = 40;
/// Largest cap, tokens a month.
pub const LARGEST_CAP: u64 = 1_000_000_000_000;
/// Largest ceiling of `max_tokens`, tokens.
pub const LARGEST_MAX_TOKENS: u64 = 10_000_000;

/// Treatment of calls beyond a token cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CapMode {
    /// Calls pass, with a header, and an alert is raised.
    #[default]
    Warn,
    /// Calls are refused until the month ends.
    Block,
}

impl fmt::Display for CapMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warn => "warn",
            Self::Block => "block",
        })
    }
}

/// Override of an account's token cap, set by an admin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapOverride {
    /// Tokens a month (UTC), at most [`LARGEST_CAP`]. 0 stands for no cap, and `None` for `AI_TOKEN_CAP_DEFAULT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Treatment of calls beyond the cap.
    #[serde(default, deserialize_with = "or_default")]
    pub mode: CapMode,
}

impl CapOverride {
    /// Returns true if nothing is overridden.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Token cap that applies to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCap {
    /// Tokens a month (UTC); at least 1.
    pub limit: u64,
    /// Treatment of calls beyond the cap.
    #[serde(default, deserialize_with = "or_default")]
    pub mode: CapMode,
}

/// Server tools that guards tell apart. A provider runs these tools by itself and bills for them.
pub const SERVER_TOOLS: [&str; 6] = ["advisor", "code_execution", "mcp", "tool_search", "web_fetch", "web_search"];
/// Largest number of values in one list of a field's values.
pub const MOST_VALUES: usize = 4;
/// Largest size of guards as JSON within a JSON string, bytes. An account's and a key's guards travel with each
/// request in the authorizer's answer, of which API Gateway takes at most 8 KB.
pub const LONGEST_GUARDS: usize = 2_600;
/// Longest value of a field in a list, bytes.
pub const LONGEST_VALUE: usize = 20;

/// Treatment of bodies with fields, tool types or betas that the proxy does not know, if guards limit bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownFields {
    /// The call is refused, because such a field might get around a guard.
    #[default]
    Refuse,
    /// The call passes.
    Allow,
}

impl fmt::Display for UnknownFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        })
    }
}

/// Guards: limits on the content of one call, and on the providers that it may go to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guards {
    /// Allowed models; empty for all. A name that ends in `*` matches every model with that prefix.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub models: BTreeSet<String>,
    /// Largest allowed `max_tokens`; `None` for the provider's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Allowed providers, named as in `AI_PROVIDERS`; empty for all. At most [`MOST_PROVIDERS`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub providers: BTreeSet<String>,
    /// Allowed values of `speed`; empty for all. A body without the field counts as `standard`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub speeds: BTreeSet<String>,
    /// Allowed values of `service_tier`; empty for all. A body without the field counts as `auto`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub service_tiers: BTreeSet<String>,
    /// Allowed values of `inference_geo`; empty for all. A body without the field gets the default of the platform's
    /// workspace at the provider, and passes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub inference_geos: BTreeSet<String>,
    /// Allowed [`SERVER_TOOLS`]; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_tools: Option<BTreeSet<String>>,
    /// Treatment of parts of a body that the proxy does not know, if one of the guards above limits bodies.
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "or_default")]
    pub unknown_fields: UnknownFields,
}

/// Reads a value, or the default instead of an unknown one, which a newer version may have added.
pub(crate) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: DeserializeOwned + Default,
    D: Deserializer<'de>,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Guards {
    /// Returns true if everything is allowed.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if the guards limit bodies, so that a body must be read before it may be sent.
    pub fn limit_bodies(&self) -> bool {
        let Self { models, max_tokens, speeds, service_tiers, inference_geos, server_tools, .. } = self;
        let lists = [models, speeds, service_tiers, inference_geos];
        max_tokens.is_some() || server_tools.is_some() || lists.iter().any(|list| !list.is_empty())
    }

    /// Returns true if calls may use `model`.
    pub fn allow(&self, model: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => model.starts_with(beginning),
            None => pattern == model,
        };
        self.models.is_empty() || self.models.iter().any(matches)
    }

    /// Returns true if calls may go to the provider `name`.
    pub fn allow_provider(&self, name: &str) -> bool {
        self.providers.is_empty() || self.providers.contains(name)
    }
}

/// Terms that apply to one caller. The authorizer passes them on to the function behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Token cap of the account; `None` for no cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<TokenCap>,
    /// Guards of the account.
    #[serde(default, skip_serializing_if = "Guards::are_none")]
    pub account: Guards,
    /// Guards of the key, which apply in addition.
    #[serde(default, skip_serializing_if = "Guards::are_none")]
    pub key: Guards,
}

impl Terms {
    /// Returns the guards with the name of their holder.
    pub fn guards(&self) -> [(&'static str, &Guards); 2] {
        [("account", &self.account), ("key", &self.key)]
    }

    /// Returns true if the account's or the key's guards limit models.
    pub fn limit_models(&self) -> bool {
        self.guards().iter().any(|(_, guards)| !guards.models.is_empty())
    }

    /// Returns true if calls may use `model`. Both the account's and the key's guards must allow it.
    pub fn allow_model(&self, model: &str) -> bool {
        self.guards().iter().all(|(_, guards)| guards.allow(model))
    }

    /// Returns true if calls may go to the provider `name`. Both the account's and the key's guards must allow it.
    pub fn allow_provider(&self, name: &str) -> bool {
        self.account.allow_provider(name) && self.key.allow_provider(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_allowed_by_its_name_or_by_how_it_begins() {
        let guards =
            |models: &[&str]| Guards { models: models.iter().map(ToString::to_string).collect(), ..Guards::default() };
        for (models, model, expected) in [
            (&[][..], "claude-opus-5-5", true),
            (&["claude-haiku-5-5"], "claude-haiku-5-5", true),
            (&["claude-haiku-5-5"], "claude-haiku-5-5-20261013", false),
            (&["claude-haiku-*", "claude-sonnet-5-5"], "claude-haiku-5-5-20261013", true),
            (&["claude-haiku-*", "claude-sonnet-5-5"], "claude-opus-5-5", false),
            (&["*"], "anything", true),
        ] {
            assert_eq!(guards(models).allow(model), expected, "{models:?} {model}");
        }
    }

    #[test]
    fn a_provider_is_allowed_by_its_name_and_by_the_account_and_the_key() {
        let guards = |providers: &[&str]| Guards {
            providers: providers.iter().map(ToString::to_string).collect(),
            ..Guards::default()
        };
        for (account, key, allowed) in [
            (&[][..], &[][..], &["primary", "backup", "third"][..]),
            (&["primary", "backup"], &[], &["primary", "backup"]),
            (&[], &["backup"], &["backup"]),
            (&["primary", "backup"], &["backup", "third"], &["backup"]),
            (&["primary"], &["backup"], &[]),
            (&["Primary", "prim", "primary-2", "*"], &[], &[]),
        ] {
            let terms = Terms { account: guards(account), key: guards(key), ..Terms::default() };
            let names = ["primary", "backup", "third"].into_iter().filter(|name| terms.allow_provider(name));
            assert_eq!(names.collect::<Vec<_>>(), allowed, "{account:?} {key:?}");
        }
    }

    #[test]
    fn guards_from_before_there_were_providers_allow_them_all() {
        let guards: Guards = serde_json::from_str(r#"{"models":["m"],"max_tokens":5}"#).unwrap();
        assert!(guards.allow_provider("primary"));
        assert_eq!(serde_json::to_string(&guards).unwrap(), r#"{"models":["m"],"max_tokens":5}"#);
        let guards = Guards { providers: ["primary".to_owned()].into(), ..Guards::default() };
        assert!(!guards.are_none());
        assert_eq!(serde_json::to_string(&guards).unwrap(), r#"{"providers":["primary"]}"#);
    }

    #[test]
    fn guards_limit_bodies_unless_they_are_about_providers_alone() {
        let one = || BTreeSet::from(["x".to_owned()]);
        let none = Guards::default();
        for guards in [
            Guards { models: one(), ..none.clone() },
            Guards { max_tokens: Some(5), ..none.clone() },
            Guards { speeds: one(), ..none.clone() },
            Guards { service_tiers: one(), ..none.clone() },
            Guards { inference_geos: one(), ..none.clone() },
            Guards { server_tools: Some(BTreeSet::new()), ..none.clone() },
        ] {
            assert!(guards.limit_bodies() && !guards.are_none(), "{guards:?}");
            assert_eq!(serde_json::from_str::<Guards>(&serde_json::to_string(&guards).unwrap()).unwrap(), guards);
        }
        let guards = Guards { providers: one(), unknown_fields: UnknownFields::Allow, ..none };
        assert!(!guards.limit_bodies() && !guards.are_none());
    }

    #[test]
    fn terms_that_allow_everything_take_no_room() {
        assert_eq!(serde_json::to_string(&Terms::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Terms>("{}").unwrap(), Terms::default());
    }
}
