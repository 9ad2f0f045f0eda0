//! Measured limiters and their targets, by the names that the workers use.

/// A measured program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Party {
    /// Levee, PING, INCR and a bare script
    Levee,
    /// rate-limiter-flexible (npm)
    RateLimiterFlexible,
    /// @upstash/ratelimit (npm), over ioredis
    Upstash,
    /// limits (PyPI)
    Limits,
    /// express with express-rate-limit and rate-limit-redis (npm), over HTTP
    Express,
}

use Party::{Express, Levee, RateLimiterFlexible, Upstash};

/// Targets measured while no limit is used up, in the order of the table. Those that end in `/32` use 32 connections,
/// while the others of their process share one.
pub(super) const ADMITTED: [(&str, Party); 13] = [
    ("ping", Levee),
    ("incr", Levee),
    ("evalsha", Levee),
    ("levee-1", Levee),
    ("levee-3", Levee),
    ("levee-6", Levee),
    ("levee-ai", Levee),
    ("rate-limiter-flexible", RateLimiterFlexible),
    ("rate-limiter-flexible/32", RateLimiterFlexible),
    ("upstash", Upstash),
    ("upstash/32", Upstash),
    ("limits", Party::Limits),
    ("express", Express),
];

/// Targets measured while the account's limit is used up.
pub(super) const REFUSED: [(&str, Party); 6] = [
    ("levee-3/refused", Levee),
    ("levee-3/refused-asked", Levee),
    ("rate-limiter-flexible/refused", RateLimiterFlexible),
    ("upstash/refused", Upstash),
    ("limits/refused", Party::Limits),
    ("express/refused", Express),
];

/// Targets whose cost for the server is measured.
pub(super) const COSTS: [&str; 12] = [
    "ping",
    "evalsha",
    "levee-1",
    "levee-3",
    "levee-6",
    "levee-ai",
    "levee-ai/returned",
    "levee-1/refused-asked",
    "levee-3/refused-asked",
    "levee-6/refused-asked",
    "levee-ai/refused-asked",
    "levee-3/refused",
];

/// Number of accounts whose memory is measured.
pub(super) const ACCOUNTS: u32 = 1_000;
