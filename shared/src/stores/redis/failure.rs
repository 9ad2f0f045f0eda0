//! Classification of Redis errors by their meaning for the connection and the guard. No I/O.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// State of Redis that an error shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RedisFailure {
    /// No connection, a connection that was lost, or a peer that does not speak the protocol.
    Lost,
    /// Redis answers, but cannot serve on this connection: it is loading, it has become a replica, it requires a
    /// password, or its primary is gone. Another connection may reach a server that can serve.
    Unfit,
    /// Redis rejected this one command. The connection is good, and other commands may succeed.
    Refused,
}

impl From<&RedisError> for RedisFailure {
    fn from(error: &RedisError) -> Self {
        match error.kind() {
            // An invalid reply cannot be skipped, so later replies on the connection cannot be read either.
            ErrorKind::Io | ErrorKind::Parse | ErrorKind::InvalidClientConfig => Self::Lost,
            ErrorKind::AuthenticationFailed
            | ErrorKind::Server(
                ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown,
            ) => Self::Unfit,
            _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Self::Unfit,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn failure_of(error: impl Into<RedisError>) -> RedisFailure {
        RedisFailure::from(&error.into())
    }

    #[test]
    fn only_a_connection_that_is_lost_or_cannot_be_understood_counts_as_lost() {
        for kind in [
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::TimedOut,
            io::ErrorKind::NotFound,
            io::ErrorKind::Other,
        ] {
            assert_eq!(failure_of(io::Error::from(kind)), RedisFailure::Lost, "{kind:?}");
        }
        for kind in [ErrorKind::Io, ErrorKind::Parse, ErrorKind::InvalidClientConfig] {
            assert_eq!(failure_of((kind, "x")), RedisFailure::Lost, "{kind:?}");
        }
        for kind in [
            ErrorKind::UnexpectedReturnType,
            ErrorKind::Client,
            ErrorKind::Extension,
            ErrorKind::Server(ServerErrorKind::ResponseError),
            ErrorKind::Server(ServerErrorKind::ExecAbort),
            ErrorKind::Server(ServerErrorKind::NoScript),
            ErrorKind::Server(ServerErrorKind::TryAgain),
            ErrorKind::Server(ServerErrorKind::CrossSlot),
            ErrorKind::Server(ServerErrorKind::NoPerm),
        ] {
            assert_eq!(failure_of((kind, "x")), RedisFailure::Refused, "{kind:?}");
        }
        assert_eq!(failure_of((ErrorKind::AuthenticationFailed, "x")), RedisFailure::Unfit);
    }
}
