//! Parses and evaluates the answer of an authorizer.
//!
//! "Output from an API Gateway Lambda authorizer" (api-gateway-lambda-authorizer-output.html) and "Policy evaluation
//! outcome tables" (apigateway-authorization-flow.html): an explicit Deny takes precedence, and calls that no
//! statement allows are denied.

use serde_json::{Map, Value};

/// Decision of an authorizer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A statement allows the call, and none denies it.
    Allow,
    /// No statement allows the call.
    ImplicitDeny,
    /// A statement denies the call.
    ExplicitDeny,
}

/// Parts of an authorizer's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) verdict: Verdict,
    /// `principalId` and the context, all values as text.
    pub(super) context: Map<String, Value>,
}

/// Parses an authorizer's answer to a call of `arn`. The error names the malformed part.
pub(super) fn read(payload: &[u8], arn: &str) -> Result<Output, String> {
    let output: Value = serde_json::from_slice(payload).map_err(|error| format!("the answer is no JSON: {error}"))?;
    let principal = match output.get("principalId") {
        Some(Value::String(principal)) if !principal.is_empty() => principal.clone(),
        _ => return Err("principalId is missing".to_owned()),
    };
    let policy = output.get("policyDocument").filter(|policy| policy.is_object()).ok_or("policyDocument is missing")?;
    let verdict = evaluate(policy, arn)?;
    let mut context = match output.get("context") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(context)) => context.iter().map(in_text).collect::<Result<_, _>>()?,
        Some(_) => return Err("context is not an object".to_owned()),
    };
    context.insert("principalId".to_owned(), principal.into());
    Ok(Output { verdict, context })
}

/// Converts a context value to text. "You can't set a JSON object or array as a valid value of any key in the context
/// map."
fn in_text((name, value): (&String, &Value)) -> Result<(String, Value), String> {
    match value {
        Value::String(_) => Ok((name.clone(), value.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string().into())),
        _ => Err(format!("the context value {name} is neither a string, a number nor a boolean")),
    }
}

fn evaluate(policy: &Value, arn: &str) -> Result<Verdict, String> {
    let statements = policy.get("Statement").map(one_or_many).ok_or("the policy has no Statement")?;
    // An applicable Deny decides at once; an Allow holds unless a later statement denies.
    let mut verdict = Verdict::ImplicitDeny;
    for statement in statements {
        const KNOWN: [&str; 4] = ["Sid", "Effect", "Action", "Resource"];
        let object = statement.as_object().ok_or("a statement is not an object")?;
        if let Some(name) = object.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("{name} in a policy statement is not emulated"));
        }
        let covers = |name: &str, of: &str| -> Result<bool, String> {
            let patterns = object.get(name).map(one_or_many).ok_or(format!("a statement has no {name}"))?;
            Ok(patterns.iter().any(|pattern| pattern.as_str().is_some_and(|pattern| matches(pattern, of))))
        };
        let applies = covers("Action", "execute-api:Invoke")? && covers("Resource", arn)?;
        match object.get("Effect").and_then(Value::as_str) {
            Some("Deny") if applies => return Ok(Verdict::ExplicitDeny),
            Some("Allow") if applies => verdict = Verdict::Allow,
            Some("Allow" | "Deny") => {}
            _ => return Err("a statement's Effect is neither Allow nor Deny".to_owned()),
        }
    }
    Ok(verdict)
}

fn one_or_many(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

/// Matches IAM's wildcards: `*` is any text, `?` any single character. Case is significant, also in actions, for
/// which AWS ignores it.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Position of the last `*`, and the position in the text from which the match is retried.
    let mut star = None;
    while t < text.len() {
        if p < pattern.len() && (pattern[p] == '?' || (pattern[p] == text[t] && pattern[p] != '*')) {
            (p, t) = (p + 1, t + 1);
        } else if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if let Some((at, from)) = star {
            (p, t) = (at + 1, from + 1);
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:leveelocal/local/GET/v1/models";

    fn verdict(statements: Value) -> Result<Verdict, String> {
        let output =
            json!({ "principalId": "p", "policyDocument": { "Version": "2012-10-17", "Statement": statements } });
        read(output.to_string().as_bytes(), ARN).map(|output| output.verdict)
    }

    fn statement(effect: &str, resource: Value) -> Value {
        json!({ "Effect": effect, "Action": "execute-api:Invoke", "Resource": resource })
    }

    #[test]
    fn an_explicit_deny_wins_over_any_allow() {
        let both = json!([statement("Allow", json!("*")), statement("Deny", json!(["*/GET/v1/*"]))]);
        assert_eq!(verdict(both), Ok(Verdict::ExplicitDeny));
    }

    #[test]
    fn what_nothing_allows_is_denied() {
        assert_eq!(verdict(json!([])), Ok(Verdict::ImplicitDeny));
        assert_eq!(verdict(statement("Allow", json!("*/POST/*"))), Ok(Verdict::ImplicitDeny));
        assert_eq!(
            verdict(statement("Allow", json!("arn:aws:execute-api:*:*:*/local/GET/v1/model?"))),
            Ok(Verdict::Allow)
        );
    }

    #[test]
    fn a_malformed_policy_is_an_error() {
        assert!(verdict(statement("allow", json!("*"))).is_err());
        assert!(verdict(json!({ "Effect": "Allow", "Action": "execute-api:Invoke" })).is_err());
        assert!(verdict(json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {} })).is_err());
    }

    #[test]
    fn the_context_arrives_as_text_and_may_not_nest() {
        let output = |context| {
            let policy = json!({ "Statement": statement("Allow", json!("*")) });
            let output = json!({ "principalId": "p", "policyDocument": policy, "context": context });
            read(output.to_string().as_bytes(), ARN)
        };
        let context = output(json!({ "n": 12, "b": true, "s": "x" })).unwrap().context;
        assert_eq!(Value::Object(context), json!({ "n": "12", "b": "true", "s": "x", "principalId": "p" }));
        assert!(output(json!({ "nested": {} })).is_err());
        assert!(output(json!({ "list": [] })).is_err());
    }
}
