//! `levee usage replay`: writes usage that could not be written at the time of the call.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use futures_util::future::join_all;
use levee::metering::unwritten::{MAY_BE_REPLAYED, may_be_replayed};
use levee::metering::{Ledger, LedgerError, Record, RecordState, Written, call};
use serde::Serialize;

use super::unwritten::Unwritten;
use crate::context::Context;
use crate::output::{aside, fields};
use crate::when;

/// Number of records that are read or written at the same time.
const AT_ONCE: usize = 8;
/// Number of records between two messages about progress.
const PROGRESS: usize = 1_000;
/// Maximum number of accounts that the audit names.
const MOST_NAMED: usize = 5;
/// Maximum number of unwritten records that are listed for people.
const MOST_TOLD: usize = 20;

/// Write the usage that could not be written when it happened, from the log lines that hold it
///
/// While DynamoDB refuses, AI calls are served nonetheless, and each call's usage is logged under the code usage.unwritten
/// or usage.unopened; that of a call that was cut off, under usage.lost_track. This finds those lines and writes what is in
/// them. It may be repeated, and overlap with another replay: the ledger counts each call once. Calls that began more than
/// 60 days ago are refused, because it cannot be known whether they were counted. On AWS this searches the functions' log
/// groups, which costs what CloudWatch Logs Insights costs; on the local stack its log files.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  levee usage replay --since 24h --dry-run
  levee usage replay --since 24h
  levee usage replay --file export.log
  zcat *.gz | levee usage replay --file - --json")]
pub(crate) struct Replay {
    /// How far back to look, on AWS
    #[arg(long, value_name = "TIME", value_parser = when::duration, default_value = "7d")]
    since: Duration,
    /// Read the lines of this file instead of the stack's logs; - for standard input
    #[arg(long, value_name = "FILE|-", conflicts_with = "since")]
    file: Option<PathBuf>,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Result of a replay, in numbers of records.
#[derive(Debug, Serialize)]
struct Outcome {
    dry_run: bool,
    /// Written records; in a dry run, those that would be written.
    written: usize,
    already_there: usize,
    /// Records of calls that began too long ago.
    too_old: Vec<Left>,
    /// Records that the ledger did not take.
    failed: Vec<Left>,
    /// Number of lines that hold no whole record.
    unreadable: usize,
}

/// A record that was not written.
#[derive(Debug, Serialize)]
struct Left {
    account: String,
    id: String,
    attempt: u32,
    request_id: String,
    started_at: String,
    reason: String,
}

impl Left {
    fn new(record: &Record, reason: impl ToString) -> Self {
        let call = &record.call;
        Self {
            account: call.account.clone(),
            id: call.id.clone(),
            attempt: call.attempt,
            request_id: call.request_id.clone(),
            started_at: call.started_at().to_rfc3339(),
            reason: reason.to_string(),
        }
    }

    fn tell(&self) {
        let Self { account, id, attempt, started_at, reason, .. } = self;
        aside(&format!("not written: attempt {attempt} of call {id} of {account}, begun {started_at}: {reason}"));
    }
}

impl Replay {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        // Collect the records from a file or from the logs.
        let found = match &self.file {
            Some(file) => Unwritten::in_file(file)?,
            None => Unwritten::logged(context, self.since).await?,
        };
        let unreadable = found.unreadable;
        let now = context.now();
        // Set aside the calls that began too long ago.
        let (records, too_old): (Vec<_>, Vec<_>) =
            found.into_records().into_iter().partition(|record| may_be_replayed(record, now));
        let too_old = too_old.iter().map(|record| Left::new(record, why_too_old())).collect();
        let mut outcome =
            Outcome { dry_run: self.dry_run, written: 0, already_there: 0, too_old, failed: Vec::new(), unreadable };

        // Find the missing records first, so that the audit has no entry if nothing is to be written.
        let missing = missing(context, records, &mut outcome).await?;
        if self.dry_run {
            outcome.written = missing.len();
        } else if !missing.is_empty() {
            let detail = format!("records: {}, of {}", missing.len(), accounts(&missing));
            let writing = context.change("usage.replay", "usage", detail, write(context, &missing, &mut outcome)).await;
            // Print the outcome even if the write failed.
            outcome.tell(context)?;
            return writing;
        }
        outcome.tell(context)
    }
}

