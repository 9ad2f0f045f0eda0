//! Sample answers in the formats of Anthropic's API, each with its expected figures. They are also the seeds of the
//! fuzz targets under `fuzz/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::{Figures, Reading, StreamError, StreamProgress, StreamReader, Tier, Usage};

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "src/metering/usage/corpus"].iter().collect()
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn figures(usage: Usage) -> Option<Figures> {
    Some(Figures { usage, ..Figures::default() })
}

/// Returns the progress of a stream that came to its end.
fn ended(content_bytes: u64, figures: Option<Figures>) -> StreamProgress {
    let progress =
        StreamProgress { has_content: true, has_final_usage: true, ended: true, ..StreamProgress::default() };
    StreamProgress { figures, content_bytes, ..progress }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

/// Returns the usage of a message with a compaction before it and an advisor beside it.
fn iterations() -> Usage {
    Usage { cache_read: 20, ..usage(151_723, 4_152) }
}

fn streams() -> Vec<(&'static str, StreamProgress)> {
    let plain = || figures(usage(25, 15));
    let cached = Usage { cache_read: 1800, cache_write_5m: 456, cache_write_1h: 2048, ..usage(12, 40) };
    let searched = Usage {
        cache_read: 2100,
        cache_write_5m: 500,
        cache_write_1h: 100,
        web_searches: 1,
        web_fetches: 2,
        ..usage(10_682, 510)
    };
    let absurd = Usage { cache_read: 70, cache_write_5m: 300, web_fetches: 2, ..usage(0, 15) };
    let overloaded = StreamProgress { ended: true, error: Some(StreamError::Overloaded), ..StreamProgress::default() };
    vec![
        (
            "absurd.sse",
            StreamProgress {
                absurd: Some("input_tokens"),
                ..ended(31, Some(Figures { usage: absurd, tier: Tier::Standard, is_absurd: true }))
            },
        ),
        (
            "absurd_output.sse",
            StreamProgress {
                absurd: Some("output_tokens"),
                has_final_usage: false,
                ..ended(31, Some(Figures { usage: usage(25, 1), tier: Tier::Standard, is_absurd: true }))
            },
        ),
        ("cache_lifetimes.sse", ended(31, figures(cached))),
        ("carriage_returns_and_comments.sse", ended(31, plain())),
        ("crlf.sse", ended(31, figures(Usage { cache_read: 7, ..usage(25, 15) }))),
        (
            "cut_before_message_delta.sse",
            StreamProgress { has_final_usage: false, ended: false, ..ended(31, figures(usage(25, 1))) },
        ),
        ("data_on_several_lines.sse", ended(31, plain())),
        ("iterations.sse", ended(16, figures(iterations()))),
        ("no_event_names.sse", ended(31, plain())),
        ("no_final_usage.sse", StreamProgress { has_final_usage: false, ..ended(31, figures(usage(25, 1))) }),
        ("nulls.sse", ended(31, plain())),
        (
            "overloaded_after_content.sse",
            StreamProgress {
                figures: figures(Usage { cache_write_5m: 300, ..usage(25, 1) }),
                content_bytes: 13,
                has_content: true,
                ..overloaded
            },
        ),
        (
            "overloaded_after_final_usage.sse",
            StreamProgress { error: Some(StreamError::Overloaded), ..ended(31, plain()) },
        ),
        ("overloaded_before_content.sse", StreamProgress { figures: figures(usage(25, 1)), ..overloaded }),
        ("pause_turn.sse", ended(30, figures(Usage { web_fetches: 1, ..usage(3000, 77) }))),
        ("pings.sse", ended(31, plain())),
        ("refusal.sse", ended(5, figures(usage(564, 22)))),
        ("server_tools.sse", ended(42, figures(searched))),
        ("text.sse", ended(31, plain())),
        ("thinking.sse", ended(100, figures(usage(60, 210)))),
        ("tool_use.sse", ended(84, figures(usage(472, 89)))),
        ("two_message_deltas.sse", ended(31, figures(Usage { cache_write_1h: 50, ..usage(30, 19) }))),
        ("unknown.sse", ended(2, Some(Figures { usage: usage(25, 15), tier: Tier::Other, is_absurd: false }))),
    ]
}

fn messages() -> Vec<(&'static str, Option<Figures>)> {
    let cached = Usage { cache_read: 1800, cache_write_5m: 456, cache_write_1h: 2048, ..usage(12, 40) };
    vec![
        ("absurd.json", Some(Figures { usage: usage(0, 4), tier: Tier::Standard, is_absurd: true })),
        ("cache_lifetimes.json", Some(Figures { usage: cached, tier: Tier::Priority, is_absurd: false })),
        ("count_tokens.json", None),
        ("error.json", None),
        ("iterations.json", figures(iterations())),
        ("nulls.json", figures(usage(3, 4))),
        ("server_tools.json", figures(Usage { web_searches: 3, web_fetches: 2, ..usage(10_682, 510) })),
        ("text.json", figures(usage(25, 15))),
        // The output is estimated from the answer's length.
        ("usage_is_no_object.json", Some(Figures { usage: usage(0, 54), is_absurd: true, ..Figures::default() })),
        ("usage_is_null.json", None),
    ]
}

fn progress<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> StreamProgress {
    let mut reader = StreamReader::default();
    for chunk in chunks {
        reader.feed(chunk);
    }
    reader.progress()
}

/// Cuts the bytes into pieces that end at these places, taken modulo their number.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let places = places.iter().map(|place| place % (bytes.len() + 1)).collect::<BTreeSet<_>>();
    let ends = places.iter().copied().chain([bytes.len()]);
    let starts = std::iter::once(0).chain(places.iter().copied());
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}

