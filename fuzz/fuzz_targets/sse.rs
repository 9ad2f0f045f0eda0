//! The splitter yields the same events however a stream is cut, and no more than it was fed; the framer releases all of
//! the stream, and holds no event that the splitter has reported.
#![no_main]

use levee_core::metering::sse::{Event, Framer, Splitter};
use levee_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let (mut splitter, mut events) = (Splitter::default(), Vec::new());
    for piece in pieces {
        splitter.feed(piece, |event| events.push(event));
    }
    events
}

fuzz_target!(|stream: &[u8]| {
    let events = split([stream]);
    assert_eq!(split(stream.chunks(1)), events);
    assert_eq!(split(pieces(stream)), events);
    // A byte that is not UTF-8 becomes three.
    let reported = events.iter().map(|event| event.name.len() + event.data.len()).sum::<usize>();
    assert!(reported <= 3 * stream.len());

    let mut framer = Framer::default();
    let (mut of_received, mut of_released) = (Splitter::default(), Splitter::default());
    let (mut released, mut received) = (Vec::new(), 0);
    let (mut in_received, mut in_released) = (0, 0);
    for piece in pieces(stream) {
        framer.push(piece);
        received += piece.len();
        of_received.feed(piece, |_| in_received += 1);
        if let Some(whole) = framer.whole_events() {
            assert!(whole.ends_with(b"\n") || whole.ends_with(b"\r"));
            released.extend_from_slice(&whole);
            of_released.feed(&whole, |_| in_released += 1);
        }
        assert_eq!(in_released, in_received);
        assert_eq!(framer.held() + released.len(), received);
    }
    released.extend_from_slice(&framer.rest().unwrap_or_default());
    assert_eq!(released, stream);
});
