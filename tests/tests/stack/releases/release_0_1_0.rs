//! Reads everything that release 0.1.0 stored, and compares it with the scene that it was stored in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levee::accounts::{AccountsTable, Blocked, CapMode, Status};
use levee::admins::{AdminsTable, Role};
use levee::alerts::Alerts;
use levee::breadcrumbs::{BreadcrumbTable, Filter};
use levee::breaker::{Mode, peek};
use levee::clock::Timestamp;
use levee::headroom::Headrooms;
use levee::http::{AuthorizerContext, RefusalContext};
use levee::limits::tally::Tally;
use levee::limits::{Charged, leases};
use levee::metering::months::total;
use levee::metering::{Counts, Month, RecordState, UsageCache};
use levee::session_token::SessionToken;
use levee::statistics::{Day, StatisticsTable, recall};
use serde_json::{Map, Value};
use tests::{Stack, messages};

use super::{Stored, read, restore};

const RELEASE: &str = "0.1.0";
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Fixture {
    stack: Stack,
    /// Moment at which it was written.
    at: Timestamp,
    about: Value,
}

async fn fixture() -> Fixture {
    let stack = Stack::builder().start().await;
    restore(&stack, RELEASE).await;
    let about: Value = read(RELEASE, "about.json");
    Fixture { stack, at: Timestamp::from_millis(about["at"].as_u64().unwrap()), about }
}

#[tokio::test]
async fn accounts_keys_and_blocks_of_0_1_0_are_read() {
    let Fixture { stack, at, .. } = fixture().await;
    let table = AccountsTable::new(stack.dynamodb(), "Accounts");
    let (accounts, _) = table.accounts(None, 100).await.unwrap();
    let ids: Vec<_> = accounts.iter().map(|account| account.id.as_str()).collect();
    assert_eq!(ids, ["acme", "globex", "initech", "umbrella"]);
    assert!(accounts.iter().all(|account| account.status == Status::Active && account.version > 0));

    let umbrella = table.account("umbrella").await.unwrap().unwrap();
    let (account, [desk]) = (&umbrella.account, &umbrella.integrations[..]) else { panic!("{umbrella:?}") };
    assert_eq!((account.limits["account"].limit, desk.limits["integration"].limit), (Some(1_200), Some(1)));
    assert!(account.limits["account"].until.unwrap() > at.as_secs());
    assert_eq!((account.cap.limit, account.cap.mode), (Some(500_000), CapMode::Block));
    assert_eq!(account.guards.max_tokens, Some(4_096));
    assert_eq!(Vec::from_iter(&account.guards.models), ["claude-*"]);
    assert_eq!(Vec::from_iter(&account.guards.providers), ["backup", "primary"]);
    // One key was rotated and has a limit of its own.
    assert_eq!(umbrella.keys.len(), 4);
    let rotated = umbrella.keys.iter().find(|key| key.limits.contains_key("key")).unwrap();
    assert_eq!(rotated.limits["key"].limit, Some(60));
    assert!(rotated.expires_at.unwrap() <= at.plus(30 * DAY).as_secs());

    let platform = table.platform().await.unwrap();
    assert_eq!(platform.limits["global"].limit, Some(5_000));
    let mut blocked: Vec<_> = platform.blocks.iter().map(|block| block.subject.to_string()).collect();
    blocked.sort();
    assert_eq!(blocked, ["198.51.100.0/24", "globex"]);
    assert!(platform.blocks.iter().any(|block| block.subject == Blocked::Account("globex".to_owned())));

    // A key of that release is accepted by the present authorizer, with the markers of that release in Redis.
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
}

#[tokio::test]
async fn admins_sessions_and_the_audit_of_0_1_0_are_read() {
    let Fixture { stack, at, about } = fixture().await;
    let table = AdminsTable::new(stack.dynamodb(), "Admins");
    let admins = table.list().await.unwrap();
    let roles: Vec<_> = admins.iter().map(|admin| (admin.email.as_str(), admin.role)).collect();
    assert_eq!(roles, [("admin@levee.local", Role::Operator), ("viewer@levee.local", Role::Viewer)]);
    let token = SessionToken::parse(about["session"].as_str().unwrap()).unwrap();
    let session = table.session(&token, at).await.unwrap().unwrap();
    assert_eq!((session.email.as_str(), session.role), (stack.admin().0, Role::Operator));

    let entries = table.audit_log(1_000, at).await.unwrap();
    for action in ["limit.set", "block.add", "session.refused", "session.sign-in", "account.resume", "breaker.force"] {
        assert!(entries.iter().any(|entry| entry.action == action), "{action} is not in {entries:?}");
    }
    // The password of that release is accepted, after an attempt with a wrong one.
    let (email, password) = stack.viewer();
    table.sign_in(email, password, at).await.unwrap();
}

