//! The local gateway behaves as API Gateway REST. Each rule has a test, which names the page of the API Gateway
//! developer guide (<https://docs.aws.amazon.com/apigateway/latest/developerguide/>) or the SAM or Lambda guide that
//! it follows.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod answers;
mod authorizer;
mod limits;
mod requests;
mod streams;

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use tests::{Answer, Stack};
use tokio::net::TcpStream;

/// Delimiter after the metadata of a stream.
const DELIMITER: &str = "\0\0\0\0\0\0\0\0";
/// Content type of a stream that begins with metadata.
const INTEGRATION_RESPONSE: &str = "application/vnd.awslambda.http-integration-response";

async fn stack() -> Stack {
    Stack::builder().template("tests/fixtures/template.yaml").start().await
}

async fn send(stack: &Stack, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = stack.client().request(method, stack.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(request.send().await.unwrap()).await
}

async fn get(stack: &Stack, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(stack, Method::GET, path, headers).await
}

/// Calls the probe, which returns `answer` as its whole result.
async fn answered(stack: &Stack, answer: Value) -> Answer {
    get(stack, "/echo", &[("x-probe", &format!("answer:{answer}"))]).await
}

/// Calls the raw probe, which sends `answer` unchanged; for its fields see probe-raw.rs.
async fn raw(stack: &Stack, path: &str, answer: Value) -> Answer {
    get(stack, path, &[("x-raw", &answer.to_string())]).await
}

/// Opens a connection to the gateway, for requests that a client library would not send.
async fn connect(stack: &Stack) -> TcpStream {
    TcpStream::connect(stack.local("url").strip_prefix("http://").unwrap()).await.unwrap()
}

async fn headers_of(stack: &Stack, path: &str, probe: &str) -> HeaderMap {
    stack.client().get(stack.url(path)).header("x-probe", probe).send().await.unwrap().headers().clone()
}
