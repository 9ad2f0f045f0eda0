//! Splits texts into runs of one kind of characters and the text between them, and judges the look of a run.

/// One piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::breadcrumbs) enum Piece<'a> {
    /// Longest run of characters of the requested kind.
    Run(&'a str),
    /// Characters between two runs.
    Between(&'a str),
}

/// Splits `text` at each change between characters for which `is_member` is true and others.
pub(in crate::breadcrumbs) fn pieces(text: &str, is_member: impl Fn(char) -> bool) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        // The first character decides the kind of the next piece.
        let is_run = is_member(rest.chars().next()?);
        let end = rest.find(|character| is_member(character) != is_run).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(if is_run { Piece::Run(piece) } else { Piece::Between(piece) })
    })
}

/// Replaces each run for which `mask` returns a replacement.
pub(super) fn replace(text: &str, is_member: impl Fn(char) -> bool, mask: impl Fn(&str) -> Option<String>) -> String {
    let mut masked = String::with_capacity(text.len());
    for piece in pieces(text, is_member) {
        match piece {
            Piece::Between(text) => masked.push_str(text),
            Piece::Run(run) => match mask(run) {
                Some(instead) => masked.push_str(&instead),
                None => masked.push_str(run),
            },
        }
    }
    masked
}

/// Letters of the longest word.
const LONGEST_WORD: usize = 24;
/// Letters of the longest name that consists of several words.
const LONGEST_NAME: usize = 64;
/// Length up to which a piece is too short to judge.
const SHORT: usize = 4;
/// Most consonants in a row that can be pronounced.
const CONSONANTS: usize = 5;

/// Look of a run of ASCII letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::breadcrumbs) enum Look {
    /// Lower-case word, or one with a capital first letter. It ends a random part.
    Word,
    /// A name of several words (`TransactionCanceledException`), in capitals, or with a number (`sha256`).
    Name,
    /// Too little to tell.
    Short,
    /// Only digits.
    Number,
    /// Random characters: a part of an id, a hash or a key.
    Random,
}

pub(in crate::breadcrumbs) fn look(piece: &str) -> Look {
    let count = |is: fn(&u8) -> bool| piece.bytes().filter(is).count();
    let (digits, capitals) = (count(u8::is_ascii_digit), count(u8::is_ascii_uppercase));
    let letters = piece.len() - digits;
    let is_digit = |character: char| character.is_ascii_digit();
    let ends_in_digits = piece.trim_end_matches(is_digit).len() == letters;
    let has_one_number = pieces(piece, is_digit).filter(|piece| matches!(piece, Piece::Run(_))).count() <= 1;
    let is_plain = (capitals == 0 || capitals == letters) && ends_in_digits && letters <= LONGEST_WORD;
    // In names, about every fifth letter is a capital; in random text, about half of the letters are.
    let is_name = capitals > 0 && capitals * 100 <= letters * 35 && has_one_number && letters <= LONGEST_NAME;
    let is_lower = piece.bytes().skip(1).all(|byte| byte.is_ascii_lowercase());
    // Check from the most certain look to the least.
    match () {
        () if letters == 0 && digits < 20 => Look::Number,
        () if piece.len() <= SHORT && (is_plain || digits == 0) => Look::Short,
        () if digits > SHORT || digits > 0 && piece.len() > LONGEST_WORD || !is_speakable(piece) => Look::Random,
        () if is_lower && letters <= LONGEST_WORD => Look::Word,
        () if is_plain || is_name => Look::Name,
        () => Look::Random,
    }
}

fn is_speakable(piece: &str) -> bool {
    let mut consonants = pieces(piece, |letter| letter.is_ascii_alphabetic() && !"aeiouyAEIOUY".contains(letter));
    !consonants.any(|piece| matches!(piece, Piece::Run(run) if run.len() > CONSONANTS))
}