/// Names the accounts of `records` for the audit, up to [`MOST_NAMED`] of them.
fn accounts(records: &[Record]) -> String {
    let accounts: BTreeSet<&str> = records.iter().map(|record| record.call.account.as_str()).collect();
    let named: Vec<&str> = accounts.iter().copied().take(MOST_NAMED).collect();
    let more = accounts.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &more
}

/// Returns the `records` that the ledger lacks or has in a less final state.
async fn missing(context: &Context, records: Vec<Record>, outcome: &mut Outcome) -> anyhow::Result<Vec<Record>> {
    let ledger = context.target.ledger();
    let (all, mut missing, mut progress) = (records.len(), Vec::new(), Progress::default());
    for chunk in records.chunks(AT_ONCE) {
        let there = join_all(chunk.iter().map(|record| ledger.record(&record.call))).await;
        for (record, there) in chunk.iter().zip(there) {
            // Writing a record that is no more final than the stored one would change nothing.
            match call::step(there?.as_ref(), record) {
                Some(_) => missing.push(record.clone()),
                None => outcome.already_there += 1,
            }
        }
        progress.tell("looked up", chunk.len(), all);
    }
    Ok(missing)
}

/// Writes `records`. Fails if the ledger refuses a whole chunk before anything was written.
async fn write(context: &Context, records: &[Record], outcome: &mut Outcome) -> anyhow::Result<()> {
    // Each ledger begins with a random shard, so that concurrent writes spread over the shards.
    let ledgers: Vec<Ledger> = (0..AT_ONCE).map(|_| context.target.ledger()).collect();
    let mut progress = Progress::default();
    let mut chunks = records.chunks(AT_ONCE);
    while let Some(chunk) = chunks.next() {
        let results = join_all(chunk.iter().zip(&ledgers).map(|(record, ledger)| write_one(ledger, record))).await;
        let mut errors = Vec::new();
        for (record, result) in chunk.iter().zip(results) {
            match result {
                Ok(Written::Now) => outcome.written += 1,
                // Another replay or a function wrote it in the meantime.
                Ok(Written::Before) => outcome.already_there += 1,
                Err(error) => errors.push((record, error)),
            }
        }
        outcome.failed.extend(errors.iter().map(|(record, error)| Left::new(record, error)));
        // If the table refuses a whole chunk, give up on the remaining records.
        if let (true, Some((_, error))) = (errors.len() == chunk.len(), errors.first()) {
            outcome.failed.extend(chunks.by_ref().flatten().map(|record| Left::new(record, error)));
            if outcome.written == 0 {
                bail!("nothing was written: {error}");
            }
        }
        progress.tell("written", chunk.len(), records.len());
    }
    Ok(())
}

async fn write_one(ledger: &Ledger, record: &Record) -> Result<Written, LedgerError> {
    match record.state {
        RecordState::Open => ledger.open(record).await,
        RecordState::Abandoned | RecordState::Closed | RecordState::Void => ledger.write(record).await,
    }
}

/// Counter that prints progress.
#[derive(Default)]
struct Progress(usize);

impl Progress {
    fn tell(&mut self, what: &str, more: usize, of: usize) {
        let before = self.0;
        self.0 += more;
        if before / PROGRESS < self.0 / PROGRESS {
            aside(&format!("{what}: {} of {of}", self.0));
        }
    }
}

impl Outcome {
    fn tell(&self, context: &Context) -> anyhow::Result<()> {
        // List the first unwritten records on standard error.
        let left = self.too_old.len() + self.failed.len();
        self.too_old.iter().chain(&self.failed).take(MOST_TOLD).for_each(Left::tell);
        if left > MOST_TOLD {
            aside(&format!("… and {} more; --json has them all", left - MOST_TOLD));
        }
        let left = left + self.unreadable;
        context.output.say(self, || {
            let written = if self.dry_run { "to be written" } else { "written" };
            let counts = [
                (written, self.written),
                ("already there", self.already_there),
                ("too old", self.too_old.len()),
                ("failed", self.failed.len()),
                ("unreadable lines", self.unreadable),
            ];
            fields(&counts.map(|(label, count)| (label, count.to_string())))
        })?;
        // The command fails while anything remains unwritten.
        if left > 0 {
            bail!("{left} could not be written");
        }
        Ok(())
    }
}

fn why_too_old() -> String {
    let days = MAY_BE_REPLAYED.as_secs() / (24 * 3600);
    format!("more than {days} days ago, so that it cannot be known whether it was counted")
}
