//! Secrets by which a function tells its clients apart: the key of their pseudonyms, and the secret of the platform's own
//! proxy, which may name their addresses.

use super::address::{InvalidProxySecret, parse_proxy_secret};
use super::pseudonym::{AddressKey, InvalidAddressKey};
use crate::config::Reader;
use crate::stores::aws::AwsConfig;
use crate::stores::secrets::{SecretError, SecretRef};

/// Places of the secrets.
#[derive(Debug, Clone)]
pub struct ClientSecretsConfig {
    /// `ADDRESS_KEY`: the secret with which client addresses are turned into pseudonyms, or the ARN of the secret that
    /// holds it.
    pub address_key: SecretRef,
    /// `PROXY_SECRET`: the secret by which the platform's own proxy proves itself, or the ARN of the secret that holds
    /// it. Default: no proxy is trusted.
    pub proxy_secret: Option<SecretRef>,
}

/// The secrets.
#[derive(Debug)]
pub struct ClientSecrets {
    /// Key of the pseudonyms of client addresses.
    pub address_key: AddressKey,
    /// Secret of the platform's own proxy; `None` if no proxy is trusted.
    pub proxy_secret: Option<String>,
}

/// Errors of [`ClientSecretsConfig::resolve`].
#[derive(Debug, thiserror::Error)]
pub enum ClientSecretsError {
    /// A secret could not be fetched.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The key of client addresses is invalid.
    #[error(transparent)]
    AddressKey(#[from] InvalidAddressKey),
    /// The secret of the platform's own proxy is invalid.
    #[error(transparent)]
    ProxySecret(#[from] InvalidProxySecret),
}

impl ClientSecretsConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            address_key: SecretRef::new(reader.required("ADDRESS_KEY")),
            proxy_secret: reader.optional("PROXY_SECRET").map(SecretRef::new),
        }
    }

    /// Fetches both secrets at the same time, and checks them.
    ///
    /// # Errors
    /// [`ClientSecretsError`] if a secret cannot be fetched or is invalid.
    pub async fn resolve(&self, aws: &AwsConfig) -> Result<ClientSecrets, ClientSecretsError> {
        let proxy_secret = async {
            match &self.proxy_secret {
                None => Ok(None),
                Some(secret) => secret.resolve(aws).await.map(Some),
            }
        };
        let (address_key, proxy_secret) = tokio::join!(self.address_key.resolve(aws), proxy_secret);
        Ok(ClientSecrets {
            address_key: AddressKey::new(&address_key?)?,
            proxy_secret: proxy_secret?.as_deref().map(parse_proxy_secret).transpose()?,
        })
    }
}
