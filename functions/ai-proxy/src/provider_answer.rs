//! A provider's answer as it arrives, with its body decoded.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::decode::{Decoder, Encoding};
use crate::log_context::with_cause;

/// A provider's answer, of which the headers have come.
pub struct ProviderAnswer {
    response: reqwest::Response,
    decoder: Decoder,
}

/// Reason why an answer cannot be read to its end. It has no URL.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The connection was lost.
    #[error("{0}")]
    Lost(String),
    /// The body is not in the encoding that its headers name, or was cut off.
    #[error("the body cannot be decoded: {0}")]
    Undecodable(#[from] io::Error),
}

impl From<reqwest::Error> for AnswerError {
    fn from(error: reqwest::Error) -> Self {
        Self::Lost(with_cause(error))
    }
}

impl ProviderAnswer {
    /// Wraps an answer whose body is in `encoding`.
    pub fn new(response: reqwest::Response, encoding: Encoding) -> Self {
        Self { response, decoder: Decoder::new(encoding) }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the next decoded bytes of the body; `None` at its end. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`AnswerError`] if the body breaks off or cannot be decoded.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, AnswerError> {
        loop {
            if let Some(decoded) = self.decoder.next()? {
                return Ok(Some(decoded));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.decoder.push(chunk),
                None => return Ok(self.decoder.finish()?),
            }
        }
    }
}
