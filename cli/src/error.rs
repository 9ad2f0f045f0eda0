//! Errors of commands: messages, advice and exit codes.

use std::process::ExitCode;

use crate::output::aside;

/// Command that cannot be understood as it was given. Its exit code is 2, as for clap's own errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Creates an error for a command that cannot be understood.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// Prints the error with advice, and returns the exit code.
pub(crate) fn report(error: &anyhow::Error, local: bool) -> ExitCode {
    // The reader of standard output closed it, which is no failure.
    if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    // Print the error with its causes, then advice.
    let text = format!("{error:#}");
    aside(&format!("error: {text}"));
    if let Some(advice) = advice(&text, local) {
        aside(&format!("  {advice}"));
    }
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// Returns advice for an error of AWS or of the local stack, by the error's text.
fn advice(text: &str, local: bool) -> Option<&'static str> {
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if local {
        return says(&["dispatch failure", "onnection refused"])
            .then_some("The local stack does not answer. Is it still running? Start it with: cargo xtask up");
    }
    if says(&["ExpiredToken", "token has expired", "Token has expired", "session has expired"]) {
        return Some("Your AWS session is over. Sign in again, for instance with: aws sso login");
    }
    if says(&["AccessDenied", "is not authorized to perform", "NotAuthorized"]) {
        return Some("You may not do this with these credentials. Choose others with --profile, or ask for the right.");
    }
    if says(&["UnrecognizedClient", "InvalidClientTokenId", "InvalidSignature", "SignatureDoesNotMatch"]) {
        return Some("AWS does not know these credentials. Choose others with --profile.");
    }
    if says(&["dispatch failure", "timeout", "no answer within"]) {
        return Some("AWS cannot be reached from here, or there is no such region: check --region and the network.");
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("DynamoDB: dispatch failure: io error: Connection refused", true, "cargo xtask up")]
    #[case("ExpiredTokenException: The security token included in the request is expired", false, "aws sso login")]
    #[case("AccessDeniedException: User: x is not authorized to perform: dynamodb:Query", false, "--profile")]
    #[case("UnrecognizedClientException: The security token is invalid", false, "--profile")]
    #[case("dispatch failure: other: failed to lookup address", false, "--region")]
    fn errors_say_what_to_do_next(#[case] text: &str, #[case] local: bool, #[case] expected: &str) {
        assert!(advice(text, local).unwrap().contains(expected));
    }

    #[test]
    fn an_error_that_says_all_itself_gets_no_advice() {
        assert_eq!(advice("there is no account acme", false), None);
        assert_eq!(advice("there is no account acme", true), None);
    }
}
