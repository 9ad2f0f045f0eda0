//! Pseudonyms of client addresses: addresses are counted, but never stored or logged.

use std::fmt;
use std::net::IpAddr;

use super::address::{counted_together, network};
use crate::accounts::pepper::hash_under;
use crate::clock::Timestamp;

const SHORTEST: usize = 32;
const DAY_SECS: u64 = 24 * 3600;
/// Subject of clients with an unknown address: all of them are counted together.
const UNKNOWN: &str = "unknown";

/// Secret key for the pseudonyms of client addresses.
///
/// It is separate from the pepper of API keys. A new pepper reaches one environment after the other, and meanwhile an
/// address would have two pseudonyms and could make twice the calls.
#[derive(Clone)]
pub struct AddressKey(Vec<u8>);

/// Error for an `ADDRESS_KEY` that is too short. It does not repeat the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ADDRESS_KEY must be a secret of at least {SHORTEST} characters")]
pub struct InvalidAddressKey;

impl AddressKey {
    /// Reads the key from the text of its secret.
    ///
    /// # Errors
    /// [`InvalidAddressKey`] if the secret has fewer than 32 bytes.
    pub fn new(secret: &str) -> Result<Self, InvalidAddressKey> {
        if secret.len() < SHORTEST { Err(InvalidAddressKey) } else { Ok(Self(secret.as_bytes().to_vec())) }
    }

    /// Returns the subject under which a client of `address` is counted. `None` is an unknown address.
    pub fn pseudonym(&self, address: Option<IpAddr>) -> String {
        let subject = address.map_or_else(|| UNKNOWN.to_owned(), |address| counted_together(address).to_string());
        let mut hash = hash_under(&self.0, &subject);
        hash.truncate(24);
        hash
    }
}

impl AddressKey {
    /// Returns the pseudonym of the network of `address` (IPv4 /24, IPv6 /64) on one day. It cannot be linked to the
    /// network's pseudonym of another day. `None` is an unknown address.
    pub fn daily_network_pseudonym(&self, address: Option<IpAddr>, at: Timestamp) -> String {
        let network = address.map_or_else(|| UNKNOWN.to_owned(), |address| network(address).to_string());
        let mut hash = hash_under(&self.0, &format!("{} {network}", at.as_secs() / DAY_SECS));
        hash.truncate(24);
        hash
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a secret of thirty-two characters";

    fn pseudonym(address: &str) -> String {
        AddressKey::new(KEY).unwrap().pseudonym(Some(address.parse().unwrap()))
    }

    #[test]
    fn a_pseudonym_is_the_same_in_every_environment_and_shows_no_address() {
        // A literal, because environments of two deployments must agree on it.
        assert_eq!(pseudonym("203.0.113.9"), "7059ef5cd6b350337d81289b");
        assert_eq!(pseudonym("::ffff:203.0.113.9"), pseudonym("203.0.113.9"));
        assert_eq!(pseudonym("2001:db8:1:2::3"), pseudonym("2001:db8:1:2::4"));
        assert_ne!(pseudonym("203.0.113.9"), pseudonym("203.0.113.10"));
        let another = AddressKey::new("another secret of thirty-two chars").unwrap();
        assert_ne!(another.pseudonym(Some("203.0.113.9".parse().unwrap())), pseudonym("203.0.113.9"));
    }

    #[test]
    fn addresses_have_one_pseudonym_if_they_are_counted_together_and_different_ones_otherwise() {
        for (one, other, is_together) in [
            ("203.0.113.9", "::ffff:203.0.113.9", true),
            ("203.0.113.9", "::ffff:cb00:7109", true),
            ("203.0.113.9", "::203.0.113.9", false),
            ("203.0.113.9", "64:ff9b::203.0.113.9", false),
            ("::ffff:203.0.113.9", "::ffff:203.0.113.10", false),
            ("2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("2001:db8:1:2::", "2001:db8:1:3::", false),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::", false),
            ("0.0.0.0", "::", false),
            ("127.0.0.1", "::1", false),
        ] {
            assert_eq!(pseudonym(one) == pseudonym(other), is_together, "{one} and {other}");
        }
    }

    #[test]
    fn clients_of_unknown_address_are_counted_together() {
        let unknown = AddressKey::new(KEY).unwrap().pseudonym(None);
        assert_ne!(unknown, pseudonym("203.0.113.9"));
        assert_eq!(unknown.len(), 24);
    }

    #[test]
    fn a_network_has_one_pseudonym_on_one_day() {
        let key = AddressKey::new(KEY).unwrap();
        let pseudonym = |address: &str, secs| {
            key.daily_network_pseudonym(Some(address.parse().unwrap()), Timestamp::from_secs(secs))
        };
        assert_eq!(pseudonym("203.0.113.9", 0), pseudonym("203.0.113.200", 86_399));
        assert_eq!(pseudonym("2001:db8:1:2::3", 0), pseudonym("2001:db8:1:2:ffff::", 0));
        assert_ne!(pseudonym("203.0.113.9", 0), pseudonym("203.0.114.9", 0));
        assert_ne!(pseudonym("203.0.113.9", 0), pseudonym("203.0.113.9", 86_400));
    }

    #[test]
    fn a_short_key_is_refused_and_none_is_printed() {
        assert_eq!(AddressKey::new("short").unwrap_err(), InvalidAddressKey);
        assert_eq!(format!("{:?}", AddressKey::new(KEY).unwrap()), "AddressKey");
    }
}
