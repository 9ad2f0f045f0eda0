//! Validation of everything that may be written about accounts, integrations, keys and the platform. All such rules
//! are in this module.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::terms::{
    CapOverride, Guards, LARGEST_CAP, LARGEST_MAX_TOKENS, LONGEST_GUARDS, LONGEST_PROVIDER, LONGEST_VALUE, MOST_MODELS,
    MOST_PROVIDERS, MOST_VALUES, SERVER_TOOLS,
};
use crate::limits::{LARGEST_LIMIT, Override, is_policy_name};
use crate::models::{LONGEST_LISTED, is_of_a_name};
use crate::text::is_invisible;

/// Longest id of an account or an integration, bytes.
const LONGEST_ID: usize = 64;
/// Longest name, in characters.
const LONGEST_NAME: usize = 100;
/// Longest reason of a block, in characters.
const LONGEST_REASON: usize = 200;
/// Longest note about a request, in characters.
const LONGEST_NOTE: usize = 500;
/// Length of the prefix of IPv4-mapped IPv6 addresses, bits (RFC 4291 section 2.5.5.2).
const MAPPED: u8 = 96;
/// Shortest prefix lengths that may be blocked, for IPv4 and IPv6. A region's whole allocation is a /8 or a /19, and
/// a typing error must not block the whole Internet.
const WIDEST: (u8, u8) = (8, 19);

/// Error for a value that may not be written. Its message is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(&'static str);

impl Invalid {
    pub(super) const TOO_MANY_OVERRIDES: Self =
        Self("16 policies are changed here already: take back one of them first");
    pub(super) const TOO_MANY_BLOCKS: Self = Self("there are 500 blocks already: take back some of them first");
}

/// Checks the id of an account or an integration: 1 to 64 of `a` to `z`, `0` to `9` and `-`.
///
/// # Errors
/// [`Invalid`] if it has another form.
pub fn id(text: &str) -> Result<&str, Invalid> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text);
    }
    Err(Invalid("an id has 1 to 64 lower-case letters, digits and hyphens"))
}

/// Checks a display name and strips the blanks around it: 1 to 100 characters, no control characters and no
/// [invisible ones](is_invisible).
///
/// # Errors
/// [`Invalid`] if it has another form.
pub fn name(text: &str) -> Result<&str, Invalid> {
    let text = text.trim();
    if !(1..=LONGEST_NAME).contains(&text.chars().count()) {
        return Err(Invalid("a name has 1 to 100 characters"));
    }
    if text.chars().any(|character| character.is_control() || is_invisible(character)) {
        return Err(Invalid("a name has no control characters and no invisible ones"));
    }
    Ok(text)
}

/// Checks the reason of a block and strips the blanks around it: 1 to 200 characters, with the same characters
/// allowed as in names.
///
/// # Errors
/// [`Invalid`] if it has another form.
pub fn reason(text: &str) -> Result<&str, Invalid> {
    let text = text.trim();
    let is_seen = |character: char| !character.is_control() && !is_invisible(character);
    if (1..=LONGEST_REASON).contains(&text.chars().count()) && text.chars().all(is_seen) {
        return Ok(text);
    }
    Err(Invalid("a reason has 1 to 200 characters, none of them a control character or invisible"))
}

/// Checks a public note about a request and strips the blanks around it: 1 to 500 characters, with the same characters
/// allowed as in names, and line breaks.
///
/// # Errors
/// [`Invalid`] if it has another form.
pub fn note(text: &str) -> Result<&str, Invalid> {
    let text = text.trim();
    let is_seen = |it: char| it == '\n' || !(it.is_control() || is_invisible(it));
    if (1..=LONGEST_NOTE).contains(&text.chars().count()) && text.chars().all(is_seen) {
        return Ok(text);
    }
    Err(Invalid("a note has 1 to 500 characters, none of them a control character or invisible"))
}

