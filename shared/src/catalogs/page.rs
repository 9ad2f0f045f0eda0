//! Pages of a catalog. Pure.

use sha2::{Digest, Sha256};

use super::Catalog;
use super::form::{LONGEST_ID, LONGEST_WORD, is_word};
use super::snapshot::{CatalogSnapshot, first_bytes};

/// Number of items of a page, unless the request names another.
pub const DEFAULT_PAGE: usize = 50;
/// Largest number of items of a page.
pub const LARGEST_PAGE: usize = 100;

/// Part of a catalog that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// Number of items, 1 to [`LARGEST_PAGE`].
    limit: usize,
    /// Id after which the page begins.
    cursor: Option<String>,
    /// Category of the items.
    category: Option<String>,
}

/// One page of a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogPage {
    /// CatalogPage as JSON.
    pub body: String,
    /// Entity tag: the same body has the same tag.
    pub etag: String,
}

impl PageQuery {
    /// Parses the query parameters `limit`, `cursor` and `category`.
    ///
    /// # Errors
    /// The public sentence about the first one that is wrong.
    pub fn parse(limit: Option<&str>, cursor: Option<&str>, category: Option<&str>) -> Result<Self, String> {
        // Check each parameter; ids and categories have their usual form.
        let limit = match limit {
            None => DEFAULT_PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LARGEST_PAGE).contains(limit))
                .ok_or_else(|| format!("'limit' is a number of items, 1 to {LARGEST_PAGE}."))?,
        };
        if cursor.is_some_and(|cursor| !is_word(cursor, LONGEST_ID)) {
            return Err("'cursor' is not the 'next_cursor' of a page.".to_owned());
        }
        if category.is_some_and(|category| !is_word(category, LONGEST_WORD)) {
            return Err("'category' is not the category of an item.".to_owned());
        }
        Ok(Self { limit, cursor: cursor.map(str::to_owned), category: category.map(str::to_owned) })
    }
}

impl CatalogSnapshot {
    /// Returns the page that `query` asks for. Pages that were begun before a change go on after it: each begins after
    /// an id, whether that item still exists or not.
    pub fn page(&self, catalog: Catalog, query: &PageQuery) -> CatalogPage {
        // Take one item more than the page holds, to know if there is a next page.
        let is_wanted = |category: &str| query.category.as_ref().is_none_or(|wanted| wanted == category);
        let begins = match &query.cursor {
            Some(cursor) => self.items.partition_point(|item| item.id.as_str() <= cursor.as_str()),
            None => 0,
        };
        let mut items = self.items[begins..].iter().filter(|item| item.is_listed && is_wanted(&item.category));
        let page: Vec<_> = items.by_ref().take(query.limit).collect();
        let next = page.last().filter(|_| items.next().is_some()).map(|item| item.id.as_str());
        // Join the rendered items. Ids need no escaping.
        let bodies = page.iter().map(|item| item.body.as_str()).collect::<Vec<_>>().join(",");
        let cursor = next.map_or_else(|| "null".to_owned(), |id| format!("\"{id}\""));
        let body = format!(r#"{{"catalog":"{catalog}","items":[{bodies}],"next_cursor":{cursor}}}"#);
        // The tag is made of the items' own tags, which costs less than the whole text.
        let mut hasher = Sha256::new();
        page.iter().for_each(|item| hasher.update(item.tag.to_be_bytes()));
        hasher.update(&cursor);
        CatalogPage { body, etag: format!("\"{:016x}\"", first_bytes(hasher.finalize().as_slice())) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::catalogs::{CatalogItem, ItemStatus};

    /// Returns a snapshot of items with the given ids; the category is the id's first letter, and items with an `x` are
    /// retired.
    fn snapshot(ids: &[&str]) -> CatalogSnapshot {
        let item = |id: &&str| CatalogItem {
            id: (*id).to_owned(),
            category: id[..1].to_owned(),
            status: if id.contains('x') { ItemStatus::Retired } else { ItemStatus::Available },
            ..CatalogItem::default()
        };
        CatalogSnapshot::new(ids.iter().map(item).collect())
    }

    fn ids(page: &CatalogPage) -> (Vec<String>, Value) {
        let json: Value = serde_json::from_str(&page.body).unwrap();
        let items = json["items"].as_array().unwrap();
        (items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect(), json["next_cursor"].clone())
    }

    fn page(
        snapshot: &CatalogSnapshot,
        limit: &str,
        cursor: Option<&str>,
        category: Option<&str>,
    ) -> (Vec<String>, Value) {
        let query = PageQuery::parse(Some(limit), cursor, category).unwrap();
        ids(&snapshot.page(Catalog::Modules, &query))
    }

    fn found(ids: &[&str], next: Value) -> (Vec<String>, Value) {
        (ids.iter().map(|id| (*id).to_owned()).collect(), next)
    }

    #[test]
    fn pages_follow_each_other_in_the_order_of_ids_without_what_is_retired() {
        let all = snapshot(&["b1", "a2", "a1", "ax", "c1"]);
        assert_eq!(page(&all, "2", None, None), found(&["a1", "a2"], json!("a2")));
        assert_eq!(page(&all, "2", Some("a2"), None), found(&["b1", "c1"], Value::Null));
        assert_eq!(page(&all, "1", None, Some("a")), found(&["a1"], json!("a1")));
        assert_eq!(page(&all, "1", Some("a1"), Some("a")), found(&["a2"], Value::Null));
        assert_eq!(page(&all, "9", Some("b0"), None), found(&["b1", "c1"], Value::Null), "an id that is gone");
        assert_eq!(page(&all, "9", None, Some("z")), found(&[], Value::Null));
        assert_eq!(page(&CatalogSnapshot::default(), "9", None, None), found(&[], Value::Null));
        assert!(all.item("ax").is_some_and(|item| !item.is_listed) && all.item("a").is_none());
    }

    #[test]
    fn a_tag_changes_with_the_body_and_only_with_it() {
        let (one, other) = (snapshot(&["a1", "a2", "b1"]), snapshot(&["a1", "a2", "c1"]));
        let tag = |snapshot: &CatalogSnapshot, limit: &str, category: Option<&str>| {
            snapshot.page(Catalog::Modules, &PageQuery::parse(Some(limit), None, category).unwrap()).etag
        };
        assert_ne!(tag(&one, "3", None), tag(&other, "3", None));
        assert_eq!(tag(&one, "2", None), tag(&other, "2", None));
        assert_eq!(tag(&one, "3", Some("a")), tag(&other, "3", Some("a")));
        assert_ne!(tag(&one, "2", None), tag(&one, "2", Some("a")), "the latter has no next page");
        assert_eq!(one.item("a1").unwrap().etag(), other.item("a1").unwrap().etag());
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        for limit in ["0", "101", "-1", "ten", ""] {
            assert!(PageQuery::parse(Some(limit), None, None).unwrap_err().contains("1 to 100"), "{limit}");
        }
        assert!(PageQuery::parse(None, Some("A b"), None).unwrap_err().contains("'cursor'"));
        assert!(PageQuery::parse(None, None, Some("a/b")).unwrap_err().contains("'category'"));
        assert_eq!(PageQuery::parse(None, None, None).unwrap().limit, DEFAULT_PAGE);
    }
}
