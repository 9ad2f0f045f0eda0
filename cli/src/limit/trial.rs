//! `levee limit try`: what another limit would have refused, by the recorded demand.

use levee::limits::Class;
use levee::statistics::{Between, Counted, Day, Trial, trial};
use levee::text::grouped;
use serde_json::json;

use super::One;
use crate::context::Context;
use crate::error::usage;
use crate::output::{aside, fields};
use crate::place::Whose;
use crate::when;

/// Largest number of days: as long as statistics are kept.
const MOST_DAYS: u64 = 90;
const DAY_SECS: u64 = 24 * 3600;

/// Parses a number of days, such as `30d` or `2w`.
pub(super) fn days(text: &str) -> Result<u64, String> {
    let secs = when::duration(text)?.as_secs();
    let days = secs / DAY_SECS;
    if secs.is_multiple_of(DAY_SECS) && (1..=MOST_DAYS).contains(&days) {
        return Ok(days);
    }
    Err(format!("1d to {MOST_DAYS}d, in whole days"))
}

pub(super) async fn run(context: &Context, one: &One, limit: u64, over: u64) -> anyhow::Result<()> {
    let One { whose, policy } = one;
    // Find the account, and the parts of it whose statistics may have the policy.
    let (account, parts) = match whose {
        Whose::Account(account) => {
            context.account(account).await?;
            let classes = Class::ALL.into_iter().filter(|class| class.has_key());
            let classes = classes.map(|class| Counted::Class(class.name().to_owned()));
            (account.clone(), [Counted::Account].into_iter().chain(classes).collect())
        }
        Whose::Integration(place) => {
            context.integration(place).await?;
            (place.account.clone(), vec![Counted::Integration(place.integration.clone())])
        }
        Whose::Key(id) => {
            let key = context.key(id).await?;
            (key.account, vec![Counted::Key(key.id)])
        }
        Whose::Platform => {
            return Err(usage(
                "what the platform refused is recorded by account: give an account, an integration or a key",
            ));
        }
    };
    // Read the days of each part until one has the policy.
    let today = Day::from_timestamp(context.now());
    let from = today.back(over - 1);
    for counted in &parts {
        let rows = context.target.statistics.of_part(&account, counted, from, today).await?;
        if !rows.iter().any(|row| row.policies.contains_key(policy)) {
            continue;
        }
        return match trial(&rows, counted, policy, limit) {
            Some(result) => tell(context, one, limit, &result),
            None => Err(usage(format!("'{policy}' counts calls in flight, whose demand is not recorded"))),
        };
    }
    anyhow::bail!("there are no statistics about the limit '{policy}' of {whose} in the last {over} days")
}

/// Prints the result, with what it does not tell.
fn tell(context: &Context, One { whose, policy }: &One, limit: u64, result: &Trial) -> anyhow::Result<()> {
    let Trial { since, days, days_over, windows, windows_over } = result;
    let since = since.map(|day| day.to_string());
    let json = json!({
        "place": whose.to_string(), "policy": policy, "limit": limit, "since": since,
        "days": days, "days_over": days_over, "windows": windows, "windows_over": windows_over,
    });
    context.output.say(&json, || {
        fields(&[
            ("limit", format!("{policy} of {whose} at {}", grouped(limit))),
            ("recorded since", since.clone().unwrap_or_else(|| "no demand is recorded yet".to_owned())),
            ("days with refusals", format!("{} of {days}", between(*days_over))),
            ("windows with refusals", format!("{} of {}", between(*windows_over), grouped(*windows))),
        ])
    })?;
    aside(
        "note: calls that were refused are part of the demand, and a client that retries counts again with each attempt. \
         What other limits, the pool and its shares would have refused is not included.",
    );
    Ok(())
}

/// Returns a number that is known within bounds.
pub(crate) fn between(Between { at_least, at_most }: Between) -> String {
    match at_least == at_most {
        true => grouped(at_least),
        false => format!("{} to {}", grouped(at_least), grouped(at_most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_looks_back_whole_days_as_far_as_statistics_go() {
        assert_eq!((days("1d"), days("2w"), days("90d"), days("48h")), (Ok(1), Ok(14), Ok(90), Ok(2)));
        for text in ["0d", "91d", "36h", "30", ""] {
            assert!(days(text).is_err(), "{text}");
        }
        assert_eq!(between(Between { at_least: 1, at_most: 2_000 }), "1 to 2,000");
        assert_eq!(between(Between { at_least: 7, at_most: 7 }), "7");
    }
}
