//! Parses bytes into server-sent events.

/// Largest data of an event that is kept, in bytes. Of a larger event only the name is reported.
pub const LARGEST_EVENT: usize = 8 * 1024 * 1024;

/// Longest part of an event's name that is kept, in bytes. All known names are shorter.
const LONGEST_NAME: usize = 256;

/// Length of the longest field name with a meaning, in bytes.
const LONGEST_FIELD: usize = b"event".len();

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Value of the `event` field; empty if there is none, cut off after 256 bytes.
    pub name: String,
    /// Values of the `data` fields, joined by line feeds; empty if larger than [`LARGEST_EVENT`].
    pub data: String,
}

/// Splits a stream into events. The same bytes in other chunks yield the same events.
///
/// It holds no more than one event's name and data, within their limits. Values are stored as they arrive, not line by
/// line, and all other fields and comments are dropped unread. An event that ends with the stream and not with an
/// empty line is ignored, as the specification demands.
#[derive(Debug, Clone, Default)]
pub struct Splitter {
    /// Progress through the byte order mark that may begin the stream.
    mark: Mark,
    /// Position of the next byte within its line.
    place: Place,
    /// True if the last byte was a carriage return.
    after_carriage_return: bool,
    name: Vec<u8>,
    /// Data so far; `None` until the event has a `data` field.
    data: Option<Vec<u8>>,
    /// True if the data outgrew [`LARGEST_EVENT`] and was dropped.
    is_too_large: bool,
}

/// Progress through a byte order mark at the start of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// This many bytes of the mark have come, and nothing else.
    Seen(usize),
    /// The mark has ended, or there was none.
    Past,
}

impl Default for Mark {
    fn default() -> Self {
        Self::Seen(0)
    }
}

/// Position of the next byte within its line.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the field's name, of which this many bytes have come.
    Field([u8; LONGEST_FIELD], usize),
    /// After the colon. One space here is not part of the value.
    Colon(Field),
    /// In the value.
    Value(Field),
}

impl Default for Place {
    fn default() -> Self {
        Self::Field([0; LONGEST_FIELD], 0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Data,
    /// A comment, or a field without a meaning here.
    Other,
}

impl Splitter {
    /// Parses the next chunk and passes each event that it completes to `each`.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(SseEvent)) {
        // Parse the chunk line by line. The rest stays in the state until the next chunk.
        let mut rest = self.skip_mark(chunk);
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.take(&rest[..end]);
            // The line feed of a CR LF pair does not end another line.
            let ended_already = self.after_carriage_return && rest[end] == b'\n';
            self.after_carriage_return = rest[end] == b'\r';
            if !ended_already {
                self.end_line(&mut each);
            }
            rest = &rest[end + 1..];
        }
        self.take(rest);
    }

