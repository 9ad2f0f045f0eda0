//! Responses of the proxy: bodies that cannot fail, and errors in Anthropic's envelope.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderName, HeaderValue};
use http_body::Frame;
use lambda_http::Response;
use lambda_http::http::header::CONTENT_TYPE;
use levee::http::anthropic::{ErrorKind, envelope};

/// A response body. Its error type is uninhabited, because the runtime would write an error's text into the client's
/// stream.
pub enum Body {
    /// A complete body; `None` once it has been sent.
    Full(Option<Bytes>),
    /// A body that is produced while it is sent.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Body {
    /// Returns true if the body is produced while it is sent.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => stream.as_mut().poll_next(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }
}

/// An error response of the proxy itself. The message is public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Kind of the error, which sets its status.
    pub kind: ErrorKind,
    /// Sentence for the caller.
    pub message: String,
    /// True if an SDK may retry by itself.
    pub may_retry: bool,
    /// Headers in addition to those of every error.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// Returns an error that the caller has to correct. SDKs do not retry it.
    pub fn by_caller(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), may_retry: false, headers: Vec::new() }
    }

    /// Returns an error of the proxy or of a provider. A retry may succeed.
    pub fn upstream(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), may_retry: true, headers: Vec::new() }
    }

    /// Returns the response in Anthropic's envelope.
    pub fn into_response(self, request_id: &str) -> Response<Body> {
        let mut response = Response::new(Body::Full(Some(envelope(self.kind, &self.message, request_id).into())));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !self.may_retry {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if let Ok(request_id) = HeaderValue::from_str(request_id) {
            headers.insert("request-id", request_id);
        }
        response
    }
}
