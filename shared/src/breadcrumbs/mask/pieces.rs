//! Texts as pieces: the words of one kind of characters, and what stands between them.

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::breadcrumbs) enum Piece<'a> {
    /// As many characters of the asked kind as there are in a row.
    Run(&'a str),
    /// Other characters.
    Between(&'a str),
}

/// Cuts `text` where characters begin or cease to be of the kind that `is_member` tells.
pub(in crate::breadcrumbs) fn pieces(text: &str, is_member: impl Fn(char) -> bool) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_run = is_member(rest.chars().next()?);
        let end = rest.find(|character| is_member(character) != is_run).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(if is_run { Piece::Run(piece) } else { Piece::Between(piece) })
    })
}

/// `text` with each run for which `mask` has something else replaced by that.
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

/// Longer words than this are no words.
const LONGEST_WORD: usize = 24;
/// Longer names than this, of several words in one, are no names.
const LONGEST_NAME: usize = 64;
/// Pieces this short may be anything.
const SHORT: usize = 4;
/// More consonants than this in a row cannot be spoken.
const CONSONANTS: usize = 5;

/// What a run of ASCII letters and digits looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::breadcrumbs) enum Look {
    /// A word in small letters or with a first capital: nothing that is drawn by lot goes on behind it.
    Word,
    /// A name of several words (`TransactionCanceledException`), in capitals, or with a number (`sha256`).
    Name,
    /// Too little to tell.
    Short,
    /// Digits alone.
    Number,
    /// As if drawn by lot: a part of an id, a hash, a key.
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
    // A capital begins a word of about five letters; by lot, every other letter is one.
    let is_name = capitals > 0 && capitals * 100 <= letters * 35 && has_one_number && letters <= LONGEST_NAME;
    let is_lower = piece.bytes().skip(1).all(|byte| byte.is_ascii_lowercase());
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
