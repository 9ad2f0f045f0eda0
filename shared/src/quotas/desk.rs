//! Requests from their arrival to their end, over the stores. Start reading at [`QuotaDesk::submit`].

use std::sync::Arc;

use super::ask::{AskError, IdempotencyKey, QuotaAsk};
use super::decision::{AdminDecision, DecisionError, decide, with_grant};
use super::evidence::{Evidence, PoolEvidence, TRIAL_DAYS};
use super::judge::judge;
use super::request::{Author, EventKind, QuotaRequest, RequestState};
use super::rules::QuotaRules;
use super::table::{Conflict, REPLAYED_SECS, Replay, RequestsTable};
use crate::accounts::publication::PublicationError;
use crate::accounts::{AccountsTable, AccountsTableError, GrantSubject, Owner, publish};
use crate::clock::Timestamp;
use crate::limits::versions::RecordId;
use crate::limits::{
    Algorithm, AppliedLimit, Charge, LARGEST_LIMIT, LimitsConfig, Overrides, Party, Policy, PolicyScope, Subject,
    present,
};
use crate::statistics::{Counted, Day, StatisticsTable, StatisticsTableError};
use crate::stores::redis::Redis;

/// Attempts at a request while the account's grants change.
const ATTEMPTS: usize = 4;
/// Largest number of requests of an account within a day.
const MOST_A_DAY: usize = 20;
const DAY_SECS: u64 = 24 * 3600;

/// Customer who makes a request.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Account's id.
    pub account: &'a str,
    /// Id of the integration that the key belongs to.
    pub integration: &'a str,
    /// Id of the key.
    pub key: &'a str,
}

/// Outcome of [`QuotaDesk::submit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The stored request.
    pub request: QuotaRequest,
    /// True if it was stored before, under the same idempotency key.
    pub is_replay: bool,
}

