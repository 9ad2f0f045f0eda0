//! API keys as text: `lv_<environment>_<id>_<secret and checksum>`.
//!
//! The last part holds the secret, 30 or more base62 characters, and 6 base62 characters of CRC-32:
//! `lv_live_4f8KpQ2mZx7R_<secret><checksum>`. The prefix lets secret scanners find leaked keys. The id is public and
//! may be logged. The checksum covers everything before it, so that typing errors and scanners' false positives are
//! rejected without reading a store.

use std::fmt;

use rand::RngExt;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX: &str = "lv";
const ID_LENGTH: usize = 12;
const NEW_SECRET_LENGTH: usize = 32;
const CHECKSUM_LENGTH: usize = 6;
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 30..=64;
const ENVIRONMENT_LENGTHS: std::ops::RangeInclusive<usize> = 1..=16;

/// Well-formed API key with a correct checksum. Its secret is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    text: String,
    environment_end: usize,
}

/// Error for a text that is not an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an API key")]
pub struct Malformed;

impl ApiKey {
    /// Generates a random key for `environment` (1 to 16 lower-case letters and digits).
    ///
    /// # Errors
    /// [`Malformed`] if `environment` does not have that form.
    pub fn generate(environment: &str) -> Result<Self, Malformed> {
        Self::from_parts(environment, &random_base62(ID_LENGTH), &random_base62(NEW_SECRET_LENGTH))
    }

    /// Builds a key from its parts and adds the checksum.
    ///
    /// # Errors
    /// [`Malformed`] if a part is malformed.
    pub fn from_parts(environment: &str, id: &str, secret: &str) -> Result<Self, Malformed> {
        let body = format!("{PREFIX}_{environment}_{id}_{secret}");
        Self::parse(&format!("{body}{}", checksum(&body)))
    }

    /// Parses a key.
    ///
    /// # Errors
    /// [`Malformed`] if a part is missing, has disallowed characters or a wrong length, or the checksum does not
    /// match.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        // Split into parts and check the form of each.
        let parts: Vec<&str> = text.splitn(5, '_').collect();
        let [PREFIX, environment, id, secret_and_checksum] = parts[..] else { return Err(Malformed) };
        let is_base62 = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let well_formed = ENVIRONMENT_LENGTHS.contains(&environment.len())
            && environment.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && id.len() == ID_LENGTH
            && is_base62(id)
            && is_base62(secret_and_checksum)
            && SECRET_LENGTHS.contains(&secret_and_checksum.len().saturating_sub(CHECKSUM_LENGTH));
        if !well_formed {
            return Err(Malformed);
        }
        // Verify the checksum, which covers everything before it.
        let (body, given) = text.split_at(text.len() - CHECKSUM_LENGTH);
        if checksum(body) != given {
            return Err(Malformed);
        }
        Ok(Self { text: text.to_owned(), environment_end: PREFIX.len() + 1 + environment.len() })
    }

    /// Returns the environment that the key is for, such as `live`.
    pub fn environment(&self) -> &str {
        &self.text[PREFIX.len() + 1..self.environment_end]
    }

    /// Returns the public id, which identifies the key in the table and in logs.
    pub fn id(&self) -> &str {
        &self.text[self.environment_end + 1..self.environment_end + 1 + ID_LENGTH]
    }

    /// Returns the whole key, secret included, to be shown once to its owner.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id())
    }
}

fn random_base62(length: usize) -> String {
    let mut random = rand::rng();
    (0..length).map(|_| char::from(BASE62[random.random_range(0..BASE62.len())])).collect()
}

fn checksum(body: &str) -> String {
    // Write the CRC-32 in base62, least significant digit last.
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_generated_key_parses_to_itself() {
        let key = ApiKey::generate("live").unwrap();
        assert_eq!(ApiKey::parse(key.reveal()), Ok(key.clone()));
        assert_eq!((key.environment(), key.id().len()), ("live", 12));
    }

    #[test]
    fn the_format_is_stable() {
        let key = ApiKey::from_parts("live", "4f8KpQ2mZx7R", "0123456789abcdefghijABCDEFGHIJ").unwrap();
        assert_eq!(key.reveal(), "lv_live_4f8KpQ2mZx7R_0123456789abcdefghijABCDEFGHIJ3N2i9z");
    }

    #[test]
    fn the_secret_is_not_in_the_debug_output() {
        let key = ApiKey::from_parts("live", "4f8KpQ2mZx7R", "0123456789abcdefghijABCDEFGHIJ").unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(4f8KpQ2mZx7R)");
    }

    proptest! {
        #[test]
        fn any_single_mistyped_character_is_refused(position in 0usize..57, replacement in "[0-9A-Za-z_]") {
            let key = ApiKey::from_parts("live", "4f8KpQ2mZx7R", "0123456789abcdefghijABCDEFGHIJ").unwrap();
            let mut mistyped = key.reveal().to_owned();
            mistyped.replace_range(position..=position, &replacement);
            prop_assume!(mistyped != key.reveal());
            prop_assert_eq!(ApiKey::parse(&mistyped), Err(Malformed));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _ = ApiKey::parse(&text);
        }
    }
}
