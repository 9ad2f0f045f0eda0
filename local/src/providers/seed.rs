//! Source of everything that looks random: a hash of the request, so that the same request gets the same answer.

/// Words of the stand-ins' texts. Some are longer in bytes than in characters, and some need escaping in JSON, so
/// that a proxy that splits a stream in the wrong place is detected.
const WORDS: [&str; 24] = [
    "the",
    "levee",
    "holds",
    "while",
    "water",
    "rises",
    "slowly",
    "and",
    "every",
    "stone",
    "keeps",
    "its",
    "place",
    "naïve",
    "größer",
    "水位",
    "🌊",
    "\"quoted\"",
    "back\\slash",
    "line\nbreak",
    "between",
    "river",
    "town",
    "night",
];

const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Computes the FNV-1a hash, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>). It is stable across Rust
/// releases, which the standard library does not guarantee for its hasher.
pub(super) fn fnv_1a<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A generator of repeatable choices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64);

impl Seed {
    pub(super) fn from_parts(parts: &[&[u8]]) -> Self {
        // 0xff never occurs in UTF-8, so it separates ("ab", "c") from ("a", "bc").
        Self(fnv_1a(parts.iter().flat_map(|part| part.iter().chain(&[0xff]))))
    }

    /// Returns an independent generator for one purpose, so that requesting a tool does not change the text.
    pub(super) fn branch(self, purpose: &str) -> Self {
        Self::from_parts(&[&self.0.to_le_bytes(), purpose.as_bytes()])
    }

    /// Returns the next number, by SplitMix64 (Steele, Lea and Flood, 2014).
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }

    /// Returns `count` words, each followed by a space.
    pub(super) fn words(&mut self, count: usize) -> String {
        (0..count).flat_map(|_| [self.word(), " "]).collect()
    }

    /// Returns an identifier in Anthropic's format: a prefix and base-62 characters.
    pub(super) fn id(self, prefix: &str, length: usize) -> String {
        let mut source = self.branch(prefix);
        let tail = (0..length).map(|_| char::from(BASE_62[source.below(BASE_62.len())]));
        prefix.chars().chain(tail).collect()
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_parts_do_not_run_together() {
        assert_eq!(Seed::from_parts(&[b"ab", b"c"]).id("msg_", 22), Seed::from_parts(&[b"ab", b"c"]).id("msg_", 22));
        assert_ne!(Seed::from_parts(&[b"ab", b"c"]).id("msg_", 22), Seed::from_parts(&[b"a", b"bc"]).id("msg_", 22));
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
