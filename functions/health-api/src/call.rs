//! One request as handlers see it.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use levee::admins::{Session, SessionToken};
use levee::clock::Timestamp;
use levee::http::Links;
use levee::http::links::RequestAddress;
use url::form_urlencoded;

use crate::config::BoardState;
use crate::error::BoardError;

/// Largest body that is read, in bytes.
const LARGEST_BODY: usize = 8 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// One request, with everything that its handler needs.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a BoardState,
    pub(crate) request: &'a Request,
    /// Public address of the API.
    pub(crate) links: &'a Links,
    /// Id of the request, as its caller sees it.
    pub(crate) request_id: &'a str,
    /// Moment of arrival.
    pub(crate) now: Timestamp,
    /// Value of the path's parameter; empty if it has none.
    pub(crate) id: &'a str,
}

/// The signed-in admin that sends a request.
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    pub(crate) token: SessionToken,
}

impl Call<'_> {
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// Returns a parameter of the query. An empty one counts as absent.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let parameters = self.request.query_string_parameters_ref()?;
        parameters.first(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Returns a parameter of the query that is a name: 1 to 64 letters, digits, dots, underscores and hyphens.
    pub(crate) fn query_name(&self, name: &str) -> Result<Option<&str>, BoardError> {
        match self.query(name) {
            Some(value) if !is_name(value) => {
                Err(BoardError::Invalid(format!("'{name}' takes letters, digits, dots, underscores and hyphens.")))
            }
            value => Ok(value),
        }
    }

    /// Returns the number of entries that the caller asks for: 1 to 100, by default 50.
    pub(crate) fn limit(&self) -> Result<usize, BoardError> {
        let Some(text) = self.query("limit") else { return Ok(50) };
        let limit = text.parse().ok().filter(|limit| (1..=100).contains(limit));
        limit.ok_or_else(|| BoardError::Invalid("'limit' takes a whole number from 1 to 100.".to_owned()))
    }
}

/// Returns true if `text` has the form of a name: 1 to 64 letters, digits, dots, underscores and hyphens.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Fields of a form.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of `request`. A body of another content type has no fields.
    pub(crate) fn from_request(request: &Request) -> Result<Self, BoardError> {
        if request.body().len() > LARGEST_BODY {
            return Err(BoardError::TooLarge);
        }
        let fields = if is_form(request.headers()) {
            form_urlencoded::parse(request.body()).into_owned().collect()
        } else {
            Vec::new()
        };
        Ok(Self(fields))
    }

    /// Returns a field; empty if it is absent.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }
}

pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM))
}

/// Returns the path without the prefix before its route, and the public address of the API as the request shows it.
pub(crate) fn path_and_links(request: &Request) -> (String, Links) {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else {
        return (String::new(), Links::from_request(RequestAddress::default()));
    };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let parameters = request.path_parameters_ref();
    let parameter = |name: &str| parameters.and_then(|parameters| parameters.first(name)).unwrap_or_default();
    let path = filled(context.resource_path.as_deref().unwrap_or_default(), parameter);
    // Derive the public address from the `Host` header and the gateway's context.
    let links = Links::from_request(RequestAddress {
        host: header("host"),
        scheme: header("x-forwarded-proto"),
        domain_name: context.domain_name.as_deref().unwrap_or_default(),
        path: context.path.as_deref().unwrap_or_default(),
        route: &path,
    });
    (path, links)
}

/// Returns the path of a route: puts the values of parameters back into `resource`, such as `/admin/{proxy+}`.
fn filled<'a>(resource: &str, parameter: impl Fn(&str) -> &'a str) -> String {
    let fill = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(name) => parameter(name.trim_end_matches('+')).trim_end_matches('/').to_owned(),
        None => part.to_owned(),
    };
    resource.split('/').map(fill).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(resource: &str, path: &str, proxy: &str, content_type: &str, body: &str) -> Request {
        request_at(resource, path, &format!("/prod{path}"), proxy, content_type, body)
    }

    fn request_at(resource: &str, path: &str, full_path: &str, proxy: &str, content_type: &str, body: &str) -> Request {
        let event = serde_json::json!({
            "httpMethod": "POST", "path": path, "body": body,
            "headers": {}, "multiValueHeaders": { "content-type": [content_type], "host": ["api.example"] },
            "pathParameters": { "proxy": proxy },
            "requestContext": { "resourcePath": resource, "path": full_path, "httpMethod": "POST" },
        });
        let mut request = lambda_http::request::from_str(&event.to_string()).unwrap();
        *request.headers_mut() = [("content-type", content_type), ("host", "api.example")]
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        request
    }

    #[test]
    fn the_path_is_the_routes_own_under_a_stage_too() {
        let (path, links) = path_and_links(&request("/admin/{proxy+}", "/admin/api/snapshot", "api/snapshot", "", ""));
        assert_eq!((path.as_str(), links.base_url().as_str()), ("/admin/api/snapshot", "https://api.example/prod"));
        assert_eq!(path_and_links(&request("/login", "/login", "", "", "")).0, "/login");
    }

    #[test]
    fn a_path_that_cannot_be_decoded_keeps_its_stage() {
        for (resource, full_path, proxy, own) in [
            ("/admin/{proxy+}", "/prod/admin/%ff", "\u{fffd}", "/admin/\u{fffd}"),
            ("/{proxy+}", "/prod/%2fadmin", "/admin", "//admin"),
            ("/{proxy+}", "/prod/%", "%", "/%"),
            ("/admin/{proxy+}", "/prod/admin/prod/%2f", "prod//", "/admin/prod"),
        ] {
            let (path, links) = path_and_links(&request_at(resource, own, full_path, proxy, "", ""));
            assert_eq!((path.as_str(), links.to("/login").as_str()), (own, "/prod/login"), "{full_path}");
        }
    }

    #[test]
    fn a_form_is_read_by_its_content_type_and_only_up_to_its_bound() {
        let field = |content_type: &str, body: &str| {
            Form::from_request(&request("/login", "/login", "", content_type, body))
                .map(|form| form.field("a").to_owned())
        };
        assert_eq!(field("Application/X-www-form-urlencoded; charset=UTF-8", "b=1&a=x%26%2B+y&a=z").unwrap(), "x&+ y");
        assert_eq!(field("application/json", "a=1").unwrap(), "");
        assert!(matches!(field(FORM, &"a".repeat(LARGEST_BODY + 1)), Err(BoardError::TooLarge)));
    }
}
