//! Runs a function that answers API Gateway with a stream.

use std::fmt::Debug;
use std::future::Future;

use lambda_http::request::LambdaRequest;
use lambda_http::tower::ServiceExt;
use lambda_http::{Error, LambdaEvent, Request, Response, StreamAdapter, service_fn};
use lambda_runtime::Diagnostic;

/// Runs `handler` for every event until the environment ends. Unlike [`lambda_http::run_with_streaming_response`], it
/// keeps all values of a header that was sent in several lines; that one keeps the last.
///
/// # Errors
/// When the Runtime API cannot be reached.
pub async fn run_streaming<'a, F, R, B, E>(handler: F) -> Result<(), Error>
where
    F: FnMut(Request) -> R,
    R: Future<Output = Result<Response<B>, E>> + Send + 'a,
    E: Debug + Into<Diagnostic>,
    B: http_body::Body + Unpin + Send + 'static,
    B::Data: Into<bytes::Bytes> + Send,
    B::Error: Into<Error> + Send + Debug,
{
    lambda_runtime::run(StreamAdapter::from(service_fn(handler)).map_request(with_all_header_values)).await
}

/// API Gateway sends headers twice, with all values and with the last one of each, and `lambda_http` lays the second map
/// over the first. An empty second map leaves the first as it is.
fn with_all_header_values(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    if let LambdaRequest::ApiGatewayV1(request) = &mut event.payload
        && !request.multi_value_headers.is_empty()
    {
        request.headers.clear();
    }
    event
}
