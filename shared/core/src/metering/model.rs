//! Names of models, which callers and admins write: of which characters they are, and how long.
//!
//! | bytes | where |
//! | --- | --- |
//! | [`LONGEST_ASKED`] | what a call may ask for, in any characters: which models there are is the provider's to say |
//! | [`LONGEST_TOLD`] | what is written into logs, reports and the ledger; what is longer is `other` there |
//! | [`LONGEST_LISTED`] | what guards and prices list, a `*` at its end included |

/// The longest name that a call may ask for, bytes.
pub const LONGEST_ASKED: usize = 256;
/// The longest name that is told, bytes.
pub const LONGEST_TOLD: usize = 128;
/// The longest name in a list, bytes.
pub const LONGEST_LISTED: usize = 100;

/// Whether `text` is of what models' names consist of: letters, digits and `-._:/@`. Of an empty text that is true.
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
