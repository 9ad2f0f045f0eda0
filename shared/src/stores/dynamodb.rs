//! The DynamoDB client: the SDK's client with bounded calls, and [conditional writes](writes).

pub(crate) mod writes;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, TransactWriteItem};

use super::aws::{self, AwsConfig};
use crate::config::Reader;

/// Configuration of the DynamoDB client.
#[derive(Debug, Clone)]
pub struct DynamoDbConfig {
    /// Region and credentials.
    pub aws: AwsConfig,
    /// `AWS_ENDPOINT_URL_DYNAMODB`: endpoint in place of the region's, as the SDKs define it. Default: unset.
    pub endpoint_url: Option<String>,
    /// `DYNAMODB_TIMEOUT_MS`: time-out of a call in milliseconds, including connecting and its one retry. Default 500,
    /// 50 to 15,000.
    pub timeout: Duration,
}

impl DynamoDbConfig {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            aws: AwsConfig::read(reader),
            endpoint_url: reader.optional("AWS_ENDPOINT_URL_DYNAMODB"),
            timeout: reader.millis("DYNAMODB_TIMEOUT_MS", 500, 50..=15_000),
        }
    }
}

/// Creates a client. Does not connect yet.
pub fn client(config: &DynamoDbConfig) -> Client {
    let mut builder = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config.aws.region.clone()))
        .credentials_provider(config.aws.credentials_provider())
        .http_client(aws::https_client())
        .timeout_config(aws::timeouts(config.timeout))
        .retry_config(RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(25)));
    builder.set_endpoint_url(config.endpoint_url.clone());
    Client::from_conf(builder.build())
}

/// Describes the error of a call in one line: DynamoDB's code and message, or the chain of causes.
pub fn describe<E: ProvideErrorMetadata + std::error::Error + 'static, R: std::fmt::Debug>(
    error: &SdkError<E, R>,
) -> String {
    if let (Some(code), Some(message)) = (error.code(), error.message()) {
        return format!("{code}: {message}");
    }
    // Without a code, join the whole chain of causes.
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Errors of the client that say nothing about an earlier attempt of the SDK at the same write, whose answer was lost.
const SAYS_NOTHING: [&str; 4] = [
    "TransactionInProgressException",
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
];

/// Returns true if a write that failed with `error` was not applied. It may have been applied if its answer was lost, or
/// if DynamoDB answered with an error of the server
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>).
pub(crate) fn is_rejected<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::ServiceError(answer) => {
            let says_nothing = error.code().is_some_and(|code| SAYS_NOTHING.contains(&code));
            answer.raw().status().is_client_error() && !says_nothing
        }
        _ => false,
    }
}

/// Returns a new token for [`transact`].
pub(crate) fn transaction_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Applies all `writes` or none. If the answer is lost, sends them once more.
///
/// DynamoDB recognises a repeated transaction by its `token`, for ten minutes: one that was applied already succeeds
/// without a second effect, and is not rejected by its own conditions.
pub(crate) async fn transact(
    client: &Client,
    writes: &[TransactWriteItem],
    token: &str,
) -> Result<(), SdkError<TransactWriteItemsError, HttpResponse>> {
    let send = || {
        let request = client.transact_write_items().set_transact_items(Some(writes.to_vec()));
        request.client_request_token(token).send()
    };
    match send().await {
        Err(error) if !is_rejected(&error) => send().await.map(drop),
        answered => answered.map(drop),
    }
}

/// Returns true if a transaction that was cancelled with `code` may succeed on a retry
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CancellationReason.html>). The SDK does not
/// retry it.
pub(crate) fn passes(code: &str) -> bool {
    ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"].contains(&code)
}

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Waits after the attempt with number `attempt`, counted from 1. The time is random, so that conflicting writers do
/// not conflict again: up to `first` after the first attempt, and up to twice as much after each later one, but at
/// most 200 ms.
pub(crate) async fn pause(attempt: u32, first: Duration) {
    let longest = first.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_PAUSE);
    tokio::time::sleep(rand::random_range(Duration::ZERO..=longest)).await;
}

