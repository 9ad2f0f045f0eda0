//! Masks long runs of letters and digits that look random: hashes, tokens in hex and base64, keys of unknown
//! makers.

use super::pieces::{Look, Piece, look, pieces, replace};

/// Fewest letters and digits in random pieces for a part to be masked.
const SHORTEST: usize = 20;
/// The same limit within an ARN, whose resource names have random parts.
const SHORTEST_IN_ARN: usize = 40;
/// Fewest letters and digits of a part that is masked for its mix of character kinds, regardless of its pieces.
const SHORTEST_MIXED: usize = 28;

pub(super) fn mask(text: &str) -> String {
    let is_word = |character: char| !matches!(character, ' ' | '"' | '\'' | '`');
    replace(text, is_word, |word| {
        let is_in_arn = word.contains("arn:aws");
        Some(replace(word, is_base64, |run| Some(mask_run(run, is_in_arn))))
    })
}

fn is_base64(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '=' | '_' | '-')
}

/// Masks the stretches between the words of `run`, or all of it.
fn mask_run(run: &str, is_in_arn: bool) -> String {
    // Typical for base64 alone: a plus sign within, or the length of AWS's secret keys.
    let is_base64 = !run.contains(['-', '_']) && (run.contains('+') || run.len() == 40);
    if !is_in_arn && is_base64 && is_mixed(run, 35) {
        return "[id]".to_owned();
    }
    let mut masked = String::new();
    // Keep words, and mask the stretches before, between and after them.
    let (mut start, mut at) = (0, 0);
    for piece in alphanumeric(run) {
        let (Piece::Run(text) | Piece::Between(text)) = piece;
        if matches!(piece, Piece::Run(word) if look(word) == Look::Word) {
            masked.push_str(&mask_stretch(&run[start..at], is_in_arn));
            masked.push_str(text);
            start = at + text.len();
        }
        at += text.len();
    }
    masked.push_str(&mask_stretch(&run[start..], is_in_arn));
    masked
}

fn alphanumeric(text: &str) -> impl Iterator<Item = Piece<'_>> {
    pieces(text, |character| character.is_ascii_alphanumeric())
}

fn mask_stretch(stretch: &str, is_in_arn: bool) -> String {
    // Mask the whole stretch if it looks random, except for signs at its ends.
    if !is_in_arn && is_mixed(stretch, 50) {
        let is_sign = |character: char| !character.is_ascii_alphanumeric();
        let start = stretch.len() - stretch.trim_start_matches(is_sign).len();
        let end = stretch.trim_end_matches(['/', '-', '_']).len();
        return format!("{}[id]{}", &stretch[..start], &stretch[end..]);
    }
    // Otherwise mask only the parts with enough random characters.
    let shortest = if is_in_arn { SHORTEST_IN_ARN } else { SHORTEST };
    let mut masked = String::new();
    let mut done = 0;
    for Part { start, end, .. } in parts(stretch).into_iter().filter(|part| part.random >= shortest) {
        masked.push_str(&stretch[done..start]);
        masked.push_str("[id]");
        done = end;
    }
    masked.push_str(&stretch[done..]);
    masked
}

/// Returns true if lower-case letters, capitals and digits alternate as in random text: if the kind changes at
/// `percent` of all places or more. In random text it changes at 62 %; in names that end in a few random
/// characters, at less than half.
fn is_mixed(text: &str, percent: usize) -> bool {
    let kind = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    let kinds: Vec<_> = text.as_bytes().iter().filter(|byte| byte.is_ascii_alphanumeric()).map(kind).collect();
    let changes = kinds.windows(2).filter(|two| two[0] != two[1]).count();
    kinds.len() >= SHORTEST_MIXED && changes * 100 >= kinds.len() * percent
}

/// Part of a stretch, from one random piece to another with no name between them.
struct Part {
    start: usize,
    end: usize,
    /// Number of letters and digits in random pieces and numbers.
    random: usize,
}

fn parts(stretch: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut is_open = false;
    let mut at = 0;
    // A random piece opens a part, further ones extend it, and a word or name closes it.
    for piece in alphanumeric(stretch) {
        let (Piece::Run(text) | Piece::Between(text)) = piece;
        let (start, end) = (at, at + text.len());
        at = end;
        let look = if let Piece::Run(word) = piece { look(word) } else { Look::Short };
        match (look, parts.last_mut().filter(|_| is_open)) {
            (Look::Word | Look::Name, _) => is_open = false,
            (Look::Random | Look::Number, Some(part)) => {
                part.end = end;
                part.random += text.len();
            }
            (Look::Random, None) => {
                parts.push(Part { start, end, random: text.len() });
                is_open = true;
            }
            // `=` is the padding of base64.
            (Look::Short, Some(part)) if text.starts_with('=') && part.end == start => part.end = end,
            (Look::Short | Look::Number, _) => {}
        }
    }
    parts
}
