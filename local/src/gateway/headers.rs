//! Headers of a function's answer.
//!
//! "Amazon API Gateway important notes" (api-gateway-known-issues.html) lists those that API Gateway reserves and
//! passes on as `x-amzn-Remapped-*`.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

const REMAPPED: [HeaderName; 15] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    header::DATE,
    header::EXPECT,
    header::HOST,
    header::MAX_FORWARDS,
    header::PROXY_AUTHENTICATE,
    header::SERVER,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::USER_AGENT,
    header::WWW_AUTHENTICATE,
];

/// Collector of an answer's headers. Errors say which value is malformed.
#[derive(Debug, Default)]
pub(super) struct Headers(HeaderMap);

impl Headers {
    /// Adds the members of `headers` or `multiValueHeaders`. "If you specify values for both, API Gateway merges them
    /// into a single list" (set-up-lambda-proxy-integrations.html).
    pub(super) fn extend(&mut self, object: Option<&Value>) -> Result<(), String> {
        let object = match object {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Object(object)) => object,
            Some(_) => return Err("headers are not an object".to_owned()),
        };
        for (name, value) in object {
            match value {
                Value::Array(values) => values.iter().try_for_each(|value| self.append(name, value))?,
                value => self.append(name, value)?,
            }
        }
        Ok(())
    }

    fn append(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(format!("the header {name} is neither a string, a number nor a boolean")),
        };
        // Check the name and the value.
        let known = HeaderName::try_from(name).map_err(|_| format!("{name:?} is no header name"))?;
        let value = HeaderValue::from_str(&text)
            .map_err(|_| format!("the header {name} has a value that no header may have"))?;
        // Drop transfer-encoding: the gateway frames the message itself.
        if known == header::TRANSFER_ENCODING {
            return Ok(());
        }
        // Rename reserved headers, and drop values that are present already.
        let remapped = REMAPPED.contains(&known);
        let name = if remapped { HeaderName::try_from(format!("x-amzn-remapped-{known}")) } else { Ok(known) };
        let name = name.map_err(|error| error.to_string())?;
        let twice = self.0.get_all(&name).iter().any(|present| *present == value);
        if !twice || name == header::SET_COOKIE {
            self.0.append(name, value);
        }
        Ok(())
    }

    /// Adds cookies, one header for each.
    pub(super) fn cookies(&mut self, cookies: Option<&Value>) -> Result<(), String> {
        for cookie in cookies.and_then(Value::as_array).into_iter().flatten() {
            self.append("set-cookie", cookie)?;
        }
        Ok(())
    }

    /// Returns the headers. The content type defaults to "application/json".
    pub(super) fn finish(mut self, trace_id: &str) -> HeaderMap {
        self.0.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        if let Ok(value) = HeaderValue::from_str(trace_id) {
            self.0.entry("x-amzn-trace-id").or_insert(value);
        }
        self.0
    }
}