    /// Returns the part of a chunk after the byte order mark that may begin the stream.
    fn skip_mark<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let Mark::Seen(seen) = self.mark else { return chunk };
        // Compare the chunk with the bytes of the mark that are still missing.
        let missing = &BYTE_ORDER_MARK[seen..];
        let same = missing.iter().zip(chunk).take_while(|(mark, byte)| mark == byte).count();
        if same == missing.len() {
            self.mark = Mark::Past;
            return &chunk[same..];
        }
        if same == chunk.len() {
            self.mark = Mark::Seen(seen + same);
            return &[];
        }
        // There is no mark. The bytes that looked like one belong to the first line.
        self.mark = Mark::Past;
        self.take(&BYTE_ORDER_MARK[..seen]);
        chunk
    }

    /// Parses a part of a line.
    fn take(&mut self, mut part: &[u8]) {
        while let Some(&first) = part.first() {
            self.after_carriage_return = false;
            match &mut self.place {
                Place::Field(..) if first == b':' => {
                    let field = self.begin_value();
                    self.place = Place::Colon(field);
                    part = &part[1..];
                }
                Place::Field(name, length) if *length < LONGEST_FIELD => {
                    name[*length] = first;
                    *length += 1;
                    part = &part[1..];
                }
                // The name is longer than any field with a meaning.
                Place::Field(..) => self.place = Place::Value(Field::Other),
                Place::Colon(field) => {
                    self.place = Place::Value(*field);
                    part = part.strip_prefix(b" ").unwrap_or(part);
                }
                Place::Value(field) => {
                    let field = *field;
                    return self.extend(field, part);
                }
            }
        }
    }

    /// Resolves the field whose name is complete, and prepares its value.
    fn begin_value(&mut self) -> Field {
        let Place::Field(name, length) = &self.place else { return Field::Other };
        match &name[..*length] {
            b"event" => {
                self.name.clear();
                Field::Name
            }
            b"data" => {
                match self.data {
                    Some(_) => self.extend(Field::Data, b"\n"),
                    None => self.data = Some(Vec::new()),
                }
                Field::Data
            }
            _ => Field::Other,
        }
    }

    fn extend(&mut self, field: Field, part: &[u8]) {
        match (field, &mut self.data) {
            (Field::Name, _) => {
                // Keep the beginning of a long name.
                let room = LONGEST_NAME.saturating_sub(self.name.len());
                self.name.extend_from_slice(&part[..room.min(part.len())]);
            }
            (Field::Data, Some(data)) if !self.is_too_large => {
                if data.len() + part.len() <= LARGEST_EVENT {
                    data.extend_from_slice(part);
                } else {
                    // Drop the data, but go on to find the end of the event.
                    self.is_too_large = true;
                    *data = Vec::new();
                }
            }
            _ => {}
        }
    }

    fn end_line(&mut self, each: &mut impl FnMut(SseEvent)) {
        match self.place {
            // An empty line ends the event.
            Place::Field(_, 0) => return self.end_event(each),
            // A field without a colon has an empty value.
            Place::Field(..) => {
                self.begin_value();
            }
            Place::Colon(_) | Place::Value(_) => {}
        }
        self.place = Place::default();
    }

    fn end_event(&mut self, each: &mut impl FnMut(SseEvent)) {
        let name = std::mem::take(&mut self.name);
        self.is_too_large = false;
        // An event without data is none, as the specification demands.
        if let Some(data) = self.data.take() {
            each(SseEvent { name: text(name), data: text(data) });
        }
    }
}

