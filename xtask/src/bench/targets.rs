//! Who is measured, doing what. The names are those that the workers know.

/// Who decides.
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

/// What is asked while nothing is used up, in the order of the table. Those that end in `/32` have 32 connections where the
/// others of their process share one.
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

/// What is asked while the account's limit is used up.
pub(super) const REFUSED: [(&str, Party); 6] = [
    ("levee-3/refused", Levee),
    ("levee-3/refused-asked", Levee),
    ("rate-limiter-flexible/refused", RateLimiterFlexible),
    ("upstash/refused", Upstash),
    ("limits/refused", Party::Limits),
    ("express/refused", Express),
];

/// What the server is asked the cost of.
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

/// How many accounts' memory is measured.
pub(super) const ACCOUNTS: u32 = 1_000;
