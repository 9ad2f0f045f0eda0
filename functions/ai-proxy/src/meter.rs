//! What an attempt leaves in the ledger.
//!
//! Its record is opened while the request is on its way to the provider, and is there before the provider has all of it
//! ([`hold`](crate::held::hold)); so that whatever becomes of this environment, the attempt is known of. It is closed
//! before the last of the answer is released.

use std::time::Duration;

use levee::metering::{Call, Figures, Ledger, LedgerError, Record, Written, unwritten};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::cap::Spending;
use crate::report::Report;

/// How long a call's end waits for what is being added to its open record. Broken off, that would take its connection
/// along, and the end pay for another one.
const NOTE_PATIENCE: Duration = Duration::from_millis(50);

/// The record of one attempt. Dropped before it is closed, it leaves a log line, and an open record that the monitor
/// settles.
pub struct Meter {
    ledger: Ledger,
    report: Report,
    spending: Spending,
    /// `None` once it is closed.
    call: Option<Call>,
    /// What adds to the open record.
    note: Option<JoinHandle<Result<(), LedgerError>>>,
}

impl Meter {
    /// The meter of an attempt that is about to be made.
    pub fn new(ledger: &Ledger, report: &Report, spending: Spending, call: Call) -> Self {
        Self { ledger: ledger.clone(), report: report.clone(), spending, call: Some(call), note: None }
    }

    /// Writes the open record; where that fails, a log line is in its place.
    pub async fn open(&self) {
        let Some(call) = &self.call else { return };
        if let Err(error) = self.ledger.open(call).await {
            self.lost(&Record::open(call.clone()), &error);
        }
    }

    /// Adds what is known so far to the open record, beside whatever else is done. That this fails costs no more than the
    /// estimate of a call that never comes to its end.
    pub fn note(&mut self, figures: Figures) {
        let Some(call) = self.call.clone() else { return };
        let ledger = self.ledger.clone();
        self.note = Some(tokio::spawn(async move { ledger.note(&call, &figures).await }));
    }

    /// Writes what was used, and adds it to what counts against the account's cap; `estimated` when it is not the
    /// provider's final word.
    pub async fn close(&mut self, figures: Figures, estimated: bool) {
        let Some(call) = self.call.take() else { return };
        let began = Instant::now();
        let record = Record::closed(call, figures, estimated);
        self.write(&record).await;
        self.report.metered(&figures.usage, estimated, began.elapsed());
        self.spending.settle(&record.tally()).await;
    }

    /// Nothing was used.
    pub async fn void(&mut self) {
        let Some(call) = self.call.take() else { return };
        self.write(&Record::void(call)).await;
    }

    async fn write(&mut self, record: &Record) {
        if let Some(note) = self.note.take() {
            finish(note, NOTE_PATIENCE).await;
        }
        match self.ledger.write(record).await {
            Ok(Written::Now | Written::Before) => {}
            Err(error) => self.lost(record, &error),
        }
    }

    fn lost(&self, record: &Record, error: &LedgerError) {
        unwritten::log(record, error);
        self.report.unwritten();
    }
}

/// Waits for the end of `task`, which comes after `patience` at the latest.
async fn finish<T>(mut task: JoinHandle<T>, patience: Duration) {
    if timeout(patience, &mut task).await.is_err() {
        task.abort();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            tracing::error!(
                code = "usage.lost_track",
                request.id = call.request_id,
                account.id = call.account,
                provider = call.provider,
                "a call was cut off before its usage was known"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_note_that_ends_soon_is_not_broken_off() {
        let (done, is_done) = oneshot::channel();
        let note = tokio::spawn(async move {
            tokio::task::yield_now().await;
            done.send(()).unwrap();
        });
        finish(note, Duration::from_secs(60)).await;
        is_done.await.unwrap();
    }

    #[tokio::test]
    async fn a_note_that_does_not_end_is_broken_off() {
        let (done, is_done) = oneshot::channel::<()>();
        let note = tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(done);
        });
        finish(note, Duration::from_millis(1)).await;
        is_done.await.unwrap_err();
    }
}
