//! Passwords, hashed with argon2id.
//!
//! The parameters are those that OWASP recommends: 19 MiB, two passes, one lane
//! (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>). A hash takes some 20 ms of
//! CPU time: asynchronous code must compute and verify it on a separate thread.

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use serde::{Deserialize, Serialize};

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const PARAMS: Params = match Params::new(MEMORY_KIB, PASSES, LANES, None) {
    Ok(params) => params,
    Err(_) => Params::DEFAULT,
};
/// Hash with the current parameters that no known password matches.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Length of a new password, in characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=256;

/// Argon2id hash of a password in PHC form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Error for a password that may not be used, with the public sentence that gives the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WeakPassword(&'static str);

impl PasswordHash {
    /// Hashes a new password (12 to 256 characters). Only its length is checked, as NIST SP 800-63B recommends.
    ///
    /// # Errors
    /// [`WeakPassword`] if it is too short or too long, or if this machine lacks the memory or the randomness to
    /// hash it.
    pub fn new(password: &str) -> Result<Self, WeakPassword> {
        let length = password.chars().count();
        if length < *LENGTHS.start() {
            return Err(WeakPassword("A password has at least 12 characters."));
        }
        if length > *LENGTHS.end() {
            return Err(WeakPassword("A password has at most 256 characters."));
        }
        Self::from_password(password).ok_or(WeakPassword("The password could not be hashed."))
    }

    /// Hashes an existing password of any length. Returns `None` if the machine lacks memory or randomness.
    pub(super) fn from_password(password: &str) -> Option<Self> {
        Self::with(PARAMS, password)
    }

    /// Returns true if `password` matches the hash.
    pub fn verify(&self, password: &str) -> bool {
        self.parse().is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    }

    /// Returns a stand-in hash for unknown admins, so that the check costs the same.
    pub(super) fn nobodys() -> Self {
        Self(NOBODYS.to_owned())
    }

    /// Returns true if the hash was made with weaker parameters than the current ones.
    pub(super) fn is_outdated(&self) -> bool {
        let params = self.parse().and_then(|hash| Params::try_from(&hash).ok());
        params.is_none_or(|params| params.m_cost() < MEMORY_KIB || params.t_cost() < PASSES)
    }

    /// Returns the stored text, used in the condition that it has not changed.
    pub(super) fn stored(&self) -> &str {
        &self.0
    }

    fn with(params: Params, password: &str) -> Option<Self> {
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        hasher.hash_password(password.as_bytes()).ok().map(|hash: phc::PasswordHash| Self(hash.to_string()))
    }

    fn parse(&self) -> Option<phc::PasswordHash> {
        phc::PasswordHash::new(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "correct horse battery";

    #[test]
    fn a_password_verifies_against_its_own_hash_alone() {
        let hash = PasswordHash::new(PASSWORD).unwrap();
        assert!(hash.verify(PASSWORD));
        for other in ["", "correct horse batter", "Correct horse battery", "correct horse battery "] {
            assert!(!hash.verify(other), "{other}");
        }
    }

    #[test]
    fn the_parameters_are_owasps_and_each_hash_has_a_salt_of_its_own() {
        let (one, other) = (PasswordHash::new(PASSWORD).unwrap(), PasswordHash::new(PASSWORD).unwrap());
        assert!(one.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.0);
        assert_ne!(one, other);
    }

    #[test]
    fn a_password_has_12_to_256_characters_of_any_kind() {
        for (length, ok) in [(11, false), (12, true), (256, true), (257, false)] {
            assert_eq!(PasswordHash::new(&"ä".repeat(length)).is_ok(), ok, "{length}");
        }
        let reason = PasswordHash::new("short").unwrap_err().to_string();
        assert_eq!(reason, "A password has at least 12 characters.");
    }

    #[test]
    fn a_check_against_nobodys_hash_does_the_work_of_a_real_one_and_never_succeeds() {
        let params = |hash: &PasswordHash| Params::try_from(&hash.parse().unwrap()).unwrap();
        let (nobodys, real) = (PasswordHash::nobodys(), PasswordHash::new(PASSWORD).unwrap());
        let (params, real) = (params(&nobodys), params(&real));
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost(), params.output_len()),
            (real.m_cost(), real.t_cost(), real.p_cost(), real.output_len())
        );
        assert!(!nobodys.verify(PASSWORD) && !nobodys.verify(""));
    }

    #[test]
    fn a_hash_made_with_less_work_still_verifies_and_is_outdated() {
        for (memory, passes) in [(MEMORY_KIB / 2, PASSES), (MEMORY_KIB, 1)] {
            let old = PasswordHash::with(Params::new(memory, passes, 1, None).unwrap(), PASSWORD).unwrap();
            assert!(old.verify(PASSWORD) && old.is_outdated());
        }
        let stronger = Params::new(MEMORY_KIB + 1024, PASSES + 1, 1, None).unwrap();
        assert!(!PasswordHash::with(stronger, PASSWORD).unwrap().is_outdated());
        assert!(!PasswordHash::new(PASSWORD).unwrap().is_outdated());
    }

    #[test]
    fn what_is_no_hash_verifies_nothing() {
        for text in ["", "correct horse battery", "$argon2id$v=19$m=19456,t=2,p=1$"] {
            assert!(!PasswordHash(text.to_owned()).verify(PASSWORD), "{text}");
        }
    }

    #[test]
    fn the_hash_is_not_in_the_debug_output() {
        assert_eq!(format!("{:?}", PasswordHash::nobodys()), "PasswordHash(..)");
    }
}