/// Errors of [`QuotaDesk::submit`].
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The request is wrong; the message is public.
    #[error(transparent)]
    Wrong(#[from] AskError),
    /// The policy or the limit cannot be requested; the message is public.
    #[error("{0}")]
    NotPossible(String),
    /// A request about the same policy waits.
    #[error("a request about this policy waits already: {0}")]
    Open(String),
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for another request")]
    KeyReused,
    /// The account has made too many requests within a day.
    #[error("too many requests within a day")]
    TooMany,
    /// The account's grants changed all the time.
    #[error("the grants of the account change all the time")]
    Contended,
    /// The tables could not be read or written.
    #[error(transparent)]
    Accounts(#[from] AccountsTableError),
    /// The statistics could not be read.
    #[error(transparent)]
    Statistics(#[from] StatisticsTableError),
}

/// Desk that takes requests, judges them, and keeps them.
pub struct QuotaDesk {
    accounts: AccountsTable,
    requests: RequestsTable,
    redis: Arc<Redis>,
}

impl QuotaDesk {
    /// Creates a desk over the accounts table and the requests in it; `redis` has the versions that environments check.
    pub fn new(accounts: AccountsTable, requests: RequestsTable, redis: Arc<Redis>) -> Self {
        Self { accounts, requests, redis }
    }

    /// Returns the requests, for listings.
    pub fn requests(&self) -> &RequestsTable {
        &self.requests
    }

    /// Returns the account, the integration and the platform's defaults that decide about a caller's limits.
    ///
    /// # Errors
    /// [`AccountsTableError`] if the table cannot be read. `None` if the caller's account or integration is gone.
    pub async fn owner(&self, asker: Asker<'_>) -> Result<Option<(Owner, Overrides, Overrides)>, AccountsTableError> {
        let (owner, platform, key) = tokio::try_join!(
            self.accounts.owner(asker.account, asker.integration),
            self.accounts.platform(),
            self.accounts.key(asker.key),
        )?;
        Ok(owner.map(|owner| (owner, platform.limits, key.map(|key| key.limits).unwrap_or_default())))
    }

    /// Takes a request, judges it, and stores it with the grant that follows.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was stored.
    pub async fn submit(
        &self,
        asker: Asker<'_>,
        ask: QuotaAsk,
        idempotency: &IdempotencyKey,
        (limits, rules, statistics): (&LimitsConfig, &QuotaRules, &StatisticsTable),
        now: Timestamp,
    ) -> Result<Submitted, SubmitError> {
        let (key_digest, digest) = (idempotency.digest(), ask.digest());
        for _ in 0..ATTEMPTS {
            // Return the request that was made with this key before.
            if let Some(replay) = self.requests.replay(asker.account, &key_digest, now).await? {
                return self.replayed(asker, &replay, &digest).await;
            }
            self.check_number(asker, now).await?;

            // Find the limit that is meant, and judge the request by its evidence.
            let grants = self.accounts.grants(asker.account).await?;
            let Some((owner, platform, of_key)) = self.owner(asker).await? else {
                return Err(SubmitError::NotPossible(
                    "The account or the integration does not exist any more.".to_owned(),
                ));
            };
            let party = party(asker, &owner, &of_key);
            let applied = limits.applied(party, &platform, now);
            let (subject, applied) = requested(&applied, asker, &ask)?;
            let evidence = Evidence {
                account_created_at: owner.account.created_at,
                present: applied.policy().limit,
                source: applied.source,
                standard: applied.standard,
                days_observed: 0,
                windows: 0,
                demand_p95: None,
                days_refused: 0,
                used_today: 0,
                refused_today: 0,
                last_granted_at: grants.grants.get(&subject).map(|grant| grant.granted_at),
                pool: self.pool(limits, applied, &platform, now).await,
                would_refuse: None,
            };
            let (counted, today) = (counted(applied, asker), Day::from_timestamp(now));
            let rows = statistics.of_part(asker.account, &counted, today.back(TRIAL_DAYS - 1), today).await?;
            let evidence = evidence.with_statistics(&rows, &counted, &ask.policy, ask.limit, today);
            let judgement = judge(ask.limit, ask.until, &evidence, rules, now);

            // Store the request, its key and the grant, all or nothing.
            let judged = (evidence, judgement);
            let id = new_id(now);
            let request = QuotaRequest::new(id, asker.account, subject.clone(), ask.clone(), asker.key, judged, now);
            let granted = request.grant().map(|grant| with_grant(&grants, &subject, grant, now));
            let granted = granted.transpose().map_err(SubmitError::NotPossible)?;
            let ttl = now.as_secs() + REPLAYED_SECS;
            let replay = Replay { request: request.id.clone(), digest: digest.clone(), ttl };
            match self.requests.create(&request, (&key_digest, &replay), &grants, granted.as_ref()).await? {
                None => {
                    if granted.is_some() {
                        self.publish(asker.account, now).await;
                    }
                    return Ok(Submitted { request, is_replay: false });
                }
                Some(Conflict::Open) => {
                    let open = self.requests.open(asker.account, &subject).await?;
                    return Err(SubmitError::Open(open.unwrap_or_default()));
                }
                // Judge it again: another request was made meanwhile.
                Some(Conflict::Replayed | Conflict::Grants) => {}
            }
        }
        Err(SubmitError::Contended)
    }

    async fn replayed(&self, asker: Asker<'_>, replay: &Replay, digest: &str) -> Result<Submitted, SubmitError> {
        // The same key with other contents is a mistake of the client.
        if replay.digest != *digest {
            return Err(SubmitError::KeyReused);
        }
        let request = self.requests.request(asker.account, &replay.request).await?;
        let gone = || SubmitError::NotPossible("The request that was made with this key is gone.".to_owned());
        Ok(Submitted { request: request.ok_or_else(gone)?, is_replay: true })
    }

    /// Refuses the request if the account has made too many within a day.
    async fn check_number(&self, asker: Asker<'_>, now: Timestamp) -> Result<(), SubmitError> {
        let page = self.requests.requests(asker.account, None, MOST_A_DAY).await?;
        let lately = page.requests.iter().filter(|it| now.as_secs() < it.created_at + DAY_SECS).count();
        if lately >= MOST_A_DAY { Err(SubmitError::TooMany) } else { Ok(()) }
    }

    /// Returns the state of the pool that calls under `applied` are counted in as well.
    async fn pool(
        &self,
        limits: &LimitsConfig,
        applied: &AppliedLimit,
        platform: &Overrides,
        now: Timestamp,
    ) -> Option<PoolEvidence> {
        let is_in_flight = |policy: &Policy| policy.algorithm == Algorithm::Concurrency;
        let policy = applied.policy();
        let is_alike = |pool: &Policy| is_in_flight(pool) == is_in_flight(policy) && pool.window == policy.window;
        // Find the pool that counts in the same way, over the same window.
        let pool = limits.pool(applied.class, platform, now).into_iter().find(|(pool, _)| is_alike(pool));
        let (policy, share) = pool?;
        let limit = policy.limit;
        let charges = [&Charge { policy, subject: Subject("all".to_owned()), weight: 1 }];
        // Look at the window before as well: the present one may have just begun.
        let before = Timestamp::from_millis(applied.policy().window.start(now).as_millis().saturating_sub(1));
        let (last, current) = tokio::join!(present(&self.redis, &charges, before), present(&self.redis, &charges, now));
        let used = match (last, current) {
            (Ok(last), Ok(current)) => last.iter().chain(&current).map(|reading| reading.used).max(),
            _ => None,
        };
        Some(PoolEvidence { limit, share, used })
    }

    /// Cancels a waiting request of an account, by one of its keys.
    ///
    /// # Errors
    /// [`DecisionError`]; nothing was changed.
    pub async fn cancel(
        &self,
        account: &str,
        id: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<QuotaRequest, DecisionError> {
        let request = self.requests.request(account, id).await?.ok_or(DecisionError::NotFound)?;
        // Only a request that nobody has decided can be cancelled.
        if request.state != RequestState::Pending {
            let state = request.state.name();
            return Err(DecisionError::NotPossible(format!(
                "The request is {state}: only a pending one can be cancelled."
            )));
        }
        let by = Author::Key(key.to_owned());
        let cancelled = request.changed(RequestState::Cancelled, EventKind::Cancelled, by, "", now);
        if self.requests.replace(&cancelled, None).await? { Ok(cancelled) } else { Err(DecisionError::Changed) }
    }

    /// Applies an admin's decision to the request `id` of an account, as [`decide`] does, and publishes the grant: it is in
    /// force at the next request if Redis can be reached, and within a minute otherwise.
    ///
    /// # Errors
    /// [`DecisionError`]; nothing was changed.
    pub async fn decide(
        &self,
        account: &str,
        id: &str,
        decision: &AdminDecision,
        admin: &str,
        now: Timestamp,
    ) -> Result<QuotaRequest, DecisionError> {
        let tables = (&self.accounts, &self.requests);
        let (decided, has_changed_grants) = decide(tables, (account, id), decision, admin, now).await?;
        if has_changed_grants {
            self.publish(account, now).await;
        }
        Ok(decided)
    }

    /// Makes environments notice the grants at their next request.
    async fn publish(&self, account: &str, now: Timestamp) {
        let changed = [RecordId::Grants(account.to_owned())];
        let published: Result<(), PublicationError> = publish(&self.accounts, &self.redis, &changed, now).await;
        if let Err(error) = published {
            tracing::warn!(code = "quotas.unpublished", account.id = account, %error, "a grant takes effect within a minute");
        }
    }
}

/// Returns the caller with the overrides that apply to it.
fn party<'a>(asker: Asker<'a>, owner: &'a Owner, of_key: &'a Overrides) -> Party<'a> {
    Party {
        account: asker.account,
        integration: asker.integration,
        key: asker.key,
        of_account: &owner.account.limits,
        of_integration: &owner.integration.limits,
        of_key,
    }
}

/// Finds the limit that `ask` is about among those that apply to the asker.
fn requested<'a>(
    applied: &'a [AppliedLimit],
    asker: Asker<'_>,
    ask: &QuotaAsk,
) -> Result<(GrantSubject, &'a AppliedLimit), SubmitError> {
    let is_meant = |limit: &&AppliedLimit| limit.policy().name == ask.policy && limit.policy().is_raisable();
    let Some(limit) = applied.iter().find(is_meant) else {
        let names: Vec<&str> = applied
            .iter()
            .filter(|limit| limit.policy().is_raisable())
            .map(|limit| limit.policy().name.as_str())
            .collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(SubmitError::NotPossible(format!(
            "There is no limit '{}' that may be raised. The limits are: {names}.",
            ask.policy
        )));
    };
    // A request raises a limit.
    let present = limit.policy().limit;
    if ask.limit <= present {
        return Err(SubmitError::NotPossible(format!(
            "'limit' is above the present limit of {present}, and at most {LARGEST_LIMIT}."
        )));
    }
    let integration = (limit.policy().scope == PolicyScope::Integration).then(|| asker.integration.to_owned());
    Ok((GrantSubject { integration, policy: ask.policy.clone() }, limit))
}

/// Returns the part of the account whose statistics have the policy.
fn counted(applied: &AppliedLimit, asker: Asker<'_>) -> Counted {
    match applied.policy().scope {
        PolicyScope::Integration => Counted::Integration(asker.integration.to_owned()),
        PolicyScope::AccountClass => Counted::Class(applied.class.name().to_owned()),
        PolicyScope::Key => Counted::Key(asker.key.to_owned()),
        _ => Counted::Account,
    }
}

/// Returns a new id. Ids sort by time.
fn new_id(now: Timestamp) -> String {
    format!("qr-{:011x}{:08x}", now.as_millis(), rand::random::<u32>())
}

#[cfg(test)]
mod tests;
