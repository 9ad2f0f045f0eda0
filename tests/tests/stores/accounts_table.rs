//! Concurrent changes to the accounts table: no change is silently undone by another one.

mod blocks;
mod limits;
mod lost;
mod publication;
mod terms;

use std::time::Duration;

use levee::accounts::{
    Account, AccountsTable, ApiKey, Creation, Deletion, Integration, IntegrationKind, KeyChange, KeyRecord, KeyScope,
    Peppers, Status,
};
use levee::clock::Timestamp;
use tokio::task::JoinSet;

use crate::emulator::Emulator;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn account(id: &str) -> Account {
    Account::new(id, "A", NOW)
}

fn integration(id: &str) -> Integration {
    Integration::new(id, "I", IntegrationKind::Customer, NOW)
}

fn key(account: &str, integration: &str) -> KeyRecord {
    let peppers = Peppers::from_json(r#"{"1":"a pepper of at least thirty-two characters"}"#).unwrap();
    KeyRecord::new(&ApiKey::generate("local").unwrap(), &peppers, account, integration, "k", NOW)
}

/// Creates a table that contains an account with an integration and a key.
async fn with_key(emulator: &Emulator, id: &str) -> (AccountsTable, KeyRecord) {
    let table = AccountsTable::new(emulator.client(), "Accounts");
    assert_eq!(table.create_account(&account(id)).await.unwrap(), Creation::Done);
    assert_eq!(table.create_integration(id, &integration("crm")).await.unwrap(), Creation::Done);
    let key = key(id, "crm");
    assert_eq!(table.create_key(&key).await.unwrap(), Creation::Done);
    (table, key)
}

/// Runs `what` eight times concurrently and returns the results.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(what: impl Fn(usize) -> F) -> Vec<T> {
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        tasks.spawn(what(number));
    }
    tasks.join_all().await
}

#[tokio::test]
async fn of_several_who_create_or_change_one_thing_at_once_one_does_and_the_others_are_told() {
    let emulator = Emulator::start().await;
    let (table, key) = with_key(&emulator, "first").await;

    let created = at_once(|_| {
        let table = table.clone();
        async move { table.create_account(&account("second")).await.unwrap() }
    })
    .await;
    assert_eq!(created.iter().filter(|it| **it == Creation::Done).count(), 1, "{created:?}");
    assert_eq!(created.iter().filter(|it| **it == Creation::AlreadyThere).count(), 7, "{created:?}");

    let renamed = at_once(|number| {
        let table = table.clone();
        async move { table.rename_account(&account("first"), &format!("name {number}")).await.unwrap() }
    })
    .await;
    assert_eq!(renamed.iter().filter(|done| **done).count(), 1, "{renamed:?}");

    let rotated = at_once(|_| {
        let (table, old, new) = (table.clone(), key.clone(), self::key("first", "crm"));
        async move { table.rotate_key(&old, &new, DAY, NOW).await.unwrap() }
    })
    .await;
    assert_eq!(rotated.iter().flatten().collect::<Vec<_>>(), [&NOW.plus(DAY).as_secs()]);
    let keys = table.account("first").await.unwrap().unwrap().keys;
    assert_eq!(keys.len(), 2, "a rotation that was refused leaves no key");
}

