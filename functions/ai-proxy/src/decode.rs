//! Decodes the body of a provider's answer that came compressed, although no compression was requested. No I/O.

use std::io::{self, Write};
use std::mem;

use bytes::{Buf, Bytes};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Largest piece of a compressed body that is decoded at once, in bytes. It grows to 1,032 times that at most, so that
/// the reader can check its own bound in between.
const LARGEST_PIECE: usize = 1024;

/// Encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// `gzip`, or its older name `x-gzip`.
    Gzip,
    /// `deflate`: the format of zlib, or the bare data within it, which some servers send under this name.
    Deflate,
}

impl Encoding {
    /// Reads the encoding from the headers: names in any case, in a list in one or several lines (RFC 9110, section
    /// 8.4). `identity` and empty places in a list stand for nothing. Returns `None` for an encoding that cannot be
    /// decoded, and for more than one.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut encoding = Self::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.to_str().ok()?.split(',') {
                let next = match name.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    _ => return None,
                };
                // A body that was compressed twice is none of the API's.
                if mem::replace(&mut encoding, next) != Self::Identity {
                    return None;
                }
            }
        }
        Some(encoding)
    }
}

/// Decodes one body, piece by piece.
pub struct Decoder {
    codec: Codec,
    /// Bytes that have come and were not decoded yet.
    pending: Bytes,
    /// True once a byte has come. An empty body has no encoding to be read.
    has_begun: bool,
}

enum Codec {
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// `deflate` before its first byte, which shows the format.
    Deflate,
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    Bare(Box<DeflateDecoder<Vec<u8>>>),
}

impl Codec {
    /// Chooses the format of `deflate` by the first byte of the body. zlib has an 8 in the lower half of it. Bare data
    /// would begin so only if an encoder filled the gap before stored bytes with ones, and encoders leave it zero.
    fn for_deflate(first: u8) -> Self {
        if first & 0x0f == 8 {
            Self::Zlib(Box::new(ZlibDecoder::new(Vec::new())))
        } else {
            Self::Bare(Box::new(DeflateDecoder::new(Vec::new())))
        }
    }
}

impl Decoder {
    /// Creates a decoder for a body in this encoding.
    pub fn new(encoding: Encoding) -> Self {
        let codec = match encoding {
            Encoding::Identity => Codec::Identity,
            Encoding::Gzip => Codec::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Encoding::Deflate => Codec::Deflate,
        };
        Self { codec, pending: Bytes::new(), has_begun: false }
    }

    /// Adds the next bytes of the body. All earlier ones must have been decoded.
    pub fn push(&mut self, chunk: Bytes) {
        self.has_begun |= !chunk.is_empty();
        self.pending = chunk;
        if let (Codec::Deflate, Some(first)) = (&self.codec, self.pending.first()) {
            self.codec = Codec::for_deflate(*first);
        }
    }

    /// Returns the next decoded bytes; `None` if more of the body is needed.
    ///
    /// # Errors
    /// If the body is not in its encoding.
    pub fn next(&mut self) -> io::Result<Option<Bytes>> {
        if matches!(self.codec, Codec::Identity) {
            let chunk = mem::take(&mut self.pending);
            return Ok((!chunk.is_empty()).then_some(chunk));
        }
        while !self.pending.is_empty() {
            let piece = &self.pending[..self.pending.len().min(LARGEST_PIECE)];
            // A stream of events must not wait in the decoder, so flush it after each piece.
            let (taken, decoded) = match &mut self.codec {
                Codec::Identity | Codec::Deflate => (piece.len(), Vec::new()),
                Codec::Gzip(gzip) => (write(gzip, piece)?, mem::take(gzip.get_mut())),
                Codec::Zlib(zlib) => (write(zlib, piece)?, mem::take(zlib.get_mut())),
                Codec::Bare(bare) => (write(bare, piece)?, mem::take(bare.get_mut())),
            };
            match taken {
                // Bytes after the end of the encoded body belong to no answer.
                0 => self.pending.clear(),
                _ => self.pending.advance(taken),
            }
            if !decoded.is_empty() {
                return Ok(Some(decoded.into()));
            }
        }
        Ok(None)
    }

    /// Returns the rest of the body after its last byte; `None` if there is none.
    ///
    /// # Errors
    /// If the body was cut off.
    pub fn finish(&mut self) -> io::Result<Option<Bytes>> {
        let rest = match mem::replace(&mut self.codec, Codec::Identity) {
            Codec::Gzip(gzip) if self.has_begun => gzip.finish()?,
            Codec::Zlib(zlib) => zlib.finish()?,
            Codec::Bare(bare) => bare.finish()?,
            _ => Vec::new(),
        };
        Ok((!rest.is_empty()).then(|| rest.into()))
    }
}

