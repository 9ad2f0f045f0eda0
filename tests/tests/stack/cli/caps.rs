//! Token caps and cost guards: set, shown, listed, removed, and in force at the next request.

use super::limits::rows;
use super::*;

#[tokio::test]
async fn caps_and_guards_are_changed_listed_shown_and_taken_back() {
    let stack = Stack::builder().env("AI_TOKEN_CAP_DEFAULT", "7000000").start().await;
    let id = id_of(&newco(&stack).await).to_owned();
    let of_key = format!("key:{id}");
    let none = levee(&stack, "cap list newco").await.ok();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no caps or guards were changed here\n"));
    let shown = levee(&stack, "cap show newco").await.ok();
    let cap = "cap 7000000 tokens a month, then warn (as all accounts)";
    let anything = [
        "models all",
        "max tokens none",
        "providers all",
        "speed all",
        "service tier all",
        "inference geo all",
        "server tools all",
        "unknown fields refuse",
    ];
    assert_eq!(rows(&shown), [&["place newco", cap][..], &anything].concat());

    let set = levee(&stack, "cap set newco --tokens 5000000 --mode block").await.ok();
    assert_eq!(set.line(), "newco: tokens 'default' -> '5000000', mode 'warn' -> 'block'");
    assert_eq!(set.stderr, "It takes effect at once.\n");
    let set = levee(&stack, &format!("cap set {of_key} --max-tokens 1024 --json")).await.ok().json();
    let changed = json!({ "max tokens": { "from": "none", "to": "1024" } });
    assert_eq!(
        set,
        json!({
            "place": of_key, "tokens": null, "mode": null, "models": [], "max_tokens": 1024,
            "providers": [], "speed": [], "service_tier": [], "inference_geo": [], "server_tools": null,
            "unknown_fields": "refuse", "changed": changed, "effective": "at once",
        })
    );
    levee(&stack, "cap set newco --models claude-haiku-*,claude-sonnet-5-5 --max-tokens 8192 --tokens 0").await.ok();
    // Settings that are not given stay unchanged.
    let listed = levee(&stack, "cap list newco").await.ok();
    let headers = "PLACE TOKENS MODE GUARDS";
    let of_account = "newco none block models claude-haiku-*,claude-sonnet-5-5; max tokens 8192";
    assert_eq!(rows(&listed), [headers, of_account, &format!("{of_key} - - max tokens 1024")]);
    assert_eq!(rows(&levee(&stack, "cap list").await.ok()), [headers, of_account]);
    let shown = levee(&stack, &format!("cap show {of_key} --json")).await.ok().json();
    assert_eq!((&shown["max_tokens"], &shown["account"]["max_tokens"]), (&json!(1024), &json!(8192)));
    let same = levee(&stack, "cap set newco --tokens 0").await.ok();
    assert_eq!(same.line(), "newco already has these values; nothing was changed");
    let shown = levee(&stack, "cap show newco --json").await.ok().json();
    assert_eq!((&shown["tokens"], &shown["cap"]), (&json!(0), &Value::Null));

    levee(&stack, "cap set newco --models all --max-tokens none --tokens default").await.ok();
    assert_eq!(rows(&levee(&stack, "cap list").await.ok()), [headers, "newco default block -"]);
    let deleted = levee(&stack, "cap delete newco --json").await.ok().json();
    assert_eq!(deleted, json!({ "place": "newco", "deleted": true, "effective": "at once" }));
    levee(&stack, &format!("cap delete {of_key}")).await.ok();
    assert_eq!(levee(&stack, "cap list newco --json").await.ok().json(), json!([]));
    levee(&stack, "cap delete newco").await.fails(1, "nothing was changed about what newco may spend");

    let mut log = audit(&stack).await;
    log.reverse();
    let told = log.iter().filter(|entry| entry.action.starts_with("cap."));
    let told: Vec<_> = told.map(|it| (it.action.as_str(), it.target.as_str(), it.detail.as_str())).collect();
    let key = format!("newco/crm/{id}");
    let models = "'claude-haiku-*,claude-sonnet-5-5'";
    assert_eq!(
        told,
        [
            ("cap.set", "newco", "tokens 'default' -> '5000000', mode 'warn' -> 'block'"),
            ("cap.set", &key, "max tokens 'none' -> '1024'"),
            (
                "cap.set",
                "newco",
                &format!("tokens '5000000' -> 'none', models 'all' -> {models}, max tokens 'none' -> '8192'")
            ),
            (
                "cap.set",
                "newco",
                &format!("tokens 'none' -> 'default', models {models} -> 'all', max tokens '8192' -> 'none'")
            ),
            ("cap.delete", "newco", "mode 'block' -> 'warn'"),
            ("cap.delete", &key, "max tokens '1024' -> 'none'"),
        ]
    );
}

