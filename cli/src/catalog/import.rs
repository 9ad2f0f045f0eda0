//! Imports of many items.

use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, bail};
use levee::catalogs::plan::{ChangeKind, ImportOptions, ImportPlan, LARGEST_FILE, PlannedChange, plan};
use levee::catalogs::{Catalog, CatalogItem, MOST_WRITES, WriteOutcome};
use serde_json::{Value, json};

use super::sentence;
use crate::consent::Consent;
use crate::context::Context;
use crate::effect::Effect;
use crate::error::usage;
use crate::output::{aside, table};

/// Number of ids that the audit's entry of an import names.
const NAMED: usize = 20;

pub(super) fn options(retires_others: bool, ignores_revisions: bool) -> ImportOptions {
    ImportOptions { retires_others, ignores_revisions }
}

pub(super) async fn import(
    context: &Context,
    catalog: Catalog,
    file: &Path,
    options: ImportOptions,
    dry_run: bool,
    consent: &Consent,
) -> anyhow::Result<()> {
    // Check the whole file, and compare it with what is stored.
    let file = read(file)?;
    let stored = context.target.catalogs.read(catalog).await?;
    let planned = plan(catalog, &stored.items, &file, options).map_err(|mistakes| {
        mistakes.iter().for_each(|mistake| aside(&mistake.to_string()));
        usage(format!("the file has {} mistake(s); nothing was changed", mistakes.len()))
    })?;
    let mut json = json!({
        "catalog": catalog.name(),
        "dry_run": dry_run,
        "changes": planned.changes.iter().map(json_of).collect::<Vec<_>>(),
        "unchanged": planned.unchanged,
    });
    if dry_run {
        return context.output.say(&json, || differences(&planned));
    }
    if planned.changes.is_empty() {
        // An earlier import may not have been published.
        context.publish_catalogs_again().await;
        return context.output.say(&json, || format!("{catalog} is as in the file already; nothing was changed"));
    }
    // Ask before anything is retired.
    let retired = count(&planned.changes, ChangeKind::Retire);
    if retired > 0 {
        consent.ask(&format!("Retire {retired} item(s) of {catalog}?"))?;
    }

    // Write the parts, each of them whole.
    let mut written = 0;
    let mut effective = Effect::AtOnce;
    for part in planned.changes.chunks(MOST_WRITES) {
        match write(context, catalog, part).await {
            Ok(effect) => effective = effect,
            Err(error) if written > 0 => {
                let all = planned.changes.len();
                let report = format!("{written} of {all} changes were made; the same command makes the rest");
                return Err(error.context(report));
            }
            Err(error) => return Err(error),
        }
        written += part.len();
    }
    effective.tell();
    json["effective"] = json!(effective);
    context.output.say(&json, || format!("{catalog}: {}, {} unchanged", summary(&planned.changes), planned.unchanged))
}

/// Writes one part, with an entry in the audit.
async fn write(context: &Context, catalog: Catalog, part: &[PlannedChange]) -> anyhow::Result<Effect> {
    // Describe the part for the audit, by its first ids.
    let items: Vec<CatalogItem> = part.iter().map(|change| change.item.clone()).collect();
    let mut ids = part.iter().take(NAMED).map(|change| change.item.id.as_str()).collect::<Vec<_>>().join(", ");
    if part.len() > NAMED {
        ids = format!("{ids} and {} more", part.len() - NAMED);
    }
    let detail = format!("{}: {ids}", summary(part));
    let writing = async {
        match context.target.catalogs.write(catalog, &items, context.now()).await? {
            WriteOutcome::Written(..) => Ok(()),
            WriteOutcome::Overtaken(overtaken) => {
                let ids = overtaken.iter().map(|it| it.id.as_str()).collect::<Vec<_>>().join(", ");
                bail!("another operator changed {ids} at this moment; none of this part was written")
            }
        }
    };
    let ((), effective) = context.change_catalogs("catalog.import", catalog.name(), detail, writing).await?;
    Ok(effective)
}

/// Reads a file, or standard input, as JSON.
fn read(file: &Path) -> anyhow::Result<Value> {
    let mut bytes = Vec::new();
    let most = LARGEST_FILE as u64 + 1;
    // Read one byte more than the limit, to notice a larger file without reading it.
    if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        opened.take(most).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", file.display()))?;
    }
    if bytes.len() > LARGEST_FILE {
        bail!("{} has more than {LARGEST_FILE} bytes, which no catalog has", file.display());
    }
    serde_json::from_slice(&bytes).map_err(|error| usage(format!("{} is not JSON: {error}", file.display())))
}

fn json_of(change: &PlannedChange) -> Value {
    json!({ "change": change.kind, "id": change.item.id, "fields": change.fields })
}

fn count(changes: &[PlannedChange], kind: ChangeKind) -> usize {
    changes.iter().filter(|change| change.kind == kind).count()
}

/// Returns the numbers of changes: `2 created, 1 updated, 0 retired`.
fn summary(changes: &[PlannedChange]) -> String {
    let [created, updated, retired] =
        [ChangeKind::Create, ChangeKind::Update, ChangeKind::Retire].map(|kind| count(changes, kind));
    format!("{created} created, {updated} updated, {retired} retired")
}

/// Formats the changes of a dry run.
fn differences(plan: &ImportPlan) -> String {
    let row = |change: &PlannedChange| {
        let what = match change.kind {
            ChangeKind::Create => change.item.name.clone(),
            ChangeKind::Update | ChangeKind::Retire => sentence(&change.fields),
        };
        vec![change.kind.name().to_owned(), change.item.id.clone(), what]
    };
    let rows: Vec<Vec<String>> = plan.changes.iter().map(row).collect();
    aside(&format!(
        "Nothing was changed. The import would be: {}, {} unchanged",
        summary(&plan.changes),
        plan.unchanged
    ));
    if rows.is_empty() { String::new() } else { table(&["CHANGE", "ID", "FIELDS"], &rows) }
}
