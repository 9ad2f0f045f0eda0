//! `levee breaker`: the share of the calls that each AI provider gets, the decisions behind it, and overrides by hand.

mod change;
mod view;

use std::time::Duration;

use clap::ValueEnum;
use levee::accounts::form;
use levee::breaker::{Share, manual_override};

use self::view::{BreakerView, DecisionView};
use crate::context::Context;
use crate::output::fields;
use crate::when;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show where a provider stands; without a name, all about which anything was ever decided
    #[command(after_help = "Examples:\n  levee breaker show\n  levee breaker show primary --json")]
    Show {
        /// Only this provider, as AI_PROVIDERS names it
        #[arg(value_name = "PROVIDER", value_parser = provider)]
        provider: Option<String>,
    },
    /// Show what was decided about a provider in the last 14 days, newest first
    #[command(
        after_help = "Examples:\n  levee breaker history primary\n  levee breaker history primary --limit 100 --json"
    )]
    History {
        /// The provider, as AI_PROVIDERS names it
        #[arg(value_name = "PROVIDER", value_parser = provider)]
        provider: String,
        /// How many decisions to show, 1 to 1000
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Give a provider no calls, or all, for a time, whatever its breaker would decide
    ///
    /// It is in force everywhere within 5 s, and for the time that is given; then the breaker goes on from there: what was
    /// open is probed. A provider that is forced open gets no calls at all: where no other one is left, callers are told 529.
    #[command(after_help = "\
Examples:
  levee breaker force primary open --for 30m --reason 'maintenance'
  levee breaker force primary closed --for 2h")]
    Force {
        /// The provider, as AI_PROVIDERS names it
        #[arg(value_name = "PROVIDER", value_parser = provider)]
        provider: String,
        /// What it gets
        #[arg(value_enum)]
        to: To,
        #[command(flatten)]
        how_long: HowLong,
        #[command(flatten)]
        why: Why,
    },
    /// Give a provider a part of the calls for a time, whatever its breaker would decide
    ///
    /// It is in force everywhere within 5 s, and for the time that is given; then the breaker goes on from that share. The
    /// calls of one conversation stay together.
    #[command(after_help = "\
Examples:
  levee breaker pin primary --share 25 --for 2h
  levee breaker pin backup --share 0.5 --for 7d --reason 'trying it out'")]
    Pin {
        /// The provider, as AI_PROVIDERS names it
        #[arg(value_name = "PROVIDER", value_parser = provider)]
        provider: String,
        /// The share, percent: 0.01 to 99.99
        #[arg(long, value_name = "PERCENT", value_parser = manual_override::share)]
        share: Share,
        #[command(flatten)]
        how_long: HowLong,
        #[command(flatten)]
        why: Why,
    },
    /// Let a provider's breaker decide again
    ///
    /// It is in force everywhere within 5 s. The breaker goes on from where the provider was held: what was open is probed.
    #[command(after_help = "Examples:\n  levee breaker release primary")]
    Release {
        /// The provider, as AI_PROVIDERS names it
        #[arg(value_name = "PROVIDER", value_parser = provider)]
        provider: String,
        #[command(flatten)]
        why: Why,
    },
}

/// How many calls a provider is forced to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// None
    Open,
    /// All
    Closed,
}

/// For how long.
#[derive(Debug, clap::Args)]
pub(crate) struct HowLong {
    /// For how long: 30m, 2h, 1d; at most 7d
    #[arg(long = "for", value_name = "TIME", value_parser = lasts)]
    lasts: Duration,
}

/// Why, for the record of changes.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// Why, for the record of changes
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

fn provider(text: &str) -> Result<String, String> {
    form::provider(text).map(str::to_owned).map_err(|error| error.to_string())
}

fn reason(text: &str) -> Result<String, String> {
    form::reason(text).map(str::to_owned).map_err(|error| error.to_string())
}

