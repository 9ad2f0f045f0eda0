//! The request of an attempt, built before anything is recorded about it.

use reqwest::RequestBuilder;

use super::Exchange;
use crate::gated_body::{Gate, Taken, gate};
use crate::providers::Provider;

/// A request that is ready to be sent.
pub(super) struct Prepared {
    pub(super) request: RequestBuilder,
    /// Withholds the last byte of the body, if there is one.
    pub(super) hold: Option<Gate>,
    /// Flag that tells if that byte was sent.
    pub(super) taken: Taken,
}

/// Builds the request of an attempt at `provider`. Records nothing.
pub(super) fn prepare(exchange: &Exchange<'_>, provider: &Provider) -> Prepared {
    let ask = &exchange.ask;
    let request = provider.request(ask.method.clone(), &ask.segments, ask.query, ask.headers);
    match &ask.body {
        None => Prepared { request, hold: None, taken: Taken::default() },
        Some(body) => {
            let (body, hold, taken) = gate(provider.body(&ask.model, body));
            Prepared { request: request.body(body), hold: Some(hold), taken }
        }
    }
}
