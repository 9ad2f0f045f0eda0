//! Routes of the customers' API. They are declared in template.yaml; a test compares the two lists.

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};

/// Operation of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reads the caller's limits.
    Quota,
    /// Reads the use of the caller's limits on past days.
    QuotaHistory,
    /// Reads the account's requests for higher limits.
    Requests,
    /// Makes a request for a higher limit.
    NewRequest,
    /// Reads a request.
    Request,
    /// Cancels a request.
    CancelRequest,
    /// Reads the account's usage in a month.
    Usage,
    /// Reads a page of a catalog.
    CatalogPage,
    /// Reads an item of a catalog.
    CatalogItem,
}

/// Method, API Gateway resource and operation of every route.
pub const ROUTES: [(&str, &str, Operation); 9] = [
    ("GET", "/v1/quota", Operation::Quota),
    ("GET", "/v1/quota/history", Operation::QuotaHistory),
    ("GET", "/v1/quota/requests", Operation::Requests),
    ("POST", "/v1/quota/requests", Operation::NewRequest),
    ("GET", "/v1/quota/requests/{id}", Operation::Request),
    ("DELETE", "/v1/quota/requests/{id}", Operation::CancelRequest),
    ("GET", "/v1/usage", Operation::Usage),
    ("GET", "/v1/catalogs/{catalog}", Operation::CatalogPage),
    ("GET", "/v1/catalogs/{catalog}/{id}", Operation::CatalogItem),
];

/// Returns the resource and the operation of `request`, or `None` if its route is not served here.
pub fn operation(request: &Request) -> Option<(&'static str, Operation)> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return None };
    let resource = context.resource_path.as_deref()?;
    let route = ROUTES.iter().find(|(method, path, _)| *method == request.method().as_str() && *path == resource);
    route.map(|(_, path, operation)| (*path, *operation))
}
