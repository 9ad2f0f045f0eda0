//! Changes of admins and their roles. At least one operator always remains.

use std::time::Duration;

use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, ConditionCheck, Delete, TransactWriteItem, Update};

use super::email::{self, InvalidEmail};
use super::records::Role;
use super::table::{AdminsTable, AdminsTableError, admin_key, done_unless_refused, failed, text};
use crate::stores::dynamodb::{transact, transaction_token};

/// Number of tries of a change that conflicts with others.
const TRIES: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Error of creating, changing or removing an admin.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The e-mail address is invalid.
    #[error(transparent)]
    InvalidEmail(#[from] InvalidEmail),
    /// The change would leave no operator.
    #[error("this is the last operator; make another admin an operator first")]
    LastOperator,
    /// The table cannot be read or written.
    #[error(transparent)]
    Unavailable(#[from] AdminsTableError),
}

/// Change by which an admin stops being an operator.
#[derive(Clone, Copy)]
enum Departure {
    Delete,
    Demote,
}

impl AdminsTable {
    /// Removes an admin and thereby ends their sessions. Returns false if there is no such admin.
    ///
    /// # Errors
    /// [`ChangeError::LastOperator`], or [`ChangeError::Unavailable`] if the admin could not be removed.
    pub async fn delete(&self, email: &str) -> Result<bool, ChangeError> {
        self.depart(email, Departure::Delete).await
    }

    /// Changes an admin's role, also in open sessions. Returns false if there is no such admin.
    ///
    /// # Errors
    /// [`ChangeError::LastOperator`], or [`ChangeError::Unavailable`] if the role could not be written.
    pub async fn set_role(&self, email: &str, role: Role) -> Result<bool, ChangeError> {
        match role {
            Role::Operator => self.promote(email).await,
            Role::Viewer => self.depart(email, Departure::Demote).await,
        }
    }

    async fn promote(&self, email: &str) -> Result<bool, ChangeError> {
        let Ok(email) = email::normalise(email) else { return Ok(false) };
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(admin_key(&email)))
            .update_expression("SET #role = :operator")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#role", "role")
            .expression_attribute_values(":operator", text(Role::Operator.to_string()));
        Ok(done_unless_refused(update.send().await.map(drop))?)
    }

    /// Removes or demotes an admin, unless it is the last operator. If two operators remove each other at the same
    /// time, each transaction requires the other operator to stay: one of them is cancelled, reads again and is
    /// refused.
    async fn depart(&self, email: &str, departure: Departure) -> Result<bool, ChangeError> {
        let Ok(email) = email::normalise(email) else { return Ok(false) };
        for _ in 0..TRIES {
            let admins = self.list().await?;
            let Some(admin) = admins.iter().find(|admin| admin.email == email) else { return Ok(false) };
            // Find another operator, and make the change depend on that one staying.
            let staying = admins.iter().find(|other| other.role == Role::Operator && other.email != email);
            let condition = match (admin.role, staying) {
                (Role::Viewer, _) => None,
                (Role::Operator, Some(staying)) => Some(staying.email.as_str()),
                (Role::Operator, None) => return Err(ChangeError::LastOperator),
            };
            if self.try_depart(&email, admin.role, departure, condition).await? {
                return Ok(true);
            }
            // Another change interfered: pause, and start again from the current admins.
            tokio::time::sleep(rand::random_range(Duration::ZERO..=LONGEST_PAUSE)).await;
        }
        Err(AdminsTableError("others change admins at the same time; try again".to_owned()).into())
    }

    /// Applies the change in one transaction. Returns false if the admins have changed since they were read.
    async fn try_depart(
        &self,
        email: &str,
        role: Role,
        departure: Departure,
        staying: Option<&str>,
    ) -> Result<bool, AdminsTableError> {
        let invalid = |error: BuildError| AdminsTableError(error.to_string());
        // Require that the admin still has the role that was read.
        let change = match departure {
            Departure::Delete => TransactWriteItem::builder().delete(self.deletion(email, role).map_err(invalid)?),
            Departure::Demote => TransactWriteItem::builder().update(self.demotion(email, role).map_err(invalid)?),
        };
        let mut writes = vec![change.build()];
        // Require that the other operator stays one.
        if let Some(staying) = staying {
            let check = self.stays_operator(staying).map_err(invalid)?;
            writes.push(TransactWriteItem::builder().condition_check(check).build());
        }
        match transact(&self.client, &writes, &transaction_token()).await {
            Ok(()) => Ok(true),
            Err(error) if came_between(&error) => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    fn deletion(&self, email: &str, role: Role) -> Result<Delete, BuildError> {
        Delete::builder()
            .table_name(&self.name)
            .set_key(Some(admin_key(email)))
            .condition_expression("#role = :role")
            .expression_attribute_names("#role", "role")
            .expression_attribute_values(":role", text(role.to_string()))
            .build()
    }

    fn demotion(&self, email: &str, role: Role) -> Result<Update, BuildError> {
        Update::builder()
            .table_name(&self.name)
            .set_key(Some(admin_key(email)))
            .update_expression("SET #role = :viewer")
            .condition_expression("#role = :role")
            .expression_attribute_names("#role", "role")
            .expression_attribute_values(":role", text(role.to_string()))
            .expression_attribute_values(":viewer", text(Role::Viewer.to_string()))
            .build()
    }

    fn stays_operator(&self, email: &str) -> Result<ConditionCheck, BuildError> {
        ConditionCheck::builder()
            .table_name(&self.name)
            .set_key(Some(admin_key(email)))
            .condition_expression("#role = :operator")
            .expression_attribute_names("#role", "role")
            .expression_attribute_values(":operator", text(Role::Operator.to_string()))
            .build()
    }
}

/// Returns true if a transaction was cancelled because of another change, earlier or concurrent.
fn came_between<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
    let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
        return false;
    };
    let mut codes = canceled.cancellation_reasons().iter().filter_map(CancellationReason::code);
    codes.any(|code| ["ConditionalCheckFailed", "TransactionConflict"].contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::dynamodb::stub::Stub;

    const TWO_OPERATORS: (u16, &str) = (
        200,
        r#"{"Count":2,"ScannedCount":2,"Items":[
        {"email":{"S":"ada@example.com"},"role":{"S":"operator"},"password":{"S":"p"},"created_at":{"N":"1"}},
        {"email":{"S":"bob@example.com"},"role":{"S":"operator"},"password":{"S":"p"},"created_at":{"N":"1"}}]}"#,
    );
    const CONFLICT: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled",
        "CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict"}]}"#,
    );
    const DENIED: (u16, &str) =
        (400, r#"{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not yours"}"#);
    const DONE: (u16, &str) = (200, "{}");

    async fn delete(answers: &'static [(u16, &'static str)]) -> (Result<bool, ChangeError>, usize) {
        let stub = Stub::start(answers).await;
        let result = AdminsTable::new(stub.client.clone(), "admins").delete("ada@example.com").await;
        (result, stub.answered())
    }

    #[tokio::test]
    async fn a_change_that_met_another_one_looks_again() {
        let (result, calls) = delete(&[TWO_OPERATORS, CONFLICT, TWO_OPERATORS, CONFLICT, TWO_OPERATORS, DONE]).await;
        assert!(matches!(result, Ok(true)), "{result:?}");
        assert_eq!(calls, 6);
    }

    #[tokio::test]
    async fn a_change_that_can_never_succeed_is_not_repeated() {
        let (result, calls) = delete(&[TWO_OPERATORS, DENIED]).await;
        assert_eq!(result.unwrap_err().to_string(), "the admins table: AccessDeniedException: not yours");
        assert_eq!(calls, 2);
    }
}
