//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>):
//! [`Splitter`] reads them, [`Framer`] holds a byte stream back to their borders. Both are pure, and what they yield does
//! not depend on where the chunks of a stream are cut.
//!
//! The two agree: an event that the splitter has reported is one that the framer releases.

mod framer;
mod splitter;

pub use framer::Framer;
pub use splitter::{Event, LARGEST_EVENT, Splitter};
