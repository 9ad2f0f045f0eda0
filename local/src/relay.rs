//! A second address of the stores for the containers of `sam local`, which cannot reach this machine's loopback.
//!
//! On Linux, Docker gives the machine an address on its bridge. Each server that containers need gets a port there,
//! which is forwarded to the loopback. Docker Desktop has a name for the loopback and needs no ports.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use url::{Host, Url};

use crate::bindings::Inputs;

/// Address under which containers reach this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerHost {
    /// An address of this machine.
    Address(IpAddr),
    /// A name that stands for its loopback.
    Name(String),
}

impl FromStr for DockerHost {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address))
    }
}

impl DockerHost {
    /// Returns the inputs for functions in containers.
    ///
    /// # Errors
    /// Fails if this machine does not have the address.
    pub(crate) async fn reroute(&self, mut inputs: Inputs) -> anyhow::Result<Inputs> {
        inputs.redis_url = self.url(&inputs.redis_url).await?;
        inputs.dynamodb_url = self.url(&inputs.dynamodb_url).await?;
        inputs.sns_url = self.url(&inputs.sns_url).await?;
        inputs.logs_url = self.url(&inputs.logs_url).await?;
        for (_, base_url, _) in &mut inputs.providers {
            *base_url = self.url(base_url).await?;
        }
        Ok(inputs)
    }

    /// Returns the URL under which containers reach the server of `url`. URLs of other machines are returned
    /// unchanged.
    async fn url(&self, url: &str) -> anyhow::Result<String> {
        let mut parsed = Url::parse(url).with_context(|| format!("{url} is no URL"))?;
        let on_loopback = match parsed.host() {
            // The host of a URL with a scheme other than http is always parsed as a domain.
            Some(Host::Domain(name)) => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        // Redis's is the only scheme here without a default port.
        let port = parsed.port_or_known_default().unwrap_or(6379);
        if !on_loopback {
            return Ok(url.to_owned());
        }
        // Use the name for the loopback, or relay from a port of the bridge's address.
        let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let (name, port) = match self {
            Self::Name(name) => (name.clone(), port),
            Self::Address(IpAddr::V6(address)) => {
                (format!("[{address}]"), relay(IpAddr::V6(*address), (host, port)).await?)
            }
            Self::Address(address) => (address.to_string(), relay(*address, (host, port)).await?),
        };
        parsed.set_host(Some(&name)).with_context(|| format!("containers cannot reach {url} at {name}"))?;
        parsed.set_port(Some(port)).map_err(|()| anyhow::anyhow!("{url} takes no port"))?;
        Ok(parsed.as_str().trim_end_matches('/').to_owned())
    }
}

/// Listens on a free port of `address` only, and forwards connections to `server`. Returns the port.
async fn relay(address: IpAddr, server: (String, u16)) -> anyhow::Result<u16> {
    let listener = TcpListener::bind(SocketAddr::new(address, 0))
        .await
        .with_context(|| format!("containers cannot be served at {address}; is that where Docker's bridge is?"))?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                if let Err(error) = pass_on(client, server).await {
                    tracing::debug!("a container's connection ended: {error}");
                }
            });
        }
    });
    Ok(port)
}

async fn pass_on(mut client: TcpStream, server: (String, u16)) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_name_takes_the_place_of_the_loopback() {
        let host: DockerHost = "host.docker.internal".parse().unwrap();
        for (url, expected) in [
            ("http://127.0.0.1:8000", "http://host.docker.internal:8000"),
            ("redis://localhost", "redis://host.docker.internal:6379"),
            ("redis://user:word@127.0.0.1:1/3", "redis://user:word@host.docker.internal:1/3"),
            ("rediss://cache.example:6379", "rediss://cache.example:6379"),
        ] {
            assert_eq!(host.url(url).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn an_address_of_this_machine_is_a_second_way_to_the_server() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", server.local_addr().unwrap());
        let host: DockerHost = "127.0.0.2".parse().unwrap();
        let rerouted = Url::parse(&host.url(&url).await.unwrap()).unwrap();
        assert_eq!(rerouted.host_str(), Some("127.0.0.2"));
        let mut client = TcpStream::connect(("127.0.0.2", rerouted.port().unwrap())).await.unwrap();
        client.write_all(b"PING").await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        let mut read = [0; 4];
        accepted.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"PING");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_an_error_that_names_it() {
        let host: DockerHost = "192.0.2.99".parse().unwrap();
        let error = host.url("http://127.0.0.1:8000").await.unwrap_err();
        assert!(error.to_string().contains("192.0.2.99"), "{error}");
    }
}
