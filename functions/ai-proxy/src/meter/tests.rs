//! Tests of meters whose calls end, are cut off, or never end.

use std::io;
use std::sync::{Arc, Mutex};

use levee::accounts::IntegrationKind;
use levee::config::from_lookup;
use levee::metering::{Figures, RecordState, Service, Usage};
use levee::stores::dynamodb::{self, DynamoDbConfig};
use levee::sync::lock;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;

/// Log lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Returns the records in the log lines, as a replay reads them.
    fn records(&self) -> Vec<Record> {
        let text = String::from_utf8(lock(&self.0).clone()).unwrap();
        text.lines().filter_map(|line| unwritten::read(line).unwrap()).collect()
    }
}

/// Logs to `log` in this thread, in the format of the functions, as long as the guard lives.
fn logging_to(log: &Log) -> tracing::subscriber::DefaultGuard {
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
    tracing::subscriber::set_default(lines.finish())
}

/// Returns a meter whose ledger accepts connections and never answers, for a call that is expected to have 50 input
/// tokens.
async fn meter() -> (Meter, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let variables = |name: &str| match name {
        "AWS_ENDPOINT_URL_DYNAMODB" => Some(url.clone()),
        "AWS_REGION" => Some("us-east-1".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
        _ => None,
    };
    let client = dynamodb::client(&from_lookup(variables, DynamoDbConfig::read).unwrap());
    let ledger = Ledger::new(client, "usage", Duration::from_secs(60));
    let report = CallReport::begin("r-1", None);
    let spending = CapCheck::without_cap(&report);
    let call = Call {
        id: "1".to_owned(),
        attempt: 1,
        request_id: "r-1".to_owned(),
        account: "acme".to_owned(),
        integration: "crm".to_owned(),
        kind: IntegrationKind::Customer,
        provider: "primary".to_owned(),
        model: "fast".to_owned(),
        started_at: 1_700_000_000,
        deadline: 1_700_000_300,
        further: false,
    };
    (Meter::new(&ledger, &report, spending, call, expected()), listener)
}

fn expected() -> Part {
    let service = Service { model: "claude-haiku-5-5".to_owned(), ..Service::default() };
    Part { service, usage: usage(50, 0) }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

fn reading(model: &str, used: Usage) -> Reading {
    let service = Service { model: model.to_owned(), ..Service::default() };
    let figures = Figures { usage: used, ..Figures::default() };
    let parts = vec![Part { service, usage: used }];
    Reading { figures, parts, has_input: used.input > 0, has_output: true, ..Reading::default() }
}

/// Polls `work` until it waits, then drops it.
async fn cut_off(work: impl Future<Output = ()>) {
    timeout(Duration::from_millis(20), work).await.unwrap_err();
}

#[tokio::test]
async fn a_close_that_is_cut_off_leaves_its_record_to_be_replayed() {
    let log = Log::default();
    let _logging = logging_to(&log);
    let (mut meter, _listener) = meter().await;
    cut_off(meter.close(reading("m-1", usage(7, 9)), false)).await;
    drop(meter);
    let records = log.records();
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!((record.state, record.estimated, record.figures.usage), (RecordState::Closed, false, usage(7, 9)));
    assert_eq!(record.parts[0].service.model, "m-1");
}

#[tokio::test]
async fn a_void_that_is_cut_off_leaves_its_record_to_be_replayed() {
    let log = Log::default();
    let _logging = logging_to(&log);
    let (mut meter, _listener) = meter().await;
    cut_off(meter.void()).await;
    drop(meter);
    assert_eq!(log.records().iter().map(|record| record.state).collect::<Vec<_>>(), [RecordState::Void]);
}

#[tokio::test]
async fn a_call_that_is_cut_off_leaves_what_was_known_of_it() {
    for (known, expected) in [(None, usage(50, 0)), (Some(usage(7, 2)), usage(7, 2))] {
        let log = Log::default();
        let _logging = logging_to(&log);
        let (mut meter, _listener) = meter().await;
        if let Some(known) = known {
            meter.learn(reading("m-1", known));
        }
        drop(meter);
        let records = log.records();
        assert_eq!(records.len(), 1, "{records:?}");
        let record = &records[0];
        assert_eq!((record.state, record.estimated, record.figures.usage), (RecordState::Abandoned, true, expected));
    }
}

#[test]
fn what_an_answer_leaves_out_is_what_was_expected() {
    let completed = |reading, estimated| completed(reading, estimated, &expected());
    let known = reading("m-1", usage(7, 9));
    assert_eq!(completed(known.clone(), true), known);
    // The provider reported nothing.
    let nothing = completed(Reading::default(), true);
    assert_eq!((nothing.figures.usage, nothing.parts), (usage(50, 0), vec![expected()]));
    // An estimate without a prompt.
    let output = completed(reading("", usage(0, 9)), true);
    assert_eq!((output.figures.usage, output.parts[0].usage), (usage(50, 9), usage(50, 9)));
    assert_eq!(output.parts[0].service.model, "claude-haiku-5-5");
    // The provider's final figures are kept.
    assert_eq!(completed(reading("m-1", usage(0, 9)), false).figures.usage, usage(0, 9));
    // An invalid name of a model is not kept.
    assert_eq!(completed(reading("ada@example.com", usage(7, 9)), false).parts[0].service.model, "other");
}

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
