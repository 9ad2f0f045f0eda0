//! The call of a REQUEST authorizer, after "Use API Gateway Lambda authorizers"
//! (apigateway-use-lambda-authorizer.html).

use serde_json::{Map, Value};

use super::{
    Gateway,
    errors::Refusal,
    event,
    exchange::Exchange,
    policy::{self, Verdict},
};
use crate::{
    host::{FunctionAnswer, FunctionFailure, Invocation},
    template::ResponseType,
};

/// Longest method ARN, in bytes. "methodArn … 1600 bytes; a longer one gets 414":
/// api-gateway-execution-service-limits-table.html.
const LONGEST_ARN: usize = 1600;

impl Gateway {
    /// Calls the authorizer and returns its context for the function.
    ///
    /// # Errors
    /// The refusal that ends the request.
    pub(super) async fn authorize(&self, exchange: &mut Exchange, name: &str) -> Result<Map<String, Value>, Refusal> {
        // Find the authorizer's function, and check the length of the ARN.
        let function = self.api.authorizers.get(name).and_then(|authorizer| self.functions.get(&authorizer.function));
        let function = function.ok_or(Refusal::from_kind(ResponseType::AuthorizerConfigurationError))?;
        let arn = event::method_arn(exchange);
        if arn.len() > LONGEST_ARN {
            return Err(Refusal::of_status(http::StatusCode::URI_TOO_LONG, "Request-URI Too Long"));
        }
        // Call the authorizer.
        let call = Invocation { event: event::authorizer(exchange), trace_id: exchange.trace_id.clone() };
        let started = std::time::Instant::now();
        let payload = match function.invoke(call).await {
            Ok(FunctionAnswer::Buffered(payload)) => payload,
            Ok(FunctionAnswer::Streamed(_)) => {
                return Err(Refusal::from_kind(ResponseType::AuthorizerConfigurationError));
            }
            // "To return a 401, the function must raise the exact string Unauthorized".
            Err(FunctionFailure::Function { message, .. }) if message == "Unauthorized" => {
                return Err(Refusal::from_kind(ResponseType::Unauthorized));
            }
            Err(failure) => {
                tracing::warn!("the authorizer {name} failed: {failure}");
                return Err(Refusal::from_kind(ResponseType::AuthorizerFailure));
            }
        };
        // Evaluate its policy.
        let output = policy::read(&payload, &arn).map_err(|mistake| {
            tracing::warn!("the authorizer {name} answered what API Gateway refuses: {mistake}");
            Refusal::from_kind(ResponseType::AuthorizerConfigurationError)
        })?;
        let mut context = output.context;
        let denied = match output.verdict {
            Verdict::Allow => {
                let latency = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                context.insert("integrationLatency".to_owned(), latency.into());
                return Ok(context);
            }
            Verdict::ImplicitDeny => "User is not authorized to access this resource",
            Verdict::ExplicitDeny => "User is not authorized to access this resource with an explicit deny",
        };
        // Keep the context: the response to a denial may use it.
        exchange.authorizer = Some(context);
        Err(Refusal::from_kind(ResponseType::AccessDenied).saying(denied))
    }
}
