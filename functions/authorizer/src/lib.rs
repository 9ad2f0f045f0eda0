//! API Gateway's REQUEST authorizer: identifies the caller and checks its limits.
//!
//! One call does both, so that a request costs only one function call before it reaches its own function. The answer is
//! an IAM policy with a context ([`response`]). The context is the contract that [`levee::http::context`] defines.
//!
//! Start reading at [`handle()`].

pub mod config;
pub mod event;
mod handle;
pub mod headers;
mod identity;
mod report;
pub mod response;

pub use config::{AuthorizerConfig, AuthorizerState};
pub use event::Event;
pub use handle::{AuthorizerFailure, handle};
