//! Listings of accounts, integrations and keys for the board and the command line.
//!
//! The index `listing` follows the table within about a second, so a row that was created a moment ago may be
//! missing. Accounts and integrations by id are read from the table itself, consistently.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use super::records::{Account, Integration, KeyRecord};
use super::table::{
    AccountsTable, AccountsTableError, Item, PLATFORM, account_key, from_item, integration_key, keys_list,
};

const INDEX: &str = "listing";
/// Prefix of the sort keys of integrations.
const INTEGRATION: &str = "INTEGRATION#";
/// Largest number of integrations, and of keys, that [`AccountsTable::account`] reads.
const MOST_IN_DETAIL: usize = 1000;
/// Character that sorts before all characters that may follow an id in `list_sort`.
const BEFORE_ALL: char = '!';
/// Character that sorts after all characters of ids.
const AFTER_ALL: char = '~';

/// An account with its integrations and keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDetail {
    /// The account.
    pub account: Account,
    /// Integrations, by id.
    pub integrations: Vec<Integration>,
    /// Keys, grouped by integration.
    pub keys: Vec<KeyRecord>,
    /// True if the account has more integrations or keys than these.
    pub more: bool,
}

impl AccountsTable {
    /// Returns at most `limit` accounts by id, beginning after `after`, and the position to continue from if there
    /// are more.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read, or holds a malformed account.
    pub async fn accounts(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Account>, Option<String>), AccountsTableError> {
        let query = self.range("list", "ACCOUNTS".to_owned(), "list_sort", between("", after)).index_name(INDEX);
        let (items, more) = read(query, limit).await?;
        let accounts: Vec<Account> = records(items)?;
        let next = accounts.last().filter(|_| more).map(|account| account.id.clone());
        Ok((accounts, next))
    }

    /// Returns the ids that [`AccountsTable::accounts`] would return, those of malformed accounts included.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read.
    pub async fn account_ids(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), AccountsTableError> {
        let query = self.range("list", "ACCOUNTS".to_owned(), "list_sort", between("", after)).index_name(INDEX);
        let (items, more) = read(query, limit).await?;
        let id = |item: Item| item.get("list_sort").and_then(|id| id.as_s().ok()).cloned();
        let ids: Vec<String> = items.into_iter().filter_map(id).collect();
        let next = ids.last().filter(|_| more).cloned();
        Ok((ids, next))
    }

    /// Returns at most `limit` keys of an account, or of one of its integrations, grouped by integration, and the
    /// position to continue from if there are more.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read, or holds a malformed key.
    pub async fn keys(
        &self,
        account: &str,
        integration: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<KeyRecord>, Option<String>), AccountsTableError> {
        let prefix = integration.map(|integration| format!("{integration}#")).unwrap_or_default();
        let query = self.range("list", keys_list(account), "list_sort", between(&prefix, after)).index_name(INDEX);
        let (items, more) = read(query, limit).await?;
        let keys: Vec<KeyRecord> = records(items)?;
        let next = keys.last().filter(|_| more).map(|key| format!("{}#{}", key.integration, key.id));
        Ok((keys, next))
    }

    /// Returns the account with the given id, with its integrations and keys; `None` if it does not exist.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read, or holds a malformed record.
    pub async fn account(&self, id: &str) -> Result<Option<AccountDetail>, AccountsTableError> {
        // Read the account's partition, in which the account sorts before its integrations.
        let (mut items, more_integrations) = read(self.partition(id, "", None), MOST_IN_DETAIL + 1).await?;
        let is_account = |item: &Item| item.get("sk") == account_key(id).get("sk");
        let Some(position) = items.iter().position(is_account) else { return Ok(None) };
        let account = from_item(items.remove(position))?;
        let integrations = records(items)?;
        // Read its keys from the index.
        let (keys, next) = self.keys(id, None, None, MOST_IN_DETAIL).await?;
        Ok(Some(AccountDetail { account, integrations, keys, more: more_integrations || next.is_some() }))
    }

    /// Returns at most `limit` integrations of an account by id, beginning after `after`, and the position to
    /// continue from if there are more.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read, or holds a malformed integration.
    pub async fn integrations(
        &self,
        account: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Integration>, Option<String>), AccountsTableError> {
        let after = after.map(|after| format!("{INTEGRATION}{after}"));
        let (items, more) = read(self.partition(account, INTEGRATION, after.as_deref()), limit).await?;
        let integrations: Vec<Integration> = records(items)?;
        let next = integrations.last().filter(|_| more).map(|integration| integration.id.clone());
        Ok((integrations, next))
    }

