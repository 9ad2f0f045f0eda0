//! Values that the local stack passes to the functions in place of AWS resources: one for each variable that the
//! template fills from a resource or a secret.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use url::Url;

use crate::template::{ACCOUNT, REGION};

/// Variables that the developer's own environment does not override. An AWS endpoint that is set for every program on
/// the machine does not know this stack's credentials, topic and logs.
pub(crate) const ONLY_OURS: [&str; 2] = ["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "AWS_ENDPOINT_URL_SNS"];

/// Secret under which client addresses are counted on this machine.
const ADDRESS_KEY: &str = "the-local-stack-counts-addresses-so";

/// Addresses and secrets of the running stack's parts.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Address of Redis: `redis://127.0.0.1:PORT`.
    pub redis_url: String,
    /// Address of the DynamoDB emulator.
    pub dynamodb_url: String,
    /// Address of the gateway, including the stage prefix.
    pub gateway_url: String,
    /// Name, base URL and key of each stand-in provider, in order of preference.
    pub providers: Vec<(String, String, String)>,
    /// Secret that the platform's own proxy sends with each request.
    pub proxy_secret: String,
    /// Peppers of the API keys; see [`key_peppers`].
    pub key_peppers: String,
    /// Address of the SNS stand-in.
    pub sns_url: String,
    /// Address of the CloudWatch Logs stand-in.
    pub logs_url: String,
    /// Names of the functions' log groups; see [`log_group`].
    pub log_groups: Vec<String>,
}

/// Returns the peppers under which the local stack's API keys are hashed. They protect nothing: the keys are in the
/// source code.
pub fn key_peppers() -> String {
    json!({ "1": "the-local-stack-has-nothing-to-hide" }).to_string()
}

/// Returns the ARN of the topic for alerts.
pub fn alert_topic() -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:AlertTopic")
}

/// Returns the name of a function's log group.
pub fn log_group(function: &str) -> String {
    format!("/levee/{function}")
}

/// Returns the hosts of the stand-in providers, separated by commas.
fn http_hosts(inputs: &Inputs) -> String {
    let hosts = inputs.providers.iter().filter_map(|(_, url, _)| Url::parse(url).ok()?.host_str().map(str::to_owned));
    hosts.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
}

/// Returns the variables by name. A function gets only those that the template declares for it.
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
        ("ADDRESS_KEY", ADDRESS_KEY.to_owned()),
        ("PROXY_SECRET", inputs.proxy_secret.clone()),
        ("AI_PROVIDERS", json!(providers).to_string()),
        ("AI_HTTP_HOSTS", http_hosts(inputs)),
        // Send no calls to the backup on one machine unless the primary fails.
        ("AI_WARM_PERCENT", "0".to_owned()),
        ("AWS_ENDPOINT_URL_SNS", inputs.sns_url.clone()),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", inputs.logs_url.clone()),
        ("ALERT_TOPIC_ARN", alert_topic()),
        ("LOG_GROUPS", inputs.log_groups.join(",")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
