//! Splits a byte stream into server-sent events, whatever the chunk borders
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).

use bytes::{Bytes, BytesMut};

/// The largest event that is kept; of a larger one only its name is reported.
const LARGEST_EVENT: usize = 8 * 1024 * 1024;

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event` field, empty where there is none.
    pub name: String,
    /// The `data` fields joined by line feeds; empty where they were too large to keep.
    pub data: String,
}

/// Splits chunks into events. Feeding the same bytes in other chunks yields the same events.
#[derive(Debug, Default)]
pub struct Splitter {
    line: Vec<u8>,
    name: String,
    data: Option<Vec<u8>>,
    after_carriage_return: bool,
    /// The event outgrew [`LARGEST_EVENT`]: the rest of its lines is skipped.
    too_large: bool,
    /// Bytes of the current line that were skipped.
    skipped: usize,
}

impl Splitter {
    /// Takes the next chunk and passes each event that it completes to `each`.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(Event)) {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.keep(&rest[..end]);
            // The line feed of a CR LF pair ends no line of its own.
            let ended_already = self.after_carriage_return && rest[end] == b'\n';
            self.after_carriage_return = rest[end] == b'\r';
            if !ended_already {
                self.end_line(&mut each);
            }
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    fn keep(&mut self, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        self.after_carriage_return = false;
        let held = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if self.too_large || held + part.len() > LARGEST_EVENT {
            self.too_large = true;
            self.skipped += part.len();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self, each: &mut impl FnMut(Event)) {
        let line = std::mem::take(&mut self.line);
        let skipped = std::mem::take(&mut self.skipped);
        if line.is_empty() && skipped == 0 {
            return self.end_event(each);
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => match &mut self.data {
                None => self.data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }

    fn end_event(&mut self, each: &mut impl FnMut(Event)) {
        let name = std::mem::take(&mut self.name);
        let too_large = std::mem::take(&mut self.too_large);
        if let Some(data) = self.data.take() {
            let data = if too_large { String::new() } else { String::from_utf8_lossy(&data).into_owned() };
            each(Event { name, data });
        }
    }
}

/// Holds a byte stream back to event borders: what it releases are whole events, and all of it together is the stream,
/// byte for byte.
#[derive(Debug, Default)]
pub struct Framer {
    held: BytesMut,
    /// How much of `held` is known to hold no end of an event.
    searched: usize,
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
        // An end may have begun just before what was searched last.
        let from = self.searched.saturating_sub(LONGEST_END - 1);
        let end = end_of_last_event(&self.held[from..]).map(|end| from + end);
        let released = end.map(|end| self.held.split_to(end).freeze());
        self.searched = self.held.len();
        released
    }

    /// Releases what is left, whole or not; `None` where that is nothing.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.searched = 0;
        (!self.held.is_empty()).then(|| self.held.split().freeze())
    }
}

/// The length of the longest end of an event: CR LF CR LF.
const LONGEST_END: usize = 4;

/// Where the last whole event in `bytes` ends: just after its empty line. `None` where there is no whole event.
fn end_of_last_event(bytes: &[u8]) -> Option<usize> {
    let ends = |separator: &[u8]| bytes.windows(separator.len()).rposition(|window| window == separator);
    [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"].into_iter().filter_map(|it| Some(ends(it)? + it.len())).max()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
        let (mut splitter, mut events) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.feed(chunk, |event| events.push(event));
        }
        events
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_split_at_empty_lines_with_any_line_ending() {
        let stream = b"event: a\ndata: 1\n\nevent: b\r\ndata: 2\r\ndata:3\r\n\r\n: comment\rdata: 4\r\r";
        assert_eq!(split([&stream[..]]), [event("a", "1"), event("b", "2\n3"), event("", "4")]);
    }

    #[test]
    fn the_last_whole_event_ends_after_its_empty_line() {
        assert_eq!(end_of_last_event(b"data: 1\n\ndata: 2\n\ndata"), Some(18));
        assert_eq!(end_of_last_event(b"data: 1\r\n\r\n"), Some(11));
        assert_eq!(end_of_last_event(b"data: 1\n"), None);
        assert_eq!(end_of_last_event(b""), None);
    }

    #[test]
    fn an_event_without_data_and_an_unfinished_event_are_not_reported() {
        assert_eq!(split([&b"event: a\n\ndata: 1"[..]]), []);
    }

    #[test]
    fn of_an_event_that_is_too_large_the_name_is_reported_and_the_next_is_whole() {
        let mut stream = b"event: big\ndata: x\ndata: ".to_vec();
        stream.extend(vec![b'x'; LARGEST_EVENT]);
        stream.extend(b"\n\nevent: next\ndata: 1\n\n");
        assert_eq!(split(stream.chunks(1 << 16)), [event("big", ""), event("next", "1")]);
    }

    proptest! {
        #[test]
        fn a_framer_releases_whole_events_and_all_of_the_stream(
            stream in "(event: [ab]|data: [xy]{0,3}|\r\n|\n){0,40}",
            size in 1usize..9,
        ) {
            let (mut framer, mut released, mut rest) = (Framer::default(), Vec::new(), Vec::new());
            for chunk in stream.as_bytes().chunks(size) {
                framer.push(chunk);
                if let Some(events) = framer.whole_events() {
                    prop_assert_eq!(end_of_last_event(&events), Some(events.len()), "released within an event");
                    released.extend_from_slice(&events);
                }
            }
            rest.extend(framer.rest().unwrap_or_default());
            prop_assert_eq!(end_of_last_event(&rest), None, "a whole event was held");
            prop_assert_eq!([released, rest].concat(), stream.as_bytes());
        }

        #[test]
        fn chunk_borders_change_nothing(stream in "(event: [ab]|data: [xy]{0,3}|:c|\r\n|\n|\r){0,40}", size in 1usize..9) {
            prop_assert_eq!(split(stream.as_bytes().chunks(size)), split([stream.as_bytes()]));
        }
    }
}
