//! Validation of items, with one message for each field that is wrong. All rules about items are in this module.

use std::collections::BTreeSet;
use std::fmt;

use http::Uri;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::item::{CatalogItem, ItemLink, Requirement};
use super::{ItemStatus, LARGEST_ITEM};
use crate::text::is_invisible;

/// Longest id, bytes.
pub const LONGEST_ID: usize = 64;
/// Longest category, version, purpose of a link and required version, bytes.
pub const LONGEST_WORD: usize = 32;
/// Longest name, in characters.
pub const LONGEST_NAME: usize = 100;
/// Longest summary, in characters.
pub const LONGEST_SUMMARY: usize = 500;
/// Longest address, bytes.
pub const LONGEST_URL: usize = 300;
/// Largest number of links.
pub const MOST_LINKS: usize = 8;
/// Largest number of requirements.
pub const MOST_REQUIREMENTS: usize = 16;

/// Fields that an admin may write.
const FIELDS: [&str; 11] = [
    "id",
    "name",
    "summary",
    "category",
    "version",
    "status",
    "publisher",
    "links",
    "requirements",
    // Written by exports. An import compares the revision and ignores the time.
    "revision",
    "updated_at",
];

/// One field that may not be written as it is. All of it is public.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldMistake {
    /// Name of the field, such as `publisher.url` or `links[2].rel`.
    pub field: String,
    /// Rule that the value breaks.
    pub message: String,
}

impl fmt::Display for FieldMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Collector of mistakes.
#[derive(Default)]
struct FieldMistakes(Vec<FieldMistake>);

impl FieldMistakes {
    fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldMistake { field: field.into(), message: message.into() });
    }

    fn check(&mut self, field: impl Into<String>, is_right: bool, message: impl Into<String>) {
        if !is_right {
            self.add(field, message);
        }
    }
}

/// Checks an item.
///
/// # Errors
/// All mistakes, one for each field.
pub fn check(item: &CatalogItem) -> Result<(), Vec<FieldMistake>> {
    let mut mistakes = FieldMistakes::default();
    let words = |most: usize| format!("has 1 to {most} lower-case letters, digits and hyphens");
    // Check the plain fields.
    mistakes.check("id", is_word(&item.id, LONGEST_ID), words(LONGEST_ID));
    text(&mut mistakes, "name", &item.name, LONGEST_NAME);
    text(&mut mistakes, "summary", &item.summary, LONGEST_SUMMARY);
    mistakes.check("category", is_word(&item.category, LONGEST_WORD), words(LONGEST_WORD));
    let version = format!("has 1 to {LONGEST_WORD} letters, digits and any of . + - _");
    mistakes.check("version", is_version(&item.version, ""), version);
    text(&mut mistakes, "publisher.name", &item.publisher.name, LONGEST_NAME);
    if let Some(url) = &item.publisher.url {
        address(&mut mistakes, "publisher.url", url);
    }
    // Check the lists.
    mistakes.check("links", item.links.len() <= MOST_LINKS, format!("has at most {MOST_LINKS} links"));
    for (at, ItemLink { rel, url }) in item.links.iter().take(MOST_LINKS).enumerate() {
        mistakes.check(format!("links[{at}].rel"), is_word(rel, LONGEST_WORD), words(LONGEST_WORD));
        address(&mut mistakes, &format!("links[{at}].url"), url);
    }
    let rels: BTreeSet<&str> = item.links.iter().map(|link| link.rel.as_str()).collect();
    mistakes.check("links", rels.len() == item.links.len(), "has two links of one purpose");
    let most = format!("has at most {MOST_REQUIREMENTS} requirements");
    mistakes.check("requirements", item.requirements.len() <= MOST_REQUIREMENTS, most);
    for (at, Requirement { id, version }) in item.requirements.iter().take(MOST_REQUIREMENTS).enumerate() {
        mistakes.check(format!("requirements[{at}].id"), is_word(id, LONGEST_ID), words(LONGEST_ID));
        let is_version = version.as_ref().is_none_or(|version| is_version(version, "<>=^~*, "));
        let message = format!("has 1 to {LONGEST_WORD} letters, digits, blanks and any of . + - _ < > = ^ ~ * ,");
        mistakes.check(format!("requirements[{at}].version"), is_version, message);
    }
    // The fields' limits allow somewhat more than the whole may have.
    if mistakes.0.is_empty() {
        let whole = format!("has {} bytes, of at most {LARGEST_ITEM}", item.bytes());
        mistakes.check("item", item.bytes() <= LARGEST_ITEM, whole);
    }
    if mistakes.0.is_empty() { Ok(()) } else { Err(mistakes.0) }
}

