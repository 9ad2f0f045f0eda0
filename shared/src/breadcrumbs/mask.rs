//! Removes from a text what must not be kept: keys and other secrets, addresses of people and machines, and values
//! that came from outside.
//!
//! It is a safety net: code should not put such values into a message at all. It therefore masks too much rather
//! than too little. Text that people need to read stays: sentences, error codes, resource names, ARNs, times and
//! durations. Each step is a function from text to text; [`mask`] gives their order.
//!
//! Keys of known forms, values of known names, and addresses are always found. A token of unknown form is found by
//! its look: always in hex, and in 99 of 100 cases in base64.

mod addresses;
mod keys;
mod names;
pub(super) mod pieces;
mod runs;
mod urls;
mod value;

/// Most characters of a masked text.
pub(super) const LONGEST: usize = 500;
/// Most characters of a name or an id.
const LONGEST_NAME: usize = 128;

/// Masks everything in `text` that must not be kept, and returns one line of at most [`LONGEST`] characters.
/// Masking is idempotent, unless the text was cut.
pub fn mask(text: &str) -> String {
    let text = one_line(text);
    let text = names::mask(&text);
    let text = urls::mask(&text);
    let text = keys::mask(&text);
    let text = addresses::mask(&text);
    let text = runs::mask(&text);
    first(&text, LONGEST)
}

/// Returns `text` as a name: masked, with `-` in place of spaces.
pub(super) fn name(text: &str) -> String {
    first(&mask(text).replace(' ', "-"), LONGEST_NAME)
}

/// Returns `text` as an id: with `-` in place of spaces, and with keys and addresses masked. Unlike [`name`], it
/// keeps long runs of letters and digits, because ids consist of these.
pub(super) fn identifier(text: &str) -> String {
    let text = one_line(text).replace(' ', "-");
    let text = addresses::mask(&keys::mask(&urls::mask(&text)));
    first(&text, LONGEST_NAME)
}

