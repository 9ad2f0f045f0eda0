//! Providers: the upstream AI services, and what may pass between them and a client.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use levee::accounts::terms::LONGEST_PROVIDER;
use levee::stores::aws::AwsConfig;
use levee::stores::secrets::SecretRef;
use levee::sync::lock;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use url::Url;

use crate::config::StartError;
use crate::timeouts::Timeouts;

/// One provider as it is configured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Name in headers, logs and the ledger.
    name: String,
    /// The protocol it speaks.
    kind: Kind,
    /// Where it is. Default for `anthropic`: `https://api.anthropic.com`.
    base_url: Option<Url>,
    /// The platform's key there.
    api_key: Option<SecretRef>,
    /// The ARN of the secret that holds the platform's key there.
    api_key_secret: Option<SecretRef>,
    /// Model names to send instead of the ones asked for.
    #[serde(default)]
    models: HashMap<String, String>,
}

/// The protocol that a provider speaks.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Anthropic,
}

/// The most providers that may be named.
const MOST_PROVIDERS: usize = 8;
const ANTHROPIC: &str = "https://api.anthropic.com";
/// A pooled connection idle for longer is dropped: the environment may have been frozen meanwhile.
const POOL_IDLE: Duration = Duration::from_secs(20);
const REQUEST_HEADERS: [&str; 3] = ["anthropic-version", "anthropic-beta", "content-type"];

/// Reads `AI_PROVIDERS`: a JSON array in order of preference, each
/// `{"name", "kind": "anthropic", "base_url"?, "api_key" or "api_key_secret", "models"?: {"asked": "sent"}}`.
///
/// # Errors
/// A sentence about what is wrong; it repeats no key.
pub fn parse_providers(text: &str) -> Result<Vec<ProviderConfig>, String> {
    let providers: Vec<ProviderConfig> = serde_json::from_str(text).map_err(|error| {
        // The parser's own message would repeat what it stumbled over, which may be a key.
        let (line, column) = (error.line(), error.column());
        format!("is not a list of providers as documented (line {line}, column {column})")
    })?;
    if providers.is_empty() {
        return Err("names no provider".to_owned());
    }
    if providers.len() > MOST_PROVIDERS {
        return Err(format!("names more than {MOST_PROVIDERS} providers"));
    }
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
        if provider.base_url.as_ref().is_some_and(|url| !matches!(url.scheme(), "http" | "https")) {
            return Err(format!("must give '{name}' an http or https base_url"));
        }
    }
    Ok(providers)
}

/// A provider that can be called.
pub struct Provider {
    /// Its name.
    pub name: String,
    client: Mutex<reqwest::Client>,
    connect: Duration,
    base_url: Url,
    api_key: HeaderValue,
    models: HashMap<String, String>,
}

impl Provider {
    /// Fetches the provider's key and makes its client, which connects when first used.
    ///
    /// # Errors
    /// When the key cannot be fetched or cannot stand in a header.
    pub async fn new(config: &ProviderConfig, aws: &AwsConfig, timeouts: &Timeouts) -> Result<Self, StartError> {
        let failed = |cause: &str| StartError::Provider(format!("'{}' {cause}", config.name));
        let Kind::Anthropic = config.kind;
        let key = config.api_key.as_ref().or(config.api_key_secret.as_ref()).ok_or_else(|| failed("has no key"))?;
        let key = key.resolve(aws).await?;
        let mut api_key = HeaderValue::from_str(key.trim()).map_err(|_| failed("has a key that is no header value"))?;
        api_key.set_sensitive(true);
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

    /// Forgets the connections that there are, which may have gone bad.
    pub fn reconnect(&self) {
        if let Ok(new) = client(self.connect) {
            *lock(&self.client) = new;
        }
    }

    /// A request to `segments` below the base URL with the client's `query` and those of its headers that a provider
    /// needs. The client's key is not among them.
    pub fn request(
        &self,
        method: http::Method,
        segments: &[&str],
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> reqwest::RequestBuilder {
        let mut url = self.base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url.set_query(query.filter(|query| !query.is_empty()));
        let mut request = lock(&self.client).request(method, url).header("x-api-key", self.api_key.clone());
        for name in REQUEST_HEADERS {
            for value in headers.get_all(name) {
                request = request.header(name, value);
            }
        }
        request
    }

    /// Returns the name by which this provider knows the model that a caller asks for as `model`.
    pub fn sent_model<'a>(&'a self, model: &'a str) -> &'a str {
        self.models.get(model).map_or(model, String::as_str)
    }

    /// The call `body`, which asks for `model`, as this provider is to get it: under the name by which it knows the model.
    ///
    /// # Errors
    /// When `body` is no JSON object.
    pub fn body(&self, model: &str, body: &Bytes) -> Result<Bytes, serde_json::Error> {
        let Some(renamed) = self.models.get(model) else { return Ok(body.clone()) };
        // Values stay the bytes that they were: reordered, a tool's schema would be another prompt.
        let mut call: BTreeMap<&str, &RawValue> = serde_json::from_slice(body)?;
        let renamed = to_raw_value(renamed)?;
        call.insert("model", &renamed);
        serde_json::to_vec(&call).map(Bytes::from)
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

/// Those of a provider's response headers that the client gets: what Anthropic documents, and nothing else.
pub fn response_headers(upstream: &HeaderMap) -> HeaderMap {
    upstream.iter().filter(|(name, _)| may_pass(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn may_pass(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "content-type" | "request-id" | "retry-after" | "retry-after-ms" | "x-should-retry")
        || name.starts_with("anthropic-ratelimit-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documented_response_headers_pass() {
        let upstream: HeaderMap = ["content-type", "request-id", "anthropic-ratelimit-tokens-reset", "retry-after"]
            .into_iter()
            .chain(["x-api-key", "set-cookie", "server", "transfer-encoding", "anthropic-organization-id"])
            .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x")))
            .collect();
        let mut passed: Vec<_> = response_headers(&upstream).keys().map(ToString::to_string).collect();
        passed.sort();
        assert_eq!(passed, ["anthropic-ratelimit-tokens-reset", "content-type", "request-id", "retry-after"]);
    }

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
            (r#"[{"name":"a","kind":"anthropic","api_key":"sk-x","base_url":"ftp://x"}]"#, "an http or https base_url"),
        ] {
            let error = parse_providers(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("sk-x"), "{error}");
        }
    }
}
