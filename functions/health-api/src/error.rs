//! Failures of the stores that the board reads, each with the code that names it in logs.

use std::fmt::Display;

use levee::web::WebError;

/// Code of a failure of the admins table.
pub(crate) const ADMINS: &str = "admins.unreachable";

pub(crate) fn admins(error: impl Display) -> WebError {
    WebError::Unavailable(ADMINS, error.to_string())
}

/// Uses another code than `accounts.unreachable`, which means that callers cannot be authorized: the board reads parts
/// of the table that the authorizer does not read.
pub(crate) fn accounts(error: impl Display) -> WebError {
    WebError::Unavailable("board.unreadable", error.to_string())
}

pub(crate) fn usage(error: impl Display) -> WebError {
    WebError::Unavailable("usage.unreadable", error.to_string())
}

pub(crate) fn breadcrumbs(error: impl Display) -> WebError {
    WebError::Unavailable("breadcrumbs.unreachable", error.to_string())
}

pub(crate) fn breakers(error: impl Display) -> WebError {
    WebError::Unavailable("breakers.unreachable", error.to_string())
}

pub(crate) fn csp(error: impl Display) -> WebError {
    WebError::Unavailable("csp.unreadable", error.to_string())
}

pub(crate) fn logs(error: impl Display) -> WebError {
    WebError::Unavailable("logs.unreachable", error.to_string())
}
