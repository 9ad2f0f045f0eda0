//! The caller of a call that is under way, as its environment knows it: told once, or fed piece by piece.

use http::{HeaderMap, header};
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Failure, Piece, Stream};

/// Pieces that may wait for a slow reader.
const WAITING_PIECES: usize = 64;

/// A caller may have gone at any time, which stops nothing here: Lambda lets the function finish.
pub(super) enum Caller {
    /// Has heard nothing yet.
    Waiting(oneshot::Sender<Result<Answer, Failure>>),
    /// Is being sent a stream.
    Streaming(mpsc::Sender<Piece>),
    /// Has its answer.
    Answered,
}

impl Caller {
    /// Whether an answer is still expected.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    /// Tells the caller the whole answer.
    pub(super) fn answer(&mut self, answer: Result<Answer, Failure>) {
        if let Self::Waiting(caller) = std::mem::replace(self, Self::Answered) {
            let _gone = caller.send(answer);
        }
    }

    /// Starts a stream; its pieces go to the sender that is returned.
    pub(super) fn begin(&mut self, headers: &HeaderMap) -> mpsc::Sender<Piece> {
        let (sender, chunks) = mpsc::channel(WAITING_PIECES);
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        self.answer(Ok(Answer::Streamed(Stream { content_type, chunks })));
        *self = Self::Streaming(sender.clone());
        sender
    }

    /// Tells a caller who still listens that nothing more comes, and why.
    pub(super) fn fail(&mut self, failure: Failure) {
        match std::mem::replace(self, Self::Answered) {
            Self::Waiting(caller) => drop(caller.send(Err(failure))),
            // A full channel closes without `Piece::End`, which says the same without the reason.
            Self::Streaming(caller) => drop(caller.try_send(Piece::Broken(failure))),
            Self::Answered => {}
        }
    }

    /// The stream has come to its end.
    pub(super) fn done(&mut self) {
        *self = Self::Answered;
    }
}
