//! Names of models, as callers and admins write them: valid characters and lengths.
//!
//! | limit | used for |
//! | --- | --- |
//! | [`LONGEST_ASKED`] | the model that a call asks for, in any characters: the provider decides which models exist |
//! | [`LONGEST_TOLD`] | logs, reports and the ledger; a longer name becomes `other` there |
//! | [`LONGEST_LISTED`] | guards and prices, including a `*` at the end |

/// Longest name that a call may ask for, in bytes.
pub const LONGEST_ASKED: usize = 256;
/// Longest name that is logged or stored, in bytes.
pub const LONGEST_TOLD: usize = 128;
/// Longest name in a list of a guard or a price, in bytes.
pub const LONGEST_LISTED: usize = 100;

/// Returns true if `text` consists of characters of models' names: letters, digits and `-._:/@`. True for an empty
/// text.
pub fn is_of_a_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:/@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_letters_digits_and_six_other_characters() {
        for name in ["", "claude-haiku-5-5", "us.anthropic/claude:1@2026_11"] {
            assert!(is_of_a_name(name), "{name}");
        }
        for text in ["a b", "a*", "a,b", "a\n", "ä", "a\"b", "a#b", "a\u{1b}"] {
            assert!(!is_of_a_name(text), "{text:?}");
        }
    }

    #[test]
    fn whatever_may_be_listed_may_be_told_and_asked_for() {
        const { assert!(LONGEST_LISTED <= LONGEST_TOLD && LONGEST_TOLD <= LONGEST_ASKED) };
    }
}
