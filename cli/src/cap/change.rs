//! Changes of caps and guards, and their removal.

use std::collections::BTreeSet;

use anyhow::bail;
use levee::accounts::{CapOverride, Guards};
use serde_json::{Value, json};

use super::args::{CapChange, Setting};
use super::view::{CapView, GuardsView, own_tokens};
use super::{FoundTerms, Holder};
use crate::context::Context;
use crate::error::usage;
use crate::output::Changes;

/// Cap and guards to be written.
struct Wanted {
    /// Cap of an account; without meaning for a key.
    cap: CapOverride,
    guards: Guards,
}

impl CapChange {
    /// Returns the cap and guards of `found` with this change applied.
    fn applied_to(&self, found: &FoundTerms) -> Wanted {
        let (cap, guards) = (found.cap(), found.guards());
        let limit = self.tokens.as_ref().map_or(cap.limit, |tokens| tokens.own());
        let max_tokens = self.max_tokens.as_ref().map_or(guards.max_tokens, |max_tokens| max_tokens.own());
        let server_tools = match &self.server_tools {
            Some(tools) => tools.own(),
            None => guards.server_tools.clone(),
        };
        Wanted {
            cap: CapOverride { limit, mode: self.mode.map_or(cap.mode, Into::into) },
            guards: Guards {
                models: names(self.models.as_ref(), &guards.models),
                max_tokens,
                providers: names(self.providers.as_ref(), &guards.providers),
                speeds: names(self.speed.as_ref(), &guards.speeds),
                service_tiers: names(self.service_tier.as_ref(), &guards.service_tiers),
                inference_geos: names(self.inference_geo.as_ref(), &guards.inference_geos),
                server_tools,
                unknown_fields: self.unknown_fields.map_or(guards.unknown_fields, Into::into),
            },
        }
    }
}

/// Returns the names that are set, or `before` if none are.
fn names(set: Option<&Setting<BTreeSet<String>>>, before: &BTreeSet<String>) -> BTreeSet<String> {
    set.map_or_else(|| before.clone(), |names| names.own().unwrap_or_default())
}

pub(super) async fn set(context: &Context, holder: &Holder, change: &CapChange) -> anyhow::Result<()> {
    let of_account = change.tokens.is_some() || change.mode.is_some();
    if of_account && matches!(holder, Holder::Key(_)) {
        return Err(usage("a key has no cap of its own: --tokens and --mode are set for its account"));
    }
    // Compare the present cap and guards with the wanted ones.
    let found = FoundTerms::read(context, holder).await?;
    let wanted = change.applied_to(&found);
    let changes = between(&found, &wanted);
    let place = holder.whose();
    let mut json =
        serde_json::to_value(CapView::new(&place, found.is_account().then_some(wanted.cap), &wanted.guards))?;
    json["changed"] = changes.to_json();
    // Publish again if nothing is to be changed: an earlier change may not have been published.
    if changes.are_none() {
        context.publish_again(&[holder.whose().marked()]).await;
    } else {
        json["effective"] = make(context, "cap.set", holder, &found, &wanted).await?;
    }
    context.output.say(&json, || match changes.are_none() {
        true => format!("{place} already has these values; nothing was changed"),
        false => format!("{place}: {}", changes.sentence()),
    })
}

pub(super) async fn delete(context: &Context, holder: &Holder) -> anyhow::Result<()> {
    let found = FoundTerms::read(context, holder).await?;
    // Defaults stand for a cap and guards that are not set.
    let wanted = Wanted { cap: CapOverride::default(), guards: Guards::default() };
    let place = holder.whose();
    if between(&found, &wanted).are_none() {
        bail!("nothing was changed about what {place} may spend; see where something was with: levee cap list");
    }
    let effective = make(context, "cap.delete", holder, &found, &wanted).await?;
    let json = json!({ "place": place.to_string(), "deleted": true, "effective": effective });
    context.output.say(&json, || format!("caps and guards of {place} removed"))
}

/// Writes the wanted cap and guards in one transaction and publishes them. Returns the time of effect.
async fn make(
    context: &Context,
    action: &str,
    holder: &Holder,
    found: &FoundTerms,
    wanted: &Wanted,
) -> anyhow::Result<Value> {
    let (accounts, place) = (&context.target.accounts, holder.whose());
    let setting = async {
        let is_done = match found {
            FoundTerms::Account(account) => accounts.set_account_terms(account, &wanted.cap, &wanted.guards).await?,
            FoundTerms::Key(key) => accounts.set_key_guards(key, &wanted.guards).await?,
        };
        // The write is conditional, and fails if another operator made a change in between.
        if !is_done {
            bail!("{place} was changed by another operator at this moment; look at it with: levee cap show {place}");
        }
        Ok(())
    };
    let detail = between(found, wanted).sentence();
    let ((), effective) =
        context.change_and_publish(action, &found.called(), detail, &[place.marked()], setting).await?;
    effective.tell();
    Ok(json!(effective))
}

fn between(found: &FoundTerms, wanted: &Wanted) -> Changes {
    let (cap, guards) = (found.cap(), found.guards());
    let Wanted { cap: new_cap, guards: new_guards } = wanted;
    let changes = Changes::default().add("tokens", own_tokens(cap.limit), own_tokens(new_cap.limit)).add(
        "mode",
        cap.mode,
        new_cap.mode,
    );
    let fields = GuardsView::new(guards).fields().into_iter().zip(GuardsView::new(new_guards).fields());
    fields.fold(changes, |changes, ((field, before), (_, after))| changes.add(field, before, after))
}
