//! A provider that fails and recovers, from the callers' point of view. The callers are programs with Anthropic's
//! official SDKs and without retries, so that they observe exactly what was served.
//!
//! Each scene has a stack with three environments of the proxy, whose primary provider is scripted. The assertions
//! are about counts and orders; scenes that need time to pass move the clock.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

mod failing;
mod hanging;
mod poisoned;
mod recovery;
mod scene;
mod slow;
mod stores;
mod streams;
