//! The breadcrumbs table: the last seven days, with one row for equal errors of one minute.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `DAY#<2026-11-22>#<shard>` | `<minute of the day>#<fingerprint>` | a [`Breadcrumb`]; expires after [`KEPT`] |
//!
//! Every environment that had the error writes to its row. It adds its count in one conditional UpdateItem, and
//! leaves its mark (its environment's id and the number of the write) in one of [`SLOTS`] attributes. The write is
//! rejected if the mark shows that it was applied before. A write can therefore be repeated until it is answered
//! and still counts once, even if other environments wrote in between. Only if one of these shares the slot may a
//! repeated write count twice.
//!
//! The first writer sets the row's first request. Each writer replaces the list of latest requests, so that a row
//! stays bounded; of several environments with the same error in one minute, the last writer's list remains.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;

use super::Breadcrumb;
use super::buffer::{MORE_REQUESTS, Mark, Write};
use crate::stores::dynamodb::describe;

/// Days for which a breadcrumb is kept. Pages of the board say so.
pub const KEPT_DAYS: u64 = 7;
/// Retention of breadcrumbs.
pub const KEPT: Duration = Duration::from_secs(KEPT_DAYS * 24 * 3600);

/// Time-out of the warm-up request while a function starts.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// Number of attributes for marks. It bounds the size of a row: a mark takes 20 bytes.
const SLOTS: u32 = 256;
/// Attributes that only the first write of a row sets.
const FIRST: [&str; 3] = ["first_at", "message", "request_id"];

/// Client of the breadcrumbs table.
#[derive(Debug, Clone)]
pub struct BreadcrumbTable {
    pub(super) client: Client,
    pub(super) name: String,
}

/// Error of writing a breadcrumb or reading a page.
#[derive(Debug, thiserror::Error)]
#[error("the breadcrumbs table: {0}")]
pub struct BreadcrumbTableError(pub(super) String);

impl BreadcrumbTable {
    /// Creates a client of the table `name`.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Connects to DynamoDB before the first write, by an update that its condition rejects. All clients of a
    /// function share the connection. A failure is ignored: the first write connects again.
    pub async fn warm_up(&self) {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", AttributeValue::S("NOTHING".to_owned()))
            .key("sk", AttributeValue::S("NOTHING".to_owned()))
            .update_expression("SET expires_at = :now")
            .expression_attribute_values(":now", number(0))
            .condition_expression("attribute_exists(pk)");
        let _refused = tokio::time::timeout(WARM_UP_TIMEOUT, update.send()).await;
    }

    /// Applies `write`, unless it was applied before.
    pub(super) async fn write(&self, write: &Write) -> Result<(), BreadcrumbTableError> {
        let (pk, sk) = write.position.key();
        let mut update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", AttributeValue::S(pk))
            .key("sk", AttributeValue::S(sk))
            .condition_expression(
                "attribute_not_exists(#mark) OR NOT begins_with(#mark, :environment) OR #mark < :mark",
            )
            .expression_attribute_names("#mark", slot(write.mark))
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":environment", AttributeValue::S(environment(write.mark)))
            .expression_attribute_values(":mark", AttributeValue::S(mark(write.mark)))
            .expression_attribute_values(":count", number(write.breadcrumb.count));
        // The first write of a row sets the `FIRST` attributes; every write sets the others and adds its count.
        let mut assignments = vec!["#mark = :mark".to_owned()];
        for (name, value) in attributes(&write.breadcrumb) {
            assignments.push(if FIRST.contains(&name) {
                format!("#{name} = if_not_exists(#{name}, :{name})")
            } else {
                format!("#{name} = :{name}")
            });
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        let expression = format!("SET {} ADD #count :count", assignments.join(", "));
        // A failed condition means that this write was applied before.
        match update.update_expression(expression).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(BreadcrumbTableError(describe(&error))),
            },
        }
    }
}

/// Returns the attributes of a row besides its count and marks.
fn attributes(breadcrumb: &Breadcrumb) -> Vec<(&'static str, AttributeValue)> {
    let Breadcrumb { first_at, last_at, function, severity, code, message, .. } = breadcrumb;
    let Breadcrumb { request_id, more_request_ids, account, connection, .. } = breadcrumb;
    let mut attributes = vec![
        ("first_at", number(*first_at)),
        ("last_at", number(*last_at)),
        ("function", text(function)),
        ("severity", text(severity.name())),
        ("code", text(code)),
        ("message", text(message)),
        ("expires_at", number(first_at / 1000 + KEPT.as_secs())),
    ];
    let sometimes = [("request_id", request_id), ("account", account), ("connection", connection)];
    attributes.extend(sometimes.into_iter().filter_map(|(name, value)| Some((name, text(value.as_deref()?)))));
    // Include this environment's first request: the row's first request may be another environment's.
    let requests: Vec<_> = request_id.iter().chain(more_request_ids).map(|id| text(id)).collect();
    if !requests.is_empty() {
        let latest = requests[requests.len().saturating_sub(MORE_REQUESTS)..].to_vec();
        attributes.push(("more_request_ids", AttributeValue::L(latest)));
    }
    attributes
}

fn slot(mark: Mark) -> String {
    format!("w{}", mark.environment % SLOTS)
}

fn environment(mark: Mark) -> String {
    format!("{:08x}", mark.environment)
}

/// Returns the text of a mark. Marks of one environment sort in the order of its writes.
fn mark(mark: Mark) -> String {
    format!("{}{:08x}", environment(mark), mark.sequence)
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breadcrumbs::buffer::tests::breadcrumb;
    use crate::breadcrumbs::fingerprint::Position;
    use crate::stores::dynamodb::stub::Stub;

    async fn write(answers: &'static [(u16, &'static str)]) -> (Result<(), BreadcrumbTableError>, usize) {
        let stub = Stub::start(answers).await;
        let breadcrumb = breadcrumb("code", "message", 0);
        let mark = Mark { environment: 1, sequence: 1 };
        let write = Write { position: Position::of(&breadcrumb), mark, breadcrumb };
        (BreadcrumbTable::new(stub.client.clone(), "breadcrumbs").write(&write).await, stub.answered())
    }

    #[tokio::test]
    async fn a_write_that_was_carried_out_before_is_done() {
        let refused = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"no"}"#;
        let (result, tries) = write(Box::leak(Box::new([(400, refused)]))).await;
        assert!(result.is_ok());
        assert_eq!(tries, 1);
    }

    #[tokio::test]
    async fn a_write_that_is_refused_says_why() {
        let refused = r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no such table"}"#;
        let (result, _) = write(Box::leak(Box::new([(400, refused)]))).await;
        assert_eq!(result.unwrap_err().to_string(), "the breadcrumbs table: ValidationException: no such table");
    }

    #[test]
    fn marks_of_one_environment_are_in_the_order_of_its_writes() {
        let marks = [9, 10, 255, 256, 1 << 31].map(|sequence| mark(Mark { environment: 7, sequence }));
        assert!(marks.is_sorted(), "{marks:?}");
    }
}
