//! Masks values that the name before them reveals: secrets (`password=…`, `Authorization: Bearer …`), and values
//! that came from outside (`invalid type: string "…"`).

use super::value::Value;

/// Parts of names whose values are always secret. Names are compared without hyphens and underscores.
const SECRET: [&str; 8] =
    ["password", "passwd", "passphrase", "apikey", "authorization", "privatekey", "accesskey", "secretkey"];
/// Parts of names whose values are often secret, but which also occur in sentences.
const MAYBE_SECRET: [&str; 5] = ["secret", "token", "credential", "signature", "session"];
/// Schemes of the header `Authorization`.
pub(super) const SCHEMES: [&str; 4] = ["bearer", "basic", "digest", "negotiate"];
/// Words before a quoted value that a client or provider sent.
const FOREIGN: [&str; 10] =
    ["body", "completion", "content", "input", "prompt", "string", "system", "text", "value", "bytes"];
/// Words before a quoted name. The quoted text may be arbitrary input.
const NAMED: [&str; 6] = ["field", "key", "literal", "model", "parameter", "variant"];

/// Sensitivity of a value, by the name before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
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
    // Copy the text up to the end of each name, then mask the value after it if the name requires that.
    while let Some(start) = rest.find(is_name) {
        let end = rest[start..].find(|character| !is_name(character)).map_or(rest.len(), |length| start + length);
        let name = &rest[start..end];
        masked.push_str(&rest[..end]);
        rest = &rest[end..];
        let is_in_arn = masked.rsplit(' ').next().is_some_and(|word| word.contains("arn:aws"));
        // Within an ARN, a name such as `secret` is part of the resource's path.
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

fn kind(name: &str) -> Option<NameKind> {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let name = name.as_str();
    let has = |part: &&str| name.contains(*part);
    match name {
        _ if name == "pwd" || SECRET.iter().any(has) => Some(NameKind::Secret),
        // "tokens" in the plural are counts of a model's input and output.
        _ if MAYBE_SECRET.iter().any(has) && !name.contains("tokens") => Some(NameKind::MaybeSecret),
        _ if name.contains("cookie") => Some(NameKind::Cookie),
        _ if SCHEMES.contains(&name) => Some(NameKind::Scheme),
        _ if FOREIGN.contains(&name) => Some(NameKind::Foreign),
        _ if NAMED.contains(&name) => Some(NameKind::Named),
        _ => None,
    }
}
