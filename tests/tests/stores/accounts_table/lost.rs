//! Writes whose answers are lost on the way.

use levee::accounts::AccountsTableError;
use local::dynamodb::Faults;

use super::*;

/// Returns true if a change was made as `expected`, and false if DynamoDB never answered.
fn is_made<T: PartialEq + std::fmt::Debug>(outcome: Result<T, AccountsTableError>, expected: T) -> bool {
    match outcome {
        Ok(outcome) => {
            assert_eq!(outcome, expected);
            true
        }
        Err(AccountsTableError::Unanswered(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Makes one change after the other to an account of its own, up to the first one without an answer. Returns the
/// number of changes.
async fn changes(table: &AccountsTable, id: &str) -> usize {
    let (account, key) = (account(id), key(id, "crm"));
    let change = KeyChange { name: Some("other".to_owned()), ..KeyChange::default() };
    let changed = change.applied_to(&key);
    let new = self::key(id, "crm");
    if !is_made(table.create_account(&account).await, Creation::Done) {
        return 0;
    }
    if !is_made(table.create_integration(id, &integration("crm")).await, Creation::Done) {
        return 1;
    }
    if !is_made(table.create_key(&key).await, Creation::Done) {
        return 2;
    }
    if !is_made(table.set_key(&key, &change).await, true) {
        return 3;
    }
    if !is_made(table.rotate_key(&changed, &new, DAY, NOW).await, Some(NOW.plus(DAY).as_secs())) {
        return 4;
    }
    if !is_made(table.revoke_key(&key.id).await, true) {
        return 5;
    }
    if !is_made(table.delete_key(&key.id, NOW).await, Deletion::Done) {
        return 6;
    }
    if !is_made(table.rename_account(&account, "B").await, true) {
        return 7;
    }
    8
}

#[tokio::test]
async fn a_change_is_reported_as_made_although_its_first_answers_were_lost() {
    let emulator = Emulator::start().await;
    let table = AccountsTable::new(emulator.client(), "Accounts");
    let faults = Faults { lost_ratio: 0.5, conflict_ratio: 0.05, seed: Some(11) };
    emulator.inject(Some(faults)).await;
    let mut made = Vec::new();
    for number in 0..12 {
        made.push(changes(&table, &format!("account-{number}")).await);
    }
    assert!(made.contains(&8), "all changes to one account were answered: {made:?}");
}

#[tokio::test]
async fn a_change_without_any_answer_is_neither_made_nor_rejected() {
    let emulator = Emulator::start().await;
    let (table, key) = with_key(&emulator, "acme").await;
    emulator.inject(Some(Faults { lost_ratio: 1.0, ..Faults::default() })).await;
    assert!(!is_made(table.create_account(&account("other")).await, Creation::Done));
    assert!(!is_made(table.revoke_key(&key.id).await, true));
    // Both were made.
    assert_eq!(table.key(&key.id).await.unwrap().unwrap().status, Status::Revoked);
    emulator.inject(None).await;
    assert_eq!(table.create_account(&account("other")).await.unwrap(), Creation::AlreadyThere);
}
