//! The routes of the proxy. They are declared in template.yaml, and a test compares the two lists.

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};

/// Operation of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A message, streamed or whole.
    Message,
    /// The count of a message's tokens. It uses no tokens.
    CountTokens,
    /// The list of models.
    Models,
    /// One model.
    Model,
}

impl Operation {
    /// Returns the operation's name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::CountTokens => "count_tokens",
            Self::Models => "models",
            Self::Model => "model",
        }
    }

    /// Returns the API Gateway resource of the operation.
    pub fn resource(self) -> &'static str {
        ROUTES.iter().find(|(.., operation)| *operation == self).map_or("none", |(_, resource, _)| *resource)
    }
}

/// Method, API Gateway resource and operation of every route.
pub const ROUTES: [(&str, &str, Operation); 4] = [
    ("POST", "/v1/messages", Operation::Message),
    ("POST", "/v1/messages/count_tokens", Operation::CountTokens),
    ("GET", "/v1/models", Operation::Models),
    ("GET", "/v1/models/{id}", Operation::Model),
];

/// Returns the operation that `request` asks for; `None` if the proxy does not serve its route.
pub fn operation(request: &Request) -> Option<Operation> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return None };
    let resource = context.resource_path.as_deref()?;
    let route = ROUTES.iter().find(|(method, path, _)| *method == request.method().as_str() && *path == resource);
    route.map(|(_, _, operation)| *operation)
}
