//! Context of every command: the stack that it works on, its output and its user.

use anyhow::Context as _;
use levee::accounts::{AccountDetail, AccountsTableError, Integration, KeyRecord};
use levee::admins::{self, AuditEntry, ChangeError};
use levee::breaker::OverrideError;
use levee::catalogs::CatalogsTableError;
use levee::clock::Timestamp;
use levee::config;
use levee::limits::versions::RecordId;
use levee::text::is_invisible;

use crate::effect::Effect;
use crate::error::usage;
use crate::output::{Output, aside};
use crate::place::{self, Area, NoKey, Place};
use crate::target::{Target, TargetArgs};

/// Longest user name in the audit, in characters.
const LONGEST_USER: usize = 64;
/// Number of integrations or keys per read.
const PAGE: usize = 100;

/// Context of every command.
pub(crate) struct Context {
    pub(crate) target: Target,
    pub(crate) output: Output,
    actor: String,
}

impl Context {
    pub(crate) async fn open(target: &TargetArgs, json: bool) -> anyhow::Result<Self> {
        let actor = actor(&user()?);
        Ok(Self { target: target.open().await?, output: Output::new(json), actor })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.target.clock.now()
    }

    /// Returns the name of this command's user in the audit.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// Writes a change to the audit, then makes it. A change that cannot be recorded is not made.
    pub(crate) async fn change<T>(
        &self,
        action: &str,
        target: &str,
        detail: String,
        change: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let record = |detail: String| {
            let (at, actor) = (self.now().as_millis(), self.actor.clone());
            let (action, target) = (action.to_owned(), target.to_owned());
            AuditEntry { at, actor, action, target, detail, request_id: None }
        };
        // Write the audit.
        let recorded = self.target.admins.audit(&record(detail)).await;
        recorded.context("nothing was changed, as it could not be written to the record of changes")?;
        // Make the change.
        let error = match change.await {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        // Record that it failed, or that its outcome is unknown.
        let is_open = may_be_done(&error);
        let end = if is_open { "not known whether it was done" } else { "not done" };
        let missed = self.target.admins.audit(&record(format!("{end}: {error:#}"))).await;
        if let Err(missed) = missed {
            aside(&format!("warning: the record of changes has this as done: {missed}"));
        }
        // Point out an unknown outcome.
        Err(if is_open {
            error.context(format!("it is not known whether {target} was changed; look at it"))
        } else {
            error
        })
    }

    /// Makes a change as [`Context::change`] does, and publishes it. Returns the time of effect. A failed change is
    /// published too: it may have been written although the answer was lost.
    pub(crate) async fn change_and_publish<T>(
        &self,
        action: &str,
        target: &str,
        detail: String,
        changed: &[RecordId],
        change: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Effect)> {
        match self.change(action, target, detail, change).await {
            Ok(made) => Ok((made, self.publish(changed).await)),
            Err(error) => {
                self.publish_again(changed).await;
                Err(error)
            }
        }
    }

    /// Publishes the present state without a change: an earlier change may not have been published.
    pub(crate) async fn publish_again(&self, changed: &[RecordId]) {
        // If this fails, the state takes effect by itself a little later.
        let _published = self.target.publish(changed, self.now()).await;
    }

    /// Publishes a change, so that it takes effect at once. If this fails, prints a warning: the change takes effect
    /// by itself a little later.
    pub(crate) async fn publish(&self, changed: &[RecordId]) -> Effect {
        match self.target.publish(changed, self.now()).await {
            Ok(()) => Effect::AtOnce,
            Err(error) => {
                let (at_once, soon) = (Effect::AtOnce, Effect::Soon);
                aside(&format!("warning: The change is made. It takes effect {soon}, not {at_once}: {error:#}"));
                Effect::Soon
            }
        }
    }

    /// Makes a change to the catalogs as [`Context::change`] does, and publishes it. Returns the time of effect.
    pub(crate) async fn change_catalogs<T>(
        &self,
        action: &str,
        target: &str,
        detail: String,
        change: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Effect)> {
        // A failed change is published too: it may have been written although the answer was lost.
        let changed = self.change(action, target, detail, change).await;
        let published = self.target.publish_catalogs().await;
        let made = changed?;
        Ok((
            made,
            match published {
                Ok(()) => Effect::AtOnce,
                Err(error) => {
                    let (at_once, late) = (Effect::AtOnce, Effect::Late);
                    aside(&format!("warning: The change is made. It takes effect {late}, not {at_once}: {error:#}"));
                    Effect::Late
                }
            },
        ))
    }

    /// Publishes the present catalogs without a change: an earlier change may not have been published.
    pub(crate) async fn publish_catalogs_again(&self) {
        // If this fails, the catalogs take effect by themselves a little later.
        let _published = self.target.publish_catalogs().await;
    }

    /// Reads an account with its integrations and keys. Fails if it does not exist.
    pub(crate) async fn account(&self, id: &str) -> anyhow::Result<AccountDetail> {
        let detail = self.target.accounts.account(id).await?;
        let missing = || format!("there is no account {id}; list them with: levee account list");
        detail.with_context(missing)
    }

    /// Reads an integration. Fails if it does not exist.
    pub(crate) async fn integration(&self, place: &Place) -> anyhow::Result<Integration> {
        let Place { account, integration } = place;
        let found = self.target.accounts.integration(account, integration).await?;
        found.with_context(|| {
            format!("there is no integration {place}; list them with: levee integration list {account}")
        })
    }

    /// Reads all integrations of an account.
    pub(crate) async fn integrations(&self, account: &str) -> anyhow::Result<Vec<Integration>> {
        let (mut integrations, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = self.target.accounts.integrations(account, after.as_deref(), PAGE).await?;
            integrations.extend(page);
            after = next;
            if after.is_none() {
                return Ok(integrations);
            }
        }
    }

    /// Reads all keys of an account or of one of its integrations.
    pub(crate) async fn keys(&self, area: &Area) -> anyhow::Result<Vec<KeyRecord>> {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let table = &self.target.accounts;
            let (page, next) = table.keys(&area.account, area.integration.as_deref(), after.as_deref(), PAGE).await?;
            keys.extend(page);
            after = next;
            if after.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Reads the key with the id `text`. Fails if it does not exist.
    pub(crate) async fn key(&self, text: &str) -> anyhow::Result<KeyRecord> {
        self.key_of(place::key_id(text)).await
    }

    /// Reads the key with a parsed id. Fails if the text was no id, or if the key does not exist.
    pub(crate) async fn key_of(&self, id: Result<String, NoKey>) -> anyhow::Result<KeyRecord> {
        let id = id.map_err(|error| usage(error.to_string()))?;
        let found = self.target.accounts.key(&id).await?;
        found.with_context(|| format!("there is no key {id}; list an account's keys with: levee key list ACCOUNT"))
    }
}

/// Returns the name of the user that runs this command, for the audit. `USER` is not set everywhere, for instance not
/// in containers. The operating system still knows the name.
fn user() -> anyhow::Result<String> {
    let named = config::from_environment(|reader| reader.optional("USER").or_else(|| reader.optional("LOGNAME")))?;
    Ok(named.unwrap_or_else(|| whoami::username().unwrap_or_default()))
}

/// Returns true if a change that failed with `error` may have been made: its write was not answered, or the store does not
/// tell.
fn may_be_done(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(AccountsTableError::Unanswered(_)))
            || matches!(cause.downcast_ref(), Some(CatalogsTableError::Unanswered(_)))
            || matches!(cause.downcast_ref(), Some(ChangeError::Unavailable(_)))
            || matches!(cause.downcast_ref(), Some(OverrideError::Table(_)))
            || cause.is::<admins::AdminsTableError>()
    })
}

/// Formats a user name for the audit, without control characters and invisible ones.
fn actor(user: &str) -> String {
    let is_seen = |character: &char| !character.is_control() && !is_invisible(*character);
    let user: String = user.chars().filter(is_seen).take(LONGEST_USER).collect();
    format!("cli:{}", if user.is_empty() { "unknown" } else { &user })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_may_be_done_where_the_store_did_not_answer() {
        let unanswered = anyhow::Error::from(AccountsTableError::Unanswered("no answer".to_owned()));
        assert!(may_be_done(&unanswered.context("while it was written")));
        assert!(!may_be_done(&AccountsTableError::DynamoDb("AccessDenied: no".to_owned()).into()));
        assert!(!may_be_done(&anyhow::anyhow!("another operator deleted it")));
    }

    #[test]
    fn the_actor_is_the_user_in_one_short_line() {
        assert_eq!(actor("ada"), "cli:ada");
        assert_eq!(actor(""), "cli:unknown");
        assert_eq!(actor("a\nb\u{202e}"), "cli:ab");
        assert_eq!(actor(&"x".repeat(100)).len(), 4 + LONGEST_USER);
    }
}
