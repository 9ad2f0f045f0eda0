//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).
//!
//! [`Splitter`] parses the events of a stream. [`Framer`] holds its bytes back until an event is complete. Both are
//! pure, and their output does not depend on the chunks in which the stream arrives.
//!
//! Invariant: the framer releases every event that the splitter has reported.

mod framer;
mod splitter;

pub use framer::Framer;
pub use splitter::{LARGEST_EVENT, Splitter, SseEvent};