#[tokio::test]
async fn a_change_to_something_that_is_no_longer_as_it_was_seen_is_refused() {
    let emulator = Emulator::start().await;
    let (table, seen) = with_key(&emulator, "acme-2").await;
    let scopes = KeyChange { scopes: Some([KeyScope::Read].into()), ..KeyChange::default() };
    let end = KeyChange { expires_at: Some(Some(NOW.plus(DAY).as_secs())), ..KeyChange::default() };

    assert!(table.set_key(&seen, &scopes).await.unwrap());
    assert!(!table.set_key(&seen, &end).await.unwrap(), "the scopes are others by now");
    let seen = table.key(&seen.id).await.unwrap().unwrap();
    assert!(table.set_key(&seen, &end).await.unwrap());
    let seen = table.key(&seen.id).await.unwrap().unwrap();
    assert_eq!((seen.scopes.clone(), seen.expires_at), ([KeyScope::Read].into(), Some(NOW.plus(DAY).as_secs())));
    let never = KeyChange { expires_at: Some(None), ..KeyChange::default() };
    assert!(table.set_key(&seen, &never).await.unwrap());
    let seen = table.key(&seen.id).await.unwrap().unwrap();
    assert_eq!(seen.expires_at, None);

    assert!(table.revoke_key(&seen.id).await.unwrap());
    assert!(!table.set_key(&seen, &scopes).await.unwrap(), "nothing brings a revoked key back");
    assert_eq!(table.rotate_key(&seen, &key("acme-2", "crm"), DAY, NOW).await.unwrap(), None);
    let revoked = table.key(&seen.id).await.unwrap().unwrap();
    assert!(!table.set_key(&revoked, &end).await.unwrap());
    assert_eq!(revoked.status, Status::Revoked);
    assert!(!table.revoke_key("nobodysKey12").await.unwrap());
    assert!(!table.set_account_status("nobody", Status::Suspended).await.unwrap());
    assert!(!table.set_integration_status("acme-2", "nothing", Status::Suspended).await.unwrap());
    assert!(!table.rename_integration("acme-2", &integration("nothing"), "x").await.unwrap());
    assert!(table.account("nobody").await.unwrap().is_none(), "nothing comes into being by being changed");
}

#[tokio::test]
async fn every_change_raises_the_version_and_what_is_made_again_is_newer_than_what_was_deleted() {
    let emulator = Emulator::start().await;
    let (table, key) = with_key(&emulator, "acme-2").await;
    let of_account = async || table.account("acme-2").await.unwrap().unwrap().account.version;
    let of_integration = async || table.integration("acme-2", "crm").await.unwrap().unwrap().version;
    let of_key = async || table.key(&key.id).await.unwrap().unwrap().version;
    let first = NOW.as_millis();
    assert_eq!((of_account().await, of_integration().await, of_key().await), (first, first, first));

    assert!(table.rename_account(&account("acme-2"), "B").await.unwrap());
    assert!(table.set_account_status("acme-2", Status::Suspended).await.unwrap());
    assert!(table.rename_integration("acme-2", &integration("crm"), "J").await.unwrap());
    assert!(table.set_integration_status("acme-2", "crm", Status::Suspended).await.unwrap());
    assert!(table.set_integration_status("acme-2", "crm", Status::Active).await.unwrap());
    let renamed = KeyChange { name: Some("l".to_owned()), ..KeyChange::default() };
    assert!(table.set_key(&key, &renamed).await.unwrap());
    let changed = table.key(&key.id).await.unwrap().unwrap();
    assert!(table.rotate_key(&changed, &self::key("acme-2", "crm"), DAY, NOW).await.unwrap().is_some());
    assert!(table.revoke_key(&key.id).await.unwrap());
    assert_eq!((of_account().await, of_integration().await, of_key().await), (first + 2, first + 3, first + 3));

    table.delete_key(&key.id, NOW).await.unwrap();
    let again = KeyRecord { version: NOW.plus(DAY).as_millis(), ..key.clone() };
    assert_eq!(table.create_key(&again).await.unwrap(), Creation::Done);
    assert!(of_key().await > first + 3);
}

#[tokio::test]
async fn nothing_is_created_in_what_is_not_there_or_deleted_while_something_is_created_in_it() {
    let emulator = Emulator::start().await;
    let table = AccountsTable::new(emulator.client(), "Accounts");
    assert_eq!(table.create_integration("none", &integration("crm")).await.unwrap(), Creation::ParentMissing);
    assert_eq!(table.create_key(&key("none", "crm")).await.unwrap(), Creation::ParentMissing);

    for round in 0..10 {
        let id = format!("racing-{round}");
        table.create_account(&account(&id)).await.unwrap();
        let crm = integration("crm");
        let (created, deleted) = tokio::join!(table.create_integration(&id, &crm), table.delete_account(&id));
        let left = table.account(&id).await.unwrap();
        match (created.unwrap(), deleted.unwrap()) {
            (Creation::Done, Deletion::InUse) => assert_eq!(left.unwrap().integrations, [integration("crm")]),
            (Creation::ParentMissing, Deletion::Done) => {
                assert!(left.is_none() && table.integration(&id, "crm").await.unwrap().is_none());
            }
            other => panic!("{other:?} in round {round}"),
        }
    }
}

