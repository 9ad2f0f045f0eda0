//! Providers: the upstream AI services, their configuration, and the requests to them.

mod base_url;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};
use levee::accounts::terms::LONGEST_PROVIDER;
use levee::stores::aws::AwsConfig;
use levee::stores::secrets::SecretRef;
use levee::sync::lock;
use reqwest::redirect::Policy;
use serde::Deserialize;
use url::Url;

use self::base_url::check_base_url;
use crate::config::StartError;
use crate::rename::rename_model;
use crate::timeouts::Timeouts;

/// Configuration of one provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Name in headers, logs and the ledger.
    name: String,
    /// Protocol of the provider.
    kind: ProviderKind,
    /// Base URL. Default for `anthropic`: `https://api.anthropic.com`.
    base_url: Option<Url>,
    /// The platform's key at the provider.
    api_key: Option<SecretRef>,
    /// ARN of the secret with the platform's key at the provider.
    api_key_secret: Option<SecretRef>,
    /// Names of models to send in place of the names that callers ask for.
    #[serde(default)]
    models: HashMap<String, String>,
}

/// Protocol of a provider.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProviderKind {
    Anthropic,
}

/// Largest number of providers.
const MOST_PROVIDERS: usize = 8;
const ANTHROPIC: &str = "https://api.anthropic.com";
/// Idle time after which a pooled connection is dropped, in case the environment was frozen meanwhile.
const POOL_IDLE: Duration = Duration::from_secs(20);
/// Headers of the client that are passed to a provider.
const REQUEST_HEADERS: [&str; 3] = ["anthropic-version", "anthropic-beta", "content-type"];

/// Parses `AI_PROVIDERS`: a JSON array in order of preference, each
/// `{"name", "kind": "anthropic", "base_url"?, "api_key" or "api_key_secret", "models"?: {"asked": "sent"}}`.
///
/// `http_hosts` are the hosts, besides loopback, that may be called in plain HTTP.
///
/// # Errors
/// A sentence about the mistake. It repeats no key.
pub fn parse_providers(text: &str, http_hosts: &[String]) -> Result<Vec<ProviderConfig>, String> {
    let providers: Vec<ProviderConfig> = serde_json::from_str(text).map_err(|error| {
        // The parser's own message would repeat the text at the error, which may be a key.
        let (line, column) = (error.line(), error.column());
        format!("is not a list of providers as documented (line {line}, column {column})")
    })?;
    if providers.is_empty() {
        return Err("names no provider".to_owned());
    }
    if providers.len() > MOST_PROVIDERS {
        return Err(format!("names more than {MOST_PROVIDERS} providers"));
    }
    // Check each provider's name, key and base URL.
    for (index, provider) in providers.iter().enumerate() {
        let name = &provider.name;
        if providers[..index].iter().any(|other| other.name == *name) {
            return Err(format!("names '{name}' twice"));
        }
        if name.is_empty()
            || name.len() > LONGEST_PROVIDER
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(format!(
                "has a provider named '{name}'; use 1 to {LONGEST_PROVIDER} letters, digits and hyphens"
            ));
        }
        if name == "all" {
            return Err("has a provider named 'all', which stands for no restriction elsewhere".to_owned());
        }
        if provider.api_key.is_some() == provider.api_key_secret.is_some() {
            return Err(format!("must give '{name}' either an api_key or an api_key_secret"));
        }
        if let Some(url) = &provider.base_url {
            check_base_url(url, http_hosts).map_err(|mistake| format!("must give '{name}' a base_url {mistake}"))?;
        }
    }
    Ok(providers)
}

/// A provider that can be called.
pub struct Provider {
    /// Name in headers, logs and the ledger.
    pub name: String,
    client: Mutex<reqwest::Client>,
    connect: Duration,
    base_url: Url,
    api_key: HeaderValue,
    models: HashMap<String, String>,
}