/// Converts bytes to text, replacing everything that is not UTF-8.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<SseEvent> {
        let (mut splitter, mut events) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.feed(chunk, |event| events.push(event));
        }
        events
    }

    fn event(name: &str, data: &str) -> SseEvent {
        SseEvent { name: name.to_owned(), data: data.to_owned() }
    }

    #[rstest]
    #[case::line_feeds("event: a\ndata: 1\n\n", &[event("a", "1")])]
    #[case::carriage_returns_with_line_feeds("event: a\r\ndata: 1\r\n\r\n", &[event("a", "1")])]
    #[case::carriage_returns_alone("event: a\rdata: 1\r\rdata: 2\r\r", &[event("a", "1"), event("", "2")])]
    #[case::mixed_line_ends("data: 1\n\rdata: 2\r\n\ndata: 3\n\r\n", &[event("", "1"), event("", "2"), event("", "3")])]
    #[case::comments(": hello\n:\ndata: 1\n: data: 2\n\n", &[event("", "1")])]
    #[case::several_data_lines("data: 1\ndata:\ndata: 2\n\n", &[event("", "1\n\n2")])]
    #[case::no_space_after_the_colon("event:a\ndata:1\n\n", &[event("a", "1")])]
    #[case::only_one_space_belongs_to_the_colon("data:  1 \n\n", &[event("", " 1 ")])]
    #[case::colons_in_values("data: 1:2: 3\n\n", &[event("", "1:2: 3")])]
    #[case::fields_without_a_colon("event\ndata\n\n", &[event("", "")])]
    #[case::an_empty_value("data:\n\n", &[event("", "")])]
    #[case::the_last_name("event: a\nevent: b\ndata: 1\n\n", &[event("b", "1")])]
    #[case::a_name_that_is_taken_back("event: a\nevent\ndata: 1\n\n", &[event("", "1")])]
    #[case::other_fields("id: 1\nretry: 2\ndatas: 3\nevents: x\n data: 4\nDATA: 5\ndata: 6\n\n", &[event("", "6")])]
    #[case::no_data("event: a\n\ndata: 1\n\n", &[event("", "1")])]
    #[case::empty_lines("\n\n\r\n\r\n\r\rdata: 1\n\n\n", &[event("", "1")])]
    #[case::a_byte_order_mark("\u{feff}data: 1\n\ndata: 2\n\n", &[event("", "1"), event("", "2")])]
    #[case::a_second_byte_order_mark("\u{feff}\u{feff}data: 1\n\n", &[])]
    #[case::a_byte_order_mark_within("data: \u{feff}1\n\n\u{feff}data: 2\n\n", &[event("", "\u{feff}1")])]
    #[case::an_unfinished_event("data: 1\n\ndata: 2\n", &[event("", "1")])]
    #[case::an_unfinished_line("data: 1\n\ndata: 2", &[event("", "1")])]
    fn a_stream_is_read_as_the_specification_says(#[case] stream: &str, #[case] expected: &[SseEvent]) {
        assert_eq!(split([stream.as_bytes()]), expected);
        assert_eq!(split(stream.as_bytes().chunks(1)), expected, "byte by byte");
    }

    #[test]
    fn what_is_not_utf_8_is_replaced() {
        assert_eq!(split([&b"event: \xFF\ndata: a\xC3\n\n"[..]]), [event("\u{fffd}", "a\u{fffd}")]);
        assert_eq!(split(b"\xEF\xBBdata: 1\n\ndata: 2\n\n".chunks(1)), [event("", "2")], "half a byte order mark");
    }

    #[test]
    fn of_an_event_that_is_too_large_the_name_is_reported_and_the_next_is_whole() {
        let mut stream = b"data: x\ndata: ".to_vec();
        stream.extend(vec![b'x'; LARGEST_EVENT]);
        stream.extend(b"\ndata: y\nevent: big\n\nevent: next\ndata: 1\n\n");
        for size in [1 << 16, stream.len()] {
            assert_eq!(split(stream.chunks(size)), [event("big", ""), event("next", "1")], "in pieces of {size}");
        }
    }

    #[test]
    fn the_largest_event_is_whole() {
        let data = "x".repeat(LARGEST_EVENT);
        let stream = format!("data: {data}\n\n");
        assert_eq!(split(stream.as_bytes().chunks(1 << 16)), [event("", &data)]);
    }

    #[test]
    fn long_comments_names_and_unknown_fields_are_not_held() {
        let mut splitter = Splitter::default();
        let long = "x".repeat(1 << 16);
        for begin in [":", "id: ", "", "event: "] {
            splitter.feed(begin.as_bytes(), |_| {});
            for _ in 0..64 {
                splitter.feed(long.as_bytes(), |_| {});
            }
            assert!(splitter.name.capacity() <= 2 * LONGEST_NAME && splitter.data.is_none());
            splitter.feed(b"\n", |_| {});
        }
        let mut events = Vec::new();
        splitter.feed(b"data: 1\n\n", |event| events.push(event));
        assert_eq!(events, [event(&long[..LONGEST_NAME], "1")]);
    }

    proptest! {
        #[test]
        fn chunk_borders_change_nothing(
            stream in "\u{feff}?(event: [ab]|event|data:? ?[xyé]{0,3}|data|:c|id: 1|\r\n|\n|\r|\u{feff}){0,40}",
            sizes in prop::collection::vec(1usize..9, 1..9),
        ) {
            let (mut chunks, mut rest) = (Vec::new(), stream.as_bytes());
            for size in sizes.iter().cycle() {
                let (chunk, left) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk);
                rest = left;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(split(chunks), split([stream.as_bytes()]));
        }
    }
}
