//! Conditional writes of one or several rows, all or nothing.
//!
//! Single writes are transactions too: each has a token, so that a retry after a lost answer is recognised and not
//! rejected by its own condition. If two transactions touch one item, DynamoDB cancels one of them. The SDK does not
//! retry that, so this module does, with the same token.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};

use super::{passes, pause, transact, transaction_token};

/// Attributes of an item, or of its key.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Attempts at a transaction that conflicts with others.
pub(crate) const ATTEMPTS: u32 = 5;
/// Longest pause before the second attempt; doubled before each later one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Cancellation code of a write whose condition did not hold
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CancellationReason.html>).
const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// One write of a transaction.
pub(crate) enum Write {
    /// Creates an item that must not exist yet.
    Create(Item),
    /// Replaces an item that must exist.
    Replace(Item),
    /// Changes an item.
    Update(Row),
    /// Deletes an item.
    Delete(Row),
    /// Changes nothing, and requires the conditions of an item.
    Check(Row),
}

/// Errors of [`apply`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// A write is incomplete.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// DynamoDB did not apply the writes, or the outcome is not known.
    #[error(transparent)]
    Sdk(Box<SdkError<TransactWriteItemsError, HttpResponse>>),
}

/// An item by its key, with the conditions on it and the changes to it.
pub(crate) struct Row {
    key: Item,
    conditions: Vec<String>,
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Row {
    pub(crate) fn new(key: Item) -> Self {
        Self {
            key,
            conditions: Vec::new(),
            sets: Vec::new(),
            removes: Vec::new(),
            adds: Vec::new(),
            names: HashMap::new(),
            values: HashMap::new(),
        }
    }

    /// Adds the condition that the item exists.
    pub(crate) fn if_there(mut self) -> Self {
        self.conditions.push("attribute_exists(pk)".to_owned());
        self
    }

    /// Adds the condition that these attributes are as in `item`: equal, or missing in both.
    pub(crate) fn if_as_in(mut self, item: &Item, attributes: &[&str]) -> Self {
        for attribute in attributes {
            let condition = match item.get(*attribute) {
                Some(value) => format!("#{attribute} = {}", self.value("was", attribute, value)),
                None => format!("attribute_not_exists(#{attribute})"),
            };
            self.conditions.push(condition);
            self.name(attribute);
        }
        self
    }

    /// Sets these attributes to their values in `item`, and removes those that `item` lacks.
    pub(crate) fn set_as_in(mut self, item: &Item, attributes: &[&str]) -> Self {
        for attribute in attributes {
            match item.get(*attribute) {
                Some(value) => {
                    let value = self.value("now", attribute, value);
                    self.sets.push(format!("#{attribute} = {value}"));
                }
                None => self.removes.push(format!("#{attribute}")),
            }
            self.name(attribute);
        }
        self
    }

    /// Raises the item's revision by 1.
    pub(crate) fn revised(self) -> Self {
        self.raised("revision", 1)
    }

    /// Raises the item's version by 1. Every change does this, so that environments with an older version notice it.
    pub(crate) fn versioned(self) -> Self {
        self.raised("version", 1)
    }

    /// Adds `by` to a number, which counts as 0 if it is missing.
    pub(crate) fn raised(mut self, attribute: &str, by: i64) -> Self {
        let by = self.value("by", attribute, &AttributeValue::N(by.to_string()));
        self.adds.push(format!("#{attribute} {by}"));
        self.name(attribute);
        self
    }

    /// Adds a condition that uses tokens of [`Row::with`].
    pub(crate) fn only_if(mut self, condition: &str) -> Self {
        self.conditions.push(format!("({condition})"));
        self
    }

    /// Adds an assignment that uses tokens of [`Row::with`].
    pub(crate) fn set(mut self, assignment: &str) -> Self {
        self.sets.push(assignment.to_owned());
        self
    }

    /// Removes the attribute at a path that uses tokens of [`Row::with`].
    pub(crate) fn remove(mut self, path: &str) -> Self {
        self.removes.push(path.to_owned());
        self
    }

    /// Defines the tokens in conditions, assignments and paths: `#name` for an attribute, `:value` for a value.
    pub(crate) fn with(mut self, names: &[(&str, &str)], values: &[(&str, AttributeValue)]) -> Self {
        self.names.extend(names.iter().map(|(token, name)| ((*token).to_owned(), (*name).to_owned())));
        self.values.extend(values.iter().map(|(token, value)| ((*token).to_owned(), value.clone())));
        self
    }

    fn name(&mut self, attribute: &str) {
        self.names.insert(format!("#{attribute}"), attribute.to_owned());
    }

    fn value(&mut self, role: &str, attribute: &str, value: &AttributeValue) -> String {
        let token = format!(":{role}_{attribute}");
        self.values.insert(token.clone(), value.clone());
        token
    }

    fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    fn update(&self) -> String {
        let clauses = [("SET", &self.sets), ("REMOVE", &self.removes), ("ADD", &self.adds)];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        clauses.map(|(verb, parts)| format!("{verb} {}", parts.join(", "))).collect::<Vec<_>>().join(" ")
    }
}

impl Write {
    fn build(self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let write = TransactWriteItem::builder();
        Ok(match self {
            Self::Create(item) => {
                let put = Put::builder().table_name(table).set_item(Some(item));
                write.put(put.condition_expression("attribute_not_exists(pk)").build()?)
            }
            Self::Replace(item) => {
                let put = Put::builder().table_name(table).set_item(Some(item));
                write.put(put.condition_expression("attribute_exists(pk)").build()?)
            }
            Self::Update(row) => write.update(
                Update::builder()
                    .table_name(table)
                    .update_expression(row.update())
                    .set_condition_expression(row.condition())
                    .set_key(Some(row.key))
                    .set_expression_attribute_names((!row.names.is_empty()).then_some(row.names))
                    .set_expression_attribute_values((!row.values.is_empty()).then_some(row.values))
                    .build()?,
            ),
            Self::Check(row) => write.condition_check(
                ConditionCheck::builder()
                    .table_name(table)
                    .condition_expression(row.condition().unwrap_or_default())
                    .set_key(Some(row.key))
                    .set_expression_attribute_names((!row.names.is_empty()).then_some(row.names))
                    .set_expression_attribute_values((!row.values.is_empty()).then_some(row.values))
                    .build()?,
            ),
            Self::Delete(row) => write.delete(
                Delete::builder()
                    .table_name(table)
                    .set_condition_expression(row.condition())
                    .set_key(Some(row.key))
                    .set_expression_attribute_names((!row.names.is_empty()).then_some(row.names))
                    .set_expression_attribute_values((!row.values.is_empty()).then_some(row.values))
                    .build()?,
            ),
        }
        .build())
    }
}

/// Applies all of `writes` to `table` and returns `None`, or applies none and returns for each whether its condition
/// failed.
pub(crate) async fn apply(client: &Client, table: &str, writes: Vec<Write>) -> Result<Option<Vec<bool>>, WriteError> {
    let writes: Vec<_> = writes.into_iter().map(|write| write.build(table)).collect::<Result<_, _>>()?;
    // Try until the writes are applied, a condition fails, or the error is not worth a retry.
    let token = transaction_token();
    let mut attempt = 1;
    loop {
        let Err(error) = transact(client, &writes, &token).await else { return Ok(None) };
        let reasons: Vec<&str> = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                canceled.cancellation_reasons().iter().map(|it| CancellationReason::code(it).unwrap_or("")).collect()
            }
            _ => Vec::new(),
        };
        // A failed condition is an answer for the caller, not an error.
        if reasons.contains(&CONDITION_FAILED) {
            return Ok(Some(reasons.iter().map(|reason| *reason == CONDITION_FAILED).collect()));
        }
        // Retry only cancellations that may pass, such as a conflict with another transaction.
        if attempt == ATTEMPTS || !reasons.iter().any(|reason| passes(reason)) {
            return Err(WriteError::Sdk(Box::new(error)));
        }
        pause(attempt, FIRST_PAUSE).await;
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_only_what_it_uses() {
        let item = |name: &str| Item::from([("name".to_owned(), AttributeValue::S(name.to_owned()))]);
        let row = Row::new(Item::new())
            .if_there()
            .if_as_in(&item("A"), &["name", "expires_at"])
            .set_as_in(&item("B"), &["name", "expires_at"])
            .revised();
        assert_eq!(
            row.condition().as_deref(),
            Some("attribute_exists(pk) AND #name = :was_name AND attribute_not_exists(#expires_at)")
        );
        assert_eq!(row.update(), "SET #name = :now_name REMOVE #expires_at ADD #revision :by_revision");
        assert_eq!((row.names.len(), row.values.len()), (3, 3));
    }
}
