//! Requests in the accounts table.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `REQUESTS#<account>` | `REQUEST#<id>` | [`QuotaRequest`] |
//! | `REQUESTS#<account>` | `OPEN#<subject>` | id of the waiting request about a policy |
//! | `REQUESTS#<account>` | `REPLAY#<digest>` | id and digest of the request that was made with an idempotency key |
//!
//! The index `listing` has the requests of all accounts, as `REQUESTS#pending` and `REQUESTS#decided`. Rows expire by
//! `ttl`: requests after 400 days, idempotency keys after a day.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;

use super::request::{QuotaRequest, RequestState};
use crate::accounts::table::{from_item, grants_key, key};
use crate::accounts::{AccountsTableError, GrantSubject, Grants};
use crate::clock::Timestamp;
use crate::stores::dynamodb::writes::{Item, Row, Write, apply};

const INDEX: &str = "listing";
const DAY_SECS: u64 = 24 * 3600;
/// Time for which a request is kept, in days.
const KEPT_DAYS: u64 = 400;
/// Time for which an idempotency key is known, seconds.
pub(super) const REPLAYED_SECS: u64 = DAY_SECS;

/// Attributes that a change of a request may change.
const CHANGING: [&str; 8] =
    ["state", "explanation", "granted", "granted_until", "events", "revision", "list", "list_sort"];

/// Errors of reading or writing requests are those of the accounts table.
pub type QuotaTableError = AccountsTableError;

/// List of requests of all accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestList {
    /// Requests that wait for an admin.
    Pending,
    /// All others.
    Decided,
}

impl RequestList {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "REQUESTS#pending",
            Self::Decided => "REQUESTS#decided",
        }
    }

    fn for_state(state: RequestState) -> Self {
        if state == RequestState::Pending { Self::Pending } else { Self::Decided }
    }
}

/// RequestPage of requests, and the position to continue from if there are more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestPage {
    /// Requests.
    pub requests: Vec<QuotaRequest>,
    /// Position of the next page.
    pub next: Option<String>,
}

/// Request that was made with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Replay {
    /// Id of the request.
    pub request: String,
    /// Digest of its parts.
    pub digest: String,
    /// End of the key, Unix seconds.
    pub ttl: u64,
}

/// Reason for which a request was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    /// A request about the same policy waits.
    Open,
    /// The idempotency key was used meanwhile.
    Replayed,
    /// The account's grants have changed.
    Grants,
}

/// Handle to the requests.
#[derive(Debug, Clone)]
pub struct RequestsTable {
    client: Client,
    name: String,
}

impl RequestsTable {
    /// Creates a handle to the requests in the accounts table of the given name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Stores a new request with its idempotency key. `grants` are the account's grants as they were judged, and `grant`
    /// the ones that replace them. Returns the conflict if nothing was stored.
    pub(super) async fn create(
        &self,
        request: &QuotaRequest,
        replay: (&str, &Replay),
        grants: &Grants,
        granted: Option<&Grants>,
    ) -> Result<Option<Conflict>, QuotaTableError> {
        let open = open_key(&request.account, &request.subject());
        // Only one request about a policy may wait. One that is granted at once requires that none does.
        let guard = match request.state {
            RequestState::Pending => {
                let id = Item::from([("request".to_owned(), AttributeValue::S(request.id.clone()))]);
                Write::Create(open.into_iter().chain(id).collect())
            }
            _ => Write::Check(Row::new(open).only_if("attribute_not_exists(pk)")),
        };
        let (digest, replay) = replay;
        let mut row: Item = serde_dynamo::to_item(replay).map_err(|error| malformed(&request.id, &error))?;
        row.extend(replay_key(&request.account, digest));
        // An idempotency key that has ended may still have a row.
        let now = AttributeValue::N(request.created_at.to_string());
        let replayed = Row::new(replay_key(&request.account, digest))
            .only_if("attribute_not_exists(pk) OR #ttl <= :now")
            .set_as_in(&row, &["request", "digest", "ttl"])
            .with(&[("#ttl", "ttl")], &[(":now", now)]);
        let grants_row = grants_write(&request.account, grants, granted)?;
        let writes = vec![Write::Create(item(request)?), guard, Write::Update(replayed), grants_row];
        let refused = apply(&self.client, &self.name, writes).await?;
        Ok(refused.map(|refused| match refused[..] {
            [_, _, true, _] => Conflict::Replayed,
            [_, true, ..] => Conflict::Open,
            _ => Conflict::Grants,
        }))
    }

