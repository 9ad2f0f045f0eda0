//! Judgement of a reported violation by the text of a policy: would that policy have blocked it?
//!
//! The crate `content-security-policy` matches sources as browsers do. It is asked twice, because a report does not say
//! everything. The strict question assumes that the resource has no nonce and no hash, and a path that no source names.
//! The lenient one assumes the opposite. Where both have the same answer, that is the judgement; otherwise the report
//! does not say enough.
//!
//! A redirect is the one thing that both questions miss: a browser reports the address before the redirect, so a
//! resource that an allowed host redirects elsewhere is judged as not blocked.

use std::sync::OnceLock;

use content_security_policy as csp;
use csp::{CheckResult, Destination, Initiator, InlineCheckType, ParserMetadata, PolicyDisposition, PolicySource};
use serde::{Deserialize, Serialize};
use url::Url;

use super::Directive;
use super::address::Blocked;

/// Answer to the question whether a policy blocks what a report names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// The policy blocks it.
    Blocked,
    /// The policy does not block it.
    NotBlocked,
    /// The report does not say enough: a path, nonce or hash would decide.
    Unknown,
}

/// The part of a report that a policy is asked about.
#[derive(Debug)]
pub struct Question<'a> {
    /// Directive of the report.
    pub directive: Directive,
    /// Blocked resource.
    pub blocked: &'a Blocked,
    /// Complete address of the resource; `None` if only its origin is known.
    pub address: Option<&'a Url>,
    /// Address of the page; only its origin counts.
    pub document: &'a Url,
}

/// Judges a report by the sources of a parsed policy.
pub fn judge(policy: &csp::Policy, question: &Question<'_>) -> Judgement {
    // Find the directive that governs the resource. Without one, the policy allows it.
    let name = question.directive.name();
    let governing = |name: &str| {
        let directive = policy.directive_set.iter().find(|directive| directive.name == name);
        directive.map(|directive| directive.value.as_slice())
    };
    let Some(sources) = question.directive.fallbacks().iter().find_map(|name| governing(name)) else {
        return Judgement::NotBlocked;
    };
    let sources = &with_upgrades_of_self(sources, question.document)[..];
    // Ask the matcher by the kind of resource and directive.
    let ask = |checks: &[Check], may_pass_unseen: bool| decide(sources, question, checks, may_pass_unseen);
    match (question.blocked, name) {
        // Their values are not source lists, or the report names another resource than the one that is checked.
        (
            _,
            "block-all-mixed-content"
            | "default-src"
            | "frame-ancestors"
            | "navigate-to"
            | "prefetch-src"
            | "require-trusted-types-for"
            | "sandbox"
            | "trusted-types",
        ) => Judgement::Unknown,
        (Blocked::Inline, "script-src-elem") => {
            ask(&[Check::Inline(InlineCheckType::Script)], may_pass_unseen(sources))
        }
        (Blocked::Inline, "style-src-elem") => ask(&[Check::Inline(InlineCheckType::Style)], may_pass_unseen(sources)),
        (Blocked::Inline, "script-src-attr") => {
            ask(&[Check::Inline(InlineCheckType::ScriptAttribute)], may_attribute_pass_unseen(sources))
        }
        (Blocked::Inline, "style-src-attr") => {
            ask(&[Check::Inline(InlineCheckType::StyleAttribute)], may_attribute_pass_unseen(sources))
        }
        // Older browsers do not tell elements from attributes.
        (Blocked::Inline, "script-src") => {
            let checks = [Check::Inline(InlineCheckType::Script), Check::Inline(InlineCheckType::ScriptAttribute)];
            ask(&checks, may_pass_unseen(sources))
        }
        (Blocked::Inline, "style-src") => {
            let checks = [Check::Inline(InlineCheckType::Style), Check::Inline(InlineCheckType::StyleAttribute)];
            ask(&checks, may_pass_unseen(sources))
        }
        (Blocked::Eval, _) => ask(&[Check::Eval], has(sources, "'trusted-types-eval'")),
        (Blocked::WasmEval, _) => ask(&[Check::WasmEval], false),
        (Blocked::Inline | Blocked::TrustedTypesPolicy | Blocked::TrustedTypesSink, _) => Judgement::Unknown,
        (Blocked::Scheme(_) | Blocked::Origin(_), _) => {
            // A nonce or a hash of integrity metadata allows scripts and styles, and nothing else.
            let takes_nonce =
                matches!(name, "script-src" | "script-src-elem" | "style-src" | "style-src-elem" | "worker-src");
            let may_pass_unseen = takes_nonce && may_pass_unseen(sources);
            ask(&[Check::Address(destination(name))], may_pass_unseen)
        }
    }
}

/// One question to the matcher.
#[derive(Debug, Clone, Copy)]
enum Check {
    Inline(InlineCheckType),
    Eval,
    WasmEval,
    Address(Destination),
}

/// Returns true if an element may pass by a nonce, by a hash, or by trust from another script, which no report shows.
fn may_pass_unseen(sources: &[String]) -> bool {
    has_nonce_or_hash(sources) || has(sources, "'strict-dynamic'")
}

/// Returns true if an attribute may pass by a hash, which counts only beside `unsafe-hashes`.
fn may_attribute_pass_unseen(sources: &[String]) -> bool {
    has_nonce_or_hash(sources) && has(sources, "'unsafe-hashes'")
}

