//! Values that the name before them gives away: secrets (`password=…`, `Authorization: Bearer …`) and what came from
//! outside (`invalid type: string "…"`).

use super::value::Value;

/// Parts of names whose values are always secret, without hyphens and underscores.
const SECRET: [&str; 8] =
    ["password", "passwd", "passphrase", "apikey", "authorization", "privatekey", "accesskey", "secretkey"];
/// Parts of names whose values often are, but which also stand in sentences.
const MAYBE_SECRET: [&str; 5] = ["secret", "token", "credential", "signature", "session"];
/// Schemes of the header `Authorization`.
pub(super) const SCHEMES: [&str; 4] = ["bearer", "basic", "digest", "negotiate"];
/// Words before a quoted value that somebody sent.
const FOREIGN: [&str; 10] =
    ["body", "completion", "content", "input", "prompt", "string", "system", "text", "value", "bytes"];
/// Words before a quoted name, which may be another text when somebody sent it.
const NAMED: [&str; 6] = ["field", "key", "literal", "model", "parameter", "variant"];

/// What a name says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    MaybeSecret,
    Cookie,
    Scheme,
    Foreign,
    Named,
}

pub(super) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_name) {
        let end = rest[start..].find(|character| !is_name(character)).map_or(rest.len(), |length| start + length);
        let name = &rest[start..end];
        masked.push_str(&rest[..end]);
        rest = &rest[end..];
        let is_in_arn = masked.rsplit(' ').next().is_some_and(|word| word.contains("arn:aws"));
        let Some(kind) = kind(name).filter(|_| !is_in_arn) else { continue };
        if let Some(value) = Value::after_name(rest)
            && let Some(instead) = value.instead(kind)
        {
            masked.push_str(value.before);
            masked.push_str(instead);
            rest = value.end(kind);
        }
    }
    masked.push_str(rest);
    masked
}

pub(super) fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '-'
}

fn kind(name: &str) -> Option<Kind> {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let name = name.as_str();
    let has = |part: &&str| name.contains(*part);
    match name {
        _ if name == "pwd" || SECRET.iter().any(has) => Some(Kind::Secret),
        // Tokens in the plural are what a model reads and writes.
        _ if MAYBE_SECRET.iter().any(has) && !name.contains("tokens") => Some(Kind::MaybeSecret),
        _ if name.contains("cookie") => Some(Kind::Cookie),
        _ if SCHEMES.contains(&name) => Some(Kind::Scheme),
        _ if FOREIGN.contains(&name) => Some(Kind::Foreign),
        _ if NAMED.contains(&name) => Some(Kind::Named),
        _ => None,
    }
}
