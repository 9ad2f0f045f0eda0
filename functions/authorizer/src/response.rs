//! Answer of the authorizer: an IAM policy for one method, and a context
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>).
//!
//! The type is defined here, because the effect of the one in `aws_lambda_events` defaults to Allow. This one has no
//! default.

use serde::Serialize;

/// Answer with `context` as its flat context.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<C> {
    principal_id: String,
    policy_document: PolicyDocument,
    context: C,
}

/// Effect of the policy. It has no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// The gateway passes the request to the function behind the route.
    Allow,
    /// The gateway answers with its ACCESS_DENIED response.
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
    /// Returns an answer about the method `method_arn`, called by `principal_id`.
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

// Names every method of the API. As answers are not cached, that decides about this request alone. A method's own ARN
// holds text that the client chose, and may be longer than the 512 characters that a policy allows.
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
