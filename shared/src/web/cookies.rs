//! Cookies of a site. All have the `__Host-` prefix (RFC 6265bis, section 4.1.3.2), so neither another host nor a page
//! without TLS can have set them.

use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

/// Name and lifetime of a cookie.
#[derive(Debug, Clone, Copy)]
pub struct CookieKind {
    name: &'static str,
    kept: Duration,
}

impl CookieKind {
    /// Creates a cookie that is kept for some hours.
    ///
    /// # Panics
    /// At compile time, if `name` has no `__Host-` prefix.
    pub const fn new(name: &'static str, hours: i64) -> Self {
        assert!(matches!(name.as_bytes(), [b'_', b'_', b'H', b'o', b's', b't', b'-', ..]), "a cookie for any host");
        Self { name, kept: Duration::hours(hours) }
    }

    /// Returns the value that a request carries. Of several cookies with this name, the first counts: browsers send
    /// the closest match first.
    pub fn read(self, headers: &HeaderMap) -> Option<String> {
        // A request may have several `Cookie` lines, each with several cookies.
        let mut cookies = headers.get_all(COOKIE).into_iter().flat_map(|line| line.as_bytes().split(|it| *it == b';'));
        let value = cookies.find_map(|cookie| self.value_in(cookie))?;
        std::str::from_utf8(value).ok().map(str::to_owned)
    }

    /// Returns the value if `cookie` has exactly this name. It works on bytes, because cookies that other sites set
    /// may hold anything. It trims only the white space of RFC 6265, section 5.2: a more liberal definition could let
    /// another name pass for the prefix.
    fn value_in(self, cookie: &[u8]) -> Option<&[u8]> {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let begin = cookie.iter().position(|byte| !is_space(byte))?;
        let end = cookie.iter().rposition(|byte| !is_space(byte))?;
        cookie.get(begin..=end)?.strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")
    }

    /// Adds the cookie with `value` to an answer.
    pub fn set(self, headers: &mut HeaderMap, value: &str) {
        append(headers, self.build(value.to_owned(), self.kept));
    }

    /// Removes the cookie from the browser.
    pub fn clear(self, headers: &mut HeaderMap) {
        append(headers, self.build(String::new(), Duration::ZERO));
    }

    fn build(self, value: String, kept: Duration) -> Cookie<'static> {
        Cookie::build((self.name, value))
            .path("/")
            .secure(true)
            .http_only(true)
            .same_site(SameSite::Strict)
            .max_age(kept)
            .build()
    }
}

fn append(headers: &mut HeaderMap, cookie: Cookie<'_>) {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        headers.append(SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SESSION: CookieKind = CookieKind::new("__Host-levee-session", 12);
    const LOGIN: CookieKind = CookieKind::new("__Host-levee-login", 12);

    #[test]
    fn cookies_are_out_of_reach_of_scripts_other_sites_and_plain_http() {
        let mut headers = HeaderMap::new();
        SESSION.set(&mut headers, "abc");
        SESSION.clear(&mut headers);
        let set: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(
            set,
            [
                "__Host-levee-session=abc; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=43200",
                "__Host-levee-session=; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=0"
            ]
        );
    }

    #[test]
    fn a_cookie_is_found_among_others_and_in_several_lines() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; nonsense;; __Host-levee-login=1"));
        headers.append(COOKIE, HeaderValue::from_static("__Host-levee-session=2; __Host-levee-session=3"));
        assert_eq!(LOGIN.read(&headers).as_deref(), Some("1"));
        assert_eq!(SESSION.read(&headers).as_deref(), Some("2"));
        assert_eq!(SESSION.read(&HeaderMap::new()), None);
    }

    #[rstest]
    #[case::bytes_of_no_text(b"a=\xff\xfe; __Host-levee-session=1", Some("1"))]
    #[case::another_alphabet("naïve=é; \t__Host-levee-session=1\t ;b".as_bytes(), Some("1"))]
    #[case::equals_signs(b"__Host-levee-session=a=b=", Some("a=b="))]
    #[case::empty(b"__Host-levee-session=", Some(""))]
    #[case::no_text_itself(b"__Host-levee-session=\xff", None)]
    #[case::wide_space("\u{a0}__Host-levee-session=1".as_bytes(), None)]
    #[case::wide_space_behind("__Host-levee-session\u{a0}=1".as_bytes(), None)]
    #[case::latin_1_space(b"\xa0__Host-levee-session=1", None)]
    #[case::space_behind(b"__Host-levee-session =1", None)]
    #[case::other_case(b"__host-levee-session=1", None)]
    #[case::longer(b"__Host-levee-session-2=1", None)]
    #[case::within_a_value(b"a=__Host-levee-session=1", None)]
    #[case::no_value(b"__Host-levee-session", None)]
    fn what_stands_beside_a_cookie_neither_hides_it_nor_passes_for_it(
        #[case] line: &[u8],
        #[case] value: Option<&str>,
    ) {
        let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_bytes(line).unwrap())]);
        assert_eq!(SESSION.read(&headers).as_deref(), value);
    }
}