/// Parses an item from JSON and checks it. Unknown fields are mistakes, because a misspelt one would be lost.
///
/// # Errors
/// All mistakes, one for each field.
pub fn parse(value: &Value) -> Result<CatalogItem, Vec<FieldMistake>> {
    let mut mistakes = FieldMistakes::default();
    let Value::Object(fields) = value else {
        mistakes.add("item", "is a JSON object");
        return Err(mistakes.0);
    };
    for name in fields.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
        let name: String = name.chars().take(LONGEST_ID).collect();
        mistakes.add(name, "is not a field of an item");
    }
    // Read each field by itself, so that each has its own message.
    let statuses = ItemStatus::ALL.map(|status| status.to_string()).join(", ");
    let item = CatalogItem {
        id: field(&mut mistakes, fields, "id", "is text", true),
        name: field(&mut mistakes, fields, "name", "is text", true),
        summary: field(&mut mistakes, fields, "summary", "is text", true),
        category: field(&mut mistakes, fields, "category", "is text", true),
        version: field(&mut mistakes, fields, "version", "is text", true),
        status: field(&mut mistakes, fields, "status", &format!("is one of {statuses}"), false),
        publisher: field(&mut mistakes, fields, "publisher", "is an object of 'name' and, if any, 'url'", true),
        links: field(&mut mistakes, fields, "links", "is a list of objects of 'rel' and 'url'", false),
        requirements: {
            let form = "is a list of objects of 'id' and, if any, 'version'";
            field(&mut mistakes, fields, "requirements", form, false)
        },
        revision: field(&mut mistakes, fields, "revision", "is a whole number", false),
        updated_at: 0,
    };
    match check(&item) {
        Err(further) if mistakes.0.is_empty() => return Err(further),
        // A field that could not be read has its message already.
        Err(further) => {
            let known: Vec<String> = mistakes.0.iter().map(|it| it.field.clone()).collect();
            let of_known = |it: &FieldMistake| known.iter().any(|name| it.field.split(['.', '[']).next() == Some(name));
            mistakes.0.extend(further.into_iter().filter(|it| !of_known(it)));
        }
        Ok(()) => {}
    }
    if mistakes.0.is_empty() { Ok(item) } else { Err(mistakes.0) }
}

/// Reads one field; a missing one has its default, and is a mistake if it is required.
fn field<T: DeserializeOwned + Default>(
    mistakes: &mut FieldMistakes,
    fields: &Map<String, Value>,
    name: &str,
    form: &str,
    is_required: bool,
) -> T {
    let Some(value) = fields.get(name) else {
        mistakes.check(name, !is_required, "is missing");
        return T::default();
    };
    serde_json::from_value(value.clone()).unwrap_or_else(|_| {
        mistakes.add(name, form);
        T::default()
    })
}

/// Returns true for 1 to `most` lower-case letters, digits and hyphens.
pub fn is_word(text: &str, most: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=most).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_version(text: &str, further: &str) -> bool {
    let allowed = |it: char| it.is_ascii_alphanumeric() || ".+-_".contains(it) || further.contains(it);
    (1..=LONGEST_WORD).contains(&text.len()) && text.chars().all(allowed)
}

fn text(mistakes: &mut FieldMistakes, field: &str, text: &str, most: usize) {
    let is_long = !(1..=most).contains(&text.trim().chars().count()) || text.chars().count() > most;
    let is_hidden = text.chars().any(|character| character.is_control() || is_invisible(character));
    if is_long {
        mistakes.add(field, format!("has 1 to {most} characters"));
    } else if is_hidden {
        mistakes.add(field, "has no control characters and no invisible ones");
    }
}

