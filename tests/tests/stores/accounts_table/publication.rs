//! Publication of changes to Redis.

use std::time::Duration;

use levee::accounts::{self, Account, AccountsTable, Status};
use levee::limits::versions::{self, RecordId, Version};
use levee::limits::{Override, REMEMBERED};
use levee::stores::redis::Redis;

use super::{DAY, NOW, with_key};
use crate::emulator::Emulator;
use crate::redis_server::Server;

/// Returns version and stop flag of a marker, and checks that it expires.
async fn marker(redis: &Redis, of: &RecordId) -> Option<(u64, bool)> {
    let key = &of.key();
    let read =
        async |mut connection| redis::pipe().get(key).ttl(key).query_async::<(Option<u64>, i64)>(&mut connection).await;
    let (value, ttl) = redis.run(read).await.unwrap();
    let value = value?;
    assert!(ttl > 0, "{of} never expires");
    Some((value / 2, value % 2 == 1))
}

#[tokio::test]
async fn redis_is_told_how_each_record_is_now_and_whether_it_is_stopped() {
    let emulator = Emulator::start().await;
    let (table, key) = with_key(&emulator, "acme-2").await;
    let server = Server::start().await;
    let redis = server.redis();
    let first = NOW.as_millis();
    let acme = RecordId::Account("acme-2".to_owned());
    let crm = RecordId::Integration("acme-2".to_owned(), "crm".to_owned());
    let of_key = RecordId::Key(key.id.clone());
    let all = [acme.clone(), crm.clone(), of_key.clone(), RecordId::Platform, of_key.clone()];

    let began = tokio::time::Instant::now();
    accounts::publish(&table, &redis, &all, NOW).await.unwrap();
    assert!(began.elapsed() >= REMEMBERED, "refusals were still repeated");
    for of in [&acme, &crm, &of_key] {
        assert_eq!(marker(&redis, of).await, Some((first, false)), "{of}");
    }
    assert_eq!(marker(&redis, &RecordId::Platform).await, Some((0, false)), "nothing was changed for everyone yet");

    table.set_account_status("acme-2", Status::Suspended).await.unwrap();
    table.revoke_key(&key.id).await.unwrap();
    let exempt = Override { exempt: true, ..Override::default() };
    table.set_platform_limit("global", Some(&exempt), NOW).await.unwrap();
    accounts::publish(&table, &redis, &all, NOW).await.unwrap();
    assert_eq!(marker(&redis, &acme).await, Some((first + 1, true)));
    assert_eq!(marker(&redis, &crm).await, Some((first, false)));
    assert_eq!(marker(&redis, &of_key).await, Some((first + 1, true)));
    assert_eq!(marker(&redis, &RecordId::Platform).await, Some((1, false)));

    // A deleted record is marked as stopped until it is created again.
    let later = NOW.plus(DAY);
    table.delete_key(&key.id, later).await.unwrap();
    accounts::publish(&table, &redis, std::slice::from_ref(&of_key), later).await.unwrap();
    assert_eq!(marker(&redis, &of_key).await, Some((later.as_millis(), true)));
    let made = later.plus(Duration::from_secs(1)).as_millis();
    table.create_key(&levee::accounts::KeyRecord { version: made, ..key.clone() }).await.unwrap();
    accounts::publish(&table, &redis, std::slice::from_ref(&of_key), later).await.unwrap();
    assert_eq!(marker(&redis, &of_key).await, Some((made, false)));
}

#[tokio::test]
async fn an_older_version_never_replaces_a_newer_one() {
    let emulator = Emulator::start().await;
    let server = Server::start().await;
    let redis = server.redis();
    let of = RecordId::Account("acme-2".to_owned());
    let version = |version, is_stopped| Version { of: of.clone(), version, is_stopped };
    let table = AccountsTable::new(emulator.client(), "Accounts");
    let newest = NOW.plus(DAY).as_millis();
    for (told, held) in [
        (version(newest, true), (newest, true)),
        (version(newest - 1, false), (newest, true)),
        (version(newest, false), (newest, true)),
        (version(newest + 1, false), (newest + 1, false)),
    ] {
        versions::publish(&redis, std::slice::from_ref(&told)).await.unwrap();
        assert_eq!(marker(&redis, &of).await, Some(held), "after {told:?}");
    }
    table.create_account(&Account::new("acme-2", "A", NOW)).await.unwrap();
    accounts::publish(&table, &redis, std::slice::from_ref(&of), NOW).await.unwrap();
    assert_eq!(marker(&redis, &of).await, Some((newest + 1, false)));
}

#[tokio::test]
async fn without_redis_a_publication_fails_and_says_so() {
    let emulator = Emulator::start().await;
    let (table, _) = with_key(&emulator, "acme-2").await;
    let server = Server::start().await;
    let redis = server.redis();
    server.stop();
    let told = accounts::publish(&table, &redis, &[RecordId::Account("acme-2".to_owned())], NOW).await;
    assert!(told.unwrap_err().to_string().starts_with("Redis: "));
}
