//! Names in commands: `ACCOUNT/INTEGRATION` for integrations, ids for keys.

use std::fmt;
use std::str::FromStr;

use levee::accounts::{ApiKey, form};
use levee::limits::Level;
use levee::limits::versions::RecordId;

/// An integration of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) integration: String,
}

impl Place {
    /// Returns the marker that publishes a change to it.
    pub(crate) fn marked(&self) -> RecordId {
        RecordId::Integration(self.account.clone(), self.integration.clone())
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (account, integration) = text.split_once('/').ok_or("it has the form ACCOUNT/INTEGRATION")?;
        Ok(Self { account: id(account)?, integration: id(integration)? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.integration)
    }
}

/// An account, or one of its integrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) account: String,
    pub(crate) integration: Option<String>,
}

impl FromStr for Area {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            None => Ok(Self { account: id(text)?, integration: None }),
            Some((account, integration)) => Ok(Self { account: id(account)?, integration: Some(id(integration)?) }),
        }
    }
}

/// Holder of limits: the platform as a whole, an account, an integration or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    Platform,
    Account(String),
    Integration(Place),
    /// Id of a key as it was given. It is checked only when the key is read: an error here would repeat the text,
    /// which may be a key.
    Key(String),
}

/// Parses `platform`, `acme`, `acme/crm` or `key:4f8KpQ2mZx7R`. An account with the id `platform` is given as
/// `account:platform`.
impl FromStr for Whose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "platform" {
            return Ok(Self::Platform);
        }
        if let Some(key) = text.strip_prefix("key:") {
            return Ok(Self::Key(key.to_owned()));
        }
        // The prefix distinguishes an account with the id `platform` from the platform.
        if let Some(account) = text.strip_prefix("account:") {
            return Ok(Self::Account(id(account)?));
        }
        if text.contains('/') { Ok(Self::Integration(text.parse()?)) } else { Ok(Self::Account(id(text)?)) }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Account(account) if account == "platform" => f.write_str("account:platform"),
            Self::Account(account) => f.write_str(account),
            Self::Integration(place) => place.fmt(f),
            Self::Key(key) => write!(f, "key:{key}"),
        }
    }
}

impl Whose {
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Platform => Level::Platform,
            Self::Account(_) => Level::Account,
            Self::Integration(_) => Level::Integration,
            Self::Key(_) => Level::Key,
        }
    }

    /// Returns the marker that publishes a change to it.
    pub(crate) fn marked(&self) -> RecordId {
        match self {
            Self::Platform => RecordId::Platform,
            Self::Account(account) => RecordId::Account(account.clone()),
            Self::Integration(place) => place.marked(),
            Self::Key(key) => RecordId::Key(key.clone()),
        }
    }
}

/// Parses the id of an account or an integration.
pub(crate) fn id(text: &str) -> Result<String, String> {
    form::id(text).map(str::to_owned).map_err(|error| error.to_string())
}

/// Parses a name for people.
pub(crate) fn name(text: &str) -> Result<String, String> {
    form::name(text).map(str::to_owned).map_err(|error| error.to_string())
}

/// Error for a text that is no key's id. It does not repeat the text, which may be a mistyped key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's id has 12 letters and digits: the third part of lv_<environment>_<id>_…")]
pub(crate) struct NoKey;

/// Parses a key's id. Takes a whole key too, such as one that was found leaked.
pub(crate) fn key_id_or_key(text: &str) -> Result<String, NoKey> {
    match ApiKey::parse(text.trim()) {
        Ok(key) => Ok(key.id().to_owned()),
        Err(_) => key_id(text),
    }
}

/// Parses a key's id. Refuses a whole key: other users may see a command line, and shells keep it in their history.
pub(crate) fn key_id(text: &str) -> Result<String, NoKey> {
    let is_id = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_id { Ok(text.to_owned()) } else { Err(NoKey) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integration_is_named_within_its_account() {
        let place: Place = "acme/crm".parse().unwrap();
        assert_eq!((place.account.as_str(), place.integration.as_str()), ("acme", "crm"));
        assert_eq!(place.to_string(), "acme/crm");
        for text in ["acme", "acme/", "/crm", "acme/crm/x", "Acme/crm"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        assert_eq!("acme".parse::<Area>().unwrap().integration, None);
        assert_eq!("acme/crm".parse::<Area>().unwrap().integration.as_deref(), Some("crm"));
    }

    #[test]
    fn limits_are_everyones_an_accounts_an_integrations_or_a_keys() {
        let (account, key) = (|id: &str| Whose::Account(id.to_owned()), Whose::Key("4f8KpQ2mZx7R".to_owned()));
        let integration = Whose::Integration("acme/crm".parse().unwrap());
        for (text, whose) in [
            ("platform", Whose::Platform),
            ("acme", account("acme")),
            ("account:platform", account("platform")),
            ("acme/crm", integration),
            ("key:4f8KpQ2mZx7R", key),
        ] {
            assert_eq!(text.parse(), Ok(whose.clone()));
            assert_eq!(whose.to_string(), text);
        }
        assert_eq!("account:acme".parse(), Ok(account("acme")));
        for text in ["", "Acme", "acme/", "account:", "4f8KpQ2mZx7R"] {
            assert!(text.parse::<Whose>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_is_named_by_its_id_where_it_is_withdrawn_by_itself_too_and_never_repeated() {
        let key = ApiKey::from_parts("live", "4f8KpQ2mZx7R", "0123456789abcdefghijABCDEFGHIJ").unwrap();
        assert_eq!(key_id("4f8KpQ2mZx7R").as_deref(), Ok("4f8KpQ2mZx7R"));
        assert_eq!(key_id_or_key("4f8KpQ2mZx7R").as_deref(), Ok("4f8KpQ2mZx7R"));
        assert_eq!(key_id_or_key(key.reveal()).as_deref(), Ok("4f8KpQ2mZx7R"));
        assert!(!key_id(key.reveal()).unwrap_err().to_string().contains("0123456789"));
        let mistyped = format!("{}x", key.reveal());
        for text in ["", "4f8KpQ2mZx7", "4f8KpQ2mZx7R#", mistyped.as_str()] {
            assert!(!key_id_or_key(text).unwrap_err().to_string().contains("0123456789"), "{text}");
        }
    }
}
