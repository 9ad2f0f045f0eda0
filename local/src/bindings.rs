//! What the local stack passes to the functions in place of AWS resources: for each variable that the template fills
//! from a resource or a secret, its value on this machine.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use url::Url;

use crate::template::{ACCOUNT, REGION};

/// Variables that the developer's own environment does not replace: an address for every program that uses an AWS SDK is
/// not one for this stack, whose credentials, topic and logs only its own parts know.
pub(crate) const ONLY_OURS: [&str; 2] = ["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "AWS_ENDPOINT_URL_SNS"];

/// The secret under which client addresses are counted on this machine.
const ADDRESS_KEY: &str = "the-local-stack-counts-addresses-so";

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
    /// The address of the stand-in for SNS.
    pub sns_url: String,
    /// The address of the stand-in for CloudWatch Logs.
    pub logs_url: String,
    /// The names of the functions' log groups; see [`log_group`].
    pub log_groups: Vec<String>,
}

/// The peppers under which the local stack's keys are hashed. They guard nothing: the keys are in the source.
pub fn key_peppers() -> String {
    json!({ "1": "the-local-stack-has-nothing-to-hide" }).to_string()
}

/// The ARN of the topic that takes alerts.
pub fn alert_topic() -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:AlertTopic")
}

/// The name of a function's log group.
pub fn log_group(function: &str) -> String {
    format!("/levee/{function}")
}

/// Returns the hosts of the stand-in providers, with commas between.
fn http_hosts(inputs: &Inputs) -> String {
    let hosts = inputs.providers.iter().filter_map(|(_, url, _)| Url::parse(url).ok()?.host_str().map(str::to_owned));
    hosts.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
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
        ("ADDRESS_KEY", ADDRESS_KEY.to_owned()),
        ("PROXY_SECRET", inputs.proxy_secret.clone()),
        ("AI_PROVIDERS", json!(providers).to_string()),
        ("AI_HTTP_HOSTS", http_hosts(inputs)),
        // On one machine no call goes to the backup unless something is wrong.
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
