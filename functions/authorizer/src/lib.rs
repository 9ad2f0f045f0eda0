//! API Gateway's REQUEST authorizer: who is calling, and are they within their limits.
//!
//! One call decides both, so that a request costs one function call before it reaches its own. The answer is an IAM
//! policy with a context ([`response`]); what the context says is the contract of [`levee::http::context`].
//!
//! Start reading at [`handle()`].

pub mod config;
pub mod event;
mod handle;
pub mod headers;
mod report;
pub mod response;
mod standing;

pub use config::{Config, State};
pub use event::Event;
pub use handle::{Failure, handle};
