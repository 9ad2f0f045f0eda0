//! Tests of the buffer alone: which writes are due, which errors are dropped, and that nothing counts twice.

use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000;

/// Returns an error of `function` at `at` (Unix milliseconds).
pub(in crate::breadcrumbs) fn breadcrumb(code: &str, message: &str, at: u64) -> Breadcrumb {
    Breadcrumb {
        first_at: at,
        last_at: at,
        function: "function".to_owned(),
        severity: Severity::Error,
        code: code.to_owned(),
        message: message.to_owned(),
        request_id: None,
        more_request_ids: Vec::new(),
        account: None,
        connection: None,
        count: 1,
    }
}

fn buffer() -> Buffer {
    Buffer::new("function", 7)
}

/// Returns a code without digits for each number.
fn code(number: usize) -> String {
    number.to_string().bytes().map(|digit| char::from(digit + b'a' - b'0')).collect()
}

/// Returns the writes that are due at `at` (Unix milliseconds).
fn due(buffer: &mut Buffer, due: Due, at: u64) -> Vec<Write> {
    buffer.due(due, Timestamp::from_millis(at))
}

fn counts(writes: &[Write]) -> Vec<(&str, u64)> {
    writes.iter().map(|write| (write.breadcrumb.code.as_str(), write.breadcrumb.count)).collect()
}

#[test]
fn the_first_of_a_minute_is_due_at_once_and_repeats_when_the_minute_is_over() {
    let mut buffer = buffer();
    buffer.add(breadcrumb("a", "m", 0));
    let first = due(&mut buffer, Due::Ripe, 1);
    assert_eq!(counts(&first), [("a", 1)]);
    buffer.settle(&first[0]);
    for at in 2..5 {
        buffer.add(breadcrumb("a", "m", at));
        assert!(due(&mut buffer, Due::Ripe, at).is_empty());
    }
    let rest = due(&mut buffer, Due::Ripe, MINUTE);
    assert_eq!(counts(&rest), [("a", 3)]);
    assert_eq!((rest[0].position, rest[0].breadcrumb.last_at), (first[0].position, 4));
    assert!(rest[0].mark.sequence > first[0].mark.sequence);
    buffer.settle(&rest[0]);
    assert!(due(&mut buffer, Due::All, MINUTE).is_empty());
    assert!(buffer.entries.is_empty());
}

#[test]
fn a_row_knows_its_first_request_and_the_latest_others() {
    let mut buffer = buffer();
    let of = |request: &str| Breadcrumb { request_id: Some(request.to_owned()), ..breadcrumb("a", "m", 0) };
    buffer.add(of("first"));
    let first = due(&mut buffer, Due::Ripe, 1);
    for request in ["r1", "r2", "r3", "first", "r1", "r4", "r5"] {
        buffer.add(of(request));
    }
    buffer.give_back(&first[0]);
    let again = due(&mut buffer, Due::Ripe, 2);
    assert_eq!(again, first, "a write that was begun stays as it was");
    assert_eq!(first[0].breadcrumb.more_request_ids, [""; 0]);
    buffer.settle(&again[0]);
    let rest = due(&mut buffer, Due::All, 3);
    assert_eq!(rest[0].breadcrumb.request_id.as_deref(), Some("first"));
    assert_eq!(rest[0].breadcrumb.more_request_ids, ["r3", "r1", "r4", "r5"]);
}

#[test]
fn everything_is_due_before_the_end() {
    let mut buffer = buffer();
    buffer.add(breadcrumb("a", "m", 0));
    let first = due(&mut buffer, Due::Ripe, 1);
    buffer.settle(&first[0]);
    buffer.add(breadcrumb("a", "m", 2));
    assert_eq!(counts(&due(&mut buffer, Due::All, 3)), [("a", 1)]);
}

#[test]
fn a_write_that_failed_is_repeated_as_it_was() {
    let mut buffer = buffer();
    buffer.add(breadcrumb("a", "m", 0));
    let first = due(&mut buffer, Due::Ripe, 1);
    buffer.add(breadcrumb("a", "m", 2));
    assert!(due(&mut buffer, Due::All, 3).is_empty(), "it is on its way");
    buffer.give_back(&first[0]);
    buffer.add(breadcrumb("a", "m", 4));
    let again = due(&mut buffer, Due::Ripe, 5);
    assert_eq!(again, first);
    buffer.settle(&again[0]);
    assert_eq!(counts(&due(&mut buffer, Due::All, 6)), [("a", 2)]);
}

#[test]
fn what_happens_to_one_write_does_not_touch_a_later_one() {
    let mut buffer = buffer();
    buffer.add(breadcrumb("a", "m", 0));
    let first = due(&mut buffer, Due::Ripe, 1);
    buffer.settle(&first[0]);
    buffer.add(breadcrumb("a", "m", 2));
    let second = due(&mut buffer, Due::All, 3);
    buffer.settle(&first[0]);
    buffer.give_back(&first[0]);
    assert!(due(&mut buffer, Due::All, 4).is_empty(), "the second is on its way");
    buffer.give_back(&second[0]);
    assert_eq!(due(&mut buffer, Due::All, 5), second);
}

