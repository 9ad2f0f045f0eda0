//! The breadcrumbs table: a rolling week, one row for equal errors of one minute.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `DAY#<2026-11-22>#<shard>` | `<minute of the day>#<fingerprint>` | a [`Breadcrumb`]; expires after [`KEPT`] |
//!
//! A row is written by every environment that met the error. Each adds its count in one conditional UpdateItem and
//! leaves its mark, its own id and the number of the write, in one of [`SLOTS`] attributes; the write is refused where
//! the mark shows that it has been carried out before. So a write may be repeated until an answer comes, and counts
//! once, also when other environments have written in between. Only where one of these shares the slot, a repeated write
//! may count twice.
//!
//! The first writer decides the row's first request; each writer puts its latest requests in the place of those that were
//! there, so that a row is bounded. Of environments that meet the same error in one minute, the last writer's are kept.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;

use super::Breadcrumb;
use super::buffer::{MORE_REQUESTS, Mark, Write};
use crate::stores::dynamodb::describe;

/// How long breadcrumbs are kept.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long connecting may take while a function starts.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// Attributes for marks. They bound a row's size: marks take 20 bytes each.
const SLOTS: u32 = 256;
/// The attributes that the first write of a row decides.
const FIRST: [&str; 3] = ["first_at", "message", "request_id"];

/// The breadcrumbs table.
#[derive(Debug, Clone)]
pub struct BreadcrumbTable {
    pub(super) client: Client,
    pub(super) name: String,
}

/// A breadcrumb that could not be written, or a page that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the breadcrumbs table: {0}")]
pub struct TableError(pub(super) String);

impl BreadcrumbTable {
    /// The table of the given name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Connects to the table ahead of the first write, by an update that its condition refuses; all of a function's clients
    /// share the connection. Failing is no harm: the first write tries again.
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

    /// Carries out `write`, unless it has been carried out before.
    pub(super) async fn write(&self, write: &Write) -> Result<(), TableError> {
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
        match update.update_expression(expression).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(TableError(describe(&error))),
            },
        }
    }
}

/// What a row holds besides its count and marks.
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
    // Its own first request as well: the row may know another environment's as the first.
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

/// Marks of one environment are in the order of its writes.
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

    async fn write(answers: &'static [(u16, &'static str)]) -> (Result<(), TableError>, usize) {
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
