//! Changes of one item.

use anyhow::bail;
use clap::{ArgGroup, ValueEnum};
use levee::catalogs::plan::{PlannedChange, change};
use levee::catalogs::{Catalog, CatalogItem, ItemLink, ItemStatus, Requirement, WriteOutcome, form};
use serde_json::json;

use super::{existing, is_retired, sentence};
use crate::consent::Consent;
use crate::context::Context;
use crate::error::usage;

/// Fields of an item that are to be other ones.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("field").required(true).multiple(true))]
pub(crate) struct ItemArgs {
    /// The name for people
    #[arg(long, group = "field")]
    name: Option<String>,
    /// The description, in a few sentences
    #[arg(long, group = "field")]
    summary: Option<String>,
    /// The category by which customers filter
    #[arg(long, group = "field")]
    category: Option<String>,
    /// The item's version
    #[arg(long, group = "field", value_name = "VERSION")]
    version: Option<String>,
    /// The status
    #[arg(long, group = "field", value_enum)]
    status: Option<StatusArg>,
    /// The publisher's name
    #[arg(long, group = "field", value_name = "NAME")]
    publisher: Option<String>,
    /// The publisher's website
    #[arg(long, group = "field", value_name = "URL")]
    publisher_url: Option<String>,
    /// A link; given several times, all of them. They replace those that are there
    #[arg(long = "link", group = "field", value_name = "REL=URL", value_parser = link)]
    links: Vec<ItemLink>,
    /// No links any more
    #[arg(long, group = "field", conflicts_with = "links")]
    no_links: bool,
    /// A requirement; given several times, all of them. They replace those that are there
    #[arg(long = "requires", group = "field", value_name = "ID[@VERSION]", value_parser = requirement)]
    requirements: Vec<Requirement>,
    /// No requirements any more
    #[arg(long, group = "field", conflicts_with = "requirements")]
    no_requirements: bool,
}

/// Status of an item.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum StatusArg {
    /// Offered
    Available,
    /// Offered for trial
    Beta,
    /// Still offered, but not for new use
    Deprecated,
    /// No longer listed
    Retired,
}

impl From<StatusArg> for ItemStatus {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Available => Self::Available,
            StatusArg::Beta => Self::Beta,
            StatusArg::Deprecated => Self::Deprecated,
            StatusArg::Retired => Self::Retired,
        }
    }
}

fn link(text: &str) -> Result<ItemLink, &'static str> {
    let (rel, url) = text.split_once('=').ok_or("it has the form REL=URL, such as documentation=https://…")?;
    Ok(ItemLink { rel: rel.to_owned(), url: url.to_owned() })
}

#[expect(clippy::unnecessary_wraps, reason = "clap's parsers return results")]
fn requirement(text: &str) -> Result<Requirement, &'static str> {
    Ok(match text.split_once('@') {
        Some((id, version)) => Requirement { id: id.to_owned(), version: Some(version.to_owned()) },
        None => Requirement { id: text.to_owned(), version: None },
    })
}

impl ItemArgs {
    /// Returns `item` with the given fields.
    fn applied_to(&self, mut item: CatalogItem) -> CatalogItem {
        let texts = [
            (&mut item.name, &self.name),
            (&mut item.summary, &self.summary),
            (&mut item.category, &self.category),
            (&mut item.version, &self.version),
            (&mut item.publisher.name, &self.publisher),
        ];
        for (field, given) in texts {
            if let Some(given) = given {
                field.clone_from(given);
            }
        }
        item.status = self.status.map_or(item.status, ItemStatus::from);
        // An empty address removes it.
        match self.publisher_url.as_deref() {
            Some("") => item.publisher.url = None,
            Some(url) => item.publisher.url = Some(url.to_owned()),
            None => {}
        }
        // A list is replaced as a whole.
        if self.no_links || !self.links.is_empty() {
            item.links.clone_from(&self.links);
        }
        if self.no_requirements || !self.requirements.is_empty() {
            item.requirements.clone_from(&self.requirements);
        }
        item
    }
}

pub(super) async fn set(context: &Context, catalog: Catalog, id: &str, args: &ItemArgs) -> anyhow::Result<()> {
    // Apply the given fields to the stored item or to a new one, and check the result.
    let there = context.target.catalogs.item(catalog, id).await?;
    let base = there.clone().unwrap_or_else(|| CatalogItem { id: id.to_owned(), ..CatalogItem::default() });
    let item = args.applied_to(base);
    if let Err(mistakes) = form::check(&item) {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        return Err(usage(format!("the item {id} may not be written so: {}", lines.join("; "))));
    }
    match change(there.as_ref(), item) {
        Some(planned) => write(context, catalog, "catalog.set", &planned).await,
        None => {
            // An earlier write may not have been published.
            context.publish_catalogs_again().await;
            let json = json!({ "catalog": catalog.name(), "id": id, "changed": [] });
            context
                .output
                .say(&json, || format!("item {id} of {catalog} already has these values; nothing was changed"))
        }
    }
}

pub(super) async fn delete(context: &Context, catalog: Catalog, id: &str, consent: &Consent) -> anyhow::Result<()> {
    let there = existing(context, catalog, id).await?;
    // Retire it once, and only if the operator means it.
    if is_retired(&there) {
        bail!("item {id} of {catalog} is retired already");
    }
    consent.ask(&format!("Retire item {id} ({}) of {catalog}?", there.name))?;
    let retired = CatalogItem { status: ItemStatus::Retired, ..there.clone() };
    match change(Some(&there), retired) {
        Some(planned) => write(context, catalog, "catalog.delete", &planned).await,
        None => Ok(()),
    }
}

/// Writes one change, and prints it.
async fn write(context: &Context, catalog: Catalog, action: &str, planned: &PlannedChange) -> anyhow::Result<()> {
    let id = &planned.item.id;
    let (target, detail) = (format!("{catalog}/{id}"), sentence(&planned.fields));
    let writing = async {
        match context.target.catalogs.write(catalog, std::slice::from_ref(&planned.item), context.now()).await? {
            WriteOutcome::Written(..) => Ok(()),
            WriteOutcome::Overtaken(_) => {
                bail!("another operator changed {id} at this moment")
            }
        }
    };
    let ((), effective) = context.change_catalogs(action, &target, detail.clone(), writing).await?;
    effective.tell();
    let json = json!({
        "catalog": catalog.name(), "id": id, "change": planned.kind, "changed": planned.fields, "effective": effective,
    });
    context.output.say(&json, || format!("item {id} of {catalog}: {detail}"))
}
