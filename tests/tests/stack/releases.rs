//! Releases side by side: the present code reads every shape that earlier releases stored, and stores no shape without
//! a fixture. CONTRIBUTING.md has the rules.
//!
//! A fixture is a folder `tests/fixtures/<release>` with what `scene` left behind: the rows of each table, the keys of
//! Redis, and contexts as the authorizer writes them.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

mod attributes;
mod release_0_1_0;
mod scene;
mod shapes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tests::{Stack, workspace};

/// Fixture of the newest release, in which every shape of the present code has to be.
const NEWEST: &str = "0.1.0";

/// Attributes of a row.
type Row = BTreeMap<String, AttributeValue>;
/// Rows by table.
type Tables = BTreeMap<String, Vec<Row>>;

/// A key of Redis, as its type stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stored {
    /// A text or a number.
    String(String),
    /// Fields and their values.
    Hash(BTreeMap<String, String>),
    /// Members and their scores.
    Zset(BTreeMap<String, f64>),
}

fn path(release: &str, file: &str) -> PathBuf {
    workspace().join("tests/fixtures").join(release).join(file)
}

fn read<T: DeserializeOwned>(release: &str, file: &str) -> T {
    let path = path(release, file);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(release: &str, file: &str, content: &impl Serialize) {
    let path = path(release, file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_string_pretty(content).unwrap() + "\n").unwrap();
}

/// Reads the rows of a fixture.
fn rows(release: &str) -> Tables {
    let tables: BTreeMap<String, Vec<BTreeMap<String, Value>>> = read(release, "dynamodb.json");
    let row =
        |row: BTreeMap<String, Value>| row.iter().map(|(name, it)| (name.clone(), attributes::parse(it))).collect();
    tables.into_iter().map(|(table, rows)| (table, rows.into_iter().map(row).collect())).collect()
}

/// Reads all rows of a running stack, ordered by their keys.
async fn rows_of(stack: &Stack) -> Tables {
    let dynamodb = stack.dynamodb();
    let mut tables = Tables::new();
    for table in dynamodb.list_tables().send().await.unwrap().table_names.unwrap() {
        let items = dynamodb.scan().table_name(&table).into_paginator().items().send();
        let mut rows: Vec<Row> = items
            .collect::<Result<Vec<_>, _>>()
            .await
            .unwrap()
            .into_iter()
            .map(|row| row.into_iter().collect())
            .collect();
        rows.sort_by_key(|row| (row["pk"].as_s().unwrap().clone(), row["sk"].as_s().unwrap().clone()));
        tables.insert(table, rows);
    }
    tables
}

/// Reads all keys of a running stack's Redis.
async fn keys_of(stack: &Stack) -> BTreeMap<String, Stored> {
    let client = redis::Client::open(stack.local("redis_url")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut keys = BTreeMap::new();
    for name in names {
        let kind: String = redis::cmd("TYPE").arg(&name).query_async(&mut connection).await.unwrap();
        let ask = |command: &str| redis::cmd(command).arg(&name).clone();
        let stored = match kind.as_str() {
            "string" => Stored::String(ask("GET").query_async(&mut connection).await.unwrap()),
            "hash" => Stored::Hash(ask("HGETALL").query_async(&mut connection).await.unwrap()),
            "zset" => {
                let mut range = ask("ZRANGE");
                range.arg(0).arg(-1).arg("WITHSCORES");
                let pairs: Vec<(String, f64)> = range.query_async(&mut connection).await.unwrap();
                Stored::Zset(pairs.into_iter().collect())
            }
            other => panic!("{name} is a {other}"),
        };
        keys.insert(name, stored);
    }
    keys
}

/// Puts the rows and keys of a fixture into a running stack.
async fn restore(stack: &Stack, release: &str) {
    for (table, rows) in rows(release) {
        for row in rows {
            let put = stack.dynamodb().put_item().table_name(&table).set_item(Some(row.into_iter().collect()));
            put.send().await.unwrap();
        }
    }
    let client = redis::Client::open(stack.local("redis_url")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for (name, stored) in read::<BTreeMap<String, Stored>>(release, "redis.json") {
        let mut write = redis::pipe();
        match stored {
            Stored::String(text) => drop(write.set(&name, text)),
            Stored::Hash(fields) => drop(write.hset_multiple(&name, &fields.into_iter().collect::<Vec<_>>())),
            Stored::Zset(members) => {
                let members: Vec<_> = members.into_iter().map(|(member, score)| (score, member)).collect();
                write.zadd_multiple(&name, &members);
            }
        }
        write.expire(&name, 3600);
        write.query_async::<()>(&mut connection).await.unwrap();
    }
}
