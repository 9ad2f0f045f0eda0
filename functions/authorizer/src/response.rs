//! The authorizer's answer: an IAM policy for one method, and a context
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>).
//!
//! The type is our own because the effect of `aws_lambda_events`' one defaults to Allow. Here an effect is always
//! written down.

use serde::Serialize;

/// The answer, with `context` as its flat context.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<C> {
    principal_id: String,
    policy_document: PolicyDocument,
    context: C,
}

/// Whether the gateway lets the request through. There is no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// To the function behind the route.
    Allow,
    /// To the ACCESS_DENIED gateway response.
    Deny,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyDocument {
    version: &'static str,
    statement: [Statement; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    action: &'static str,
    effect: Effect,
    resource: String,
}

impl<C: Serialize> Response<C> {
    /// An answer about the method `method_arn`, called by `principal_id`.
    pub fn new(effect: Effect, principal_id: &str, method_arn: &str, context: C) -> Self {
        Self {
            principal_id: principal_id.to_owned(),
            policy_document: PolicyDocument {
                version: "2012-10-17",
                statement: [Statement { action: "execute-api:Invoke", effect, resource: resource(method_arn) }],
            },
            context,
        }
    }
}

// Answers are not cached, so a resource that names every method of the API decides about this request alone. A method's
// own ARN holds text that the client chose, and may be longer than the 512 characters that a policy allows.
fn resource(method_arn: &str) -> String {
    let api = method_arn.split('/').next().unwrap_or_default();
    format!("{api}/*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_the_whole_api_and_no_text_of_the_clients() {
        let method = "arn:aws:execute-api:eu-central-1:123456789012:abc123/prod/GET/v1/models/${x}*";
        assert_eq!(resource(method), "arn:aws:execute-api:eu-central-1:123456789012:abc123/*");
    }
}
