//! Cost of a decision for Redis: one script call, with no more commands than necessary.

use std::collections::{BTreeMap, BTreeSet};

use levee::clock::Timestamp;
use levee::limits::tally::group;
use levee::limits::versions::{RecordId, Version, publish};
use levee::limits::{Ask, ChargedCall, Class, LimitsConfig, Overrides, Party};

use super::is_allowed;
use crate::redis_server::Server;

const NOON: Timestamp = Timestamp::from_secs(1_801_310_430);
const DECISIONS: u64 = 1_000;

#[tokio::test]
async fn a_thousand_decisions_are_a_thousand_script_calls_and_nothing_else() {
    let server = Server::start().await;
    server.set_clock(NOON);
    let limiter = server.limiter();
    // Use the default policies, with room for all calls.
    let config = LimitsConfig::default();
    let names: Vec<_> = config.policies.iter().filter(|it| it.limit > 0).map(|it| it.name.clone()).collect();
    let config = config.with(&names.iter().map(|name| (name.as_str(), 100_000)).collect::<Vec<_>>());
    let none = Overrides::new();
    let (of_account, of_integration, of_key) = (&none, &none, &none);
    let party = Party { account: "acme", integration: "crm", key: "k1", of_account, of_integration, of_key };
    let (class, party, resource) = (Class::Ai, Some(party), "/v1/messages");
    let asked = ChargedCall { class, resource, address: Some("a1b2"), party, platform: &none };
    let marked = [
        RecordId::Platform,
        RecordId::Account("acme".to_owned()),
        RecordId::Integration("acme".to_owned(), "crm".to_owned()),
        RecordId::Key("k1".to_owned()),
    ];
    let known = marked.map(|of| Version { of, version: 7, is_stopped: false });
    publish(&server.redis(), &known).await.unwrap();

    limiter.warm_up().await;
    server.forget_commands().await;
    for n in 0..DECISIONS {
        let now = limiter.now();
        let charges = config.charges(&asked, now);
        assert_eq!(charges.len(), 8);
        let group = group(party, class, &charges);
        let ask = Ask { charges, known: known.to_vec(), group, id: n.to_string() };
        assert!(is_allowed(&limiter.check(ask, now).await));
    }

    let mut commands = server.commands().await;
    let took = |name: &str, commands: &mut BTreeMap<String, u64>| commands.remove(name);
    for (name, per_decision) in [("evalsha", 1), ("mget", 1), ("zcount", 3), ("incrby", 5), ("hincrby", 1)] {
        assert_eq!(took(name, &mut commands), Some(DECISIONS * per_decision), "{name}");
    }
    // Clocks are compared once a second.
    assert!((1..DECISIONS / 2).contains(&took("time", &mut commands).unwrap()));
    // Once per call for each set of calls in flight, and once for each new counter, tally and minute.
    for name in ["zadd", "zremrangebyscore"] {
        let minutes = took(name, &mut commands).unwrap() - 3 * DECISIONS;
        assert!((1..=2).contains(&minutes), "{name}: {minutes}");
    }
    let ends = took("pexpire", &mut commands).unwrap() - 3 * DECISIONS;
    assert!((5 + 2..=2 * (5 + 2)).contains(&ends), "{ends}");
    assert!(commands.is_empty(), "{commands:?}");

    // All kinds of keys are present; every snapshot checks their expiry and hash tag.
    let kinds: BTreeSet<String> =
        server.snapshot().await.into_keys().map(|key| key.split(':').nth(1).unwrap().to_owned()).collect();
    assert_eq!(kinds.iter().collect::<Vec<_>>(), ["lease", "limit", "tally", "version"]);
}
