//! A request as it arrives, before its route is known.

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};

use crate::http::links::RequestAddress;
use crate::http::{Links, request_id};

/// A request with its id, its path and the address that it was sent to.
pub struct Arrival {
    /// The request itself.
    pub request: Request,
    /// Id of the request, as its caller sees it.
    pub request_id: String,
    /// Path without the prefix before its route.
    pub path: String,
    /// Public address of the API.
    pub links: Links,
}

impl Arrival {
    /// Reads id, path and address of `request`. `base_url` takes precedence over the address that the request shows.
    pub fn new(request: Request, base_url: Option<&Links>) -> Self {
        let (path, links) = path_and_links(&request);
        let links = base_url.cloned().unwrap_or(links);
        Self { request_id: request_id(&request), path, links, request }
    }
}

fn path_and_links(request: &Request) -> (String, Links) {
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

    fn arrival(resource: &str, path: &str, proxy: &str) -> Arrival {
        arrival_at(resource, path, &format!("/prod{path}"), proxy)
    }

    fn arrival_at(resource: &str, path: &str, full_path: &str, proxy: &str) -> Arrival {
        let event = serde_json::json!({
            "httpMethod": "POST", "path": path,
            "headers": { "host": "api.example" }, "multiValueHeaders": { "host": ["api.example"] },
            "pathParameters": { "proxy": proxy },
            "requestContext": { "resourcePath": resource, "path": full_path, "httpMethod": "POST" },
        });
        Arrival::new(lambda_http::request::from_str(&event.to_string()).unwrap(), None)
    }

    #[test]
    fn the_path_is_the_routes_own_under_a_stage_too() {
        let Arrival { path, links, .. } = arrival("/admin/{proxy+}", "/admin/api/snapshot", "api/snapshot");
        assert_eq!((path.as_str(), links.base_url().as_str()), ("/admin/api/snapshot", "https://api.example/prod"));
        assert_eq!(arrival("/login", "/login", "").path, "/login");
    }

    #[test]
    fn a_path_that_cannot_be_decoded_keeps_its_stage() {
        for (resource, full_path, proxy, own) in [
            ("/admin/{proxy+}", "/prod/admin/%ff", "\u{fffd}", "/admin/\u{fffd}"),
            ("/{proxy+}", "/prod/%2fadmin", "/admin", "//admin"),
            ("/{proxy+}", "/prod/%", "%", "/%"),
            ("/admin/{proxy+}", "/prod/admin/prod/%2f", "prod//", "/admin/prod"),
        ] {
            let Arrival { path, links, .. } = arrival_at(resource, own, full_path, proxy);
            assert_eq!((path.as_str(), links.to("/login").as_str()), (own, "/prod/login"), "{full_path}");
        }
    }
}
