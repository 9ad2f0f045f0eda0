//! Equality of errors, and the place of a minute's errors in the table.

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::Breadcrumb;
use super::mask::pieces::{Look, Piece, look, pieces};

/// Number of partitions of a day. They spread the writes of a storm.
pub(super) const SHARDS: u64 = 8;
/// Minutes of a day.
pub(super) const DAY: u64 = 24 * 60;
/// Shortest word with both letters and digits that counts as an id.
const ID_LENGTH: usize = 8;

/// Hash that is equal for errors that differ only in numbers, ids, requests and times. It is stored, so it must not
/// change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fingerprint(pub(super) u64);

impl Fingerprint {
    pub(super) fn from_breadcrumb(breadcrumb: &Breadcrumb) -> Self {
        let Breadcrumb { function, severity, code, message, account, connection, .. } = breadcrumb;
        let message = normalise(message);
        let always = [function, severity.name(), code, &message].map(Some);
        let sometimes = [account.as_deref(), connection.as_deref()];
        let mut hash = Sha256::new();
        for part in always.into_iter().chain(sometimes) {
            // Hash the length first, so that adjacent parts cannot be confused; a missing part differs from an
            // empty one.
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        Self(hash.finalize().iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }
}

/// Returns `message` with `#` in place of each number, time and id.
fn normalise(message: &str) -> String {
    let mut normal = String::with_capacity(message.len());
    // Replace whole ids, and the digits within other words.
    for piece in pieces(message, |character| character.is_ascii_alphanumeric()) {
        match piece {
            Piece::Between(text) => normal.push_str(text),
            Piece::Run(word) if is_id(word) => push_number(&mut normal),
            Piece::Run(word) => {
                for piece in pieces(word, |character| character.is_ascii_digit()) {
                    match piece {
                        Piece::Between(letters) => normal.push_str(letters),
                        Piece::Run(_) => push_number(&mut normal),
                    }
                }
            }
        }
    }
    normal
}

fn is_id(word: &str) -> bool {
    let has = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
    look(word) == Look::Random && word.len() > 4
        || word.len() >= ID_LENGTH && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

/// Appends `#`. A number that only one sign divides from the previous number, as in times and decimals, merges with
/// it.
fn push_number(normal: &mut String) {
    if normal.ends_with(['.', ',', ':', '-', '/']) && normal[..normal.len() - 1].ends_with('#') {
        normal.pop();
    } else {
        normal.push('#');
    }
}

/// Key of one row: the errors of one fingerprint in one minute. Ordered by minute, then by fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position {
    /// Minutes since the Unix epoch.
    pub(super) minute: u64,
    pub(super) fingerprint: Fingerprint,
}

impl Position {
    pub(super) fn of(breadcrumb: &Breadcrumb) -> Self {
        Self { minute: breadcrumb.first_at / 60_000, fingerprint: Fingerprint::from_breadcrumb(breadcrumb) }
    }

    /// Returns the partition key and the sort key of the row.
    pub(super) fn key(self) -> (String, String) {
        (partition(self.minute / DAY, self.fingerprint.0 % SHARDS), self.sort_key())
    }

    pub(super) fn sort_key(self) -> String {
        format!("{:04}#{:016x}", self.minute % DAY, self.fingerprint.0)
    }

    /// Parses `sort_key` of a row in a partition of `day`.
    pub(super) fn from_sort_key(day: u64, sort_key: &str) -> Option<Self> {
        let (minute, fingerprint) = sort_key.split_once('#')?;
        let position = Self {
            minute: day * DAY + minute.parse::<u64>().ok().filter(|minute| *minute < DAY)?,
            fingerprint: Fingerprint(u64::from_str_radix(fingerprint, 16).ok()?),
        };
        (position.sort_key() == sort_key).then_some(position)
    }
}

/// Returns the key of a partition of `day` (days since the Unix epoch): `DAY#2026-11-22#3`.
pub(super) fn partition(day: u64, shard: u64) -> String {
    let moment = i64::try_from(day * 24 * 3600).ok().and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
    format!("DAY#{}#{shard}", moment.unwrap_or(OffsetDateTime::UNIX_EPOCH).date())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::breadcrumbs::buffer::tests::breadcrumb;

    #[rstest]
    #[case("no answer within 75ms", "no answer within 1.25ms")]
    #[case("at 2026-11-22 01:15:18.001", "at 2025-01-02 10:00:00")]
    #[case("request 4f8KpQ2mZx7R failed", "request aQwYcVbNmLkT failed")]
    #[case("took 1,204 of 50 steps", "took 7 of 12,000 steps")]
    #[case("10/20 rows", "3/4 rows")]
    fn numbers_times_and_ids_make_no_difference(#[case] one: &str, #[case] other: &str) {
        assert_eq!(normalise(one), normalise(other));
    }

    #[rstest]
    #[case("ResourceNotFoundException: no such table")]
    #[case("accounts.unreachable")]
    #[case("der Schlüssel fehlt – naïve, 日本語")]
    fn words_stay_as_they_are(#[case] text: &str) {
        assert_eq!(normalise(text), text);
    }

    #[test]
    fn each_of_the_parts_that_make_an_error_makes_a_difference() {
        let mut all = vec![breadcrumb("code", "message", 0); 8];
        all[1].function = "other".to_owned();
        all[2].severity = crate::breadcrumbs::Severity::Warning;
        all[3].code = "other".to_owned();
        all[4].message = "other".to_owned();
        all[5].account = Some(String::new());
        all[6].account = Some("acme".to_owned());
        all[7].connection = Some("acme".to_owned());
        let different: std::collections::BTreeSet<_> = all.iter().map(Fingerprint::from_breadcrumb).collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn request_and_time_make_no_difference_to_the_fingerprint_but_the_minute_does_to_the_position() {
        let one = breadcrumb("code", "message", 60_000);
        let other = Breadcrumb { request_id: Some("r".to_owned()), first_at: 120_000, count: 5, ..one.clone() };
        assert_eq!(Fingerprint::from_breadcrumb(&one), Fingerprint::from_breadcrumb(&other));
        assert_eq!((Position::of(&one).minute, Position::of(&other).minute), (1, 2));
    }

    #[test]
    fn the_fingerprint_of_what_is_stored_does_not_change() {
        assert_eq!(
            format!("{:016x}", Fingerprint::from_breadcrumb(&breadcrumb("code", "message", 0)).0),
            "28bc22c98fefc073"
        );
    }

    proptest! {
        #[test]
        fn a_sort_key_names_its_position(minute in 0..5_000_000_000u64, fingerprint: u64) {
            let position = Position { minute, fingerprint: Fingerprint(fingerprint) };
            let (partition, sort_key) = position.key();
            prop_assert!(partition.ends_with(char::from_digit((fingerprint % SHARDS) as u32, 10).unwrap()));
            prop_assert_eq!(Position::from_sort_key(minute / DAY, &sort_key), Some(position));
        }

        #[test]
        fn sort_keys_are_in_the_order_of_their_positions(one: (u64, u64), other: (u64, u64)) {
            let [one, other] = [one, other]
                .map(|(minute, fingerprint)| Position { minute: minute % DAY, fingerprint: Fingerprint(fingerprint) });
            prop_assert_eq!(one.cmp(&other), one.sort_key().cmp(&other.sort_key()));
        }

        #[test]
        fn digits_alone_never_make_a_difference(text in "[a-z ]{0,20}", one: u32, other: u32) {
            prop_assert_eq!(normalise(&format!("{text} {one} {text}")), normalise(&format!("{text} {other} {text}")));
        }

        #[test]
        fn nothing_else_is_a_sort_key(text in ".{0,24}") {
            if let Some(position) = Position::from_sort_key(1, &text) {
                prop_assert_eq!(position.sort_key(), text);
            }
        }
    }
}
