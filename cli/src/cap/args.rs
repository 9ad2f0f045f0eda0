//! Arguments of `levee cap set`.

use std::collections::BTreeSet;

use clap::ValueEnum;
use levee::accounts::terms::{LARGEST_CAP, LARGEST_MAX_TOKENS};
use levee::accounts::{CapMode, Guards, UnknownFields, form};

/// What is to be another.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct CapChange {
    /// An account's cap: tokens a month (UTC), 0 for none, or default for that of all other accounts
    #[arg(long, value_name = "N|default", value_parser = tokens)]
    pub(super) tokens: Option<Setting<u64>>,
    /// What becomes of an account's calls beyond the cap
    #[arg(long, value_enum)]
    pub(super) mode: Option<ModeArg>,
    /// All models that may be asked for, separated by commas, or all; a name that ends in * stands for all that begin so
    #[arg(long, value_name = "MODELS|all", value_parser = models)]
    pub(super) models: Option<Setting<BTreeSet<String>>>,
    /// The most that a call may ask for in max_tokens, or none for what the provider allows
    #[arg(long, value_name = "N|none", value_parser = max_tokens)]
    pub(super) max_tokens: Option<Setting<u64>>,
    /// All AI providers that calls may go to, separated by commas, or all
    #[arg(long, value_name = "PROVIDERS|all", value_parser = providers)]
    pub(super) providers: Option<Setting<BTreeSet<String>>>,
    /// All values of speed that may be asked for, separated by commas, or all; a call without one asks for standard
    #[arg(long, value_name = "SPEEDS|all", value_parser = speeds)]
    pub(super) speed: Option<Setting<BTreeSet<String>>>,
    /// All values of service_tier that may be asked for, separated by commas, or all; a call without one asks for auto
    #[arg(long, value_name = "TIERS|all", value_parser = service_tiers)]
    pub(super) service_tier: Option<Setting<BTreeSet<String>>>,
    /// All values of inference_geo that may be asked for, separated by commas, or all; a call without one passes
    #[arg(long, value_name = "REGIONS|all", value_parser = inference_geos)]
    pub(super) inference_geo: Option<Setting<BTreeSet<String>>>,
    /// All server tools that may be used, separated by commas: advisor, code_execution, mcp, tool_search, web_fetch,
    /// web_search; or none, or all
    #[arg(long, value_name = "TOOLS|none|all", value_parser = server_tools)]
    pub(super) server_tools: Option<Setting<BTreeSet<String>>>,
    /// Whether a call with a field, tool type or beta that Levee does not understand is refused or let through, where a
    /// guard limits what calls may ask for
    #[arg(long, value_enum)]
    pub(super) unknown_fields: Option<UnknownFieldsArg>,
}

/// The handling of what Levee does not understand in a call.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum UnknownFieldsArg {
    /// It is refused: it might get around a guard
    Refuse,
    /// It passes
    Allow,
}

impl From<UnknownFieldsArg> for UnknownFields {
    fn from(unknown: UnknownFieldsArg) -> Self {
        match unknown {
            UnknownFieldsArg::Refuse => Self::Refuse,
            UnknownFieldsArg::Allow => Self::Allow,
        }
    }
}

/// Value of its own, or the value that applies without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting<T> {
    Own(T),
    Elsewhere,
}

impl<T: Clone> Setting<T> {
    pub(super) fn own(&self) -> Option<T> {
        match self {
            Self::Own(value) => Some(value.clone()),
            Self::Elsewhere => None,
        }
    }
}

/// What becomes of calls beyond a cap.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ModeArg {
    /// They pass; a header says so, and admins are told
    Warn,
    /// They are refused until the month is over
    Block,
}

impl From<ModeArg> for CapMode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Warn => Self::Warn,
            ModeArg::Block => Self::Block,
        }
    }
}

fn number(text: &str, otherwise: &str, least: u64, most: u64) -> Result<Setting<u64>, String> {
    if text == otherwise {
        return Ok(Setting::Elsewhere);
    }
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.map(Setting::Own).ok_or_else(|| format!("give a whole number from {least} to {most}, or {otherwise}"))
}

fn tokens(text: &str) -> Result<Setting<u64>, String> {
    number(text, "default", 0, LARGEST_CAP)
}

