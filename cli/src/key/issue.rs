//! Creation and rotation of keys. The key goes to standard output by itself. Everything else goes to standard error.

use std::time::Duration;

use anyhow::{Context as _, bail};
use levee::accounts::{ApiKey, Creation, KeyRecord};
use levee::clock::Timestamp;
use levee::limits::versions::RecordId;
use serde_json::{Value, json};

use super::{NewKey, called};
use crate::context::Context;
use crate::effect::Effect;
use crate::error::usage;
use crate::output::{aside, moment};
use crate::place::Place;
use crate::views::{KeyView, scopes};
use crate::when::End;

pub(super) async fn create(context: &Context, place: &Place, new: &NewKey) -> anyhow::Result<()> {
    let now = context.now();
    let expires_at = new.expires.from(now).map_err(usage)?;
    // Check that the integration exists.
    context.integration(place).await?;
    // Generate the key, and the record to be stored, which has only its hash.
    let key = generate(context)?;
    let peppers = context.target.peppers().await?;
    let record = KeyRecord {
        scopes: new.scopes.iter().copied().collect(),
        expires_at,
        address_exempt: new.address_exempt,
        ..KeyRecord::new(&key, &peppers, &place.account, &place.integration, &new.name, now)
    };
    let creating = async {
        match context.target.accounts.create_key(&record).await? {
            Creation::Done => Ok(()),
            Creation::AlreadyThere => bail!("there is a key of this id already; try again"),
            Creation::ParentMissing => bail!("another operator deleted integration {place} at this moment"),
        }
    };
    let (marked, detail) = ([RecordId::Key(record.id.clone())], properties(&record));
    let ((), effective) = context.change_and_publish("key.create", &called(&record), detail, &marked, creating).await?;
    // Print the key once it is stored.
    show(context, &key, &record, Value::Null, effective, now)?;
    aside(&format!("Key {} of {place} is accepted {effective}. {ONCE}", key.id()));
    Ok(())
}

pub(super) async fn rotate(context: &Context, id: &str, overlap: Duration, expires: Option<End>) -> anyhow::Result<()> {
    let now = context.now();
    let old = context.key(id).await?;
    // Only a key that still works can be rotated.
    if !old.is_live(now) {
        bail!("key {} does not work any more: make a new one with: levee key create", old.id);
    }
    // The old key's end may come from its first rotation, and must not pass on to another key unasked.
    if let (Some(by), None) = (&old.replaced_by, &expires) {
        bail!(
            "key {} was replaced by key {by} before; rotate that one with: levee key rotate {by}, or say how long the new key \
             is to live with --expires",
            old.id
        );
    }
    // Generate a key with the old one's name, scopes, limits and guards.
    let key = generate(context)?;
    let peppers = context.target.peppers().await?;
    let mut new = old.successor(&key, &peppers, now);
    if let Some(expires) = expires {
        new.expires_at = expires.from(now).map_err(usage)?;
    }
    // Store the new key, and let the old one end after the overlap.
    let rotating = async {
        let end = context.target.accounts.rotate_key(&old, &new, overlap, now).await?;
        end.with_context(|| {
            format!("another operator changed key {0} at this moment; look at it with: levee key show {0}", old.id)
        })
    };
    let detail = format!("replaced by {} ({})", new.id, properties(&new));
    let marked = [RecordId::Key(new.id.clone()), RecordId::Key(old.id.clone())];
    let (end, effective) = context.change_and_publish("key.rotate", &called(&old), detail, &marked, rotating).await?;
    let end = moment(Some(end)).unwrap_or_default();
    // Print the new key once it is stored.
    show(context, &key, &new, json!({ "id": old.id, "expires_at": end }), effective, now)?;
    aside(&format!("Key {} is accepted {effective}; {} works until {end}. {ONCE}", new.id, old.id));
    Ok(())
}

const ONCE: &str = "It is not shown again: keep it now.";

fn generate(context: &Context) -> anyhow::Result<ApiKey> {
    let environment = &context.target.key_environment;
    ApiKey::generate(environment).with_context(|| format!("the stack's key environment '{environment}' is none"))
}

fn properties(key: &KeyRecord) -> String {
    let expires = moment(key.expires_at).unwrap_or_else(|| "never".to_owned());
    let exempt = if key.address_exempt { ", exempt from the address limit" } else { "" };
    format!("name '{}', scopes {}, expires {expires}{exempt}", key.name, scopes(&key.scopes))
}

/// Prints the key, which cannot be shown again.
fn show(
    context: &Context,
    key: &ApiKey,
    record: &KeyRecord,
    replaces: Value,
    effective: Effect,
    now: Timestamp,
) -> anyhow::Result<()> {
    let mut view = serde_json::to_value(KeyView::new(record, now))?;
    view["key"] = key.reveal().into();
    view["effective"] = json!(effective);
    if !replaces.is_null() {
        view["replaces"] = replaces;
    }
    let shown = context.output.say(&view, || key.reveal().to_owned());
    shown.map_err(|error| {
        // Hide the kind of the error: a closed pipe is no failure elsewhere, but here the key would be lost.
        anyhow::anyhow!("the key could not be printed ({error}); withdraw it with: levee key revoke {}", record.id)
    })
}
