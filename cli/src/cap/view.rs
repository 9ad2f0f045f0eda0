//! Caps and guards, as they are shown.

use levee::accounts::{Account, CapMode, CapOverride, Guards, KeyRecord, TokenCap};
use levee::metering::CapConfig;
use serde::Serialize;

use crate::output::NOTHING;
use crate::place::Whose;

/// What was changed about one account or key.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CapView {
    /// Whose it is, as commands take it.
    place: String,
    /// An account's own cap; 0 for none, `None` where it was not changed.
    tokens: Option<u64>,
    /// What becomes of calls beyond the cap; `None` for a key, which has no cap.
    mode: Option<CapMode>,
    #[serde(flatten)]
    guards: GuardsView,
}

/// What one call may cost, and where it may go.
#[derive(Debug, Clone, Serialize)]
struct GuardsView {
    /// Empty: all.
    models: Vec<String>,
    max_tokens: Option<u64>,
    /// Empty: all.
    providers: Vec<String>,
}

impl GuardsView {
    fn of(guards: &Guards) -> Self {
        Self {
            models: guards.models.iter().cloned().collect(),
            max_tokens: guards.max_tokens,
            providers: guards.providers.iter().cloned().collect(),
        }
    }
}

impl CapView {
    pub(super) const HEADERS: &[&str] = &["PLACE", "TOKENS", "MODE", "MODELS", "MAX TOKENS", "PROVIDERS"];

    /// What was changed about `whose` guards, and where that is an account its cap.
    pub(super) fn of(whose: &Whose, cap: Option<CapOverride>, guards: &Guards) -> Self {
        Self {
            place: whose.to_string(),
            tokens: cap.and_then(|cap| cap.limit),
            mode: cap.map(|cap| cap.mode),
            guards: GuardsView::of(guards),
        }
    }

    pub(super) fn of_account(account: &Account) -> Self {
        Self::of(&Whose::Account(account.id.clone()), Some(account.cap), &account.guards)
    }

    pub(super) fn of_key(key: &KeyRecord) -> Self {
        Self::of(&Whose::Key(key.id.clone()), None, &key.guards)
    }

    /// Whether anything was changed.
    pub(super) fn has_something(&self) -> bool {
        let GuardsView { models, max_tokens, providers } = &self.guards;
        let has_cap = self.tokens.is_some() || self.mode == Some(CapMode::Block);
        has_cap || !models.is_empty() || max_tokens.is_some() || !providers.is_empty()
    }

    pub(super) fn row(&self) -> Vec<String> {
        let tokens = if self.mode.is_some() { own_tokens(self.tokens) } else { NOTHING.to_owned() };
        let mode = self.mode.map_or_else(|| NOTHING.to_owned(), |mode| mode.to_string());
        let GuardsView { models, max_tokens, providers } = &self.guards;
        let guards = [names_text(models), max_tokens_text(*max_tokens), names_text(providers)];
        [self.place.clone(), tokens, mode].into_iter().chain(guards).collect()
    }
}

/// What holds for one account or key, and what of it was changed there.
#[derive(Debug, Serialize)]
pub(super) struct CapDetail {
    #[serde(flatten)]
    own: CapView,
    /// An account's cap as it applies; `None` where there is none, and for keys.
    cap: Option<TokenCap>,
    /// Of a key: what its account's guards say, which hold besides.
    account: Option<GuardsView>,
}

impl CapDetail {
    pub(super) fn of_account(account: &Account, config: &CapConfig) -> Self {
        Self { own: CapView::of_account(account), cap: config.of(account), account: None }
    }

    pub(super) fn of_key(key: &KeyRecord, account: &Account) -> Self {
        Self { own: CapView::of_key(key), cap: None, account: Some(GuardsView::of(&account.guards)) }
    }

    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![("place", self.own.place.clone())];
        if self.own.mode.is_some() {
            let cap = match self.cap {
                Some(TokenCap { limit, mode }) => format!("{limit} tokens a month, then {mode}"),
                None => "none".to_owned(),
            };
            let whose = if self.own.tokens.is_none() { " (as all accounts)" } else { " (its own)" };
            fields.push(("cap", format!("{cap}{whose}")));
        }
        let own = &self.own.guards;
        fields.extend([
            ("models", names_text(&own.models)),
            ("max tokens", max_tokens_text(own.max_tokens)),
            ("providers", names_text(&own.providers)),
        ]);
        if let Some(account) = &self.account {
            fields.extend([
                ("account's models", names_text(&account.models)),
                ("account's max tokens", max_tokens_text(account.max_tokens)),
                ("account's providers", names_text(&account.providers)),
            ]);
        }
        fields
    }
}

/// An account's own cap for people, as it is given.
pub(super) fn own_tokens(tokens: Option<u64>) -> String {
    match tokens {
        Some(0) => "none".to_owned(),
        Some(tokens) => tokens.to_string(),
        None => "default".to_owned(),
    }
}

/// The names of models or providers for people, as they are given.
pub(super) fn names_text<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    if names.is_empty() { "all".to_owned() } else { names.join(",") }
}

/// A ceiling for people, as it is given.
pub(super) fn max_tokens_text(max_tokens: Option<u64>) -> String {
    max_tokens.map_or_else(|| "none".to_owned(), |max_tokens| max_tokens.to_string())
}
