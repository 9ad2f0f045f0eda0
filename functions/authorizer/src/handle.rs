//! Authorization of one request, from top to bottom.

use std::time::Instant;

use lambda_runtime::Diagnostic;
use levee::accounts::{self, AuthenticatedKey, Platform, Terms};
use levee::clock::Timestamp;
use levee::http::context::Verdict;
use levee::http::{AuthorizerContext, Caller, RefusalContext};
use levee::limits::tally::group;
use levee::limits::versions::{RecordId, Version};
use levee::limits::{Algorithm, Ask, Charge, Charged, ChargedCall, Class, Decision, Party, Refusal};
use levee::limits::{Route, headers::LimitHeaders};
use serde::Serialize;

use self::Admission::{BadRequest, Forbidden, Limited, Passes};
use crate::config::AuthorizerState;
use crate::event::Event;
use crate::headers::Ambiguous;
use crate::identity::{Client, Identity, find_out};
use crate::report;
use crate::response::{Effect, Response};

/// Context of an answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Context {
    /// The request is passed to its function.
    Passed(Box<AuthorizerContext>),
    /// The gateway refuses the request.
    Refused(Box<RefusalContext>),
}

/// Error of an authorization.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizerFailure {
    /// The request has no valid key. API Gateway answers 401 only to an error with exactly this message.
    #[error("Unauthorized")]
    Unauthorized,
    /// The caller could not be identified. The gateway answers 503.
    #[error("the caller cannot be known: {0}")]
    Unknown(#[from] accounts::Unreachable),
    /// The records were stale in every round.
    #[error("the records changed faster than they were read")]
    Undecided,
    /// The template declares a route for which this function has no rule.
    #[error("no rule for the route {0}")]
    NoRule(String),
}

impl From<AuthorizerFailure> for Diagnostic {
    fn from(failure: AuthorizerFailure) -> Self {
        Self { error_type: "AuthorizationFailure".to_owned(), error_message: failure.to_string() }
    }
}

/// Maximum number of rounds of a decision. A new round begins if a record turned out to be stale. The last round takes
/// the records as they are.
const ROUNDS: usize = 3;

/// Authorizes one request.
///
/// # Errors
/// Returns [`AuthorizerFailure`], which the gateway turns into 401 or 503.
pub async fn handle(state: &AuthorizerState, event: Event) -> Result<Response<Context>, AuthorizerFailure> {
    let route =
        Route::from_resource(&event.resource).ok_or_else(|| AuthorizerFailure::NoRule(event.resource.clone()))?;
    let mut report = report::begin(&event, route);
    let client = Client::new(state, &event);
    if client.address.is_none() {
        report.unknown_address();
        let id = event.request_id();
        tracing::warn!(code = "client_address.unknown", request.id = id, "the address of a client cannot be read");
    }
    // Newer versions of records that markers have named in earlier rounds.
    let mut told = Vec::new();
    for round in 1..=ROUNDS {
        let now = state.limiter.now();

        // Identify the caller, and check whether it may call at all.
        let platform = state.directory.platform(now).await;
        let standing = find_out(state, &event, route, &client, &platform, now, &mut report).await?;
        report.stands(&standing);

        // Charge the limits and check for stale records, in one round trip. The last round checks no records.
        let mut ask = ask(state, &event, route, &client, &platform, &standing, now);
        ask.known.iter_mut().for_each(|known| state.directory.acknowledge(known, &told));
        let (known, leases) = (ask.known.clone(), leases(&ask));
        let charged = Charged::new(&ask.charges, &ask.group, now);
        if round == ROUNDS {
            ask.known.clear();
        }
        let began = Instant::now();
        // Let the same round trip read the version of the catalogs, if the function needs it.
        let (decision, catalogs) = if route.reads_catalogs() {
            state.limiter.check_with_catalogs(ask, now).await
        } else {
            (state.limiter.check(ask, now).await, None)
        };
        // If records were stale, note the newer versions and begin a new round.
        if let Decision::Stale(markers) = &decision {
            report.stale(began.elapsed());
            told = known.into_iter().zip(markers).filter_map(|(known, marker)| newer(known, *marker)).collect();
            told.iter().for_each(|version| state.directory.outdated(version));
            continue;
        }
        report.decided(&decision, began.elapsed());
        return answer(
            state,
            &event,
            route,
            standing,
            decision,
            HeldCall { leases, charged, catalogs },
            state.limiter.now(),
        );
    }
    // Not reached: the last round checks no records, so its decision is never stale.
    Err(AuthorizerFailure::Undecided)
}

