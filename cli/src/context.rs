//! What every command works with: where it works, how it prints, and who runs it.

use anyhow::Context as _;
use levee::accounts::{AccountDetail, Integration, KeyRecord, TableError};
use levee::admins::AuditEntry;
use levee::clock::Timestamp;
use levee::config;
use levee::limits::markers::Marked;
use levee::text::is_invisible;

use crate::effect::Effect;
use crate::error::usage;
use crate::output::{Output, aside};
use crate::place::{self, Area, NoKey, Place};
use crate::target::{Target, TargetArgs};

/// The longest user name that is written down.
const LONGEST_USER: usize = 64;
/// How many integrations or keys are asked for at once.
const PAGE: usize = 100;

/// What every command works with.
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

    /// Who runs this command.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// Makes a change. It is written to the record of changes first: a change that cannot be recorded is not made.
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
        let recorded = self.target.admins.audit(&record(detail)).await;
        recorded.context("nothing was changed, as it could not be written to the record of changes")?;
        let error = match change.await {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let is_open = matches!(error.downcast_ref(), Some(TableError::Unanswered(_)));
        let end = if is_open { "not known whether it was done" } else { "not done" };
        let missed = self.target.admins.audit(&record(format!("{end}: {error:#}"))).await;
        if let Err(missed) = missed {
            aside(&format!("warning: the record of changes has this as done: {missed}"));
        }
        Err(if is_open {
            error.context(format!("it is not known whether {target} was changed; look at it"))
        } else {
            error
        })
    }

    /// Makes a change as [`Context::change`] does and makes it take effect at once; returns when it does. One that failed may have
    /// been made all the same, by a write whose answer was lost, so that what holds now is published then too.
    pub(crate) async fn change_and_publish<T>(
        &self,
        action: &str,
        target: &str,
        detail: String,
        changed: &[Marked],
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

    /// Publishes what holds, where nothing is to be changed: a change before this one may not have come so far.
    pub(crate) async fn publish_again(&self, changed: &[Marked]) {
        // Where that fails, it takes effect by itself a little later.
        let _published = self.target.publish(changed, self.now()).await;
    }

    /// Makes a change that was made take effect at once. Where that fails it takes effect by itself a little later, which
    /// is told as a warning.
    pub(crate) async fn publish(&self, changed: &[Marked]) -> Effect {
        match self.target.publish(changed, self.now()).await {
            Ok(()) => Effect::AtOnce,
            Err(error) => {
                let (at_once, soon) = (Effect::AtOnce, Effect::Soon);
                aside(&format!("warning: The change is made. It takes effect {soon}, not {at_once}: {error:#}"));
                Effect::Soon
            }
        }
    }

    /// The account with what belongs to it; it must be there.
    pub(crate) async fn account(&self, id: &str) -> anyhow::Result<AccountDetail> {
        let detail = self.target.accounts.account(id).await?;
        let missing = || format!("there is no account {id}; list them with: levee account list");
        detail.with_context(missing)
    }

    /// The integration, which must be there.
    pub(crate) async fn integration(&self, place: &Place) -> anyhow::Result<Integration> {
        let Place { account, integration } = place;
        let found = self.target.accounts.integration(account, integration).await?;
        found.with_context(|| {
            format!("there is no integration {place}; list them with: levee integration list {account}")
        })
    }

    /// All integrations of an account.
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

    /// All keys of an account or of one of its integrations.
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

    /// The key with the id `text`, which must be there.
    pub(crate) async fn key(&self, text: &str) -> anyhow::Result<KeyRecord> {
        self.key_of(place::key_id(text)).await
    }

    /// The key with the id that was given, if one was; it must be there.
    pub(crate) async fn key_of(&self, id: Result<String, NoKey>) -> anyhow::Result<KeyRecord> {
        let id = id.map_err(|error| usage(error.to_string()))?;
        let found = self.target.accounts.key(&id).await?;
        found.with_context(|| format!("there is no key {id}; list an account's keys with: levee key list ACCOUNT"))
    }
}

/// Returns the name of the user who runs this command, for the record of changes. `USER` is not set everywhere, in
/// containers for instance; the operating system knows the name all the same.
fn user() -> anyhow::Result<String> {
    let named = config::from_environment(|reader| reader.optional("USER").or_else(|| reader.optional("LOGNAME")))?;
    Ok(named.unwrap_or_else(|| whoami::username().unwrap_or_default()))
}

fn actor(user: &str) -> String {
    let is_seen = |character: &char| !character.is_control() && !is_invisible(*character);
    let user: String = user.chars().filter(is_seen).take(LONGEST_USER).collect();
    format!("cli:{}", if user.is_empty() { "unknown" } else { &user })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actor_is_the_user_in_one_short_line() {
        assert_eq!(actor("ada"), "cli:ada");
        assert_eq!(actor(""), "cli:unknown");
        assert_eq!(actor("a\nb\u{202e}"), "cli:ab");
        assert_eq!(actor(&"x".repeat(100)).len(), 4 + LONGEST_USER);
    }
}