/// Reads the items with the given keys, at most 100, in any order. Missing items are left out.
///
/// # Errors
/// A line with the cause, also if DynamoDB has read only a part of the items.
pub(crate) async fn batch_get(
    client: &Client,
    table: &str,
    keys: Vec<HashMap<String, AttributeValue>>,
    consistent: bool,
) -> Result<Vec<HashMap<String, AttributeValue>>, String> {
    let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(consistent).build();
    let keys = keys.map_err(|error| error.to_string())?;
    let answer = client.batch_get_item().request_items(table, keys).send().await.map_err(|error| describe(&error))?;
    // DynamoDB may read a part only; the SDK does not retry the rest.
    if answer.unprocessed_keys.is_some_and(|keys| !keys.is_empty()) {
        return Err("throttled: a part of the batch was not read".to_owned());
    }
    Ok(answer.responses.and_then(|mut tables| tables.remove(table)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const IN_PROGRESS: (u16, &str) = (400, r#"{"__type":"x#TransactionInProgressException","Message":"wait"}"#);
    const THROTTLED: (u16, &str) = (400, r#"{"__type":"x#ThrottlingException","message":"slower"}"#);
    const BROKEN: (u16, &str) = (500, r#"{"__type":"x#InternalServerError","message":"sorry"}"#);
    const GATEWAY: (u16, &str) = (502, "<html>");
    const DENIED: (u16, &str) = (400, r#"{"__type":"x#AccessDeniedException","message":"not yours"}"#);
    const CANCELLED: (u16, &str) = (
        400,
        r#"{"__type":"x#TransactionCanceledException","message":"no","CancellationReasons":[{"Code":"ConditionalCheckFailed"}]}"#,
    );

    #[tokio::test]
    async fn a_write_is_rejected_only_if_dynamodb_says_so() {
        for (answer, expected) in [
            (DENIED, true),
            (CANCELLED, true),
            (IN_PROGRESS, false),
            (THROTTLED, false),
            (BROKEN, false),
            (GATEWAY, false),
        ] {
            let stub = stub::Stub::start(vec![answer].leak()).await;
            let error = transact(&stub.client, &[], "token").await.unwrap_err();
            assert_eq!(is_rejected(&error), expected, "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_transaction_without_an_answer_is_repeated_with_its_token() {
        let stub = stub::Stub::start(&[BROKEN, BROKEN, (200, "{}")]).await;
        transact(&stub.client, &[], "a-token").await.unwrap();
        let requests = stub.requests();
        assert_eq!(requests.len(), 3, "two attempts of the SDK, and another one");
        assert!(requests.iter().all(|it| *it == requests[0] && it.contains(r#""ClientRequestToken":"a-token""#)));
        assert_ne!(transaction_token(), transaction_token());
    }

    #[tokio::test]
    async fn a_rejected_transaction_is_not_repeated() {
        let stub = stub::Stub::start(&[CANCELLED]).await;
        transact(&stub.client, &[], "token").await.unwrap_err();
        assert_eq!(stub.answered(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_grows_to_its_bound_and_is_never_longer() {
        for (attempt, longest) in [(1, 10), (2, 20), (5, 160), (6, 200), (40, 200), (u32::MAX, 200)] {
            let began = Instant::now();
            pause(attempt, Duration::from_millis(10)).await;
            // Timers have a resolution of one millisecond.
            assert!(began.elapsed() <= Duration::from_millis(longest + 1), "{attempt}: {:?}", began.elapsed());
        }
    }
}

/// DynamoDB stub with scripted responses.
#[cfg(test)]
pub(crate) mod stub {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use aws_credential_types::Credentials;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{AwsConfig, Client, DynamoDbConfig, client};
    use crate::sync::lock;

    /// Time-out of the stub's clients.
    pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);

    /// Stub server with its client and a record of the requests.
    pub(crate) struct Stub {
        pub(crate) client: Client,
        /// URL of the server, for clients of other services with a JSON protocol.
        pub(crate) url: String,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Stub {
        /// Starts a server that gives `answers` (status and body) in turn, and repeats the last one. Without answers
        /// it accepts connections and never responds.
        pub(crate) async fn start(answers: &'static [(u16, &'static str)]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let asked = Arc::new(Mutex::new(Vec::new()));
            let record = asked.clone();
            tokio::spawn(async move {
                loop {
                    let (connection, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(connection, answers, record.clone()));
                }
            });
            let credentials = Credentials::new("test", "test", None, None, "test");
            let aws = AwsConfig { region: "us-east-1".to_owned(), credentials };
            let config = DynamoDbConfig { aws, endpoint_url: Some(url.clone()), timeout: TIMEOUT };
            Self { client: client(&config), url, asked }
        }

        pub(crate) fn answered(&self) -> usize {
            lock(&self.asked).len()
        }

        /// Returns the bodies of the requests that were answered.
        pub(crate) fn requests(&self) -> Vec<String> {
            lock(&self.asked).clone()
        }
    }

    async fn serve(mut connection: TcpStream, answers: &'static [(u16, &'static str)], asked: Arc<Mutex<Vec<String>>>) {
        let mut request = Vec::new();
        while connection.read_buf(&mut request).await.is_ok_and(|length| length > 0) {
            // Wait until the whole request has arrived.
            let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head.split_once("content-length: ").unwrap().1.split("\r\n").next().unwrap();
            let whole = end + 4 + length.parse::<usize>().unwrap();
            if request.len() < whole || answers.is_empty() {
                continue;
            }
            let body = String::from_utf8_lossy(&request[end + 4..whole]).into_owned();
            request.drain(..whole);
            // Record the request, and send the answer of its turn.
            let turn = {
                let mut asked = lock(&asked);
                asked.push(body);
                asked.len() - 1
            };
            let (status, body) = answers[turn.min(answers.len() - 1)];
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    }
}
