//! Runtime loop of functions that serve API Gateway.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http_body_util::{BodyExt, StreamBody};
use lambda_http::request::LambdaRequest;
use lambda_http::tower::ServiceExt;
use lambda_http::{Adapter, Error, LambdaEvent, Request, RequestExt, Response, StreamAdapter, service_fn};
use tokio::time::{Instant, timeout_at};

use super::request_id;
use crate::clock::Clock;
use crate::function::{Function, last_call};

/// Longest run time of a Lambda function.
const LONGEST_FUNCTION: Duration = Duration::from_secs(900);

/// Runs `handler` for every event until the environment ends, and streams its responses. Errors that occur while a
/// body is sent are written before the body ends.
///
/// Unlike [`lambda_http::run_with_streaming_response`], it keeps all values of a header that was sent in several
/// lines; that function keeps only the last.
///
/// # Errors
/// The Runtime API cannot be reached.
pub async fn run_streaming<'a, R, B>(function: &'a Function, handler: impl Fn(Request) -> R) -> Result<(), Error>
where
    R: Future<Output = Response<B>> + Send + 'a,
    B: http_body::Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    // Observe the handler, then the body that it returns.
    let answer = |request: Request| {
        let (id, deadline) = (request_id(&request), deadline(&request));
        let answer = handler(request);
        async move {
            let answer = function.observe(&id, deadline, answer).await;
            Ok::<_, Infallible>(answer.map(|body| observed(body, function.clone(), id, deadline)))
        }
    };
    lambda_runtime::run(StreamAdapter::from(service_fn(answer)).map_request(with_all_header_values)).await
}

/// Runs `handler` for every event until the environment ends, and sends each response when it is complete. See
/// [`run_streaming`].
///
/// # Errors
/// The Runtime API cannot be reached.
pub async fn run_buffered<'a, R>(function: &'a Function, handler: impl Fn(Request) -> R) -> Result<(), Error>
where
    R: Future<Output = Response<String>> + Send + 'a,
{
    let answer = |request: Request| {
        let (id, deadline) = (request_id(&request), deadline(&request));
        let answer = handler(request);
        async move { Ok::<_, Infallible>(function.observe(&id, deadline, answer).await) }
    };
    lambda_runtime::run(Adapter::from(service_fn(answer)).map_request(with_all_header_values)).await
}

/// Returns the deadline of the function in Unix milliseconds; if Lambda gives none, the longest run time from now.
fn deadline(request: &Request) -> u64 {
    let latest = || Clock::system().now().plus(LONGEST_FUNCTION).as_millis();
    request.lambda_context_ref().map_or_else(latest, |context| context.deadline)
}

/// Wraps `body` so that it ends only after the errors that occurred meanwhile are written.
fn observed<B>(
    body: B,
    function: Function,
    id: String,
    deadline: u64,
) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin + Send
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    let frames = stream::unfold((body, Some(last_call(deadline))), move |(mut body, mut last_call)| {
        let (function, id) = (function.clone(), id.clone());
        async move {
            // Wait for the next frame. Shortly before the deadline, write the breadcrumbs while still waiting.
            let mut next = pin!(AssertUnwindSafe(body.frame()).catch_unwind());
            let moment = last_call.unwrap_or_else(|| Instant::now() + LONGEST_FUNCTION);
            let frame = match timeout_at(moment, &mut next).await {
                Ok(frame) => frame,
                Err(_) => {
                    last_call = None;
                    tokio::join!(next, function.near_deadline(&id)).0
                }
            };
            // At the end, on an error or a panic, write the breadcrumbs before the stream ends.
            if !matches!(frame, Ok(Some(_))) {
                function.settle().await;
            }
            let frame = frame.unwrap_or_else(|panic| resume_unwind(panic));
            frame.map(|frame| (frame, (body, last_call)))
        }
    });
    StreamBody::new(Box::pin(frames))
}

/// Keeps all values of each header. API Gateway sends two maps, one with all values and one with the last value of
/// each header, and `lambda_http` overwrites the first with the second. An empty second map leaves the first as it is.
fn with_all_header_values(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    if let LambdaRequest::ApiGatewayV1(request) = &mut event.payload
        && !request.multi_value_headers.is_empty()
    {
        request.headers.clear();
    }
    event
}