fn max_tokens(text: &str) -> Result<Setting<u64>, String> {
    number(text, "none", 1, LARGEST_MAX_TOKENS)
}

fn models(text: &str) -> Result<Setting<BTreeSet<String>>, String> {
    names(text, |models| Guards { models, ..Guards::default() })
}

fn providers(text: &str) -> Result<Setting<BTreeSet<String>>, String> {
    names(text, |providers| Guards { providers, ..Guards::default() })
}

fn speeds(text: &str) -> Result<Setting<BTreeSet<String>>, String> {
    names(text, |speeds| Guards { speeds, ..Guards::default() })
}

fn service_tiers(text: &str) -> Result<Setting<BTreeSet<String>>, String> {
    names(text, |service_tiers| Guards { service_tiers, ..Guards::default() })
}

fn inference_geos(text: &str) -> Result<Setting<BTreeSet<String>>, String> {
    names(text, |inference_geos| Guards { inference_geos, ..Guards::default() })
}

fn server_tools(text: &str) -> Result<Setting<BTreeSet<String>>, String> {
    if text == "none" {
        return Ok(Setting::Own(BTreeSet::new()));
    }
    names(text, |server_tools| Guards { server_tools: Some(server_tools), ..Guards::default() })
}

/// Parses names that are separated by commas and allowed in `guards`, or `all`.
fn names(text: &str, guards: fn(BTreeSet<String>) -> Guards) -> Result<Setting<BTreeSet<String>>, String> {
    if text == "all" {
        return Ok(Setting::Elsewhere);
    }
    let names: BTreeSet<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
    form::guards(&guards(names.clone())).map_err(|error| error.to_string())?;
    Ok(Setting::Own(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_a_number_or_a_list_or_taken_back() {
        assert_eq!(tokens("0"), Ok(Setting::Own(0)));
        assert_eq!(tokens("1000000000000"), Ok(Setting::Own(LARGEST_CAP)));
        assert_eq!(tokens("default"), Ok(Setting::Elsewhere));
        assert_eq!(max_tokens("none"), Ok(Setting::Elsewhere));
        for text in ["", "-1", "1e6", "1.5", "none", "1000000000001"] {
            assert!(tokens(text).is_err(), "{text}");
        }
        for text in ["0", "default", "10000001"] {
            assert!(max_tokens(text).is_err(), "{text}");
        }
        let own = models("claude-sonnet-5-5, claude-haiku-*,claude-haiku-*").unwrap().own().unwrap();
        assert_eq!(own.into_iter().collect::<Vec<_>>(), ["claude-haiku-*", "claude-sonnet-5-5"]);
        assert_eq!(models("all"), Ok(Setting::Elsewhere));
        let too_many = (0..17).map(|it| it.to_string()).collect::<Vec<_>>().join(",");
        for text in ["", "a,", "a b", "*a", too_many.as_str()] {
            assert!(models(text).is_err(), "{text}");
        }
        assert_eq!(speeds("standard"), Ok(Setting::Own(["standard".to_owned()].into())));
        assert_eq!(service_tiers("all"), Ok(Setting::Elsewhere));
        for text in ["", "Standard", "a b", too_many.as_str()] {
            assert!(speeds(text).is_err() && service_tiers(text).is_err() && inference_geos(text).is_err(), "{text}");
        }
        assert_eq!(server_tools("none"), Ok(Setting::Own(BTreeSet::new())));
        assert_eq!(server_tools("all"), Ok(Setting::Elsewhere));
        assert!(server_tools("web_search, mcp").is_ok());
        for text in ["", "bash", "web_search,none", "web_search_20260318"] {
            assert!(server_tools(text).unwrap_err().contains("the server tools are advisor,"), "{text}");
        }
        let own = providers("primary, Backup-2,primary").unwrap().own().unwrap();
        assert_eq!(own.into_iter().collect::<Vec<_>>(), ["Backup-2", "primary"]);
        assert_eq!(providers("all"), Ok(Setting::Elsewhere));
        for text in ["", "a,", "a b", "a*", "all,", too_many.as_str()] {
            assert!(providers(text).is_err(), "{text}");
        }
    }
}