#[test]
fn every_file_of_the_corpus_has_its_expected_figures() {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files = files.filter(|name| !name.starts_with('.')).collect::<BTreeSet<_>>();
    let expected = streams().into_iter().map(|(name, _)| name).chain(messages().into_iter().map(|(name, _)| name));
    assert_eq!(files, expected.map(str::to_owned).collect());
}

#[test]
fn a_stream_reports_what_is_in_it_wherever_it_is_cut() {
    for (name, expected) in streams() {
        let stream = read(name);
        assert_eq!(progress([&stream[..]]), expected, "{name}");
        assert_eq!(progress(stream.chunks(1)), expected, "{name} byte by byte");
        let mut head = StreamReader::default();
        for at in 0..stream.len() {
            let mut reader = head.clone();
            reader.feed(&stream[at..]);
            assert_eq!(reader.progress(), expected, "{name} cut at {at}");
            head.feed(&stream[at..=at]);
        }
    }
}

#[test]
fn a_stream_that_breaks_off_anywhere_is_final_only_where_it_stopped_with_its_final_figures() {
    for (name, expected) in streams() {
        let mut reader = StreamReader::default();
        for (at, byte) in read(name).iter().enumerate() {
            reader.feed(&[*byte]);
            let (figures, is_estimated) = reader.result();
            if !is_estimated {
                assert_eq!(reader.progress(), expected, "{name} broken off after {at}");
                assert_eq!(Some(figures), expected.figures, "{name} broken off after {at}");
            }
            let limit = expected.figures.unwrap_or_default().usage.output.max(expected.content_bytes);
            assert!(figures.usage.output <= limit, "{name} broken off after {at}");
        }
        let estimated = name.starts_with("absurd") || name.starts_with("overloaded") || name == "no_final_usage.sse";
        assert_eq!(reader.result().1, estimated || !expected.ended, "{name}");
    }
}

#[test]
fn a_json_answer_reports_what_is_in_it_and_half_of_it_nothing() {
    for (name, expected) in messages() {
        let body = read(name);
        let reading = Reading::of_message(&body);
        assert_eq!(reading.as_ref().map(|reading| reading.figures), expected, "{name}");
        assert!(reading.as_ref().is_none_or(|it| it.absurd.is_some() == it.figures.is_absurd), "{name}: {reading:?}");
        let end = body.trim_ascii_end().len();
        for at in 0..end {
            assert_eq!(Reading::of_message(&body[..at]), None, "{name} cut at {at}");
        }
    }
}

#[test]
fn what_is_no_message_reports_nothing() {
    for body in [&b""[..], b"not json", b"[]", b"7", b"null", b"{}", b"{\"usage\":null}", b"\xFF"] {
        assert_eq!(Reading::of_message(body), None);
    }
    let broken_text = b"{\"content\":\"\xC3\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}";
    assert_eq!(Reading::of_message(broken_text).map(|reading| reading.figures), figures(usage(3, 4)));
}

proptest! {
    #[test]
    fn a_stream_reports_the_same_in_any_pieces(
        which in 0..streams().len(),
        places in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let (name, expected) = streams()[which];
        prop_assert_eq!(progress(cut(&read(name), &places)), expected, "{}", name);
    }

    #[test]
    fn a_damaged_stream_reports_the_same_in_any_pieces(
        which in 0..streams().len(),
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..20),
        places in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let mut stream = read(streams()[which].0);
        for (at, byte) in damage {
            let at = at % stream.len();
            stream[at] = byte;
        }
        prop_assert_eq!(progress(cut(&stream, &places)), progress([&stream[..]]));
        let _ = Reading::of_message(&stream);
    }

    #[test]
    fn arbitrary_bytes_report_the_same_in_any_pieces(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        places in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        prop_assert_eq!(progress(cut(&bytes, &places)), progress([&bytes[..]]));
        let _ = Reading::of_message(&bytes);
    }
}
