//! A runtime written by hand, for what no runtime library sends. The header `x-raw` holds the answer as JSON: `parts`, its
//! text, a number standing for that many spaces; `type`, its content type; and whether it is `streamed`. After
//! `{"gives_up": true}` the next call is taken without an answer to this one, which follows, late, before the next one's.

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
        if asked["gives_up"] == true {
            given_up = Some(id);
            continue;
        }
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

/// One request of the Runtime API, on a connection of its own; its answer's head and body.
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
