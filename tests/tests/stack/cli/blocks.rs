//! Blocks of accounts and client addresses.

use super::*;

#[tokio::test]
async fn accounts_and_networks_are_blocked_listed_and_unblocked() {
    let stack = Stack::builder().start().await;
    let none = levee(&stack, "block list").await.ok();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no account or address is blocked\n"));

    let until = stack.now().plus(Duration::from_secs(24 * 3600)).to_rfc3339();
    let added = format!("block add 203.0.113.9 --until {until} --reason");
    let added = levee_with(&stack, &added, &["tries keys"]).await.ok();
    assert_eq!(added.line(), format!("network 203.0.113.9/32 is blocked until {until}"));
    assert_eq!(added.stderr, "It takes effect at once.\n");
    let added = levee_with(&stack, "block add 2001:db8:1:2:3::/64 --json --reason", &["floods"]).await.ok().json();
    let (who, kind, until_of) = (&added["who"], &added["kind"], &added["until"]);
    assert_eq!((who, kind, until_of), (&json!("2001:db8:1:2::/64"), &json!("network"), &Value::Null));
    assert_eq!((&added["effective"], &added["over"]), (&json!("at once"), &json!(false)));
    levee_with(&stack, "block add acme --reason", &["unpaid"]).await.fails(2, "--yes");
    let added = levee_with(&stack, "block add acme --yes --reason", &["unpaid"]).await.ok();
    assert_eq!(added.line(), "account acme is blocked for good");

    let listed = levee(&stack, "block list --json").await.ok().json();
    let who = |listed: &Value| {
        let mut who: Vec<_> = listed.as_array().unwrap().iter().map(|it| it["who"].clone()).collect();
        who.sort_by_key(ToString::to_string);
        who
    };
    assert_eq!(who(&listed), [json!("2001:db8:1:2::/64"), json!("203.0.113.9/32"), json!("acme")]);
    let text = levee(&stack, "block list").await.ok().stdout;
    let row = text.lines().find(|line| line.starts_with("203.0.113.9/32 ")).unwrap();
    assert!(row.contains(&until) && row.ends_with("tries keys"), "{text}");

    // A second block of the same client replaces the first.
    levee_with(&stack, "block add 203.0.113.9/32 --reason", &["tries again"]).await.ok();
    let listed = levee(&stack, "block list --json").await.ok().json();
    let again = listed.as_array().unwrap().iter().find(|it| it["who"] == "203.0.113.9/32").unwrap();
    assert_eq!((&again["reason"], &again["until"]), (&json!("tries again"), &Value::Null));

    let deleted = levee(&stack, "block delete 203.0.113.9").await.ok();
    assert_eq!(deleted.line(), "203.0.113.9/32 is not blocked any more");
    let deleted = levee(&stack, "block delete acme --json").await.ok().json();
    assert_eq!(deleted, json!({ "who": "acme", "deleted": true, "effective": "at once" }));
    levee(&stack, "block delete acme").await.fails(1, "acme is not blocked; list who is with: levee block list");
    assert_eq!(who(&levee(&stack, "block list --json").await.ok().json()), [json!("2001:db8:1:2::/64")]);

    let mut log = audit(&stack).await;
    log.reverse();
    let told: Vec<_> = log.iter().map(|it| (it.action.as_str(), it.target.as_str(), it.detail.as_str())).collect();
    assert_eq!(
        told,
        [
            ("block.add", "203.0.113.9/32", &*format!("until {until}, reason 'tries keys'")),
            ("block.add", "2001:db8:1:2::/64", "for good, reason 'floods'"),
            ("block.add", "acme", "for good, reason 'unpaid'"),
            ("block.add", "203.0.113.9/32", "for good, reason 'tries again'"),
            ("block.delete", "203.0.113.9/32", "reason 'tries again'"),
            ("block.delete", "acme", "reason 'unpaid'"),
        ]
    );
}

#[tokio::test]
async fn who_cannot_be_blocked_is_told_why() {
    let stack = Stack::builder().start().await;
    for (command, code, text) in [
        ("block add 0.0.0.0/0 --reason x", 2, "a network is /8 or smaller"),
        ("block add 2000::/3 --reason x", 2, "in IPv6 /19 or smaller"),
        ("block add 203.0.113 --reason x", 2, "no address, no network"),
        ("block add 203.0.113.9", 2, "--reason"),
        ("block add 203.0.113.9 --reason x --until 2020-01-01", 2, "in the past"),
        ("block add nobody --reason x --yes", 1, "there is no account nobody"),
        ("block add Acme --reason x --yes", 2, "lower-case letters"),
        ("block delete 203.0.113.9", 1, "203.0.113.9/32 is not blocked"),
    ] {
        levee(&stack, command).await.fails(code, text);
    }
    levee_with(&stack, "block add 203.0.113.9 --reason", &[""]).await.fails(2, "a reason has 1 to 200 characters");
    assert_eq!(levee(&stack, "block list --json").await.ok().json(), json!([]));
}
