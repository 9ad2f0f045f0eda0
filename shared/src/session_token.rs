//! Session tokens and the values derived from them. Only the SHA-256 of a token is stored. A token holds 256 random
//! bits, so a slow hash would add no protection.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Length of 256 bits in hexadecimal digits.
const LENGTH: usize = 64;

/// Value of the session cookie: 256 random bits as 64 lower-case hexadecimal digits. Never printed.
#[derive(Clone)]
pub struct SessionToken(String);

impl SessionToken {
    /// Generates a random token.
    pub(crate) fn generate() -> Self {
        Self(hex(&rand::random::<[u8; LENGTH / 2]>()))
    }

    /// Parses a cookie's value. Returns `None` if it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == LENGTH && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Returns the text for the cookie.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Derives the CSRF token for forms of this session: HMAC-SHA256 of `csrf` under the session token.
    pub fn csrf(&self) -> CsrfToken {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return CsrfToken(String::new()) };
        mac.update(b"csrf");
        CsrfToken(hex(&mac.finalize().into_bytes()))
    }

    /// Returns the stored form.
    pub(crate) fn hash(&self) -> String {
        sha256(&self.0)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

/// CSRF token that proves that a form was made for its session. Never printed.
#[derive(Clone)]
pub struct CsrfToken(String);

impl CsrfToken {
    /// Returns the text for a form's hidden field.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns true if `shown` is this token. Takes constant time for texts of its length.
    pub fn matches(&self, shown: &str) -> bool {
        shown.len() == LENGTH && bool::from(self.0.as_bytes().ct_eq(shown.as_bytes()))
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfToken(..)")
    }
}

/// Returns the SHA-256 in hexadecimal.
pub(crate) fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Returns 128 random bits in hexadecimal.
pub(crate) fn random_id() -> String {
    hex(&rand::random::<[u8; 16]>())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(digit: &str) -> SessionToken {
        SessionToken::parse(&digit.repeat(LENGTH)).unwrap()
    }

    #[test]
    fn a_generated_token_parses_to_itself_and_is_never_the_same() {
        let token = SessionToken::generate();
        assert_eq!(SessionToken::parse(token.reveal()).unwrap().reveal(), token.reveal());
        assert_ne!(SessionToken::generate().reveal(), token.reveal());
    }

    #[test]
    fn a_token_of_another_form_is_none() {
        let text = token("a").reveal().to_owned();
        for other in ["", &text[1..], &format!("{text}a"), &text.to_uppercase(), &text.replacen('a', "g", 1)] {
            assert!(SessionToken::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_stored_form_and_the_form_token_are_stable() {
        // printf '%s' aaa… | sha256sum; printf csrf | openssl dgst -sha256 -hmac aaa…
        assert_eq!(token("a").hash(), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
        assert_eq!(token("a").csrf().reveal(), "eff3b87f26f221432b3a2806b74cdd41386a58544d34c9182f2f3f9ea259b567");
    }

    #[test]
    fn a_form_token_belongs_to_one_session() {
        let csrf = token("a").csrf();
        assert!(csrf.matches(token("a").csrf().reveal()));
        assert!(!csrf.matches(token("b").csrf().reveal()));
        assert!(
            !csrf.matches("") && !csrf.matches(&csrf.reveal()[1..]) && !csrf.matches(&csrf.reveal().to_uppercase())
        );
    }

    #[test]
    fn neither_token_is_in_the_debug_output() {
        let token = token("a");
        assert_eq!(format!("{token:?} {:?}", token.csrf()), "SessionToken(..) CsrfToken(..)");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,80}") {
            let _ = SessionToken::parse(&text);
            prop_assert!(!token("a").csrf().matches(&text));
        }
    }
}
