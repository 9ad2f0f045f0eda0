//! Who is blocked: added and taken back.

use aws_sdk_dynamodb::types::AttributeValue;

use super::Creation;
use super::transaction::{Row, Write};
use crate::accounts::form::{self, Invalid};
use crate::accounts::platform::{Block, Blocked, MOST_BLOCKS};
use crate::accounts::table::{AccountsTable, TableError, block_item, block_key, defaults_key};
use crate::clock::Timestamp;

/// How often a block is written that others add or delete meanwhile.
const ATTEMPTS: usize = 4;
/// How many blocks that are over are deleted at once; with what counts them, no more than a transaction takes.
const OVER_AT_ONCE: usize = 50;

impl AccountsTable {
    /// Blocks somebody. A block of the same network or account is replaced. Networks are written in one way
    /// ([`Blocked::canonical`]). Where there are [`MOST_BLOCKS`], some of those that are over at `now` make room.
    ///
    /// # Errors
    /// [`TableError`] when the block is not allowed, there are [`MOST_BLOCKS`] that hold, or the table cannot be written.
    pub async fn add_block(&self, block: &Block, now: Timestamp) -> Result<Creation, TableError> {
        let subject = match &block.subject {
            Blocked::Network(network) => Blocked::Network(form::network(*network)?),
            Blocked::Account(account) => Blocked::Account(form::id(account)?.to_owned()),
        };
        let reason = form::reason(&block.reason)?.to_owned();
        let item = block_item(&Block { subject, reason, ..block.clone() })?;
        let mut none_is_over = false;
        for _ in 0..ATTEMPTS {
            let room = Row::new(defaults_key())
                .only_if("attribute_not_exists(#blocks) OR #blocks < :most")
                .with(&[], &[(":most", AttributeValue::N(MOST_BLOCKS.to_string()))])
                .raised("blocks", 1)
                .versioned();
            match self.transact(vec![Write::Create(item.clone()), Write::Update(room)]).await?.as_deref() {
                None => return Ok(Creation::Done),
                Some([true, ..]) => {}
                Some(_) if none_is_over => return Err(Invalid::TOO_MANY_BLOCKS.into()),
                Some(_) => {
                    // Somebody else may have deleted those that were over since there was no room: only where none is
                    // over and there is still no room are there too many.
                    none_is_over = !self.delete_blocks_that_are_over(now).await?;
                    continue;
                }
            }
            // It is there: replace it, unless somebody deletes it at this moment.
            let replaced = vec![Write::Replace(item.clone()), Write::Update(Row::new(defaults_key()).versioned())];
            if self.transact(replaced).await?.is_none() {
                return Ok(Creation::Done);
            }
        }
        Err(TableError::DynamoDb("the block changes all the time".to_owned()))
    }

    /// Takes a block back; false when there is none.
    ///
    /// # Errors
    /// [`TableError`] when the table cannot be written.
    pub async fn delete_block(&self, subject: &Blocked) -> Result<bool, TableError> {
        let counted = Row::new(defaults_key()).raised("blocks", -1).versioned();
        let deleted = Write::Delete(Row::new(block_key(&subject.canonical())).if_there());
        Ok(self.transact(vec![deleted, Write::Update(counted)]).await?.is_none())
    }

    /// Deletes some of the blocks that are over at `now`, unless somebody changes them at this moment; false when none is.
    async fn delete_blocks_that_are_over(&self, now: Timestamp) -> Result<bool, TableError> {
        let blocks = self.platform().await?.blocks;
        let over = blocks.iter().filter(|block| !block.is_live(now)).take(OVER_AT_ONCE);
        let mut writes = Vec::new();
        for block in over {
            let item = block_item(block)?;
            writes.push(Write::Delete(Row::new(block_key(&block.subject)).if_there().if_as_in(&item, &["until"])));
        }
        let count = i64::try_from(writes.len()).unwrap_or(i64::MAX);
        if count == 0 {
            return Ok(false);
        }
        writes.push(Write::Update(Row::new(defaults_key()).raised("blocks", -count).versioned()));
        self.transact(writes).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::dynamodb::stub::Stub;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const NO_ROOM: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"cancelled",
        "CancellationReasons":[{"Code":"None"},{"Code":"ConditionalCheckFailed"}]}"#,
    );
    const NONE_IS_OVER: (u16, &str) = (200, r#"{"Items":[],"Count":0,"ScannedCount":0}"#);
    const DONE: (u16, &str) = (200, "{}");

    /// Returns the outcome of a block where DynamoDB gives `answers`, and the number of times it was asked.
    async fn add(answers: &'static [(u16, &'static str)]) -> (Result<Creation, TableError>, usize) {
        let stub = Stub::start(answers).await;
        let table = AccountsTable::new(stub.client.clone(), "accounts");
        let subject = Blocked::Account("acme".to_owned());
        let block = Block { subject, until: None, reason: "scraping".to_owned(), created_at: NOW.as_secs() };
        (table.add_block(&block, NOW).await, stub.answered())
    }

    #[tokio::test]
    async fn a_block_finds_the_room_that_somebody_else_made_before_it_looked_for_what_is_over() {
        let (added, asked) = add(&[NO_ROOM, NONE_IS_OVER, DONE]).await;
        assert_eq!((added.unwrap(), asked), (Creation::Done, 3));
    }

    #[tokio::test]
    async fn a_block_is_refused_where_none_is_over_and_there_is_still_no_room() {
        let (refused, asked) = add(&[NO_ROOM, NONE_IS_OVER, NO_ROOM]).await;
        assert!(matches!(refused, Err(TableError::Invalid(Invalid::TOO_MANY_BLOCKS))), "{refused:?}");
        assert_eq!(asked, 3);
    }
}
