//! E-mail addresses, which serve as admins' ids, in their stored form.

use crate::text::is_invisible;

const LENGTHS: std::ops::RangeInclusive<usize> = 3..=254;

/// Error for a text that is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an e-mail address has 3 to 254 characters, one @ with something on either side, and no spaces")]
pub struct InvalidEmail;

/// Returns the stored form of an e-mail address: trimmed and in lower case.
///
/// # Errors
/// [`InvalidEmail`] if `text` does not look like an e-mail address. Deliverability is not checked.
pub fn normalise(text: &str) -> Result<String, InvalidEmail> {
    let email = folded(text);
    let (name, host) = email.split_once('@').ok_or(InvalidEmail)?;
    let odd = |character: char| character.is_whitespace() || character.is_control() || is_invisible(character);
    let well_formed = LENGTHS.contains(&email.chars().count())
        && !name.is_empty()
        && !host.is_empty()
        && !host.contains('@')
        && !email.contains(odd);
    if well_formed { Ok(email) } else { Err(InvalidEmail) }
}

/// Returns the form under which attempts are counted, for valid and invalid addresses alike.
pub(super) fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_is("ada@example.com", "ada@example.com")]
    #[case::spaces_and_capitals("  Ada@Example.COM\n", "ada@example.com")]
    #[case::the_shortest("a@b", "a@b")]
    fn an_address_has_one_form(#[case] text: &str, #[case] email: &str) {
        assert_eq!(normalise(text).as_deref(), Ok(email));
    }

    #[rstest]
    #[case::empty("")]
    #[case::no_at("ada.example.com")]
    #[case::two_ats("ada@example@com")]
    #[case::no_name("@example.com")]
    #[case::no_host("ada@")]
    #[case::a_space_within("ada lovelace@example.com")]
    #[case::a_control_character("ada\u{0}@example.com")]
    #[case::an_invisible_character("ada\u{200b}@example.com")]
    fn what_is_no_address_is_refused(#[case] text: &str) {
        assert_eq!(normalise(text), Err(InvalidEmail));
    }

    #[test]
    fn an_address_of_254_characters_is_the_longest() {
        let long = |length: usize| format!("{}@b", "a".repeat(length - 2));
        assert!(normalise(&long(254)).is_ok());
        assert_eq!(normalise(&long(255)), Err(InvalidEmail));
    }

    proptest! {
        #[test]
        fn the_stored_form_stays_as_it_is(text in "\\PC{0,8}@\\PC{0,8}") {
            if let Ok(email) = normalise(&text) {
                prop_assert_eq!(normalise(&email), Ok(email));
            }
        }
    }
}
