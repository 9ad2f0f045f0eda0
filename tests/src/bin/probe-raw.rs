//! A hand-written runtime, for responses that no runtime library sends. The header `x-raw` contains the answer as
//! JSON: `parts`, its text, in which a number stands for that many spaces; `type`, its content type; and `streamed`,
//! a boolean. After `{"gives_up": true}` it takes the next call without answering this one. The answer to this one is
//! then sent late, just before that of the next call.

use std::{
    io::{Error, Read, Result, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

fn main() -> Result<()> {
    let mut given_up = None;
    loop {
        let (head, event) = ask("GET", "invocation/next", "", "")?;
        let header = |line: &str| line.strip_prefix("lambda-runtime-aws-request-id: ").map(str::to_owned);
        let id = head.lines().find_map(header).ok_or_else(|| Error::other("a call without an id"))?;
        let event: Value = serde_json::from_str(&event)?;
        let asked: Value = serde_json::from_str(event["headers"]["x-raw"].as_str().unwrap_or("{}"))?;
        // Take the next call without answering this one.
        if asked["gives_up"] == true {
            given_up = Some(id);
            continue;
        }
        // Send the late answer first.
        if let Some(id) = given_up.take() {
            let late = json!({ "statusCode": 200, "body": "late" }).to_string();
            let (head, _) = ask("POST", &format!("invocation/{id}/response"), "", &late)?;
            eprintln!("the late answer: {}", head.lines().next().unwrap_or_default());
        }
        let mut headers = format!("content-type: {}\r\n", asked["type"].as_str().unwrap_or("application/json"));
        if asked["streamed"] == true {
            headers.push_str("lambda-runtime-function-response-mode: streaming\r\n");
        }
        let parts = asked["parts"].as_array().into_iter().flatten();
        let text: String = parts.map(text).collect::<Result<_>>()?;
        ask("POST", &format!("invocation/{id}/response"), &headers, &text)?;
    }
}

fn text(part: &Value) -> Result<String> {
    match part {
        Value::String(text) => Ok(text.clone()),
        part => {
            let spaces = part.as_u64().and_then(|number| usize::try_from(number).ok());
            spaces.map(|number| " ".repeat(number)).ok_or_else(|| Error::other("a part is a text or a number"))
        }
    }
}

/// Sends one request to the Runtime API, on a new connection, and returns the head and body of its answer.
fn ask(method: &str, path: &str, headers: &str, body: &str) -> Result<(String, String)> {
    let address = std::env::var_os("AWS_LAMBDA_RUNTIME_API").and_then(|address| address.into_string().ok());
    let mut socket = TcpStream::connect(address.ok_or_else(|| Error::other("no Runtime API"))?)?;
    let length = body.len();
    let request = format!(
        "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nhost: runtime\r\nconnection: close\r\n{headers}content-length: \
         {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Error::other("the answer broke off"))?;
    Ok((head.to_owned(), body.to_owned()))
}
