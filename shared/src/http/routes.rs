//! What a route is to the authorizer. The routes themselves are declared in template.yaml alone; a test holds the two
//! together.

use crate::accounts::Scope;
use crate::limits::Class;

/// A class of routes that are limited together and need the same scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Anthropic's Messages API: messages, token counts and models.
    Ai,
    /// Sign-in of platform admins.
    Login,
    /// What an account reads about itself.
    Own,
}

impl Route {
    /// The class of an API Gateway resource path such as `/v1/models/{id}`; `None` where it has none.
    pub fn of(resource: &str) -> Option<Self> {
        match resource {
            "/v1/messages" | "/v1/messages/count_tokens" | "/v1/models" | "/v1/models/{id}" => Some(Self::Ai),
            "/login" => Some(Self::Login),
            "/v1/usage" => Some(Self::Own),
            _ => None,
        }
    }

    /// What its limits are about.
    pub fn class(self) -> Class {
        match self {
            Self::Ai => Class::Ai,
            Self::Login => Class::Login,
            Self::Own => Class::Own,
        }
    }

    /// The scope that a key needs; `None` where anyone may call without a key.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Ai => Some(Scope::Ai),
            Self::Login => None,
            Self::Own => Some(Scope::Read),
        }
    }

    /// Whether people see its answers.
    pub fn answers_html(self) -> bool {
        matches!(self, Self::Login)
    }

    /// `type` of a 429's body on this route. Anthropic's SDKs expect `error`; elsewhere it is the problem type's URI
    /// (RFC 9457; the URI is draft-ietf-httpapi-ratelimit-headers-10's).
    pub fn problem_type(self) -> &'static str {
        match self {
            Self::Ai => "error",
            Self::Login | Self::Own => "https://iana.org/assignments/http-problem-types#quota-exceeded",
        }
    }
}
