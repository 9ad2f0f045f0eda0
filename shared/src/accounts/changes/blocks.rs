//! Changes to blocks: adds and removes them.

use aws_sdk_dynamodb::types::AttributeValue;

use super::Creation;
use crate::accounts::form::{self, Invalid};
use crate::accounts::platform::{Block, Blocked, MOST_BLOCKS};
use crate::accounts::table::{AccountsTable, AccountsTableError, block_item, block_key, defaults_key};
use crate::clock::Timestamp;
use crate::stores::dynamodb::writes::{Row, Write};

/// Attempts at writing a block while other admins add or delete blocks.
const ATTEMPTS: usize = 4;
/// Largest number of expired blocks deleted at once. With the update of their count, they fit into one transaction.
const OVER_AT_ONCE: usize = 50;

impl AccountsTable {
    /// Adds a block, or replaces the one of the same network or account. Networks are stored in canonical form
    /// ([`Blocked::canonical`]). If there are [`MOST_BLOCKS`], some of those that have expired at `now` are deleted
    /// first.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the block is not allowed, there are [`MOST_BLOCKS`] in force, or the table cannot be
    /// written.
    pub async fn add_block(&self, block: &Block, now: Timestamp) -> Result<Creation, AccountsTableError> {
        // Validate the block and bring it into canonical form.
        let subject = match &block.subject {
            Blocked::Network(network) => Blocked::Network(form::network(*network)?),
            Blocked::Account(account) => Blocked::Account(form::id(account)?.to_owned()),
        };
        let reason = form::reason(&block.reason)?.to_owned();
        let item = block_item(&Block { subject, reason, ..block.clone() })?;
        let mut none_is_over = false;
        for _ in 0..ATTEMPTS {
            // Create the block if its subject has none and there is room for another.
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
                    // Another admin may have made room meanwhile. There are too many blocks only if none has expired
                    // and a further attempt finds no room either.
                    none_is_over = !self.delete_blocks_that_are_over(now).await?;
                    continue;
                }
            }
            // The block exists: replace it, unless another admin deletes it at this moment.
            let replaced = vec![Write::Replace(item.clone()), Write::Update(Row::new(defaults_key()).versioned())];
            if self.transact(replaced).await?.is_none() {
                return Ok(Creation::Done);
            }
        }
        Err(AccountsTableError::DynamoDb("the block changes all the time".to_owned()))
    }

    /// Deletes a block. Returns false if it does not exist.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be written.
    pub async fn delete_block(&self, subject: &Blocked) -> Result<bool, AccountsTableError> {
        let counted = Row::new(defaults_key()).raised("blocks", -1).versioned();
        let deleted = Write::Delete(Row::new(block_key(&subject.canonical())).if_there());
        Ok(self.transact(vec![deleted, Write::Update(counted)]).await?.is_none())
    }

    /// Deletes some of the blocks that have expired at `now`, unless one of them is changed at this moment. Returns
    /// false if none has expired.
    async fn delete_blocks_that_are_over(&self, now: Timestamp) -> Result<bool, AccountsTableError> {
        let blocks = self.platform().await?.blocks;
        let over = blocks.iter().filter(|block| !block.is_live(now)).take(OVER_AT_ONCE);
        // Delete each block on the condition that its end has not changed, and lower the count by as many.
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

    /// Returns the result of adding a block while DynamoDB gives `answers`, and the number of requests that it got.
    async fn add(answers: &'static [(u16, &'static str)]) -> (Result<Creation, AccountsTableError>, usize) {
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
        assert!(matches!(refused, Err(AccountsTableError::Invalid(Invalid::TOO_MANY_BLOCKS))), "{refused:?}");
        assert_eq!(asked, 3);
    }
}
