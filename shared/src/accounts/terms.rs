//! What an account and its keys may spend: a cap on tokens a month, and guards on what one call may cost and where it may
//! go.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// The most models that one place may list.
pub const MOST_MODELS: usize = 16;
/// The most providers that one place may list.
pub const MOST_PROVIDERS: usize = 16;
/// The longest name of a provider in a list, bytes.
pub const LONGEST_PROVIDER: usize = 40;
/// The largest cap, tokens a month.
pub const LARGEST_CAP: u64 = 1_000_000_000_000;
/// The largest ceiling of `max_tokens`.
pub const LARGEST_MAX_TOKENS: u64 = 10_000_000;

/// What becomes of calls beyond a token cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CapMode {
    /// They pass; a header says so, and somebody is told.
    #[default]
    Warn,
    /// They are refused until the month is over.
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

/// What an admin changed about an account's token cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapOverride {
    /// Tokens a month (UTC), at most [`LARGEST_CAP`]; 0: no cap; `None`: `AI_TOKEN_CAP_DEFAULT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What becomes of calls beyond it.
    #[serde(default, deserialize_with = "or_default")]
    pub mode: CapMode,
}

impl CapOverride {
    /// Whether nothing was changed.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A token cap that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCap {
    /// Tokens a month (UTC); at least 1.
    pub limit: u64,
    /// What becomes of calls beyond it.
    #[serde(default, deserialize_with = "or_default")]
    pub mode: CapMode,
}

/// The server tools that guards tell apart: tools that the provider runs by itself, and bills.
pub const SERVER_TOOLS: [&str; 6] = ["advisor", "code_execution", "mcp", "tool_search", "web_fetch", "web_search"];
/// The most values of one field that one place may list.
pub const MOST_VALUES: usize = 4;
/// The longest that guards may be as JSON within a JSON string, bytes: an account's and a key's travel with each request
/// in the authorizer's answer, of which API Gateway takes 8 KB.
pub const LONGEST_GUARDS: usize = 2_600;
/// The longest value of a field in a list, bytes.
pub const LONGEST_VALUE: usize = 20;

/// The handling of bodies that have fields, tool types or betas which the proxy does not understand, where guards limit
/// bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownFields {
    /// They are refused: they might get around a guard.
    #[default]
    Refuse,
    /// They pass.
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

/// Limits of what one call may ask for, and of where it may go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guards {
    /// The models that may be asked for; empty: all. A name that ends in `*` stands for all that begin so.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub models: BTreeSet<String>,
    /// The most that a call may ask for in `max_tokens`; `None`: as much as the provider allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// The providers that calls may go to, as `AI_PROVIDERS` names them; empty: all. At most [`MOST_PROVIDERS`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub providers: BTreeSet<String>,
    /// The values of `speed` that may be asked for; empty: all. A body without the field asks for `standard`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub speeds: BTreeSet<String>,
    /// The values of `service_tier` that may be asked for; empty: all. A body without the field asks for `auto`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub service_tiers: BTreeSet<String>,
    /// The values of `inference_geo` that may be asked for; empty: all. A body without the field gets the default of the
    /// platform's workspace at the provider, and passes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub inference_geos: BTreeSet<String>,
    /// The [`SERVER_TOOLS`] that a call may use; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_tools: Option<BTreeSet<String>>,
    /// The handling of what the proxy does not understand in a body, where one of the guards above limits bodies.
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "or_default")]
    pub unknown_fields: UnknownFields,
}

/// Reads a value, or the default in the place of one that is not known here: a newer version may have added it.
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
    /// Returns whether everything is allowed.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether bodies are limited: whether a body has to be read to know if it may be sent.
    pub fn limit_bodies(&self) -> bool {
        let Self { models, max_tokens, speeds, service_tiers, inference_geos, server_tools, .. } = self;
        let lists = [models, speeds, service_tiers, inference_geos];
        max_tokens.is_some() || server_tools.is_some() || lists.iter().any(|list| !list.is_empty())
    }

    /// Returns whether `model` may be asked for.
    pub fn allow(&self, model: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => model.starts_with(beginning),
            None => pattern == model,
        };
        self.models.is_empty() || self.models.iter().any(matches)
    }

    /// Returns whether calls may go to the provider `name`.
    pub fn allow_provider(&self, name: &str) -> bool {
        self.providers.is_empty() || self.providers.contains(name)
    }
}

/// What applies to one caller, from the authorizer to the function behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The account's token cap; `None`: no cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<TokenCap>,
    /// The account's guards.
    #[serde(default, skip_serializing_if = "Guards::are_none")]
    pub account: Guards,
    /// The key's guards, which hold besides.
    #[serde(default, skip_serializing_if = "Guards::are_none")]
    pub key: Guards,
}

impl Terms {
    /// Returns the guards that hold, with the word for their holder.
    pub fn guards(&self) -> [(&'static str, &Guards); 2] {
        [("account", &self.account), ("key", &self.key)]
    }

    /// Returns whether a model guard holds.
    pub fn limit_models(&self) -> bool {
        self.guards().iter().any(|(_, guards)| !guards.models.is_empty())
    }

    /// Returns whether `model` may be asked for: the account's guards and the key's both have to allow it.
    pub fn allow_model(&self, model: &str) -> bool {
        self.guards().iter().all(|(_, guards)| guards.allow(model))
    }

    /// Returns whether calls may go to the provider `name`: the account's guards and the key's both have to allow it.
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
