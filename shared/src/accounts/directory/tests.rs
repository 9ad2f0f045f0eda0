use super::*;
use crate::accounts::Status;
use crate::stores::dynamodb::stub::{Stub, TIMEOUT};

const KEY: (u16, &str) = (
    200,
    r#"{"Item":{"pk":{"S":"KEY#k"},"sk":{"S":"KEY"},"id":{"S":"k"},"account":{"S":"acme"},"integration":{"S":"crm"},
    "name":{"S":"n"},"hash":{"S":"h"},"pepper":{"N":"1"},"scopes":{"L":[{"S":"ai"}]},"status":{"S":"active"}}}"#,
);
const NO_ITEM: (u16, &str) = (200, "{}");
const BAD_ITEM: (u16, &str) = (200, r#"{"Item":{"pk":{"S":"KEY#bad"},"sk":{"S":"KEY"}}}"#);
pub(super) const DOWN: (u16, &str) = (500, r#"{"__type":"InternalServerError","message":"down"}"#);
pub(super) const START: Timestamp = Timestamp::from_secs(1_700_000_000);

pub(super) fn directory(stub: &Stub) -> Directory {
    Directory::new(AccountsTable::new(stub.client.clone(), "accounts"), TIMEOUT)
}

pub(super) fn after(secs: u64) -> Timestamp {
    START.plus(Duration::from_secs(secs))
}

#[tokio::test]
async fn a_key_is_read_once_a_minute() {
    let stub = Stub::start(&[KEY]).await;
    let directory = directory(&stub);
    for (secs, reads) in [(0, 1), (59, 1), (60, 2), (61, 2)] {
        assert!(directory.key("k", after(secs)).await.unwrap().is_some());
        assert_eq!(stub.answered(), reads, "after {secs} s");
    }
}

#[tokio::test]
async fn an_unknown_id_is_remembered_for_ten_seconds() {
    let stub = Stub::start(&[NO_ITEM, NO_ITEM, KEY]).await;
    let directory = directory(&stub);
    for (secs, known, reads) in [(0, false, 1), (9, false, 1), (10, false, 2), (20, true, 3)] {
        assert_eq!(directory.key("k", after(secs)).await.unwrap().is_some(), known, "after {secs} s");
        assert_eq!(stub.answered(), reads, "after {secs} s");
    }
}

#[tokio::test]
async fn while_the_table_is_down_a_known_key_works_for_fifteen_minutes() {
    let stub = Stub::start(&[KEY, DOWN]).await;
    let directory = directory(&stub);
    for (secs, works) in [(0, true), (60, true), (899, true), (900, false)] {
        assert_eq!(directory.key("k", after(secs)).await.is_ok(), works, "after {secs} s");
    }
    assert!(directory.key("other", after(901)).await.is_err());
}

#[tokio::test]
async fn after_a_failure_known_keys_do_not_wait_for_the_table() {
    let stub = Stub::start(&[KEY, DOWN]).await;
    let directory = directory(&stub);
    directory.key("k", START).await.unwrap();
    directory.key("k", after(60)).await.unwrap();
    let asked = stub.answered();
    directory.key("k", after(64)).await.unwrap();
    assert_eq!(stub.answered(), asked);
    directory.key("k", after(65)).await.unwrap();
    assert!(stub.answered() > asked);
}

#[tokio::test]
async fn what_was_read_or_failed_while_the_clock_was_fast_is_read_again_when_it_is_put_right() {
    let fast = after(3 * 3600);
    let stub = Stub::start(vec![NO_ITEM, key_at(5), key_at(6)].leak()).await;
    // A successful read: the cached key of the future is not used once the clock is right.
    let read = directory(&stub);
    assert!(read.key("k", fast).await.unwrap().is_none());
    assert_eq!(read.key("k", fast.plus(UNKNOWN_FOR)).await.unwrap().unwrap().version, 5);
    assert_eq!(read.key("k", START).await.unwrap().unwrap().version, 6);
    assert_eq!((read.key("k", after(59)).await.unwrap().unwrap().version, stub.answered()), (6, 3));

    // An unknown id.
    let stub = Stub::start(vec![NO_ITEM, KEY].leak()).await;
    let unknown = directory(&stub);
    assert!(unknown.key("k", fast).await.unwrap().is_none());
    assert!(unknown.key("k", START).await.unwrap().is_some());

    // A failed read.
    let stub = Stub::start(&[DOWN]).await;
    let failed = directory(&stub);
    assert!(failed.key("k", fast).await.is_err());
    let asked = stub.answered();
    assert!(failed.key("k", START).await.is_err());
    assert!(stub.answered() > asked);
}

#[tokio::test]
async fn one_malformed_item_stops_no_other_from_being_read_anew() {
    let stub = Stub::start(&[KEY, BAD_ITEM, KEY]).await;
    let directory = directory(&stub);
    directory.key("k", START).await.unwrap();
    assert!(directory.key("bad", after(60)).await.is_err());
    directory.key("k", after(61)).await.unwrap();
    assert_eq!(stub.answered(), 3);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_time_out_for_a_table_that_says_nothing() {
    let stub = Stub::start(&[]).await;
    let began = tokio::time::Instant::now();
    assert!(directory(&stub).key("k", START).await.is_err());
    assert!(began.elapsed() <= TIMEOUT, "{:?}", began.elapsed());
}

/// Returns the table's answer for the key `k` at a version.
fn key_at(version: u64) -> (u16, &'static str) {
    let end = format!(r#""version":{{"N":"{version}"}},"status":{{"S":"active"}}}}}}"#);
    (200, KEY.1.replace(r#""status":{"S":"active"}}}"#, &end).leak())
}

/// Returns the table's answer for an account and an integration, both at a version.
fn owner_at(version: u64) -> (u16, &'static str) {
    let items = format!(
        r#"{{"Responses":{{"accounts":[
        {{"pk":{{"S":"ACCOUNT#acme"}},"sk":{{"S":"ACCOUNT"}},"id":{{"S":"acme"}},"name":{{"S":"Acme"}},
        "status":{{"S":"active"}},"version":{{"N":"{version}"}}}},
        {{"pk":{{"S":"ACCOUNT#acme"}},"sk":{{"S":"INTEGRATION#crm"}},"id":{{"S":"crm"}},"name":{{"S":"CRM"}},
        "kind":{{"S":"customer"}},"status":{{"S":"active"}},"version":{{"N":"{version}"}}}}]}},
        "UnprocessedKeys":{{}}}}"#
    );
    (200, items.leak())
}

fn marker(of: RecordId, version: u64, is_stopped: bool) -> Version {
    Version { of, version, is_stopped }
}

fn key_marker(version: u64, is_stopped: bool) -> Version {
    marker(RecordId::Key("k".to_owned()), version, is_stopped)
}

#[tokio::test]
async fn every_read_is_of_what_is_there_now() {
    let stub = Stub::start(vec![key_at(1), owner_at(1)].leak()).await;
    let directory = directory(&stub);
    let key = directory.key("k", START).await.unwrap().unwrap();
    directory.owner(&key, START).await.unwrap().unwrap();
    let asked = stub.requests();
    assert!(asked.iter().all(|asked| asked.contains(r#""ConsistentRead":true"#)), "{asked:?}");
}

#[tokio::test]
async fn what_is_out_of_date_is_read_again_before_it_is_used_and_only_then() {
    let stub = Stub::start(vec![key_at(5), key_at(6)].leak()).await;
    let directory = directory(&stub);
    directory.key("k", START).await.unwrap();
    for (marker, version, reads) in [(5, 5, 1), (6, 6, 2), (6, 6, 2), (5, 6, 2)] {
        directory.outdated(&key_marker(marker, false));
        let key = directory.key("k", after(1)).await.unwrap().unwrap();
        assert_eq!((key.version, stub.answered()), (version, reads), "after a marker of {marker}");
    }
}

#[tokio::test]
async fn an_unknown_key_that_was_made_since_is_known_at_once() {
    let stub = Stub::start(vec![NO_ITEM, key_at(6)].leak()).await;
    let directory = directory(&stub);
    assert!(directory.key("k", START).await.unwrap().is_none());
    directory.outdated(&key_marker(6, false));
    assert!(directory.key("k", after(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_row_that_stays_older_than_its_marker_or_is_gone_is_not_read_for_every_request() {
    for (answer, is_there) in [(key_at(5), true), (NO_ITEM, false)] {
        let stub = Stub::start(vec![key_at(5), answer].leak()).await;
        let directory = directory(&stub);
        directory.key("k", START).await.unwrap();
        for secs in 1..9 {
            directory.outdated(&key_marker(9, true));
            assert_eq!(directory.key("k", after(secs)).await.unwrap().is_some(), is_there);
        }
        assert_eq!(stub.answered(), 2);
    }
}

#[tokio::test]
async fn while_the_table_is_down_a_stopped_key_is_revoked_and_another_change_waits() {
    let stub = Stub::start(vec![key_at(5), DOWN].leak()).await;
    let directory = directory(&stub);
    directory.key("k", START).await.unwrap();
    // A newer version that does not stop the key leaves it usable.
    directory.outdated(&key_marker(6, false));
    let changed = directory.key("k", after(1)).await.unwrap().unwrap();
    assert_eq!((changed.status, changed.version), (Status::Active, 5));
    // A newer version that stops the key revokes it.
    directory.outdated(&key_marker(7, true));
    for secs in [2, 10] {
        let stopped = directory.key("k", after(secs)).await.unwrap().unwrap();
        assert_eq!((stopped.status, stopped.version), (Status::Revoked, 7), "after {secs} s");
    }
    // A key that was never read is unknown if a marker stops it, and an error otherwise.
    directory.outdated(&marker(RecordId::Key("never seen".to_owned()), 7, true));
    assert!(directory.key("never seen", after(11)).await.unwrap().is_none());
    assert!(directory.key("another", after(11)).await.is_err());
}

#[tokio::test]
async fn while_the_table_is_down_a_stopped_account_or_integration_is_suspended() {
    let (acme, crm) = (|| "acme".to_owned(), || "crm".to_owned());
    for of in [RecordId::Account(acme()), RecordId::Integration(acme(), crm())] {
        let stub = Stub::start(vec![key_at(5), owner_at(5), DOWN].leak()).await;
        let directory = directory(&stub);
        let key = directory.key("k", START).await.unwrap().unwrap();
        directory.owner(&key, START).await.unwrap();
        directory.outdated(&marker(of.clone(), 6, true));
        let owner = directory.owner(&key, after(1)).await.unwrap().unwrap();
        let is_account = matches!(of, RecordId::Account(_));
        let is_suspended = |status| status == Status::Suspended;
        assert_eq!(is_suspended(owner.account.status), is_account, "{of}");
        assert_eq!(is_suspended(owner.integration.status), !is_account, "{of}");
    }
}
