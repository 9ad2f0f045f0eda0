//! What the local stack passes to the functions in place of AWS resources: for each variable that the template fills
//! from a resource or a secret, its value on this machine.

use std::collections::BTreeMap;

use serde_json::json;

/// Where the parts of the running stack are.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// `redis://127.0.0.1:PORT`.
    pub redis_url: String,
    /// The DynamoDB emulator's address.
    pub dynamodb_url: String,
    /// The gateway's address, a stage prefix included.
    pub gateway_url: String,
    /// Name, base URL and key of each stand-in provider, in order of preference.
    pub providers: Vec<(String, String, String)>,
    /// What the platform's own proxy would show.
    pub proxy_secret: String,
    /// The peppers of API keys; see [`key_peppers`].
    pub key_peppers: String,
}

/// The peppers under which the local stack's keys are hashed. They guard nothing: the keys are in the source.
pub fn key_peppers() -> String {
    json!({ "1": "the-local-stack-has-nothing-to-hide" }).to_string()
}

/// The variables by name. Only those that the template declares for a function reach it.
pub fn overrides(inputs: &Inputs) -> BTreeMap<String, String> {
    let providers: Vec<_> = inputs
        .providers
        .iter()
        .map(|(name, base_url, api_key)| {
            json!({ "name": name, "kind": "anthropic", "base_url": base_url, "api_key": api_key })
        })
        .collect();
    [
        ("REDIS_URL", inputs.redis_url.clone()),
        ("KEY_ENVIRONMENT", "local".to_owned()),
        ("KEY_PEPPERS", inputs.key_peppers.clone()),
        ("PROXY_SECRET", inputs.proxy_secret.clone()),
        ("AI_PROVIDERS", json!(providers).to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
