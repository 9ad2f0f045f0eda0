//! Cursor between two pages of breadcrumbs, in the form that a URL carries.

use std::fmt;
use std::str::FromStr;

use super::fingerprint::{Fingerprint, Position};

/// Upper bound of a cursor's minute, some 8,000 years from now.
const LAST_MINUTE: u64 = u32::MAX as u64;

/// Position between two breadcrumbs; the next page holds the rows that are older. The text form is safe in a URL
/// and complete: the server keeps no state for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub(super) Position);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.0.minute, self.0.fingerprint.0)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (minute, fingerprint) = text.split_once('-')?;
            let minute = minute.parse().ok().filter(|minute| *minute <= LAST_MINUTE)?;
            let fingerprint = Fingerprint(u64::from_str_radix(fingerprint, 16).ok()?);
            Some(Self(Position { minute, fingerprint }))
        };
        // Each position has exactly one text form: no signs, leading zeros or capitals.
        parse().filter(|cursor| cursor.to_string() == text).ok_or("is not a place in the breadcrumbs")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("")]
    #[case("-")]
    #[case("29921835")]
    #[case("29921835-")]
    #[case("29921835-0123456789abcde")]
    #[case("29921835-0123456789ABCDEF")]
    #[case("029921835-0123456789abcdef")]
    #[case("+29921835-0123456789abcdef")]
    #[case("29921835--123456789abcdef")]
    #[case("29921835-0123456789abcdef-")]
    #[case("18446744073709551615-0123456789abcdef")]
    #[case("' OR 1=1")]
    fn another_text_is_refused(#[case] text: &str) {
        assert!(text.parse::<Cursor>().is_err());
    }

    proptest! {
        #[test]
        fn a_cursor_is_what_its_text_says_and_the_text_needs_no_escaping(minute in 0..=LAST_MINUTE, fingerprint: u64) {
            let cursor = Cursor(Position { minute, fingerprint: Fingerprint(fingerprint) });
            let text = cursor.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            prop_assert_eq!(text.parse(), Ok(cursor));
        }

        #[test]
        fn no_text_breaks_the_parser(text in ".{0,40}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