#[tokio::test]
async fn errors_alerts_and_decisions_of_0_1_0_are_read() {
    let Fixture { stack, at, .. } = fixture().await;
    let breadcrumbs = BreadcrumbTable::new(stack.dynamodb(), "Breadcrumbs");
    let page = breadcrumbs.page(&Filter::default(), None, 100, at).await.unwrap();
    let failed = page.breadcrumbs.iter().find(|it| it.code == "provider.failed").unwrap();
    assert_eq!((failed.connection.as_deref(), failed.function.as_str()), (Some("primary"), "ai-proxy"));
    assert!(failed.request_id.is_some() && failed.count > 0);

    let alerts = Alerts::new(stack.dynamodb(), "Alerts").recent(100, at).await.unwrap();
    assert!(!alerts.is_empty() && alerts.iter().any(|alert| alert.sent_at.is_some()), "{alerts:?}");

    let breakers = stack.breakers();
    assert_eq!(breakers.providers().await.unwrap(), ["backup", "primary"]);
    let (primary, backup) = (breakers.read("primary").await.unwrap(), breakers.read("backup").await.unwrap());
    assert_eq!(backup.share.to_string(), "25 %");
    assert!(primary.forced.is_some() && backup.forced.is_some(), "{primary:?}, {backup:?}");
    let history = breakers.history("primary", None, 100).await.unwrap();
    assert!(history.iter().any(|transition| transition.to.mode == Mode::Open), "{history:?}");
}

#[tokio::test]
async fn usage_and_statistics_of_0_1_0_are_read() {
    let Fixture { stack, at, .. } = fixture().await;
    let month = Month::from_timestamp(at).0;
    let lines = stack.months().read("acme", month).await.unwrap();
    let sum = total(&lines);
    assert_eq!(sum, stack.months().total("acme", month).await.unwrap());
    assert!(sum.calls > 3 && sum.cache_write_5m > 0 && sum.cache_read > 0, "{sum:?}");
    assert!(lines.iter().any(|line| line.provider == "backup" && line.integration == "crm"), "{lines:?}");

    let ledger = stack.ledger();
    assert_eq!(ledger.open_calls("acme", month).await.unwrap(), 1);
    let overdue = ledger.overdue(at.plus(DAY), 10).await.unwrap();
    let [open] = &overdue[..] else { panic!("not one open call: {overdue:?}") };
    assert_eq!(ledger.record(&open.call).await.unwrap().as_ref(), Some(open));
    let records = stack.records().await;
    for state in [RecordState::Open, RecordState::Closed, RecordState::Void] {
        assert!(records.iter().any(|record| record.state == state), "{state:?}");
    }

    let today = Day::from_timestamp(at);
    let history = StatisticsTable::new(stack.dynamodb(), "Usage").history("acme", today, today).await.unwrap();
    let used = |name: &str| history.rows.iter().filter_map(|row| row.policies.get(name)).map(|it| it.used).max();
    assert!(used("account") > Some(3) && used("integration") > Some(3), "{history:?}");
    assert!(!recall(&history.rows, at).is_empty());
}

#[tokio::test]
async fn redis_values_of_0_1_0_are_read() {
    let Fixture { stack, at, .. } = fixture().await;
    let keys: BTreeMap<String, Stored> = read(RELEASE, "redis.json");
    let providers = ["primary".to_owned(), "backup".to_owned()];
    let seen = peek(&stack.redis(), &providers, at).await.unwrap();
    assert!(seen.iter().any(|seen| seen.first_content.is_some() || seen.failure_ratio.is_some()), "{seen:?}");
    let headrooms = Headrooms::new(Arc::new(stack.redis())).read(&providers).await.unwrap();
    assert!(headrooms.iter().any(Option::is_some), "{headrooms:?}");

    // The tokens of the month are those of the ledger.
    let month = Month::from_timestamp(at).0;
    let cache = UsageCache::new(Arc::new(stack.redis()), stack.months(), Counts::default(), DAY);
    let Stored::String(tokens) = &keys[&format!("{{levee}}:tokens:acme:{month}")] else { panic!("no text") };
    assert_eq!(cache.used("acme", month, at).await, tokens.parse().ok());

    // Each field of the tallies is understood.
    let tallies = keys.iter().filter(|(name, _)| name.starts_with("{levee}:tally:") && !name.ends_with("minutes"));
    let mut fields = 0;
    for (name, stored) in tallies {
        let Stored::Hash(tally) = stored else { panic!("{name} is no hash") };
        for (field, calls) in tally {
            assert!(Tally::parse(field, calls.parse().unwrap()).is_some(), "{field}");
            fields += 1;
        }
    }
    assert!(fields > 0);
}

#[tokio::test]
async fn a_call_that_the_authorizer_of_0_1_0_admitted_is_refunded_and_returned() {
    let Fixture { stack, .. } = fixture().await;
    let contexts: BTreeMap<String, Map<String, Value>> = read(RELEASE, "contexts.json");
    let context = |name: &str| AuthorizerContext::parse(contexts[name].clone()).unwrap();
    let allowed = context("allowed");
    let caller = allowed.caller.unwrap();
    assert_eq!((caller.account.as_str(), caller.integration.as_str()), ("acme", "crm"));
    assert_eq!(caller.terms.cap.map(|cap| cap.limit), Some(1_000_000));
    assert!(context("signing-in").caller.is_none() && context("forbidden").reason.is_some());
    assert!(context("limited").retry_after.unwrap().parse::<u64>().is_ok());
    serde_json::from_value::<RefusalContext>(contexts["refused"].clone().into()).unwrap();

    // Its charges are lowered where that release counted them, and its places in flight are given up.
    let charged = Charged::parse(&allowed.charged.unwrap());
    assert!(charged.refund(&stack.redis()).await.unwrap());
    let places = leases::parse(&allowed.in_flight.unwrap());
    assert_eq!(places.len(), 3);
    let release = leases::Release { id: allowed.request_id, leases: places, until: stack.now() };
    leases::release(&stack.redis(), &[release]).await.unwrap();
}
