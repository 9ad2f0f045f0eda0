use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::csp::Group;

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

fn project() -> Project {
    let policy = Policy::parse("default-src 'self'; img-src 'self' data:; script-src 'self'").unwrap();
    Project {
        document_hosts: vec!["shop.example".to_owned(), "*.shop.example".to_owned()],
        third_parties: vec!["cdn.example".to_owned()],
        policies: vec![(policy.version(), policy)],
    }
}

fn raw(directive: &str, blocked: &str) -> RawReport {
    RawReport {
        document: "https://shop.example/cart/18462?token=secret#x".to_owned(),
        blocked: blocked.to_owned(),
        directive: directive.to_owned(),
        ..RawReport::default()
    }
}

fn violation(raw: &RawReport) -> Violation {
    let project = project();
    let version = project.policies[0].0.clone();
    Violation::new(raw, &project, Some(&version), CHROME, Timestamp::from_secs(1_000)).unwrap()
}

#[rstest]
#[case::external("script-src-elem", "https://evil.example/x.js", None, None, Class::External)]
#[case::known_third_party("img-src", "https://cdn.example/x.png", None, None, Class::KnownThirdParty)]
#[case::same_origin_by_another_scheme("connect-src", "ftp://shop.example/x", None, None, Class::DataOrBlob)]
#[case::inline("script-src-elem", "inline", None, Some("alert(1)"), Class::Inline)]
#[case::eval("script-src", "eval", None, None, Class::Eval)]
#[case::data("script-src-elem", "data", None, None, Class::DataOrBlob)]
#[case::extension_by_resource("script-src-elem", "chrome-extension://abc/x.js", None, None, Class::Extension)]
#[case::extension_by_source(
    "img-src",
    "https://evil.example/x.png",
    Some("moz-extension://abc/x.js"),
    None,
    Class::Extension
)]
#[case::extension_by_bare_source(
    "img-src",
    "https://evil.example/x.png",
    Some("safari-web-extension"),
    None,
    Class::Extension
)]
#[case::extension_by_sample("style-src-elem", "inline", None, Some(".cip-genpw-icon { width"), Class::Extension)]
#[case::browser_internal("frame-src", "about", None, None, Class::BrowserInternal)]
#[case::security_product("script-src-elem", "https://gc.kaspersky-labs.com/x.js", None, None, Class::SecurityProduct)]
#[case::adware("script-src-elem", "https://www.superfish.com/x.js", None, None, Class::Adware)]
#[case::translator("style-src-elem", "https://translate.googleapis.com/x.css", None, None, Class::Translator)]
#[case::contradicted("img-src", "https://shop.example/x.png", None, None, Class::Contradicted)]
#[case::contradicted_data("img-src", "data", None, None, Class::Contradicted)]
#[case::contradicted_directive("form-action", "https://evil.example/", None, None, Class::Contradicted)]
fn a_report_is_classified_by_its_cause(
    #[case] directive: &str,
    #[case] blocked: &str,
    #[case] source: Option<&str>,
    #[case] sample: Option<&str>,
    #[case] expected: Class,
) {
    let raw =
        RawReport { source: source.map(str::to_owned), sample: sample.map(str::to_owned), ..raw(directive, blocked) };
    assert_eq!(violation(&raw).class, expected);
}

#[test]
fn pages_of_other_hosts_and_outdated_browsers_are_classes_of_their_own() {
    let foreign = RawReport { document: "https://other.example/".to_owned(), ..raw("script-src-elem", "inline") };
    assert_eq!(violation(&foreign).class, Class::ForeignDocument);
    let below = RawReport { document: "https://a.shop.example/".to_owned(), ..raw("script-src-elem", "inline") };
    assert_eq!(violation(&below).class, Class::Inline);
    let saved = RawReport { document: "file:///home/maria/page.html".to_owned(), ..raw("script-src-elem", "inline") };
    assert_eq!(violation(&saved).class, Class::ForeignDocument);
    let translated =
        RawReport { document: "https://shop-example.translate.goog/".to_owned(), ..raw("script-src-elem", "inline") };
    assert_eq!(violation(&translated).class, Class::Translator);
    let outdated = RawReport {
        user_agent: Some("Mozilla/5.0 (Windows NT 6.1) Chrome/49.0 Safari/537.36".to_owned()),
        ..raw("script-src-elem", "inline")
    };
    assert_eq!(violation(&outdated).class, Class::OutdatedBrowser);
}

