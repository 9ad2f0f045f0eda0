//! Reads a function's answer, as a whole or piece by piece.

use bytes::BytesMut;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::{FunctionAnswer, FunctionFailure, Piece};

/// Largest payload, in bytes. "Invocation payload (request and response): 6 MB each": gettingstarted-limits.html.
pub(super) const LARGEST: usize = 6 * 1024 * 1024;

/// Returns true if the runtime streams its answer (runtimes-custom.html, "Configuring runtime to send streaming
/// responses").
pub(super) fn is_streamed(headers: &HeaderMap) -> bool {
    headers.get("lambda-runtime-function-response-mode").is_some_and(|mode| mode.as_bytes() == b"streaming")
}

/// Reads a whole payload, up to [`LARGEST`] bytes.
pub(super) async fn buffered(mut body: Incoming) -> Result<FunctionAnswer, FunctionFailure> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FunctionFailure::Exited(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
        if whole.len() > LARGEST {
            return Err(FunctionFailure::TooLarge);
        }
    }
    Ok(FunctionAnswer::Buffered(whole.freeze()))
}

/// Forwards chunks to the caller as they arrive. If the caller has gone, the rest is read and dropped, as on Lambda
/// (configuration-response-streaming.html), so that the function is not stopped.
pub(super) async fn pass_on(mut body: Incoming, caller: &mpsc::Sender<Piece>) -> Result<(), FunctionFailure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FunctionFailure::Exited(format!("the stream broke off: {error}")))?;
        match frame.into_data() {
            Ok(data) => {
                let _gone_caller = caller.send(Piece::Data(data)).await;
            }
            Err(frame) => {
                if let Some(failure) = frame.trailers_ref().and_then(reported) {
                    return Err(failure);
                }
            }
        }
    }
    let _gone_caller = caller.send(Piece::End).await;
    Ok(())
}

/// Returns the error that a runtime reported in the trailers of a stream.
fn reported(trailers: &HeaderMap) -> Option<FunctionFailure> {
    let text = |name: &str| trailers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let error_type = text("lambda-runtime-function-error-type")?;
    Some(FunctionFailure::Function {
        error_type,
        message: text("lambda-runtime-function-error-body").unwrap_or_default(),
    })
}

/// Reads the report of a failed call: `{"errorType", "errorMessage"}`.
pub(super) async fn failure(body: Incoming) -> FunctionFailure {
    let report = match body.collect().await {
        Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or(serde_json::Value::Null),
        Err(error) => return FunctionFailure::Exited(error.to_string()),
    };
    let text = |name: &str| report.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    FunctionFailure::Function { error_type: text("errorType"), message: text("errorMessage") }
}
