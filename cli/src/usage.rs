//! `levee usage`: usage of accounts, and the replay of usage that could not be written.

mod replay;
mod report;
mod unwritten;

use levee::metering::Month;

use self::replay::Replay;
use crate::context::Context;
use crate::place;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List what each account has used in a month, what counts most first
    #[command(after_help = "Examples:\n  levee usage list\n  levee usage list --month 2026-11 --json")]
    List {
        #[command(flatten)]
        month: MonthArg,
    },
    /// Show what an account has used in a month: by day, integration, provider and model
    #[command(after_help = "\
Examples:
  levee usage show acme
  levee usage show acme --month 2026-11 --json
  levee usage show acme --month 2026-11 --csv")]
    Show {
        /// The account's id
        #[arg(value_name = "ACCOUNT", value_parser = place::id)]
        account: String,
        #[command(flatten)]
        month: MonthArg,
        /// Print CSV, one line for each day, integration, model and way in which it was served
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    Replay(Replay),
}

/// Which month.
#[derive(Debug, clap::Args)]
pub(crate) struct MonthArg {
    /// The month in UTC, such as 2026-11 [default: the current one]
    #[arg(long, value_name = "MONTH")]
    month: Option<Month>,
}

impl MonthArg {
    fn or_current(&self, context: &Context) -> Month {
        self.month.unwrap_or_else(|| Month::from_timestamp(context.now()).0)
    }
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { month } => report::list(context, month.or_current(context)).await,
            Self::Show { account, month, csv } => report::show(context, account, month.or_current(context), *csv).await,
            Self::Replay(replay) => replay.run(context).await,
        }
    }
}
