//! The plan of an import: the changes that lead from a stored catalog to a file. Pure.
//!
//! A plan is made of the whole file before anything is written. A file with one mistake has no plan.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::form::{self, FieldMistake};
use super::item::{CatalogItem, ItemStatus};
use super::{Catalog, LARGEST_CATALOG, LARGEST_ITEM, MOST_ITEMS};

/// Largest file, bytes.
pub const LARGEST_FILE: usize = 2 * LARGEST_CATALOG + MOST_ITEMS * LARGEST_ITEM / 4;
/// Largest number of mistakes that are reported.
const MOST_MISTAKES: usize = 100;

/// Changes of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportPlan {
    /// Changes, in the order of ids.
    pub changes: Vec<PlannedChange>,
    /// Number of items of the file that are stored as they are in it.
    pub unchanged: usize,
}

/// Change of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// Kind of the change.
    pub kind: ChangeKind,
    /// Item to be written; its revision is the one that it replaces.
    pub item: CatalogItem,
    /// Fields that differ, with their values before and after.
    pub fields: Vec<FieldChange>,
}

/// Kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// The item does not exist yet.
    Create,
    /// The item differs.
    Update,
    /// The file lacks the item.
    Retire,
}

impl ChangeKind {
    /// Returns the name, as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Retire => "retire",
        }
    }
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Name of the field.
    pub field: String,
    /// Present value; null for a new item.
    pub from: Value,
    /// Value in the file.
    pub to: Value,
}

/// Options of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// True to retire the items that the file lacks.
    pub retires_others: bool,
    /// True to replace items that were changed after they were exported.
    pub ignores_revisions: bool,
}

/// Plans the import of `file` into `catalog`, which is stored as `stored`. The file is an export: an object with
/// `catalog` and `items`, or the bare list of items.
///
/// # Errors
/// All mistakes; the fields begin with the position of the item in the file, such as `items[3].name`.
pub fn plan(
    catalog: Catalog,
    stored: &[CatalogItem],
    file: &Value,
    options: ImportOptions,
) -> Result<ImportPlan, Vec<FieldMistake>> {
    let mistake = |field: &str, message: String| FieldMistake { field: field.to_owned(), message };
    // Find the items.
    if let Some(named) = file.get("catalog")
        && named != catalog.name()
    {
        return Err(vec![mistake("catalog", format!("is {named}, and the import is into {catalog}"))]);
    }
    let items = if file.is_array() { file } else { &file["items"] };
    let Some(items) = items.as_array() else {
        return Err(vec![mistake("items", "is a list of items".to_owned())]);
    };
    if items.len() > MOST_ITEMS {
        return Err(vec![mistake("items", format!("has {} items, of at most {MOST_ITEMS}", items.len()))]);
    }

    // Check all items, and compare each with the stored one.
    let by_id: BTreeMap<&str, &CatalogItem> = stored.iter().map(|item| (item.id.as_str(), item)).collect();
    let (mut plan, mut mistakes, mut seen) = (ImportPlan::default(), Vec::new(), BTreeSet::new());
    for (at, value) in items.iter().enumerate() {
        let place = |field: &str| format!("items[{at}].{field}");
        let item = match form::parse(value) {
            Ok(item) => item,
            Err(found) => {
                mistakes.extend(found.into_iter().map(|it| FieldMistake { field: place(&it.field), ..it }));
                continue;
            }
        };
        if !seen.insert(item.id.clone()) {
            mistakes.push(mistake(&place("id"), format!("'{}' is in the file twice", item.id)));
            continue;
        }
        // Compare the revision, if the file has one.
        let there = by_id.get(item.id.as_str()).copied();
        let present = there.map_or(0, |there| there.revision);
        if item.revision != 0 && item.revision != present && !options.ignores_revisions {
            let message = format!("is {}, and the stored item has {present}: it was changed since", item.revision);
            mistakes.push(mistake(&place("revision"), message));
            continue;
        }
        plan.add(there, CatalogItem { revision: present, ..item });
    }
    // Retire what the file lacks.
    if options.retires_others {
        for there in stored.iter().filter(|it| it.status != ItemStatus::Retired && !seen.contains(&it.id)) {
            plan.add(Some(there), CatalogItem { status: ItemStatus::Retired, ..there.clone() });
        }
    }
    if !mistakes.is_empty() {
        mistakes.truncate(MOST_MISTAKES);
        return Err(mistakes);
    }
    plan.changes.sort_by(|one, other| one.item.id.cmp(&other.item.id));
    Ok(plan)
}

/// Plans the write of one item, in place of the stored one.
pub fn change(there: Option<&CatalogItem>, item: CatalogItem) -> Option<PlannedChange> {
    let mut plan = ImportPlan::default();
    plan.add(there, item);
    plan.changes.pop()
}

