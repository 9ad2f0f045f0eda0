//! A provider that falls ill and gets well, as its callers see it: programs that use Anthropic's official SDKs and try no call a
//! second time, so that what they see is what was served.
//!
//! Each scene has a stack with three environments of the proxy, whose primary provider is told what to suffer from. What is
//! asserted are counts and orders; where a scene needs time to pass, it moves the clock.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests")]

mod failing;
mod hanging;
mod poisoned;
mod recovery;
mod scene;
mod slow;
mod stores;
mod streams;