/// Adds what `'self'` also covers: the page's host under the secure schemes, and under `ws` for a page of `http`. The
/// matcher compares default ports wrongly there.
///
/// <https://www.w3.org/TR/CSP3/#match-url-to-source-expression>, step 4
fn with_upgrades_of_self(sources: &[String], document: &Url) -> Vec<String> {
    let mut sources = sources.to_vec();
    if let Some(host) = document.host_str()
        && has(&sources, "'self'")
    {
        let schemes: &[&str] = if document.scheme() == "http" { &["https", "wss", "ws"] } else { &["https", "wss"] };
        let port = document.port().map(|port| format!(":{port}")).unwrap_or_default();
        sources.extend(schemes.iter().map(|scheme| format!("{scheme}://{host}{port}")));
    }
    sources
}

/// Asks the strict and the lenient question for each check, and joins the answers.
fn decide(sources: &[String], question: &Question<'_>, checks: &[Check], may_pass_unseen: bool) -> Judgement {
    // The strict question: no nonce, no hash; if the path is not known, a source with a path matches nothing.
    let is_path_known = question.address.is_some() || !matches!(question.blocked, Blocked::Origin(_));
    let strict: Vec<String> = sources.iter().filter(|it| is_path_known || path_of(it).is_none()).cloned().collect();
    if checks.iter().all(|&check| is_allowed(&strict, question, check)) {
        return Judgement::NotBlocked;
    }
    // The lenient question: anything that may let it pass does; a source with a path matches by its host.
    let lenient: Vec<String> = match is_path_known {
        true => sources.to_vec(),
        false => sources.iter().map(|it| path_of(it).map_or(it.as_str(), |start| &it[..start]).to_owned()).collect(),
    };
    if may_pass_unseen || checks.iter().any(|&check| is_allowed(&lenient, question, check)) {
        return Judgement::Unknown;
    }
    Judgement::Blocked
}

/// Asks the matcher about one check. The sources are put under a directive that has the wanted rules, as the matcher
/// knows no rules for some directives that take sources, such as `form-action`.
fn is_allowed(sources: &[String], question: &Question<'_>, check: Check) -> bool {
    let under = |name: &str| csp::Policy {
        directive_set: vec![csp::Directive { name: name.to_owned(), value: sources.to_vec() }],
        disposition: PolicyDisposition::Enforce,
        source: PolicySource::Header,
    };
    let list = |name: &str| csp::CspList(vec![under(name)]);
    let (result, _) = match check {
        Check::Inline(kind) => {
            let name = match kind {
                InlineCheckType::Style | InlineCheckType::StyleAttribute => "style-src",
                _ => "script-src",
            };
            // Inline rules differ between scripts and styles only.
            // No hash matches this text, which no page contains.
            list(name).should_elements_inline_type_behavior_be_blocked(&csp::Element { nonce: None }, kind, "\u{0}")
        }
        Check::Eval => list("script-src").is_js_evaluation_allowed(""),
        Check::WasmEval => list("script-src").is_wasm_evaluation_allowed(),
        Check::Address(destination) => {
            // Without the address, ask about the origin or scheme alone.
            let address = match (question.address, question.blocked) {
                (Some(address), _) => address.clone(),
                (None, blocked) => match Url::parse(&match blocked {
                    Blocked::Scheme(scheme) => format!("{scheme}:x"),
                    origin => origin.to_string(),
                }) {
                    Ok(address) => address,
                    Err(_) => return false,
                },
            };
            let request = csp::Request {
                url: address.clone(),
                current_url: address,
                origin: question.document.origin(),
                redirect_count: 0,
                destination,
                initiator: Initiator::None,
                nonce: String::new(),
                integrity_metadata: String::new(),
                parser_metadata: ParserMetadata::ParserInserted,
            };
            list(directive_of(destination)).should_request_be_blocked(&request)
        }
    };
    result == CheckResult::Allowed
}

/// Returns the destination whose rules a directive has.
fn destination(directive: &str) -> Destination {
    match directive {
        "script-src" | "script-src-elem" | "script-src-attr" => Destination::Script,
        "worker-src" => Destination::Worker,
        "style-src" | "style-src-elem" | "style-src-attr" => Destination::Style,
        // All others only compare the address with the sources.
        _ => Destination::Image,
    }
}

fn directive_of(destination: Destination) -> &'static str {
    match destination {
        Destination::Script => "script-src",
        Destination::Worker => "worker-src",
        Destination::Style => "style-src",
        _ => "img-src",
    }
}

fn has(sources: &[String], keyword: &str) -> bool {
    sources.iter().any(|source| source.eq_ignore_ascii_case(keyword))
}

/// Returns true if a source is a nonce or a hash. Trust by `strict-dynamic` counts on its own.
fn has_nonce_or_hash(sources: &[String]) -> bool {
    sources.iter().any(|source| {
        let source = source.to_ascii_lowercase();
        ["'nonce-", "'sha256-", "'sha384-", "'sha512-"].into_iter().any(|begin| source.starts_with(begin))
    })
}

/// Returns the position at which the path of a host source begins; `None` for a source without a path, or with `/`
/// alone, which matches every path.
fn path_of(source: &str) -> Option<usize> {
    if source.starts_with('\'') {
        return None;
    }
    let host = source.find("://").map_or(0, |scheme| scheme + 3);
    let start = host + source.get(host..)?.find('/')?;
    (start + 1 < source.len()).then_some(start)
}

/// Forces the matcher's regular expressions to be compiled, which takes some milliseconds, so that no report waits for
/// it.
pub fn prepare() {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let policy = csp::Policy::parse(
            "img-src https://a.example/b 'nonce-a'",
            PolicySource::Header,
            PolicyDisposition::Enforce,
        );
        if let Ok(document) = Url::parse("https://a.example/") {
            let blocked = Blocked::Origin("https://a.example".to_owned());
            if let Some(directive) = Directive::parse("img-src") {
                judge(&policy, &Question { directive, blocked: &blocked, address: None, document: &document });
            }
        }
    });
}

#[cfg(test)]
mod tests;
