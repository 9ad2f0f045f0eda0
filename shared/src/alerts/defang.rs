//! Makes text from untrusted sources harmless before it goes to mailboxes and chat rooms.

use crate::text::is_invisible;

/// Replaces everything in `text` that a mail or chat program acts on:
///
/// - links: `http` becomes `hxxp`, the dots in hosts (and in everything that could be one) `[.]`, the colon of any
///   other scheme `[:]`;
/// - mentions and addresses: `@` becomes `(at)`;
/// - markup: brackets become parentheses, and other signs of Markdown and Slack's mrkdwn become similar ones;
/// - control characters except line feeds, invisible characters, and those that change the direction of text are
///   removed or become spaces.
pub fn defang(text: &str) -> String {
    let text: Vec<char> = text.chars().filter_map(plain).collect();
    let mut safe = String::with_capacity(text.len());
    let mut is_line_start = true;
    for (at, &c) in text.iter().enumerate() {
        let (before, after) = (&text[..at], &text[at + 1..]);
        match c {
            '@' => safe.push_str("(at)"),
            '.' if joins_labels(before, after) => safe.push_str("[.]"),
            ':' if after.starts_with(&['/', '/']) && !ends_with_web(before) => safe.push_str("[:]"),
            't' if is_in_web(&text, at) => safe.push('x'),
            'T' if is_in_web(&text, at) => safe.push('X'),
            // An underscore within a word is no markup.
            '_' if !(is_word(before.last()) && is_word(after.first())) => safe.push('-'),
            '#' if is_line_start => safe.push(' '),
            c => safe.push(c),
        }
        is_line_start = c == '\n' || is_line_start && (c.is_whitespace() || c == '#');
    }
    safe
}

/// Defangs a text that must be one line of at most `bytes` bytes.
pub(super) fn line(text: &str, bytes: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    cut(&defang(&words.join(" ")), bytes)
}

/// Cuts `text` to at most `bytes` bytes, and ends it with an ellipsis if something is missing.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    const MORE: &str = "...";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(bytes.saturating_sub(MORE.len()));
    format!("{}{MORE}", &text[..kept])
}

/// Replaces a character that is dangerous by itself. Characters that some programs treat as a dot, a colon, a slash
/// or an at sign become that sign, so that the caller handles them as such.
fn plain(c: char) -> Option<char> {
    Some(match c {
        '\n' => '\n',
        '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => ' ',
        c if is_invisible(c) => return None,
        '[' | '<' => '(',
        ']' | '>' => ')',
        '`' => '\'',
        '*' => '+',
        '~' => '-',
        '|' | '\\' | '\u{ff0f}' => '/',
        '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | '\u{2024}' | '\u{fe52}' => '.',
        '\u{ff1a}' | '\u{fe55}' => ':',
        '\u{ff20}' | '\u{fe6b}' => '@',
        c => c,
    })
}

/// Returns true if a dot between `before` and `after` joins the labels of a host name or address. The decimal point
/// of a number does not.
fn joins_labels(before: &[char], after: &[char]) -> bool {
    let is_label = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let (Some(left), Some(right)) = (before.last(), after.first()) else { return false };
    // One dot between digits, without a further dot on either side, belongs to a number such as 3.5.
    let is_number = left.is_ascii_digit()
        && right.is_ascii_digit()
        && before.iter().rev().find(|c| !is_label(c)) != Some(&'.')
        && after.iter().find(|c| !is_label(c)) != Some(&'.');
    is_label(left) && right.is_alphanumeric() && !is_number
}

fn is_word(c: Option<&char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric())
}

/// Returns true if the `t` at `at` belongs to `http:` or `https:`.
fn is_in_web(text: &[char], at: usize) -> bool {
    [1, 2].iter().filter_map(|back| at.checked_sub(*back)).any(|start| {
        let text = &text[start..];
        starts_with(text, "http:") || starts_with(text, "https:")
    })
}

fn ends_with_web(text: &[char]) -> bool {
    ["http", "https"].iter().any(|web| starts_with(&text[text.len().saturating_sub(web.len())..], web))
}

