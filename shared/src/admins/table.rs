//! Client of the admins table: reads and creates admins.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::changes::ChangeError;
use super::email;
use super::records::Admin;
use crate::session_token::random_id;
use crate::stores::dynamodb::describe;

pub(super) type Item = HashMap<String, AttributeValue>;

const ADMINS: &str = "ADMINS";

/// Client of the admins table.
#[derive(Debug, Clone)]
pub struct AdminsTable {
    pub(super) client: Client,
    pub(super) name: String,
}

/// Failed call to the admins table. The text names no admin.
#[derive(Debug, thiserror::Error)]
#[error("the admins table: {0}")]
pub struct AdminsTableError(pub(super) String);

/// Admin with the generation of their valid sessions.
pub(super) struct FoundAdmin {
    pub(super) admin: Admin,
    pub(super) generation: String,
}

impl AdminsTable {
    /// Creates a client of the table `name`.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Reads the admin with this e-mail address.
    ///
    /// # Errors
    /// [`AdminsTableError`] if the table cannot be read.
    pub async fn admin(&self, email: &str) -> Result<Option<Admin>, AdminsTableError> {
        Ok(self.found(email).await?.map(|found| found.admin))
    }

    /// Reads all admins, ordered by e-mail address.
    ///
    /// # Errors
    /// [`AdminsTableError`] if the table cannot be read.
    pub async fn list(&self) -> Result<Vec<Admin>, AdminsTableError> {
        let mut items = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :admins")
            .expression_attribute_values(":admins", text(ADMINS))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut admins = Vec::new();
        while let Some(item) = items.next().await {
            admins.push(from_item(item.map_err(|error| failed(&error))?)?);
        }
        Ok(admins)
    }

    /// Creates an admin. Returns false, and changes nothing, if one with this e-mail address exists.
    ///
    /// # Errors
    /// [`ChangeError::InvalidEmail`], or [`ChangeError::Unavailable`] if the admin could not be written.
    pub async fn create(&self, admin: &Admin) -> Result<bool, ChangeError> {
        // Store the normalised address and a first generation of sessions.
        let email = email::normalise(&admin.email)?;
        let mut item = to_item(&Admin { email: email.clone(), ..admin.clone() })?;
        item.extend(admin_key(&email));
        item.insert("generation".to_owned(), text(random_id()));
        // Write the item unless the address is taken.
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item.clone()));
        let put = put
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else { return Ok(true) };
        match error.as_service_error() {
            // If the answer to a first attempt was lost, the address is taken by the item itself: no other has its
            // generation.
            Some(PutItemError::ConditionalCheckFailedException(refused)) => Ok(refused.item.as_ref() == Some(&item)),
            _ => Err(failed(&error).into()),
        }
    }

    pub(super) async fn found(&self, email: &str) -> Result<Option<FoundAdmin>, AdminsTableError> {
        let Ok(email) = email::normalise(email) else { return Ok(None) };
        let Some(item) = self.item(admin_key(&email)).await? else { return Ok(None) };
        // The generation is stored beside the admin and is not part of the record.
        let generation = item.get("generation").and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
        Ok(Some(FoundAdmin { admin: from_item(item)?, generation }))
    }

    /// Reads an item with a consistent read.
    pub(super) async fn item(&self, key: Item) -> Result<Option<Item>, AdminsTableError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok(answer.item)
    }

    /// Writes an item, and replaces an existing one.
    pub(super) async fn put(&self, key: Item, record: &impl Serialize) -> Result<(), AdminsTableError> {
        let mut item = to_item(record)?;
        item.extend(key);
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        put.send().await.map(drop).map_err(|error| failed(&error))
    }

    /// Removes an item, if it exists.
    pub(super) async fn remove(&self, key: Item) -> Result<(), AdminsTableError> {
        let delete = self.client.delete_item().table_name(&self.name).set_key(Some(key));
        delete.send().await.map(drop).map_err(|error| failed(&error))
    }
}

pub(super) fn admin_key(email: &str) -> Item {
    key(ADMINS.to_owned(), email)
}

pub(super) fn key(pk: String, sk: &str) -> Item {
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn to_item(record: &impl Serialize) -> Result<Item, AdminsTableError> {
    serde_dynamo::to_item(record).map_err(|error| AdminsTableError(error.to_string()))
}

pub(super) fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, AdminsTableError> {
    serde_dynamo::from_item(item).map_err(|error| AdminsTableError(format!("an item is not of its form: {error}")))
}

/// Returns the error of a failed call.
pub(super) fn failed<E: ProvideErrorMetadata + std::error::Error + 'static, R: std::fmt::Debug>(
    error: &SdkError<E, R>,
) -> AdminsTableError {
    AdminsTableError(describe(error))
}

/// Returns true if a conditional write was applied, false if its condition did not hold.
pub(super) fn done_unless_refused<E: ProvideErrorMetadata + std::error::Error + 'static, R: std::fmt::Debug>(
    result: Result<(), SdkError<E, R>>,
) -> Result<bool, AdminsTableError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}
