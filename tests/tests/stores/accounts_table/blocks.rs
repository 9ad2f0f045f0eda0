//! Blocks of accounts and networks.

use std::time::Duration;

use levee::accounts::platform::MOST_BLOCKS;
use levee::accounts::{AccountsTable, AccountsTableError, Block, Blocked, Creation};

use super::{NOW, at_once};
use crate::emulator::Emulator;

fn network(text: &str) -> Blocked {
    Blocked::Network(text.parse().unwrap())
}

fn block(subject: Blocked) -> Block {
    Block { subject, until: None, reason: "scraping".to_owned(), created_at: NOW.as_secs() }
}

#[tokio::test]
async fn a_block_is_added_replaced_and_taken_back_and_each_time_the_version_rises() {
    let emulator = Emulator::start().await;
    let table = AccountsTable::new(emulator.client(), "Accounts");
    assert_eq!(table.platform().await.unwrap(), Default::default());

    let first = block(network("::ffff:203.0.113.9/120"));
    assert_eq!(table.add_block(&first, NOW).await.unwrap(), Creation::Done);
    let acme = Block { until: Some(NOW.as_secs()), ..block(Blocked::Account("acme".to_owned())) };
    assert_eq!(table.add_block(&acme, NOW).await.unwrap(), Creation::Done);
    let again = Block { reason: "  more of it ".to_owned(), ..block(network("203.0.113.0/24")) };
    assert_eq!(table.add_block(&again, NOW).await.unwrap(), Creation::Done);

    let platform = table.platform().await.unwrap();
    let replaced = Block { reason: "more of it".to_owned(), ..again.clone() };
    assert_eq!((platform.version, platform.blocks), (3, vec![replaced, acme.clone()]));
    assert!(table.delete_block(&first.subject).await.unwrap(), "however the network is written");
    assert!(!table.delete_block(&first.subject).await.unwrap());
    assert!(table.delete_block(&acme.subject).await.unwrap());
    let platform = table.platform().await.unwrap();
    assert_eq!((platform.version, platform.blocks), (5, Vec::new()));
}

#[tokio::test]
async fn a_block_of_half_the_world_or_without_a_reason_is_refused() {
    let emulator = Emulator::start().await;
    let table = AccountsTable::new(emulator.client(), "Accounts");
    let blocks = [
        block(network("0.0.0.0/0")),
        block(network("10.0.0.0/7")),
        block(network("2000::/18")),
        block(network("::ffff:0:0/96")),
        block(Blocked::Account("A/b".to_owned())),
        Block { reason: " ".to_owned(), ..block(network("10.0.0.0/8")) },
    ];
    for block in blocks {
        assert!(matches!(table.add_block(&block, NOW).await, Err(AccountsTableError::Invalid(_))), "{block:?}");
    }
    assert_eq!(table.platform().await.unwrap(), Default::default());
}

#[tokio::test]
async fn there_are_so_many_blocks_and_no_more() {
    let emulator = Emulator::start().await;
    let table = AccountsTable::new(emulator.client(), "Accounts");
    let account = |number: usize| block(Blocked::Account(format!("account-{number}")));
    for number in 0..MOST_BLOCKS - 4 {
        assert_eq!(table.add_block(&account(number), NOW).await.unwrap(), Creation::Done);
    }
    table
        .set_platform_limit("global", Some(&levee::limits::Override { exempt: true, ..Default::default() }), NOW)
        .await
        .unwrap();

    // Eight more concurrently, of which four have room.
    let added = at_once(|number| {
        let table = table.clone();
        async move { table.add_block(&account(MOST_BLOCKS + number), NOW).await }
    })
    .await;
    assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 4, "{added:?}");
    assert!(
        added
            .iter()
            .flat_map(|added| added.as_ref().err())
            .all(|error| matches!(error, AccountsTableError::Invalid(_)))
    );
    assert_eq!(
        table.add_block(&account(0), NOW).await.unwrap(),
        Creation::Done,
        "it is replaced, and not counted twice"
    );
    let platform = table.platform().await.unwrap();
    assert_eq!((platform.blocks.len(), platform.limits.len()), (MOST_BLOCKS, 1));

    // Expired blocks make room, others do not.
    let until = Some(NOW.as_secs() + 60);
    for number in 0..4 {
        table.add_block(&Block { until, ..account(number) }, NOW).await.unwrap();
    }
    let early = table.add_block(&account(MOST_BLOCKS * 2), NOW).await;
    assert!(matches!(early, Err(AccountsTableError::Invalid(_))), "{early:?}");
    let later = NOW.plus(Duration::from_secs(60));
    let added = at_once(|number| {
        let table = table.clone();
        async move { table.add_block(&account(MOST_BLOCKS * 2 + number), later).await }
    })
    .await;
    assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 4, "{added:?}");
    let blocks = table.platform().await.unwrap().blocks;
    assert_eq!((blocks.len(), blocks.iter().filter(|block| block.until.is_some()).count()), (MOST_BLOCKS, 0));

    assert!(table.delete_block(&account(10).subject).await.unwrap());
    assert_eq!(table.add_block(&account(MOST_BLOCKS * 3), NOW).await.unwrap(), Creation::Done);
}