#[tokio::test]
async fn an_integration_goes_with_its_dead_keys_and_stays_with_a_live_one() {
    let emulator = Emulator::start().await;
    let (table, live) = with_key(&emulator, "acme-2").await;
    let over = KeyRecord { expires_at: Some(NOW.as_secs()), ..key("acme-2", "crm") };
    table.create_key(&over).await.unwrap();
    assert_eq!(table.delete_integration("acme-2", "crm", NOW).await.unwrap(), Deletion::InUse);
    assert_eq!(table.delete_key(&live.id, NOW).await.unwrap(), Deletion::InUse);
    assert!(table.key(&over.id).await.unwrap().is_some(), "nothing goes while something stays");
    table.revoke_key(&live.id).await.unwrap();
    assert_eq!(table.delete_integration("acme-2", "crm", NOW).await.unwrap(), Deletion::Done);
    assert_eq!(table.delete_integration("acme-2", "crm", NOW).await.unwrap(), Deletion::NotFound);
    for key in [&live, &over] {
        assert!(table.key(&key.id).await.unwrap().is_none());
        assert_eq!(table.delete_key(&key.id, NOW).await.unwrap(), Deletion::NotFound);
    }
    assert_eq!(table.delete_account("acme-2").await.unwrap(), Deletion::Done);
    assert_eq!(table.delete_account("acme-2").await.unwrap(), Deletion::NotFound);
}

#[tokio::test]
async fn listings_come_in_pages_that_miss_nothing_and_keep_to_their_account_and_integration() {
    let emulator = Emulator::start().await;
    let table = AccountsTable::new(emulator.client(), "Accounts");
    // Ids that are prefixes of each other, and characters at both ends of the alphabet.
    let ids = ["0", "a", "a-", "a-b", "a0", "ab", "z", "zz"];
    let mut expected = Vec::new();
    for id in ids {
        table.create_account(&account(id)).await.unwrap();
        expected.push(id.to_owned());
        for name in ["crm", "crm-2"] {
            table.create_integration(id, &integration(name)).await.unwrap();
        }
    }
    expected.sort();
    for limit in [1, 2, 3, 8, 9, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = table.accounts(after.as_deref(), limit).await.unwrap();
            assert!(page.len() <= limit);
            seen.extend(page.into_iter().map(|account| account.id));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "{limit} at once");
    }

    let mut of_crm = Vec::new();
    for (account, integration) in [("a", "crm"), ("a", "crm"), ("a", "crm"), ("a", "crm-2"), ("a-", "crm")] {
        let key = key(account, integration);
        table.create_key(&key).await.unwrap();
        if (account, integration) == ("a", "crm") {
            of_crm.push(key.id);
        }
    }
    of_crm.sort();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = table.keys("a", Some("crm"), after.as_deref(), 2).await.unwrap();
        seen.extend(page.into_iter().map(|key| key.id));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, of_crm);
    let (first, next) = table.integrations("a", None, 1).await.unwrap();
    let (second, last) = table.integrations("a", next.as_deref(), 1).await.unwrap();
    assert_eq!(([first, second].concat(), last), (vec![integration("crm"), integration("crm-2")], None));
    for made_up in ["~~", "\u{10ffff}", "", "#"] {
        assert!(table.accounts(Some(made_up), 10).await.is_ok(), "{made_up}");
    }
    let detail = table.account("a").await.unwrap().unwrap();
    assert_eq!((detail.integrations.len(), detail.keys.len(), detail.more), (2, 4, false));
    assert_eq!(detail.account, account("a"));
}