fn starts_with(text: &[char], word: &str) -> bool {
    text.len() >= word.len() && text.iter().zip(word.chars()).all(|(c, expected)| c.eq_ignore_ascii_case(&expected))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::link("see https://evil.example.com/a?b=c", "see hxxps://evil[.]example[.]com/a?b=c")]
    #[case::loud_link("HTTP://EVIL.EXAMPLE", "HXXP://EVIL[.]EXAMPLE")]
    #[case::hidden_link("ht\u{200b}tp://x.y", "hxxp://x[.]y")]
    #[case::other_scheme("ftp://a.b slack:\\\\c", "ftp[:]//a[.]b slack[:]//c")]
    #[case::other_dots("http：／／evil。example", "hxxp://evil[.]example")]
    #[case::address("http://10.0.0.1:80 10.0.0.1", "hxxp://10[.]0[.]0[.]1:80 10[.]0[.]0[.]1")]
    #[case::mail("a.b@c.d", "a[.]b(at)c[.]d")]
    #[case::mentions("<!channel> @here <@U123|you>", "(!channel) (at)here ((at)U123/you)")]
    #[case::markdown_link("[click](http://x.y)", "(click)(hxxp://x[.]y)")]
    #[case::markup("# a\n *b* _c_ `d` ~e~ #5", "  a\n +b+ -c- 'd' -e- #5")]
    #[case::turned("a\u{202e}b\u{2066}c", "abc")]
    #[case::controls("a\r\tb\u{1b}[31m\0", "a  b (31m ")]
    #[case::ordinary(
        "3.5 s at 01:15:18.042Z, 60 errors (lost_track). HTTP 500: no.",
        "3.5 s at 01:15:18.042Z, 60 errors (lost_track). HTTP 500: no."
    )]
    #[case::code("redis.gone", "redis[.]gone")]
    fn text_is_defanged(#[case] text: &str, #[case] safe: &str) {
        assert_eq!(defang(text), safe);
    }

    #[test]
    fn text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("äöü", 6), "äöü");
        assert_eq!(cut("äöüß", 6), "ä...");
        assert_eq!(line(" a\n b.c ", 5), "a ...");
    }

    /// Generates text that combines dangerous pieces.
    fn dangerous() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            3 => any::<char>().prop_map(String::from),
            2 => "[a-z0-9]{1,3}",
            5 => proptest::sample::select(vec![
                "http", "HTTPS", ":", "/", "//", ".", "。", "@", "<", "!", "[", "]", "(", ")", "`", "*", "_", "#", "|",
                "\n", "\r", "\u{200b}", "\u{202e}", "\\", "www", "-", "1", "\u{feff}",
            ]).prop_map(str::to_owned),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    /// Checks that `text` contains nothing that mail and chat programs act on.
    fn is_harmless(text: &str) -> Result<(), TestCaseError> {
        let lower = text.to_ascii_lowercase();
        prop_assert!(!lower.contains("http:") && !lower.contains("https:"), "{text:?}");
        for (at, _) in lower.match_indices("://") {
            prop_assert!(lower[..at].ends_with("hxxp") || lower[..at].ends_with("hxxps"), "{text:?}");
        }
        prop_assert!(!text.contains(['@', '<', '>', '`', '*', '~', '|', '\\']), "{text:?}");
        prop_assert!(!text.contains("](") && !text.contains("]:"), "{text:?}");
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control() && !is_invisible(c)), "{text:?}");
        for word in text.split(|c: char| !c.is_alphanumeric() && c != '.') {
            let labels: Vec<&str> = word.split('.').filter(|label| !label.is_empty()).collect();
            let is_number = labels.len() == 2 && labels[0].ends_with(numeric) && labels[1].starts_with(numeric);
            prop_assert!(labels.len() < 2 || is_number || word.contains(".."), "{word:?} of {text:?}");
        }
        Ok(())
    }

    fn numeric(c: char) -> bool {
        c.is_ascii_digit()
    }

    proptest! {
        #[test]
        fn nothing_of_what_is_left_is_acted_on(text in dangerous()) {
            let safe = defang(&text);
            is_harmless(&safe)?;
            let brackets = safe.replace("[.]", "").replace("[:]", "");
            prop_assert!(!brackets.contains(['[', ']']), "{safe:?}");
        }

        #[test]
        fn a_defanged_text_stays_harmless_when_it_is_cut_or_defanged_again(text in dangerous(), bytes in 3_usize..60) {
            let cut = cut(&defang(&text), bytes);
            prop_assert!(cut.len() <= bytes);
            is_harmless(&cut)?;
            is_harmless(&defang(&cut))?;
        }

        #[test]
        fn a_line_is_one_and_harmless(text in dangerous(), bytes in 3_usize..60) {
            let line = line(&text, bytes);
            prop_assert!(line.len() <= bytes && !line.contains('\n'));
            is_harmless(&line)?;
        }
    }
}
