//! Overrides of limits: for all holders, listed, shown, removed.

use super::*;

/// Returns the lines of a table, with cells separated by one blank.
pub(super) fn rows(run: &Run) -> Vec<String> {
    run.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn limits_are_changed_for_everyone_an_account_an_integration_and_a_key() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    let of_key = format!("key:{}", id_of(&key));
    let none = levee(&stack, "limit list newco").await.ok();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no limits were changed here\n"));

    let set = levee(&stack, "limit set newco account --limit 1200").await.ok();
    assert_eq!(set.line(), "limit account of newco: limit '-' -> '1200'");
    assert_eq!(set.stderr, "It takes effect at once.\n");
    levee(&stack, "limit set newco/crm integration --mode warn").await.ok();
    levee(&stack, &format!("limit set {of_key} ai-address --exempt")).await.ok();
    let until = stack.now().plus(Duration::from_secs(48 * 3600)).to_rfc3339();
    let set =
        levee(&stack, &format!("limit set platform global --limit 9000 --until {until} --json")).await.ok().json();
    assert_eq!(
        set,
        json!({
            "place": "platform", "policy": "global", "limit": 9000, "exempt": false, "mode": null, "until": until,
            "over": false, "effective": "at once",
            "changed": { "limit": { "from": "-", "to": "9000" }, "until": { "from": "-", "to": until } },
        })
    );

    let of_key_row = format!("{of_key} ai-address exempt - -");
    let listed = levee(&stack, "limit list newco").await.ok();
    let headers = "PLACE POLICY LIMIT MODE UNTIL";
    let (of_account, of_integration) = ("newco account 1200 - -", "newco/crm integration - warn -");
    assert_eq!(rows(&listed), [headers, of_account, of_integration, &of_key_row]);
    assert_eq!(rows(&levee(&stack, "limit list newco/crm").await.ok()), [headers, of_integration, &of_key_row]);
    assert_eq!(rows(&levee(&stack, &format!("limit list {of_key}")).await.ok()), [headers, &of_key_row]);
    assert_eq!(rows(&levee(&stack, "limit list").await.ok()), [headers, &format!("platform global 9000 - {until}")]);

    // A change replaces an earlier one.
    let again = levee(&stack, "limit set newco account --mode shadow").await.ok();
    assert_eq!(again.line(), "limit account of newco: limit '1200' -> '-', mode '-' -> 'shadow'");
    let shown = levee(&stack, "limit show newco account --json").await.ok().json();
    assert_eq!((&shown["limit"], &shown["mode"]), (&Value::Null, &json!("shadow")));
    let same = levee(&stack, "limit set newco account --mode shadow").await.ok();
    assert_eq!(same.line(), "limit account of newco already has these values; nothing was changed");

    stack.advance(49 * 3600).await;
    assert!(levee(&stack, "limit show platform global").await.ok().stdout.contains(&format!("{until} (over)")));
    let deleted = levee(&stack, "limit delete platform global --json").await.ok().json();
    assert_eq!(deleted, json!({ "place": "platform", "policy": "global", "deleted": true, "effective": "at once" }));
    assert_eq!(levee(&stack, "limit list --json").await.ok().json(), json!([]));
    levee(&stack, "limit delete platform global").await.fails(1, "levee limit list platform");

    let mut log = audit(&stack).await;
    log.reverse();
    let told = log.iter().filter(|entry| entry.action.starts_with("limit."));
    let told: Vec<_> = told.map(|it| (it.action.as_str(), it.target.as_str(), it.detail.as_str())).collect();
    let (key, until) = (format!("newco/crm/{}", id_of(&key)), format!("until '-' -> '{until}'"));
    assert_eq!(
        told,
        [
            ("limit.set", "newco", "account: limit '-' -> '1200'"),
            ("limit.set", "newco/crm", "integration: mode '-' -> 'warn'"),
            ("limit.set", &key, "ai-address: limit '-' -> 'exempt'"),
            ("limit.set", "platform", &format!("global: limit '-' -> '9000', {until}")),
            ("limit.set", "newco", "account: limit '1200' -> '-', mode '-' -> 'shadow'"),
            ("limit.delete", "platform", &format!("global: limit '9000' -> '-', {}", reversed(&until))),
        ]
    );
}

