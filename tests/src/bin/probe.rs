//! A function that behaves as the header `x-probe` says; without the header it answers with the event. It exits at
//! its start if the file exists whose name is in `CRASH_FILE`.

use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    eprintln!("probe starts");
    if std::env::var_os("CRASH_FILE").is_some_and(|file| std::path::Path::new(&file).exists()) {
        std::process::exit(4);
    }
    lambda_runtime::run(service_fn(answer)).await
}

#[expect(clippy::panic, reason = "one of the things that it is asked to do")]
async fn answer(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    let asked = event["headers"]["x-probe"].as_str().unwrap_or("echo").to_owned();
    let (what, detail) = asked.split_once(':').unwrap_or((&asked, ""));
    Ok(match what {
        "echo" => text(&event.to_string()),
        "panic" => panic!("asked to"),
        "error" => return Err("asked to".into()),
        "exit" => std::process::exit(3),
        "hang" => std::future::pending().await,
        "sleep" => {
            tokio::time::sleep(Duration::from_millis(detail.parse()?)).await;
            text("awake")
        }
        "pid" => text(&std::process::id().to_string()),
        "variables" => text(&serde_json::to_string(&std::env::vars_os().filter_map(pair).collect::<Vec<_>>())?),
        "context" => text(&json!({ "deadline": context.deadline, "arn": context.invoked_function_arn }).to_string()),
        "big" => text(&"x".repeat(detail.parse()?)),
        // `iVBOR…`: the first bytes of a PNG.
        "binary" => json!({
            "statusCode": 200, "headers": { "content-type": "image/png" }, "body": "iVBORw0KGgo=", "isBase64Encoded": true,
        }),
        "bad-base64" => json!({ "statusCode": 200, "body": "%%%", "isBase64Encoded": true }),
        // The detail is the whole answer, as JSON.
        "answer" => serde_json::from_str(detail)?,
        other => return Err(format!("no probe does {other}").into()),
    })
}

fn text(body: &str) -> Value {
    json!({ "statusCode": 200, "multiValueHeaders": { "content-type": ["application/json"] }, "body": body })
}

fn pair((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}
