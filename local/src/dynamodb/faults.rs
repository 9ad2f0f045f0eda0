//! Faults that DynamoDB has now and then and the emulator never has: it cancels a transaction that conflicts with
//! another one, and the answer to a write gets lost.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Deserialize;
use tokio::net::TcpStream;

/// Frequencies of the injected faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Share of the TransactWriteItems calls that are not executed and answered with TransactionCanceledException,
    /// because of a conflict on the last item. 0 to 1, default 0.
    pub conflict_ratio: f64,
    /// Share of the executed TransactWriteItems and PutItem calls whose answer is lost: the connection is cut
    /// instead. 0 to 1, default 0.
    pub lost_ratio: f64,
    /// Seed of the sequence of faults, which makes it repeatable. Default: a random seed.
    pub seed: Option<u64>,
}

impl Faults {
    /// Checks that the shares are from 0 to 1.
    ///
    /// # Errors
    /// Names the share that is not.
    pub fn check(&self) -> Result<(), String> {
        for (name, ratio) in [("conflict_ratio", self.conflict_ratio), ("lost_ratio", self.lost_ratio)] {
            if !(0.0..=1.0).contains(&ratio) {
                return Err(format!("{name} is {ratio}; it must be from 0 to 1"));
            }
        }
        Ok(())
    }
}

/// Outcome that was drawn for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Conflict,
    Lost,
}

/// A proxy to the emulator at `inner` that injects faults.
#[derive(Debug)]
pub(super) struct Unreliable {
    faults: Faults,
    random: Mutex<StdRng>,
    inner: SocketAddr,
}

/// Error that ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the answer is lost on purpose")]
    Lost,
    #[error("the emulator: {0}")]
    Emulator(#[from] hyper::Error),
    #[error("the emulator: {0}")]
    Unreachable(#[from] std::io::Error),
}

impl Unreliable {
    pub(super) fn new(faults: Faults, inner: SocketAddr) -> Self {
        let seed = faults.seed.unwrap_or_else(rand::random);
        Self { faults, random: Mutex::new(StdRng::seed_from_u64(seed)), inner }
    }

    /// Serves one connection until it ends.
    pub(super) async fn serve(&self, client: TcpStream) {
        let service = service_fn(|request| self.answer(request));
        let connection = server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service);
        let _client_has_gone_or_was_cut = connection.await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let fate = self.fate(operation(&parts.headers));
        if fate == Fate::Conflict {
            return Ok(conflict(&body));
        }
        let response = self.pass_on(Request::from_parts(parts, Full::new(body))).await?;
        if fate == Fate::Lost { Err(Cut::Lost) } else { Ok(response) }
    }

    fn fate(&self, operation: &str) -> Fate {
        let (may_conflict, may_be_lost) = match operation {
            "TransactWriteItems" => (true, true),
            "PutItem" => (false, true),
            _ => return Fate::Served,
        };
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        // Draw both numbers each time, so that one ratio does not change the other's sequence.
        let conflicts = random.random_bool(self.faults.conflict_ratio);
        let is_lost = random.random_bool(self.faults.lost_ratio);
        match (may_conflict && conflicts, may_be_lost && is_lost) {
            (true, _) => Fate::Conflict,
            (false, true) => Fate::Lost,
            (false, false) => Fate::Served,
        }
    }

    async fn pass_on(&self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Cut> {
        let server = TcpStream::connect(self.inner).await?;
        server.set_nodelay(true)?;
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(server)).await?;
        // The connection's task ends when the sender is dropped.
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
    }
}

/// Returns the name of the called operation, without the API version.
fn operation(headers: &HeaderMap) -> &str {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    target.rsplit_once('.').map_or(target, |(_, operation)| operation)
}

/// Builds the answer to a transaction that conflicts on its last item
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CancellationReason.html>).
fn conflict(body: &[u8]) -> Response<Full<Bytes>> {
    let request: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let items = request["TransactItems"].as_array().map_or(1, Vec::len);
    // One reason per item; only the last item conflicts.
    let mut codes = vec!["None"; items.saturating_sub(1)];
    codes.push("TransactionConflict");
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    let reasons: Vec<_> = codes.into_iter().map(|code| serde_json::json!({ "Code": code })).collect();
    refuse(serde_json::json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": message,
        "CancellationReasons": reasons,
    }))
}

/// Builds an answer with one of DynamoDB's errors.
pub(super) fn refuse(error: serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(error.to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let content_type = header::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreliable(conflict_ratio: f64, lost_ratio: f64) -> Unreliable {
        let faults = Faults { conflict_ratio, lost_ratio, seed: Some(7) };
        Unreliable::new(faults, SocketAddr::from(([127, 0, 0, 1], 1)))
    }

    fn fates(of: &Unreliable, operation: &str) -> Vec<Fate> {
        (0..1000).map(|_| of.fate(operation)).collect()
    }

    fn count(fates: &[Fate], fate: Fate) -> usize {
        fates.iter().filter(|it| **it == fate).count()
    }

    #[test]
    fn with_one_seed_the_faults_are_the_same_each_time_and_about_as_many_as_asked_for() {
        let first = fates(&unreliable(0.3, 0.5), "TransactWriteItems");
        assert_eq!(first, fates(&unreliable(0.3, 0.5), "TransactWriteItems"));
        assert!((200..400).contains(&count(&first, Fate::Conflict)), "{}", count(&first, Fate::Conflict));
        assert!((250..450).contains(&count(&first, Fate::Lost)), "half of what is executed");
    }

    #[test]
    fn only_writes_fail_and_only_transactions_conflict() {
        let always = unreliable(1.0, 1.0);
        assert_eq!(count(&fates(&always, "TransactWriteItems"), Fate::Conflict), 1000);
        assert_eq!(count(&fates(&always, "PutItem"), Fate::Lost), 1000);
        for operation in ["GetItem", "Query", "UpdateItem", ""] {
            assert_eq!(count(&fates(&always, operation), Fate::Served), 1000, "{operation}");
        }
        assert_eq!(count(&fates(&unreliable(0.0, 0.0), "TransactWriteItems"), Fate::Served), 1000);
    }

    #[test]
    fn the_operation_is_what_the_target_ends_with() {
        let mut headers = HeaderMap::new();
        assert_eq!(operation(&headers), "");
        headers.insert("x-amz-target", "DynamoDB_20120810.PutItem".parse().unwrap());
        assert_eq!(operation(&headers), "PutItem");
    }

    #[tokio::test]
    async fn a_conflict_is_told_of_the_last_of_the_items() {
        let body = conflict(br#"{"TransactItems":[{},{},{}]}"#).into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let codes: Vec<_> = body["CancellationReasons"].as_array().unwrap().iter().map(|it| &it["Code"]).collect();
        assert_eq!(codes, ["None", "None", "TransactionConflict"]);
    }

    #[test]
    fn a_share_is_between_nothing_and_everything() {
        for faults in [(-0.1, 0.0), (0.0, 1.1), (f64::NAN, 0.0)] {
            let faults = Faults { conflict_ratio: faults.0, lost_ratio: faults.1, seed: None };
            assert!(faults.check().is_err(), "{faults:?}");
        }
        assert_eq!(Faults { conflict_ratio: 1.0, ..Faults::default() }.check(), Ok(()));
    }
}
