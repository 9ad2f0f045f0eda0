//! Items of catalogs: set, listed, retired, imported and exported.

use super::limits::rows;
use super::*;

async fn import(stack: &Stack, file: &Value, options: &str) -> Run {
    let command = format!("catalog import modules - {options}");
    levee_reading(stack, command.trim(), &[], &file.to_string()).await
}

fn item(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "summary": "s", "category": "c", "version": "1", "publisher": { "name": "p" } })
}

async fn stored(stack: &Stack) -> Vec<(String, String, u64)> {
    let listed = levee(stack, "catalog list modules --json").await.ok().json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = listed.as_array().unwrap().iter();
    items.map(|it| (text(&it["id"]), text(&it["name"]), it["revision"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn an_item_is_set_shown_and_retired() {
    let stack = Stack::builder().start().await;
    levee(&stack, "catalog set modules crm --name CRM").await.fails(2, "summary: has 1 to 500 characters");
    assert!(levee(&stack, "catalog list modules").await.ok().stderr.contains("no such item"));
    let fields =
        ["--name", "CRM sync", "--summary", "In step.", "--category", "crm", "--version", "2.1", "--publisher"];
    let more = ["Acme", "--link", "docs=https://acme.example", "--requires", "platform@>=3.2", "--requires", "queue"];
    let set = levee_with(&stack, "catalog set modules crm", &[&fields[..], &more].concat()).await.ok();
    assert_eq!(set.stderr, "It takes effect at once.\n");
    assert!(set.line().starts_with("item crm of modules: category - -> \"crm\""), "{set:?}");
    let headers = "ID NAME CATEGORY VERSION STATUS PUBLISHER UPDATED";
    let listed = rows(&levee(&stack, "catalog list modules").await.ok());
    assert!(listed[0] == headers && listed[1].starts_with("crm CRM sync crm 2.1 available Acme 20"), "{listed:?}");
    let shown = levee(&stack, "catalog show modules crm").await.ok();
    for line in ["link docs https://acme.example", "requires platform >=3.2", "requires queue -", "revision 1"] {
        assert!(rows(&shown).contains(&line.to_owned()), "{line}: {shown:?}");
    }
    let same = levee(&stack, "catalog set modules crm --version 2.1").await.ok();
    assert_eq!(same.line(), "item crm of modules already has these values; nothing was changed");
    let changed = levee(&stack, "catalog set modules crm --no-links --status beta --json").await.ok().json();
    assert_eq!(changed["changed"][1], json!({ "field": "status", "from": "available", "to": "beta" }));
    levee(&stack, "catalog set modules crm --link docs=http://a.example").await.fails(2, "links[0].url: is an https");
    levee(&stack, "catalog delete modules crm").await.fails(2, "give --yes");
    let retired = levee(&stack, "catalog delete modules crm --yes").await.ok();
    assert_eq!(retired.line(), "item crm of modules: status \"beta\" -> \"retired\"");
    for (command, code, text) in [
        ("catalog delete modules crm --yes", 1, "is retired already"),
        ("catalog show modules none", 1, "levee catalog list modules"),
        ("catalog list plugins", 2, "the catalogs are modules, starter-packs and integration-providers"),
        ("catalog set modules crm", 2, "required"),
    ] {
        levee(&stack, command).await.fails(code, text);
    }
    let log = audit(&stack).await;
    let told: Vec<_> = log.iter().rev().map(|it| (it.action.as_str(), it.target.as_str())).collect();
    let set = ("catalog.set", "modules/crm");
    assert_eq!(told, [set, set, ("catalog.delete", "modules/crm")]);
}

#[tokio::test]
async fn an_import_shows_its_changes_and_makes_them_and_a_bad_one_changes_nothing() {
    let stack = Stack::builder().start().await;
    let file = json!([item("a", "A"), item("b", "B")]);
    let dry = import(&stack, &file, "--dry-run").await.ok();
    assert_eq!(rows(&dry), ["CHANGE ID FIELDS", "create a A", "create b B"]);
    assert!(stored(&stack).await.is_empty());
    let made = import(&stack, &file, "").await.ok();
    assert_eq!(made.line(), "modules: 2 created, 0 updated, 0 retired, 0 unchanged");
    let (a, b) = (("a".to_owned(), "A".to_owned(), 1), ("b".to_owned(), "B".to_owned(), 1));
    assert_eq!(stored(&stack).await, [a.clone(), b.clone()]);

    // A file with a mistake, one of another catalog, and one that is no JSON change nothing.
    let entries = audit(&stack).await.len();
    let wrong = import(&stack, &json!([item("c", "C"), item("d", ""), item("a", "A2")]), "").await;
    assert!(wrong.stderr.contains("items[1].name: has 1 to 100 characters"), "{wrong:?}");
    wrong.fails(2, "the file has 1 mistake(s); nothing was changed");
    import(&stack, &json!({ "catalog": "starter-packs", "items": [item("c", "C")] }), "").await.fails(2, "1 mistake");
    levee_reading(&stack, "catalog import modules -", &[], "{").await.fails(2, "is not JSON");
    levee(&stack, "catalog import modules /none.json").await.fails(1, "cannot read /none.json");
    assert_eq!(stored(&stack).await, [a.clone(), b.clone()]);

    // An export is imported as it is; after another change it is not, unless that is asked for.
    let export = levee(&stack, "catalog export modules").await.ok().json();
    let same = import(&stack, &export, "").await.ok();
    assert_eq!(same.line(), "modules is as in the file already; nothing was changed");
    assert_eq!(audit(&stack).await.len(), entries);
    levee(&stack, "catalog set modules a --name A2").await.ok();
    import(&stack, &export, "").await.fails(2, "nothing was changed");
    let forced = import(&stack, &export, "--ignore-revisions --json").await.ok().json();
    assert_eq!(forced["changes"][0]["fields"], json!([{ "field": "name", "from": "A2", "to": "A" }]));

    // What the file lacks is retired if that is asked for.
    let only = json!([item("a", "A")]);
    import(&stack, &only, "--retire-others").await.fails(2, "Retire 1 item(s) of modules?");
    let retired = import(&stack, &only, "--retire-others --yes").await.ok();
    assert_eq!(retired.line(), "modules: 0 created, 0 updated, 1 retired, 1 unchanged");
    assert_eq!(levee(&stack, "catalog show modules b --json").await.ok().json()["status"], "retired");

    // More than one transaction holds is written in parts, each with an entry in the audit.
    let many: Vec<Value> = (0..120).map(|number| item(&format!("m-{number:03}"), "M")).collect();
    let made = import(&stack, &json!(many), "").await.ok();
    assert_eq!(made.line(), "modules: 120 created, 0 updated, 0 retired, 0 unchanged");
    let log = audit(&stack).await;
    let details: Vec<_> = log[..2].iter().map(|it| it.detail.split(':').next().unwrap()).collect();
    assert_eq!(details, ["22 created, 0 updated, 0 retired", "98 created, 0 updated, 0 retired"]);
}
