//! Masks keys and tokens that are known by their first characters.

use super::pieces::replace;

/// Prefixes of other makers' keys, each with the fewest characters that must follow: AI providers, AWS, Google,
/// GitHub, GitLab, Slack, Stripe, npm, JSON Web Tokens.
const PREFIXES: [(&str, usize); 30] = [
    ("sk-", 8),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("rk_live_", 8),
    ("rk_test_", 8),
    ("pk_live_", 8),
    ("whsec_", 8),
    ("ghp_", 8),
    ("gho_", 8),
    ("ghu_", 8),
    ("ghs_", 8),
    ("ghr_", 8),
    ("github_pat_", 8),
    ("glpat-", 8),
    ("npm_", 30),
    ("hf_", 20),
    ("gsk_", 16),
    ("xai-", 16),
    ("pplx-", 16),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xapp-", 8),
    ("AIza", 20),
    ("ya29.", 8),
    ("SG.", 20),
    ("AKIA", 12),
    ("ASIA", 12),
    ("ABSK", 20),
    ("eyJ", 12),
    ("bedrock-api-key-", 8),
];
/// Length of the public id in Levee's own keys.
const ID_LENGTH: usize = 12;

pub(super) fn mask(text: &str) -> String {
    replace(text, |character| character.is_ascii_alphanumeric() || "_-.*+/=~".contains(character), mask_run)
}

fn mask_run(run: &str) -> Option<String> {
    // A key begins at the start of a word.
    let starts = run.char_indices().filter(|(at, _)| {
        let before = run[..*at].chars().next_back();
        before.is_none_or(|before| !before.is_ascii_alphanumeric())
    });
    let (at, instead) = starts.into_iter().find_map(|(at, _)| Some((at, instead(&run[at..])?)))?;
    // A full stop that ends the sentence is not part of the key.
    let end = run.trim_end_matches('.').len().max(at);
    Some(format!("{}{instead}{}", &run[..at], &run[end..]))
}

/// Returns the replacement for a run that begins with a key; `None` if it does not.
fn instead(run: &str) -> Option<String> {
    if let Some(rest) = run.strip_prefix("lv_") {
        return own_key(rest);
    }
    let is_key = |(prefix, length): &(&str, usize)| run.len() >= prefix.len() + length && run.starts_with(prefix);
    PREFIXES.iter().any(is_key).then(|| "[key]".to_owned())
}

/// Masks one of Levee's own keys, except for its public id.
fn own_key(rest: &str) -> Option<String> {
    let mut parts = rest.splitn(3, '_');
    let (environment, id) = (parts.next()?, parts.next());
    let is_public = |id: &&str| id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match (id.filter(is_public), parts.next()) {
        (Some(_), None | Some("")) => None,
        (Some(id), Some(_)) if environment.len() <= 16 => Some(format!("lv_{environment}_{id}_[key]")),
        _ => (rest.len() > ID_LENGTH).then(|| "[key]".to_owned()),
    }
}
