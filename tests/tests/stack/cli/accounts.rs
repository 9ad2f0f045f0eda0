//! Accounts, integrations and keys: created keys work, revoked ones do not.

use super::*;

#[tokio::test]
async fn a_new_accounts_key_works_at_once_and_is_shown_once() {
    let stack = Stack::builder().env("RUST_LOG", "trace").start().await;
    let made = levee_with(&stack, "account create newco --name", &["New Co"]).await.ok();
    assert_eq!(made.line(), "account newco is created");
    let made = levee(&stack, "integration create newco/operator --name Op --kind ai-operator --json").await.ok().json();
    assert_eq!(
        (&made["account"], &made["id"], &made["kind"]),
        (&json!("newco"), &json!("operator"), &json!("ai-operator"))
    );

    let made = levee(&stack, "key create newco/operator --name production").await.ok();
    let key = made.line();
    assert!(
        made.stderr.contains("is accepted at once. It is not shown again") && !made.stderr.contains(key),
        "{made:?}"
    );
    assert_eq!(status(&stack, key).await, 200);
    assert_eq!(stack.wait_for_month("newco", 1).await.calls, 1);

    let id = id_of(key);
    let shown = levee(&stack, &format!("key show {id} --json")).await.ok();
    let view = shown.json();
    assert_eq!((&view["status"], &view["scopes"]), (&json!("active"), &json!(["ai", "catalogs", "read", "request"])));
    // Commands that need only a key's id do not accept a whole key.
    let refused = levee(&stack, &format!("key show {key}")).await;
    assert!(!refused.stderr.contains(key), "{refused:?}");
    refused.fails(2, "a key's id has 12 letters and digits");
    let listed = levee(&stack, "key list newco").await.ok();
    let account = levee(&stack, "account show newco --json").await.ok();
    let again = levee(&stack, &format!("key set {id} --name live")).await.ok();
    let secret = key.rsplit('_').next().unwrap();
    let shown_later = format!("{shown:?}{listed:?}{account:?}{again:?}");
    for text in [&shown_later, &everything(&stack).await] {
        assert!(text.contains(id), "there is nothing to look through:\n{text}");
        assert!(!text.contains(secret), "the key is in:\n{text}");
    }
    assert!(!shown_later.contains("hash"), "{shown_later}");
}

#[tokio::test]
async fn a_keys_scopes_and_end_are_what_was_asked_for() {
    let stack = Stack::builder().start().await;
    newco(&stack).await;
    let make = async |more: &str| {
        let made = levee(&stack, &format!("key create newco/crm --name x --json {more}")).await.ok().json();
        (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
    };
    let (reader, id) = make("--scopes read").await;
    assert_eq!(status(&stack, &reader).await, 403);
    let set = levee(&stack, &format!("key set {id} --scopes ai,read --address-exempt")).await.ok();
    let expected = format!("key {id}: scopes 'read' -> 'ai,read', address_exempt 'false' -> 'true'");
    assert_eq!(set.line(), expected);
    assert_eq!(status(&stack, &reader).await, 200);

    let (short, id) = make("--expires 1h").await;
    assert_eq!(status(&stack, &short).await, 200);
    stack.advance(3601).await;
    assert_eq!(status(&stack, &short).await, 401);
    assert_eq!(levee(&stack, &format!("key show {id} --json")).await.ok().json()["status"], "expired");
    levee(&stack, &format!("key rotate {id}")).await.fails(1, "does not work any more");
    let end = stack.now().plus(Duration::from_secs(48 * 3600)).to_rfc3339();
    let set = levee(&stack, &format!("key set {id} --expires {end} --json")).await.ok().json();
    assert_eq!((&set["changed"]["expires"]["to"], &set["effective"]), (&json!(end), &json!("at once")));
    assert_eq!(status(&stack, &short).await, 200);
    levee(&stack, &format!("key set {id} --expires 2020-01-01")).await.fails(2, "in the past");
}

#[tokio::test]
async fn suspending_an_account_or_an_integration_stops_its_calls_until_it_is_resumed() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    for (what, id) in [("account", "newco"), ("integration", "newco/crm")] {
        assert_eq!(status(&stack, &key).await, 200);
        let suspended = levee(&stack, &format!("{what} suspend {id}")).await.ok();
        assert_eq!(suspended.line(), format!("{what} {id}: status 'active' -> 'suspended'"));
        assert_eq!(suspended.stderr, "It takes effect at once.\n");
        assert_eq!(status(&stack, &key).await, 403, "{what}");
        let again = levee(&stack, &format!("{what} suspend {id} --json")).await.ok().json();
        assert_eq!(again, json!({ "id": id, "changed": {} }));
        assert_eq!(levee(&stack, &format!("{what} show {id} --json")).await.ok().json()["status"], "suspended");
        let resumed = levee(&stack, &format!("{what} resume {id} --json")).await.ok().json();
        assert_eq!(resumed["effective"], "at once");
    }
    assert_eq!(status(&stack, &key).await, 200);
}

