//! `levee cap`: limits of spending. An account has a cap on tokens per month. Accounts and keys have guards, which
//! limit the cost of one call and the providers that it may use.

mod args;
mod change;
mod view;

use std::str::FromStr;

use levee::accounts::{Account, CapOverride, Guards, KeyRecord};

use self::args::CapChange;
use self::view::{CapDetail, CapView};
use crate::account;
use crate::context::Context;
use crate::key::called;
use crate::output::fields;
use crate::place::{self, Area, Whose};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the accounts whose cap or guards were changed; of one account, the keys too
    #[command(after_help = "Examples:\n  levee cap list\n  levee cap list acme --json")]
    List {
        /// Only this account, and its keys
        #[arg(value_name = "ACCOUNT", value_parser = place::id)]
        account: Option<String>,
    },
    /// Show what an account or a key may spend, and what of it was changed
    #[command(after_help = "Examples:\n  levee cap show acme\n  levee cap show key:4f8KpQ2mZx7R")]
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Change what an account or a key may spend, at once; what is not given stays
    #[command(after_help = "\
Examples:
  levee cap set acme --tokens 5000000
  levee cap set acme --tokens 5000000 --mode block
  levee cap set acme --tokens 0  no cap
  levee cap set acme --tokens default  as all other accounts
  levee cap set acme --models 'claude-haiku-*,claude-sonnet-5-5' --max-tokens 8192
  levee cap set key:4f8KpQ2mZx7R --max-tokens 1024
  levee cap set key:4f8KpQ2mZx7R --models all --max-tokens none
  levee cap set acme --providers primary,backup
  levee cap set acme --providers all
  levee cap set acme --speed standard --service-tier standard_only --server-tools web_search
  levee cap set acme --inference-geo us --unknown-fields allow")]
    Set {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        change: Box<CapChange>,
    },
    /// Take back all that was changed about what an account or a key may spend, at once
    #[command(after_help = "Examples:\n  levee cap delete acme\n  levee cap delete key:4f8KpQ2mZx7R")]
    Delete {
        #[command(flatten)]
        one: One,
    },
}

/// An account or a key.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Who: ACCOUNT or key:KEY_ID
    #[arg(value_name = "WHO")]
    holder: Holder,
}

/// Account or key, which may have a cap or guards.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holder {
    Account(String),
    /// Id of a key as it was given. It is checked only when the key is read: an error here would repeat the text,
    /// which may be a key.
    Key(String),
}

impl FromStr for Holder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |sentence: &str| Err(format!("{sentence}; give ACCOUNT or key:KEY_ID"));
        match text.parse()? {
            Whose::Account(account) => Ok(Self::Account(account)),
            Whose::Key(key) => Ok(Self::Key(key)),
            Whose::Integration(_) => refused("an integration has neither a cap nor guards of its own"),
            Whose::Platform => {
                refused("the cap of all accounts that have none of their own is the stack's AI_TOKEN_CAP_DEFAULT")
            }
        }
    }
}

impl Holder {
    /// Converts to the type that limits use.
    fn whose(&self) -> Whose {
        match self.clone() {
            Self::Account(account) => Whose::Account(account),
            Self::Key(key) => Whose::Key(key),
        }
    }
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { account } => list(context, account.as_deref()).await,
            Self::Show { one } => show(context, &one.holder).await,
            Self::Set { one, change } => change::set(context, &one.holder, change).await,
            Self::Delete { one } => change::delete(context, &one.holder).await,
        }
    }
}

async fn list(context: &Context, account: Option<&str>) -> anyhow::Result<()> {
    let mut views = Vec::new();
    match account {
        Some(id) => {
            views.push(CapView::of_account(&context.account(id).await?.account));
            let keys = context.keys(&Area { account: id.to_owned(), integration: None }).await?;
            views.extend(keys.iter().map(CapView::of_key));
        }
        None => views.extend(account::all(context).await?.iter().map(CapView::of_account)),
    }
    // Leave out accounts and keys without changes.
    views.retain(CapView::has_something);
    context.output.list(&views, CapView::HEADERS, "no caps or guards were changed here", CapView::row)
}

async fn show(context: &Context, holder: &Holder) -> anyhow::Result<()> {
    let found = FoundTerms::read(context, holder).await?;
    let detail = match &found {
        FoundTerms::Account(account) => CapDetail::of_account(account, &context.target.metering_config()?.cap),
        FoundTerms::Key(key) => CapDetail::of_key(key, &context.account(&key.account).await?.account),
    };
    context.output.say(&detail, || fields(&detail.fields()))
}

/// Account or key that exists.
enum FoundTerms {
    Account(Box<Account>),
    Key(Box<KeyRecord>),
}

impl FoundTerms {
    async fn read(context: &Context, holder: &Holder) -> anyhow::Result<Self> {
        Ok(match holder {
            Holder::Account(id) => Self::Account(Box::new(context.account(id).await?.account)),
            Holder::Key(id) => Self::Key(Box::new(context.key(id).await?)),
        })
    }

    /// Returns its name in the audit.
    fn called(&self) -> String {
        match self {
            Self::Account(account) => account.id.clone(),
            Self::Key(key) => called(key),
        }
    }

    fn is_account(&self) -> bool {
        matches!(self, Self::Account(_))
    }

    /// Returns the override of its cap. A key has no cap, so its override is empty.
    fn cap(&self) -> CapOverride {
        match self {
            Self::Account(account) => account.cap,
            Self::Key(_) => CapOverride::default(),
        }
    }

    fn guards(&self) -> &Guards {
        match self {
            Self::Account(account) => &account.guards,
            Self::Key(key) => &key.guards,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_keys_have_caps_or_guards_and_nobody_else() {
        assert_eq!("acme".parse(), Ok(Holder::Account("acme".to_owned())));
        assert_eq!("account:platform".parse(), Ok(Holder::Account("platform".to_owned())));
        assert_eq!("key:4f8KpQ2mZx7R".parse(), Ok(Holder::Key("4f8KpQ2mZx7R".to_owned())));
        for (text, why) in [("acme/crm", "an integration has neither"), ("platform", "AI_TOKEN_CAP_DEFAULT")] {
            let refused = text.parse::<Holder>().unwrap_err();
            assert!(refused.starts_with(why) || refused.contains(why), "{refused}");
            assert!(refused.ends_with("give ACCOUNT or key:KEY_ID"), "{refused}");
        }
        assert!("Acme".parse::<Holder>().is_err());
    }
}
