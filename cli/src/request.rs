//! `levee request`: customers' requests for higher limits, and admins' decisions about them.

mod decide;
mod view;

use clap::{ValueEnum, value_parser};
use levee::accounts::form;
use levee::limits::LARGEST_LIMIT;

use crate::context::Context;
use crate::place;
use crate::when::{self, End};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List requests: those that wait, the oldest first; those that are decided, or all of an account, the newest first
    #[command(after_help = "\
Examples:
  levee request list
  levee request list --state decided --limit 50
  levee request list --account acme --json")]
    List {
        /// Which requests of all accounts
        #[arg(long, value_enum, default_value = "pending", conflicts_with = "account")]
        state: StateArg,
        /// The requests of this account, whatever their state
        #[arg(long, value_parser = place::id)]
        account: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show a request with the evidence that it was judged by, and everything that happened to it
    #[command(after_help = "Examples:\n  levee request show acme qr-019ac0ffee0123456789")]
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Grant what a request asks for, or a part of it; it is in force at once
    #[command(after_help = "\
Examples:
  levee request approve acme qr-019ac0ffee0123456789
  levee request approve acme qr-019ac0ffee0123456789 --limit 900 --until 30d --note 'Until the new cluster is up'")]
    Approve {
        #[command(flatten)]
        which: Which,
        /// A part of what is asked for: above the present limit
        #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=LARGEST_LIMIT))]
        limit: Option<u64>,
        /// When the grant ends by itself: a time from now (30d), a day (2027-01-31, as it begins in UTC) or a moment; as the
        /// request asks unless this is given
        #[arg(long, value_name = "WHEN", value_parser = when::end)]
        until: Option<End>,
        /// A note that the customer sees
        #[arg(long, value_parser = note)]
        note: Option<String>,
    },
    /// Deny a request that waits
    #[command(
        after_help = "Examples:\n  levee request deny acme qr-019ac0ffee0123456789 --reason 'Use the batch window'"
    )]
    Deny {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        why: Why,
    },
    /// Take back a grant that is in force, at once
    #[command(
        after_help = "Examples:\n  levee request revoke acme qr-019ac0ffee0123456789 --reason 'The campaign is over'"
    )]
    Revoke {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        why: Why,
    },
}

/// One request.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The account's id
    #[arg(value_parser = place::id)]
    account: String,
    /// The request's id
    #[arg(value_name = "REQUEST", value_parser = place::id)]
    id: String,
}

/// The reason of a decision.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// The reason, which the customer sees
    #[arg(long, value_parser = note)]
    reason: String,
}

/// Requests by their state.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StateArg {
    /// Those that wait for a decision
    Pending,
    /// All others
    Decided,
}

fn note(text: &str) -> Result<String, String> {
    form::note(text).map(str::to_owned).map_err(|error| error.to_string())
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { state, account, limit } => {
                view::list(context, *state, account.as_deref(), usize::from(*limit)).await
            }
            Self::Show { which } => view::show(context, which).await,
            Self::Approve { which, limit, until, note } => {
                decide::approve(context, which, *limit, *until, note.as_deref()).await
            }
            Self::Deny { which, why } => decide::deny(context, which, &why.reason).await,
            Self::Revoke { which, why } => decide::revoke(context, which, &why.reason).await,
        }
    }
}