impl ImportPlan {
    /// Adds the change from `there` to `item`, unless they are the same.
    fn add(&mut self, there: Option<&CatalogItem>, item: CatalogItem) {
        if there.is_some_and(|there| there.is_same(&item)) {
            self.unchanged += 1;
            return;
        }
        // Name the change, then the fields that differ.
        let is_retired = |it: &CatalogItem| it.status == ItemStatus::Retired;
        let kind = match there {
            None => ChangeKind::Create,
            Some(there) if is_retired(&item) && !is_retired(there) => ChangeKind::Retire,
            Some(_) => ChangeKind::Update,
        };
        let (from, to) = (there.map(CatalogItem::content).unwrap_or_default(), item.content());
        let differing = to.as_object().into_iter().flatten().filter(|(field, value)| from[field.as_str()] != **value);
        let fields = differing.map(|(field, value)| FieldChange {
            field: field.clone(),
            from: from[field.as_str()].clone(),
            to: value.clone(),
        });
        let fields = fields.collect();
        self.changes.push(PlannedChange { kind, item, fields });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(id: &str, name: &str) -> Value {
        json!({
            "id": id, "name": name, "summary": "s", "category": "c", "version": "1", "publisher": { "name": "p" },
        })
    }

    fn stored(id: &str, name: &str, revision: u64) -> CatalogItem {
        CatalogItem { revision, updated_at: 7, ..form::parse(&value(id, name)).unwrap() }
    }

    fn planned(file: &Value, options: ImportOptions) -> Result<Vec<String>, Vec<String>> {
        let there = [stored("a", "A", 3), stored("b", "B", 1)];
        let plan = plan(Catalog::Modules, &there, file, options);
        let plan = plan.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let of = |it: &PlannedChange| {
            let fields: Vec<&str> = it.fields.iter().map(|field| field.field.as_str()).collect();
            format!("{} {} {} {}", it.kind.name(), it.item.id, it.item.revision, fields.join(","))
        };
        Ok(plan.changes.iter().map(of).chain([format!("{} unchanged", plan.unchanged)]).collect())
    }

    #[test]
    fn an_import_creates_what_is_new_and_changes_what_differs() {
        let file = json!([value("c", "C"), value("a", "A2"), value("b", "B")]);
        let all = "create c 0 category,id,links,name,publisher,requirements,status,summary,version";
        assert_eq!(planned(&file, ImportOptions::default()).unwrap(), ["update a 3 name", all, "1 unchanged"]);
        let whole = json!({ "catalog": "modules", "items": file });
        assert_eq!(planned(&whole, ImportOptions::default()).unwrap().len(), 3);
    }

    #[test]
    fn what_the_file_lacks_is_retired_only_if_that_was_asked_for() {
        let file = json!([value("a", "A")]);
        let retires = ImportOptions { retires_others: true, ..ImportOptions::default() };
        assert_eq!(planned(&file, ImportOptions::default()).unwrap(), ["1 unchanged"]);
        assert_eq!(planned(&file, retires).unwrap(), ["retire b 1 status", "1 unchanged"]);
    }

    #[test]
    fn an_item_that_was_changed_after_its_export_is_not_overwritten() {
        let mut old = value("a", "A2");
        old["revision"] = json!(2);
        let file = json!([old]);
        let expected = "items[0].revision: is 2, and the stored item has 3: it was changed since";
        assert_eq!(planned(&file, ImportOptions::default()).unwrap_err(), [expected]);
        let forced = ImportOptions { ignores_revisions: true, ..ImportOptions::default() };
        assert_eq!(planned(&file, forced).unwrap(), ["update a 3 name", "0 unchanged"]);
    }

    #[test]
    fn one_mistake_leaves_no_plan_and_all_are_named() {
        let file = json!([value("c", ""), value("d", "D"), value("d", "D"), 7]);
        assert_eq!(
            planned(&file, ImportOptions::default()).unwrap_err(),
            [
                "items[0].name: has 1 to 100 characters",
                "items[2].id: 'd' is in the file twice",
                "items[3].item: is a JSON object",
            ]
        );
        for (file, expected) in [
            (json!({ "catalog": "starter-packs", "items": [] }), "catalog: is \"starter-packs\""),
            (json!({ "item": [] }), "items: is a list of items"),
            (json!(7), "items: is a list of items"),
            (Value::Array(vec![json!({}); 501]), "items: has 501 items, of at most 500"),
        ] {
            let mistakes = planned(&file, ImportOptions::default()).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(expected), "{mistakes:?}");
        }
    }
}
