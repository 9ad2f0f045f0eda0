//! Changes to token caps and cost guards.

use aws_sdk_dynamodb::types::AttributeValue;
use levee::accounts::terms::LARGEST_CAP;
use levee::accounts::{Account, AccountsTableError, CapMode, CapOverride, Guards, KeyRecord};

use super::{account, at_once, key, with_key};
use crate::emulator::Emulator;

fn cap(limit: u64, mode: CapMode) -> CapOverride {
    CapOverride { limit: Some(limit), mode }
}

fn guards(models: &[&str], max_tokens: Option<u64>) -> Guards {
    Guards { models: models.iter().map(ToString::to_string).collect(), max_tokens, ..Guards::default() }
}

/// Returns the attributes among `cap` and `guards` of the row under `pk` and `sk`.
async fn attributes(emulator: &Emulator, pk: &str, sk: &str) -> Vec<&'static str> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let row = emulator.client().get_item().table_name("Accounts").key("pk", text(pk)).key("sk", text(sk));
    let row = row.send().await.unwrap().item.unwrap();
    ["cap", "guards"].into_iter().filter(|name| row.contains_key(*name)).collect()
}

#[tokio::test]
async fn caps_and_guards_are_read_as_they_were_written_and_leave_nothing_when_they_are_taken_back() {
    let emulator = Emulator::start().await;
    let (table, key) = with_key(&emulator, "acme-2").await;
    let account = async || table.account("acme-2").await.unwrap().unwrap().account;
    let listed = async || table.accounts(None, 100).await.unwrap().0.into_iter().find(|it| it.id == "acme-2").unwrap();
    let (first, seen) = (key.version, account().await);
    let blocked = cap(5_000_000, CapMode::Block);
    let few = Guards {
        providers: ["backup".to_owned(), "primary".to_owned()].into(),
        ..guards(&["claude-haiku-*", "claude-sonnet-5-5"], Some(8_192))
    };

    assert!(table.set_account_terms(&seen, &blocked, &seen.guards).await.unwrap());
    assert!(table.set_account_terms(&seen, &seen.cap, &few).await.unwrap(), "the guards are still as they were seen");
    assert!(table.set_key_guards(&key, &guards(&[], Some(1))).await.unwrap());
    let changed = account().await;
    assert_eq!((changed.cap, &changed.guards, changed.version), (blocked, &few, first + 2));
    assert_eq!(listed().await, changed);
    let of_key = table.key(&key.id).await.unwrap().unwrap();
    assert_eq!((&of_key.guards, of_key.version), (&guards(&[], Some(1)), first + 1));
    assert_eq!(attributes(&emulator, "ACCOUNT#acme-2", "ACCOUNT").await, ["cap", "guards"]);

    assert!(table.set_account_terms(&changed, &CapOverride::default(), &changed.guards).await.unwrap());
    assert!(table.set_account_terms(&changed, &changed.cap, &Guards::default()).await.unwrap());
    assert!(table.set_key_guards(&of_key, &Guards::default()).await.unwrap());
    assert_eq!(account().await, Account { version: first + 4, ..seen });
    assert_eq!(table.key(&key.id).await.unwrap().unwrap(), KeyRecord { version: first + 2, ..key.clone() });
    assert!(attributes(&emulator, "ACCOUNT#acme-2", "ACCOUNT").await.is_empty());
    assert!(attributes(&emulator, &format!("KEY#{}", key.id), "KEY").await.is_empty());
}

#[tokio::test]
async fn of_several_who_change_one_cap_at_once_one_does_and_the_others_are_told() {
    let emulator = Emulator::start().await;
    let (table, _) = with_key(&emulator, "acme-2").await;
    let seen = table.account("acme-2").await.unwrap().unwrap().account;
    let changed =
        at_once(|number| {
            let (table, seen) = (table.clone(), seen.clone());
            async move {
                table.set_account_terms(&seen, &cap(number as u64 + 1, CapMode::Warn), &seen.guards).await.unwrap()
            }
        })
        .await;
    assert_eq!(changed.iter().filter(|done| **done).count(), 1, "{changed:?}");
    let account = table.account("acme-2").await.unwrap().unwrap().account;
    assert_eq!(account.version, seen.version + 1);
    assert!(account.cap.limit.is_some());
}

#[tokio::test]
async fn no_cap_is_set_where_there_is_nobody_and_none_that_makes_no_sense() {
    let emulator = Emulator::start().await;
    let (table, _) = with_key(&emulator, "acme-2").await;
    assert!(!table.set_account_terms(&account("nobody"), &cap(1, CapMode::Warn), &Guards::default()).await.unwrap());
    assert!(
        !table.set_account_terms(&account("nobody"), &CapOverride::default(), &guards(&["m"], None)).await.unwrap()
    );
    assert!(!table.set_key_guards(&key("acme-2", "crm"), &guards(&["m"], None)).await.unwrap());
    assert!(table.account("nobody").await.unwrap().is_none(), "nothing comes into being by being changed");

    let seen = table.account("acme-2").await.unwrap().unwrap().account;
    let refused = table.set_account_terms(&seen, &cap(LARGEST_CAP + 1, CapMode::Warn), &seen.guards).await;
    assert!(matches!(refused, Err(AccountsTableError::Invalid(_))), "{refused:?}");
    let provider = Guards { providers: ["a b".to_owned()].into(), ..Guards::default() };
    for nonsense in [guards(&["a b"], None), provider] {
        let refused = table.set_account_terms(&seen, &seen.cap, &nonsense).await;
        assert!(matches!(refused, Err(AccountsTableError::Invalid(_))), "{refused:?}");
    }
    assert_eq!(table.account("acme-2").await.unwrap().unwrap().account, seen);
}
