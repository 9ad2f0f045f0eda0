//! Overrides of a provider's breaker, and their removal.

use std::time::Duration;

use anyhow::bail;
use levee::breaker::manual_override::IN_FORCE_WITHIN;
use levee::breaker::{ManualOverride, Share, Transition, apply};
use levee::clock::Timestamp;
use serde_json::json;

use super::Why;
use super::view::BreakerView;
use crate::context::Context;
use crate::output::aside;

pub(super) async fn hold(
    context: &Context,
    action: &str,
    provider: &str,
    share: Share,
    lasts: Duration,
    why: &Why,
) -> anyhow::Result<()> {
    let state = context.target.breakers.read(provider).await?;
    // A provider without any decision may be a mistyped name.
    if state.generation == 0 {
        aside(&format!("Nothing was ever decided about {provider}: check that AI_PROVIDERS names one so."));
    }
    // Read the clock once, so that audit and decision have the same end.
    let now = context.now();
    let detail = format!("{} to {share}, until {}", state.share, now.plus(lasts).to_rfc3339());
    let decided = make(context, now, action, provider, ManualOverride::Hold { share, lasts }, &detail, why).await?;
    tell(context, provider, &decided)
}

pub(super) async fn release(context: &Context, provider: &str, why: &Why) -> anyhow::Result<()> {
    let state = context.target.breakers.read(provider).await?;
    let Some(forced) = state.forced else {
        bail!(
            "there is no override for {provider}: its breaker decides; look at it with: levee breaker show {provider}"
        );
    };
    let detail = format!("held at {} until {} by {}", forced.share, forced.until.to_rfc3339(), forced.by);
    let decided =
        make(context, context.now(), "breaker.release", provider, ManualOverride::Release, &detail, why).await?;
    tell(context, provider, &decided)
}

async fn make(
    context: &Context,
    now: Timestamp,
    action: &str,
    provider: &str,
    word: ManualOverride,
    detail: &str,
    why: &Why,
) -> anyhow::Result<Transition> {
    // Write the audit with the reason, then the decision.
    let reason = why.reason.as_ref().map(|reason| format!(", reason '{reason}'"));
    let detail = format!("{detail}{}", reason.unwrap_or_default());
    let saying = async { Ok(apply(&context.target.breakers, provider, word, context.actor(), now).await?) };
    context.change(action, provider, detail, saying).await
}

fn tell(context: &Context, provider: &str, decided: &Transition) -> anyhow::Result<()> {
    let view = BreakerView::new(provider, &decided.to, context.now());
    let effective = format!("within {} s", IN_FORCE_WITHIN.as_secs());
    aside(&format!("It is in force everywhere {effective}."));
    let mut json = serde_json::to_value(&view)?;
    json["effective"] = json!(effective);
    context.output.say(&json, || {
        let (from, to) = (decided.from_share, decided.to.share);
        let until = decided.to.forced.as_ref().map(|forced| format!(", until {}", forced.until.to_rfc3339()));
        let end = until.unwrap_or_else(|| "; its breaker decides again".to_owned());
        format!("{provider}: {} at {from} -> {} at {to}{end}", decided.from, decided.to.mode)
    })
}
