use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::csp::Policy;

/// Judges a violation on `https://shop.example/cart` by its complete address, or by its origin alone.
fn judge_text(policy: &str, directive: &str, blocked: &str, is_complete: bool) -> Judgement {
    let document = Url::parse("https://shop.example/cart").unwrap();
    let (blocked, address) = Blocked::parse(blocked, &document);
    let address = address.filter(|_| is_complete);
    let directive = Directive::parse(directive).unwrap();
    Policy::parse(policy).unwrap().judge(&Question {
        directive,
        blocked: &blocked,
        address: address.as_ref(),
        document: &document,
    })
}

#[rstest]
// Sources by host, scheme and path.
#[case("img-src 'self'", "img-src", "https://evil.example/x.png", Judgement::Blocked)]
#[case("img-src 'self'", "img-src", "https://shop.example/x.png", Judgement::NotBlocked)]
#[case("img-src *.cdn.example", "img-src", "https://a.cdn.example/x.png", Judgement::NotBlocked)]
#[case("img-src *.cdn.example", "img-src", "https://cdn.example/x.png", Judgement::Blocked)]
#[case("img-src https:", "img-src", "http://a.example/x.png", Judgement::Blocked)]
#[case("img-src https://a.example/img/", "img-src", "https://a.example/img/x.png", Judgement::NotBlocked)]
#[case("img-src https://a.example/img/", "img-src", "https://a.example/other.png", Judgement::Blocked)]
#[case("img-src https://a.example:8443", "img-src", "https://a.example/x.png", Judgement::Blocked)]
#[case("img-src 'none'", "img-src", "data", Judgement::Blocked)]
#[case("img-src data:", "img-src", "data", Judgement::NotBlocked)]
#[case("img-src *", "img-src", "data", Judgement::Blocked)]
#[case("connect-src 'self'", "connect-src", "wss://shop.example/live", Judgement::NotBlocked)]
#[case("connect-src 'self'", "connect-src", "ws://shop.example/live", Judgement::Blocked)]
#[case("img-src 'self'", "img-src", "http://shop.example/x.png", Judgement::Blocked)]
#[case("img-src 'self'", "img-src", "https://shop.example:8443/x.png", Judgement::Blocked)]
// The governing directive.
#[case("default-src 'self'", "img-src", "https://evil.example/x.png", Judgement::Blocked)]
#[case("default-src 'none'; img-src *", "img-src", "https://evil.example/x.png", Judgement::NotBlocked)]
#[case("script-src 'self'", "img-src", "https://evil.example/x.png", Judgement::NotBlocked)]
#[case("child-src 'self'", "frame-src", "https://evil.example/", Judgement::Blocked)]
#[case("script-src 'self'", "worker-src", "https://evil.example/w.js", Judgement::Blocked)]
// Directives that the matcher has no rules for.
#[case("form-action 'self'", "form-action", "https://evil.example/collect", Judgement::Blocked)]
#[case("form-action 'self'", "form-action", "https://shop.example/pay", Judgement::NotBlocked)]
#[case("default-src 'none'", "form-action", "https://evil.example/", Judgement::NotBlocked)]
#[case("base-uri 'none'", "base-uri", "https://evil.example/", Judgement::Blocked)]
#[case("frame-ancestors 'none'", "frame-ancestors", "https://evil.example/", Judgement::Unknown)]
#[case("default-src 'none'", "frame-ancestors", "https://evil.example/", Judgement::NotBlocked)]
// Scripts: nonces, hashes and trust decide what a report does not show.
#[case("script-src 'self'", "script-src-elem", "https://evil.example/x.js", Judgement::Blocked)]
#[case("script-src 'nonce-abc'", "script-src-elem", "https://evil.example/x.js", Judgement::Unknown)]
#[case(
    "script-src 'nonce-abc' https://cdn.example",
    "script-src-elem",
    "https://cdn.example/x.js",
    Judgement::NotBlocked
)]
#[case(
    "script-src 'strict-dynamic' 'nonce-abc' https:",
    "script-src-elem",
    "https://cdn.example/x.js",
    Judgement::Unknown
)]
#[case("script-src 'strict-dynamic' https:", "script-src-elem", "https://cdn.example/x.js", Judgement::Unknown)]
#[case("img-src 'nonce-abc'", "img-src", "https://evil.example/x.png", Judgement::Blocked)]
// Inline code.
#[case("script-src 'self'", "script-src-elem", "inline", Judgement::Blocked)]
#[case("script-src 'unsafe-inline'", "script-src-elem", "inline", Judgement::NotBlocked)]
#[case("script-src 'unsafe-inline' 'nonce-abc'", "script-src-elem", "inline", Judgement::Unknown)]
#[case("script-src 'nonce-abc'", "script-src-attr", "inline", Judgement::Blocked)]
#[case("script-src 'unsafe-hashes' 'sha256-AAAA'", "script-src-attr", "inline", Judgement::Unknown)]
#[case("script-src 'sha256-AAAA'", "script-src-attr", "inline", Judgement::Blocked)]
#[case("script-src 'unsafe-inline'", "script-src", "inline", Judgement::NotBlocked)]
#[case("style-src 'self'", "style-src-attr", "inline", Judgement::Blocked)]
#[case("style-src-attr 'unsafe-inline'; style-src 'self'", "style-src-attr", "inline", Judgement::NotBlocked)]
// Code from text.
#[case("script-src 'self'", "script-src", "eval", Judgement::Blocked)]
#[case("script-src 'unsafe-eval'", "script-src", "eval", Judgement::NotBlocked)]
#[case("script-src 'wasm-unsafe-eval'", "script-src", "wasm-eval", Judgement::NotBlocked)]
#[case("script-src 'wasm-unsafe-eval'", "script-src", "eval", Judgement::Blocked)]
#[case("require-trusted-types-for 'script'", "require-trusted-types-for", "trusted-types-sink", Judgement::Unknown)]
#[case("default-src 'none'", "require-trusted-types-for", "trusted-types-sink", Judgement::NotBlocked)]
fn a_policy_judges_a_complete_report(
    #[case] policy: &str,
    #[case] directive: &str,
    #[case] blocked: &str,
    #[case] expected: Judgement,
) {
    assert_eq!(judge_text(policy, directive, blocked, true), expected);
}

