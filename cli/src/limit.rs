//! `levee limit`: overrides of policies for everyone, an account, an integration or a key. The narrowest override
//! wins.

mod change;
mod trial;

pub(crate) use self::trial::between;

use anyhow::Context as _;
use clap::{ValueEnum, value_parser};
use levee::clock::Timestamp;
use levee::limits::{LARGEST_LIMIT, Mode, Override, Overrides, is_policy_name};

use crate::context::Context;
use crate::key::called;
use crate::output::fields;
use crate::place::{Area, Place, Whose};
use crate::views::LimitView;
use crate::when::{self, End};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List what was changed about limits: of an account and all its integrations and keys, of an integration and its keys,
    /// of a key, or for everyone
    #[command(after_help = "\
Examples:
  levee limit list
  levee limit list acme
  levee limit list acme/crm --json
  levee limit list key:4f8KpQ2mZx7R")]
    List {
        /// Whose limits: platform, ACCOUNT, ACCOUNT/INTEGRATION or key:KEY_ID
        #[arg(value_name = "PLACE", default_value = "platform")]
        whose: Whose,
    },
    /// Show what was changed about one policy in one place
    #[command(after_help = "Examples:\n  levee limit show acme account\n  levee limit show platform global")]
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Change a policy, at once; what is not given is as elsewhere, whatever an earlier change said
    #[command(after_help = "\
Examples:
  levee limit set acme account --limit 1200
  levee limit set acme/crm integration --limit 600 --until 7d
  levee limit set key:4f8KpQ2mZx7R ai-address --exempt
  levee limit set platform in-flight --mode warn
An account with the id 'platform' is given as account:platform.")]
    Set {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        change: LimitChange,
    },
    /// Tell what another limit would have refused in the past: a raise, or a cut
    #[command(after_help = "\
Examples:
  levee limit try acme account --limit 900
  levee limit try acme/crm integration --limit 200 --over 7d")]
    Try {
        #[command(flatten)]
        one: One,
        /// The limit to try, calls per window
        #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=LARGEST_LIMIT))]
        limit: u64,
        /// How far back to look, up to 90d
        #[arg(long, value_name = "TIME", value_parser = trial::days, default_value = "30d")]
        over: u64,
    },
    /// Take back what was changed about a policy, at once
    #[command(after_help = "Examples:\n  levee limit delete acme account")]
    Delete {
        #[command(flatten)]
        one: One,
    },
}

/// One policy in one place.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Whose limit: platform, ACCOUNT, ACCOUNT/INTEGRATION or key:KEY_ID
    #[arg(value_name = "PLACE")]
    whose: Whose,
    /// The policy's name, as in headers and errors: account, integration, in-flight, …
    #[arg(value_parser = policy)]
    policy: String,
}

/// What is to be another.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct What {
    /// Another limit: calls per window, or calls in flight
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=LARGEST_LIMIT))]
    limit: Option<u64>,
    /// The policy does not apply
    #[arg(long, conflicts_with_all = ["limit", "mode"])]
    exempt: bool,
    /// What becomes of calls beyond the limit
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
}

/// A change.
#[derive(Debug, clap::Args)]
pub(crate) struct LimitChange {
    #[command(flatten)]
    what: What,
    /// When it ends by itself: a time from now (7d), a day (2027-01-31, as it begins in UTC), a moment, or never
    #[arg(long, value_name = "WHEN", value_parser = when::end, default_value = "never")]
    until: End,
}

/// What becomes of calls beyond a limit.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModeArg {
    /// They are refused
    Enforce,
    /// They pass; a header and a metric say so
    Warn,
    /// They pass; a metric says so
    Shadow,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Enforce => Self::Enforce,
            ModeArg::Warn => Self::Warn,
            ModeArg::Shadow => Self::Shadow,
        }
    }
}

impl LimitChange {
    fn to_override(&self, now: Timestamp) -> Result<Override, String> {
        let What { limit, exempt, mode } = self.what;
        Ok(Override { limit, exempt, mode: mode.map(Mode::from), until: self.until.from(now)?, grant: None })
    }
}

fn policy(text: &str) -> Result<String, &'static str> {
    let mistake = "a policy's name has 1 to 32 lower-case letters, digits and hyphens";
    if is_policy_name(text) { Ok(text.to_owned()) } else { Err(mistake) }
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { whose } => list(context, whose).await,
            Self::Show { one } => show(context, one).await,
            Self::Set { one, change } => change::set(context, one, change).await,
            Self::Try { one, limit, over } => trial::run(context, one, *limit, *over).await,
            Self::Delete { one } => change::delete(context, one).await,
        }
    }
}

async fn list(context: &Context, whose: &Whose) -> anyhow::Result<()> {
    let now = context.now();
    // List the overrides of the place itself.
    let mut views = LimitView::all(whose, &FoundLimits::read(context, whose).await?.changes, now);
    // Add those of an account's integrations.
    if let Whose::Account(account) = whose {
        for integration in context.integrations(account).await? {
            let whose = Whose::Integration(Place { account: account.clone(), integration: integration.id });
            views.extend(LimitView::all(&whose, &integration.limits, now));
        }
    }
    // Add those of all keys below.
    if let Some(area) = area(whose) {
        let keys = context.keys(&area).await?;
        views.extend(keys.into_iter().flat_map(|key| LimitView::all(&Whose::Key(key.id), &key.limits, now)));
    }
    let none = "no limits were changed here";
    context.output.list(&views, LimitView::HEADERS, none, LimitView::row)
}

async fn show(context: &Context, one: &One) -> anyhow::Result<()> {
    let found = FoundLimits::read(context, &one.whose).await?;
    let change = found.change(one)?;
    let view = LimitView::new(&one.whose, &one.policy, change, context.now());
    context.output.say(&view, || fields(&view.fields()))
}

/// Returns the area whose keys are listed too.
fn area(whose: &Whose) -> Option<Area> {
    match whose {
        Whose::Platform | Whose::Key(_) => None,
        Whose::Account(account) => Some(Area { account: account.clone(), integration: None }),
        Whose::Integration(Place { account, integration }) => {
            Some(Area { account: account.clone(), integration: Some(integration.clone()) })
        }
    }
}

/// Overrides in one place, which exists.
struct FoundLimits {
    changes: Overrides,
    /// Name of the place in the audit.
    called: String,
}

impl FoundLimits {
    async fn read(context: &Context, whose: &Whose) -> anyhow::Result<Self> {
        let called_so = whose.to_string();
        Ok(match whose {
            Whose::Platform => Self { changes: context.target.accounts.platform().await?.limits, called: called_so },
            Whose::Account(id) => Self { changes: context.account(id).await?.account.limits, called: called_so },
            Whose::Integration(place) => Self { changes: context.integration(place).await?.limits, called: called_so },
            Whose::Key(id) => {
                let key = context.key(id).await?;
                Self { called: called(&key), changes: key.limits }
            }
        })
    }

    /// Returns the override of one policy. Fails if there is none.
    fn change(&self, One { whose, policy }: &One) -> anyhow::Result<&Override> {
        let nothing =
            || format!("nothing was changed about the limit '{policy}' of {whose}; see: levee limit list {whose}");
        self.changes.get(policy).with_context(nothing)
    }
}
