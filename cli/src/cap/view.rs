//! Caps and guards, as they are shown.

use std::collections::BTreeSet;

use levee::accounts::{Account, CapMode, CapOverride, Guards, KeyRecord, TokenCap, UnknownFields};
use levee::metering::CapConfig;
use serde::Serialize;

use crate::output::NOTHING;
use crate::place::Whose;

/// Overrides of one account's cap, and guards of one account or key.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CapView {
    /// Account or key, in the form that commands take.
    place: String,
    /// An account's own cap in tokens per month: 0 for no cap, `None` if it was not changed.
    tokens: Option<u64>,
    /// Handling of calls beyond the cap; `None` for a key, which has no cap.
    mode: Option<CapMode>,
    #[serde(flatten)]
    guards: GuardsView,
}

/// Guards, as they are shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct GuardsView {
    /// Allowed models; empty for all.
    models: Vec<String>,
    max_tokens: Option<u64>,
    /// Allowed providers; empty for all.
    providers: Vec<String>,
    /// Allowed values of `speed`; empty for all.
    speed: Vec<String>,
    /// Allowed values of `service_tier`; empty for all.
    service_tier: Vec<String>,
    /// Allowed values of `inference_geo`; empty for all.
    inference_geo: Vec<String>,
    /// Allowed server tools; `None` for all.
    server_tools: Option<Vec<String>>,
    unknown_fields: UnknownFields,
}

impl GuardsView {
    pub(super) fn new(guards: &Guards) -> Self {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect();
        Self {
            models: list(&guards.models),
            max_tokens: guards.max_tokens,
            providers: list(&guards.providers),
            speed: list(&guards.speeds),
            service_tier: list(&guards.service_tiers),
            inference_geo: list(&guards.inference_geos),
            server_tools: guards.server_tools.as_ref().map(list),
            unknown_fields: guards.unknown_fields,
        }
    }

    /// Returns the guards by name, in the form of the command's arguments.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let server_tools = match &self.server_tools {
            Some(tools) if tools.is_empty() => "none".to_owned(),
            tools => names_text(tools.iter().flatten()),
        };
        vec![
            ("models", names_text(&self.models)),
            ("max tokens", self.max_tokens.map_or_else(|| "none".to_owned(), |max_tokens| max_tokens.to_string())),
            ("providers", names_text(&self.providers)),
            ("speed", names_text(&self.speed)),
            ("service tier", names_text(&self.service_tier)),
            ("inference geo", names_text(&self.inference_geo)),
            ("server tools", server_tools),
            ("unknown fields", self.unknown_fields.to_string()),
        ]
    }

    /// Returns the changed guards in one text.
    fn summary(&self) -> String {
        let fields = self.fields().into_iter().zip(Self::default().fields());
        // Leave out guards that are as by default.
        let changed: Vec<_> = fields
            .filter(|(own, default)| own != default)
            .map(|((name, value), _)| format!("{name} {value}"))
            .collect();
        if changed.is_empty() { NOTHING.to_owned() } else { changed.join("; ") }
    }
}

impl CapView {
    pub(super) const HEADERS: &[&str] = &["PLACE", "TOKENS", "MODE", "GUARDS"];

    /// Creates the view of the guards of `whose`, and of the cap if that is an account.
    pub(super) fn new(whose: &Whose, cap: Option<CapOverride>, guards: &Guards) -> Self {
        Self {
            place: whose.to_string(),
            tokens: cap.and_then(|cap| cap.limit),
            mode: cap.map(|cap| cap.mode),
            guards: GuardsView::new(guards),
        }
    }

    pub(super) fn of_account(account: &Account) -> Self {
        Self::new(&Whose::Account(account.id.clone()), Some(account.cap), &account.guards)
    }

    pub(super) fn of_key(key: &KeyRecord) -> Self {
        Self::new(&Whose::Key(key.id.clone()), None, &key.guards)
    }

    /// Returns true if anything was changed.
    pub(super) fn has_something(&self) -> bool {
        let has_cap = self.tokens.is_some() || self.mode == Some(CapMode::Block);
        has_cap || self.guards != GuardsView::default()
    }

    pub(super) fn row(&self) -> Vec<String> {
        let tokens = if self.mode.is_some() { own_tokens(self.tokens) } else { NOTHING.to_owned() };
        let mode = self.mode.map_or_else(|| NOTHING.to_owned(), |mode| mode.to_string());
        vec![self.place.clone(), tokens, mode, self.guards.summary()]
    }
}

/// Own settings of one account or key, with those that apply besides.
#[derive(Debug, Serialize)]
pub(super) struct CapDetail {
    #[serde(flatten)]
    own: CapView,
    /// Cap that applies to an account; `None` if there is none, and for keys.
    cap: Option<TokenCap>,
    /// Guards of a key's account, which apply as well; `None` for an account.
    account: Option<GuardsView>,
}

impl CapDetail {
    pub(super) fn of_account(account: &Account, config: &CapConfig) -> Self {
        Self { own: CapView::of_account(account), cap: config.for_account(account), account: None }
    }

    pub(super) fn of_key(key: &KeyRecord, account: &Account) -> Self {
        Self { own: CapView::of_key(key), cap: None, account: Some(GuardsView::new(&account.guards)) }
    }

    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let mut fields = vec![("place".to_owned(), self.own.place.clone())];
        // Only an account has a cap.
        if self.own.mode.is_some() {
            let cap = match self.cap {
                Some(TokenCap { limit, mode }) => format!("{limit} tokens a month, then {mode}"),
                None => "none".to_owned(),
            };
            let whose = if self.own.tokens.is_none() { " (as all accounts)" } else { " (its own)" };
            fields.push(("cap".to_owned(), format!("{cap}{whose}")));
        }
        fields.extend(self.own.guards.fields().into_iter().map(|(name, value)| (name.to_owned(), value)));
        // The guards of a key's account apply to the key as well.
        if let Some(account) = &self.account {
            fields.extend(account.fields().into_iter().map(|(name, value)| (format!("account's {name}"), value)));
        }
        fields
    }
}

/// Formats an account's own cap in the form of the command's argument.
pub(super) fn own_tokens(tokens: Option<u64>) -> String {
    match tokens {
        Some(0) => "none".to_owned(),
        Some(tokens) => tokens.to_string(),
        None => "default".to_owned(),
    }
}

/// Formats names in the form of the command's arguments.
fn names_text<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    if names.is_empty() { "all".to_owned() } else { names.join(",") }
}
