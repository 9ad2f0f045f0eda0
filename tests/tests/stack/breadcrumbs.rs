//! Breadcrumbs: rows written by trails during storms and outages, and reading them.

#![expect(clippy::unwrap_used, reason = "all of this file is tests")]

mod reading;
mod storm;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::FutureExt;
use futures_util::future::join_all;
use levee::breadcrumbs::{Breadcrumb, BreadcrumbTable, Filter, Severity, Trail};
use levee::clock::{Clock, Timestamp};
use levee::stores::aws::AwsConfig;
use levee::stores::dynamodb::{self, DynamoDbConfig};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;
use tests::{Stack, messages, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::layer::SubscriberExt;

/// Name of the table in the stack.
const TABLE: &str = "Breadcrumbs";
/// Time-out of a write on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);
/// Number of different errors of [`logged`].
const DISTINCT: usize = 40;
const MINUTE: u64 = 60;
const DAY: i64 = 24 * 3600;

/// A clock that a test can move.
struct Time {
    folder: TempDir,
    clock: Clock,
}

impl Time {
    /// Creates a clock with an offset in seconds.
    fn new(offset: i64) -> Self {
        let folder = TempDir::new().unwrap();
        let lookup =
            |name: &str| (name == "LEVEE_CLOCK_OFFSET_FILE").then(|| file(&folder).to_str().unwrap().to_owned());
        let clock = levee::config::from_lookup(lookup, Clock::read).unwrap();
        let time = Self { folder, clock };
        time.set(offset);
        time
    }

    fn set(&self, offset: i64) {
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, offset.to_string()).unwrap();
        std::fs::rename(&draft, file(&self.folder)).unwrap();
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("offset")
}

fn table(stack: &Stack) -> BreadcrumbTable {
    BreadcrumbTable::new(stack.dynamodb(), TABLE)
}

/// Creates the trail of an environment of `function` that writes to `table`.
fn trail(function: &'static str, table: BreadcrumbTable, time: &Time) -> Trail {
    let trail = Trail::new(function);
    trail.write_to(table, time.clock.clone());
    trail
}

/// Runs `work` and sends its events to `trail`.
fn logging_to<T>(trail: &Trail, work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(trail.layer()), work)
}

fn of(function: &str) -> Filter {
    Filter { function: Some(function.to_owned()), ..Filter::default() }
}

/// Reads all breadcrumbs of `filter`, in pages of `limit`.
async fn read(stack: &Stack, filter: &Filter, limit: usize, now: Timestamp) -> Vec<Breadcrumb> {
    let table = table(stack);
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = table.page(filter, after.as_ref(), limit, now).await.unwrap();
        assert!(page.breadcrumbs.len() <= limit);
        all.extend(page.breadcrumbs);
        let Some(next) = page.next else { break };
        // Convert the cursor as in a URL.
        after = Some(next.to_string().parse().unwrap());
    }
    all
}

/// Logs one of [`DISTINCT`] errors, in a text that differs by request.
fn logged(error: usize, request: usize) {
    let code = ["provider.unreachable", "provider.timeout", "provider.cut", "usage.unwritten", "usage.lost"][error % 5];
    let account = ["acme", "globex"][error / 10 % 2];
    let provider = ["primary", "backup"][error / 20 % 2];
    let id = format!("r{request:06}xY");
    if (error / 5).is_multiple_of(2) {
        tracing::error!(code, request.id = id, account.id = account, provider, "no answer to {id} within {request} ms");
    } else {
        let error = std::io::Error::other(format!("os error {request}"));
        tracing::error!(code, request.id = id, account.id = account, provider, %error, "cut at byte {}", request * 7);
    }
}
