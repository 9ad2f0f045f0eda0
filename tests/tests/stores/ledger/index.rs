//! The index of open records.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use levee::clock::Timestamp;
use levee::metering::ledger::SHARDS;
use levee::metering::{Record, Written};

use super::bench::Bench;
use super::{LAST_SECOND, call, figures, ids};

#[tokio::test]
async fn what_is_overdue_comes_in_pages_until_all_of_it_is_settled_and_what_is_not_stays() {
    let bench = Bench::start().await;
    let ledger = bench.ledger();
    let due = LAST_SECOND + 300;
    // 40 are due before the last of these seconds, and 10 at it or later.
    for number in 0..50 {
        ledger.open(&Record::open(call("acme", &format!("{number:02}"), LAST_SECOND - 40 + number))).await.unwrap();
    }
    let before = Timestamp::from_secs(due);
    let (mut settled, mut runs) = (BTreeSet::new(), 0);
    loop {
        let page = ledger.overdue(before, 2).await.unwrap();
        assert!(page.len() <= 2 * usize::from(SHARDS));
        if page.is_empty() {
            break;
        }
        runs += 1;
        for record in page {
            assert_eq!(ledger.write(&record.clone().abandoned()).await.unwrap(), Written::Now);
            assert!(settled.insert(record.call.id), "nothing comes twice");
        }
    }
    assert_eq!(settled, (0..40).map(|number| format!("{number:02}")).collect());
    assert_eq!(bench.open().await, (40..50).map(|number| format!("{number:02}")).collect());
    assert!(runs > 2, "40 calls at no more than 16 a run");
}

#[tokio::test]
async fn within_a_part_the_oldest_are_overdue_first() {
    let bench = Bench::start().await;
    let ledger = bench.ledger();
    for number in 0..40 {
        ledger.open(&Record::open(call("acme", &number.to_string(), LAST_SECOND - number))).await.unwrap();
    }
    let all = ledger.overdue(Timestamp::from_secs(LAST_SECOND + 301), 100).await.unwrap();
    assert_eq!(all.len(), 40);
    // Shards follow each other, so deadlines decrease only from one shard to the next.
    let falls = all.windows(2).filter(|pair| pair[0].call.deadline > pair[1].call.deadline).count();
    assert!(falls < usize::from(SHARDS), "{falls}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_no_other_from_being_settled() {
    let bench = Bench::start().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for shard in 0..SHARDS {
        let odd = bench.client.put_item().table_name("Usage").item("pk", text("CALL#acme#odd"));
        let odd = odd.item("sk", text(&shard.to_string())).item("open", text(&format!("OPEN#{shard}")));
        odd.item("due", AttributeValue::N("1".to_owned())).send().await.unwrap();
    }
    let call = call("acme", "1", LAST_SECOND);
    bench.ledger().open(&Record::open(call.clone())).await.unwrap();
    let overdue = bench.ledger().overdue(Timestamp::from_secs(call.deadline + 1), 1).await.unwrap();
    assert_eq!(ids(overdue.iter().map(|record| &record.call)), ["1".to_owned()].into());
}

#[tokio::test]
async fn open_calls_are_counted_by_account_and_by_the_month_in_which_they_began() {
    let bench = Bench::start().await;
    let ledger = bench.ledger();
    for number in 0..30 {
        ledger.open(&Record::open(call("acme", &format!("a{number}"), LAST_SECOND))).await.unwrap();
    }
    ledger.open(&Record::open(call("acme", "december", LAST_SECOND + 1))).await.unwrap();
    ledger.open(&Record::open(call("acme-2", "other", LAST_SECOND))).await.unwrap();
    for number in 0..10 {
        let call = call("acme", &format!("a{number}"), LAST_SECOND);
        ledger.write(&Record::closed(call, figures(1), false)).await.unwrap();
    }
    for (account, month, open) in [
        ("acme", "2026-11", 20),
        ("acme", "2026-12", 1),
        ("acme-2", "2026-11", 1),
        ("acme-2", "2026-12", 0),
        ("a", "2026-11", 0),
    ] {
        assert_eq!(ledger.open_calls(account, month.parse().unwrap()).await.unwrap(), open, "{account} {month}");
    }
}
