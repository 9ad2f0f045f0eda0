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
        for _ in 0..ATTEMPTS {
            let room = Row::new(defaults_key())
                .only_if("attribute_not_exists(#blocks) OR #blocks < :most")
                .with(&[], &[(":most", AttributeValue::N(MOST_BLOCKS.to_string()))])
                .raised("blocks", 1)
                .versioned();
            match self.transact(vec![Write::Create(item.clone()), Write::Update(room)]).await?.as_deref() {
                None => return Ok(Creation::Done),
                Some([true, ..]) => {}
                Some(_) if self.delete_blocks_that_are_over(now).await? => continue,
                Some(_) => return Err(Invalid::TOO_MANY_BLOCKS.into()),
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
