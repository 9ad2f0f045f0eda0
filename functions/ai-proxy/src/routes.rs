//! The routes that the proxy serves. They are declared in template.yaml; a test holds the two lists together.

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};

/// What a route asks of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A message, streamed or whole.
    Message,
    /// How many tokens a message would use; costs none.
    CountTokens,
    /// The list of models.
    Models,
    /// One model.
    Model,
}

impl Operation {
    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::CountTokens => "count_tokens",
            Self::Models => "models",
            Self::Model => "model",
        }
    }

    /// The API Gateway resource that asks for it.
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

/// What `request` asks for; `None` where the proxy does not serve its route.
pub fn operation(request: &Request) -> Option<Operation> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return None };
    let resource = context.resource_path.as_deref()?;
    let route = ROUTES.iter().find(|(method, path, _)| *method == request.method().as_str() && *path == resource);
    route.map(|(_, _, operation)| *operation)
}
