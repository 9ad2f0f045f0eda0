//! Feeds the bytes of a provider's stream to its reader and its framer. No I/O.

use levee::metering::StreamReader;
use levee::metering::sse::Framer;

/// Feeds `chunk` to `reader` and `framer`, up to the end of the stream's last event. Bytes after that belong to no
/// answer and are dropped. An event that `instead` returns for the stream's end takes the place of the provider's own.
pub fn take(
    reader: &mut StreamReader,
    framer: &mut Framer,
    chunk: &[u8],
    instead: impl Fn(&StreamReader) -> Option<String>,
) {
    if reader.progress().ended {
        return;
    }
    let mut end = 0;
    // An event ends with a line, so feed the chunk line by line to find the last one.
    for line in chunk.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        reader.feed(line);
        if reader.progress().ended
            && let Some(event) = instead(reader)
        {
            // Without this line the provider's event is not whole, so that it can be told from those before it.
            framer.push(&chunk[..end]);
            let before = framer.whole_events();
            let _dropped = framer.rest();
            before.iter().for_each(|events| framer.push(events));
            framer.push(event.as_bytes());
            return;
        }
        end += line.len();
        if reader.progress().ended {
            // The line feed of a CR LF pair belongs to the line.
            if line.ends_with(b"\r") && chunk.get(end) == Some(&b'\n') {
                end += 1;
            }
            break;
        }
    }
    framer.push(&chunk[..end]);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n";
    const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n";

    fn taken(stream: &str, size: usize) -> String {
        let (mut reader, mut framer) = (StreamReader::default(), Framer::default());
        let mut taken = Vec::new();
        for chunk in stream.as_bytes().chunks(size) {
            take(&mut reader, &mut framer, chunk, |_| None);
            taken.extend(framer.whole_events().unwrap_or_default());
        }
        taken.extend(framer.rest().unwrap_or_default());
        String::from_utf8(taken).unwrap()
    }

    #[rstest]
    #[case::nothing("")]
    #[case::another_event("event: ping\ndata: {\"type\":\"ping\"}\n\n")]
    #[case::half_an_event("data: {\"ty")]
    #[case::a_comment(": bye\n\n")]
    #[case::empty_lines("\n\n\n")]
    #[case::a_second_answer(START)]
    #[case::a_second_end(STOP)]
    #[case::no_text("\u{0}\u{1}")]
    fn what_follows_the_last_event_is_dropped(#[case] more: &str) {
        for end in [STOP, ERROR] {
            for ends in ["\n", "\r\n", "\r"] {
                let stream = [START, end].concat().replace('\n', ends);
                let all = [&stream, more].concat();
                // A line feed after a carriage return belongs to its line. If it comes in a chunk of its own, it is
                // dropped.
                for size in [1, 2, 3, all.len()] {
                    let taken = taken(&all, size);
                    assert_eq!(taken.trim_end_matches('\n'), stream.trim_end_matches('\n'), "{more:?} after {end:?}");
                }
            }
        }
    }

    #[test]
    fn an_error_event_that_is_replaced_leaves_no_trace_and_what_came_before_it_stays() {
        for ends in ["\n", "\r\n", "\r"] {
            let stream = [START, ERROR].concat().replace('\n', ends);
            for size in 1..=stream.len() {
                let (mut reader, mut framer) = (StreamReader::default(), Framer::default());
                let mut taken = Vec::new();
                for chunk in stream.as_bytes().chunks(size) {
                    let instead =
                        |reader: &StreamReader| reader.progress().error.map(|_| "data: neutral\n\n".to_owned());
                    take(&mut reader, &mut framer, chunk, instead);
                    taken.extend(framer.whole_events().unwrap_or_default());
                }
                taken.extend(framer.rest().unwrap_or_default());
                let expected = START.replace('\n', ends) + "data: neutral\n\n";
                assert_eq!(String::from_utf8(taken).unwrap(), expected, "{ends:?} {size}");
            }
        }
    }

    #[test]
    fn a_stream_without_an_end_is_taken_as_it_is() {
        let stream = [": hello\n\n", START, "data: {\"ty"].concat();
        for size in 1..stream.len() {
            assert_eq!(taken(&stream, size), stream);
        }
    }
}
