//! Adds the counts of a minute to the rows.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::{
    CspTable, CspTableError, DAYS_KEPT, GROUP_DAYS_KEPT, counts_partition, day, group_partition, groups_partition, key,
};
use crate::clock::Timestamp;
use crate::csp::counter::Meaning;
use crate::csp::project::ProjectName;
use crate::stores::dynamodb::{describe, passes, pause, transact, transaction_token};

const DAY_SECS: u64 = 24 * 3600;
/// Number of attempts of a transaction that conflicts with another.
const ATTEMPTS: u32 = 5;

/// Counts of a group in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMinute {
    /// Identifier of the group.
    pub id: String,
    /// Meaning and example.
    pub meaning: Meaning,
    /// Reports.
    pub reports: u64,
    /// Reports by family of browsers.
    pub browsers: BTreeMap<String, u64>,
    /// Reports by policy version.
    pub versions: BTreeMap<String, u64>,
    /// Distinct networks that sent reports on this day until now.
    pub reach: u64,
}

/// Parts of an update expression, collected one by one.
#[derive(Default)]
struct Expression {
    set: Vec<String>,
    add: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// Returns a placeholder for an attribute's name.
    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#n{}", self.names.len());
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    fn set(&mut self, name: &str, value: AttributeValue) {
        let part = format!("{} = {}", self.name(name), self.value(value));
        self.set.push(part);
    }

    fn set_first(&mut self, name: &str, value: AttributeValue) {
        let name = self.name(name);
        let part = format!("{name} = if_not_exists({name}, {})", self.value(value));
        self.set.push(part);
    }

    fn add(&mut self, name: &str, amount: u64) {
        let part = format!("{} {}", self.name(name), self.value(number(amount)));
        self.add.push(part);
    }

    /// Sets the minute as the last one that was folded, and returns the condition that no later one was.
    fn fold(&mut self, minute: u64) -> String {
        let (name, value) = (self.name("folded"), self.value(number(minute)));
        self.set.push(format!("{name} = {value}"));
        format!("attribute_not_exists({name}) OR {name} < {value}")
    }

    fn text(&self) -> String {
        let mut text = format!("SET {}", self.set.join(", "));
        if !self.add.is_empty() {
            text.push_str(&format!(" ADD {}", self.add.join(", ")));
        }
        text
    }
}

impl CspTable {
    /// Adds the counts of a group in `minute` (Unix minutes) to its row and its day. Returns false if that minute or a
    /// later one was folded into the row before.
    ///
    /// # Errors
    /// [`CspTableError`] if they were not written, or the outcome is not known; a repetition adds nothing twice.
    pub async fn fold_group(
        &self,
        project: &ProjectName,
        minute: u64,
        group: &GroupMinute,
    ) -> Result<bool, CspTableError> {
        let at = Timestamp::from_secs(minute * 60);
        // The group's row, whose condition guards the transaction.
        let mut row = Expression::default();
        let failed = |error: serde_dynamo::Error| CspTableError::Failed(error.to_string());
        let meaning: HashMap<String, AttributeValue> = serde_dynamo::to_item(&group.meaning).map_err(failed)?;
        for (name, value) in meaning.into_iter().filter(|(name, _)| name != "project") {
            row.set_first(&name, value);
        }
        row.set_first("first_seen", number(at.as_secs()));
        row.set("last_seen", number(at.as_secs()));
        row.set("reach", number(group.reach));
        row.set("expires_at", number(at.as_secs() + GROUP_DAYS_KEPT * DAY_SECS));
        row.add("total", group.reports);
        for (browser, count) in &group.browsers {
            row.add(&format!("b:{browser}"), *count);
        }
        for (version, count) in &group.versions {
            row.add(&format!("v:{version}"), *count);
        }
        let condition = row.fold(minute);
        // Its day.
        let mut hours = Expression::default();
        hours.set("expires_at", number(at.as_secs() + DAYS_KEPT * DAY_SECS));
        hours.add(&format!("h{:02}", at.as_secs() % DAY_SECS / 3600), group.reports);
        let writes = [
            self.update(key(&groups_partition(project), &group.id), row, Some(condition))?,
            self.update(key(&group_partition(project, &group.id), &day(at)), hours, None)?,
        ];
        self.write_all(writes.map(|update| TransactWriteItem::builder().update(update).build()).to_vec()).await
    }

    /// Adds the counts of a project that belong to no group, and its sums, in `minute` (Unix minutes). `sums` are
    /// reports by version, noise excluded. Returns false if that minute or a later one was folded before.
    ///
    /// # Errors
    /// [`CspTableError`] if they were not written, or the outcome is not known; a repetition adds nothing twice.
    pub async fn fold_counts(
        &self,
        project: &ProjectName,
        minute: u64,
        plain: &BTreeMap<String, u64>,
        sums: &BTreeMap<String, u64>,
    ) -> Result<bool, CspTableError> {
        let at = Timestamp::from_secs(minute * 60);
        let hour = at.as_secs() % DAY_SECS / 3600;
        let mut row = Expression::default();
        row.set("expires_at", number(at.as_secs() + DAYS_KEPT * DAY_SECS));
        for (name, count) in plain {
            row.add(&format!("c:{name}"), *count);
        }
        for (version, count) in sums {
            row.add(&format!("v:{version}:{hour:02}"), *count);
        }
        // The project's reports in this hour, of all versions.
        let sum = sums.values().sum::<u64>();
        if sum > 0 {
            row.add(&format!("h{hour:02}"), sum);
        }
        let condition = row.fold(minute);
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key(&counts_partition(project), &day(at))))
            .update_expression(row.text())
            .condition_expression(condition)
            .set_expression_attribute_names(Some(row.names))
            .set_expression_attribute_values(Some(row.values));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(CspTableError::Failed(describe(&error))),
            },
        }
    }

    fn update(
        &self,
        key: HashMap<String, AttributeValue>,
        expression: Expression,
        condition: Option<String>,
    ) -> Result<Update, CspTableError> {
        let update = Update::builder()
            .table_name(&self.name)
            .set_key(Some(key))
            .update_expression(expression.text())
            .set_condition_expression(condition)
            .set_expression_attribute_names(Some(expression.names))
            .set_expression_attribute_values(Some(expression.values));
        update.build().map_err(|error| CspTableError::Failed(error.to_string()))
    }

    /// Writes all items or none. Returns false if a condition does not hold.
    async fn write_all(&self, items: Vec<TransactWriteItem>) -> Result<bool, CspTableError> {
        let (token, mut attempt) = (transaction_token(), 1);
        loop {
            let Err(error) = transact(&self.client, &items, &token).await else { return Ok(true) };
            // A failed condition is final: a run has folded this minute before.
            let codes: Vec<String> = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code.clone()).collect()
                }
                _ => Vec::new(),
            };
            if codes.iter().any(|code| code == "ConditionalCheckFailed") {
                return Ok(false);
            }
            // Another writer of the same rows is at work: wait for it.
            if attempt == ATTEMPTS || !codes.iter().any(|code| passes(code)) {
                return Err(CspTableError::Failed(describe(&error)));
            }
            pause(attempt, std::time::Duration::from_millis(10)).await;
            attempt += 1;
        }
    }
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
