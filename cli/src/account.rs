//! `levee account`: the customers of the platform.

use anyhow::bail;
use levee::accounts::{Account, AccountDetail, Creation, Deletion, Status};
use levee::limits::versions::RecordId;
use serde_json::json;

use crate::consent::Consent;
use crate::context::Context;
use crate::output::{Changes, fields, table};
use crate::place;
use crate::views::{AccountView, IntegrationView, KeyView, LimitView};

/// Number of accounts per read.
const PAGE: usize = 100;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List all accounts
    #[command(after_help = "Examples:\n  levee account list\n  levee account list --local --json")]
    List,
    /// Show an account with its integrations and keys, and what was changed about their limits
    #[command(after_help = "Examples:\n  levee account show acme")]
    Show {
        /// The account's id
        #[arg(value_parser = place::id)]
        id: String,
    },
    /// Create an account
    #[command(after_help = "Examples:\n  levee account create acme --name 'Acme Logistics'")]
    Create {
        /// The account's id, for good: 1 to 64 lower-case letters, digits and hyphens
        #[arg(value_parser = place::id)]
        id: String,
        /// Its name for people
        #[arg(long, value_parser = place::name)]
        name: String,
    },
    /// Change an account
    #[command(after_help = "Examples:\n  levee account set acme --name 'Acme International'")]
    Set {
        /// The account's id
        #[arg(value_parser = place::id)]
        id: String,
        /// Its name for people
        #[arg(long, value_parser = place::name)]
        name: String,
    },
    /// Refuse all calls of an account, at once
    #[command(after_help = "Examples:\n  levee account suspend acme")]
    Suspend {
        /// The account's id
        #[arg(value_parser = place::id)]
        id: String,
    },
    /// Take the calls of a suspended account again, at once
    #[command(after_help = "Examples:\n  levee account resume acme")]
    Resume {
        /// The account's id
        #[arg(value_parser = place::id)]
        id: String,
    },
    /// Delete an account that has no integrations; its usage stays
    #[command(after_help = "Examples:\n  levee account delete acme\n  levee account delete acme --yes")]
    Delete {
        /// The account's id
        #[arg(value_parser = place::id)]
        id: String,
        #[command(flatten)]
        consent: Consent,
    },
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List => list(context).await,
            Self::Show { id } => show(context, id).await,
            Self::Create { id, name } => create(context, id, name).await,
            Self::Set { id, name } => set(context, id, name).await,
            Self::Suspend { id } => set_status(context, id, Status::Suspended, "account.suspend").await,
            Self::Resume { id } => set_status(context, id, Status::Active, "account.resume").await,
            Self::Delete { id, consent } => delete(context, id, consent).await,
        }
    }
}

/// Reads all accounts, by id.
pub(crate) async fn all(context: &Context) -> anyhow::Result<Vec<Account>> {
    let (mut accounts, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = context.target.accounts.accounts(after.as_deref(), PAGE).await?;
        accounts.extend(page);
        after = next;
        if after.is_none() {
            return Ok(accounts);
        }
    }
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let accounts: Vec<_> = all(context).await?.iter().map(|it| AccountView::new(it, context.now())).collect();
    context.output.list(&accounts, AccountView::HEADERS, "there are no accounts", AccountView::row)
}

async fn show(context: &Context, id: &str) -> anyhow::Result<()> {
    let AccountDetail { account, integrations, keys, more } = context.account(id).await?;
    let now = context.now();
    let account = AccountView::new(&account, now);
    let integrations: Vec<_> = integrations.iter().map(|it| IntegrationView::new(id, it, now)).collect();
    let keys: Vec<_> = keys.iter().map(|key| KeyView::new(key, now)).collect();
    // For programs: one object with integrations and keys.
    let mut json = serde_json::to_value(&account)?;
    json["integrations"] = serde_json::to_value(&integrations)?;
    json["keys"] = serde_json::to_value(&keys)?;
    json["more"] = more.into();
    context.output.say(&json, || {
        // For people: the account, then tables of integrations, keys and overrides of limits.
        let mut text = fields(&account.fields());
        let rows: Vec<_> = integrations.iter().map(IntegrationView::row).collect();
        if !rows.is_empty() {
            text += &format!("\n{}", table(IntegrationView::HEADERS, &rows));
        }
        let limits = account.limits.iter().chain(integrations.iter().flat_map(|it| &it.limits));
        let limits = limits.chain(keys.iter().flat_map(|key| &key.limits));
        let rows: Vec<_> = keys.iter().map(KeyView::row).collect();
        if !rows.is_empty() {
            text += &format!("\n{}", table(KeyView::HEADERS, &rows));
        }
        text += &LimitView::below(limits);
        if more {
            text += "\nThere are more; list them with: levee integration list, levee key list\n";
        }
        text
    })
}

async fn create(context: &Context, id: &str, name: &str) -> anyhow::Result<()> {
    let account = Account::new(id, name, context.now());
    // Prepare the write, which `change` runs after the audit.
    let creating = async {
        match context.target.accounts.create_account(&account).await? {
            Creation::Done => Ok(()),
            _ => bail!("there is an account {id} already; see it with: levee account show {id}"),
        }
    };
    context.change("account.create", id, format!("name '{name}'"), creating).await?;
    context.output.say(&AccountView::new(&account, context.now()), || format!("account {id} is created"))
}

async fn set(context: &Context, id: &str, name: &str) -> anyhow::Result<()> {
    let account = context.account(id).await?.account;
    let changes = Changes::default().add("name", &account.name, name);
    if !changes.are_none() {
        // The write is conditional, and fails if another operator made a change in between.
        let renaming = async {
            if context.target.accounts.rename_account(&account, name).await? {
                return Ok(());
            }
            bail!("another operator changed account {id} at this moment; look at it with: levee account show {id}")
        };
        context.change("account.set", id, changes.sentence(), renaming).await?;
    }
    changes.tell(&context.output, "account", id, None)
}

async fn set_status(context: &Context, id: &str, status: Status, action: &str) -> anyhow::Result<()> {
    let account = context.account(id).await?.account;
    let changes = Changes::default().add("status", account.status, status);
    let marked = [RecordId::Account(id.to_owned())];
    let mut effective = None;
    // Publish again if nothing is to be changed: an earlier change may not have been published.
    if changes.are_none() {
        context.publish_again(&marked).await;
    } else {
        let setting = async {
            if context.target.accounts.set_account_status(id, status).await? {
                return Ok(());
            }
            bail!("another operator deleted account {id} at this moment")
        };
        effective = Some(context.change_and_publish(action, id, changes.sentence(), &marked, setting).await?.1);
    }
    changes.tell(&context.output, "account", id, effective)
}

async fn delete(context: &Context, id: &str, consent: &Consent) -> anyhow::Result<()> {
    let account = context.account(id).await?.account;
    // Ask before anything is changed.
    consent.ask(&format!("Delete account {id} ({})?", account.name))?;
    let deleting = async {
        match context.target.accounts.delete_account(id).await? {
            Deletion::Done => Ok(()),
            Deletion::NotFound => bail!("another operator deleted account {id} at this moment"),
            Deletion::InUse => {
                bail!("account {id} has integrations; delete them first: levee integration list {id}")
            }
        }
    };
    let (marked, detail) = ([RecordId::Account(id.to_owned())], format!("name '{}'", account.name));
    let ((), effective) = context.change_and_publish("account.delete", id, detail, &marked, deleting).await?;
    effective.tell();
    let json = json!({ "id": id, "deleted": true, "effective": effective });
    context.output.say(&json, || format!("account {id} is deleted"))
}