    /// Replaces a request, on the condition that it has the revision before that of `request`. `grants` are the account's
    /// grants as they were read, and those that replace them. Returns false if the request or the grants have changed.
    pub(super) async fn replace(
        &self,
        request: &QuotaRequest,
        grants: Option<(&Grants, &Grants)>,
    ) -> Result<bool, QuotaTableError> {
        let was = AttributeValue::N((request.revision - 1).to_string());
        let new = item(request)?;
        let row = Row::new(request_key(&request.account, &request.id))
            .only_if("#revision = :was")
            .with(&[("#revision", "revision")], &[(":was", was)])
            .set_as_in(&new, &CHANGING);
        // A request that is no longer pending gives up its place.
        let open = Write::Delete(Row::new(open_key(&request.account, &request.subject())).only_if_request(&request.id));
        let mut writes = vec![Write::Update(row), open];
        if let Some((old, new)) = grants {
            writes.push(grants_write(&request.account, old, Some(new))?);
        }
        Ok(apply(&self.client, &self.name, writes).await?.is_none())
    }

    /// Returns the request with this id of an account, by a consistent read.
    ///
    /// # Errors
    /// [`QuotaTableError`] if it cannot be read.
    pub async fn request(&self, account: &str, id: &str) -> Result<Option<QuotaRequest>, QuotaTableError> {
        self.get(request_key(account, id)).await
    }

    /// Returns the request that was made with an idempotency key, if the key has not ended at `now`.
    pub(super) async fn replay(
        &self,
        account: &str,
        digest: &str,
        now: Timestamp,
    ) -> Result<Option<Replay>, QuotaTableError> {
        let replay: Option<Replay> = self.get(replay_key(account, digest)).await?;
        Ok(replay.filter(|replay| now.as_secs() < replay.ttl))
    }

    /// Returns the id of the request about `subject` that waits.
    pub(super) async fn open(&self, account: &str, subject: &GrantSubject) -> Result<Option<String>, QuotaTableError> {
        #[derive(serde::Deserialize)]
        struct Open {
            request: String,
        }
        Ok(self.get::<Open>(open_key(account, subject)).await?.map(|open| open.request))
    }