/// Replaces control characters, and those that hide text or change its direction, by spaces; collapses several
/// spaces.
fn one_line(text: &str) -> String {
    let is_space = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn first(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use rstest::rstest;

    use super::*;

    #[rstest]
    // Levee's own keys keep their public id.
    #[case("bad key lv_live_4f8KpQ2mZx7R_0123456789abcdefghijABCDEFGHIJ0123!", "bad key lv_live_4f8KpQ2mZx7R_[key]!")]
    #[case("key lv_live_4f8KpQ2mZx7R is revoked", "key lv_live_4f8KpQ2mZx7R is revoked")]
    #[case("mistyped lv_live4f8KpQ2mZx7R0123456789", "mistyped [key]")]
    // Other makers' keys.
    #[case("Incorrect API key provided: sk-proj-abc*****xyz.", "Incorrect API key provided: [key].")]
    #[case("key=sk-ant-api03-abcdefghijkl", "key=[key]")]
    #[case("ghp_abcdefghijkl, AKIAIOSFODNN7EXAMPLE, xoxb-123456789", "[key], [key], [key]")]
    #[case("secret is wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "secret is [id]")]
    #[case("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP expired", "jwt [key] expired")]
    // Secrets that their names reveal.
    #[case("Authorization: Bearer abcdef, retrying", "Authorization: [secret], retrying")]
    #[case("sent Bearer abc123", "sent Bearer [token]")]
    #[case(r#"{"x-api-key":"abc","model":"m"}"#, r#"{"x-api-key":"[secret]","model":"m"}"#)]
    #[case(r#"{\"password\": \"a b\", \"n\": 1}"#, r#"{\"password\": \"[secret]\", \"n\": 1}"#)]
    #[case("Credentials { token: Some(\"abc\") }", "Credentials { token: Some(\"[secret]\") }")]
    #[case("password=hunter2, user=bob", "password=[secret], user=bob")]
    #[case("Cookie: session=abc; theme=dark", "Cookie: [secret]")]
    #[case("signature: 9f86d081e1", "signature: [secret]")]
    // Values that a client or provider sent.
    #[case(r#"invalid type: string "a prompt", expected u64"#, r#"invalid type: string "[text]", expected u64"#)]
    #[case("unknown field `not a name at all`, expected `model`", "unknown field `[text]`, expected `model`")]
    #[case(r#"body={"content":"tell me a secret","role":"user"}"#, r#"body={"content":"[text]","role":"user"}"#)]
    // URLs.
    #[case("(https://example.com/v1?key=abc&x=1): timed out", "(https://example.com/v1?[query]): timed out")]
    #[case("rediss://default:p/ss?w@cache.example.com:6379/0", "rediss://[secret]@cache.example.com:6379/0")]
    #[case("cannot open (https://example.com/v1?pwd=abc) now", "cannot open (https://example.com/v1?[query]) now")]
    #[case("cannot open https://example.com/v1?pwd=abc now", "cannot open https://example.com/v1?[query] now")]
    #[case("GET /v1/models?page=abc failed", "GET /v1/models?[query] failed")]
    #[case("postgres user:pass@db.example.com:5432/x", "postgres [email]:5432/x")]
    // Addresses.
    #[case("mail to jane.doe+x@example.co.uk.", "mail to [email].")]
    #[case("tcp 10.0.0.1:6379 refused", "tcp [address]:6379 refused")]
    #[case("from 203.0.113.7.", "from [address].")]
    #[case("[2001:db8::1]:8080, fe80::1%eth0 and ::ffff:192.0.2.1", "[address]:8080, [address] and [address]")]
    #[case("peer 2001:db8:0:0:0:0:0:1: connection reset", "peer [address]: connection reset")]
    #[case("lookup ip-10-0-1-23.ec2.internal", "lookup [address].ec2.internal")]
    // Runs.
    #[case("hash 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c", "hash [id]")]
    #[case("id 550e8400-e29b-41d4-a716-446655440000 twice", "id [id] twice")]
    #[case("dGhlIHF1aWNrIGJyb3duIGZveA== in base64", "[id] in base64")]
    #[case("/services/T01ABCDEF/B02ABCDEF/a1B2c3D4e5F6g7H8i9J0k1L2", "/services/[id]")]
    // One line.
    #[case("one\r\ntwo\u{0}three\u{202e}four \u{200b} ", "one two three four")]
    fn a_secret_is_masked(#[case] text: &str, #[case] masked: &str) {
        assert_eq!(mask(text), masked);
        assert_eq!(mask(masked), masked, "masked twice");
    }

    #[rstest]
    #[case(
        "TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific reasons"
    )]
    #[case("ProvisionedThroughputExceededException: The level of configured provisioned throughput was exceeded.")]
    #[case("User: arn:aws:sts::123456789012:assumed-role/levee-AiProxyRole-Xy12AbCdEf34/levee-AiProxy-Zz98YyXx77Ww")]
    #[case(
        "is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:KeyPeppers-AbC1d2"
    )]
    #[case("Requested resource not found: Table: levee-Breadcrumbs-1KX8Q2M5ZP0AB not found")]
    #[case("InvokeModelWithResponseStream: anthropic.claude-sonnet-5-5-20260915-v1:0 is busy")]
    #[case("no answer within the budget of 75ms, 1.5s or 12µs")]
    #[case("at 2026-11-22T01:15:18.001Z, line 12 column 34")]
    #[case("a provider cannot be reached: Connection refused (os error 111)")]
    #[case("dispatch failure: io error: error trying to connect: tcp connect error")]
    #[case("error sending request for url (https://api.anthropic.com/v1/messages)")]
    #[case("missing field `model` at line 1 column 2; unknown variant `abc`, expected one of `a`, `b`")]
    #[case("the security token included in the request is invalid")]
    #[case("Basic authentication failed; bearer token is missing")]
    #[case("input_tokens: 53, max_tokens=1024, token_count=7")]
    #[case("levee::stores::secrets::read in shared/src/stores/secrets.rs:120:9")]
    #[case("provider.timeout accounts.unreachable RFC9457 sha256 x86_64-unknown-linux-gnu HTTP/1.1 serde@1.0.2")]
    #[case("LEVEE_CLOCK_OFFSET_FILE must be a whole number from 0 to 9, not 'many'")]
    #[case("der Schlüssel fehlt – naïve, 日本語")]
    fn what_people_need_to_read_stays(#[case] text: &str) {
        assert_eq!(mask(text), text);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_after_it_was_masked() {
        let masked = mask(&format!("{} sk-abcdefghijklmnop", "é".repeat(490)));
        assert_eq!(masked, format!("{} [key]", "é".repeat(490)));
        assert_eq!(mask(&"é".repeat(501)), format!("{}…", "é".repeat(499)));
        assert_eq!(mask(&"é".repeat(500)), "é".repeat(500));
    }

    #[rstest]
    #[case("JKJaXPLpbOvKaQ=", "JKJaXPLpbOvKaQ=")]
    #[case("c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef")]
    #[case("a name\nwith spaces", "a-name-with-spaces")]
    #[case("sk-abcdefghijkl", "[key]")]
    #[case("jane@example.com", "[email]")]
    fn an_identifier_keeps_its_digits_and_loses_secrets(#[case] text: &str, #[case] kept: &str) {
        assert_eq!(identifier(text), kept);
        assert_eq!(identifier(&"a".repeat(500)).chars().count(), LONGEST_NAME);
    }

    /// Puts a secret into a sentence, as log messages do.
    fn around(secret: impl Strategy<Value = String>) -> impl Strategy<Value = (String, String)> {
        let before = ["", "cannot use ", "error: ", "url (", "got \"", "é ", "x=", "[", "{\"a\":"];
        let after = ["", ".", ", retrying", ")", "\"", ": refused", "\n", "]", " é"];
        let (before, after) = (select(before.to_vec()), select(after.to_vec()));
        (before, secret, after).prop_map(|(before, secret, after)| (format!("{before}{secret}{after}"), secret))
    }

    #[expect(clippy::ptr_arg, reason = "what a filter of strategies takes")]
    fn has_digits(token: &String) -> bool {
        token.bytes().filter(u8::is_ascii_digit).count() > 4
    }

    proptest! {
        #[test]
        fn a_key_never_gets_through((text, secret) in around(prop_oneof![
            "sk-[A-Za-z0-9_-]{8,60}",
            "ghp_[A-Za-z0-9]{36}",
            "(AKIA|ASIA)[A-Z0-9]{16}",
            "eyJ[A-Za-z0-9_-]{12,40}\\.[A-Za-z0-9_-]{12,80}\\.[A-Za-z0-9_-]{43}",
            "lv_live_[A-Za-z0-9]{12}_[A-Za-z0-9]{38}",
        ])) {
            let masked = mask(&text);
            let tail = &secret[secret.len() - 8..];
            prop_assert!(!masked.contains(tail), "{}", masked);
        }

        #[test]
        fn an_address_never_gets_through((text, address) in around(prop_oneof![
            any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
            any::<std::net::SocketAddrV4>().prop_map(|ip| ip.to_string()),
            any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
            any::<std::net::SocketAddrV6>().prop_map(|ip| ip.to_string()),
            "[a-z0-9.+-]{1,20}@[a-z0-9]{1,10}\\.(com|org|co\\.uk)",
        ])) {
            let bare = address.rsplit_once("]:").map_or(address.as_str(), |(ip, _)| ip.trim_start_matches('['));
            let masked = mask(&text);
            prop_assert!(bare.len() < 4 || !masked.contains(bare), "{}", masked);
        }

        #[test]
        fn a_long_random_run_never_gets_through((text, token) in around(prop_oneof![
            "[0-9a-f]{32,128}".prop_filter("digits", has_digits),
            "[0-9A-F]{32,64}".prop_filter("digits", has_digits),
            "[A-Za-z0-9]{32,64}".prop_filter("digits", has_digits),
            "([a-z][0-9][A-Z][0-9A-Z][+/_-]?){8,20}={0,2}",
        ])) {
            let masked = mask(&text);
            let kept = token.as_bytes().windows(16).any(|part| masked.contains(std::str::from_utf8(part).unwrap()));
            prop_assert!(!kept, "{} of {}", masked, text);
        }

        #[test]
        fn no_user_or_query_of_a_url_gets_through(
            user in "[a-z]{3,9}XX[!$%^*+~a-z0-9]{3,12}",
            query in "[a-z]{1,8}=YY[A-Za-z0-9%._-]{3,30}z",
        ) {
            let masked = mask(&format!("cannot open https://{user}:{user}@host.example.com:8443/path?{query} now"));
            prop_assert_eq!(masked, "cannot open https://[secret]@host.example.com:8443/path?[query] now");
        }

        #[test]
        fn any_text_becomes_one_short_line_and_masking_it_again_changes_nothing(text in "\\PC{0,300}|(?s).{0,600}") {
            let masked = mask(&text);
            prop_assert!(masked.chars().count() <= LONGEST);
            prop_assert!(!masked.chars().any(char::is_control));
            prop_assert!(masked.chars().count() == LONGEST || mask(&masked) == masked, "{} {}", masked, mask(&masked));
        }

        #[test]
        fn any_text_of_secrets_signs_can_be_masked(
            text in "(password|token|Bearer|://|@|\\?|=|:|\"|\\\\|'|`|\\[|\\]|::|1\\.2\\.3\\.4|sk-|eyJ|arn:aws| |a|7|é){0,60}"
        ) {
            prop_assert!(mask(&text).chars().count() <= LONGEST);
        }

        #[test]
        fn words_stay(words in proptest::collection::vec("[a-z]{1,12}|[A-Z][a-z]{1,10}", 0..20)) {
            let names = ["basic", "bearer", "digest", "negotiate"];
            prop_assume!(!words.iter().any(|word| names.contains(&word.to_lowercase().as_str())));
            let text = words.join(" ");
            prop_assert_eq!(mask(&text), text);
        }
    }
}