    /// Returns an integration of an account; `None` if it does not exist.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read, or holds a malformed integration.
    pub async fn integration(&self, account: &str, id: &str) -> Result<Option<Integration>, AccountsTableError> {
        self.current(integration_key(account, id)).await?.map(from_item).transpose()
    }

    /// Returns true if the account has an integration, by a consistent read.
    pub(super) async fn has_integrations(&self, account: &str) -> Result<bool, AccountsTableError> {
        Ok(!self.integrations(account, None, 1).await?.0.is_empty())
    }

    /// Builds a consistent query for the items of the account's partition under `prefix` and after `after`.
    fn partition(&self, account: &str, prefix: &str, after: Option<&str>) -> QueryFluentBuilder {
        self.range("pk", format!("ACCOUNT#{account}"), "sk", between(prefix, after)).consistent_read(true)
    }

    /// Returns at most `limit` platform-wide items in descending order, the defaults before all blocks, and true if
    /// there are more. The read is consistent.
    pub(super) async fn of_platform(&self, limit: usize) -> Result<(Vec<Item>, bool), AccountsTableError> {
        let query = self.range("pk", PLATFORM.to_owned(), "sk", between("", None)).consistent_read(true);
        read(query.scan_index_forward(false), limit).await
    }

    fn range(&self, hash: &str, value: String, range: &str, (from, to): (String, String)) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .key_condition_expression("#hash = :hash AND #range BETWEEN :from AND :to")
            .expression_attribute_names("#hash", hash)
            .expression_attribute_names("#range", range)
            .expression_attribute_values(":hash", AttributeValue::S(value))
            .expression_attribute_values(":from", AttributeValue::S(from))
            .expression_attribute_values(":to", AttributeValue::S(to))
    }
}

/// Returns the bounds of the sort keys that begin with `prefix` and come after `after`. An `after` outside the prefix
/// is ignored.
fn between(prefix: &str, after: Option<&str>) -> (String, String) {
    let after = after.filter(|after| after.starts_with(prefix)).unwrap_or(prefix);
    let (from, to) = (format!("{after}{BEFORE_ALL}"), format!("{prefix}{AFTER_ALL}"));
    (from.min(to.clone()), to)
}

/// Reads at most `limit` items, over as many pages as needed, and returns them with true if there are more. It asks
/// for one item more than `limit`, because a page that ends with the last item does not say so.
async fn read(query: QueryFluentBuilder, limit: usize) -> Result<(Vec<Item>, bool), AccountsTableError> {
    let mut items = Vec::new();
    let mut start = None;
    loop {
        let missing = i32::try_from(limit.saturating_add(1) - items.len()).unwrap_or(i32::MAX);
        let page = query.clone().limit(missing).set_exclusive_start_key(start);
        let page = page.send().await.map_err(|error| AccountsTableError::from_sdk(&error))?;
        items.extend(page.items.unwrap_or_default());
        start = page.last_evaluated_key;
        if start.is_none() || items.len() > limit {
            let more = items.len() > limit;
            items.truncate(limit);
            return Ok((items, more));
        }
    }
}

fn records<T: serde::de::DeserializeOwned>(items: Vec<Item>) -> Result<Vec<T>, AccountsTableError> {
    items.into_iter().map(from_item).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_page_begins_after_the_one_before_and_keeps_to_its_prefix(
            prefix in "([a-z0-9-]{1,3}#)?",
            before in "[a-z0-9-]{1,3}",
            key in "[a-z0-9-]{1,3}",
        ) {
            let (before, key) = (format!("{prefix}{before}"), format!("{prefix}{key}"));
            let (from, to) = between(&prefix, Some(&before));
            prop_assert_eq!((from..=to).contains(&key), key > before);
            let (from, to) = between(&prefix, None);
            prop_assert!((from..=to).contains(&key));
        }

        #[test]
        fn no_made_up_place_to_go_on_from_leaves_the_prefix_or_the_range(after in "\\PC{0,10}", key in "[a-z]{1,3}#[a-z]") {
            let (from, to) = between("crm#", Some(&after));
            prop_assert!(from <= to);
            prop_assert!(key.starts_with("crm#") || !(from..=to).contains(&key));
        }
    }
}
