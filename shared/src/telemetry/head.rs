//! Common part of all wide events.

use metrique::unit_of_work::metrics;

use crate::clock::Clock;

/// Common fields of all wide events: those of a log line, and the id of the request. `Function` is a metric dimension.
#[metrics(subfield_owned)]
#[derive(Debug, Clone)]
pub struct Head {
    timestamp: String,
    level: &'static str,
    message: &'static str,
    #[metrics(name = "Function")]
    function: &'static str,
    #[metrics(name = "request.id")]
    request_id: String,
}

impl Head {
    /// Creates the head of an event of `function` about the request `request_id`. The timestamp is the system's time,
    /// as in log lines.
    pub fn new(function: &'static str, message: &'static str, request_id: &str) -> Self {
        let timestamp = Clock::system().now().to_rfc3339_millis();
        Self { timestamp, level: "INFO", message, function, request_id: request_id.to_owned() }
    }
}
