//! The table of projects, groups and counts.
//!
//! | `pk` | `sk` | item | expires |
//! | --- | --- | --- | --- |
//! | `PROJECTS` | `<project>` | a [`Project`] | never |
//! | `GROUPS#<project>` | `<group>` | a [`GroupRow`] | 90 days after its last report |
//! | `GROUP#<project>#<group>` | `<2026-11-30>` | reports by hour: `h00` to `h23` | after 31 days |
//! | `COUNTS#<project>` | `<2026-11-30>` | a [`DayCounts`]: entries that belong to no group, and reports by hour and by version | after 31 days |
//!
//! A minute is added to a row on the condition that the row has folded no later one (`folded`), so that a minute that is
//! folded again changes nothing. A group's row and its day are written in one transaction.

mod rows;
mod write;

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;

pub use self::rows::{DayCounts, GroupRow, GroupState};
use self::rows::{day_counts, group_row, hours, text};
pub use self::write::GroupMinute;
use super::project::{MOST_PROJECTS, Project, ProjectName};
use crate::clock::Timestamp;
use crate::stores::dynamodb::describe;

/// Days for which counts by hour are kept.
pub const DAYS_KEPT: u64 = 31;
/// Days after its last report for which a group is kept.
pub const GROUP_DAYS_KEPT: u64 = 90;

const PROJECTS: &str = "PROJECTS";

type Item = HashMap<String, AttributeValue>;

/// Error of reading or writing the table.
#[derive(Debug, thiserror::Error)]
pub enum CspTableError {
    /// DynamoDB did not do it.
    #[error("the table of CSP reports: {0}")]
    Failed(String),
    /// The project was changed meanwhile.
    #[error("the project was changed meanwhile; read it again and repeat the change")]
    Changed,
    /// There are as many projects as may be.
    #[error("there are {MOST_PROJECTS} projects already, the most that there may be; delete one first")]
    TooManyProjects,
}

/// Handle to the table.
#[derive(Debug, Clone)]
pub struct CspTable {
    client: Client,
    name: String,
}

impl CspTable {
    /// Creates a handle to the table of the given name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Reads all projects, by name. A row that cannot be read is skipped and logged.
    ///
    /// # Errors
    /// [`CspTableError`] if the table cannot be read.
    pub async fn projects(&self) -> Result<Vec<Project>, CspTableError> {
        let items = self.query(PROJECTS, "", usize::MAX).await?;
        let parse = |item: Item| {
            let project = serde_dynamo::from_item(item);
            project
                .inspect_err(|error| tracing::error!(code = "csp.odd_project", %error, "a project cannot be read"))
                .ok()
        };
        Ok(items.into_iter().filter_map(parse).collect())
    }

    /// Reads a project, consistently.
    ///
    /// # Errors
    /// [`CspTableError`] if the table cannot be read or the row is malformed.
    pub async fn project(&self, name: &ProjectName) -> Result<Option<Project>, CspTableError> {
        let item = self.get(PROJECTS, name.as_str()).await?;
        item.map(serde_dynamo::from_item).transpose().map_err(|error| CspTableError::Failed(error.to_string()))
    }

    /// Writes a project, whose `revision` is that of the stored row, or 0 for a new one. Returns the written project.
    ///
    /// # Errors
    /// [`CspTableError::Changed`] if the stored row has another revision, [`CspTableError::TooManyProjects`] for a new
    /// one beyond the bound.
    pub async fn put_project(&self, project: &Project, now: Timestamp) -> Result<Project, CspTableError> {
        // Bound the number of projects, as environments read all of them.
        let before = project.revision;
        if before == 0 && self.projects().await?.len() >= MOST_PROJECTS {
            return Err(CspTableError::TooManyProjects);
        }
        let written = Project { revision: before + 1, changed_at: now.as_secs(), ..project.clone() };
        let mut item: Item =
            serde_dynamo::to_item(&written).map_err(|error| CspTableError::Failed(error.to_string()))?;
        item.extend(key(PROJECTS, project.name.as_str()));
        // Write on the condition that nobody else has changed it.
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let put = match before {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            before => put
                .condition_expression("#revision = :before")
                .expression_attribute_names("#revision", "revision")
                .expression_attribute_values(":before", AttributeValue::N(before.to_string())),
        };
        match put.send().await {
            Ok(_) => Ok(written),
            Err(error) => match error.as_service_error() {
                // A retry by the SDK may have found its own first write.
                Some(PutItemError::ConditionalCheckFailedException(_)) => match self.project(&project.name).await? {
                    Some(stored) if stored == written => Ok(written),
                    _ => Err(CspTableError::Changed),
                },
                _ => Err(CspTableError::Failed(describe(&error))),
            },
        }
    }

