//! The client's address, as far as it can be trusted, and what of it is counted.

use std::net::{IpAddr, Ipv6Addr};

use subtle::ConstantTimeEq;

/// The header by which the platform's own proxy shows that it may name the client's address.
pub const PROXY_SECRET_HEADER: &str = "x-levee-proxy-secret";

/// What a request says about where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The gateway's `identity.sourceIp`: the peer of its TCP connection.
    pub source_ip: &'a str,
    /// `X-Forwarded-For`, to which the gateway has appended the peer.
    pub forwarded_for: Option<&'a str>,
    /// The value of [`PROXY_SECRET_HEADER`].
    pub shown_secret: Option<&'a str>,
}

/// The client's address: the gateway's peer, or where that peer shows the platform's proxy secret, the address that it
/// appended to `X-Forwarded-For`. Anything further left in that header is the client's own claim and is not read.
/// `None` when the gateway names no valid address.
pub fn client_address(origin: Origin<'_>, proxy_secret: Option<&str>) -> Option<IpAddr> {
    let peer: IpAddr = origin.source_ip.parse().ok()?;
    let trusted = match (origin.shown_secret, proxy_secret) {
        (Some(shown), Some(secret)) => bool::from(shown.as_bytes().ct_eq(secret.as_bytes())),
        _ => false,
    };
    if !trusted {
        return Some(peer);
    }
    let mut claims = origin.forwarded_for.unwrap_or_default().rsplit(',').map(str::trim).peekable();
    claims.next_if(|last| last.parse() == Ok(peer));
    claims.next().and_then(|claim| claim.parse().ok()).or(Some(peer))
}

/// The part of an address that is counted together: an IPv4 address, or an IPv6 /64, the smallest network that a
/// client is given and may pick addresses from at will.
pub fn counted_together(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        },
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::no_secret_shown("203.0.113.9", None, "198.51.100.1, 203.0.113.9", "203.0.113.9")]
    #[case::wrong_secret("203.0.113.9", Some("guess"), "198.51.100.1, 203.0.113.9", "203.0.113.9")]
    #[case::trusted_proxy("203.0.113.9", Some("secret"), "198.51.100.1, 203.0.113.9", "198.51.100.1")]
    #[case::forged_left_part("203.0.113.9", Some("secret"), "10.0.0.1, 198.51.100.1, 203.0.113.9", "198.51.100.1")]
    #[case::nothing_forwarded("203.0.113.9", Some("secret"), "203.0.113.9", "203.0.113.9")]
    #[case::nonsense_forwarded("203.0.113.9", Some("secret"), "unknown, 203.0.113.9", "203.0.113.9")]
    fn the_address_is_the_peers_unless_a_trusted_proxy_names_another(
        #[case] source_ip: &str,
        #[case] shown_secret: Option<&str>,
        #[case] forwarded_for: &str,
        #[case] expected: IpAddr,
    ) {
        let origin = Origin { source_ip, forwarded_for: Some(forwarded_for), shown_secret };
        assert_eq!(client_address(origin, Some("secret")), Some(expected));
    }

    #[test]
    fn without_a_configured_secret_no_proxy_is_trusted() {
        let origin = Origin { source_ip: "203.0.113.9", forwarded_for: Some("198.51.100.1"), shown_secret: Some("") };
        assert_eq!(client_address(origin, None), Some([203, 0, 113, 9].into()));
    }

    #[rstest]
    #[case("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
    #[case("::ffff:203.0.113.9", "203.0.113.9")]
    #[case("203.0.113.9", "203.0.113.9")]
    fn ipv6_is_counted_by_its_64_bit_network(#[case] address: IpAddr, #[case] expected: IpAddr) {
        assert_eq!(counted_together(address), expected);
    }
}
