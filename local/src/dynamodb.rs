//! DynamoDB in this process: dynoxide, behind an address that can refuse, hang or throttle, or be [unreliable](Faults).

mod faults;
mod front;

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::Context;
use dynoxide::Database;
use serde_json::json;
use tokio::net::TcpListener;

use self::front::Front;
pub use self::{faults::Faults, front::Mode};
use crate::template::Table;

/// The running emulator.
#[derive(Debug)]
pub struct DynamoDb {
    front: Front,
}

impl DynamoDb {
    /// Starts the emulator with the tables of the template.
    ///
    /// # Errors
    /// When a table's definition is not what CreateTable takes.
    pub async fn start(tables: &BTreeMap<String, Table>) -> anyhow::Result<Self> {
        let database = Database::memory()?;
        for (id, table) in tables {
            create(&database, table)
                .with_context(|| format!("line {} of the template: the table {id} cannot be created", table.line))?;
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let inner = listener.local_addr()?;
        tokio::spawn(async move {
            if let Err(error) = dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()).await
            {
                tracing::error!("DynamoDB ended: {error}");
            }
        });
        Ok(Self { front: Front::start(inner).await? })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.front.address
    }

    /// From now on connections are treated in this way; those that are open are cut.
    pub async fn set(&self, mode: Mode) {
        self.front.set(mode).await;
    }

    /// From now on this goes wrong with writes, while connections are served at all; those that are open are cut. `None`
    /// is nothing.
    pub async fn inject(&self, faults: Option<Faults>) {
        self.front.inject(faults).await;
    }
}

fn create(database: &Database, table: &Table) -> anyhow::Result<()> {
    database.create_table(serde_json::from_value(table.create.clone())?)?;
    if let Some(attribute) = &table.expires_by {
        let specification = json!({ "AttributeName": attribute, "Enabled": true });
        let request = json!({ "TableName": table.name, "TimeToLiveSpecification": specification });
        database.update_time_to_live(serde_json::from_value(request)?)?;
    }
    Ok(())
}