    /// Deletes a project; its groups stay until they expire.
    ///
    /// # Errors
    /// [`CspTableError`] if the table cannot be written.
    pub async fn delete_project(&self, name: &ProjectName) -> Result<(), CspTableError> {
        let delete = self.client.delete_item().table_name(&self.name).set_key(Some(key(PROJECTS, name.as_str())));
        delete.send().await.map_err(|error| CspTableError::Failed(describe(&error)))?;
        Ok(())
    }

    /// Reads the groups of a project, at most `limit`. A row that cannot be read is skipped and logged.
    ///
    /// # Errors
    /// [`CspTableError`] if the table cannot be read.
    pub async fn groups(&self, project: &ProjectName, limit: usize) -> Result<Vec<GroupRow>, CspTableError> {
        let items = self.query(&groups_partition(project), "", limit).await?;
        Ok(items.into_iter().filter_map(|item| group_row(project, item)).collect())
    }

    /// Reads a group, consistently.
    ///
    /// # Errors
    /// [`CspTableError`] if the table cannot be read.
    pub async fn group(&self, project: &ProjectName, id: &str) -> Result<Option<GroupRow>, CspTableError> {
        let item = self.get(&groups_partition(project), id).await?;
        Ok(item.and_then(|item| group_row(project, item)))
    }

    /// Sets the state of a group. Returns false if there is no such group.
    ///
    /// # Errors
    /// [`CspTableError`] if the table cannot be written.
    pub async fn set_state(
        &self,
        project: &ProjectName,
        id: &str,
        state: GroupState,
        now: Timestamp,
    ) -> Result<bool, CspTableError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key(&groups_partition(project), id)))
            .update_expression("SET #state = :state, #since = :since")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#since", "state_since")
            .expression_attribute_values(":state", AttributeValue::S(state.name().to_owned()))
            .expression_attribute_values(":since", AttributeValue::N(now.as_secs().to_string()));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(CspTableError::Failed(describe(&error))),
            },
        }
    }

    /// Reads a group's reports by hour on the days from `from`, such as `2026-11-01`, by day.
    ///
    /// # Errors
    /// [`CspTableError`] if the table cannot be read.
    pub async fn group_days(
        &self,
        project: &ProjectName,
        id: &str,
        from: &str,
    ) -> Result<BTreeMap<String, [u64; 24]>, CspTableError> {
        let items = self.query(&group_partition(project, id), from, usize::MAX).await?;
        Ok(items.iter().filter_map(|item| Some((text(item, "sk")?, hours(item, "h")))).collect())
    }

    /// Reads the counts of a project on the days from `from`, by day.
    ///
    /// # Errors
    /// [`CspTableError`] if the table cannot be read.
    pub async fn counts(&self, project: &ProjectName, from: &str) -> Result<Vec<DayCounts>, CspTableError> {
        let items = self.query(&counts_partition(project), from, usize::MAX).await?;
        Ok(items.iter().filter_map(day_counts).collect())
    }

    async fn get(&self, partition: &str, sort: &str) -> Result<Option<Item>, CspTableError> {
        let get =
            self.client.get_item().table_name(&self.name).set_key(Some(key(partition, sort))).consistent_read(true);
        let answer = get.send().await.map_err(|error| CspTableError::Failed(describe(&error)))?;
        Ok(answer.item)
    }

    /// Reads the items of a partition from the sort key `from`, at most `limit`.
    async fn query(&self, partition: &str, from: &str, limit: usize) -> Result<Vec<Item>, CspTableError> {
        let mut query = self
            .client
            .query()
            .table_name(&self.name)
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()));
        // Begin at the given sort key, if there is one.
        query = match from {
            "" => query.key_condition_expression("#pk = :pk"),
            from => query
                .key_condition_expression("#pk = :pk AND #sk >= :from")
                .expression_attribute_names("#sk", "sk")
                .expression_attribute_values(":from", AttributeValue::S(from.to_owned())),
        };
        let mut items = Vec::new();
        let mut start = None;
        // Read page by page until there are no more, or enough.
        while items.len() < limit {
            let page = query.clone().set_exclusive_start_key(start).send().await;
            let page = page.map_err(|error| CspTableError::Failed(describe(&error)))?;
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        items.truncate(limit);
        Ok(items)
    }
}

/// Returns the UTC day of a moment: `2026-11-30`.
pub fn day(at: Timestamp) -> String {
    at.to_rfc3339_millis().chars().take(10).collect()
}

fn groups_partition(project: &ProjectName) -> String {
    format!("GROUPS#{project}")
}

fn group_partition(project: &ProjectName, id: &str) -> String {
    format!("GROUP#{project}#{id}")
}

fn counts_partition(project: &ProjectName) -> String {
    format!("COUNTS#{project}")
}

fn key(partition: &str, sort: &str) -> Item {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(partition.to_owned())),
        ("sk".to_owned(), AttributeValue::S(sort.to_owned())),
    ])
}
