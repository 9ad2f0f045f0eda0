//! `levee key`: API keys of integrations. A new key is shown once, when it is created.

mod change;
mod issue;

use std::time::Duration;

use levee::accounts::{KeyRecord, KeyScope};

use crate::consent::Consent;
use crate::context::Context;
use crate::output::fields;
use crate::place::{self, Area, Place};
use crate::views::{KeyView, LimitView};
use crate::when::{self, End};

/// [`KeyScope::DEFAULT`], in the form of an argument.
const DEFAULT_SCOPES: &str = "ai,catalogs,read,request";

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the keys of an account or of one of its integrations
    #[command(after_help = "Examples:\n  levee key list acme\n  levee key list acme/crm --json")]
    List {
        /// Whose keys
        #[arg(value_name = "ACCOUNT[/INTEGRATION]")]
        area: Area,
    },
    /// Show what is known of a key, and what was changed about its limits; the key itself is not known
    #[command(after_help = "Examples:\n  levee key show 4f8KpQ2mZx7R")]
    Show {
        /// The key's id
        #[arg(value_name = "KEY_ID")]
        id: String,
    },
    /// Make a key; it is printed once
    #[command(after_help = "\
Examples:
  levee key create acme/crm --name production
  levee key create acme/crm --name reporting --scopes read --expires 90d
  key=$(levee key create acme/crm --name production)")]
    Create {
        /// Whose key
        #[arg(value_name = "ACCOUNT/INTEGRATION")]
        place: Place,
        #[command(flatten)]
        new: NewKey,
    },
    /// Change a key
    #[command(after_help = "\
Examples:
  levee key set 4f8KpQ2mZx7R --scopes ai,catalogs,read,request
  levee key set 4f8KpQ2mZx7R --expires 2027-01-31
  levee key set 4f8KpQ2mZx7R --expires never --address-exempt=false")]
    Set {
        /// The key's id
        #[arg(value_name = "KEY_ID")]
        id: String,
        #[command(flatten)]
        changes: Changed,
    },
    /// Make a key that takes this one's place; both work for a while
    #[command(after_help = "\
Examples:
  levee key rotate 4f8KpQ2mZx7R
  levee key rotate 4f8KpQ2mZx7R --overlap 7d --expires 365d")]
    Rotate {
        /// The old key's id
        #[arg(value_name = "KEY_ID")]
        id: String,
        /// How long the old key still works
        #[arg(long, value_name = "TIME", value_parser = when::duration, default_value = "24h")]
        overlap: Duration,
        /// When the new key ends [default: when the old one would have]
        #[arg(long, value_name = "WHEN", value_parser = when::end)]
        expires: Option<End>,
    },
    /// Withdraw a key for good, at once
    #[command(after_help = "Examples:\n  levee key revoke 4f8KpQ2mZx7R")]
    Revoke {
        /// The key's id; here the whole key too, as somebody who found a leaked one has it
        #[arg(value_name = "KEY_ID")]
        id: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Delete what is known of a key that is revoked or expired
    #[command(after_help = "Examples:\n  levee key delete 4f8KpQ2mZx7R")]
    Delete {
        /// The key's id
        #[arg(value_name = "KEY_ID")]
        id: String,
        #[command(flatten)]
        consent: Consent,
    },
}

/// A key to be made.
#[derive(Debug, clap::Args)]
pub(crate) struct NewKey {
    /// Its name for people
    #[arg(long, value_parser = place::name)]
    name: String,
    /// What it may be used for: ai, catalogs, read, request (ask for more quota), keys (change keys)
    #[arg(long, value_delimiter = ',', default_value = DEFAULT_SCOPES)]
    scopes: Vec<KeyScope>,
    /// When it ends: a time from now (90d), a day (2027-01-31, as it begins in UTC), a moment, or never
    #[arg(long, value_name = "WHEN", value_parser = when::end, default_value = "never")]
    expires: End,
    /// Leave its calls out of the limit per client address: for servers behind one address
    #[arg(long)]
    address_exempt: bool,
}

/// What is to change about a key.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Changed {
    /// Its name for people
    #[arg(long, value_parser = place::name)]
    name: Option<String>,
    /// All that it may be used for: ai, catalogs, read, request (ask for more quota), keys (change keys)
    #[arg(long, value_delimiter = ',')]
    scopes: Option<Vec<KeyScope>>,
    /// When it ends: a time from now (90d), a day (2027-01-31, as it begins in UTC), a moment, or never
    #[arg(long, value_name = "WHEN", value_parser = when::end)]
    expires: Option<End>,
    /// Whether its calls are left out of the limit per client address
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    address_exempt: Option<bool>,
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { area } => list(context, area).await,
            Self::Show { id } => {
                let view = KeyView::new(&context.key(id).await?, context.now());
                context.output.say(&view, || fields(&view.fields()) + &LimitView::below(&view.limits))
            }
            Self::Create { place, new } => issue::create(context, place, new).await,
            Self::Set { id, changes } => change::set(context, id, changes).await,
            Self::Rotate { id, overlap, expires } => issue::rotate(context, id, *overlap, *expires).await,
            Self::Revoke { id, consent } => change::revoke(context, id, consent).await,
            Self::Delete { id, consent } => change::delete(context, id, consent).await,
        }
    }
}

async fn list(context: &Context, area: &Area) -> anyhow::Result<()> {
    // Fail if the account or the integration does not exist, so that it is not taken for one without keys.
    match area.integration.clone() {
        None => drop(context.account(&area.account).await?),
        Some(integration) => {
            let account = area.account.clone();
            drop(context.integration(&Place { account, integration }).await?);
        }
    }
    let keys = context.keys(area).await?;
    let views: Vec<_> = keys.iter().map(|key| KeyView::new(key, context.now())).collect();
    context.output.list(&views, KeyView::HEADERS, "there are no keys", KeyView::row)
}

/// Returns the name of a key in the audit: its account, its integration and its public id.
pub(crate) fn called(key: &KeyRecord) -> String {
    format!("{}/{}/{}", key.account, key.integration, key.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_keys_get_the_default_scopes() {
        assert_eq!(DEFAULT_SCOPES, crate::views::scopes(&KeyScope::DEFAULT));
    }
}