#[rstest]
#[case("img-src https://a.example/img/", "https://a.example/img/x.png", Judgement::Unknown)]
#[case("img-src https://a.example/img/", "https://b.example/img/x.png", Judgement::Blocked)]
#[case("img-src https://a.example/img/ https://a.example", "https://a.example/x.png", Judgement::NotBlocked)]
#[case("img-src https://a.example/", "https://a.example/x.png", Judgement::NotBlocked)]
#[case("img-src a.example/img", "https://a.example/x.png", Judgement::Unknown)]
fn a_path_that_is_not_known_decides_nothing(#[case] policy: &str, #[case] blocked: &str, #[case] expected: Judgement) {
    assert_eq!(judge_text(policy, "img-src", blocked, false), expected);
}

const SOURCES: [&str; 18] = [
    "'self'",
    "'none'",
    "*",
    "https:",
    "data:",
    "blob:",
    "https://a.example",
    "a.example/img/",
    "https://a.example/img/x.png",
    "*.b.example",
    "https://b.example:8443",
    "'nonce-abc'",
    "'sha256-AAAA'",
    "'strict-dynamic'",
    "'unsafe-inline'",
    "'unsafe-eval'",
    "'unsafe-hashes'",
    "wss://a.example/live",
];
const ADDRESSES: [&str; 12] = [
    "https://a.example/img/x.png",
    "https://a.example/other",
    "http://a.example/img/x.png",
    "https://c.b.example/img/",
    "https://b.example:8443/",
    "https://shop.example/own",
    "wss://a.example/live",
    "data",
    "blob",
    "inline",
    "eval",
    "wasm-eval",
];
const DIRECTIVES: [&str; 9] = [
    "script-src-elem",
    "script-src-attr",
    "style-src-elem",
    "img-src",
    "connect-src",
    "frame-src",
    "worker-src",
    "form-action",
    "script-src",
];

proptest! {
    /// A judgement by the stored origin never contradicts the judgement by the complete report.
    #[test]
    fn an_origin_says_the_same_as_the_address_or_that_it_cannot_be_known(
        sources in proptest::collection::vec(proptest::sample::select(&SOURCES[..]), 0..5),
        governing in proptest::sample::select(&["default-src", "script-src", "img-src", "form-action", "connect-src", "style-src"][..]),
        directive in proptest::sample::select(&DIRECTIVES[..]),
        blocked in proptest::sample::select(&ADDRESSES[..]),
    ) {
        let policy = format!("{governing} {}", sources.join(" "));
        let stored = judge_text(&policy, directive, blocked, false);
        let complete = judge_text(&policy, directive, blocked, true);
        prop_assert!(stored == complete || stored == Judgement::Unknown, "{policy}: {stored:?} but {complete:?}");
    }
}
