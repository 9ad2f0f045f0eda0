//! The parts of a provider's error that clients get: its kind and its sentence. Everything else is dropped, such as
//! details and ids. No I/O.
//!
//! A sentence that names the platform's account is replaced. The sentence about a caller's mistake may repeat the
//! caller's words, so only the provider's own words in it are judged.

use std::borrow::Cow;

/// Longest kind of an error that is passed on, in bytes.
const LONGEST_KIND: usize = 40;
/// Fewest bytes of an id after its prefix.
const SHORTEST_ID: usize = 8;

/// The sentence for clients in place of a rate limit's that names the platform.
pub const LIMITED: &str = "The AI provider limits the platform's calls at the moment.";
/// The sentence for clients in place of one about their call that names the platform.
pub const REJECTED: &str = "The AI provider rejects the call for a reason that concerns the platform.";

/// Returns `kind` if it has the form of a kind of the API's errors, else `other`.
pub fn public_kind<'a>(kind: &'a str, other: &'a str) -> &'a str {
    let is_kind =
        (1..=LONGEST_KIND).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_kind { kind } else { other }
}

/// Returns the sentence of an error for clients, without the provider's ids of requests; `None` if it names the
/// platform's account. `is_about_call` is true for an error that the caller has to correct.
pub fn public_sentence(sentence: &str, is_about_call: bool) -> Option<Cow<'_, str>> {
    let judged = if is_about_call { own_words(sentence).into() } else { Cow::Borrowed(sentence) };
    (!names_the_account(&judged)).then(|| without_request_ids(sentence))
}

/// Returns true if a sentence names the platform's account: its organization or workspace, mostly with an id or a
/// figure.
fn names_the_account(sentence: &str) -> bool {
    let sentence = sentence.to_lowercase();
    ["organization", "organisation", "workspace", "your account", "org_", "org-", "wrkspc_"]
        .iter()
        .any(|word| sentence.contains(word))
}

/// Returns a sentence about a call without the parts that repeat it: the path of a field at the beginning, and
/// everything in quotes.
fn own_words(sentence: &str) -> String {
    let is_path = |path: &str| !path.is_empty() && !path.contains(char::is_whitespace);
    let mut rest = match sentence.split_once(": ") {
        Some((path, rest)) if is_path(path) => rest,
        _ => sentence,
    };
    let mut words = String::new();
    let is_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    while let Some(at) = rest.find(['\'', '"', '`']) {
        let quote = rest[at..].chars().next().unwrap_or_default();
        let (before, quoted) = (&rest[..at], &rest[at + 1..]);
        words.push_str(before);
        // An apostrophe is within a word or behind it, and a quote begins before a word.
        let end = (!is_word(before.chars().next_back()))
            .then(|| quoted.match_indices(quote).find(|(end, _)| !is_word(quoted[end + 1..].chars().next())))
            .flatten();
        rest = end.map_or(quoted, |(end, _)| &quoted[end + 1..]);
    }
    words + rest
}

/// Returns a sentence with an ellipsis in place of each of the provider's ids of requests.
fn without_request_ids(sentence: &str) -> Cow<'_, str> {
    if !sentence.contains("req_") {
        return sentence.into();
    }
    let is_of_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let is_id = |word: &str| {
        word.strip_prefix("req_").is_some_and(|id| id.len() >= SHORTEST_ID && id.bytes().any(|it| it.is_ascii_digit()))
    };
    // A word ends before every other character, which is a piece of its own.
    let pieces = sentence.split_inclusive(|character| !is_of_word(character));
    let shown = pieces.map(|piece| {
        let word = piece.trim_end_matches(|character| !is_of_word(character));
        if is_id(word) { format!("…{}", &piece[word.len()..]) } else { piece.to_owned() }
    });
    shown.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("api_error", "api_error")]
    #[case("a_new_error", "a_new_error")]
    #[case("request_too_large", "request_too_large")]
    #[case("", "other")]
    #[case("org_01abc", "other")]
    #[case("Api Error", "other")]
    #[case("<b>", "other")]
    #[case("a_kind_of_more_letters_than_any_kind_of_the_api_has", "other")]
    fn a_kind_has_lower_case_letters(#[case] kind: &str, #[case] expected: &str) {
        assert_eq!(public_kind(kind, "other"), expected);
    }

    #[rstest]
    #[case::organization("This would exceed your organization's rate limit.")]
    #[case::british("Your Organisation is limited.")]
    #[case::account("This request would exceed your account's rate limit.")]
    #[case::workspace("Workspace 'Acme production' has no access to this model.")]
    #[case::workspace_id("wrkspc_01AbCd is being moved.")]
    #[case::id("The key belongs to org_01AbCdEf.")]
    #[case::quoted_figures("The limit of \"7\" of your organization's is reached, isn't it?")]
    fn a_sentence_about_the_platforms_account_passes_under_no_status(#[case] sentence: &str) {
        assert_eq!(public_sentence(sentence, true), None);
        assert_eq!(public_sentence(sentence, false), None);
    }

    #[rstest]
    #[case::value("messages.0.role: 'organization' is not a role")]
    #[case::double_quotes("tool_choice: \"my workspace\" isn't a tool of this call's")]
    #[case::backquotes("The model `org-acme-1` does not exist.")]
    #[case::path("metadata.organization: Extra inputs are not permitted")]
    #[case::apostrophe("system: the caller's text 'it's our organization' is no list")]
    fn the_callers_own_words_name_nobody(#[case] sentence: &str) {
        assert_eq!(public_sentence(sentence, true).as_deref(), Some(sentence));
        assert_eq!(public_sentence(sentence, false), None);
    }

    #[rstest]
    #[case("Overloaded", "Overloaded")]
    #[case("", "")]
    #[case("Failed (request id: req_011CeGphKfhi1XAd3tJp1z1E).", "Failed (request id: …).")]
    #[case("req_011CeGphKfhi1XAd, req_011CeGphKfhi1XAe", "…, …")]
    #[case("tools.0.name: req_report is taken", "tools.0.name: req_report is taken")]
    #[case("caf\u{e9}s: req_011CeGphKfhi1XAd\u{e9}", "caf\u{e9}s: …\u{e9}")]
    fn a_providers_id_of_a_request_is_hidden(#[case] sentence: &str, #[case] expected: &str) {
        assert_eq!(public_sentence(sentence, true).as_deref(), Some(expected));
        assert_eq!(public_sentence(sentence, false).as_deref(), Some(expected));
    }
}
