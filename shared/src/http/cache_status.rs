//! Headers of a response that came through the read-through cache.

use http::header::{AGE, CACHE_CONTROL, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{Integer, KeyRef, ListSerializer, StringRef, TokenRef};

use crate::cache::standing::Standing;
use crate::cache::{CacheAnswer, CacheStatus, KEPT_STALE};
use crate::clock::Timestamp;

/// Header with `hit`, `stale` or `miss`.
pub const CACHE_HEADER: &str = "x-levee-cache";
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Returns the headers of a response with the entity tag `etag` that was built from `answer` at `now`.
pub fn cache_headers<T>(answer: &CacheAnswer<T>, etag: &str, now: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut insert = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    // Clients may keep the response for as long as the entry is fresh. The age counts against that.
    let (read_at, fresh_until) = (answer.entry.read_at, answer.entry.fresh_until);
    let max_age = read_at.until(fresh_until).as_secs();
    let kept = KEPT_STALE.as_secs();
    insert(ETAG, etag.to_owned());
    insert(CACHE_CONTROL, format!("private, max-age={max_age}, stale-if-error={kept}"));
    insert(AGE, read_at.until(now).as_secs().to_string());
    insert(HeaderName::from_static(CACHE_HEADER), answer.status.name().to_owned());
    if let Some(status) = cache_status(answer, now) {
        insert(CACHE_STATUS, status);
    }
    headers
}

/// Returns the value of `Cache-Status` (RFC 9211); `None` if it cannot be written, which no value causes.
fn cache_status<T>(answer: &CacheAnswer<T>, now: Timestamp) -> Option<String> {
    let mut list = ListSerializer::new();
    let mut item = list.bare_item(TokenRef::from_str("levee").ok()?);
    let key = |name: &'static str| KeyRef::from_str(name).ok();
    let millis = |moment: Timestamp| i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
    // Whole seconds left, negative for a stale entry.
    let ttl = (millis(answer.entry.fresh_until) - millis(now)).div_euclid(1000);
    match answer.status {
        CacheStatus::Hit | CacheStatus::Stale => item = item.parameter(key("hit")?, true),
        CacheStatus::Miss => {
            let reason = match answer.found {
                Standing::Missing | Standing::Fresh => "uri-miss",
                Standing::Expired | Standing::Outdated => "stale",
            };
            item = item.parameter(key("fwd")?, TokenRef::from_str(reason).ok()?);
            if answer.is_stored {
                item = item.parameter(key("stored")?, true);
            }
        }
    }
    if answer.is_collapsed {
        item = item.parameter(key("collapsed")?, true);
    }
    item = item.parameter(key("ttl")?, Integer::try_from(ttl).ok()?);
    let detail = match answer {
        CacheAnswer { is_source_gone: true, .. } => Some("source unavailable"),
        CacheAnswer { is_front: true, .. } => Some("front"),
        CacheAnswer { found: Standing::Outdated, .. } => Some("newer version"),
        _ => None,
    };
    if let Some(detail) = detail {
        let _item = item.parameter(key("detail")?, StringRef::from_str(detail).ok()?);
    }
    list.finish()
}

/// Returns true if the client has the response with this entity tag already (RFC 9110 section 13.1.2: `*`, or a list of
/// tags that are compared weakly).
pub fn is_not_modified(headers: &HeaderMap, etag: &str) -> bool {
    let lines = headers.get_all(http::header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::cache::CacheEntry;

    const READ_AT: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn answer(status: CacheStatus, found: Standing) -> CacheAnswer<()> {
        let fresh_until = READ_AT.plus(Duration::from_millis(290_500));
        CacheAnswer {
            entry: Arc::new(CacheEntry { value: None, version: 1, read_at: READ_AT, fresh_until }),
            status,
            found,
            is_front: false,
            is_collapsed: false,
            source_reads: 0,
            is_stored: false,
            is_source_gone: false,
        }
    }

    fn status(answer: &CacheAnswer<()>, secs: u64) -> String {
        let headers = cache_headers(answer, "\"a\"", READ_AT.plus(Duration::from_secs(secs)));
        headers["cache-status"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_response_says_for_how_long_it_may_be_kept_and_how_old_it_is() {
        let hit = answer(CacheStatus::Hit, Standing::Fresh);
        let headers = cache_headers(&hit, "\"a\"", READ_AT.plus(Duration::from_secs(42)));
        let text = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(text("cache-control"), "private, max-age=290, stale-if-error=86400");
        assert_eq!((text("age"), text("etag"), text("x-levee-cache")), ("42", "\"a\"", "hit"));
    }

    #[test]
    fn the_way_of_a_response_through_the_cache_is_told_in_the_standard_form() {
        let hit = answer(CacheStatus::Hit, Standing::Fresh);
        assert_eq!(status(&hit, 42), "levee;hit;ttl=248");
        assert_eq!(status(&CacheAnswer { is_front: true, ..hit }, 42), "levee;hit;ttl=248;detail=\"front\"");
        let stale = answer(CacheStatus::Stale, Standing::Expired);
        assert_eq!(status(&stale, 300), "levee;hit;ttl=-10");
        let gone = CacheAnswer { is_source_gone: true, ..stale };
        assert_eq!(status(&gone, 300), "levee;hit;ttl=-10;detail=\"source unavailable\"");
        let miss = CacheAnswer { is_stored: true, ..answer(CacheStatus::Miss, Standing::Missing) };
        assert_eq!(status(&miss, 0), "levee;fwd=uri-miss;stored;ttl=290");
        let newer = CacheAnswer { is_collapsed: true, ..answer(CacheStatus::Miss, Standing::Outdated) };
        assert_eq!(status(&newer, 0), "levee;fwd=stale;collapsed;ttl=290;detail=\"newer version\"");
    }

    #[rstest]
    #[case("\"a\"", true)]
    #[case("W/\"a\"", true)]
    #[case("\"b\", W/\"a\"", true)]
    #[case("*", true)]
    #[case("\"b\"", false)]
    #[case("a", false)]
    #[case("", false)]
    fn a_client_that_has_the_response_is_told_so(#[case] header: &str, #[case] expected: bool) {
        let headers: HeaderMap = [(http::header::IF_NONE_MATCH, header.parse().unwrap())].into_iter().collect();
        assert_eq!(is_not_modified(&headers, "\"a\""), expected);
        assert!(!is_not_modified(&HeaderMap::new(), "\"a\""));
    }
}
