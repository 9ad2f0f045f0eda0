//! Addresses in reports, reduced to what groups them and names no visitor.

use std::fmt;

use url::Url;

use super::noise;

/// Longest path template, in segments. Deeper paths end in `…`.
const MAX_SEGMENTS: usize = 6;
/// Longest segment that is kept as it is, in bytes. A longer one is an identifier or free text.
const MAX_SEGMENT_BYTES: usize = 32;

/// Schemes that are kept by name, besides those of [`noise`]. Any other one is `other`, so that invented schemes make no
/// new groups.
const SCHEMES: [&str; 6] = ["blob", "data", "filesystem", "ftp", "javascript", "mediastream"];

/// A resource that a policy blocked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blocked {
    /// An inline script or style, or an inline event handler.
    Inline,
    /// A string that was to be run as code.
    Eval,
    /// WebAssembly that was to be compiled.
    WasmEval,
    /// A Trusted Types policy that was to be created.
    TrustedTypesPolicy,
    /// A plain string that was assigned to a Trusted Types sink.
    TrustedTypesSink,
    /// A resource of a scheme without hosts.
    Scheme(&'static str),
    /// A resource of an origin.
    Origin(String),
}

impl Blocked {
    /// Reads the blocked resource of a report, and its address if that is a complete one. `document` is the page, which
    /// `self` and relative addresses stand for.
    pub fn parse(text: &str, document: &Url) -> (Self, Option<Url>) {
        let text = text.trim();
        // Keywords of the specification, in any case.
        let keyword = match text.to_ascii_lowercase().as_str() {
            // Browsers of CSP level 1 leave the address of an inline resource empty.
            "" | "inline" => Some(Self::Inline),
            "eval" => Some(Self::Eval),
            "wasm-eval" => Some(Self::WasmEval),
            "trusted-types-policy" => Some(Self::TrustedTypesPolicy),
            "trusted-types-sink" => Some(Self::TrustedTypesSink),
            "self" => return Self::parse(document.as_str(), document),
            _ => None,
        };
        if let Some(keyword) = keyword {
            return (keyword, None);
        }
        match Url::parse(text) {
            Ok(url) => match origin_of(&url) {
                Some(origin) => (Self::Origin(origin), Some(url)),
                None => (Self::Scheme(known_scheme(url.scheme())), Some(url)),
            },
            // A host without a scheme, as some proxies write it.
            Err(_) if text.contains('.') && !text.contains(':') => match Url::parse(&format!("https://{text}")) {
                Ok(url) => (Self::Origin(origin_of(&url).unwrap_or_default()), None),
                Err(_) => (Self::Scheme("other"), None),
            },
            // A scheme alone, which is all that browsers report of `data:` and other schemes.
            Err(_) => (Self::Scheme(known_scheme(text.trim_end_matches(['/', ':']))), None),
        }
    }

    /// Reads the text that [`Display`](fmt::Display) writes.
    pub fn from_key(text: &str) -> Self {
        match text {
            "inline" => Self::Inline,
            "eval" => Self::Eval,
            "wasm-eval" => Self::WasmEval,
            "trusted-types-policy" => Self::TrustedTypesPolicy,
            "trusted-types-sink" => Self::TrustedTypesSink,
            scheme if scheme.ends_with(':') => Self::Scheme(known_scheme(scheme.trim_end_matches(':'))),
            origin => Self::Origin(origin.to_owned()),
        }
    }

    /// Returns the host of the resource.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Origin(origin) => Some(host_of_origin(origin)),
            _ => None,
        }
    }
}

/// A word for keywords, the scheme with its colon, or the origin.
impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline => f.write_str("inline"),
            Self::Eval => f.write_str("eval"),
            Self::WasmEval => f.write_str("wasm-eval"),
            Self::TrustedTypesPolicy => f.write_str("trusted-types-policy"),
            Self::TrustedTypesSink => f.write_str("trusted-types-sink"),
            Self::Scheme(scheme) => write!(f, "{scheme}:"),
            Self::Origin(origin) => f.write_str(origin),
        }
    }
}

/// Returns the origin of a web address, with a port only if it is not the scheme's own: `https://cdn.example:8443`.
/// Returns `None` for schemes without hosts.
pub fn origin_of(url: &Url) -> Option<String> {
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
        return None;
    }
    let host = url.host_str().filter(|host| !host.is_empty())?;
    Some(match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    })
}

/// Returns the host of an origin that [`origin_of`] wrote.
pub fn host_of_origin(origin: &str) -> &str {
    let host = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Returns the scheme's name if it is a known one, else `other`.
fn known_scheme(scheme: &str) -> &'static str {
    let scheme = scheme.split(':').next().unwrap_or_default();
    SCHEMES.into_iter().chain(noise::schemes()).find(|known| known.eq_ignore_ascii_case(scheme)).unwrap_or("other")
}

/// Reduces a path to a template: identifiers become placeholders, and only the first [`MAX_SEGMENTS`] segments stay.
///
/// `/orders/18462/items/5f0c9a4e-…` becomes `/orders/{n}/items/{id}`. A template keeps words and drops what may identify
/// a visitor: numbers, dates, UUIDs, hexadecimal and random text, addresses, text in other scripts, and long words.
pub fn path_template(path: &str) -> String {
    let mut template = String::new();
    // Keep the first segments, each without what identifies something.
    let mut segments = path.split('/').skip(1).peekable();
    for _ in 0..MAX_SEGMENTS {
        let Some(segment) = segments.next() else { break };
        template.push('/');
        segment_template(segment, &mut template);
    }
    if segments.peek().is_some() {
        template.push_str("/…");
    }
    if template.is_empty() {
        template.push('/');
    }
    template
}

