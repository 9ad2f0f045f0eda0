//! Checks of text that people write and others read.

/// Replacement for a character that cannot be shown.
const REPLACEMENT: char = '\u{fffd}';

/// Returns true if `character` is invisible or changes the look of its neighbours: joiners, fillers, variation
/// selectors, tags, the marks of the bidirectional algorithm (UAX #9), and the line separators that are not control
/// characters.
///
/// A name with such a character can look like another name.
pub fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{13430}'..='\u{13440}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Replaces every control character and every [invisible](is_invisible) one by U+FFFD, except those for which `keeps`
/// returns true.
pub fn mark_invisible(text: &str, keeps: impl Fn(char) -> bool) -> String {
    let mark = |it: char| if (it.is_control() || is_invisible(it)) && !keeps(it) { REPLACEMENT } else { it };
    text.chars().map(mark).collect()
}

/// Formats a number with separated thousands: `1,234`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        // A comma precedes each group of three digits.
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_not_seen_or_turn_text_around_are_marked() {
        for hidden in [
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{2028}',
            '\u{202e}',
            '\u{2066}',
            '\u{2800}',
            '\u{1bca0}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{9b}',
            '\u{1b}',
            '\u{e0041}',
        ] {
            assert_eq!(mark_invisible(&format!("a{hidden}b\n"), |it| it == '\n'), "a\u{fffd}b\n", "{hidden:?}");
        }
        let seen = "Zoë & Söhne — 東京 \u{1f600} \u{5d0}\u{5d1}";
        assert_eq!(mark_invisible(seen, |_| false), seen);
    }
}
