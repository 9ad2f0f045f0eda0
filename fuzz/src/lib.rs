//! Helpers of the fuzz targets.

use levee_core::metering::usage::Usage;

/// The bytes in pieces of 1 to 64 bytes, as a network might deliver them: the same pieces for the same bytes, and others
/// for any others.
pub fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    // FNV-1a of the bytes, and from there on an xorshift generator.
    let seed = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut random = bytes.iter().fold(0xcbf2_9ce4_8422_2325, seed) | 1;
    let (mut pieces, mut left) = (Vec::new(), bytes);
    while !left.is_empty() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Small pieces as often as large ones.
        let largest = 1 << (random >> 32) % 7;
        let size = 1 + (random >> 40) as usize % largest;
        let (piece, rest) = left.split_at(size.min(left.len()));
        pieces.push(piece);
        left = rest;
    }
    pieces
}

/// Checks that every figure is a count, or the sum of those of the `usage` object and of 256 iterations.
pub fn assert_counts(usage: &Usage) {
    let Usage { input, output, cache_read, cache_write_5m, cache_write_1h, web_searches, web_fetches } = *usage;
    for count in [input, output, cache_read, cache_write_5m, cache_write_1h, web_searches, web_fetches] {
        assert!(count <= 257 * 1_000_000_000, "{usage:?}");
    }
}
