//! From chunks to whole events.

use bytes::{Bytes, BytesMut};

/// Holds a byte stream back to event borders: what it releases are whole events, and all of it together is the stream,
/// byte for byte.
///
/// Each byte is looked at once. What is held has no bound of its own: its owner asks [`Framer::held`] and gives up.
#[derive(Debug, Default)]
pub struct Framer {
    held: BytesMut,
    /// How much of `held` has been looked at.
    seen: usize,
    /// Where in `held` the last whole event ends; 0 where there is none.
    border: usize,
    /// The current line has a first byte.
    in_line: bool,
    after_carriage_return: bool,
}

impl Framer {
    /// Takes the next chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Releases all whole events; `None` where there is none.
    pub fn whole_events(&mut self) -> Option<Bytes> {
        for (at, &byte) in self.held.iter().enumerate().skip(self.seen) {
            let after_carriage_return = std::mem::replace(&mut self.after_carriage_return, byte == b'\r');
            let is_border = match byte {
                // It belongs to the carriage return, on the same side of the border.
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
        let border = std::mem::take(&mut self.border);
        self.seen = self.held.len() - border;
        (border > 0).then(|| self.held.split_to(border).freeze())
    }

    /// Releases what is left, whole or not; `None` where that is nothing.
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
