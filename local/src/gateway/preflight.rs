//! The OPTIONS method that `Cors` adds to every resource without one: "Enable CORS for a resource using an API
//! Gateway REST API method" (how-to-cors.html), and "CorsConfiguration" in the AWS SAM developer guide.

use http::{HeaderName, HeaderValue, Method, Response, header};

use super::{Gateway, Reply, errors::Refusal, exchange::Exchange, full, routes::ResourceMethods};

impl Gateway {
    /// Answers a preflight request, or refuses a method that the resource does not have.
    pub(super) async fn preflight(&self, exchange: &mut Exchange, methods: &ResourceMethods) -> Result<Reply, Refusal> {
        // Anything but a preflight request is an unknown route here.
        let is_preflight = exchange.method == Method::OPTIONS && !methods.is_empty();
        let cors = self.api.cors.as_ref().filter(|_| is_preflight);
        let cors = cors.ok_or_else(|| Refusal::unknown_route(exchange))?;
        if let Some(authorizer) = self.api.default_authorizer.as_ref().filter(|_| self.api.authorize_preflight) {
            exchange.authorizer = Some(self.authorize(exchange, authorizer).await?);
        }
        // Answer with the template's headers, and with the resource's methods unless the template names them.
        let mut reply = Response::new(full("{}\n"));
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let own =
            (!cors.allows_methods).then(|| ("Access-Control-Allow-Methods".to_owned(), methods.names().join(",")));
        for (name, value) in cors.headers.iter().chain(own.as_ref()) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        Ok(reply)
    }
}
