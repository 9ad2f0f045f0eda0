//! The SNS stand-in: one topic, whose messages are kept and can be read at the control address.
//!
//! Follows the query protocol (<https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>) and "Publish" of the
//! Amazon SNS API reference.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::host::uuid;

/// Maximum number of messages that are kept. The oldest one is evicted.
const REMEMBERED: usize = 1_000;
/// A subject is shorter than this many characters. "Subjects … must be less than 100 characters long":
/// API_Publish.html.
const SUBJECT_ENDS_BEFORE: usize = 100;
/// Length of the longest message in bytes. "Messages must be … at most 262,144 bytes": API_Publish.html.
const LONGEST_MESSAGE: usize = 262_144;

/// The stand-in for SNS.
#[derive(Debug)]
pub(crate) struct Sns {
    topic: String,
    state: Mutex<Published>,
}

/// Published messages and the failure switch.
#[derive(Debug, Default, Serialize)]
struct Published {
    /// True if every call is answered with 500.
    fail: bool,
    /// Oldest first.
    messages: VecDeque<Message>,
}

#[derive(Debug, Serialize)]
struct Message {
    id: String,
    subject: Option<String>,
    message: String,
}

/// Status, code and message of an error.
struct SnsError(StatusCode, &'static str, String);

impl Sns {
    /// Returns a stand-in whose only topic has this ARN.
    pub(crate) fn new(topic: &str) -> Arc<Self> {
        Arc::new(Self { topic: topic.to_owned(), state: Mutex::default() })
    }

    /// Serves on a free port and returns the address.
    pub(crate) async fn serve(self: &Arc<Self>) -> std::io::Result<String> {
        super::serve(Router::new().route("/", post(answer)).with_state(Arc::clone(self))).await
    }

    fn call(&self, body: &[u8]) -> Result<String, SnsError> {
        let call: BTreeMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        let mut state = self.state();
        if state.fail {
            let message = "An internal error occurred.".to_owned();
            return Err(SnsError(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message));
        }
        let invalid = |code, message: &str| SnsError(StatusCode::BAD_REQUEST, code, message.to_owned());
        // Only Publish to the one topic is implemented.
        match call.get("Action").map(String::as_str) {
            Some("Publish") => {}
            None => return Err(invalid("MissingAction", "No action was supplied with this request.")),
            Some(_) => return Err(invalid("InvalidAction", "The action or operation requested is invalid.")),
        }
        if call.get("TopicArn") != Some(&self.topic) {
            return Err(SnsError(StatusCode::NOT_FOUND, "NotFound", "Topic does not exist".to_owned()));
        }
        // Check the parameters against the service's limits.
        let subject = call.get("Subject").cloned();
        if subject.as_deref().is_some_and(|subject| !is_subject(subject)) {
            return Err(invalid("InvalidParameter", "Invalid parameter: Subject"));
        }
        let message = call.get("Message").cloned().unwrap_or_default();
        if message.is_empty() || message.len() > LONGEST_MESSAGE {
            return Err(invalid("InvalidParameter", "Invalid parameter: Message"));
        }
        // Keep the message; evict the oldest one at the bound.
        let id = uuid();
        if state.messages.len() == REMEMBERED {
            state.messages.pop_front();
        }
        state.messages.push_back(Message { id: id.clone(), subject, message });
        Ok(id)
    }

    fn state(&self) -> MutexGuard<'_, Published> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks a subject. "Must be ASCII text that begins with a letter, number, or punctuation mark; must not include
/// line breaks or control characters": API_Publish.html.
fn is_subject(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_graphic())
        && characters.all(|c| c.is_ascii_graphic() || c == ' ')
        && text.len() < SUBJECT_ENDS_BEFORE
}

async fn answer(State(sns): State<Arc<Sns>>, body: Bytes) -> Response {
    let (status, body) = match sns.call(&body) {
        Ok(id) => (StatusCode::OK, published(&id)),
        Err(SnsError(status, code, message)) => (status, refused(status, code, &message)),
    };
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

fn published(id: &str) -> String {
    format!(
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>{id}</MessageId>\
         </PublishResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></PublishResponse>",
        uuid()
    )
}

// The code and the message come from this file and need no escaping.
fn refused(status: StatusCode, code: &str, message: &str) -> String {
    let fault = if status.is_server_error() { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>{fault}</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        uuid()
    )
}

/// Returns the route `/alerts` of the control address. `GET` shows the published messages; `PUT {"fail": true|false}`
/// makes SNS fail or work again.
pub(crate) fn control_routes(sns: Arc<Sns>) -> Router {
    Router::new().route("/alerts", get(show).put(set)).with_state(sns)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    fail: bool,
}

async fn show(State(sns): State<Arc<Sns>>) -> Json<Value> {
    Json(json!(*sns.state()))
}

async fn set(State(sns): State<Arc<Sns>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Script>(&body) {
        Ok(script) => {
            sns.state().fail = script.fail;
            show(State(sns)).await.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:Topic";

    fn publish(subject: &str, message: &str) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs([("Action", "Publish"), ("Version", "2010-03-31"), ("TopicArn", TOPIC)]);
        form.extend_pairs([("Subject", subject), ("Message", message)]).finish()
    }

    #[tokio::test]
    async fn a_message_is_kept_and_answered_with_its_id() {
        let sns = Sns::new(TOPIC);
        let id = sns.call(publish("A & B", "one\ntwo").as_bytes()).ok().unwrap();
        let Json(shown) = show(State(sns)).await;
        assert_eq!(
            shown,
            json!({ "fail": false, "messages": [{ "id": id, "subject": "A & B", "message": "one\ntwo" }] })
        );
        assert!(published(&id).contains(&format!("<PublishResult><MessageId>{id}</MessageId></PublishResult>")));
    }

    #[rstest]
    #[case::no_action("Version=2010-03-31", 400, "MissingAction")]
    #[case::other_action("Action=Subscribe", 400, "InvalidAction")]
    #[case::other_topic("Action=Publish&TopicArn=arn%3Aaws%3Asns%3Aother&Message=m", 404, "NotFound")]
    #[case::long_subject(&publish(&"s".repeat(100), "m"), 400, "InvalidParameter")]
    #[case::two_lines(&publish("two\nlines", "m"), 400, "InvalidParameter")]
    #[case::not_ascii(&publish("é", "m"), 400, "InvalidParameter")]
    #[case::leading_space(&publish(" s", "m"), 400, "InvalidParameter")]
    #[case::nothing_said(&publish("s", ""), 400, "InvalidParameter")]
    #[case::too_much_said(&publish("s", &"m".repeat(LONGEST_MESSAGE + 1)), 400, "InvalidParameter")]
    fn what_sns_refuses_is_refused(#[case] call: &str, #[case] status: u16, #[case] code: &str) {
        let sns = Sns::new(TOPIC);
        let refused = sns.call(call.as_bytes()).unwrap_err();
        assert_eq!((refused.0.as_u16(), refused.1), (status, code));
        assert!(sns.state().messages.is_empty());
    }

    #[tokio::test]
    async fn broken_it_answers_500_until_it_is_mended() {
        let sns = Sns::new(TOPIC);
        for (script, status) in [(r#"{"fail":true}"#, 500), (r#"{"fail":false}"#, 200)] {
            assert_eq!(set(State(sns.clone()), Bytes::from_static(script.as_bytes())).await.status(), 200);
            assert_eq!(answer(State(sns.clone()), publish("s", "m").into()).await.status(), status);
        }
        assert_eq!(sns.state().messages.len(), 1);
        assert_eq!(set(State(sns), Bytes::from_static(b"{}")).await.status(), 400);
    }
}
