//! `levee block`: accounts and client addresses whose calls are refused.

use std::net::IpAddr;

use anyhow::bail;
use ipnet::IpNet;
use levee::accounts::{Block, Blocked, form};
use levee::clock::Timestamp;
use levee::limits::versions::RecordId;
use serde::Serialize;
use serde_json::json;

use crate::consent::Consent;
use crate::context::Context;
use crate::error::usage;
use crate::output::{NOTHING, moment};
use crate::place;
use crate::when::{self, End};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List all blocks
    #[command(after_help = "Examples:\n  levee block list\n  levee block list --json")]
    List,
    /// Refuse the API calls of an account, or API calls and sign-ins from a client address or network, at once
    ///
    /// Nothing else is refused: pages that need no key, such as /health and the sign-in form, are served, and admins who
    /// are signed in stay so. What is there already is replaced. The network is stored in the block and named in the
    /// record of changes, as it is given here; clients' addresses are stored and logged nowhere else. An IPv6 client mostly
    /// has a whole /64 to itself.
    #[command(after_help = "\
Examples:
  levee block add 203.0.113.9 --until 24h --reason 'tries keys'
  levee block add 2001:db8:1:2::/64 --reason 'floods the sign-in'
  levee block add acme --reason 'unpaid since May' --yes")]
    Add {
        /// Whom to refuse: an address, a network (/8 to /32, IPv6 /19 to /128), or an account's id
        #[arg(value_name = "CIDR|ACCOUNT", value_parser = blocked)]
        who: Blocked,
        /// When it ends by itself: a time from now (24h), a day (2027-01-31, as it begins in UTC), a moment, or never
        #[arg(long, value_name = "WHEN", value_parser = when::end, default_value = "never")]
        until: End,
        /// Why, for operators; whoever is blocked is not told
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Take a block back, at once
    #[command(after_help = "Examples:\n  levee block delete 203.0.113.9\n  levee block delete acme")]
    Delete {
        /// Who is blocked, as the list of blocks names it
        #[arg(value_name = "CIDR|ACCOUNT", value_parser = blocked)]
        who: Blocked,
    },
}

/// Parses an address, a network or an account's id.
fn blocked(text: &str) -> Result<Blocked, String> {
    // An account's id has none of these characters.
    if !text.contains(['.', ':', '/']) {
        return Ok(Blocked::Account(place::id(text)?));
    }
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| "it is no address, no network such as 203.0.113.0/24, and no account's id")?;
    form::network(network).map(Blocked::Network).map_err(|error| error.to_string())
}

fn reason(text: &str) -> Result<String, String> {
    form::reason(text).map(str::to_owned).map_err(|error| error.to_string())
}

/// A block, as it is shown.
#[derive(Debug, Serialize)]
struct BlockView {
    /// Network or account's id, in the form that commands take.
    who: String,
    /// `network` or `account`.
    kind: &'static str,
    until: Option<String>,
    /// True if the block has expired.
    over: bool,
    reason: String,
    created_at: Option<String>,
}

impl BlockView {
    const HEADERS: &[&str] = &["BLOCKED", "KIND", "UNTIL", "SINCE", "REASON"];

    fn new(block: &Block, now: Timestamp) -> Self {
        let kind = match block.subject {
            Blocked::Network(_) => "network",
            Blocked::Account(_) => "account",
        };
        let over = !block.is_live(now);
        let (until, created_at) = (moment(block.until), moment(Some(block.created_at)));
        Self { who: block.subject.to_string(), kind, until, over, reason: block.reason.clone(), created_at }
    }

    fn row(&self) -> Vec<String> {
        let over = if self.over { " (over)" } else { "" };
        let until = self.until.as_ref().map_or_else(|| NOTHING.to_owned(), |until| format!("{until}{over}"));
        let since = self.created_at.clone().unwrap_or_default();
        vec![self.who.clone(), self.kind.to_owned(), until, since, self.reason.clone()]
    }
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List => list(context).await,
            Self::Add { who, until, reason, consent } => add(context, who, *until, reason, consent).await,
            Self::Delete { who } => delete(context, who).await,
        }
    }
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let blocks = context.target.accounts.platform().await?.blocks;
    let views: Vec<_> = blocks.iter().map(|block| BlockView::new(block, context.now())).collect();
    context.output.list(&views, BlockView::HEADERS, "no account or address is blocked", BlockView::row)
}

async fn add(context: &Context, who: &Blocked, until: End, reason: &str, consent: &Consent) -> anyhow::Result<()> {
    let now = context.now();
    let until = until.from(now).map_err(usage)?;
    // Blocking a whole account needs consent.
    if let Blocked::Account(id) = who {
        let account = context.account(id).await?.account;
        consent.ask(&format!("Refuse all calls of account {id} ({})?", account.name))?;
    }
    // Describe the block, for the audit and for the output.
    let block = Block { subject: who.clone(), until, reason: reason.to_owned(), created_at: now.as_secs() };
    let view = BlockView::new(&block, now);
    let end = view.until.as_ref().map_or_else(|| "for good".to_owned(), |until| format!("until {until}"));
    // Write the audit, then the block, and publish it.
    let adding = async { Ok(context.target.accounts.add_block(&block, now).await.map(drop)?) };
    let detail = format!("{end}, reason '{reason}'");
    let ((), effective) =
        context.change_and_publish("block.add", &view.who, detail, &[RecordId::Platform], adding).await?;
    effective.tell();
    let mut json = serde_json::to_value(&view)?;
    json["effective"] = json!(effective);
    context.output.say(&json, || format!("{} {} is blocked {end}", view.kind, view.who))
}

async fn delete(context: &Context, who: &Blocked) -> anyhow::Result<()> {
    let blocks = context.target.accounts.platform().await?.blocks;
    // Find the block, because the audit names its reason.
    let Some(block) = blocks.iter().find(|block| block.subject == *who) else {
        bail!("{who} is not blocked; list who is with: levee block list");
    };
    let deleting = async {
        if context.target.accounts.delete_block(who).await? {
            return Ok(());
        }
        bail!("another operator deleted this block at this moment")
    };
    let (who_text, detail) = (who.to_string(), format!("reason '{}'", block.reason));
    let ((), effective) =
        context.change_and_publish("block.delete", &who_text, detail, &[RecordId::Platform], deleting).await?;
    effective.tell();
    let json = json!({ "who": who.to_string(), "deleted": true, "effective": effective });
    context.output.say(&json, || format!("{who} is not blocked any more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_networks_and_accounts_are_told_apart() {
        let network = |text: &str| Blocked::Network(text.parse().unwrap());
        for (text, expected) in [
            ("203.0.113.9", network("203.0.113.9/32")),
            ("203.0.113.9/24", network("203.0.113.0/24")),
            ("2001:db8::1", network("2001:db8::1/128")),
            ("2001:db8::1/64", network("2001:db8::/64")),
            ("::ffff:203.0.113.9", network("203.0.113.9/32")),
            ("acme", Blocked::Account("acme".to_owned())),
            ("10", Blocked::Account("10".to_owned())),
        ] {
            assert_eq!(blocked(text), Ok(expected), "{text}");
        }
        for text in
            ["", "Acme", "203.0.113", "203.0.113.9/33", "acme/crm", "::g", "203.0.113.9:80", "0.0.0.0/7", "::/0"]
        {
            assert!(blocked(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(reason(" tries keys ").as_deref(), Ok("tries keys"));
        for text in ["", " ", "a\nb", &"x".repeat(201)] {
            assert!(reason(text).is_err(), "{text}");
        }
    }
}
