//! What an attempt leaves in the ledger.
//!
//! Its record is opened while the request is on its way to the provider, and is there before the provider has all of it
//! ([`hold`](crate::held::hold)); so that whatever becomes of this environment, the attempt is known of. It is closed
//! before the last of the answer is released.

use std::time::Duration;

use levee::metering::{Call, Ledger, LedgerError, Part, Reading, Record, Written, unwritten};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::cap::Spending;
use crate::report::{Report, told};

/// How long a call's end waits for what is being added to its open record. Broken off, that would take its connection
/// along, and the end pay for another one.
const NOTE_PATIENCE: Duration = Duration::from_millis(50);

/// The record of one attempt. Dropped before its end is written, it leaves a log line with what is known, from which the
/// usage can be brought back.
pub struct Meter {
    ledger: Ledger,
    report: Report,
    spending: Spending,
    /// What the attempt is expected to use, until the provider says more: the estimate of its prompt, at the model that is
    /// sent.
    expected: Part,
    stage: Stage,
    /// Writes to the open record.
    note: Option<JoinHandle<Result<(), LedgerError>>>,
}

/// How far the record has come.
enum Stage {
    /// The attempt runs; the record has what is known of it.
    Open(Box<Record>),
    /// The attempt is over, and its record is being written.
    Ending(Box<Record>),
    /// The record is in the ledger, or in the log.
    Over,
}

impl Meter {
    /// Returns the meter of an attempt that is about to be made, and expected to use what `expected` says.
    pub fn new(ledger: &Ledger, report: &Report, spending: Spending, call: Call, expected: Part) -> Self {
        let (ledger, report) = (ledger.clone(), report.clone());
        let known = completed(Reading::default(), true, &expected);
        let record = Record::open(call).with_reading(&known, true);
        Self { ledger, report, spending, expected, stage: Stage::Open(record.into()), note: None }
    }

    /// Writes the open record; where that fails, a log line is in its place.
    pub async fn open(&self) {
        let Stage::Open(record) = &self.stage else { return };
        if let Err(error) = self.ledger.open(record).await {
            self.lost(record, &error);
        }
    }

    /// Adds what is known so far to the open record, beside whatever else is done. That this fails costs no more than the
    /// estimate of a call that never comes to its end.
    pub fn note(&mut self, known: Reading) {
        self.learn(known);
        let Stage::Open(record) = &self.stage else { return };
        let (ledger, record) = (self.ledger.clone(), record.clone());
        self.note = Some(tokio::spawn(async move { ledger.note(&record).await }));
    }

    /// Takes over what is known so far, for the log line that a meter leaves that is dropped.
    pub fn learn(&mut self, known: Reading) {
        let known = completed(known, true, &self.expected);
        if let Stage::Open(record) = &mut self.stage {
            **record = (**record).clone().with_reading(&known, true);
        }
    }

    /// Writes what was used, and adds it to what counts against the account's cap; `estimated` when it is not the
    /// provider's final word.
    pub async fn close(&mut self, reading: Reading, estimated: bool) {
        let reading = completed(reading, estimated, &self.expected);
        let Some(record) = self.end(|call| Record::closed(call, reading.figures, estimated)) else { return };
        let began = Instant::now();
        let record = record.with_reading(&reading, estimated);
        self.write(&record).await;
        self.report.metered(&reading.figures.usage, estimated, began.elapsed());
        self.spending.settle(&record.tally()).await;
    }

    /// Writes that nothing was used.
    pub async fn void(&mut self) {
        let Some(record) = self.end(Record::void) else { return };
        self.write(&record).await;
    }

    /// Returns the record of the attempt's end, which is kept until it is written; `None` where it is over already.
    fn end(&mut self, record: impl FnOnce(Call) -> Record) -> Option<Record> {
        let Stage::Open(open) = &self.stage else { return None };
        Some(record(open.call.clone()))
    }

    async fn write(&mut self, record: &Record) {
        // Where this future is dropped before the ledger has answered, the record is logged.
        self.stage = Stage::Ending(record.clone().into());
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

/// Completes what an answer reports: a model that is not named is the one that was sent, and an estimate without a prompt
/// has the prompt that is expected, because the provider may have read it.
fn completed(mut reading: Reading, estimated: bool, expected: &Part) -> Reading {
    if reading.parts.is_empty() {
        let usage = reading.figures.usage;
        reading.parts.push(Part { usage, ..Part::default() });
    }
    for part in &mut reading.parts {
        let model = if part.service.model.is_empty() { &expected.service.model } else { &part.service.model };
        part.service.model = told(model).to_owned();
    }
    if estimated && reading.figures.usage.prompt() == 0 {
        let input = expected.usage.input;
        reading.figures.usage.input = input;
        if let Some(part) = reading.parts.first_mut() {
            part.usage.input = input;
            part.service.prompt_above = expected.service.prompt_above;
        }
    }
    reading
}

/// Waits for the end of `task`, which comes after `patience` at the latest.
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
