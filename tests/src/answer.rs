//! A complete HTTP answer, with accessors for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde_json::Value;

/// A complete answer.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body, as received.
    pub body: Vec<u8>,
    /// Time at which the body had been read.
    pub received_at: SystemTime,
    headers: BTreeMap<String, String>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &body)
            .finish()
    }
}

impl Answer {
    /// Reads an answer to its end. If the body breaks off, the part until then is kept.
    #[expect(clippy::disallowed_methods, reason = "tests hold answers against the real time")]
    pub async fn read(mut response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
        }
        Self { status, body, received_at: SystemTime::now(), headers }
    }

    /// Returns the value of the header `name`, or an empty string if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns the body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text body")
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Returns the body's server-sent events: name and data. Every event has to be complete, with JSON as its data.
    pub fn events(&self) -> Vec<(String, Value)> {
        let text = self.text();
        assert!(text.ends_with("\n\n"), "the stream ends within an event: {text}");
        text.trim_end_matches('\n')
            .split("\n\n")
            .map(|event| {
                let (name, data) = event.split_once("\ndata: ").unwrap_or_else(|| panic!("no event: {event}"));
                let name = name.strip_prefix("event: ").unwrap_or_else(|| panic!("no name: {event}"));
                (name.to_owned(), serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {event}")))
            })
            .collect()
    }

    /// Returns the header `name` as a structured-fields list of strings with their integer parameters (RFC 9651). The
    /// only other parameter is the unit of calls in flight, which is checked and left out.
    pub fn list(&self, name: &str) -> Vec<(String, Vec<(&'static str, i64)>)> {
        let list: sfv::List =
            sfv::Parser::new(self.header(name)).parse().unwrap_or_else(|error| panic!("{name}: {error}: {self:?}"));
        list.into_iter()
            .map(|entry| {
                let sfv::ListEntry::Item(item) = entry else { panic!("{name} holds an inner list") };
                let policy = item.bare_item.as_string().expect("a string").as_str().to_owned();
                let numbers = item.params.iter().filter(|(key, value)| {
                    let is_unit = key.as_str() == "qu";
                    assert!(!is_unit || value.as_string().is_some_and(|unit| unit.as_str() == "concurrent-requests"));
                    !is_unit
                });
                let parameters = numbers.map(|(key, value)| {
                    let key =
                        ["q", "w", "r", "t"].into_iter().find(|known| key.as_str() == *known).expect("a known key");
                    (key, i64::from(value.as_integer().expect("an integer")))
                });
                (policy, parameters.collect())
            })
            .collect()
    }
}
