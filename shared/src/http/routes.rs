//! What a route is to the authorizer. The routes themselves are declared in template.yaml alone; a test holds the two
//! together.

use crate::accounts::Scope;

/// A class of routes that are limited together and need the same scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Anthropic's Messages API: messages, token counts and models.
    Ai,
}

impl Route {
    /// The class of an API Gateway resource path such as `/v1/models/{id}`; `None` where it has none.
    pub fn of(resource: &str) -> Option<Self> {
        match resource {
            "/v1/messages" | "/v1/messages/count_tokens" | "/v1/models" | "/v1/models/{id}" => Some(Self::Ai),
            _ => None,
        }
    }

    /// The scope that a key needs.
    pub fn scope(self) -> Scope {
        match self {
            Self::Ai => Scope::Ai,
        }
    }

    /// `type` of a 429's body on this route. Anthropic's SDKs expect `error`; elsewhere it is the problem type's URI
    /// (RFC 9457; the URI is draft-ietf-httpapi-ratelimit-headers-10's).
    pub fn problem_type(self) -> &'static str {
        match self {
            Self::Ai => "error",
        }
    }
}
