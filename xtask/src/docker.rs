//! The address under which Docker's containers reach this machine.

use anyhow::{Context as _, bail};

use crate::shell;
use crate::workspace::Workspace;

/// Docker Desktop's name for its host; connections to it arrive on the loopback.
const DESKTOP_HOST: &str = "host.docker.internal";

/// Returns the address or name of this machine for containers on Docker's default network.
///
/// # Errors
/// Fails if Docker does not answer, or if its network has no address on this machine.
pub(crate) fn host(workspace: &Workspace) -> anyhow::Result<String> {
    let ask = |arguments: &[&str]| {
        shell::output(workspace.command("docker").args(arguments)).context("Docker does not answer; is it running?")
    };
    // Docker Desktop has a name for its host.
    let system = ask(&["info", "--format", "{{.OperatingSystem}}"])?;
    if cfg!(not(target_os = "linux")) || system.contains("Docker Desktop") {
        return Ok(DESKTOP_HOST.to_owned());
    }
    // Elsewhere the bridge's gateway is this machine.
    let format = "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}}\n{{end}}";
    let networks = ask(&["network", "inspect", "bridge", "--format", format])?;
    match networks.lines().find_map(gateway) {
        Some(address) => Ok(address),
        None => bail!("Docker's default network has no IPv4 address on this machine; name one with --docker=ADDRESS"),
    }
}

/// Returns this machine's address from a line with a gateway and a subnet. Some versions of Docker leave the gateway
/// out; it is the first address of the subnet then.
fn gateway(line: &str) -> Option<String> {
    let is_v4 = |text: &str| text.parse::<std::net::Ipv4Addr>().is_ok();
    let (gateway, subnet) = line.split_once(' ')?;
    if is_v4(gateway) {
        return Some(gateway.to_owned());
    }
    let (network, _) = subnet.split_once('/')?;
    let first = u32::from(network.parse::<std::net::Ipv4Addr>().ok()?) + 1;
    Some(std::net::Ipv4Addr::from(first).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_taken_where_docker_names_it() {
        assert_eq!(gateway("172.17.0.254 172.17.0.0/16").as_deref(), Some("172.17.0.254"));
    }

    #[test]
    fn without_a_gateway_it_is_the_subnets_first_address() {
        assert_eq!(gateway(" 172.17.0.0/16").as_deref(), Some("172.17.0.1"));
    }

    #[test]
    fn networks_of_ipv6_are_passed_over() {
        assert_eq!(gateway("fd00::1 fd00::/64"), None);
        assert_eq!(gateway(""), None);
    }
}