/// Reverses `until '-' -> 'x'`.
fn reversed(until: &str) -> String {
    let moment = until.strip_prefix("until '-' -> ").unwrap();
    format!("until {moment} -> '-'")
}

#[tokio::test]
async fn accounts_integrations_and_keys_are_shown_with_what_was_changed_about_their_limits() {
    let stack = Stack::builder().start().await;
    let id = id_of(&newco(&stack).await).to_owned();
    levee(&stack, "limit set newco account --limit 1200").await.ok();
    levee(&stack, "limit set newco/crm integration --limit 600").await.ok();
    levee(&stack, &format!("limit set key:{id} key --limit 60")).await.ok();

    let policies = |json: &Value| json.as_array().unwrap().iter().map(|it| it["limit"].clone()).collect::<Vec<_>>();
    let account = levee(&stack, "account show newco --json").await.ok().json();
    assert_eq!(policies(&account["limits"]), [json!(1200)]);
    assert_eq!(policies(&account["integrations"][0]["limits"]), [json!(600)]);
    assert_eq!(policies(&account["keys"][0]["limits"]), [json!(60)]);
    let of_key = format!("key:{id} key 60 - -");
    let (of_account, of_integration) = ("newco account 1200 - -", "newco/crm integration 600 - -");
    for (command, expected) in [
        ("account show newco", vec![of_account, of_integration, &of_key]),
        ("integration show newco/crm", vec![of_integration]),
        (&format!("key show {id}"), vec![&of_key]),
    ] {
        let rows = rows(&levee(&stack, command).await.ok());
        assert!(rows.ends_with(&expected.iter().map(|&row| row.to_owned()).collect::<Vec<_>>()), "{command}: {rows:?}");
    }
    // A successor inherits its predecessor's overrides.
    let rotated = levee(&stack, &format!("key rotate {id} --json")).await.ok().json();
    assert_eq!(policies(&rotated["limits"]), [json!(60)]);
}

#[tokio::test]
async fn a_limit_that_could_have_no_effect_or_is_not_there_says_what_to_do() {
    let stack = Stack::builder().start().await;
    for (command, code, text) in [
        ("limit set acme/crm account --limit 5", 2, "it can be set for the platform or an account, not for acme/crm"),
        ("limit set acme login-address --limit 5", 2, "it can be set for the platform, not for acme"),
        ("limit set acme/crm failed-auth-address --exempt", 2, "it can be set for the platform, not for acme/crm"),
        ("limit set acme global --limit 5", 2, "it can be set for the platform, not for acme"),
        ("limit set key:localPlainKy integration --limit 5", 2, "or an integration, not for key:localPlainKy"),
        ("limit set acme account", 2, "required"),
        ("limit set acme account --until 7d", 2, "required"),
        ("limit set acme account --limit 0", 2, "1..=1000000000"),
        ("limit set acme account --limit 1000000001", 2, "1..=1000000000"),
        ("limit set acme account --limit 5 --exempt", 2, "cannot be used with"),
        ("limit set acme account --limit 5 --until 2020-01-01", 2, "in the past"),
        ("limit set acme account --mode sometimes", 2, "enforce, warn, shadow"),
        ("limit set acme Account --limit 5", 2, "a policy's name has"),
        ("limit set nobody account --limit 5", 1, "there is no account nobody"),
        ("limit set acme/nobody integration --limit 5", 1, "there is no integration acme/nobody"),
        ("limit set key:nobodysKey12 key --limit 5", 1, "there is no key nobodysKey12"),
        ("limit set key:lv_local_mistyped_secretsecret key --limit 5", 2, "a key's id has 12 letters and digits"),
        ("limit set account:platform account --limit 5", 1, "there is no account platform"),
        ("limit show acme account", 1, "levee limit list acme"),
        ("limit delete acme account", 1, "nothing was changed about the limit 'account' of acme"),
        ("limit list nobody", 1, "there is no account nobody"),
    ] {
        let run = levee(&stack, command).await;
        assert!(!run.stderr.contains("secretsecret"), "{run:?}");
        run.fails(code, text);
    }
    // A stack may have policies of its own, which the command does not know.
    let odd = levee(&stack, "limit set acme tokens --limit 5").await.ok();
    assert!(odd.stderr.contains("tokens is not one of the built-in policies; it must be in LIMIT_POLICIES"), "{odd:?}");
}
