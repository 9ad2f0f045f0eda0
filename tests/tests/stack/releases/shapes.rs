//! Shapes of stored things: kinds of rows and keys with the names and types of their fields, but not their values.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value, json};

use super::{NEWEST, Row, Stored, Tables, attributes, read, rows, scene, write};

/// Names and types of fields, by the kind of row or key that has them.
type Shapes = BTreeMap<String, BTreeSet<String>>;

/// Returns the fixed part of a key: its first word, with each run of digits as `0`.
fn word(key: &str) -> String {
    digits_as_zero(key.split('#').next().unwrap_or_default())
}

fn digits_as_zero(text: &str) -> String {
    let mut short = String::new();
    for it in text.chars() {
        let digit = it.is_ascii_digit();
        if !(digit && short.ends_with('0')) {
            short.push(if digit { '0' } else { it });
        }
    }
    short
}

fn collect(path: &str, value: &AttributeValue, fields: &mut BTreeSet<String>) {
    match value {
        AttributeValue::M(map) => {
            for (name, value) in map {
                collect(&format!("{path}.{}", digits_as_zero(name)), value, fields);
            }
        }
        AttributeValue::L(list) => list.iter().for_each(|value| collect(&format!("{path}[]"), value, fields)),
        other => {
            let kind = attributes::to_json(other).as_object().and_then(|it| it.keys().next().cloned());
            fields.insert(format!("{path}: {}", kind.unwrap_or_default()));
        }
    }
}

fn of_rows(tables: &Tables) -> Shapes {
    let text = |row: &Row, name: &str| row[name].as_s().map(|key| word(key)).unwrap_or_default();
    let mut shapes = Shapes::new();
    for (table, rows) in tables {
        for row in rows {
            let fields = shapes.entry(format!("{table} {} / {}", text(row, "pk"), text(row, "sk"))).or_default();
            row.iter().for_each(|(name, value)| collect(&digits_as_zero(name), value, fields));
        }
    }
    shapes
}

fn of_keys(keys: &BTreeMap<String, Stored>) -> Shapes {
    // The kind of a key is its first words, without the ids of records; a breaker has several keys.
    let kind = |name: &str| {
        let words = if name.starts_with("{levee}:breaker:") { 4 } else { 3 };
        let first = name.split(':').take(words).collect::<Vec<_>>().join(":");
        digits_as_zero(first.split('/').next().unwrap_or_default())
    };
    let shape = |stored: &Stored| match stored {
        Stored::String(_) => "string",
        Stored::Hash(_) => "hash",
        Stored::Zset(_) => "sorted set",
    };
    let mut shapes = Shapes::new();
    for (name, stored) in keys {
        shapes.entry(kind(name)).or_default().insert(shape(stored).to_owned());
    }
    shapes
}

fn of_contexts(contexts: BTreeMap<String, Map<String, Value>>) -> Shapes {
    let names = |context: Map<String, Value>| context.into_iter().map(|(name, _)| name).collect();
    contexts.into_iter().map(|(verdict, context)| (verdict, names(context))).collect()
}

fn assert_known(present: &Shapes, known: &Shapes) {
    for (kind, fields) in present {
        let known = known.get(kind).unwrap_or_else(|| panic!("no fixture of {NEWEST} has a {kind}"));
        let new: Vec<_> = fields.difference(known).collect();
        assert!(new.is_empty(), "no fixture of {NEWEST} has these fields of {kind}: {new:?}");
    }
}

#[tokio::test]
async fn no_shape_is_stored_without_a_fixture() {
    let left = scene::play().await;
    assert_known(&of_rows(&left.rows), &of_rows(&rows(NEWEST)));
    assert_known(&of_keys(&left.keys), &of_keys(&read(NEWEST, "redis.json")));
    let contexts = left.contexts.into_iter().map(|(verdict, context)| (verdict.to_owned(), context)).collect();
    assert_known(&of_contexts(contexts), &of_contexts(read(NEWEST, "contexts.json")));
}

#[test]
fn the_fixtures_have_every_key_that_the_architecture_names() {
    let architecture = std::fs::read_to_string(tests::workspace().join("docs/ARCHITECTURE.md")).unwrap();
    let table = architecture.split_once("## Redis keys").unwrap().1;
    let documented = table.lines().filter_map(|line| line.strip_prefix("| `{levee}:"));
    let second = |key: &str| key.split([':', '`']).next().unwrap().to_owned();
    let documented: BTreeSet<String> = documented.map(second).collect();
    let keys: BTreeMap<String, Stored> = read(NEWEST, "redis.json");
    let stored: BTreeSet<String> = keys.keys().map(|key| second(key.strip_prefix("{levee}:").unwrap())).collect();
    // A restoration holds this key for seconds.
    let documented: BTreeSet<String> = documented.into_iter().filter(|it| it != "restoring").collect();
    assert!(documented.is_subset(&stored), "without a fixture: {:?}", documented.difference(&stored));
}

/// Writes the fixtures of a release; see CONTRIBUTING.md.
#[tokio::test]
#[ignore = "writes files: run it once, when a release stores a new shape"]
async fn write_the_fixtures_of_all_shapes() {
    let left = scene::play().await;
    let rows: BTreeMap<_, Vec<BTreeMap<_, _>>> = left
        .rows
        .iter()
        .map(|(table, rows)| {
            let row = |row: &Row| row.iter().map(|(name, it)| (name.clone(), attributes::to_json(it))).collect();
            (table, rows.iter().map(row).collect())
        })
        .collect();
    write(NEWEST, "dynamodb.json", &rows);
    write(NEWEST, "redis.json", &left.keys);
    write(NEWEST, "contexts.json", &left.contexts);
    write(NEWEST, "about.json", &json!({ "at": left.at, "session": left.session }));
}