/// Checks an override of a policy: it changes something, and its limit is 1 to [`LARGEST_LIMIT`].
///
/// # Errors
/// [`Invalid`] if it has another form.
pub fn change(policy: &str, change: &Override) -> Result<(), Invalid> {
    if !is_policy_name(policy) {
        return Err(Invalid("a policy's name has 1 to 32 lower-case letters, digits and hyphens"));
    }
    if change.limit.is_some_and(|limit| !(1..=LARGEST_LIMIT).contains(&limit)) {
        return Err(Invalid("a limit is 1 to 1,000,000,000"));
    }
    if change.limit.is_none() && change.mode.is_none() && !change.exempt {
        return Err(Invalid("another limit, another mode or an exemption: one of them is needed"));
    }
    Ok(())
}

/// Checks an override of a token cap: at most [`LARGEST_CAP`] tokens a month.
///
/// # Errors
/// [`Invalid`] if the cap is larger.
pub fn cap(cap: &CapOverride) -> Result<(), Invalid> {
    if cap.limit.is_some_and(|limit| limit > LARGEST_CAP) {
        return Err(Invalid("a token cap is 1 to 1,000,000,000,000 tokens a month, or 0 for none"));
    }
    Ok(())
}

/// Checks guards: at most [`MOST_MODELS`] models, a ceiling of 1 to [`LARGEST_MAX_TOKENS`], at most
/// [`MOST_PROVIDERS`] providers, at most [`MOST_VALUES`] values of a field, known [`SERVER_TOOLS`], and at most
/// [`LONGEST_GUARDS`] bytes in all.
///
/// # Errors
/// [`Invalid`] if one of these does not hold.
pub fn guards(guards: &Guards) -> Result<(), Invalid> {
    // Check models and the ceiling of `max_tokens`.
    if guards.models.len() > MOST_MODELS {
        return Err(Invalid("at most 16 models"));
    }
    guards.models.iter().try_for_each(|name| model(name).map(drop))?;
    if guards.max_tokens.is_some_and(|most| !(1..=LARGEST_MAX_TOKENS).contains(&most)) {
        return Err(Invalid("the most that max_tokens may be is 1 to 10,000,000"));
    }
    // Check providers.
    if guards.providers.len() > MOST_PROVIDERS {
        return Err(Invalid("at most 16 providers"));
    }
    guards.providers.iter().try_for_each(|name| provider(name).map(drop))?;
    // Check the allowed values of `speed`, `service_tier` and `inference_geo`.
    for values in [&guards.speeds, &guards.service_tiers, &guards.inference_geos] {
        if values.len() > MOST_VALUES {
            return Err(Invalid("at most 4 values of a field"));
        }
        values.iter().try_for_each(|text| value(text).map(drop))?;
    }
    // Check server tools.
    let mut tools = guards.server_tools.iter().flatten();
    if tools.any(|tool| !SERVER_TOOLS.contains(&tool.as_str())) {
        return Err(Invalid(
            "the server tools are advisor, code_execution, mcp, tool_search, web_fetch and web_search",
        ));
    }
    // Check the size of it all, because it travels with each request.
    if length(guards).is_none_or(|length| length > LONGEST_GUARDS) {
        return Err(Invalid("the guards are too long in all: list fewer names, or name models by how they begin"));
    }
    Ok(())
}

/// Returns the length of `guards` in bytes, as JSON within a JSON string.
fn length(guards: &Guards) -> Option<usize> {
    let json = serde_json::to_string(guards).ok()?;
    Some(serde_json::to_string(&json).ok()?.len())
}

/// Checks a listed value of a field: 1 to 20 lower-case letters, digits and `-._`.
fn value(text: &str) -> Result<&str, Invalid> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    if (1..=LONGEST_VALUE).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text);
    }
    Err(Invalid("a value has 1 to 20 lower-case letters, digits and -._"))
}

