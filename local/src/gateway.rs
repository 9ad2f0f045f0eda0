//! An API Gateway REST API on one machine, with the features that template.yaml uses. Each rule names the page of the
//! API Gateway developer guide (<https://docs.aws.amazon.com/apigateway/latest/developerguide/>) that it follows, and
//! has a test in tests/tests/stack/gateway/.
//!
//! Known differences from AWS: header names arrive in lower case (as HTTP/2 clients send them), throttling and WAF
//! are absent, and a function's time-out is answered with 504.
//!
//! Start reading at [`Gateway::answer`].

mod authorize;
mod errors;
mod event;
mod exchange;
mod headers;
mod integrate;
mod payload;
mod policy;
mod preflight;
mod routes;
mod server;
mod stream;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;

pub use self::server::{Server, Tls};
use self::{errors::Refusal, exchange::Exchange, routes::Routes};
use crate::{
    host::Function,
    template::{Api, ResponseType, Template},
};

/// A body that may end in an error.
type Body = UnsyncBoxBody<Bytes, stream::BrokenOff>;
type Reply = Response<Body>;

/// Largest payload, in bytes. "Payload size: 10 MB": api-gateway-execution-service-limits-table.html.
const LARGEST_PAYLOAD: usize = 10 * 1024 * 1024;
/// Bytes of a too large body that are read in all before the client is cut off.
const MOST_DROPPED: usize = 4 * LARGEST_PAYLOAD;
/// Largest request head, in bytes. "Total combined size of request line and header values: 10240 bytes", on the same
/// page.
const LARGEST_HEAD: usize = 10_240;

/// Address under which the API is reached.
#[derive(Clone, Debug)]
pub struct Front {
    /// Stage of the API. With a stage, paths start with it, as on the API's own domain. Without one, the API is
    /// served as behind a custom domain, and the stage is called `local`.
    pub stage: Option<String>,
    /// Scheme: `http` or `https`.
    pub scheme: &'static str,
    /// Port that clients connect to.
    pub port: u16,
}

/// The API, its routes and the functions behind them.
#[derive(Debug)]
pub struct Gateway {
    api: Api,
    routes: Routes,
    functions: BTreeMap<String, Arc<Function>>,
    front: Front,
}

impl Gateway {
    /// Creates a gateway for the API of `template`, served by `functions` (by logical id).
    #[must_use]
    pub fn new(template: &Template, functions: BTreeMap<String, Arc<Function>>, front: Front) -> Self {
        Self { api: template.api.clone(), routes: Routes::new(&template.routes), functions, front }
    }

    /// Answers one request.
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        let (head, body) = request.into_parts();
        let mut exchange = match Exchange::begin(&head, peer, &self.front) {
            Ok(exchange) => exchange,
            Err(status) => return plain(status),
        };
        let mut reply = match self.serve(&mut exchange, body).await {
            Ok(reply) => reply,
            Err(refusal) => self.refuse(&exchange, &refusal),
        };
        exchange.sign(reply.headers_mut());
        reply
    }

    async fn serve(&self, exchange: &mut Exchange, body: Incoming) -> Result<Reply, Refusal> {
        // Read the body first: one that is too large is refused before anything else.
        let body = read(body).await?;

        // Find the route. A path outside of the stage and a method that the resource lacks are unknown routes.
        let path = exchange.path.clone().ok_or_else(|| Refusal::unknown_route(exchange))?;
        let Some(resource) = self.routes.resource(&path) else {
            return Err(Refusal::unknown_route(exchange));
        };
        exchange.matched(resource.path, resource.parameters);
        let Some(route) = resource.methods.route(&exchange.method) else {
            return self.preflight(exchange, resource.methods).await;
        };

        // Authorize the caller.
        if let Some(authorizer) = &route.authorizer {
            exchange.authorizer = Some(self.authorize(exchange, authorizer).await?);
        }

        // Call the function and return its answer.
        let function = self.functions.get(&route.function).ok_or(Refusal::internal())?;
        let event = event::proxy(exchange, &body, &self.api.binary_media_types)?;
        integrate::call(exchange, route, function, event, &self.api.binary_media_types).await
    }
}

/// Reads the body, up to the payload limit. Like API Gateway, this reads the whole request before it is routed. The
/// rest of a body that is too large is read and dropped, so that the client gets the refusal instead of a broken
/// connection.
async fn read(mut body: Incoming) -> Result<Bytes, Refusal> {
    let (mut whole, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::of_status(StatusCode::BAD_REQUEST, "Bad Request"))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= LARGEST_PAYLOAD {
            whole.extend_from_slice(&data);
        } else if length > MOST_DROPPED {
            break;
        }
    }
    if length > LARGEST_PAYLOAD { Err(Refusal::from_kind(ResponseType::RequestTooLarge)) } else { Ok(whole.freeze()) }
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Builds an answer to a request that was refused before it had an id.
fn plain(status: StatusCode) -> Reply {
    let message = status.canonical_reason().unwrap_or_default();
    let mut reply = Response::new(full(serde_json::json!({ "message": message }).to_string()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    reply
}