impl Provider {
    /// Fetches the provider's key and builds its client, which connects on first use.
    ///
    /// # Errors
    /// If the key cannot be fetched, or cannot be sent in a header.
    pub async fn new(config: &ProviderConfig, aws: &AwsConfig, timeouts: &Timeouts) -> Result<Self, StartError> {
        // Fetch the key and mark it as sensitive, so that it is never printed.
        let failed = |cause: &str| StartError::Provider(format!("'{}' {cause}", config.name));
        let ProviderKind::Anthropic = config.kind;
        let key = config.api_key.as_ref().or(config.api_key_secret.as_ref()).ok_or_else(|| failed("has no key"))?;
        let key = key.resolve(aws).await?;
        let mut api_key = HeaderValue::from_str(key.trim()).map_err(|_| failed("has a key that is no header value"))?;
        api_key.set_sensitive(true);
        // Build the client and the base URL.
        let client = client(timeouts.connect).map_err(|_| failed("cannot be called: no TLS client"))?;
        let base_url = match &config.base_url {
            Some(url) => url.clone(),
            None => Url::parse(ANTHROPIC).map_err(|_| failed("has no base_url"))?,
        };
        Ok(Self {
            name: config.name.clone(),
            client: Mutex::new(client),
            connect: timeouts.connect,
            base_url,
            api_key,
            models: config.models.clone(),
        })
    }

    /// Replaces the client, so that connections that may have gone bad are not used again.
    pub fn reconnect(&self) {
        if let Ok(new) = client(self.connect) {
            *lock(&self.client) = new;
        }
    }

    /// Returns a request to `segments` below the base URL, with the client's `query` and those of its headers that a
    /// provider needs. The client's key is not passed on. The answer is requested uncompressed, because it is read
    /// here.
    pub fn request(
        &self,
        method: http::Method,
        segments: &[&str],
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> reqwest::RequestBuilder {
        let mut url = self.base_url.clone();
        // Add the path and the query to the base URL.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url.set_query(query.filter(|query| !query.is_empty()));
        let request = lock(&self.client).request(method, url).header("x-api-key", self.api_key.clone());
        let mut request = request.header(ACCEPT_ENCODING, "identity");
        // Pass on the few headers that a provider needs.
        for name in REQUEST_HEADERS {
            for value in headers.get_all(name) {
                request = request.header(name, value);
            }
        }
        request
    }

    /// Returns the provider's name for the model that a caller asks for as `model`.
    pub fn sent_model<'a>(&'a self, model: &'a str) -> &'a str {
        self.models.get(model).map_or(model, String::as_str)
    }

    /// Returns `body`, which asks for `model`, with the provider's name for the model.
    pub fn body(&self, model: &str, body: &Bytes) -> Bytes {
        match self.models.get(model) {
            Some(name) => rename_model(body, name),
            None => body.clone(),
        }
    }
}

fn client(connect: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(connect)
        .pool_idle_timeout(POOL_IDLE)
        .redirect(Policy::none())
        .user_agent(concat!("levee/", env!("CARGO_PKG_VERSION")))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_in_the_list_of_providers_are_named_without_repeating_a_key() {
        for (text, expected) in [
            ("[]", "names no provider"),
            (
                r#"[{"name":"a","kind":"anthropic","api_key":"sk-x"},{"name":"a","kind":"anthropic","api_key":"sk-x"}]"#,
                "names 'a' twice",
            ),
            (r#"[{"name":"a b","kind":"anthropic","api_key":"sk-x"}]"#, "has a provider named 'a b'"),
            (r#"[{"name":"a","kind":"anthropic"}]"#, "either an api_key or an api_key_secret"),
            (r#"[{"name":"a","kind":"other","api_key":"sk-x"}]"#, "line 1, column 27"),
            (r#""sk-x""#, "is not a list of providers"),
        ] {
            let error = parse_providers(text, &[]).unwrap_err();
            assert!(error.contains(expected) && !error.contains("sk-x"), "{error}");
        }
    }

    #[test]
    fn a_base_url_is_checked_before_the_function_starts() {
        let text =
            r#"[{"name":"a","kind":"anthropic","api_key":"sk-x","base_url":"https://gateway.example/v1/complete"}]"#;
        let expected =
            "must give 'a' a base_url that ends before /v1, which is added to it: write https://gateway.example/";
        assert_eq!(parse_providers(text, &[]).unwrap_err(), expected);
    }
}
