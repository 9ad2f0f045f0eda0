//! Route classes for the authorizer. The routes themselves are declared in template.yaml alone; a test compares the
//! two.

use super::Class;
use crate::scope::KeyScope;

/// Class of routes that share limits and need the same scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Anthropic's Messages API: messages, token counts and models.
    Ai,
    /// Sign-in of platform admins.
    Login,
    /// Catalogs, which all accounts read.
    Api,
    /// Data that an account reads about itself.
    Own,
    /// Requests of an account for more quota.
    Requests,
}

impl Route {
    /// Returns the class of an API Gateway resource path such as `/v1/models/{id}`; `None` if it has none.
    pub fn from_resource(resource: &str) -> Option<Self> {
        match resource {
            "/v1/messages" | "/v1/messages/count_tokens" | "/v1/models" | "/v1/models/{id}" => Some(Self::Ai),
            "/login" => Some(Self::Login),
            "/v1/catalogs/{catalog}" | "/v1/catalogs/{catalog}/{id}" => Some(Self::Api),
            "/v1/usage" | "/v1/quota" | "/v1/quota/history" => Some(Self::Own),
            "/v1/quota/requests" | "/v1/quota/requests/{id}" => Some(Self::Requests),
            _ => None,
        }
    }

    /// Returns the class of calls that limits refer to.
    pub fn class(self) -> Class {
        match self {
            Self::Ai => Class::Ai,
            Self::Login => Class::Login,
            Self::Api => Class::Api,
            Self::Own | Self::Requests => Class::Own,
        }
    }

    /// Returns the scope that a key needs; `None` if no key is needed.
    pub fn scope(self) -> Option<KeyScope> {
        match self {
            Self::Ai => Some(KeyScope::Ai),
            Self::Login => None,
            Self::Api => Some(KeyScope::Catalogs),
            Self::Own => Some(KeyScope::Read),
            Self::Requests => Some(KeyScope::Request),
        }
    }

    /// Returns true if the function behind the route reads catalogs, and needs their version.
    pub fn reads_catalogs(self) -> bool {
        matches!(self, Self::Api)
    }

    /// Returns true if the responses are pages for people.
    pub fn answers_html(self) -> bool {
        matches!(self, Self::Login)
    }

    /// Returns the `type` of a 429's body on this route. Anthropic's SDKs expect `error`; elsewhere it is the URI of
    /// the problem type (RFC 9457; the URI is from draft-ietf-httpapi-ratelimit-headers-10).
    pub fn problem_type(self) -> &'static str {
        match self {
            Self::Ai => "error",
            Self::Login | Self::Api | Self::Own | Self::Requests => {
                "https://iana.org/assignments/http-problem-types#quota-exceeded"
            }
        }
    }
}
