//! Overrides of policies, and their removal.

use anyhow::bail;
use levee::limits::{Level, Override, PolicyScope, built_in_policies};
use serde_json::json;

use super::{FoundLimits, LimitChange, One};
use crate::context::Context;
use crate::error::usage;
use crate::output::{Changes, aside, moment, or_nothing};
use crate::place::Whose;
use crate::views::{LimitView, limit_text, mode_name};

pub(super) async fn set(context: &Context, one: &One, change: &LimitChange) -> anyhow::Result<()> {
    let One { whose, policy } = one;
    check(whose, policy)?;
    let now = context.now();
    let change = change.to_override(now).map_err(usage)?;
    // Compare the present override with the wanted one.
    let found = FoundLimits::read(context, whose).await?;
    let changes = between(found.changes.get(policy), Some(&change));
    let mut json = serde_json::to_value(LimitView::new(whose, policy, &change, now))?;
    json["changed"] = changes.to_json();
    let marked = [whose.marked()];
    // Publish again if nothing is to be changed: an earlier change may not have been published.
    if changes.are_none() {
        context.publish_again(&marked).await;
    } else {
        let detail = format!("{policy}: {}", changes.sentence());
        let writing = write(context, one, Some(&change));
        let ((), effective) = context.change_and_publish("limit.set", &found.called, detail, &marked, writing).await?;
        effective.tell();
        json["effective"] = json!(effective);
    }
    context.output.say(&json, || match changes.are_none() {
        true => format!("limit {policy} of {whose} already has these values; nothing was changed"),
        false => format!("limit {policy} of {whose}: {}", changes.sentence()),
    })
}

pub(super) async fn delete(context: &Context, one: &One) -> anyhow::Result<()> {
    let One { whose, policy } = one;
    let found = FoundLimits::read(context, whose).await?;
    let changes = between(Some(found.change(one)?), None);
    let detail = format!("{policy}: {}", changes.sentence());
    let writing = write(context, one, None);
    let ((), effective) =
        context.change_and_publish("limit.delete", &found.called, detail, &[whose.marked()], writing).await?;
    effective.tell();
    let json = json!({ "place": whose.to_string(), "policy": policy, "deleted": true, "effective": effective });
    context.output.say(&json, || format!("limit {policy} of {whose} is as elsewhere again"))
}

async fn write(context: &Context, One { whose, policy }: &One, change: Option<&Override>) -> anyhow::Result<()> {
    let accounts = &context.target.accounts;
    let now = context.now();
    // Write to the record of the place. Only the platform cannot be missing.
    let done = match whose {
        Whose::Platform => accounts.set_platform_limit(policy, change, now).await.map(|()| true)?,
        Whose::Account(account) => accounts.set_account_limit(account, policy, change, now).await?,
        Whose::Integration(place) => {
            accounts.set_integration_limit(&place.account, &place.integration, policy, change, now).await?
        }
        Whose::Key(id) => accounts.set_key_limit(id, policy, change, now).await?,
    };
    if !done {
        bail!("another operator deleted {whose} at this moment");
    }
    Ok(())
}

/// Refuses an override that could have no effect.
fn check(whose: &Whose, policy: &str) -> anyhow::Result<()> {
    // Policies that LIMIT_POLICIES adds are unknown here, so they cannot be checked.
    let Some((_, scope, classes)) = built_in_policies().find(|(name, ..)| *name == policy) else {
        aside(&format!("note: {policy} is not one of the built-in policies; it must be in LIMIT_POLICIES"));
        return Ok(());
    };
    // Sign-ins and requests without a valid key have no account, only an address.
    if !classes.iter().any(|class| class.has_key()) && *whose != Whose::Platform {
        return Err(usage(format!(
            "the limit '{policy}' is about requests of nobody in particular: it can be set for the platform, not for \
             {whose}"
        )));
    }
    // A count that several holders share cannot have a limit for one of them.
    if whose.level().may_override(scope) {
        return Ok(());
    }
    let places = places(scope).join(" or ");
    Err(usage(format!("the limit '{policy}' is counted per {scope}: it can be set for {places}, not for {whose}")))
}

/// Returns the places in which a policy of `scope` can be overridden.
fn places(scope: PolicyScope) -> Vec<&'static str> {
    let levels = [
        (Level::Platform, "the platform"),
        (Level::Account, "an account"),
        (Level::Integration, "an integration"),
        (Level::Key, "a key"),
    ];
    levels.into_iter().filter(|(level, _)| level.may_override(scope)).map(|(_, place)| place).collect()
}

fn between(before: Option<&Override>, after: Option<&Override>) -> Changes {
    let (before, after) = (before.cloned().unwrap_or_default(), after.cloned().unwrap_or_default());
    Changes::default()
        .add("limit", limit_text(before.exempt, before.limit), limit_text(after.exempt, after.limit))
        .add("mode", mode_name(before.mode), mode_name(after.mode))
        .add("until", or_nothing(&moment(before.until)), or_nothing(&moment(after.until)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_changed_where_nobody_else_counts_under_it() {
        let whose = |text: &str| text.parse::<Whose>().unwrap();
        for (place, policy) in [
            ("platform", "global"),
            ("platform", "login-address"),
            ("acme", "account"),
            ("acme/crm", "ai-address"),
            ("key:k", "key"),
            ("key:k", "own"),
        ] {
            assert!(check(&whose(place), policy).is_ok(), "{place} {policy}");
        }
        let refused = check(&whose("acme/crm"), "in-flight").unwrap_err().to_string();
        let expected = "the limit 'in-flight' is counted per account: it can be set for the platform or an account, \
                        not for acme/crm";
        assert_eq!(refused, expected);
        for (place, policy) in
            [("acme", "login-address"), ("acme/crm", "failed-auth-address"), ("key:k", "login-address")]
        {
            let refused = check(&whose(place), policy).unwrap_err().to_string();
            assert!(refused.ends_with(&format!("set for the platform, not for {place}")), "{refused}");
        }
        assert!(
            check(&whose("acme"), "global").unwrap_err().to_string().contains("set for the platform, not for acme")
        );
    }
}
