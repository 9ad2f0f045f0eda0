//! An authorizer that behaves as the header `x-authorizer` says; without the header it allows.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(decide)).await
}

#[expect(clippy::panic, reason = "one of the things that it is asked to do")]
async fn decide(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let event = event.payload;
    let arn = &event["methodArn"];
    let context = json!({ "wait": 7, "kind": "limited", "sure": true, "event": event.to_string() });
    let decision = |effect: &str, resource: &Value, context: Value| {
        json!({
            "principalId": "someone",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{ "Action": "execute-api:Invoke", "Effect": effect, "Resource": resource }],
            },
            "context": context,
        })
    };
    // Behave as the header says.
    Ok(match event["headers"]["x-authorizer"].as_str().unwrap_or("allow") {
        "allow" => decision("Allow", arn, context),
        "deny" => decision("Deny", arn, context),
        "allow-something-else" => decision("Allow", &json!("arn:aws:execute-api:*:*:*/*/POST/other"), context),
        "nested-context" => decision("Allow", arn, json!({ "nested": { "a": 1 } })),
        "unauthorized" => return Err("Unauthorized".into()),
        "error" => return Err("the store is down".into()),
        "panic" => panic!("asked to"),
        "exit" => std::process::exit(3),
        "malformed" => json!("Allow"),
        "no-principal" => json!({ "policyDocument": decision("Allow", arn, context)["policyDocument"] }),
        other => return Err(format!("no probe does {other}").into()),
    })
}
