//! The two cookies. Both have the `__Host-` prefix (RFC 6265bis, section 4.1.3.2): no other host, and no page without
//! TLS, can have set them.

use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

/// Holds the session's token, for as long as a session lasts.
pub(crate) const SESSION: Kind = Kind { name: "__Host-levee-session", kept: Duration::hours(12) };
/// Holds what the sign-in form must repeat, for as long as somebody may leave that form open.
pub(crate) const LOGIN: Kind = Kind { name: "__Host-levee-login", kept: Duration::hours(12) };

/// One of the cookies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    name: &'static str,
    kept: Duration,
}

impl Kind {
    /// The value that a request carries. Of several of one name, a browser sends the one that fits best first.
    pub(crate) fn read(self, headers: &HeaderMap) -> Option<String> {
        let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let mut cookies = lines.flat_map(Cookie::split_parse).flatten();
        cookies.find(|cookie| cookie.name() == self.name).map(|cookie| cookie.value().to_owned())
    }

    /// Adds the cookie with `value` to an answer.
    pub(crate) fn set(self, headers: &mut HeaderMap, value: &str) {
        append(headers, self.of(value.to_owned(), self.kept));
    }

    /// Removes the cookie from its browser.
    pub(crate) fn clear(self, headers: &mut HeaderMap) {
        append(headers, self.of(String::new(), Duration::ZERO));
    }

    fn of(self, value: String, kept: Duration) -> Cookie<'static> {
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
    use super::*;

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
}
