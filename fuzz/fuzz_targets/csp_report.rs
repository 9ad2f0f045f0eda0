//! A body of any kind is read without a panic, within its bounds, and what is kept of a report is short and visible.
#![no_main]

use levee_core::clock::Timestamp;
use levee_core::csp::report::{Entry, MAX_REPORTS, parse};
use levee_core::csp::violation::{Project, Violation};
use levee_core::csp::{Group, Policy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok((entries, _)) = parse(body) else { return };
    assert!(entries.len() <= MAX_REPORTS);
    let policy = Policy::parse("default-src 'self'; script-src 'nonce-a' https://a.example/b/").expect("a policy");
    let project = Project {
        document_hosts: vec!["a.example".to_owned()],
        third_parties: vec!["*.b.example".to_owned()],
        policies: vec![(policy.version(), policy.clone())],
    };
    for entry in entries {
        let Entry::Csp(raw) = entry else { continue };
        let Ok(violation) = Violation::new(&raw, &project, Some(&policy.version()), "", Timestamp::from_secs(1)) else {
            continue;
        };
        let group = Group::new("shop", &violation);
        assert_eq!(group.id().len(), 16);
        let kept = format!("{} {} {:?} {:?}", group.blocked, group.document, violation.sample, violation.source);
        assert!(!kept.contains(['?', '#', '\u{1b}', '\u{202e}']) || violation.sample.is_some(), "{kept}");
        assert!(violation.sample.as_ref().is_none_or(|sample| sample.chars().count() <= 40));
        // A stored group is judged without a panic.
        let _ = group.judge(&policy);
    }
});