fn lasts(text: &str) -> Result<Duration, String> {
    let lasts = when::duration(text)?;
    let is_allowed = (Duration::from_secs(60)..=manual_override::LONGEST).contains(&lasts);
    is_allowed.then_some(lasts).ok_or_else(|| "from 1m to 7d".to_owned())
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Show { provider: Some(provider) } => {
                let state = context.target.breakers.read(provider).await?;
                let view = BreakerView::new(provider, &state, context.now());
                context.output.say(&view, || fields(&view.fields()))
            }
            Self::Show { provider: None } => list(context).await,
            Self::History { provider, limit } => history(context, provider, *limit).await,
            Self::Force { provider, to, how_long, why } => {
                let share = match to {
                    To::Open => Share::NONE,
                    To::Closed => Share::ALL,
                };
                change::hold(context, "breaker.force", provider, share, how_long.lasts, why).await
            }
            Self::Pin { provider, share, how_long, why } => {
                change::hold(context, "breaker.pin", provider, *share, how_long.lasts, why).await
            }
            Self::Release { provider, why } => change::release(context, provider, why).await,
        }
    }
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let (breakers, now) = (&context.target.breakers, context.now());
    let mut views = Vec::new();
    for provider in breakers.providers().await? {
        views.push(BreakerView::new(&provider, &breakers.read(&provider).await?, now));
    }
    let none = "nothing was ever decided about a provider: each gets all calls that are meant for it";
    context.output.list(&views, BreakerView::HEADERS, none, BreakerView::row)
}

async fn history(context: &Context, provider: &str, limit: u16) -> anyhow::Result<()> {
    let decisions = context.target.breakers.history(provider, None, limit).await?;
    let views: Vec<_> = decisions.iter().map(DecisionView::new).collect();
    let none = format!("nothing was decided about {provider} in the last 14 days");
    context.output.list(&views, DecisionView::HEADERS, &none, DecisionView::row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_held_for_a_minute_to_a_week() {
        assert_eq!(lasts("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(lasts("7d"), Ok(manual_override::LONGEST));
        for text in
            ["0m", "0d", "8d", "2w", "169h", "10081m", "never", "30", "30s", "1M", "m", "-1h", "+1h", "1h30m", "1 h"]
        {
            assert!(lasts(text).is_err(), "{text}");
        }
        for text in ["18446744073709551615m", "18446744073709551616m", "307445734561825861m", "٣h", "1ｈ", "1h\0"] {
            assert!(lasts(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_provider_and_a_reason_are_one_short_line_of_visible_text() {
        for name in ["primary", "Backup-2", &"a".repeat(40)] {
            assert_eq!(provider(name).as_deref(), Ok(name));
        }
        for name in [
            "",
            " ",
            "a b",
            "primary ",
            "a_b",
            "a.b",
            "a/b",
            "a#b",
            "BREAKER#a",
            "ä",
            "a\n",
            "\u{200b}",
            &"a".repeat(41),
        ] {
            assert!(provider(name).is_err(), "{name:?}");
        }
        assert_eq!(reason("  it's 'down' ").as_deref(), Ok("it's 'down'"));
        for text in ["", "  ", "a\nb", "a\u{1b}[2J", "a\u{202e}b", "a\u{200b}b", "a\0", &"é".repeat(201)] {
            assert!(reason(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_command_without_its_share_its_time_or_its_state_is_refused() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(subcommand)]
            command: Command,
        }
        let parse = |line: &str| <Line as clap::Parser>::try_parse_from(format!("levee {line}").split(' ')).map(drop);
        for good in [
            "force primary open --for 30m",
            "force primary closed --for 7d --reason x",
            "pin primary --share 0.01 --for 1m",
            "release primary",
            "history primary --limit 1000",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "force primary --for 30m",
            "force primary open",
            "force primary OPEN --for 30m",
            "force primary ramp --for 30m",
            "force primary 0 --for 30m",
            "force open --for 30m",
            "force primary open --for 30m --for 40m",
            "force primary open --for never",
            "force primary open --share 5 --for 30m",
            "pin primary --for 30m",
            "pin primary --share 0 --for 30m",
            "pin primary --share 100 --for 30m",
            "pin primary --share -5 --for 30m",
            "pin primary --share 5",
            "release",
            "release primary backup",
            "release primary --for 30m",
            "history primary --limit 0",
            "history primary --limit 1001",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
