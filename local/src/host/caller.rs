//! The caller of a call in flight, to which its environment sends one answer or a stream.

use http::{HeaderMap, header};
use tokio::sync::{mpsc, oneshot};

use super::{FunctionAnswer, FunctionFailure, Piece, Stream};

/// Number of pieces that may wait for a slow reader.
const WAITING_PIECES: usize = 64;

/// State of a caller. A caller may have gone at any time; as on Lambda, the function still runs to its end.
pub(super) enum Caller {
    /// No answer has been sent.
    Waiting(oneshot::Sender<Result<FunctionAnswer, FunctionFailure>>),
    /// A stream is being sent.
    Streaming(mpsc::Sender<Piece>),
    /// The answer has been sent completely.
    Answered,
}

impl Caller {
    /// Returns true if no answer has been sent yet.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    /// Sends the whole answer.
    pub(super) fn answer(&mut self, answer: Result<FunctionAnswer, FunctionFailure>) {
        if let Self::Waiting(caller) = std::mem::replace(self, Self::Answered) {
            let _gone = caller.send(answer);
        }
    }

    /// Starts a stream and returns the sender for its pieces.
    pub(super) fn begin(&mut self, headers: &HeaderMap) -> mpsc::Sender<Piece> {
        let (sender, chunks) = mpsc::channel(WAITING_PIECES);
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        self.answer(Ok(FunctionAnswer::Streamed(Stream { content_type, chunks })));
        *self = Self::Streaming(sender.clone());
        sender
    }

    /// Reports a failure to a caller that still waits for an answer or for pieces.
    pub(super) fn fail(&mut self, failure: FunctionFailure) {
        match std::mem::replace(self, Self::Answered) {
            Self::Waiting(caller) => drop(caller.send(Err(failure))),
            // If the channel is full, it closes without `Piece::End`, which reports the failure without its reason.
            Self::Streaming(caller) => drop(caller.try_send(Piece::Broken(failure))),
            Self::Answered => {}
        }
    }

    /// Marks the stream as complete.
    pub(super) fn done(&mut self) {
        *self = Self::Answered;
    }
}
