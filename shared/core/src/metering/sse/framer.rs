//! Cuts a byte stream at the ends of events.

use bytes::{Bytes, BytesMut};

/// Holds a byte stream back to the ends of events. Each release consists of whole events, and all releases together
/// are the stream, byte for byte.
///
/// Each byte is scanned once. The amount held has no bound: the owner checks [`Framer::held`] and gives up.
#[derive(Debug, Default)]
pub struct Framer {
    held: BytesMut,
    /// Number of bytes of `held` that have been scanned.
    seen: usize,
    /// End of the last whole event in `held`; 0 if there is none.
    border: usize,
    /// True if the current line has at least one byte.
    in_line: bool,
    /// True if the last byte was a carriage return.
    after_carriage_return: bool,
}

impl Framer {
    /// Appends the next chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// Returns the number of bytes that are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Releases all whole events; `None` if there is none.
    pub fn whole_events(&mut self) -> Option<Bytes> {
        // An event ends after an empty line, with any line ending.
        for (at, &byte) in self.held.iter().enumerate().skip(self.seen) {
            let after_carriage_return = std::mem::replace(&mut self.after_carriage_return, byte == b'\r');
            let is_border = match byte {
                // The line feed of a CR LF pair stays on the same side of the border as its carriage return.
                b'\n' if after_carriage_return => self.border == at,
                b'\n' | b'\r' => !std::mem::take(&mut self.in_line),
                _ => {
                    self.in_line = true;
                    false
                }
            };
            if is_border {
                self.border = at + 1;
            }
        }
        // Release everything up to the border and keep the rest.
        let border = std::mem::take(&mut self.border);
        self.seen = self.held.len() - border;
        (border > 0).then(|| self.held.split_to(border).freeze())
    }

    /// Releases the rest, whether it is a whole event or not; `None` if nothing is held.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.seen = 0;
        (!self.held.is_empty()).then(|| self.held.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::Splitter;
    use super::*;

    fn released(stream: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut framer = Framer::default();
        framer.push(stream);
        let whole = framer.whole_events().unwrap_or_default().to_vec();
        (whole, framer.rest().unwrap_or_default().to_vec())
    }

    #[rstest]
    #[case("data: 1\n\n", "data: 2")]
    #[case("data: 1\r\n\r\n", "data: 2\r\n")]
    #[case("data: 1\r\rdata: 2\r\r", "data: 3\r")]
    #[case("data: 1\n\r\n", "data: 2\r\n")]
    #[case("data: 1\r\n\n", "data: 2\n")]
    #[case("data: 1\n\r", "")]
    #[case(": comment\n\n", ": another\n")]
    #[case("", "data: 1\r\n")]
    #[case("", "")]
    fn whole_events_end_after_an_empty_line_with_any_line_ending(#[case] whole: &str, #[case] rest: &str) {
        let stream = [whole, rest].concat();
        assert_eq!(released(stream.as_bytes()), (whole.into(), rest.into()));
    }

    #[test]
    fn a_line_feed_that_comes_late_is_released_as_soon_as_it_is_there() {
        let mut framer = Framer::default();
        framer.push(b"data: 1\r\n\r");
        assert_eq!(framer.whole_events().as_deref(), Some(&b"data: 1\r\n\r"[..]));
        framer.push(b"\ndata: 2");
        assert_eq!(framer.whole_events().as_deref(), Some(&b"\n"[..]));
        assert_eq!(framer.whole_events(), None);
        framer.push(b"\n");
        assert_eq!((framer.whole_events(), framer.held()), (None, 8));
    }

    proptest! {
        #[test]
        fn the_framer_releases_all_of_the_stream_and_holds_nothing_that_the_splitter_reports(
            stream in "(event: [ab]|data: [xy]{0,3}|: c|\r\n|\n|\r){0,40}",
            size in 1usize..9,
        ) {
            let (mut framer, mut all) = (Framer::default(), Vec::new());
            for chunk in stream.as_bytes().chunks(size) {
                framer.push(chunk);
                if let Some(events) = framer.whole_events() {
                    all.extend_from_slice(&events);
                }
                let (mut held, mut reported) = (Splitter::default(), 0);
                held.feed(&framer.held, |_| reported += 1);
                prop_assert_eq!(reported, 0, "a whole event was held");
                prop_assert_eq!(released(&all).1, b"", "half an event was released");
            }
            all.extend(framer.rest().unwrap_or_default());
            prop_assert_eq!(all, stream.as_bytes());
        }
    }
}
