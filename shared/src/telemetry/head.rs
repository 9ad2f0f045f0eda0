//! What every wide event begins with.

use metrique::unit_of_work::metrics;

use crate::clock::Clock;

/// What every wide event begins with: what makes it a log line, and which request it is about. `Function` is a metric
/// dimension.
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
    /// The head of an event of `function` about the request `request_id`. The time is the system's, as in log lines.
    pub fn new(function: &'static str, message: &'static str, request_id: &str) -> Self {
        let timestamp = Clock::system().now().to_rfc3339_millis();
        Self { timestamp, level: "INFO", message, function, request_id: request_id.to_owned() }
    }
}
