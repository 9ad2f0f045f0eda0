//! Overrides of limits, including concurrent changes.

use std::time::Duration;

use levee::accounts::{Account, AccountsTable, AccountsTableError, Creation};
use levee::limits::{MOST_OVERRIDES, Mode, Override};

use super::{NOW, at_once, with_key};
use crate::emulator::Emulator;

fn limit(limit: u64) -> Override {
    Override { limit: Some(limit), ..Override::default() }
}

#[tokio::test]
async fn a_limit_is_changed_where_it_is_said_and_taken_back_and_each_time_the_version_rises() {
    let emulator = Emulator::start().await;
    let (table, key) = with_key(&emulator, "acme-2").await;
    let first = NOW.as_millis();
    let change =
        Override { limit: Some(7), mode: Some(Mode::Warn), until: Some(NOW.as_secs()), exempt: false, grant: None };

    assert!(table.set_account_limit("acme-2", "account", Some(&change), NOW).await.unwrap());
    assert!(table.set_account_limit("acme-2", "account-day", Some(&limit(9)), NOW).await.unwrap());
    assert!(table.set_integration_limit("acme-2", "crm", "integration", Some(&limit(8)), NOW).await.unwrap());
    assert!(table.set_key_limit(&key.id, "key", Some(&limit(1)), NOW).await.unwrap());
    assert!(table.set_key_limit(&key.id, "key", Some(&limit(2)), NOW).await.unwrap());
    table.set_platform_limit("global", Some(&limit(5)), NOW).await.unwrap();

    let detail = table.account("acme-2").await.unwrap().unwrap();
    assert_eq!((detail.account.limits["account"].clone(), detail.account.limits.len()), (change, 2));
    assert_eq!(detail.integrations[0].limits["integration"], limit(8));
    let of_key = table.key(&key.id).await.unwrap().unwrap();
    assert_eq!((of_key.limits.len(), &of_key.limits["key"]), (1, &limit(2)));
    let platform = table.platform().await.unwrap();
    assert_eq!((platform.limits["global"].clone(), platform.version), (limit(5), 1));
    assert_eq!((detail.account.version, of_key.version), (first + 2, first + 2));

    assert!(table.set_account_limit("acme-2", "account", None, NOW).await.unwrap());
    assert!(table.set_account_limit("acme-2", "account", None, NOW).await.unwrap(), "it is as it is to be");
    table.set_platform_limit("global", None, NOW).await.unwrap();
    let account = table.account("acme-2").await.unwrap().unwrap().account;
    assert_eq!(
        (account.limits.into_keys().collect::<Vec<_>>(), account.version),
        (vec!["account-day".to_owned()], first + 3)
    );
    let platform = table.platform().await.unwrap();
    assert_eq!((platform.limits.len(), platform.version), (0, 2));
}

#[tokio::test]
async fn of_several_who_change_different_policies_at_once_none_undoes_another() {
    let emulator = Emulator::start().await;
    let (table, _) = with_key(&emulator, "acme-2").await;
    let changed = at_once(|number| {
        let table = table.clone();
        async move {
            let policy = format!("policy-{number}");
            table.set_platform_limit(&policy, Some(&limit(1)), NOW).await.unwrap();
            table.set_account_limit("acme-2", &policy, Some(&limit(1)), NOW).await.unwrap()
        }
    })
    .await;
    assert!(changed.iter().all(|done| *done));
    let account = table.account("acme-2").await.unwrap().unwrap().account;
    assert_eq!((account.limits.len(), account.version), (8, NOW.as_millis() + 8));
    assert_eq!(table.platform().await.unwrap().limits.len(), 8);
}

#[tokio::test]
async fn nothing_is_changed_that_is_not_there_or_makes_no_sense_or_is_one_too_many() {
    let emulator = Emulator::start().await;
    let (table, _) = with_key(&emulator, "acme-2").await;
    for change in [Some(limit(1)), None] {
        let change = change.as_ref();
        assert!(!table.set_account_limit("nobody", "account", change, NOW).await.unwrap());
        assert!(!table.set_integration_limit("acme-2", "nothing", "integration", change, NOW).await.unwrap());
        assert!(!table.set_key_limit("nobodysKey12", "key", change, NOW).await.unwrap());
    }
    for (policy, change) in [("account", limit(0)), ("account", Override::default()), ("a b", limit(1))] {
        let refused = table.set_account_limit("acme-2", policy, Some(&change), NOW).await;
        assert!(matches!(refused, Err(AccountsTableError::Invalid(_))), "{policy} {change:?}");
    }
    assert!(table.account("nobody").await.unwrap().is_none());

    for number in 0..MOST_OVERRIDES {
        assert!(table.set_account_limit("acme-2", &format!("policy-{number}"), Some(&limit(1)), NOW).await.unwrap());
    }
    let refused = table.set_account_limit("acme-2", "one-more", Some(&limit(1)), NOW).await;
    assert!(matches!(refused, Err(AccountsTableError::Invalid(_))), "{refused:?}");
    assert!(table.set_account_limit("acme-2", "policy-3", Some(&limit(4)), NOW).await.unwrap(), "it is there already");
    let account = table.account("acme-2").await.unwrap().unwrap().account;
    assert_eq!((account.limits.len(), &account.limits["policy-3"]), (MOST_OVERRIDES, &limit(4)));

    // Expired overrides make room, others do not.
    let until = |secs| Override { until: Some(NOW.as_secs() + secs), ..limit(1) };
    for (policy, secs) in [("policy-5", 60), ("policy-6", 60), ("policy-7", 61)] {
        assert!(table.set_account_limit("acme-2", policy, Some(&until(secs)), NOW).await.unwrap());
    }
    let early = table.set_account_limit("acme-2", "one-more", Some(&limit(1)), NOW).await;
    assert!(matches!(early, Err(AccountsTableError::Invalid(_))), "{early:?}");
    let later = NOW.plus(Duration::from_secs(60));
    assert!(table.set_account_limit("acme-2", "one-more", Some(&limit(7)), later).await.unwrap());
    let changed = table.account("acme-2").await.unwrap().unwrap().account;
    assert_eq!((changed.limits.len(), changed.version), (MOST_OVERRIDES - 1, account.version + 4));
    assert_eq!((&changed.limits["one-more"], &changed.limits["policy-7"]), (&limit(7), &until(61)));
    assert!(!changed.limits.contains_key("policy-5") && !changed.limits.contains_key("policy-6"));
}

#[tokio::test]
async fn a_row_from_before_there_were_versions_and_limits_gets_both() {
    let emulator = Emulator::start().await;
    let table = AccountsTable::new(emulator.client(), "Accounts");
    assert_eq!(table.create_account(&Account::new("old", "Old", NOW)).await.unwrap(), Creation::Done);
    let key = |name: &str, text: &str| (name.to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned()));
    let key = [key("pk", "ACCOUNT#old"), key("sk", "ACCOUNT")].into();
    let strip = emulator.client().update_item().table_name("Accounts").set_key(Some(key));
    strip.update_expression("REMOVE version").send().await.unwrap();
    assert!(table.set_account_limit("old", "account", Some(&limit(3)), NOW).await.unwrap());
    let account = table.account("old").await.unwrap().unwrap().account;
    assert_eq!((account.version, &account.limits["account"]), (1, &limit(3)));
}
