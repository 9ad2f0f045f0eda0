//! Identification of the caller of one request, and the check that it may make the request at all. Limits are checked
//! afterwards.

use std::net::IpAddr;

use levee::accounts::{self, AuthenticatedKey, AuthenticationError, KeyScope, Platform, Status};
use levee::clock::Timestamp;
use levee::http::address::Origin;
use levee::limits::Route;
use levee::limits::versions::Version;

use crate::config::AuthorizerState;
use crate::event::Event;
use crate::handle::AuthorizerFailure;
use crate::headers::Ambiguous;
use crate::report::AuthorizationReport;

/// Client of a request, with what is counted about it.
pub(crate) struct Client {
    /// Address of the client, or `None` if it is not known.
    pub address: Option<IpAddr>,
    /// Pseudonym under which the address is counted.
    pub pseudonym: String,
    /// Conflict in the headers that state the request's origin, if there is one.
    ambiguous: Option<Ambiguous>,
}

impl Client {
    /// Reads the client's address from `event`.
    pub fn new(state: &AuthorizerState, event: &Event) -> Self {
        let secret = state.client_secrets.proxy_secret.as_deref();
        let shown = event.shown_secrets();
        let lines = event.forwarded_for();
        let forwarded_for = lines.as_deref().ok();
        let origin = Origin { source_ip: event.source_ip(), forwarded_for, shown_secrets: &shown };
        let address = origin.client_address(secret);
        // Conflicting lines matter only if a trusted proxy sent the request; those of other clients are not read.
        let unordered = lines.as_ref().err().filter(|_| origin.is_trusted(secret)).cloned();
        let ambiguous = event.check_shown_secret().err().or(unordered);
        Self { address, pseudonym: state.client_secrets.address_key.pseudonym(address), ambiguous }
    }
}

/// Caller of a request, or the reason why there is none.
pub(crate) enum Identity {
    /// The route needs no key.
    Anyone,
    /// Caller with a key that may use the route.
    Caller(AuthenticatedKey),
    /// No valid key, with the reason and the records that it follows from.
    Nobody(&'static str, Vec<Version>),
    /// Forbidden, with the caller, if known, and the public reason.
    Forbidden(Option<AuthenticatedKey>, String),
    /// The request states two different things about its caller.
    Ambiguous(Ambiguous),
}

/// Identifies the caller, and checks that it may use `route`.
///
/// # Errors
/// Returns [`AuthorizerFailure::Unknown`] if the records of an unknown key cannot be read.
pub(crate) async fn find_out(
    state: &AuthorizerState,
    event: &Event,
    route: Route,
    client: &Client,
    platform: &Platform,
    now: Timestamp,
    report: &mut AuthorizationReport,
) -> Result<Identity, AuthorizerFailure> {
    // Refuse blocked networks.
    if client.address.is_some_and(|address| platform.block_of_address(address, now).is_some()) {
        return Ok(Identity::Forbidden(None, "Calls from your network are blocked.".to_owned()));
    }

    // Refuse requests that state their origin or key twice: either reading could be wrong.
    if let Some(ambiguous) = &client.ambiguous {
        return Ok(Identity::Ambiguous(ambiguous.clone()));
    }
    let Some(scope) = route.scope() else { return Ok(Identity::Anyone) };
    let key = match event.api_key() {
        Ok(Some(key)) => key,
        Ok(None) => return Ok(Identity::Nobody("no key", Vec::new())),
        Err(ambiguous) => return Ok(Identity::Ambiguous(ambiguous)),
    };

    // Authenticate.
    let caller = match accounts::authenticate(&state.directory, &state.peppers, &state.key_environment, key, now).await
    {
        Ok(caller) => caller,
        Err(AuthenticationError::Refused { reason, known }) => return Ok(Identity::Nobody(reason, known)),
        Err(AuthenticationError::Unreachable(error)) => {
            report.failed(&error.to_string());
            let id = event.request_id();
            tracing::error!(code = "accounts.unreachable", request.id = id, %error, "an unknown key cannot be looked up");
            return Err(error.into());
        }
    };

    // Check that the caller may use this route. The function answers 403, because the gateway's own 403 stands for 429.
    Ok(match forbidden(&caller, scope, platform, now) {
        Some(reason) => Identity::Forbidden(Some(caller), reason),
        None => Identity::Caller(caller),
    })
}

/// Returns the public reason if `caller` may not use a route that needs `scope`.
fn forbidden(caller: &AuthenticatedKey, scope: KeyScope, platform: &Platform, now: Timestamp) -> Option<String> {
    if caller.owner.account.status != Status::Active {
        return Some("This account is suspended.".to_owned());
    }
    if platform.block_of_account(&caller.owner.account.id, now).is_some() {
        return Some("This account is blocked.".to_owned());
    }
    if caller.owner.integration.status != Status::Active {
        return Some("This integration is suspended.".to_owned());
    }
    (!caller.key.scopes.contains(&scope)).then(|| format!("This key lacks the scope '{scope}'."))
}
