//! Values after names: their extent, and the decision if they must be masked.

use super::names::{NameKind, SCHEMES, is_name};

/// Replacements that this and other masking steps insert.
const MASKED: [&str; 7] = ["[address]", "[email]", "[id]", "[key]", "[secret]", "[text]", "[token]"];
/// Signs after a value that are not part of it.
const CLOSING: [char; 8] = [',', ';', ':', '.', ')', ']', '}', '!'];

/// Text after a name, split into separator, value and rest.
pub(super) struct Value<'a> {
    /// Text between name and value.
    pub(super) before: &'a str,
    /// `=` or `:`, if there is one.
    sign: Option<char>,
    is_quoted: bool,
    value: &'a str,
    after: &'a str,
}

impl<'a> Value<'a> {
    /// Finds the value after a name that ends just before `rest`. Returns `None` if there is none, or if it is
    /// masked.
    pub(super) fn after_name(rest: &'a str) -> Option<Self> {
        // In a path such as `secrets::read`, no part is a value.
        if rest.starts_with("::") {
            return None;
        }
        // Skip, in this order: the closing quote of a quoted name, spaces, the sign, and `Some(`.
        let mut at = quote(rest).map_or(0, str::len);
        at += spaces(&rest[at..]);
        let sign = rest[at..].chars().next().filter(|sign| matches!(sign, '=' | ':'));
        at += sign.map_or(0, char::len_utf8);
        at += spaces(&rest[at..]);
        at += if rest[at..].starts_with("Some(") { "Some(".len() } else { 0 };
        // The value ends at its closing quote, or at the end of the word.
        let quote = quote(&rest[at..]);
        at += quote.map_or(0, str::len);
        let (before, rest) = rest.split_at(at);
        let end = quote.map_or_else(|| unquoted(rest), |quote| quoted(rest, quote));
        let (value, after) = rest.split_at(end);
        let is_open = !value.is_empty() && !MASKED.iter().any(|masked| rest.starts_with(masked));
        is_open.then_some(Self { before, sign, is_quoted: quote.is_some(), value, after })
    }

    /// Returns the replacement for the value if it must not be kept after a name of this kind.
    pub(super) fn instead(&self, kind: NameKind) -> Option<&'static str> {
        let is_assigned = self.sign == Some('=') || self.sign.is_some() && self.is_quoted;
        match kind {
            NameKind::Secret => (self.sign.is_some() || self.is_quoted).then_some("[secret]"),
            NameKind::MaybeSecret if self.value.starts_with("arn:aws") => None,
            NameKind::MaybeSecret if self.sign.is_none() && !self.is_quoted => None,
            NameKind::MaybeSecret => {
                (is_assigned && !is_plain(self.value) || looks_secret(self.value)).then_some("[secret]")
            }
            NameKind::Cookie => {
                (self.sign.is_some() && (self.is_quoted || self.value.contains('='))).then_some("[secret]")
            }
            NameKind::Scheme => (self.before == " " && !is_ordinary(self.value)).then_some("[token]"),
            NameKind::Foreign => self.is_quoted.then_some("[text]"),
            NameKind::Named => (self.is_quoted && !is_identifier(self.value)).then_some("[text]"),
        }
    }

    /// Returns the text after the whole value. A scheme is followed by its token, a cookie by further cookies.
    pub(super) fn end(&self, kind: NameKind) -> &'a str {
        let (mut value, mut after) = (self.value, self.after);
        let is_cookie = |value: &str| kind == NameKind::Cookie && value.contains('=');
        let is_scheme = |value: &str| kind == NameKind::Secret && SCHEMES.contains(&value.to_lowercase().as_str());
        while !self.is_quoted && (is_cookie(value) || is_scheme(value)) {
            let next = after.trim_start_matches([';', ' ']);
            let end = unquoted(next);
            if end == 0 || next.len() == after.len() || kind == NameKind::Cookie && !is_cookie(&next[..end]) {
                break;
            }
            (value, after) = next.split_at(end);
        }
        after
    }
}

fn spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches(' ').len()
}

/// Returns the quotation mark at the start of `text`, escaped or not.
fn quote(text: &str) -> Option<&str> {
    let quotes = ["\\\"", "\"", "'", "`"];
    quotes.into_iter().find(|quote| text.starts_with(quote)).map(|quote| &text[..quote.len()])
}

/// Returns the length of a quoted value. Without a closing mark it extends to the end.
fn quoted(text: &str, quote: &str) -> usize {
    let closes = |at: &usize| match quote {
        "\"" => !text[..*at].ends_with('\\'),
        "'" => !text[at + 1..].starts_with(char::is_alphanumeric),
        _ => true,
    };
    text.match_indices(quote).map(|(at, _)| at).find(closes).unwrap_or(text.len())
}

/// Returns the length of a value without quotation marks.
fn unquoted(text: &str) -> usize {
    let end = text.find(|character: char| character.is_whitespace() || "\"'`<>&\\".contains(character));
    text[..end.unwrap_or(text.len())].trim_end_matches(CLOSING).len()
}

/// Returns true for short numbers and for literals such as `true` and `null`, which are no secrets.
fn is_plain(value: &str) -> bool {
    let is_number = value.len() <= 6 && value.bytes().all(|byte| byte.is_ascii_digit());
    is_number || ["true", "false", "null", "none"].contains(&value.to_lowercase().as_str())
}

fn looks_secret(value: &str) -> bool {
    let has = |is: fn(char) -> bool| value.contains(is);
    value.len() >= 24 || value.len() >= 8 && has(|c| c.is_ascii_digit()) && has(|c| c.is_ascii_alphabetic())
}

/// Returns true for a word of a sentence, such as `authentication` after `Basic`.
fn is_ordinary(value: &str) -> bool {
    let value = value.trim_end_matches(CLOSING);
    let is_lower = |text: &str| text.chars().all(|character| character.is_lowercase());
    value.len() <= 15
        && value.char_indices().nth(1).is_none_or(|(second, _)| is_lower(&value[second..]))
        && value.chars().next().is_some_and(char::is_alphabetic)
}

fn is_identifier(value: &str) -> bool {
    value.len() <= 64 && value.chars().all(|character| is_name(character) || "._:/".contains(character))
}