/// Checks the listed name of a model: 1 to [`LONGEST_LISTED`] bytes of the [characters of model names](is_of_a_name).
/// It may end in `*`, which stands for any ending.
///
/// # Errors
/// [`Invalid`] if it has another form.
pub fn model(text: &str) -> Result<&str, Invalid> {
    let name = text.strip_suffix('*').unwrap_or(text);
    if (1..=LONGEST_LISTED).contains(&text.len()) && is_of_a_name(name) {
        return Ok(text);
    }
    Err(Invalid("a model has 1 to 100 letters, digits and -._:/@, and may end in * for all that begin so"))
}

/// Checks the listed name of a provider: 1 to [`LONGEST_PROVIDER`] ASCII letters, digits and hyphens, as in
/// `AI_PROVIDERS`.
///
/// # Errors
/// [`Invalid`] if it has another form.
pub fn provider(text: &str) -> Result<&str, Invalid> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=LONGEST_PROVIDER).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text);
    }
    Err(Invalid("a provider's name has 1 to 40 letters, digits and hyphens"))
}

/// Checks a network that is to be blocked and returns its canonical form: without the bits beyond its prefix, and as
/// IPv4 if it is IPv4-mapped.
///
/// # Errors
/// [`Invalid`] if it is wider than /8 in IPv4 or /19 in IPv6.
pub fn network(network: IpNet) -> Result<IpNet, Invalid> {
    let is_narrow_enough = match canonical(network) {
        IpNet::V4(network) => network.prefix_len() >= WIDEST.0,
        IpNet::V6(network) => network.prefix_len() >= WIDEST.1,
    };
    if is_narrow_enough {
        Ok(canonical(network))
    } else {
        Err(Invalid("a network is /8 or smaller, in IPv6 /19 or smaller"))
    }
}