#[tokio::test]
async fn the_providers_that_calls_may_go_to_are_changed_listed_shown_and_taken_back() {
    let stack = Stack::builder().start().await;
    let id = id_of(&newco(&stack).await).to_owned();
    let of_key = format!("key:{id}");
    let set = levee(&stack, "cap set newco --providers primary,backup").await.ok();
    assert_eq!(set.line(), "newco: providers 'all' -> 'backup,primary'");
    assert_eq!(set.stderr, "It takes effect at once.\n");
    let set = levee(&stack, &format!("cap set {of_key} --providers backup --json")).await.ok().json();
    let changed = json!({ "providers": { "from": "all", "to": "backup" } });
    assert_eq!((&set["providers"], &set["changed"]), (&json!(["backup"]), &changed));
    // Settings that are not given stay unchanged.
    levee(&stack, "cap set newco --max-tokens 8192").await.ok();
    let same = levee(&stack, "cap set newco --providers backup,primary").await.ok();
    assert_eq!(same.line(), "newco already has these values; nothing was changed");
    let headers = "PLACE TOKENS MODE GUARDS";
    let of_account = "newco default warn max tokens 8192; providers backup,primary";
    let listed = levee(&stack, "cap list newco").await.ok();
    assert_eq!(rows(&listed), [headers, of_account, &format!("{of_key} - - providers backup")]);
    let shown = rows(&levee(&stack, &format!("cap show {of_key}")).await.ok());
    let account = ["account's models all", "account's max tokens 8192", "account's providers backup,primary"];
    assert_eq!((shown[3].as_str(), &shown[9..12]), ("providers backup", &account.map(str::to_owned)[..]));
    let shown = levee(&stack, &format!("cap show {of_key} --json")).await.ok().json();
    let both = (&json!(["backup"]), &json!(["backup", "primary"]));
    assert_eq!((&shown["providers"], &shown["account"]["providers"]), both);

    levee(&stack, "cap set newco --providers all --max-tokens none").await.ok();
    levee(&stack, &format!("cap delete {of_key}")).await.ok();
    assert_eq!(levee(&stack, "cap list newco --json").await.ok().json(), json!([]));
    let log = audit(&stack).await;
    let told = log.iter().rev().filter(|entry| entry.action.starts_with("cap."));
    let told: Vec<_> = told.map(|it| (it.action.as_str(), it.target.as_str(), it.detail.as_str())).collect();
    let key = format!("newco/crm/{id}");
    assert_eq!(
        told,
        [
            ("cap.set", "newco", "providers 'all' -> 'backup,primary'"),
            ("cap.set", &key, "providers 'all' -> 'backup'"),
            ("cap.set", "newco", "max tokens 'none' -> '8192'"),
            ("cap.set", "newco", "max tokens '8192' -> 'none', providers 'backup,primary' -> 'all'"),
            ("cap.delete", &key, "providers 'backup' -> 'all'"),
        ]
    );
}

