//! Client addresses: the trusted source of an address, and the part of it that is counted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use subtle::ConstantTimeEq;

/// Header with the secret that allows the platform's own proxy to name the client's address.
pub const PROXY_SECRET_HEADER: &str = "x-levee-proxy-secret";

/// Shortest secret of the platform's own proxy, in characters.
const SHORTEST_SECRET: usize = 16;

/// Error for a `PROXY_SECRET` that is too short, or that no header can hold. It does not repeat the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("PROXY_SECRET must be a secret of at least {SHORTEST_SECRET} letters, digits and other visible characters")]
pub struct InvalidProxySecret;

/// Reads the secret of the platform's own proxy, and strips blanks and line ends around it, as header values have none.
/// A secret that no header can hold would silently count all clients of the proxy together.
///
/// # Errors
/// [`InvalidProxySecret`] if it has fewer than 16 characters, or one that is not visible.
pub fn parse_proxy_secret(text: &str) -> Result<String, InvalidProxySecret> {
    let text = text.trim();
    let is_secret = text.len() >= SHORTEST_SECRET && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_secret.then(|| text.to_owned()).ok_or(InvalidProxySecret)
}

/// Parts of a request that tell its origin.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// `identity.sourceIp` of the gateway: the peer of its TCP connection.
    pub source_ip: &'a str,
    /// Lines of `X-Forwarded-For` in their order; the gateway has appended the peer to the last. `None` if the order
    /// of the lines is unknown.
    pub forwarded_for: Option<&'a [&'a str]>,
    /// Values of [`PROXY_SECRET_HEADER`].
    pub shown_secrets: &'a [&'a str],
}

impl Origin<'_> {
    /// Returns true if the peer shows the platform's proxy secret, and may therefore name the client's address.
    pub fn is_trusted(&self, proxy_secret: Option<&str>) -> bool {
        let Some(secret) = proxy_secret else { return false };
        let is_right = |shown: &&str| bool::from(shown.as_bytes().ct_eq(secret.as_bytes()));
        self.shown_secrets.iter().filter(|shown| is_right(shown)).count() > 0
    }

    /// Returns the client's address: the gateway's peer, or, if that peer shows the platform's proxy secret, the
    /// address that it appended to `X-Forwarded-For`. Entries further left are claims of the client and are ignored.
    /// Returns `None` if the trusted proxy named no valid address, or the gateway named no peer.
    pub fn client_address(&self, proxy_secret: Option<&str>) -> Option<IpAddr> {
        let peer: IpAddr = self.source_ip.parse().ok()?;
        if !self.is_trusted(proxy_secret) {
            return Some(peer);
        }
        // Read the entries from the right, and skip the peer that the gateway has appended.
        let mut claims = self.forwarded_for?.iter().rev().flat_map(|line| line.rsplit(',')).peekable();
        let is_peer = |last: &&str| forwarded_address(last).map(|it| it.to_canonical()) == Some(peer.to_canonical());
        claims.next_if(is_peer);
        claims.next().and_then(forwarded_address)
    }
}

/// Parses one entry of `X-Forwarded-For` as proxies write it: an address, with or without quotes and a port; IPv6 with
/// or without brackets and a zone.
fn forwarded_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let entry = entry.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(entry).trim();
    if let Some(bracketed) = entry.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return ipv6(address).filter(|_| is_port);
    }
    // Without brackets, an IPv6 address has no port. Only an IPv4 address has a single colon.
    match entry.split_once(':') {
        Some((address, port)) if is_port(port) => address.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some(_) => ipv6(entry),
        None => entry.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Parses an IPv6 address without its zone, which has no meaning outside the sending host.
fn ipv6(text: &str) -> Option<IpAddr> {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the part of an address that is counted together: the IPv4 address, or the IPv6 /64 network. A /64 is the
/// smallest network that a client receives, and the client may use any address in it.
pub fn counted_together(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        },
    }
}