/// Places in flight and quota that a call takes if it passes, and the version of the catalogs if it reads them.
struct HeldCall {
    leases: Option<String>,
    charged: Charged,
    catalogs: Option<u64>,
}

/// Largest context, in bytes, to which the charges are still added. API Gateway accepts 8 KB per answer, and the policy
/// and the rest of the answer need some of it.
const LARGEST_CONTEXT: usize = 5_120;

/// Returns the version that a marker names, if it is newer than the known one.
fn newer(known: Version, marker: Option<(u64, bool)>) -> Option<Version> {
    let (version, is_stopped) = marker?;
    (version > known.version).then_some(Version { version, is_stopped, ..known })
}

/// Builds the question to the limiter: the charges of the request, and the records that its standing depends on.
fn ask(
    state: &AuthorizerState,
    event: &Event,
    route: Route,
    client: &Client,
    platform: &Platform,
    standing: &Identity,
    now: Timestamp,
) -> Ask {
    // Choose the class to charge, and collect the records.
    let mut known = vec![Version { of: RecordId::Platform, version: platform.version, is_stopped: false }];
    let id = event.request_id().to_owned();
    let (class, caller) = match standing {
        Identity::Anyone => (route.class(), None),
        Identity::Nobody(_, seen) => {
            known.extend(seen.iter().cloned());
            (Class::FailedAuth, None)
        }
        Identity::Ambiguous(_) => (Class::FailedAuth, None),
        // A forbidden request still costs a function call. Charge it, so that the gateway refuses a flood of them.
        Identity::Forbidden(caller, _) => {
            known.extend(caller.iter().flat_map(AuthenticatedKey::known));
            (Class::FailedAuth, None)
        }
        Identity::Caller(caller) => {
            known.extend(caller.known());
            (route.class(), Some(caller))
        }
    };
    // Compute the charges. An exempt key is not counted by its address.
    let party = caller.map(|AuthenticatedKey { key, owner }| Party {
        account: &owner.account.id,
        integration: &owner.integration.id,
        key: &key.id,
        of_account: &owner.account.limits,
        of_integration: &owner.integration.limits,
        of_key: &key.limits,
    });
    let is_exempt = caller.is_some_and(|caller| caller.key.address_exempt);
    let address = (!is_exempt).then_some(client.pseudonym.as_str());
    let asked = ChargedCall { class, resource: &event.resource, address, party, platform: &platform.limits };
    let charges = state.limits.charges(&asked, now);
    let group = group(party, class, &charges);
    Ask { charges, known, group, id }
}

/// Returns the Redis keys of the places in flight that the call takes if it passes, separated by spaces.
fn leases(ask: &Ask) -> Option<String> {
    let leased = ask.charges.iter().filter(|charge| charge.policy.algorithm == Algorithm::Concurrency);
    let leases: Vec<String> = leased.map(Charge::leases).collect();
    (!leases.is_empty()).then(|| leases.join(" "))
}

