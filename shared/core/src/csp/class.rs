//! The class of a report: the kind of thing that caused it.

use serde::{Deserialize, Serialize};

use super::address::Blocked;
use super::judge::Judgement;
use super::{Directive, noise};

/// Classes of reports. Those up to [`Contradicted`](Class::Contradicted) are noise: counted, shown, and no reason for an
/// alert alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A browser extension.
    Extension,
    /// A browser's own page, or an application that embeds a browser.
    BrowserInternal,
    /// An antivirus or filter product.
    SecurityProduct,
    /// Injected advertising, or a bookmarklet.
    Adware,
    /// A translator or mirror that shows the page under another host.
    Translator,
    /// A page that is not the project's: its host is none of the project's document hosts.
    ForeignDocument,
    /// A browser that cannot read nonces, hashes or `strict-dynamic`.
    OutdatedBrowser,
    /// The policy of the report's version would not have blocked this: an extension caused it, a redirect did, or the
    /// report is forged.
    Contradicted,
    /// Inline code or styles of the page.
    Inline,
    /// Text that was run as code, WebAssembly, or a Trusted Types violation.
    Eval,
    /// A `data:`, `blob:` or other resource without a host.
    DataOrBlob,
    /// A resource of the page's own host.
    SameOrigin,
    /// A third party that the project lists as known.
    KnownThirdParty,
    /// Any other host.
    External,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 14] = [
        Self::Extension,
        Self::BrowserInternal,
        Self::SecurityProduct,
        Self::Adware,
        Self::Translator,
        Self::ForeignDocument,
        Self::OutdatedBrowser,
        Self::Contradicted,
        Self::Inline,
        Self::Eval,
        Self::DataOrBlob,
        Self::SameOrigin,
        Self::KnownThirdParty,
        Self::External,
    ];

    /// Returns the name as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Extension => "extension",
            Self::BrowserInternal => "browser-internal",
            Self::SecurityProduct => "security-product",
            Self::Adware => "adware",
            Self::Translator => "translator",
            Self::ForeignDocument => "foreign-document",
            Self::OutdatedBrowser => "outdated-browser",
            Self::Contradicted => "contradicted",
            Self::Inline => "inline",
            Self::Eval => "eval",
            Self::DataOrBlob => "data-or-blob",
            Self::SameOrigin => "same-origin",
            Self::KnownThirdParty => "known-third-party",
            Self::External => "external",
        }
    }

    /// Returns true if reports of this class say nothing about the page, so that they never raise an alert alone.
    pub const fn is_noise(self) -> bool {
        (self as u8) <= (Self::Contradicted as u8)
    }

    /// Classifies a report by its facts. The causes outside the page come first, as most of their reports look like
    /// the page's own otherwise.
    pub fn classify(facts: &Facts<'_>) -> Self {
        // An extension is seen by the resource or by the script that asked for it.
        let schemes = [scheme_of(facts.blocked), facts.source_scheme];
        let has_scheme = |test: fn(&str) -> bool| schemes.into_iter().flatten().any(test);
        let hosts = [facts.blocked.host(), facts.source_host];
        let has_host = |test: fn(&str) -> bool| hosts.into_iter().flatten().any(test);
        let is_injected = facts.sample.is_some_and(noise::is_injected_sample);

        // Causes outside the page.
        if has_scheme(noise::is_extension) || is_injected {
            return Self::Extension;
        }
        if has_scheme(noise::is_internal) {
            return Self::BrowserInternal;
        }
        if has_host(noise::is_security_product) {
            return Self::SecurityProduct;
        }
        if has_host(noise::is_adware) {
            return Self::Adware;
        }
        if has_host(noise::is_translator) || noise::is_translator(facts.document_host) {
            return Self::Translator;
        }
        if !facts.document_hosts.iter().any(|pattern| noise::covers(pattern, facts.document_host)) {
            return Self::ForeignDocument;
        }
        if facts.is_outdated_browser {
            return Self::OutdatedBrowser;
        }
        if facts.judgement == Some(Judgement::NotBlocked) {
            return Self::Contradicted;
        }

        // The page itself.
        match facts.blocked {
            Blocked::Inline => Self::Inline,
            Blocked::Eval | Blocked::WasmEval | Blocked::TrustedTypesPolicy | Blocked::TrustedTypesSink => Self::Eval,
            Blocked::Scheme(_) => Self::DataOrBlob,
            Blocked::Origin(_) => {
                let host = facts.blocked.host().unwrap_or_default();
                if host == facts.document_host {
                    Self::SameOrigin
                } else if facts.third_parties.iter().any(|pattern| noise::covers(pattern, host)) {
                    Self::KnownThirdParty
                } else {
                    Self::External
                }
            }
        }
    }
}

/// The facts that a report is classified by.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Blocked resource.
    pub blocked: &'a Blocked,
    /// Directive that blocked it.
    pub directive: Directive,
    /// Host of the page.
    pub document_host: &'a str,
    /// Scheme of the script that caused it, in lower case.
    pub source_scheme: Option<&'a str>,
    /// Host of the script that caused it.
    pub source_host: Option<&'a str>,
    /// Beginning of the inline code.
    pub sample: Option<&'a str>,
    /// True if the browser cannot read current policies.
    pub is_outdated_browser: bool,
    /// Judgement of the policy of the report's version; `None` if that version is not known.
    pub judgement: Option<Judgement>,
    /// Hosts of the project's pages; a leading `*.` covers every name below.
    pub document_hosts: &'a [String],
    /// Hosts of third parties that the project knows.
    pub third_parties: &'a [String],
}

fn scheme_of(blocked: &Blocked) -> Option<&str> {
    match blocked {
        Blocked::Scheme(scheme) => Some(scheme),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_ends_at_contradicted_and_inline_and_eval_are_none() {
        let noise: Vec<_> = Class::ALL.into_iter().filter(|class| class.is_noise()).map(Class::name).collect();
        assert_eq!(noise.len(), 8);
        assert_eq!(noise.last(), Some(&"contradicted"));
        assert!(!Class::Inline.is_noise() && !Class::Eval.is_noise() && !Class::DataOrBlob.is_noise());
    }

    #[test]
    fn the_names_are_those_of_the_stored_form() {
        for class in Class::ALL {
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("{:?}", class.name()));
        }
    }
}