/// Returns the network of an address: the IPv4 /24 or the IPv6 /64.
pub fn network(address: IpAddr) -> IpAddr {
    match counted_together(address) {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8))),
        v6 => v6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const PEER: &str = "203.0.113.9";

    /// Returns the address of a client whose peer shows `secrets` and forwards `lines`.
    fn address(secrets: &[&str], lines: &[&str]) -> Option<IpAddr> {
        let origin = Origin { source_ip: PEER, forwarded_for: Some(lines), shown_secrets: secrets };
        origin.client_address(Some("secret"))
    }

    #[rstest]
    #[case::no_secret_shown(&[], "198.51.100.1, 203.0.113.9", "203.0.113.9")]
    #[case::wrong_secret(&["guess"], "198.51.100.1, 203.0.113.9", "203.0.113.9")]
    #[case::wrong_secret_and_nonsense(&["guess"], "nonsense", "203.0.113.9")]
    #[case::trusted_proxy(&["secret"], "198.51.100.1, 203.0.113.9", "198.51.100.1")]
    #[case::a_second_value_beside_the_right_one(&["guess", "secret"], "198.51.100.1, 203.0.113.9", "198.51.100.1")]
    #[case::forged_left_part(&["secret"], "10.0.0.1, 198.51.100.1, 203.0.113.9", "198.51.100.1")]
    #[case::nonsense_further_left(&["secret"], "nonsense, 198.51.100.1, 203.0.113.9", "198.51.100.1")]
    fn the_address_is_the_peers_unless_a_trusted_proxy_names_another(
        #[case] secrets: &[&str],
        #[case] forwarded_for: &str,
        #[case] expected: IpAddr,
    ) {
        assert_eq!(address(secrets, &[forwarded_for]), Some(expected));
    }

    #[rstest]
    #[case::with_a_port("198.51.100.7:4711", "198.51.100.7")]
    #[case::in_quotes("\"198.51.100.7\"", "198.51.100.7")]
    #[case::in_quotes_with_a_port("\"198.51.100.7:4711\"", "198.51.100.7")]
    #[case::ipv6("2001:db8::1", "2001:db8::1")]
    #[case::ipv6_in_brackets("[2001:db8::1]", "2001:db8::1")]
    #[case::ipv6_with_a_port("[2001:db8::1]:443", "2001:db8::1")]
    #[case::ipv6_in_quotes("\"[2001:db8::1]:443\"", "2001:db8::1")]
    #[case::ipv6_that_ends_in_digits("2001:db8::1:443", "2001:db8::1:443")]
    #[case::ipv6_with_a_zone("[fe80::1%eth0]:443", "fe80::1")]
    #[case::mapped("::ffff:198.51.100.7", "::ffff:198.51.100.7")]
    #[case::blanks_around("  198.51.100.7  ", "198.51.100.7")]
    fn an_entry_is_read_in_every_form_that_proxies_write(#[case] entry: &str, #[case] expected: IpAddr) {
        assert_eq!(address(&["secret"], &[&format!("10.0.0.1, {entry}, {PEER}")]), Some(expected));
        assert_eq!(address(&["secret"], &["10.0.0.1", entry, PEER]), Some(expected), "in lines of their own");
        let with_a_port = format!("{entry}, {PEER}:443");
        assert_eq!(address(&["secret"], &[&with_a_port]), Some(expected), "the peer with a port");
    }

    #[rstest]
    #[case::nothing(&[])]
    #[case::the_peer_alone(&[PEER])]
    #[case::no_address(&["unknown, 203.0.113.9"])]
    #[case::an_obfuscated_name(&["_hidden, 203.0.113.9"])]
    #[case::an_empty_entry(&["198.51.100.1,, 203.0.113.9"])]
    #[case::no_closing_bracket(&["[2001:db8::1, 203.0.113.9"])]
    #[case::text_behind_the_bracket(&["[2001:db8::1]x, 203.0.113.9"])]
    #[case::an_ipv4_address_in_brackets(&["[198.51.100.7], 203.0.113.9"])]
    #[case::a_port_that_is_none(&["198.51.100.7:port, 203.0.113.9"])]
    #[case::one_quote(&["\"198.51.100.7, 203.0.113.9"])]
    #[case::another_address_further_left(&["198.51.100.1, nonsense, 203.0.113.9"])]
    fn an_address_that_a_trusted_proxy_does_not_name_readably_is_unknown_and_never_the_proxys(#[case] lines: &[&str]) {
        assert_eq!(address(&["secret"], lines), None);
    }

    #[rstest]
    #[case("203.0.113.9", "::ffff:203.0.113.9")]
    #[case("::ffff:203.0.113.9", "203.0.113.9")]
    #[case("2001:db8::1", "2001:DB8:0:0::1")]
    #[case("2001:db8::1", "[2001:db8::1]:443")]
    fn the_peer_is_skipped_in_every_form_and_never_taken_for_the_client(#[case] peer: &str, #[case] appended: &str) {
        let of = |lines: &[&str]| {
            let origin = Origin { source_ip: peer, forwarded_for: Some(lines), shown_secrets: &["secret"] };
            origin.client_address(Some("secret"))
        };
        assert_eq!(of(&[&format!("198.51.100.1, {appended}")]), Some([198, 51, 100, 1].into()));
        assert_eq!(of(&[appended]), None);
    }

    #[rstest]
    #[case("")]
    #[case(" 203.0.113.9")]
    #[case("203.0.113.9:443")]
    #[case("203.0.113.09")]
    #[case("203.0.113")]
    #[case("0xcb007109")]
    #[case("[2001:db8::1]")]
    #[case("fe80::1%eth0")]
    #[case("2001:db8::1::2")]
    fn a_peer_of_an_odd_form_is_unknown(#[case] source_ip: &str) {
        for secrets in [&["secret"][..], &[]] {
            let origin = Origin { source_ip, forwarded_for: Some(&["198.51.100.1"]), shown_secrets: secrets };
            assert_eq!(origin.client_address(Some("secret")), None);
        }
    }

    #[test]
    fn an_address_among_lines_of_unknown_order_is_unknown_unless_it_is_the_peers() {
        let origin = Origin { source_ip: PEER, forwarded_for: None, shown_secrets: &["secret"] };
        assert_eq!(origin.client_address(Some("secret")), None);
        assert_eq!(origin.client_address(None), Some(PEER.parse().unwrap()));
    }

    #[test]
    fn without_a_configured_secret_no_proxy_is_trusted() {
        let origin = Origin { source_ip: PEER, forwarded_for: Some(&["198.51.100.1"]), shown_secrets: &[""] };
        assert_eq!(origin.client_address(None), Some([203, 0, 113, 9].into()));
    }

    #[test]
    fn a_peer_that_is_no_address_is_unknown() {
        let origin = Origin { source_ip: "test-invoke-source-ip", forwarded_for: Some(&[]), shown_secrets: &[] };
        assert_eq!(origin.client_address(Some("secret")), None);
    }

    proptest! {
        #[test]
        fn no_entry_makes_the_reader_panic(entry in ".{0,60}") {
            let _ = forwarded_address(&entry);
        }

        #[test]
        fn every_address_is_read_with_and_without_a_port(bits: u128, port: u16) {
            let (v6, v4) = (Ipv6Addr::from_bits(bits), Ipv4Addr::from_bits((bits >> 96) as u32));
            for (written, expected) in [
                (v6.to_string(), IpAddr::V6(v6)),
                (format!("[{v6}]:{port}"), IpAddr::V6(v6)),
                (v4.to_string(), IpAddr::V4(v4)),
                (format!("{v4}:{port}"), IpAddr::V4(v4)),
            ] {
                prop_assert_eq!(forwarded_address(&written), Some(expected), "{}", written);
            }
        }
    }

    #[rstest]
    #[case("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
    #[case("::ffff:203.0.113.9", "203.0.113.9")]
    #[case("203.0.113.9", "203.0.113.9")]
    fn ipv6_is_counted_by_its_64_bit_network(#[case] address: IpAddr, #[case] expected: IpAddr) {
        assert_eq!(counted_together(address), expected);
    }

    #[test]
    fn the_secret_of_a_proxy_is_one_that_a_header_can_hold() {
        for good in ["the-local-proxy-has-no-secrets", " 0123456789abcdef\n", "!\"#$%&'()*+,-./:"] {
            assert_eq!(parse_proxy_secret(good).as_deref(), Ok(good.trim()));
        }
        for bad in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcd\u{e9}f", "0123456789\u{0}abcdef"] {
            assert_eq!(parse_proxy_secret(bad), Err(InvalidProxySecret), "{bad:?}");
        }
    }
}
