//! DynamoDB in this process: the dynoxide emulator behind an address that can refuse, hang or throttle, or inject
//! [faults](Faults).

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
    /// Starts the emulator and creates the tables of the template.
    ///
    /// # Errors
    /// Fails if CreateTable rejects the definition of a table.
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

    /// Returns the address that clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.front.address
    }

    /// Changes the handling of connections and cuts those that are open.
    pub async fn set(&self, mode: Mode) {
        self.front.set(mode).await;
    }

    /// Sets the faults of writes, which apply in [`Mode::Serve`], and cuts open connections. `None` removes all
    /// faults.
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