    /// Returns at most `limit` requests of an account, the newest first, after the id `after`.
    ///
    /// # Errors
    /// [`QuotaTableError`] if they cannot be read.
    pub async fn requests(
        &self,
        account: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RequestPage, QuotaTableError> {
        // Ids sort by time, and the next page ends below the last one of this page.
        let below = after.map_or_else(|| "~".to_owned(), str::to_owned);
        let query = self
            .query("pk", partition(account), ("sk", "REQUEST#".to_owned(), format!("REQUEST#{below}")))
            .consistent_read(true)
            .scan_index_forward(false);
        let position = |request: &QuotaRequest| request.id.clone();
        page(query, after, limit, position).await
    }

    /// Returns at most `limit` requests of all accounts after the position `after`: waiting ones the oldest first,
    /// decided ones the newest first. The index follows the table within about a second.
    ///
    /// # Errors
    /// [`QuotaTableError`] if they cannot be read.
    pub async fn listed(
        &self,
        list: RequestList,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RequestPage, QuotaTableError> {
        let is_forward = list == RequestList::Pending;
        let (from, to) = match (after, is_forward) {
            (Some(after), true) => (after.to_owned(), "~".to_owned()),
            (Some(after), false) => (String::from("!"), after.to_owned()),
            (None, _) => (String::from("!"), "~".to_owned()),
        };
        // Read the list in its order.
        let query = self
            .query("list", list.name().to_owned(), ("list_sort", from, to))
            .index_name(INDEX)
            .scan_index_forward(is_forward);
        page(query, after, limit, list_sort).await
    }

    fn query(&self, hash: &str, value: String, (range, from, to): (&str, String, String)) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .key_condition_expression("#hash = :hash AND #range BETWEEN :from AND :to")
            .expression_attribute_names("#hash", hash)
            .expression_attribute_names("#range", range)
            .expression_attribute_values(":hash", AttributeValue::S(value))
            .expression_attribute_values(":from", AttributeValue::S(from))
            .expression_attribute_values(":to", AttributeValue::S(to))
    }

    async fn get<T: DeserializeOwned>(&self, key: Item) -> Result<Option<T>, QuotaTableError> {
        let request = self.client.get_item().table_name(&self.name).consistent_read(true).set_key(Some(key));
        let item = request.send().await.map_err(|error| AccountsTableError::from_sdk(&error))?.item;
        item.map(from_item).transpose()
    }
}

impl Row {
    /// Requires that the row does not exist, or names the request `id`.
    fn only_if_request(self, id: &str) -> Self {
        self.only_if("attribute_not_exists(pk) OR #request = :request")
            .with(&[("#request", "request")], &[(":request", AttributeValue::S(id.to_owned()))])
    }
}

/// Reads a page. A query from a position includes that position, which is left out.
async fn page(
    query: QueryFluentBuilder,
    after: Option<&str>,
    limit: usize,
    position: impl Fn(&QuotaRequest) -> String,
) -> Result<RequestPage, QuotaTableError> {
    let mut page = RequestPage::default();
    let mut start = None;
    loop {
        // QuotaAsk for the position itself and for one more, which tells whether there are more.
        let missing = i32::try_from(limit + 2 - page.requests.len()).unwrap_or(i32::MAX);
        let answer = query.clone().limit(missing).set_exclusive_start_key(start).send().await;
        let answer = answer.map_err(|error| AccountsTableError::from_sdk(&error))?;
        for item in answer.items.unwrap_or_default() {
            let request: QuotaRequest = from_item(item)?;
            if after != Some(position(&request).as_str()) {
                page.requests.push(request);
            }
        }
        start = answer.last_evaluated_key;
        if start.is_none() || page.requests.len() > limit {
            break;
        }
    }
    // Leave out the one that only tells whether there are more.
    let has_more = page.requests.len() > limit;
    page.requests.truncate(limit);
    page.next = page.requests.last().filter(|_| has_more).map(position);
    Ok(page)
}

/// Builds the write of an account's grants, or the check that they are as they were read.
fn grants_write(account: &str, was: &Grants, now: Option<&Grants>) -> Result<Write, QuotaTableError> {
    let was_version = AttributeValue::N(was.version.to_string());
    let condition = if was.version == 0 { "attribute_not_exists(pk)" } else { "#version = :was" };
    // Version 0 stands for no row.
    let row = Row::new(grants_key(account)).only_if(condition);
    let row = if was.version == 0 { row } else { row.with(&[("#version", "version")], &[(":was", was_version)]) };
    let Some(now) = now else { return Ok(Write::Check(row)) };
    let item: Item = serde_dynamo::to_item(now).map_err(|error| malformed(account, &error))?;
    Ok(Write::Update(row.set_as_in(&item, &["version", "grants"])))
}

fn item(request: &QuotaRequest) -> Result<Item, QuotaTableError> {
    let mut item: Item = serde_dynamo::to_item(request).map_err(|error| malformed(&request.id, &error))?;
    item.extend(request_key(&request.account, &request.id));
    // Add the place in the listing, and the end of the row.
    let ttl = request.created_at + KEPT_DAYS * DAY_SECS;
    let list = RequestList::for_state(request.state).name();
    item.insert("ttl".to_owned(), AttributeValue::N(ttl.to_string()));
    item.insert("list".to_owned(), AttributeValue::S(list.to_owned()));
    item.insert("list_sort".to_owned(), AttributeValue::S(list_sort(request)));
    Ok(item)
}

fn list_sort(request: &QuotaRequest) -> String {
    format!("{}#{}", request.id, request.account)
}

fn malformed(key: &str, error: &serde_dynamo::Error) -> QuotaTableError {
    AccountsTableError::Item { key: key.to_owned(), cause: error.to_string() }
}

fn partition(account: &str) -> String {
    format!("REQUESTS#{account}")
}

fn request_key(account: &str, id: &str) -> HashMap<String, AttributeValue> {
    key(partition(account), format!("REQUEST#{id}"))
}

fn open_key(account: &str, subject: &GrantSubject) -> Item {
    key(partition(account), format!("OPEN#{subject}"))
}

fn replay_key(account: &str, digest: &str) -> Item {
    key(partition(account), format!("REPLAY#{digest}"))
}
