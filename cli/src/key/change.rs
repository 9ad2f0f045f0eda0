//! Changes of keys, their revocation and their deletion.

use anyhow::bail;
use levee::accounts::{Deletion, KeyChange, KeyRecord, Status};
use levee::limits::versions::RecordId;
use serde_json::json;

use super::{Changed, called};
use crate::consent::Consent;
use crate::context::Context;
use crate::error::usage;
use crate::output::{Changes, moment};
use crate::place;
use crate::views::scopes;

pub(super) async fn set(context: &Context, id: &str, changed: &Changed) -> anyhow::Result<()> {
    let key = context.key(id).await?;
    if key.status == Status::Revoked {
        bail!("key {} is revoked, which is for good: make a new one with: levee key create", key.id);
    }
    // Compare the key with its changed form.
    let change = KeyChange {
        name: changed.name.clone(),
        scopes: changed.scopes.as_ref().map(|scopes| scopes.iter().copied().collect()),
        expires_at: changed.expires.map(|expires| expires.from(context.now())).transpose().map_err(usage)?,
        address_exempt: changed.address_exempt,
    };
    let changes = between(&key, &change.applied_to(&key));
    let marked = [RecordId::Key(key.id.clone())];
    let mut effective = None;
    // Publish again if nothing is to be changed: an earlier change may not have been published.
    if changes.are_none() {
        context.publish_again(&marked).await;
    } else {
        let setting = async {
            if context.target.accounts.set_key(&key, &change).await? {
                return Ok(());
            }
            bail!("another operator changed key {0} at this moment; look at it with: levee key show {0}", key.id)
        };
        let detail = changes.sentence();
        effective = Some(context.change_and_publish("key.set", &called(&key), detail, &marked, setting).await?.1);
    }
    changes.tell(&context.output, "key", &key.id, effective)
}

pub(super) async fn revoke(context: &Context, id: &str, consent: &Consent) -> anyhow::Result<()> {
    // Take a whole key too, such as one that was found leaked. Showing it loses nothing, as it is about to be revoked.
    let key = context.key_of(place::key_id_or_key(id)).await?;
    let changes = Changes::default().add("status", key.status, Status::Revoked);
    let marked = [RecordId::Key(key.id.clone())];
    let mut effective = None;
    if changes.are_none() {
        context.publish_again(&marked).await;
    } else {
        consent
            .ask(&format!("Revoke key {} ('{}' of {}/{}) for good?", key.id, key.name, key.account, key.integration))?;
        let revoking = async {
            if context.target.accounts.revoke_key(&key.id).await? {
                return Ok(());
            }
            bail!("another operator deleted key {} at this moment", key.id)
        };
        let detail = format!("name '{}'", key.name);
        effective = Some(context.change_and_publish("key.revoke", &called(&key), detail, &marked, revoking).await?.1);
    }
    changes.tell(&context.output, "key", &key.id, effective)
}

pub(super) async fn delete(context: &Context, id: &str, consent: &Consent) -> anyhow::Result<()> {
    let key = context.key(id).await?;
    consent.ask(&format!("Delete key {} ('{}' of {}/{})?", key.id, key.name, key.account, key.integration))?;
    let deleting = async {
        match context.target.accounts.delete_key(&key.id, context.now()).await? {
            Deletion::Done => Ok(()),
            Deletion::NotFound => bail!("another operator deleted key {} at this moment", key.id),
            Deletion::InUse => bail!("key {0} still works; revoke it first: levee key revoke {0}", key.id),
        }
    };
    let (marked, detail) = ([RecordId::Key(key.id.clone())], format!("name '{}'", key.name));
    let ((), effective) = context.change_and_publish("key.delete", &called(&key), detail, &marked, deleting).await?;
    effective.tell();
    let json = json!({ "id": key.id, "deleted": true, "effective": effective });
    context.output.say(&json, || format!("key {} is deleted", key.id))
}

fn between(before: &KeyRecord, after: &KeyRecord) -> Changes {
    let end = |key: &KeyRecord| moment(key.expires_at).unwrap_or_else(|| "never".to_owned());
    Changes::default()
        .add("name", &before.name, &after.name)
        .add("scopes", scopes(&before.scopes), scopes(&after.scopes))
        .add("expires", end(before), end(after))
        .add("address_exempt", before.address_exempt, after.address_exempt)
}
