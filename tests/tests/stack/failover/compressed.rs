//! Compressed answers, although compression was not requested.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use rstest::rstest;
use serde_json::json;

use super::provider::{JSON, STREAM, alone, both, message, message_body, puppet};
use super::{call, course, error, undecided};

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

/// Compresses `body` into `deflate` without the frame of zlib, as some servers do.
fn bare(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Returns an answer whose header declares the encoding `encoding`.
fn encoded(status: &str, kind: &str, encoding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-encoding: {encoding}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn kind(is_streamed: bool) -> &'static str {
    if is_streamed { STREAM } else { JSON }
}

#[rstest]
#[tokio::test]
async fn a_compressed_answer_reaches_the_client_as_text_and_is_metered(#[values(true, false)] is_streamed: bool) {
    let only = puppet().await;
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    let body = message_body("primary", is_streamed);
    for (encoding, compressed) in [
        ("gzip", gzip(body.as_bytes())),
        ("deflate", zlib(body.as_bytes())),
        ("deflate", bare(body.as_bytes())),
        ("X-GZIP", gzip(body.as_bytes())),
        ("GZIP, identity", gzip(body.as_bytes())),
        ("identity, Deflate", zlib(body.as_bytes())),
    ] {
        only.says_bytes(encoded("200 OK", kind(is_streamed), encoding, &compressed));
        let before = stack.month(stack.account_id()).await;
        let answer = call(&stack, is_streamed).await;
        assert_eq!((answer.status, answer.text()), (200, body.as_str()), "{encoding}: {answer:?}");
        assert_eq!(answer.header("content-encoding"), "", "{encoding}");
        let after = stack.wait_for_month(stack.account_id(), before.calls + 1).await;
        assert_eq!((after.output - before.output, after.estimated_calls), (9, before.estimated_calls), "{encoding}");
    }
}

#[tokio::test]
async fn a_compressed_error_is_judged_by_what_it_says() {
    let only = puppet().await;
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    let error = json!({ "type": "invalid_request_error", "message": "No" });
    let body = json!({ "type": "error", "error": error }).to_string();
    only.says_bytes(encoded("400 Bad Request", JSON, "gzip", &gzip(body.as_bytes())));
    let answer = call(&stack, false).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &error), "{answer:?}");
}

#[rstest]
#[tokio::test]
async fn an_answer_that_cannot_be_decompressed_is_the_backups_turn(#[values(true, false)] is_streamed: bool) {
    let (primary, backup) = (puppet().await, puppet().await);
    backup.says(&[&message("backup", is_streamed)]);
    let stack = undecided().env("AI_PROVIDERS", &both(&primary, &backup)).start().await;
    let body = message_body("primary", is_streamed);
    let whole = gzip(body.as_bytes());
    for (what, encoding, said) in [
        ("another encoding", "br", whole.clone()),
        ("two encodings", "gzip, gzip", gzip(&whole)),
        ("an unknown encoding", "x", body.clone().into_bytes()),
        ("no gzip at all", "gzip", body.clone().into_bytes()),
        ("half of it", "gzip", whole[..whole.len() / 2].to_vec()),
        ("more than fits", "gzip", gzip(&vec![b' '; 40 * 1024 * 1024])),
    ] {
        primary.says_bytes(encoded("200 OK", kind(is_streamed), encoding, &said));
        let answer = call(&stack, is_streamed).await;
        let (provider, attempts, _) = course(&answer);
        assert_eq!((answer.status, provider, attempts), (200, "backup", "2"), "{what}: {answer:?}");
        assert_eq!(answer.text(), message_body("backup", is_streamed), "{what}");
    }
}

#[tokio::test]
async fn compressed_bytes_never_pass_without_their_header() {
    let only = puppet().await;
    let stack = undecided().env("AI_PROVIDERS", &alone(&only)).start().await;
    only.says_bytes(encoded("200 OK", JSON, "br", &gzip(b"{}")));
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let answer = stack.call(path, &super::hello(false)).await;
        assert_eq!((answer.status, error(&answer).0.as_str()), (502, "api_error"), "{path}: {answer:?}");
    }
}
