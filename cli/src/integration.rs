//! `levee integration`: an account's connected systems.

use anyhow::bail;
use clap::ValueEnum;
use levee::accounts::{Creation, Deletion, Integration, IntegrationKind, Status};
use serde_json::json;

use crate::consent::Consent;
use crate::context::Context;
use crate::output::{Changes, fields};
use crate::place::{self, Place};
use crate::views::{IntegrationView, LimitView};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List an account's integrations
    #[command(after_help = "Examples:\n  levee integration list acme")]
    List {
        /// The account's id
        #[arg(value_parser = place::id)]
        account: String,
    },
    /// Show an integration, and what was changed about its limits
    #[command(after_help = "Examples:\n  levee integration show acme/crm")]
    Show {
        /// Which one
        #[arg(value_name = "ACCOUNT/INTEGRATION")]
        place: Place,
    },
    /// Create an integration of an account
    #[command(after_help = "\
Examples:
  levee integration create acme/crm --name 'Customer desk'
  levee integration create acme/operator --name 'AI Operator' --kind ai-operator")]
    Create {
        /// Which one, for good: ids have 1 to 64 lower-case letters, digits and hyphens
        #[arg(value_name = "ACCOUNT/INTEGRATION")]
        place: Place,
        /// Its name for people
        #[arg(long, value_parser = place::name)]
        name: String,
        /// What kind it is
        #[arg(long, value_enum, default_value_t = KindArgument::Customer)]
        kind: KindArgument,
    },
    /// Change an integration
    #[command(after_help = "Examples:\n  levee integration set acme/crm --name 'Service desk'")]
    Set {
        /// Which one
        #[arg(value_name = "ACCOUNT/INTEGRATION")]
        place: Place,
        /// Its name for people
        #[arg(long, value_parser = place::name)]
        name: String,
    },
    /// Refuse all calls of an integration, at once
    #[command(after_help = "Examples:\n  levee integration suspend acme/crm")]
    Suspend {
        /// Which one
        #[arg(value_name = "ACCOUNT/INTEGRATION")]
        place: Place,
    },
    /// Take the calls of a suspended integration again, at once
    #[command(after_help = "Examples:\n  levee integration resume acme/crm")]
    Resume {
        /// Which one
        #[arg(value_name = "ACCOUNT/INTEGRATION")]
        place: Place,
    },
    /// Delete an integration that has no live keys, and with it its revoked and expired ones
    #[command(after_help = "Examples:\n  levee integration delete acme/crm")]
    Delete {
        /// Which one
        #[arg(value_name = "ACCOUNT/INTEGRATION")]
        place: Place,
        #[command(flatten)]
        consent: Consent,
    },
}

/// What kind of integration it is.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum KindArgument {
    /// A system of the customer's
    Customer,
    /// The platform's own AI Operator, working for the customer
    AiOperator,
}

impl From<KindArgument> for IntegrationKind {
    fn from(kind: KindArgument) -> Self {
        match kind {
            KindArgument::Customer => Self::Customer,
            KindArgument::AiOperator => Self::AiOperator,
        }
    }
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { account } => list(context, account).await,
            Self::Show { place } => {
                let view = IntegrationView::new(&place.account, &context.integration(place).await?, context.now());
                context.output.say(&view, || fields(&view.fields()) + &LimitView::below(&view.limits))
            }
            Self::Create { place, name, kind } => create(context, place, name, (*kind).into()).await,
            Self::Set { place, name } => set(context, place, name).await,
            Self::Suspend { place } => set_status(context, place, Status::Suspended, "integration.suspend").await,
            Self::Resume { place } => set_status(context, place, Status::Active, "integration.resume").await,
            Self::Delete { place, consent } => delete(context, place, consent).await,
        }
    }
}

async fn list(context: &Context, account: &str) -> anyhow::Result<()> {
    // Fail if the account does not exist, so that it is not taken for one without integrations.
    context.account(account).await?;
    let integrations = context.integrations(account).await?;
    let views: Vec<_> = integrations.iter().map(|it| IntegrationView::new(account, it, context.now())).collect();
    let none = format!("account {account} has no integrations");
    context.output.list(&views, IntegrationView::HEADERS, &none, IntegrationView::row)
}

async fn create(context: &Context, place: &Place, name: &str, kind: IntegrationKind) -> anyhow::Result<()> {
    let integration = Integration::new(&place.integration, name, kind, context.now());
    let account = &place.account;
    // Prepare the write, which `change` runs after the audit.
    let creating = async {
        match context.target.accounts.create_integration(account, &integration).await? {
            Creation::Done => Ok(()),
            Creation::AlreadyThere => {
                bail!("there is an integration {place} already; see it with: levee integration show {place}")
            }
            Creation::ParentMissing => {
                bail!("there is no account {account}; create it with: levee account create {account} --name NAME")
            }
        }
    };
    let detail = format!("name '{name}', kind '{kind}'");
    context.change("integration.create", &place.to_string(), detail, creating).await?;
    let view = IntegrationView::new(account, &integration, context.now());
    context.output.say(&view, || format!("integration {place} is created"))
}

async fn set(context: &Context, place: &Place, name: &str) -> anyhow::Result<()> {
    let integration = context.integration(place).await?;
    let changes = Changes::default().add("name", &integration.name, name);
    if !changes.are_none() {
        let renaming = async {
            if context.target.accounts.rename_integration(&place.account, &integration, name).await? {
                return Ok(());
            }
            bail!("another operator changed integration {place} at this moment; see: levee integration show {place}")
        };
        context.change("integration.set", &place.to_string(), changes.sentence(), renaming).await?;
    }
    changes.tell(&context.output, "integration", &place.to_string(), None)
}

async fn set_status(context: &Context, place: &Place, status: Status, action: &str) -> anyhow::Result<()> {
    let integration = context.integration(place).await?;
    let changes = Changes::default().add("status", integration.status, status);
    let marked = [place.marked()];
    let mut effective = None;
    // Publish again if nothing is to be changed: an earlier change may not have been published.
    if changes.are_none() {
        context.publish_again(&marked).await;
    } else {
        let setting = async {
            let accounts = &context.target.accounts;
            if accounts.set_integration_status(&place.account, &place.integration, status).await? {
                return Ok(());
            }
            bail!("another operator deleted integration {place} at this moment")
        };
        let (id, detail) = (place.to_string(), changes.sentence());
        effective = Some(context.change_and_publish(action, &id, detail, &marked, setting).await?.1);
    }
    changes.tell(&context.output, "integration", &place.to_string(), effective)
}

async fn delete(context: &Context, place: &Place, consent: &Consent) -> anyhow::Result<()> {
    let integration = context.integration(place).await?;
    // Ask before anything is changed.
    consent.ask(&format!("Delete integration {place} ({})?", integration.name))?;
    let deleting = async {
        let accounts = &context.target.accounts;
        match accounts.delete_integration(&place.account, &place.integration, context.now()).await? {
            Deletion::Done => Ok(()),
            Deletion::NotFound => bail!("another operator deleted integration {place} at this moment"),
            Deletion::InUse => {
                bail!("integration {place} has live keys; revoke them first: levee key list {place}")
            }
        }
    };
    let (id, marked, detail) = (place.to_string(), [place.marked()], format!("name '{}'", integration.name));
    let ((), effective) = context.change_and_publish("integration.delete", &id, detail, &marked, deleting).await?;
    effective.tell();
    let json = json!({ "id": id, "deleted": true, "effective": effective });
    context.output.say(&json, || format!("integration {id} is deleted"))
}
