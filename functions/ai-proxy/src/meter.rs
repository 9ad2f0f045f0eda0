//! The ledger record of one attempt.
//!
//! The record is opened while the request is on its way, and is written before the provider has the whole request
//! ([`gate`](crate::gated_body::gate)). So the attempt is known even if this environment is killed. The record is closed
//! before the last part of the answer is released.

use std::time::Duration;

use levee::metering::{Call, Ledger, LedgerError, Part, Reading, Record, Written, unwritten};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::cap::CapCheck;
use crate::report::{CallReport, display_model};

/// Longest time that closing a record waits for a running note. Aborting the note drops its connection, and closing
/// would then have to open another one.
const NOTE_PATIENCE: Duration = Duration::from_millis(50);

/// The record of one attempt. If it is dropped before its end is written, it logs a line from which the usage can be
/// replayed.
pub struct Meter {
    ledger: Ledger,
    report: CallReport,
    spending: CapCheck,
    /// Usage to expect until the provider reports its own: the estimate of the prompt, under the model that is sent.
    expected: Part,
    stage: Stage,
    /// Task that adds to the open record.
    note: Option<JoinHandle<Result<(), LedgerError>>>,
}

/// Progress of the record.
enum Stage {
    /// The attempt runs. The record has the usage known so far.
    Open(Box<Record>),
    /// The attempt is over, and its record is being written.
    Ending(Box<Record>),
    /// The record is in the ledger, or in the log.
    Over,
}

impl Meter {
    /// Returns the meter of an attempt that is about to start and is expected to use `expected`.
    pub fn new(ledger: &Ledger, report: &CallReport, spending: CapCheck, call: Call, expected: Part) -> Self {
        let (ledger, report) = (ledger.clone(), report.clone());
        let known = completed(Reading::default(), true, &expected);
        let record = Record::open(call).with_reading(&known, true);
        Self { ledger, report, spending, expected, stage: Stage::Open(record.into()), note: None }
    }

    /// Writes the open record, or logs it if that fails.
    pub async fn open(&self) {
        let Stage::Open(record) = &self.stage else { return };
        if let Err(error) = self.ledger.open(record).await {
            self.lost(record, &error);
        }
    }

    /// Adds the usage known so far to the open record, in the background. If this fails, only the estimate of an
    /// abandoned call is less exact.
    pub fn note(&mut self, known: Reading) {
        self.learn(known);
        let Stage::Open(record) = &self.stage else { return };
        let (ledger, record) = (self.ledger.clone(), record.clone());
        self.note = Some(tokio::spawn(async move { ledger.note(&record).await }));
    }

    /// Keeps the usage known so far, for the log line of a meter that is dropped.
    pub fn learn(&mut self, known: Reading) {
        let known = completed(known, true, &self.expected);
        if let Stage::Open(record) = &mut self.stage {
            **record = (**record).clone().with_reading(&known, true);
        }
    }

    /// Writes the usage and adds it to the account's figure for its cap. `estimated` is true if it is not the
    /// provider's final figure.
    pub async fn close(&mut self, reading: Reading, estimated: bool) {
        let reading = completed(reading, estimated, &self.expected);
        let Some(record) = self.end(|call| Record::closed(call, reading.figures, estimated)) else { return };
        // Write the record, then add it to the account's figure.
        let began = Instant::now();
        let record = record.with_reading(&reading, estimated);
        self.write(&record).await;
        self.report.metered(&reading.figures.usage, estimated, began.elapsed());
        self.spending.settle(&record.tally()).await;
    }

    /// Writes that the attempt used nothing.
    pub async fn void(&mut self) {
        let Some(record) = self.end(Record::void) else { return };
        self.write(&record).await;
    }

    /// Returns the final record of the attempt, made by `record`; `None` if the attempt is over already.
    fn end(&mut self, record: impl FnOnce(Call) -> Record) -> Option<Record> {
        let Stage::Open(open) = &self.stage else { return None };
        Some(record(open.call.clone()))
    }

    async fn write(&mut self, record: &Record) {
        // If this future is dropped before the ledger has answered, `Drop` logs the record.
        self.stage = Stage::Ending(record.clone().into());
        // Let a running note finish first, so that its connection can be reused.
        if let Some(note) = self.note.take() {
            finish(note, NOTE_PATIENCE).await;
        }
        let written = self.ledger.write(record).await;
        self.stage = Stage::Over;
        match written {
            Ok(Written::Now | Written::Before) => {}
            Err(error) => self.lost(record, &error),
        }
    }

    fn lost(&self, record: &Record, error: &impl std::fmt::Display) {
        unwritten::log(record, error);
        self.report.unwritten();
    }
}

/// Completes the reported usage. A missing model becomes the model that was sent, and an estimate without input
/// gets the rest of the expected prompt, because the provider may have read it.
fn completed(mut reading: Reading, estimated: bool, expected: &Part) -> Reading {
    // Put figures without parts into a part of their own.
    if reading.parts.is_empty() {
        let usage = reading.figures.usage;
        reading.parts.push(Part { usage, ..Part::default() });
    }
    // Name the model of every part, in a form that may be stored.
    for part in &mut reading.parts {
        let model = if part.service.model.is_empty() { &expected.service.model } else { &part.service.model };
        part.service.model = display_model(model).to_owned();
    }
    // Add what is missing of the expected prompt to an estimate without input.
    let prompt = reading.figures.usage.prompt();
    if estimated && !reading.has_input && prompt < expected.usage.input {
        let input = expected.usage.input - prompt;
        reading.figures.usage.input += input;
        if let Some(part) = reading.parts.first_mut() {
            part.usage.input += input;
            part.service.prompt_above = expected.service.prompt_above;
        }
    }
    reading
}

/// Waits for `task` for up to `patience`, then aborts it.
async fn finish<T>(mut task: JoinHandle<T>, patience: Duration) {
    if timeout(patience, &mut task).await.is_err() {
        task.abort();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Open(record) => self.lost(&record.abandoned(), &"the call was cut off"),
            Stage::Ending(record) => self.lost(&record, &"the call was cut off while its usage was being written"),
            Stage::Over => {}
        }
    }
}

#[cfg(test)]
mod tests;
