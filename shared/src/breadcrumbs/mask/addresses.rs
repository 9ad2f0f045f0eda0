//! Masks addresses of people (e-mail) and of machines (IPv4, IPv6).

use std::net::Ipv6Addr;

use super::pieces::replace;

/// Length of the longest text form of an IPv6 address, one that ends as an IPv4 address (RFC 4291, section 2.2).
const LONGEST_IPV6: usize = 45;

pub(super) fn mask(text: &str) -> String {
    let text = if text.contains('@') { replace(text, is_email_character, email) } else { text.to_owned() };
    let text = replace(&text, is_ip_character, ipv6);
    let text = replace(&text, |character| character.is_ascii_digit() || character == '.', ipv4);
    let text = replace(&text, |character| character.is_ascii_alphanumeric() || character == '-', host_name);
    text.replace("[[address]]", "[address]")
}

fn is_email_character(character: char) -> bool {
    !(character.is_whitespace() || "\"'`<>()[]{},;=|".contains(character))
}

/// Masks an e-mail address, or a user with a password before a host.
fn email(run: &str) -> Option<String> {
    let (local, domain) = run.rsplit_once('@')?;
    let end = domain.find(|character: char| !(character.is_alphanumeric() || "-.".contains(character)));
    let (domain, rest) = domain.split_at(end.unwrap_or(domain.len()));
    let last_label = domain.trim_end_matches('.').rsplit_once('.').map_or("", |(_, label)| label);
    let is_domain = last_label.len() >= 2 && last_label.chars().all(char::is_alphabetic);
    let is_address = !local.is_empty() && (is_domain || local.contains(':') && !domain.is_empty());
    let dots = &domain[domain.trim_end_matches('.').len()..];
    is_address.then(|| format!("[email]{dots}{rest}"))
}

fn is_ip_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || ":.%".contains(character)
}

/// Masks the first IPv6 address within `run`, and further ones after it.
fn ipv6(run: &str) -> Option<String> {
    if run.bytes().filter(|byte| *byte == b':').count() < 2 {
        return None;
    }
    // An address may begin at the start of the run, or after a colon or a dot.
    let starts = std::iter::once(0).chain(run.match_indices([':', '.']).map(|(at, _)| at + 1));
    let (start, end) = starts.into_iter().find_map(|start| Some((start, start + longest_ipv6(&run[start..])?)))?;
    // A zone id such as `%eth0` belongs to the address.
    let mut rest = &run[end..];
    if let Some(zone) = rest.strip_prefix('%') {
        rest = zone.trim_start_matches(|character: char| character.is_ascii_alphanumeric());
    }
    Some(format!("{}[address]{}", &run[..start], ipv6(rest).unwrap_or_else(|| rest.to_owned())))
}

/// Returns the length of the longest IPv6 address at the start of `text`.
fn longest_ipv6(text: &str) -> Option<usize> {
    let is_end = |at: usize| text[at..].chars().next().is_none_or(|character| ":.%".contains(character));
    let ends = (3..=text.len().min(LONGEST_IPV6)).rev().filter(|at| is_end(*at));
    ends.into_iter().find(|end| text[..*end].parse::<Ipv6Addr>().is_ok())
}

fn ipv4(run: &str) -> Option<String> {
    let inner = run.trim_matches('.');
    let groups: Vec<&str> = inner.split('.').collect();
    let is_group = |group: &&str| group.len() <= 3 && group.parse::<u8>().is_ok();
    (groups.len() >= 4 && groups[..4].iter().all(is_group)).then(|| run.replace(inner, "[address]"))
}

/// Masks the address in names such as `ip-10-0-1-23.ec2.internal`.
fn host_name(run: &str) -> Option<String> {
    let (before, numbers) = run.split_once("ip-")?;
    let is_address = numbers.split('-').filter(|number| number.parse::<u8>().is_ok()).count() >= 4;
    is_address.then(|| format!("{before}[address]"))
}