#[test]
fn nothing_distinct_is_lost_below_the_bound_and_above_it_is_counted() {
    let mut buffer = buffer();
    for number in 0..CAPACITY + 3 {
        buffer.add(breadcrumb(&code(number), "m", 0));
    }
    // These equal errors that are held; the second is of another minute.
    buffer.add(breadcrumb(&code(0), "m", 1));
    buffer.add(breadcrumb(&code(1), "m", MINUTE));
    let writes = due(&mut buffer, Due::Ripe, MINUTE);
    let total: u64 = writes.iter().map(|write| write.breadcrumb.count).sum();
    assert_eq!((writes.len(), total), (CAPACITY + 1, CAPACITY as u64 + 5));
    let dropped: Vec<_> = writes.iter().filter(|write| write.breadcrumb.code == "breadcrumbs.dropped").collect();
    assert_eq!(dropped[0].breadcrumb.count, 3);
    assert_eq!(dropped[0].breadcrumb.severity, Severity::Warning);
}

#[test]
fn an_outage_in_which_errors_are_dropped_does_not_grow_the_buffer() {
    let mut buffer = buffer();
    for minute in 0..500 {
        for number in 0..CAPACITY + 1 {
            buffer.add(breadcrumb(&code(number), "m", minute * MINUTE));
        }
        for write in due(&mut buffer, Due::Ripe, minute * MINUTE) {
            buffer.give_back(&write);
        }
    }
    assert_eq!(buffer.entries.len(), CAPACITY + 1);
    assert_eq!(buffer.waiting(), CAPACITY + 1);
}

#[test]
fn what_was_written_makes_room_for_what_was_not() {
    let mut buffer = buffer();
    for number in 0..3 * CAPACITY {
        buffer.add(breadcrumb(&code(number), "m", 0));
        let writes = due(&mut buffer, Due::Ripe, 1);
        assert_eq!(writes.len(), 1);
        writes.iter().for_each(|write| buffer.settle(write));
    }
    assert_eq!((buffer.entries.len(), buffer.dropped), (CAPACITY, 0));
}

#[test]
fn a_full_buffer_writes_repeats_too() {
    let mut buffer = buffer();
    for _ in 0..2 {
        for number in 0..CAPACITY {
            buffer.add(breadcrumb(&code(number), "m", 0));
        }
        let writes = due(&mut buffer, Due::Ripe, 1);
        assert_eq!(writes.len(), CAPACITY);
        writes.iter().for_each(|write| buffer.settle(write));
    }
    buffer.add(breadcrumb("new", "m", 0));
    assert_eq!(counts(&due(&mut buffer, Due::Ripe, 1)), [("new", 1)]);
}

#[test]
fn a_clock_that_goes_back_loses_nothing() {
    let mut buffer = buffer();
    buffer.add(breadcrumb("a", "m", 5 * MINUTE));
    let first = due(&mut buffer, Due::Ripe, 5 * MINUTE);
    buffer.settle(&first[0]);
    buffer.add(breadcrumb("a", "m", 5 * MINUTE));
    assert_eq!(counts(&due(&mut buffer, Due::Ripe, 2 * MINUTE)), [("a", 1)]);
}

/// Result of a write, and the part of it that the buffer sees.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Done,
    DoneButTheAnswerIsLost,
    Lost,
}

#[derive(Debug, Clone)]
enum Step {
    Error { environment: usize, code: usize },
    Flush { environment: usize, due: bool, fates: Vec<Fate> },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![Just(Fate::Done), Just(Fate::DoneButTheAnswerIsLost), Just(Fate::Lost)];
    prop_oneof![
        6 => (0..3usize, 0..8usize).prop_map(|(environment, code)| Step::Error { environment, code }),
        3 => (0..3usize, any::<bool>(), proptest::collection::vec(fate, 1..4))
            .prop_map(|(environment, due, fates)| Step::Flush { environment, due, fates }),
        1 => (1..2 * MINUTE).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Models the table as a map that rejects marks in the same way as the condition of the real write.
    #[test]
    fn every_error_is_counted_exactly_once_whatever_happens_to_the_writes(
        steps in proptest::collection::vec(step(), 0..200)
    ) {
        let mut buffers = [1, 2, 3].map(|environment| Buffer::new("function", environment));
        let mut table: BTreeMap<Position, (u64, BTreeMap<u32, u64>)> = BTreeMap::new();
        let mut carry_out = |write: &Write| {
            let (count, marks) = table.entry(write.position).or_default();
            let mark = marks.entry(write.mark.environment).or_default();
            if *mark < write.mark.sequence {
                *mark = write.mark.sequence;
                *count += write.breadcrumb.count;
            }
        };
        let mut errors: BTreeMap<Position, u64> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Error { environment, code: number } => {
                    let error = breadcrumb(&code(number), "m", now);
                    *errors.entry(Position::of(&error)).or_default() += 1;
                    buffers[environment].add(error);
                }
                Step::Flush { environment, due: all, fates } => {
                    // Hand out the due writes, and let each succeed, lose its answer or get lost.
                    let buffer = &mut buffers[environment];
                    let writes = due(buffer, if all { Due::All } else { Due::Ripe }, now);
                    for (write, fate) in writes.iter().zip(fates.iter().cycle()) {
                        match fate {
                            Fate::Done => {
                                carry_out(write);
                                buffer.settle(write);
                            }
                            Fate::DoneButTheAnswerIsLost => {
                                carry_out(write);
                                buffer.give_back(write);
                            }
                            Fate::Lost => buffer.give_back(write),
                        }
                    }
                }
                Step::Wait(millis) => now += millis,
            }
        }
        // At the end every write succeeds: one round for what was begun, another for the rest.
        for buffer in &mut buffers {
            for _ in 0..2 {
                for write in due(buffer, Due::All, now) {
                    carry_out(&write);
                    buffer.settle(&write);
                }
            }
            prop_assert_eq!(buffer.waiting(), 0);
        }
        let counted: BTreeMap<Position, u64> = table.into_iter().map(|(at, (count, _))| (at, count)).collect();
        prop_assert_eq!(counted, errors);
    }
}
