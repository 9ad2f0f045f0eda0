//! What the ids and names of accounts, integrations and keys look like: the one place that says so.

/// The longest id of an account or an integration.
const LONGEST_ID: usize = 64;
/// The longest name, in characters.
const LONGEST_NAME: usize = 100;

/// A text that may not be an id or a name, with the public sentence that says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(&'static str);

/// Checks the id of an account or an integration: 1 to 64 of `a` to `z`, `0` to `9` and `-`.
///
/// # Errors
/// [`Invalid`] when it is of another form.
pub fn id(text: &str) -> Result<&str, Invalid> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text);
    }
    Err(Invalid("an id has 1 to 64 lower-case letters, digits and hyphens"))
}

/// Checks a name for people and strips the blanks around it: 1 to 100 characters, none that moves the cursor or turns
/// the direction of the text around.
///
/// # Errors
/// [`Invalid`] when it is of another form.
pub fn name(text: &str) -> Result<&str, Invalid> {
    let text = text.trim();
    if !(1..=LONGEST_NAME).contains(&text.chars().count()) {
        return Err(Invalid("a name has 1 to 100 characters"));
    }
    if text.chars().any(|character| character.is_control() || turns_text_around(character)) {
        return Err(Invalid("a name has no control characters"));
    }
    Ok(text)
}

/// The Unicode characters that set the direction of text (UAX #9), and the two line breaks that are no control
/// characters.
fn turns_text_around(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_short_and_of_few_characters() {
        let longest = "a".repeat(64);
        for text in ["a", "acme", "acme-2", "-", longest.as_str()] {
            assert_eq!(id(text), Ok(text));
        }
        let too_long = "a".repeat(65);
        for text in ["", "Acme", "a b", "a#b", "a/b", "ä", "a_b", too_long.as_str()] {
            assert!(id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_one_line_of_text() {
        assert_eq!(name("  Zoë & Söhne – Köln  "), Ok("Zoë & Söhne – Köln"));
        assert_eq!(name(&"ö".repeat(100)).map(str::len), Ok(200));
        let too_long = "ö".repeat(101);
        for text in ["", "  ", "a\nb", "a\tb", "\u{1b}[31mred", "a\u{202e}b", "a\u{2028}b", too_long.as_str()] {
            assert!(name(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_id_cannot_break_out_of_a_key(text in "\\PC{0,70}") {
            if id(&text).is_ok() {
                prop_assert!(!text.contains(['#', '/', '$', '!', ' ']));
            }
        }
    }
}