#[test]
fn an_unknown_version_contradicts_nothing() {
    let project = project();
    let unknown = Policy::parse("default-src 'none'").unwrap().version();
    for version in [None, Some(&unknown)] {
        let own = raw("img-src", "https://shop.example/x.png");
        let violation = Violation::new(&own, &project, version, CHROME, Timestamp::from_secs(1)).unwrap();
        assert_eq!((violation.class, violation.version), (Class::SameOrigin, None));
    }
}

#[test]
fn nothing_that_names_a_visitor_stays() {
    let secret = "S3cr3tTok3n";
    let raw = RawReport {
        document: format!("https://user:{secret}@shop.example/reset/{secret}?q={secret}#{secret}"),
        blocked: format!("https://user:{secret}@evil.example/c/{secret}/p.gif?u={secret}"),
        source: Some(format!("https://cdn2.example/lib/{secret}.js?{secret}")),
        sample: Some(format!("track('{secret}', 4711)")),
        user_agent: Some(format!("Chrome/156 {secret}")),
        ..raw("connect-src", "")
    };
    let violation = violation(&raw);
    let kept = format!("{violation:?} {:?}", Group::new("shop", &violation));
    assert!(!kept.contains(secret), "{kept}");
    assert_eq!(violation.document_path, "/reset/{id}");
    assert_eq!(violation.blocked_path.as_deref(), Some("/c/{id}/p.gif"));
    assert_eq!(violation.source.as_deref(), Some("https://cdn2.example/lib/{id}.js"));
    assert_eq!(violation.sample.as_deref(), Some("track('', 0000)"));
}

#[test]
fn a_sample_is_short_and_visible() {
    assert_eq!(clean_sample(&"x".repeat(100)).len(), 40);
    assert_eq!(clean_sample("a\u{1b}[31m\u{202e}b\n<script>"), "a\u{fffd}[00m\u{fffd}b\u{fffd}<script>");
    assert_eq!(clean_sample("say(\"maria\") `x"), "say(\"\") `");
}

#[test]
fn a_violation_happened_before_it_was_received() {
    let late = RawReport { age: Duration::from_secs(600), ..raw("script-src-elem", "inline") };
    assert_eq!(violation(&late).at, Timestamp::from_secs(400));
}

#[test]
fn a_report_without_a_directive_or_page_is_unusable() {
    let now = Timestamp::from_secs(1);
    let bad = |raw: RawReport| Violation::new(&raw, &project(), None, "", now).unwrap_err();
    assert_eq!(bad(raw("evil-src", "inline")), Unusable::Directive);
    assert_eq!(bad(RawReport { document: "no address".to_owned(), ..raw("img-src", "inline") }), Unusable::Document);
}

#[test]
fn reports_with_the_same_meaning_share_a_group() {
    let group = |document: &str, blocked: &str| {
        let raw = RawReport { document: document.to_owned(), ..raw("script-src-elem", blocked) };
        Group::new("shop", &violation(&raw)).id()
    };
    let first = group("https://shop.example/cart/1?a=1", "https://evil.example/a.js?1");
    assert_eq!(group("https://shop.example/cart/982733", "https://evil.example/b.js"), first);
    assert_ne!(group("https://shop.example/pay/1", "https://evil.example/a.js"), first);
    assert_ne!(group("https://shop.example/cart/1", "https://evil2.example/a.js"), first);
    assert_eq!(first.len(), 16);
}

#[test]
fn noise_does_not_depend_on_the_page() {
    let group = |document: &str| {
        let raw = RawReport { document: document.to_owned(), ..raw("script-src-elem", "chrome-extension://a/x.js") };
        Group::new("shop", &violation(&raw))
    };
    assert_eq!(group("https://shop.example/a"), group("https://other.example/b"));
    assert!(!group("https://shop.example/a").is_overflow());
}