/// Writes one segment, with a placeholder for each part between dots, hyphens and underscores that identifies something.
fn segment_template(segment: &str, template: &mut String) {
    // A session in a path parameter, as in `page;jsessionid=…`, is dropped with its name.
    let segment = segment.split(';').next().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if segment.len() > MAX_SEGMENT_BYTES || !segment.bytes().all(is_plain) {
        // Percent-encoded text, addresses and long words are free text or identifiers, but for a file's ending.
        let ending = segment.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| is_ending(ending));
        template.push_str("{id}");
        if let Some(ending) = ending {
            template.push('.');
            template.push_str(ending);
        }
        return;
    }
    if segment.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
        && segment.bytes().any(|byte| byte.is_ascii_digit())
    {
        template.push_str("{n}");
        return;
    }
    let mut word_start = 0;
    for (index, byte) in segment.bytes().chain(std::iter::once(b'.')).enumerate() {
        if !matches!(byte, b'-' | b'_' | b'.' | b'~') {
            continue;
        }
        let word = segment.get(word_start..index).unwrap_or_default();
        template.push_str(if is_identifier(word) { "{id}" } else { word });
        if index < segment.len() {
            template.push(char::from(byte));
        }
        word_start = index + 1;
    }
}

/// Returns true for a word that identifies something: a number of more than two digits, or letters mixed with at least
/// two digits.
fn is_identifier(word: &str) -> bool {
    // Count what tells words from identifiers.
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.len() - digits;
    let is_hex = word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) && digits > 0;
    // Random text without a separator often has capitals in its middle.
    let inner_capitals = word.bytes().skip(1).filter(u8::is_ascii_uppercase).count();
    let has_lower = word.bytes().any(|byte| byte.is_ascii_lowercase());
    is_hex
        || (letters == 0 && digits > 2)
        || (letters > 0 && digits >= 3)
        || (word.len() >= 10 && digits >= 1 && inner_capitals >= 1)
        || (word.len() >= 12 && inner_capitals >= 4 && has_lower)
}

/// Returns true for the ending of a file's name. Other words after a dot may belong to an e-mail address.
fn is_ending(ending: &str) -> bool {
    const ENDINGS: [&str; 20] = [
        "css", "gif", "htm", "html", "ico", "jpeg", "jpg", "js", "json", "map", "mjs", "mp4", "php", "png", "svg",
        "ttf", "wasm", "webp", "woff", "woff2",
    ];
    ENDINGS.contains(&ending)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/", "/")]
    #[case("", "/")]
    #[case("/login", "/login")]
    #[case("/orders/18462/items/5f0c9a4e-6d3b-4c1f-9f00-2b7e1f3a9c10", "/orders/{n}/items/{id}")]
    #[case("/2026-11-30/report", "/{n}/report")]
    #[case("/v1/users", "/v1/users")]
    #[case("/static/app.3f2a1c9d.js", "/static/app.{id}.js")]
    #[case("/u/maria.meier%40example.com/x", "/u/{id}/x")]
    #[case("/u/maria@example.com", "/u/{id}")]
    #[case("/assets/main%20bundle%20of%20everything.js", "/assets/{id}.js")]
    #[case("/page;jsessionid=ABC123", "/page")]
    #[case("/reset/aGVsbG8gd29ybGQhISEhISEhISEhISEhISEhISEhISE", "/reset/{id}")]
    #[case("/t/Xk9QzB7pLm", "/t/{id}")]
    #[case("/t/AbCdEfGhIjKl", "/t/{id}")]
    #[case("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/…")]
    #[case("/straße", "/{id}")]
    #[case("/getUserProfile", "/getUserProfile")]
    fn a_path_keeps_words_and_drops_identifiers(#[case] path: &str, #[case] template: &str) {
        assert_eq!(path_template(path), template);
    }

    #[rstest]
    #[case("https://user:pw@CDN.example:443/a?token=1#f", "https://cdn.example")]
    #[case("https://cdn.example:8443/a", "https://cdn.example:8443")]
    #[case("wss://live.example/socket", "wss://live.example")]
    #[case("inline", "inline")]
    #[case("", "inline")]
    #[case("self", "https://shop.example")]
    #[case("data", "data:")]
    #[case("data:text/html,hello", "data:")]
    #[case("chrome-extension://abcdef/x.js", "chrome-extension:")]
    #[case("chrome-extension", "chrome-extension:")]
    #[case("moz-extension://", "moz-extension:")]
    #[case("invented-by-a-stranger-17:", "other:")]
    #[case("evil.example", "https://evil.example")]
    #[case("https://[2001:db8::1]/x", "https://[2001:db8::1]")]
    #[case("https://bücher.example/", "https://xn--bcher-kva.example")]
    #[case("::::", "other:")]
    fn a_blocked_resource_is_its_origin_scheme_or_keyword(#[case] text: &str, #[case] expected: &str) {
        let document = Url::parse("https://shop.example/cart?user=1").unwrap();
        let blocked = Blocked::parse(text, &document).0;
        assert_eq!(blocked.to_string(), expected);
        assert_eq!(Blocked::from_key(expected), blocked, "what is stored reads back as the same");
    }

    #[test]
    fn a_host_of_an_origin_has_no_port() {
        assert_eq!(host_of_origin("https://cdn.example:8443"), "cdn.example");
        assert_eq!(host_of_origin("https://[2001:db8::1]"), "[2001:db8::1]");
        assert_eq!(host_of_origin("https://[2001:db8::1]:8443"), "[2001:db8::1]");
    }
}
