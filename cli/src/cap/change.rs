//! Setting and taking back caps and guards.

use std::collections::BTreeSet;

use anyhow::bail;
use levee::accounts::{CapOverride, Guards};
use serde_json::{Value, json};

use super::args::{Change, Setting};
use super::view::{CapView, max_tokens_text, names_text, own_tokens};
use super::{Found, Holder};
use crate::context::Context;
use crate::error::usage;
use crate::output::Changes;

/// What is to hold.
struct Wanted {
    /// Of an account.
    cap: CapOverride,
    guards: Guards,
}

impl Change {
    /// What is to hold for what was found.
    fn applied_to(&self, found: &Found) -> Wanted {
        let (cap, guards) = (found.cap(), found.guards());
        let limit = self.tokens.as_ref().map_or(cap.limit, |tokens| tokens.own());
        let max_tokens = self.max_tokens.as_ref().map_or(guards.max_tokens, |max_tokens| max_tokens.own());
        Wanted {
            cap: CapOverride { limit, mode: self.mode.map_or(cap.mode, Into::into) },
            guards: Guards {
                models: names(self.models.as_ref(), &guards.models),
                max_tokens,
                providers: names(self.providers.as_ref(), &guards.providers),
            },
        }
    }
}

/// The names that are set, or those of `before` where none are.
fn names(set: Option<&Setting<BTreeSet<String>>>, before: &BTreeSet<String>) -> BTreeSet<String> {
    set.map_or_else(|| before.clone(), |names| names.own().unwrap_or_default())
}

pub(super) async fn set(context: &Context, holder: &Holder, change: &Change) -> anyhow::Result<()> {
    let of_account = change.tokens.is_some() || change.mode.is_some();
    if of_account && matches!(holder, Holder::Key(_)) {
        return Err(usage("a key has no cap of its own: --tokens and --mode are set for its account"));
    }
    let found = Found::read(context, holder).await?;
    let wanted = change.applied_to(&found);
    let changes = between(&found, &wanted);
    let place = holder.whose();
    let mut json = serde_json::to_value(CapView::of(&place, found.is_account().then_some(wanted.cap), &wanted.guards))?;
    json["changed"] = changes.to_json();
    if !changes.are_none() {
        json["effective"] = make(context, "cap.set", holder, &found, &wanted).await?;
    }
    context.output.say(&json, || match changes.are_none() {
        true => format!("{place} is so already; nothing was changed"),
        false => format!("{place}: {}", changes.sentence()),
    })
}

pub(super) async fn delete(context: &Context, holder: &Holder) -> anyhow::Result<()> {
    let found = Found::read(context, holder).await?;
    let wanted = Wanted { cap: CapOverride::default(), guards: Guards::default() };
    let place = holder.whose();
    if between(&found, &wanted).are_none() {
        bail!("nothing was changed about what {place} may spend; see where something was with: levee cap list");
    }
    let effective = make(context, "cap.delete", holder, &found, &wanted).await?;
    let json = json!({ "place": place.to_string(), "deleted": true, "effective": effective });
    context.output.say(&json, || format!("{place} may spend as others again"))
}

/// Makes what is wanted so, the cap and the guards each for themselves, and tells when it takes effect.
async fn make(
    context: &Context,
    action: &str,
    holder: &Holder,
    found: &Found,
    wanted: &Wanted,
) -> anyhow::Result<Value> {
    let (accounts, called, place) = (&context.target.accounts, found.called(), holder.whose());
    let conflict = |done: bool| match done {
        true => Ok(()),
        false => bail!("somebody else changed {place} at this moment; look at it with: levee cap show {place}"),
    };
    let changes = of_cap(found, wanted);
    if let (Found::Account(account), false) = (found, changes.are_none()) {
        let setting = async { conflict(accounts.set_account_cap(account, &wanted.cap).await?) };
        context.change(action, &called, changes.sentence(), setting).await?;
    }
    let changes = of_guards(Changes::default(), found, wanted);
    if !changes.are_none() {
        let setting = async {
            conflict(match found {
                Found::Account(account) => accounts.set_account_guards(account, &wanted.guards).await?,
                Found::Key(key) => accounts.set_key_guards(key, &wanted.guards).await?,
            })
        };
        context.change(action, &called, changes.sentence(), setting).await?;
    }
    let effective = context.publish(&[place.marked()]).await;
    effective.tell();
    Ok(json!(effective))
}

fn between(found: &Found, wanted: &Wanted) -> Changes {
    of_guards(of_cap(found, wanted), found, wanted)
}

fn of_cap(found: &Found, wanted: &Wanted) -> Changes {
    let (before, after) = (found.cap(), wanted.cap);
    Changes::default().add("tokens", own_tokens(before.limit), own_tokens(after.limit)).add(
        "mode",
        before.mode,
        after.mode,
    )
}

fn of_guards(changes: Changes, found: &Found, wanted: &Wanted) -> Changes {
    let (before, after) = (found.guards(), &wanted.guards);
    changes
        .add("models", names_text(&before.models), names_text(&after.models))
        .add("max tokens", max_tokens_text(before.max_tokens), max_tokens_text(after.max_tokens))
        .add("providers", names_text(&before.providers), names_text(&after.providers))
}