/// Decodes a part of `piece` and returns its length.
fn write(decoder: &mut impl Write, piece: &[u8]) -> io::Result<usize> {
    let taken = decoder.write(piece)?;
    decoder.flush()?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn encoding(values: &[&str]) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Encoding::read(&headers)
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(body: &[u8], level: Compression) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    /// Decodes a body that arrives in chunks of this size.
    fn decoded(encoding: Encoding, body: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let (mut decoder, mut all) = (Decoder::new(encoding), Vec::new());
        for chunk in body.chunks(size) {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(decoded) = decoder.next()? {
                all.extend_from_slice(&decoded);
            }
        }
        all.extend(decoder.finish()?.unwrap_or_default());
        assert_eq!(decoder.finish()?, None);
        Ok(all)
    }

    #[rstest]
    #[case::none(&[], Some(Encoding::Identity))]
    #[case::identity(&["Identity"], Some(Encoding::Identity))]
    #[case::nothing(&["", " , "], Some(Encoding::Identity))]
    #[case::gzip(&["gzip"], Some(Encoding::Gzip))]
    #[case::in_capitals(&["GZIP"], Some(Encoding::Gzip))]
    #[case::the_older_name(&["X-Gzip"], Some(Encoding::Gzip))]
    #[case::deflate(&["Deflate"], Some(Encoding::Deflate))]
    #[case::before_identity(&["gzip, identity"], Some(Encoding::Gzip))]
    #[case::after_identity(&["identity ,\tx-gzip,"], Some(Encoding::Gzip))]
    #[case::in_two_lines(&["identity", "deflate"], Some(Encoding::Deflate))]
    #[case::twice(&["gzip, gzip"], None)]
    #[case::twice_in_two_lines(&["deflate", "gzip"], None)]
    #[case::another(&["br"], None)]
    #[case::another_in_a_list(&["gzip, br"], None)]
    #[case::an_unknown_one(&["gzip;q=1"], None)]
    #[case::no_text(&["\u{e9}"], None)]
    fn an_encoding_is_known_by_its_name_in_any_case_and_in_a_list(
        #[case] values: &[&str],
        #[case] expected: Option<Encoding>,
    ) {
        assert_eq!(encoding(values), expected);
    }

    #[test]
    fn an_event_is_decoded_as_soon_as_its_bytes_are_there() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let mut decoder = Decoder::new(Encoding::Gzip);
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            decoder.push(mem::take(encoder.get_mut()).into());
            let mut all = Vec::new();
            while let Some(decoded) = decoder.next().unwrap() {
                all.extend_from_slice(&decoded);
            }
            assert_eq!(all, event.as_bytes());
        }
    }

    #[rstest]
    #[case::stored(Compression::none())]
    #[case::fast(Compression::fast())]
    #[case::best(Compression::best())]
    fn deflate_without_the_frame_of_zlib_is_decoded_too(#[case] level: Compression) {
        let body = br#"{"type":"message"}"#.repeat(9);
        for size in [1, 2, 7, 999] {
            assert_eq!(decoded(Encoding::Deflate, &bare(&body, level), size).unwrap(), body, "{size}");
        }
    }

    #[test]
    fn a_body_that_is_cut_off_or_damaged_is_an_error_and_an_empty_one_is_not() {
        let body = br#"{"type":"message"}"#;
        for (encoding, whole) in [
            (Encoding::Gzip, gzip(body)),
            (Encoding::Deflate, zlib(body)),
            (Encoding::Deflate, bare(body, Compression::fast())),
        ] {
            for length in 1..whole.len() {
                assert!(decoded(encoding, &whole[..length], 7).is_err(), "{encoding:?} {length}");
            }
            assert!(decoded(encoding, body, 7).is_err(), "{encoding:?}");
            assert_eq!(decoded(encoding, b"", 7).unwrap(), b"");
        }
        let mut damaged = gzip(body);
        damaged[12] ^= 1;
        assert!(decoded(Encoding::Gzip, &damaged, 7).is_err());
    }

    #[test]
    fn a_body_may_be_of_several_parts_and_is_decoded_in_pieces_of_a_bounded_size() {
        let parts = [gzip(b"one, "), gzip(b"two")].concat();
        assert_eq!(decoded(Encoding::Gzip, &parts, 5).unwrap(), b"one, two");
        let large = vec![b' '; 40 * 1024 * 1024];
        let mut decoder = Decoder::new(Encoding::Gzip);
        decoder.push(gzip(&large).into());
        let mut length = 0;
        while let Some(decoded) = decoder.next().unwrap() {
            assert!(decoded.len() <= 2 * 1024 * 1024, "{}", decoded.len());
            length += decoded.len();
        }
        assert_eq!(length, large.len());
    }

    proptest! {
        #[test]
        fn a_body_is_the_same_in_any_encoding_and_in_any_chunks(body: Vec<u8>, size in 1usize..99) {
            prop_assert_eq!(decoded(Encoding::Identity, &body, size).unwrap(), body.clone());
            prop_assert_eq!(decoded(Encoding::Gzip, &gzip(&body), size).unwrap(), body.clone());
            prop_assert_eq!(decoded(Encoding::Deflate, &bare(&body, Compression::fast()), size).unwrap(), body.clone());
            prop_assert_eq!(decoded(Encoding::Deflate, &zlib(&body), size).unwrap(), body);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic_or_go_on_forever(body: Vec<u8>, size in 1usize..9) {
            for encoding in [Encoding::Gzip, Encoding::Deflate] {
                let _ = decoded(encoding, &body, size);
            }
        }
    }
}
