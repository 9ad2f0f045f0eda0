//! `levee catalog`: items of the catalogs that every account reads.

mod import;
mod set;

use std::path::PathBuf;

use anyhow::Context as _;
use levee::catalogs::plan::FieldChange;
use levee::catalogs::{Catalog, CatalogItem, ItemStatus};
use serde_json::{Value, json};

use crate::consent::Consent;
use crate::context::Context;
use crate::output::{NOTHING, fields, moment, or_nothing};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the items of a catalog, retired ones included
    #[command(after_help = "\
Examples:
  levee catalog list modules
  levee catalog list integration-providers --category crm --json")]
    List {
        /// Which one: modules, starter-packs or integration-providers
        catalog: Catalog,
        /// Only items of this category
        #[arg(long)]
        category: Option<String>,
    },
    /// Show one item
    #[command(after_help = "Examples:\n  levee catalog show modules crm-sync")]
    Show {
        /// Which one: modules, starter-packs or integration-providers
        catalog: Catalog,
        /// The item's id
        id: String,
    },
    /// Create or change one item, at once; what is not given stays as it is
    ///
    /// A new item needs a name, a summary, a category, a version and a publisher. A retired item is offered again with
    /// --status available.
    #[command(after_help = "\
Examples:
  levee catalog set modules crm-sync --name 'CRM sync' --summary 'Keeps contacts in step.' --category crm --version 2.1.0 --publisher Acme --link documentation=https://acme.example/docs --requires platform@>=3.2
  levee catalog set modules crm-sync --status deprecated
  levee catalog set modules crm-sync --no-links")]
    Set {
        /// Which one: modules, starter-packs or integration-providers
        catalog: Catalog,
        /// The item's id: lower-case letters, digits and hyphens
        id: String,
        #[command(flatten)]
        change: Box<set::ItemArgs>,
    },
    /// Retire an item, at once: lists no longer name it, and accounts that use it can still read it
    #[command(after_help = "Examples:\n  levee catalog delete modules crm-sync --yes")]
    Delete {
        /// Which one: modules, starter-packs or integration-providers
        catalog: Catalog,
        /// The item's id
        id: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Create and change items by a JSON file, such as an export
    ///
    /// The whole file is checked before anything is written; with one mistake in it nothing is. Up to 98 changes are
    /// written together or not at all. More are written in several parts: if one fails, those before it stay, the report
    /// says so, and the same command goes on from there. An item with a revision, as exports have it, is not written if
    /// the stored one was changed since.
    #[command(after_help = "\
Examples:
  levee catalog import modules modules.json --dry-run
  levee catalog import modules modules.json --retire-others --yes
  levee catalog import modules - --json")]
    Import {
        /// Which one: modules, starter-packs or integration-providers
        catalog: Catalog,
        /// The file, or - for standard input
        file: PathBuf,
        /// Say what would be changed, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Retire the items that the file lacks
        #[arg(long)]
        retire_others: bool,
        /// Overwrite items that were changed after they were exported, too
        #[arg(long)]
        ignore_revisions: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Print a catalog as JSON, retired items included, as an import takes it
    #[command(after_help = "Examples:\n  levee catalog export modules")]
    Export {
        /// Which one: modules, starter-packs or integration-providers
        catalog: Catalog,
    },
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { catalog, category } => list(context, *catalog, category.as_deref()).await,
            Self::Show { catalog, id } => show(context, *catalog, id).await,
            Self::Set { catalog, id, change } => set::set(context, *catalog, id, change).await,
            Self::Delete { catalog, id, consent } => set::delete(context, *catalog, id, consent).await,
            Self::Import { catalog, file, dry_run, retire_others, ignore_revisions, consent } => {
                let options = import::options(*retire_others, *ignore_revisions);
                import::import(context, *catalog, file, options, *dry_run, consent).await
            }
            Self::Export { catalog } => export(context, *catalog).await,
        }
    }
}

const HEADERS: &[&str] = &["ID", "NAME", "CATEGORY", "VERSION", "STATUS", "PUBLISHER", "UPDATED"];

async fn list(context: &Context, catalog: Catalog, category: Option<&str>) -> anyhow::Result<()> {
    let items = context.target.catalogs.read(catalog).await?.items;
    let items = items.into_iter().filter(|item| category.is_none_or(|category| item.category == category));
    let views: Vec<Value> = items.map(|item| view(&item)).collect();
    let none = "the catalog has no such item";
    context.output.list(&views, HEADERS, none, |view| {
        let text = |value: &Value| value.as_str().unwrap_or(NOTHING).to_owned();
        let names = ["id", "name", "category", "version", "status"].map(|name| text(&view[name]));
        names.into_iter().chain([text(&view["publisher"]["name"]), text(&view["updated_at"])]).collect()
    })
}

async fn show(context: &Context, catalog: Catalog, id: &str) -> anyhow::Result<()> {
    let item = existing(context, catalog, id).await?;
    context.output.say(&view(&item), || fields(&rows(&item)))
}

async fn export(context: &Context, catalog: Catalog) -> anyhow::Result<()> {
    let items = context.target.catalogs.read(catalog).await?.items;
    let items: Vec<Value> = items.iter().map(view).collect();
    let export = json!({ "catalog": catalog.name(), "exported_at": context.now().to_rfc3339(), "items": items });
    context.output.say(&export, || format!("{export:#}"))
}

/// Returns an item for programs, with its revision and the time of its last write.
fn view(item: &CatalogItem) -> Value {
    let mut view = item.public();
    view["revision"] = json!(item.revision);
    view
}

/// Returns an item for people, as labels and values.
fn rows(item: &CatalogItem) -> Vec<(String, String)> {
    let row = |label: &str, value: &str| (label.to_owned(), value.to_owned());
    let mut rows = vec![
        row("id", &item.id),
        row("name", &item.name),
        row("summary", &item.summary),
        row("category", &item.category),
        row("version", &item.version),
        row("status", &item.status.to_string()),
        row("publisher", &item.publisher.name),
        row("publisher url", &or_nothing(&item.publisher.url)),
    ];
    // Lists have a row for each entry.
    rows.extend(item.links.iter().map(|link| row(&format!("link {}", link.rel), &link.url)));
    rows.extend(item.requirements.iter().map(|it| row(&format!("requires {}", it.id), &or_nothing(&it.version))));
    rows.extend([
        row("revision", &item.revision.to_string()),
        row("updated", &or_nothing(&moment(Some(item.updated_at)))),
    ]);
    rows
}

/// Reads an item. Fails if it does not exist.
async fn existing(context: &Context, catalog: Catalog, id: &str) -> anyhow::Result<CatalogItem> {
    let found = context.target.catalogs.item(catalog, id).await?;
    found.with_context(|| format!("there is no item {id} in {catalog}; list them with: levee catalog list {catalog}"))
}

/// Returns the changes of fields in one sentence: `name "A" -> "B", status "beta" -> "available"`.
fn sentence(changes: &[FieldChange]) -> String {
    let text = |value: &Value| if value.is_null() { NOTHING.to_owned() } else { value.to_string() };
    let parts = changes.iter().map(|it| format!("{} {} -> {}", it.field, text(&it.from), text(&it.to)));
    parts.collect::<Vec<_>>().join(", ")
}

/// Returns true if lists no longer name the item.
fn is_retired(item: &CatalogItem) -> bool {
    item.status == ItemStatus::Retired
}
