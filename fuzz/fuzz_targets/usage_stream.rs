//! A stream is read the same however it is cut, and what is read of it can be so: figures are counts, there is no more
//! content than there were bytes, what has begun or ended stays so, and a result is exact only where the stream
//! stopped with its final figures and none of them was absurd.
#![no_main]

use levee_core::metering::usage::StreamReader;
use levee_fuzz::{assert_counts, pieces};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let mut whole = StreamReader::default();
    whole.feed(stream);

    let mut reader = StreamReader::default();
    let mut before = reader.progress();
    for piece in pieces(stream) {
        reader.feed(piece);
        let progress = reader.progress();
        assert!(progress.figures.is_some() >= before.figures.is_some());
        assert!(progress.content_bytes >= before.content_bytes);
        assert!(progress.has_content >= before.has_content);
        assert!(progress.has_final_usage >= before.has_final_usage);
        assert!(progress.ended >= before.ended && (progress.ended || progress.error.is_none()));
        before = progress;
    }
    assert_eq!(before, whole.progress());

    // A byte that is not UTF-8 becomes three.
    assert!(before.content_bytes <= 3 * stream.len() as u64);
    let (figures, is_estimated) = reader.result();
    let is_final = before.has_final_usage && before.ended && before.error.is_none();
    assert_eq!(is_estimated, !is_final || figures.is_absurd);
    assert_eq!(figures.is_absurd, before.absurd.is_some());
    assert_counts(&figures.usage);
    assert_counts(&reader.estimate().usage);
});