/// Returns the network without the bits beyond its prefix, and as IPv4 if it is IPv4-mapped.
pub(super) fn canonical(network: IpNet) -> IpNet {
    let mapped = |network: Ipv6Net| {
        let prefix = network.prefix_len().checked_sub(MAPPED)?;
        Ipv4Net::new(network.addr().to_ipv4_mapped()?, prefix).ok()
    };
    match network {
        IpNet::V6(network) => mapped(network).map_or(IpNet::V6(network), IpNet::V4).trunc(),
        IpNet::V4(_) => network.trunc(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_short_and_of_few_characters() {
        let longest = "a".repeat(64);
        for text in ["a", "acme", "acme-2", "-", longest.as_str()] {
            assert_eq!(id(text), Ok(text));
        }
        let too_long = "a".repeat(65);
        for text in ["", "Acme", "a b", "a#b", "a/b", "ä", "a_b", too_long.as_str()] {
            assert!(id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_one_line_of_text() {
        assert_eq!(name("  Zoë & Söhne – Köln  "), Ok("Zoë & Söhne – Köln"));
        assert_eq!(name(&"ö".repeat(100)).map(str::len), Ok(200));
        let too_long = "ö".repeat(101);
        for text in ["", "  ", "a\nb", "a\tb", "\u{1b}[31mred", "a\u{202e}b", "a\u{2028}b", too_long.as_str()] {
            assert!(name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_reason_is_one_line_of_text() {
        assert_eq!(reason(" scraping, ticket 4 "), Ok("scraping, ticket 4"));
        let too_long = "ö".repeat(201);
        for text in ["", " ", "a\nb", "a\u{202e}b", too_long.as_str()] {
            assert!(reason(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn caps_and_guards_stay_within_bounds() {
        let limit = |limit| CapOverride { limit: Some(limit), ..CapOverride::default() };
        for allowed in [CapOverride::default(), limit(0), limit(1), limit(LARGEST_CAP)] {
            assert_eq!(cap(&allowed), Ok(()));
        }
        assert!(cap(&limit(LARGEST_CAP + 1)).is_err());

        // Build guards at and beyond each bound.
        let names = |count: usize| (0..count).map(|it| it.to_string()).collect();
        let models = |count| Guards { models: names(count), ..Guards::default() };
        let providers = |count| Guards { providers: names(count), ..Guards::default() };
        let most = |max_tokens| Guards { max_tokens: Some(max_tokens), ..Guards::default() };
        let tools = Guards { server_tools: Some(SERVER_TOOLS.map(str::to_owned).into()), ..Guards::default() };
        let speeds = Guards { speeds: names(MOST_VALUES), ..Guards::default() };
        let most_names = [models(MOST_MODELS), providers(MOST_PROVIDERS), tools, speeds];
        for allowed in [Guards::default(), most(1), most(LARGEST_MAX_TOKENS)].into_iter().chain(most_names) {
            assert_eq!(guards(&allowed), Ok(()));
        }
        let nameless = [String::new()];
        for refused in [
            models(MOST_MODELS + 1),
            most(0),
            most(LARGEST_MAX_TOKENS + 1),
            providers(MOST_PROVIDERS + 1),
            Guards { models: nameless.clone().into(), ..Guards::default() },
            Guards { providers: nameless.clone().into(), ..Guards::default() },
            Guards { speeds: nameless.into(), ..Guards::default() },
            Guards { service_tiers: names(MOST_VALUES + 1), ..Guards::default() },
            Guards { inference_geos: ["US".to_owned()].into(), ..Guards::default() },
            Guards { server_tools: Some(["bash".to_owned()].into()), ..Guards::default() },
        ] {
            assert!(guards(&refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_model_is_named_in_full_or_by_how_it_begins() {
        let longest = "m".repeat(LONGEST_LISTED);
        for text in ["claude-haiku-5-5", "claude-*", "*", "us.anthropic/claude:1@2026_11", longest.as_str()] {
            assert_eq!(model(text), Ok(text));
        }
        let too_long = format!("{longest}*");
        for text in ["", "a b", "*a", "a*b", "a**", "a,b", "a\n", "ä", "a\"b", "a#b", too_long.as_str()] {
            assert!(model(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_provider_is_named_as_it_is_configured() {
        let longest = "p".repeat(LONGEST_PROVIDER);
        for text in ["primary", "Backup-2", "-", "0", longest.as_str()] {
            assert_eq!(provider(text), Ok(text));
        }
        let too_long = format!("{longest}p");
        for text in ["", "a b", "a_b", "a.b", "a*", "a,b", "a\n", "ä", "a\"b", too_long.as_str()] {
            assert!(provider(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_change_to_a_policy_changes_something_within_bounds() {
        let limit = |limit| Override { limit: Some(limit), ..Override::default() };
        for allowed in [limit(1), limit(LARGEST_LIMIT), Override { exempt: true, ..Override::default() }] {
            assert_eq!(change("account-day", &allowed), Ok(()));
        }
        for refused in [limit(0), limit(LARGEST_LIMIT + 1), Override { until: Some(9), ..Override::default() }] {
            assert!(change("account-day", &refused).is_err(), "{refused:?}");
        }
        assert!(change("account day", &limit(1)).is_err());
    }

    #[test]
    fn a_network_is_written_in_one_way_and_none_holds_the_world() {
        let written = |text: &str| network(text.parse().unwrap()).map(|network| network.to_string());
        for (text, expected) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("203.0.113.9/32", "203.0.113.9/32"),
            ("::ffff:203.0.113.9/120", "203.0.113.0/24"),
            ("2001:db8:1:2:3::/64", "2001:db8:1:2::/64"),
            ("2001:db8::/19", "2001::/19"),
        ] {
            assert_eq!(written(text).as_deref(), Ok(expected));
        }
        for text in ["0.0.0.0/0", "10.0.0.0/7", "::/0", "2000::/18", "::ffff:0:0/96", "::ffff:10.0.0.0/103"] {
            assert!(written(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_id_cannot_break_out_of_a_key(text in "\\PC{0,70}") {
            if id(&text).is_ok() {
                prop_assert!(!text.contains(['#', '/', '$', '!', ' ']));
            }
        }
    }
}