#[tokio::test]
async fn what_is_set_holds_at_the_next_request() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    let of_key = format!("key:{}", id_of(&key));
    assert_eq!(status(&stack, &key).await, 200);
    for (command, expected) in [
        ("cap set newco --tokens 1 --mode block".to_owned(), 429),
        ("cap set newco --mode warn".to_owned(), 200),
        ("cap set newco --models claude-haiku-*".to_owned(), 403),
        ("cap set newco --models claude-haiku-*,claude-sonnet-5-5".to_owned(), 200),
        (format!("cap set {of_key} --max-tokens 255"), 400),
        (format!("cap set {of_key} --max-tokens 256"), 200),
        (format!("cap set {of_key} --models claude-haiku-*"), 403),
        (format!("cap delete {of_key}"), 200),
        ("cap set newco --mode block".to_owned(), 429),
        ("cap delete newco".to_owned(), 200),
        ("cap set newco --service-tier standard_only".to_owned(), 403),
        ("cap set newco --service-tier all --speed standard --server-tools none".to_owned(), 200),
        ("cap delete newco".to_owned(), 200),
    ] {
        levee(&stack, &command).await.ok();
        assert_eq!(status(&stack, &key).await, expected, "after {command}");
    }
    // A successor inherits its predecessor's guards.
    levee(&stack, &format!("cap set {of_key} --max-tokens 255")).await.ok();
    let rotated = levee(&stack, &format!("key rotate {}", id_of(&key))).await.ok();
    assert_eq!(status(&stack, rotated.line()).await, 400);
}

#[tokio::test]
async fn a_cap_that_makes_no_sense_or_is_nobodys_says_what_to_do() {
    let stack = Stack::builder().start().await;
    for (command, code, text) in [
        ("cap set acme", 2, "required"),
        ("cap set acme --tokens 1e6", 2, "give a whole number from 0 to 1000000000000, or default"),
        ("cap set acme --tokens 1000000000001", 2, "or default"),
        ("cap set acme --mode sometimes", 2, "warn, block"),
        ("cap set acme --max-tokens 0", 2, "give a whole number from 1 to 10000000, or none"),
        ("cap set acme --models *a", 2, "may end in *"),
        ("cap set acme --models a,,b", 2, "a model has 1 to 100"),
        ("cap set acme --providers a_b", 2, "a provider's name has 1 to 40 letters, digits and hyphens"),
        ("cap set acme --providers a,,b", 2, "a provider's name has 1 to 40"),
        ("cap set acme --providers 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", 2, "at most 16 providers"),
        ("cap set acme --speed Fast", 2, "a value has 1 to 20 lower-case letters"),
        ("cap set acme --server-tools bash", 2, "the server tools are advisor, code_execution, mcp"),
        ("cap set acme --unknown-fields maybe", 2, "refuse, allow"),
        ("cap set acme/crm --tokens 5", 2, "an integration has neither a cap nor guards of its own; give ACCOUNT"),
        ("cap show platform", 2, "AI_TOKEN_CAP_DEFAULT"),
        ("cap set key:localPlainKy --tokens 5", 2, "a key has no cap of its own: --tokens and --mode are set for"),
        ("cap set key:localPlainKy --max-tokens 5 --mode warn", 2, "a key has no cap of its own"),
        ("cap set nobody --tokens 5", 1, "there is no account nobody"),
        ("cap set key:nobodysKey12 --max-tokens 5", 1, "there is no key nobodysKey12"),
        ("cap set key:lv_local_mistyped_secretsecret --max-tokens 5", 2, "a key's id has 12 letters and digits"),
        ("cap delete acme", 1, "levee cap list"),
        ("cap list nobody", 1, "there is no account nobody"),
        ("cap show account:platform", 1, "there is no account platform"),
    ] {
        let run = levee(&stack, command).await;
        assert!(!run.stderr.contains("secretsecret"), "{run:?}");
        run.fails(code, text);
    }
    assert_eq!(levee(&stack, "cap list --json").await.ok().json(), json!([]));
}
