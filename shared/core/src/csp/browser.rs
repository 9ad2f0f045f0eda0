//! The browser that sent a report: its family, and the version only to tell outdated ones.

use serde::{Deserialize, Serialize};

/// Families of browsers, by engine and brand. The user agent itself is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Browser {
    /// Chrome, Chromium, and browsers that say they are Chrome.
    Chrome,
    /// Microsoft Edge.
    Edge,
    /// Firefox.
    Firefox,
    /// Internet Explorer.
    InternetExplorer,
    /// Opera.
    Opera,
    /// Safari, and every other browser on iOS.
    Safari,
    /// Samsung Internet.
    Samsung,
    /// Anything else, or no user agent.
    Other,
}

impl Browser {
    /// All families.
    pub const ALL: [Self; 8] = [
        Self::Chrome,
        Self::Edge,
        Self::Firefox,
        Self::InternetExplorer,
        Self::Opera,
        Self::Safari,
        Self::Samsung,
        Self::Other,
    ];

    /// Returns the name as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chrome => "chrome",
            Self::Edge => "edge",
            Self::Firefox => "firefox",
            Self::InternetExplorer => "internet-explorer",
            Self::Opera => "opera",
            Self::Safari => "safari",
            Self::Samsung => "samsung",
            Self::Other => "other",
        }
    }

    /// Reads the family from a user agent, and whether that version is outdated.
    pub fn parse(user_agent: &str) -> (Self, bool) {
        /// Marks of the families, the most specific one first, each with the oldest major version that understands
        /// nonces, hashes and `strict-dynamic`. A version below it reports violations of what it cannot read.
        ///
        /// <https://caniuse.com/contentsecuritypolicy2>, <https://caniuse.com/mdn-http_headers_content-security-policy_strict-dynamic>
        const MARKS: [(&str, Browser, u32); 14] = [
            ("MSIE ", Browser::InternetExplorer, u32::MAX),
            ("Trident/", Browser::InternetExplorer, u32::MAX),
            ("Edge/", Browser::Edge, u32::MAX),
            ("EdgA/", Browser::Edge, 79),
            ("EdgiOS/", Browser::Edge, 100),
            ("Edg/", Browser::Edge, 79),
            ("SamsungBrowser/", Browser::Samsung, 12),
            ("OPR/", Browser::Opera, 67),
            ("FxiOS/", Browser::Firefox, 100),
            ("CriOS/", Browser::Chrome, 100),
            ("Firefox/", Browser::Firefox, 78),
            ("HeadlessChrome/", Browser::Chrome, 80),
            ("Chrome/", Browser::Chrome, 80),
            ("Version/", Browser::Safari, 15),
        ];
        // The first mark that stands in the text decides.
        for (mark, family, oldest) in MARKS {
            if let Some((_, rest)) = user_agent.split_once(mark) {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                // A version that cannot be read is not outdated: such reports are not set aside.
                let major: u32 = rest.get(..digits).and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX);
                return (family, oldest == u32::MAX || major < oldest);
            }
        }
        (Self::Other, false)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
        Browser::Chrome,
        false
    )]
    #[case(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36",
        Browser::Chrome,
        false
    )]
    #[case(
        "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/49.0.2623.112 Safari/537.36",
        Browser::Chrome,
        true
    )]
    #[case(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
        Browser::Edge,
        false
    )]
    #[case(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763",
        Browser::Edge,
        true
    )]
    #[case("Mozilla/5.0 (Windows NT 10.0; rv:149.0) Gecko/20100101 Firefox/149.0", Browser::Firefox, false)]
    #[case(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15",
        Browser::Safari,
        false
    )]
    #[case(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 12_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.0 Mobile/15E148 Safari/604.1",
        Browser::Safari,
        true
    )]
    #[case("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.0)", Browser::InternetExplorer, true)]
    #[case("Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko", Browser::InternetExplorer, true)]
    #[case("Chrome/99999999999999999999", Browser::Chrome, false)]
    #[case("Chrome/", Browser::Chrome, false)]
    #[case("", Browser::Other, false)]
    fn a_browser_is_known_by_its_mark(#[case] user_agent: &str, #[case] family: Browser, #[case] is_outdated: bool) {
        assert_eq!(Browser::parse(user_agent), (family, is_outdated));
        assert!(Browser::ALL.contains(&family));
    }
}
