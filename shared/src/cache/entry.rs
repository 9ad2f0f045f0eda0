//! A value as it is stored in Redis: a fixed header, then the value itself. No I/O.
//!
//! | bytes | content |
//! | --- | --- |
//! | 0–3 | `LVC1`, the form of this header |
//! | 4–7 | schema of the value |
//! | 8–15 | version that the value is at least as new as, as a double, because `put.lua` compares it |
//! | 16–23 | time of the read, Unix milliseconds |
//! | 24–31 | time until which the value is fresh, Unix milliseconds |
//! | 32 | 1 if there is a value, 0 if the source has none |
//! | 33–36 | CRC-32 of all other bytes |
//! | 37– | value, in the postcard form |
//!
//! All numbers are little-endian. The postcard form is read several times faster than JSON, which keeps a hit close to a
//! bare GET. It does not describe itself, so the checksum and the schema decide if it may be read.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Timestamp;

/// Largest value that is stored, bytes: larger ones would delay the counters that share the server.
pub const LARGEST_VALUE: usize = 1024 * 1024;

const FORM: [u8; 4] = *b"LVC1";
const HEADER: usize = 37;
/// Position of the checksum.
const SUM: std::ops::Range<usize> = 33..37;

/// A value with the facts by which a lookup decides if it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry<T> {
    /// Value; `None` if the source has none.
    pub value: Option<T>,
    /// Version that the value is at least as new as.
    pub version: u64,
    /// Time at which the source was read.
    pub read_at: Timestamp,
    /// Time until which the value is fresh.
    pub fresh_until: Timestamp,
}

/// Reason for which stored bytes are no entry. The lookup treats such bytes as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes have another form, or were damaged.
    #[error("damaged")]
    Damaged,
    /// Another release wrote the value in another schema.
    #[error("of another schema")]
    Foreign,
}

/// Error of encoding a value.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStorable {
    #[error("it has {0} bytes, of at most {LARGEST_VALUE}")]
    TooLarge(usize),
    #[error("it cannot be encoded: {0}")]
    Encoding(#[from] postcard::Error),
}

impl<T: Serialize> CacheEntry<T> {
    /// Encodes the entry with a value of `schema`.
    pub(super) fn encode(&self, schema: u32) -> Result<Vec<u8>, NotStorable> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(FORM);
        bytes.extend(schema.to_le_bytes());
        // A version is below 2^53, so a double holds it exactly.
        bytes.extend((self.version as f64).to_le_bytes());
        bytes.extend(self.read_at.as_millis().to_le_bytes());
        bytes.extend(self.fresh_until.as_millis().to_le_bytes());
        bytes.push(u8::from(self.value.is_some()));
        bytes.extend([0; 4]);
        if let Some(value) = &self.value {
            bytes = postcard::to_extend(value, bytes)?;
        }
        let length = bytes.len() - HEADER;
        if length > LARGEST_VALUE {
            return Err(NotStorable::TooLarge(length));
        }
        // Fill in the sum of everything else.
        let sum = checksum(&bytes).to_le_bytes();
        bytes[SUM].copy_from_slice(&sum);
        Ok(bytes)
    }
}

impl<T: DeserializeOwned> CacheEntry<T> {
    /// Decodes bytes that [`CacheEntry::encode`] returned for the same schema.
    ///
    /// # Errors
    /// [`Unreadable`] if they are anything else.
    pub(super) fn decode(bytes: &[u8], schema: u32) -> Result<Self, Unreadable> {
        // Check the form and the sum before anything in the bytes is believed.
        if bytes.len() < HEADER || bytes.len() > HEADER + LARGEST_VALUE || bytes[..4] != FORM {
            return Err(Unreadable::Damaged);
        }
        let sum = u32::from_le_bytes(array(&bytes[SUM]));
        if sum != checksum(bytes) {
            return Err(Unreadable::Damaged);
        }
        if u32::from_le_bytes(array(&bytes[4..8])) != schema {
            return Err(Unreadable::Foreign);
        }
        let millis = |at: usize| Timestamp::from_millis(u64::from_le_bytes(array(&bytes[at..at + 8])));
        let value = match bytes[32] {
            0 => None,
            _ => Some(postcard::from_bytes(&bytes[HEADER..]).map_err(|_| Unreadable::Damaged)?),
        };
        Ok(Self {
            value,
            version: f64::from_le_bytes(array(&bytes[8..16])) as u64,
            read_at: millis(16),
            fresh_until: millis(24),
        })
    }
}

/// Returns the header of an entry's bytes, which tells it from every other entry: by its version, its time and its
/// checksum.
pub(super) fn header(bytes: &[u8]) -> &[u8] {
    bytes.get(..HEADER).unwrap_or(bytes)
}

/// Returns the checksum of an entry's bytes, without the place of the sum itself.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..SUM.start]);
    hasher.update(&bytes[SUM.end..]);
    hasher.finalize()
}

/// Copies a slice whose length is that of the array; a shorter one is filled up with zeros.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: Option<&str>) -> CacheEntry<String> {
        CacheEntry {
            value: value.map(str::to_owned),
            version: 1_795_310_118_042,
            read_at: Timestamp::from_millis(1_795_310_118_000),
            fresh_until: Timestamp::from_millis(1_795_310_418_000),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written_and_so_is_the_lack_of_a_value() {
        for entry in [entry(Some("modules")), entry(Some("")), entry(None)] {
            assert_eq!(CacheEntry::decode(&entry.encode(3).unwrap(), 3), Ok(entry));
        }
    }

    #[test]
    fn any_damaged_byte_and_any_cut_makes_an_entry_unreadable() {
        let bytes = entry(Some("modules")).encode(3).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(CacheEntry::<String>::decode(&damaged, 3), Err(Unreadable::Damaged), "byte {at}");
            assert_eq!(CacheEntry::<String>::decode(&bytes[..at], 3), Err(Unreadable::Damaged), "cut at {at}");
        }
        assert_eq!(CacheEntry::<String>::decode(b"{\"items\":[]}", 3), Err(Unreadable::Damaged));
    }

    #[test]
    fn a_value_of_another_schema_is_foreign() {
        let bytes = entry(Some("modules")).encode(2).unwrap();
        assert_eq!(CacheEntry::<String>::decode(&bytes, 3), Err(Unreadable::Foreign));
    }

    #[test]
    fn a_value_that_is_too_large_is_not_encoded() {
        let largest = "x".repeat(LARGEST_VALUE - 3);
        assert_eq!(entry(Some(&largest)).encode(3).unwrap().len(), HEADER + LARGEST_VALUE);
        assert!(matches!(entry(Some(&(largest + "x"))).encode(3), Err(NotStorable::TooLarge(_))));
    }

    /// The stored form of an earlier release: a change of the form needs another value of `FORM`.
    #[test]
    fn the_stored_form_is_the_one_that_earlier_releases_wrote() {
        let bytes = entry(Some("ab")).encode(3).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex, @"4c5643310300000000a049260d207a427064d200a201000050f8d600a2010000010b87b368026162");
    }
}
