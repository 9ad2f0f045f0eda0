//! Peppers: the server-side secrets under which API keys are hashed.
//!
//! A key is stored as HMAC-SHA256(pepper, key). The key's secret holds at least 178 random bits, so a slow password
//! hash would add nothing; the pepper makes a stolen table useless. Each record names its pepper's version, so that a
//! pepper can be replaced while keys hashed under the old one stay valid.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::key::ApiKey;

const SHORTEST_PEPPER: usize = 32;

/// Peppers by version. New keys are hashed under the highest version.
#[derive(Clone)]
pub struct Peppers {
    by_version: BTreeMap<u32, Vec<u8>>,
    current: u32,
}

/// Error for a `KEY_PEPPERS` value that cannot be used. It does not repeat the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a JSON object from version numbers to secrets of at least 32 characters, such as {{\"1\":\"…\"}}")]
pub struct InvalidPeppers;

impl Peppers {
    /// Parses peppers from JSON such as `{"1":"at least 32 characters"}`.
    ///
    /// # Errors
    /// [`InvalidPeppers`] if the text has another form, is empty, or holds a shorter pepper.
    pub fn from_json(text: &str) -> Result<Self, InvalidPeppers> {
        let peppers: BTreeMap<u32, String> = serde_json::from_str(text).map_err(|_| InvalidPeppers)?;
        let (&current, _) = peppers.last_key_value().ok_or(InvalidPeppers)?;
        if peppers.values().any(|pepper| pepper.len() < SHORTEST_PEPPER) {
            return Err(InvalidPeppers);
        }
        let by_version = peppers.into_iter().map(|(version, pepper)| (version, pepper.into_bytes())).collect();
        Ok(Self { by_version, current })
    }

    /// Returns the version under which new keys are hashed.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Returns true if there is a pepper of this version.
    pub fn has(&self, version: u32) -> bool {
        self.by_version.contains_key(&version)
    }

    /// Returns the stored form of `key` under the current pepper, in hexadecimal.
    pub fn hash(&self, key: &ApiKey) -> String {
        hash_under(self.pepper(self.current), key.reveal())
    }

    /// Returns true if `hash` is the stored form of `key` under pepper `version`. Takes constant time for hashes of
    /// one length. Returns false for a missing version, at the same cost.
    pub fn verify(&self, key: &ApiKey, version: u32, hash: &str) -> bool {
        let matches = hash_under(self.pepper(version), key.reveal()).as_bytes().ct_eq(hash.as_bytes());
        (Choice::from(u8::from(self.has(version))) & matches).into()
    }

    /// Returns the pepper of this version, or the current one if the version is missing.
    fn pepper(&self, version: u32) -> &[u8] {
        let found = self.by_version.get(&version).or_else(|| self.by_version.get(&self.current));
        found.map_or(&[], Vec::as_slice)
    }
}

/// Returns HMAC-SHA256(pepper, text), in hexadecimal.
pub(crate) fn hash_under(pepper: &[u8], text: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(pepper) else { return String::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peppers(versions {:?})", self.by_version.keys().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an old pepper of thirty-two chars";
    const NEW: &str = "a new pepper of thirty-two chars!";

    #[test]
    fn a_key_hashed_under_an_old_pepper_still_verifies_after_a_new_one_is_added() {
        let key = ApiKey::generate("live").unwrap();
        let before = Peppers::from_json(&format!(r#"{{"1":"{OLD}"}}"#)).unwrap();
        let after = Peppers::from_json(&format!(r#"{{"1":"{OLD}","2":"{NEW}"}}"#)).unwrap();
        assert_eq!((before.current(), after.current()), (1, 2));
        assert!(after.verify(&key, 1, &before.hash(&key)));
        assert!(!after.verify(&key, 2, &before.hash(&key)));
        assert!(after.verify(&key, 2, &after.hash(&key)));
    }

    #[test]
    fn another_key_a_missing_version_and_an_empty_hash_do_not_verify() {
        let peppers = Peppers::from_json(&format!(r#"{{"1":"{OLD}"}}"#)).unwrap();
        let (key, other) = (ApiKey::generate("live").unwrap(), ApiKey::generate("live").unwrap());
        assert!(!peppers.verify(&other, 1, &peppers.hash(&key)));
        assert!(!peppers.verify(&key, 9, &peppers.hash(&key)));
        assert!(!peppers.verify(&key, 1, ""));
    }

    #[test]
    fn under_a_missing_version_nothing_verifies_that_could_be_made_without_a_pepper_or_with_another_one() {
        let peppers = Peppers::from_json(&format!(r#"{{"1":"{OLD}","2":"{NEW}"}}"#)).unwrap();
        let key = ApiKey::generate("live").unwrap();
        for pepper in ["", OLD, NEW] {
            assert!(!peppers.verify(&key, 9, &hash_under(pepper.as_bytes(), key.reveal())), "{pepper}");
        }
    }

    #[test]
    fn peppers_that_are_missing_short_or_malformed_are_refused() {
        for text in ["", "{}", "[]", r#"{"one":"x"}"#, r#"{"1":"short"}"#] {
            assert_eq!(Peppers::from_json(text).unwrap_err(), InvalidPeppers, "{text}");
        }
    }
}
