//! Check of a provider's base URL: https, and an end before the provider's API.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// Version that begins every path of the API. [`super::Provider::request`] adds it to the base URL.
const VERSION: &str = "v1";
/// First segments of API paths, behind the version.
const RESOURCES: [&str; 12] = [
    "batches",
    "chat",
    "complete",
    "completions",
    "embeddings",
    "files",
    "messages",
    "models",
    "organizations",
    "responses",
    "skills",
    "usage",
];
/// Segments of API paths that end no gateway's prefix, even without a version before them.
const ENDPOINTS: [&str; 4] = ["batches", "complete", "count_tokens", "messages"];

/// Checks the base URL of a provider. `http_hosts` are the hosts, besides loopback, that may be called in plain HTTP.
///
/// A gateway's prefix is accepted, also one with a version of its own, such as `/v1/account/gateway/anthropic`.
///
/// # Errors
/// The requirement that the URL does not meet, to follow "a base_url".
pub(super) fn check_base_url(url: &Url, http_hosts: &[String]) -> Result<(), String> {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => {}
        ("http", Some(host)) if is_loopback(&host) || http_hosts.contains(&host.to_string()) => {}
        ("http", Some(_)) => {
            let reason = "the platform's key would be readable on the way (AI_HTTP_HOSTS names exceptions)";
            return Err(format!("with https: {reason}"));
        }
        _ => return Err("with https".to_owned()),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("of a host and a path alone".to_owned());
    }
    if names_api(url) {
        return Err(format!("that ends before /v1, which is added to it: write {}", without_api(url)));
    }
    if url.path().contains("//") {
        return Err("without two slashes in a row".to_owned());
    }
    Ok(())
}

/// Returns true if the path has a part of the API's paths: a version at its end or before a resource, or an endpoint.
fn names_api(url: &Url) -> bool {
    let path = decoded(url.path());
    let segments: Vec<&str> = path.split(['/', '\\']).map(name).filter(|segment| !segment.is_empty()).collect();
    let is_version_of = |pair: &[&str]| pair[0] == VERSION && RESOURCES.contains(&pair[1]);
    segments.last() == Some(&VERSION)
        || segments.iter().any(|segment| ENDPOINTS.contains(segment))
        || segments.windows(2).any(is_version_of)
}

/// Returns a segment without blanks and parameters.
fn name(segment: &str) -> &str {
    segment.split(';').next().unwrap_or_default().trim()
}

/// Decodes a path as often as a proxy might, and changes it to lower case.
fn decoded(path: &str) -> String {
    let mut path = path.to_owned();
    loop {
        let once = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if once == path {
            return path.to_ascii_lowercase();
        }
        path = once;
    }
}

