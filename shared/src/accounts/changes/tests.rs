use super::*;
use crate::accounts::{Integration, IntegrationKind};
use crate::stores::dynamodb::stub::Stub;
use crate::stores::dynamodb::writes::ATTEMPTS;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const DONE: (u16, &str) = (200, "{}");

/// Returns DynamoDB's answer to a transaction that was cancelled for these reasons.
fn cancelled(first: &str, second: &str) -> (u16, &'static str) {
    let body = format!(
        r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"cancelled",
        "CancellationReasons":[{{"Code":"{first}"}},{{"Code":"{second}"}}]}}"#
    );
    (400, body.leak())
}

async fn create(answers: Vec<(u16, &'static str)>) -> (Result<Creation, AccountsTableError>, usize) {
    let stub = Stub::start(answers.leak()).await;
    let integration = Integration::new("crm", "CRM", IntegrationKind::Customer, NOW);
    let created = AccountsTable::new(stub.client.clone(), "accounts").create_integration("acme", &integration).await;
    (created, stub.answered())
}

#[tokio::test]
async fn a_transaction_that_met_another_one_is_tried_again() {
    let conflict = cancelled("None", "TransactionConflict");
    let (created, tries) = create(vec![conflict, conflict, DONE]).await;
    assert_eq!((created.unwrap(), tries), (Creation::Done, 3));
    let (given_up, tries) = create(vec![conflict]).await;
    assert!(given_up.is_err());
    assert_eq!(tries, ATTEMPTS as usize);
}

#[tokio::test]
async fn the_condition_that_did_not_hold_says_why_nothing_was_created() {
    for (first, second, expected) in [
        ("ConditionalCheckFailed", "None", Creation::AlreadyThere),
        ("None", "ConditionalCheckFailed", Creation::ParentMissing),
        ("ConditionalCheckFailed", "ConditionalCheckFailed", Creation::AlreadyThere),
    ] {
        let (created, tries) = create(vec![cancelled(first, second)]).await;
        assert_eq!((created.unwrap(), tries), (expected, 1));
    }
}

#[tokio::test]
async fn a_transaction_that_can_never_succeed_is_not_repeated() {
    let wrong = (400, r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no such table"}"#);
    let (created, tries) = create(vec![wrong]).await;
    assert_eq!(created.unwrap_err().to_string(), "DynamoDB: ValidationException: no such table");
    assert_eq!(tries, 1);
}

#[tokio::test]
async fn what_may_not_be_written_is_refused_before_anything_is_sent() {
    let stub = Stub::start(&[DONE]).await;
    let accounts = AccountsTable::new(stub.client.clone(), "accounts");
    let account = |id: &str, name: &str| Account::new(id, name, NOW);
    for (id, name) in [("a#b", "Acme"), ("", "Acme"), ("acme", ""), ("acme", "a\nb")] {
        assert!(
            matches!(accounts.create_account(&account(id, name)).await, Err(AccountsTableError::Invalid(_))),
            "{id}"
        );
    }
    assert!(accounts.rename_account(&account("acme", "Acme"), "\u{1b}[2J").await.is_err());
    assert_eq!(stub.answered(), 0);
}
