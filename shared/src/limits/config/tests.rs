use rstest::rstest;

use super::*;
use crate::config::from_lookup;

fn read(variables: &[(&str, &str)]) -> Result<LimitsConfig, String> {
    let lookup = |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
    from_lookup(lookup, LimitsConfig::read).map_err(|error| error.to_string())
}

#[test]
fn without_variables_the_defaults_hold() {
    let config = read(&[]).unwrap();
    assert_eq!(config, LimitsConfig::default());
    let on: Vec<_> = config.policies.iter().filter(|it| it.limit > 0).map(|it| it.name.as_str()).collect();
    let by_address = ["ai-address", "login-address", "failed-auth-address"];
    let windows = ["integration", "count-tokens", "account", "account-self", "global"];
    assert_eq!(on, [&by_address[..], &windows, &["in-flight", "global-in-flight"]].concat());
}

#[test]
fn an_entry_changes_the_policy_of_its_name_and_adds_one_of_another() {
    let entries = r#"[
        {"name":"account","algorithm":"sliding","mode":"warn","weights":{"/v1/models":0}},
        {"name":"account-month","scope":"account","limit":100000,"window":"month"}]"#;
    let config = read(&[("LIMIT_POLICIES", entries), ("LIMIT_ACCOUNT_PER_MINUTE", "70")]).unwrap();
    let policy = |name: &str| config.policies.iter().find(|it| it.name == name).unwrap().clone();
    let account = policy("account");
    assert_eq!((account.limit, account.algorithm, account.mode), (70, Algorithm::Sliding, Mode::Warn));
    assert_eq!((account.weight("/v1/models"), account.weight("/v1/messages")), (0, 1));
    assert_eq!(
        (policy("account").weight("/v1/messages/count_tokens"), policy("ai-address").weight("/v1/models")),
        (1, 0)
    );
    assert_eq!((policy("account-month").window, policy("account-month").mode), (Window::Month, Mode::Enforce));
}

#[test]
fn an_entry_changes_the_weights_of_the_routes_that_it_names_and_of_no_other() {
    let entries = r#"[
        {"name":"in-flight","weights":{"/v1/models":1,"*":1}},
        {"name":"messages","scope":"key","limit":9,"window":"minute","weights":{"*":0,"/v1/messages":2}}]"#;
    let config = read(&[("LIMIT_POLICIES", entries)]).unwrap();
    let weights = |name: &str| {
        let policy = config.policies.iter().find(|it| it.name == name).unwrap();
        ["/v1/messages", COUNT_TOKENS, "/v1/models", "/v1/models/{id}"].map(|resource| policy.weight(resource))
    };
    assert_eq!(weights("in-flight"), [1, 0, 1, 0]);
    assert_eq!(weights("global-in-flight"), [1, 0, 0, 0]);
    assert_eq!(weights("ai-address"), [1, 0, 0, 0]);
    assert_eq!(weights("count-tokens"), [0, 1, 0, 0]);
    assert_eq!(weights("account"), [1, 1, 1, 1]);
    assert_eq!(weights("messages"), [2, 0, 0, 0]);
}

#[rstest]
#[case("{}", "is not a JSON list of policies")]
#[case(r#"[{"name":"A b"}]"#, "a policy's name has 1 to 32")]
#[case(r#"[{"name":"more"}]"#, "the policy 'more' needs a window")]
#[case(r#"[{"name":"more","window":"hour"}]"#, "the policy 'more' needs a scope")]
#[case(r#"[{"name":"more","window":"hour","scope":"key"}]"#, "the policy 'more' needs a limit")]
#[case(r#"[{"name":"account","window":"year"}]"#, "the policy 'account' has a window that is none")]
#[case(r#"[{"name":"account","window":2678401}]"#, "the policy 'account' has a window that is none")]
#[case(r#"[{"name":"account","scope":"key"}]"#, "the policy 'account' has its scope already")]
#[case(r#"[{"name":"account","limit":1000000001}]"#, "has a limit of more than")]
#[case(r#"[{"name":"account","classes":[]}]"#, "is about no class")]
#[case(r#"[{"name":"account","classes":["login"]}]"#, "is about callers")]
#[case(r#"[{"name":"login-address","algorithm":"concurrency"}]"#, "only AI calls are")]
#[case(r#"[{"name":"account","weights":{"/v1/models":1001}}]"#, "has a weight of more than 1000")]
#[case(r#"[{"name":"account","weights":{"/v1/message":2}}]"#, "has a weight for '/v1/message', which is no route")]
#[case(r#"[{"name":"ai-address","weights":{"/v1/models":31}}]"#, "has a weight above its limit")]
#[case(r#"[{"name":"global-share","scope":"account","limit":1,"window":1}]"#, "has a name that stands for the pool")]
#[case(r#"[{"name":"platform","scope":"account","limit":1,"window":1}]"#, "has a name that stands for the pool")]
#[case(r#"[{"name":"account","burst":3}]"#, "unknown field")]
fn a_mistake_in_the_policies_is_told(#[case] entries: &str, #[case] expected: &str) {
    let told = read(&[("LIMIT_POLICIES", entries)]).unwrap_err();
    assert!(told.contains("LIMIT_POLICIES") && told.contains(expected), "{told}");
}

#[test]
fn more_policies_than_one_decision_looks_at_are_refused() {
    let entry = |n: usize| format!(r#"{{"name":"more-{n}","scope":"account","limit":1,"window":"hour"}}"#);
    let entries = |n: usize| format!("[{}]", (0..n).map(entry).collect::<Vec<_>>().join(","));
    // Ten of the defaults apply to AI calls, and two of them have shares.
    assert!(read(&[("LIMIT_POLICIES", &entries(4))]).is_ok());
    let told = read(&[("LIMIT_POLICIES", &entries(5))]).unwrap_err();
    assert!(told.contains("makes 17 policies for the class 'ai'"), "{told}");
}

#[test]
fn the_modes_are_read_and_nothing_else_is() {
    let config = read(&[("LIMITS_MODE", "shadow"), ("DEGRADED_LIMITS", "local")]).unwrap();
    assert_eq!((config.mode, config.degraded), (StackMode::Shadow, DegradedMode::Local));
    assert!(read(&[("LIMITS_MODE", "off")]).unwrap_err().contains("must be enforce or shadow"));
    assert!(read(&[("DEGRADED_LIMITS", "deny")]).unwrap_err().contains("must be allow or local"));
}