/// Returns the URL without the end of its path, up to an acceptable one.
fn without_api(url: &Url) -> Url {
    let mut url = url.clone();
    while url.path() != "/" && (names_api(&url) || url.path().contains("//")) {
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().pop();
        }
    }
    url
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn check(base_url: &str) -> Result<(), String> {
        check_base_url(&base_url.parse().unwrap(), &["172.17.0.1".to_owned(), "host.docker.internal".to_owned()])
    }

    #[rstest]
    fn a_host_with_or_without_a_gateways_prefix_is_accepted(
        #[values(
            "https://api.anthropic.com",
            "https://api.anthropic.com/",
            "https://gateway.example/anthropic",
            "https://gateway.example/anthropic/",
            "https://gateway.example/api/anthropic",
            "https://gateway.example/v2/anthropic",
            "https://gateway.example/v1/anthropic",
            "https://gateway.example/v1/account/gateway/anthropic",
            "https://gateway.example/anthropic-v1",
            "https://gateway.example/v10",
            "https://gateway.example/models",
            "https://gateway.example/my%20team",
            "https://v1.example/messages-api",
            "http://127.0.0.1:4010",
            "http://localhost:4010",
            "http://[::1]:4010",
            "http://172.17.0.1:4010",
            "http://host.docker.internal:4010"
        )]
        good: &str,
    ) {
        assert_eq!(check(good), Ok(()));
    }

    #[rstest]
    #[case("ftp://x", "with https")]
    #[case("http://api.anthropic.com", "would be readable on the way")]
    #[case("http://172.17.0.2:4010", "would be readable on the way")]
    #[case("http://localhost.example", "would be readable on the way")]
    #[case("https://user@api.anthropic.com", "of a host and a path alone")]
    #[case("https://:secret@api.anthropic.com", "of a host and a path alone")]
    #[case("https://api.anthropic.com?x=1", "of a host and a path alone")]
    #[case("https://api.anthropic.com/?", "of a host and a path alone")]
    #[case("https://api.anthropic.com/#v1", "of a host and a path alone")]
    #[case("https://api.anthropic.com/#", "of a host and a path alone")]
    #[case("https://gateway.example//anthropic", "without two slashes")]
    #[case("https://gateway.example/anthropic//", "without two slashes")]
    fn a_url_of_another_form_is_refused(#[case] bad: &str, #[case] expected: &str) {
        let mistake = check(bad).unwrap_err();
        assert!(mistake.contains(expected), "{mistake}");
    }

    #[rstest]
    #[case("https://api.anthropic.com/v1", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/V1", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1//", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com//v1", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/messages", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/messages/batches", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/messages/batches/", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/messages/batches/msgbatch_1/results", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/messages/count_tokens", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/complete", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/models/claude-opus-5-5", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/files/file_1/content", "https://api.anthropic.com/")]
    #[case("https://api.anthropic.com/v1/organizations/usage_report/messages", "https://api.anthropic.com/")]
    #[case("https://api.openai.com/v1/chat/completions", "https://api.openai.com/")]
    #[case("https://api.anthropic.com/messages", "https://api.anthropic.com/")]
    #[case("https://gateway.example/anthropic/v1/", "https://gateway.example/anthropic")]
    #[case("https://gateway.example/anthropic/v1/messages", "https://gateway.example/anthropic")]
    #[case("https://gateway.example/anthropic/messages/batches", "https://gateway.example/anthropic")]
    #[case("https://gateway.example/v1/account/anthropic/v1", "https://gateway.example/v1/account/anthropic")]
    #[case::encoded("https://api.anthropic.com/%761", "https://api.anthropic.com/")]
    #[case::encoded_twice("https://api.anthropic.com/%25761/Messages", "https://api.anthropic.com/")]
    #[case::encoded_slash("https://gateway.example/anthropic%2Fv1%2fmessages", "https://gateway.example/")]
    #[case::backslash("https://gateway.example/anthropic\\v1", "https://gateway.example/anthropic")]
    #[case::blanks("https://api.anthropic.com/v1%20", "https://api.anthropic.com/")]
    #[case::a_parameter("https://api.anthropic.com/v1;a=b/messages;c", "https://api.anthropic.com/")]
    #[case::dots("https://api.anthropic.com/x/../v1/.", "https://api.anthropic.com/")]
    fn a_url_with_a_part_of_the_api_is_refused_with_the_one_to_write(#[case] bad: &str, #[case] instead: &str) {
        assert_eq!(check(bad), Err(format!("that ends before /v1, which is added to it: write {instead}")));
        assert_eq!(check(instead), Ok(()), "the advice is accepted");
    }

    proptest! {
        #[test]
        fn a_path_of_the_api_is_refused_behind_every_prefix_and_in_every_spelling(
            prefix in "(/[a-z]{1,6}){0,3}",
            api in "/v1(/(messages|messages/[a-z_]{1,9}|complete|models|files/[a-z]{1,5}))?/{0,2}",
            encodes in proptest::collection::vec(0_u8..3, 40),
        ) {
            // Encode or capitalise some of the letters.
            let spell = |(letter, how): (char, &u8)| match how {
                0 if letter != '/' => format!("%{:02X}", u32::from(letter)),
                1 => letter.to_ascii_uppercase().to_string(),
                _ => letter.to_string(),
            };
            let api: String = api.chars().zip(encodes.iter().cycle()).map(spell).collect();
            let mistake = check(&format!("https://gateway.example{prefix}{api}")).unwrap_err();
            prop_assert!(mistake.contains("that ends before /v1"), "{}", mistake);
        }
    }
}