/// Turns standing and decision into an answer to the gateway.
fn answer(
    state: &AuthorizerState,
    event: &Event,
    route: Route,
    standing: Identity,
    decision: Decision,
    HeldCall { leases, charged, catalogs }: HeldCall,
    now: Timestamp,
) -> Result<Response<Context>, AuthorizerFailure> {
    // Handle callers that may not call; a limit that refuses them comes first.
    let is_refused = matches!(decision, Decision::Refused(_));
    let limits = || match &decision {
        Decision::Allowed(readings) => LimitHeaders::from_readings(readings, now),
        _ => LimitHeaders::degraded(),
    };
    let caller = match standing {
        Identity::Forbidden(caller, reason) if !is_refused => {
            return Ok(passed(state, event, caller.as_ref(), Forbidden(reason, limits())));
        }
        Identity::Ambiguous(ambiguous) if !is_refused => {
            return Ok(passed(state, event, None, BadRequest(ambiguous, limits())));
        }
        Identity::Forbidden(caller, _) => caller,
        Identity::Nobody(..) if !is_refused => return Err(AuthorizerFailure::Unauthorized),
        Identity::Nobody(..) | Identity::Ambiguous(_) | Identity::Anyone => None,
        Identity::Caller(caller) => Some(caller),
    };
    Ok(match decision {
        Decision::Allowed(readings) => passed(
            state,
            event,
            caller.as_ref(),
            Passes(LimitHeaders::from_readings(&readings, now), leases, charged.to_text(), catalogs),
        ),
        // The decision is never stale here, because the last round checks no records.
        Decision::Unchecked | Decision::Stale(_) => {
            // The script may have run although its reply was lost, so the call keeps its places in flight.
            passed(state, event, caller.as_ref(), Passes(LimitHeaders::degraded(), leases, None, catalogs))
        }
        // The gateway would answer with JSON, so a page for people is refused by its function instead.
        Decision::Refused(refusal) if route.answers_html() => passed(state, event, None, Limited(refusal, now)),
        Decision::Refused(refusal) => {
            let context = RefusalContext::new(&refusal, route, now);
            respond(Effect::Deny, event, caller.as_ref(), Context::Refused(Box::new(context)))
        }
    })
}

/// Verdict for the function behind the authorizer.
enum Admission {
    /// Allowed, with the limit headers, the places in flight, the charges, and the version of the catalogs.
    Passes(LimitHeaders, Option<String>, Option<String>, Option<u64>),
    Forbidden(String, LimitHeaders),
    BadRequest(Ambiguous, LimitHeaders),
    Limited(Refusal, Timestamp),
}

/// Returns an answer that passes the request to its function, which renders any verdict other than allowed.
fn passed(
    state: &AuthorizerState,
    event: &Event,
    caller: Option<&AuthenticatedKey>,
    passage: Admission,
) -> Response<Context> {
    let request_id = event.request_id().to_owned();
    // Describe the caller and its terms.
    let caller_told = caller.map(|AuthenticatedKey { key, owner }| Caller {
        account: owner.account.id.clone(),
        integration: owner.integration.id.clone(),
        kind: owner.integration.kind,
        key: key.id.clone(),
        terms: Terms {
            cap: state.cap.for_account(&owner.account),
            account: owner.account.guards.clone(),
            key: key.guards.clone(),
        },
    });
    let plain = AuthorizerContext {
        request_id,
        caller: caller_told,
        verdict: Verdict::Allow,
        reason: None,
        retry_after: None,
        in_flight: None,
        charged: None,
        catalogs_version: None,
        limits: LimitHeaders::default(),
    };
    // Add what the verdict needs.
    let context = match passage {
        Passes(limits, in_flight, charged, catalogs) => {
            let catalogs_version = catalogs.map(|version| version.to_string());
            let context = AuthorizerContext { limits, in_flight, catalogs_version, ..plain };
            // Leave out the charges if they may not fit; the call is then not refunded.
            let fits = serde_json::to_string(&context).is_ok_and(|text| text.len() <= LARGEST_CONTEXT);
            AuthorizerContext { charged: charged.filter(|_| fits), ..context }
        }
        Forbidden(reason, limits) => {
            AuthorizerContext { verdict: Verdict::Forbidden, reason: Some(reason), limits, ..plain }
        }
        BadRequest(ambiguous, limits) => {
            let reason = Some(ambiguous.to_string());
            AuthorizerContext { verdict: Verdict::BadRequest, reason, limits, ..plain }
        }
        Limited(refusal, now) => {
            let secs = now.secs_until(refusal.binding.resets_at);
            AuthorizerContext {
                verdict: Verdict::Limited,
                reason: Some(format!("Too many sign-ins from your address. Try again in {secs} seconds.")),
                retry_after: Some(secs.to_string()),
                limits: LimitHeaders::of_refusal(&refusal, now),
                ..plain
            }
        }
    };
    respond(Effect::Allow, event, caller, Context::Passed(Box::new(context)))
}

fn respond(effect: Effect, event: &Event, caller: Option<&AuthenticatedKey>, context: Context) -> Response<Context> {
    let principal = caller.map_or("anyone", |caller| &caller.key.account);
    Response::new(effect, principal, &event.method_arn, context)
}
