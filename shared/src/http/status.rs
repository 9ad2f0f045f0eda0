//! Names of HTTP statuses.

use std::fmt;

use http::StatusCode;

/// Returns the reason phrase of `status`. 529 is Anthropic's own "Overloaded".
pub fn reason(status: StatusCode) -> &'static str {
    match (status.as_u16(), status.canonical_reason()) {
        (_, Some(reason)) => reason,
        (529, None) => "Overloaded",
        (_, None) => "Error",
    }
}

/// Status in readable form: `529 Overloaded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named(pub StatusCode);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.as_u16(), reason(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_name() {
        for (status, text) in [(404, "404 Not Found"), (529, "529 Overloaded"), (599, "599 Error")] {
            assert_eq!(Named(StatusCode::from_u16(status).unwrap()).to_string(), text);
        }
    }
}