#[tokio::test]
async fn without_redis_a_change_is_made_and_takes_effect_within_60_s() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    assert_eq!(status(&stack, &key).await, 200);
    stack.control("POST", "/redis/stop", Value::Null).await;
    let suspended = levee(&stack, "account suspend newco --json").await.ok();
    assert_eq!(suspended.json()["effective"], "within 60 s");
    let warning = "warning: The change is made. It takes effect within 60 s, not at once: Redis: ";
    assert!(suspended.stderr.starts_with(warning), "{suspended:?}");
    stack.advance(60).await;
    assert_eq!(status(&stack, &key).await, 403);
}

#[tokio::test]
async fn after_a_rotation_both_keys_work_for_a_day_and_then_the_new_one_alone() {
    let stack = Stack::builder().start().await;
    let old = newco(&stack).await;
    let rotated = levee(&stack, &format!("key rotate {} --json", id_of(&old))).await.ok().json();
    let new = rotated["key"].as_str().unwrap();
    assert_eq!((&rotated["name"], &rotated["expires_at"]), (&json!("test"), &Value::Null));
    assert_eq!(rotated["replaces"]["id"], id_of(&old));
    assert_eq!(rotated["effective"], "at once");
    assert_eq!((status(&stack, &old).await, status(&stack, new).await), (200, 200));
    stack.advance(23 * 3600).await;
    assert_eq!((status(&stack, &old).await, status(&stack, new).await), (200, 200));
    stack.advance(3600 + 60).await;
    assert_eq!((status(&stack, &old).await, status(&stack, new).await), (401, 200));
}

#[tokio::test]
async fn a_rotation_never_prolongs_the_old_key_and_hands_its_end_on() {
    let stack = Stack::builder().start().await;
    newco(&stack).await;
    let made = levee(&stack, "key create newco/crm --name short --expires 2h --scopes read --json").await.ok().json();
    let id = made["id"].as_str().unwrap();
    let rotated = levee(&stack, &format!("key rotate {id} --overlap 7d --json")).await.ok().json();
    assert_eq!(rotated["replaces"]["expires_at"], made["expires_at"]);
    assert_eq!((&rotated["expires_at"], &rotated["scopes"]), (&made["expires_at"], &json!(["read"])));
    let again = levee(&stack, &format!("key rotate {id} --overlap 30m --expires never")).await.ok();
    assert!(again.stderr.contains(&format!("{id} works until ")), "{again:?}");
    let new = levee(&stack, &format!("key show {} --json", id_of(again.line()))).await.ok().json();
    assert_eq!(new["expires_at"], Value::Null);
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_for_good() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    let id = id_of(&key);
    assert_eq!(status(&stack, &key).await, 200);
    levee(&stack, &format!("key delete {id} --yes")).await.fails(1, "revoke it first");
    levee(&stack, &format!("key revoke {id}")).await.fails(2, "--yes");
    // A whole key is accepted for revoking, so that its finder need not know the id in it.
    let revoked = levee(&stack, &format!("key revoke {key} --yes")).await.ok();
    assert!(!format!("{}{}", revoked.stdout, revoked.stderr).contains(&key), "{revoked:?}");
    assert_eq!(status(&stack, &key).await, 401);
    levee(&stack, &format!("key set {id} --expires never")).await.fails(1, "for good");
    levee(&stack, &format!("key rotate {id}")).await.fails(1, "does not work any more");
    assert_eq!(levee(&stack, &format!("key revoke {id} --json")).await.ok().json()["changed"], json!({}));
    levee(&stack, &format!("key delete {id} --yes")).await.ok();
    levee(&stack, &format!("key show {id}")).await.fails(1, "there is no key");
}

#[tokio::test]
async fn what_is_in_use_cannot_be_deleted() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    let dead = levee(&stack, "key create newco/crm --name dead").await.ok();
    levee(&stack, &format!("key revoke {} --yes", id_of(dead.line()))).await.ok();
    levee(&stack, "account delete newco").await.fails(2, "--yes");
    levee(&stack, "account delete newco --yes").await.fails(1, "has integrations");
    levee(&stack, "integration delete newco/crm --yes").await.fails(1, "has live keys");
    assert_eq!(levee(&stack, "key list newco --json").await.ok().json().as_array().unwrap().len(), 2);
    levee(&stack, &format!("key revoke {} --yes", id_of(&key))).await.ok();
    levee(&stack, "integration delete newco/crm --yes").await.ok();
    assert_eq!(levee(&stack, "account show newco --json").await.ok().json()["keys"], json!([]));
    levee(&stack, &format!("key show {}", id_of(&key))).await.fails(1, "there is no key");
    levee(&stack, "account delete newco --yes").await.ok();
    levee(&stack, "account show newco").await.fails(1, "there is no account newco");

    let log = audit(&stack).await;
    let failed = log.iter().find(|entry| entry.action == "account.delete" && entry.detail.starts_with("not done"));
    assert!(failed.unwrap().detail.contains("has integrations"), "{log:?}");
}