/// Checks an address: https, a host, no user, and nothing but visible ASCII.
fn address(mistakes: &mut FieldMistakes, field: &str, url: &str) {
    let is_plain = url.len() <= LONGEST_URL && url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    let is_address = is_plain
        && url.parse::<Uri>().is_ok_and(|uri| {
            let authority = uri.authority().map_or("", |it| it.as_str());
            uri.scheme_str() == Some("https") && !uri.host().unwrap_or("").is_empty() && !authority.contains('@')
        });
    let form = format!("is an https address of at most {LONGEST_URL} visible ASCII characters");
    mistakes.check(field, is_address, form);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn valid() -> Value {
        json!({
            "id": "crm-sync", "name": "CRM sync", "summary": "Keeps contacts in step.", "category": "crm",
            "version": "2.1.0", "status": "beta", "publisher": { "name": "Acme", "url": "https://acme.example" },
            "links": [{ "rel": "documentation", "url": "https://acme.example/docs?x=1#a" }],
            "requirements": [{ "id": "platform", "version": ">=3.2" }, { "id": "queue" }],
        })
    }

    fn mistakes(value: &Value) -> Vec<String> {
        parse(value).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_item_is_read_with_all_of_its_fields() {
        let item = parse(&valid()).unwrap();
        assert_eq!((item.status, item.content()), (ItemStatus::Beta, valid()));
        assert_eq!((item.revision, item.updated_at), (0, 0));
    }

    #[rstest]
    #[case("id", json!("CRM"), "id: has 1 to 64 lower-case letters, digits and hyphens")]
    #[case("id", json!(7), "id: is text")]
    #[case("name", json!(" "), "name: has 1 to 100 characters")]
    #[case("name", json!("a\u{202e}b"), "name: has no control characters and no invisible ones")]
    #[case("summary", json!("x".repeat(501)), "summary: has 1 to 500 characters")]
    #[case("category", json!(""), "category: has 1 to 32 lower-case letters, digits and hyphens")]
    #[case("version", json!("1 0"), "version: has 1 to 32 letters, digits and any of . + - _")]
    #[case("status", json!("gone"), "status: is one of available, beta, deprecated, retired")]
    #[case("publisher", json!("Acme"), "publisher: is an object of 'name' and, if any, 'url'")]
    #[case("publisher", json!({ "name": "" }), "publisher.name: has 1 to 100 characters")]
    #[case("links", json!({}), "links: is a list of objects of 'rel' and 'url'")]
    #[case("requirements", json!([{ "id": "A" }]), "requirements[0].id: has 1 to 64 lower-case letters, digits and hyphens")]
    #[case("colour", json!("red"), "colour: is not a field of an item")]
    #[case("revision", json!(-1), "revision: is a whole number")]
    fn each_wrong_field_has_a_message(#[case] field: &str, #[case] value: Value, #[case] expected: &str) {
        let mut item = valid();
        item[field] = value;
        assert_eq!(mistakes(&item), [expected]);
    }

    #[rstest]
    #[case("http://acme.example")]
    #[case("https://")]
    #[case("https://user@acme.example")]
    #[case("https://acme.example/\u{e9}")]
    #[case("https://acme.example/a b")]
    #[case("javascript:alert(1)")]
    #[case("/docs")]
    fn only_https_addresses_are_links(#[case] url: &str) {
        let mut item = valid();
        item["links"][0]["url"] = json!(url);
        let expected = "links[0].url: is an https address of at most 300 visible ASCII characters";
        assert_eq!(mistakes(&item), [expected]);
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once_and_each_field_once() {
        let wrong = json!({ "id": "A", "name": 1, "links": [{ "rel": "x", "url": "y" }], "extra": 1 });
        let fields: Vec<String> = parse(&wrong).unwrap_err().into_iter().map(|it| it.field).collect();
        assert_eq!(fields, ["extra", "name", "summary", "category", "version", "publisher", "id", "links[0].url"]);
        assert_eq!(mistakes(&json!([])), ["item: is a JSON object"]);
    }

    #[test]
    fn lists_and_the_whole_are_bounded() {
        let mut item = valid();
        item["links"] = (0..9).map(|at| json!({ "rel": format!("r{at}"), "url": "https://a.example" })).collect();
        item["requirements"] = (0..17).map(|at| json!({ "id": format!("r{at}") })).collect();
        assert_eq!(mistakes(&item), ["links: has at most 8 links", "requirements: has at most 16 requirements"]);
        item["links"] = json!([{ "rel": "a", "url": "https://a.example" }, { "rel": "a", "url": "https://b.example" }]);
        item["requirements"] = json!([]);
        assert_eq!(mistakes(&item), ["links: has two links of one purpose"]);
        // The longest values of all fields come close to the limit of the whole.
        let url = format!("https://a.example/{}", "x".repeat(LONGEST_URL - 18));
        let mut longest = valid();
        longest["name"] = json!("\u{6771}".repeat(LONGEST_NAME));
        longest["summary"] = json!("\u{6771}".repeat(LONGEST_SUMMARY));
        longest["links"] = (0..8).map(|at| json!({ "rel": format!("r{at}"), "url": url })).collect();
        assert_eq!(mistakes(&longest), Vec::<String>::new());
        assert!(parse(&longest).unwrap().bytes() < LARGEST_ITEM);
    }
}
