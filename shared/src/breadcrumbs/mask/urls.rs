//! Masks the parts of URLs that are not a location: users with passwords, and query strings.

use super::pieces::replace;

/// Signs that end a sentence or a bracket around a URL and are not part of it.
const CLOSING: [char; 8] = [')', ']', '}', '.', ',', ';', ':', '!'];

pub(super) fn mask(text: &str) -> String {
    replace(
        text,
        |character| !(character.is_whitespace() || "\"'`<>".contains(character)),
        |word| {
            if let Some((scheme, rest)) = word.split_once("://") {
                let rest = without_user(rest);
                return Some(format!("{scheme}://{}", without_query(&rest, true).unwrap_or(rest)));
            }
            without_query(word, word.trim_start_matches('(').starts_with('/'))
        },
    )
}

/// Masks the user info, before `@`, in the rest of a URL from its authority on.
fn without_user(rest: &str) -> String {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    // A password may contain `/`, `?` or `#` unescaped. The text after the last colon then does not look like a
    // port.
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let is_odd =
        port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit() || CLOSING.contains(&(byte as char))));
    let at = authority.rfind('@').or_else(|| is_odd.then(|| rest.rfind('@')).flatten());
    at.map_or_else(|| rest.to_owned(), |at| format!("[secret]{}", &rest[at..]))
}

/// Masks the query after `?` in `word`, or also after `#` in a URL. Returns `None` if there is none.
fn without_query(word: &str, is_url: bool) -> Option<String> {
    let (at, query) = word.match_indices(['?', '#']).map(|(at, _)| (at, &word[at + 1..])).find(|(at, query)| {
        let name = query.split_once('=').map(|(name, _)| name);
        let is_pair = name.is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.%[]".contains(&byte))
        });
        !query.trim_end_matches(CLOSING).is_empty() && (is_url || is_pair && word[*at..].starts_with('?'))
    })?;
    if query.starts_with("[query]") {
        return None;
    }
    let closing = &query[query.trim_end_matches(CLOSING).len().max(end_of_mark(query))..];
    Some(format!("{}[query]{closing}", &word[..=at]))
}

/// Returns the end of the last mark, such as `[secret]`, that an earlier step has put into `query`; 0 without one. Its
/// bracket closes nothing around the URL.
fn end_of_mark(query: &str) -> usize {
    let mark = query.rfind('[').and_then(|open| Some((open, query[open..].find(']')?)));
    let is_mark = |(open, length): &(usize, usize)| {
        query[open + 1..open + length].bytes().all(|byte| byte.is_ascii_lowercase()) && *length > 1
    };
    mark.filter(is_mark).map_or(0, |(open, length)| open + length + 1)
}
