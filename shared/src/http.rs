//! HTTP layer between the authorizer and the functions behind it: the verdict in the authorizer
//! context, the client's address, the API's own address, and errors as clients see them.
//!
//! Start reading at [`context`], the contract between the two sides.

pub mod address;
mod admit;
pub mod anthropic;
mod cache_status;
mod client_secrets;
pub mod context;
mod cors;
pub mod links;
mod problem;
mod pseudonym;
mod refund;
mod run;
pub mod status;
pub mod usage;

pub use admit::{Admission, Rejection, UNREADABLE, admit, admit_anyone, request_id};
pub use cache_status::{CACHE_HEADER, cache_headers, is_not_modified};
pub use client_secrets::{ClientSecrets, ClientSecretsConfig, ClientSecretsError};
pub use context::{AuthorizerContext, Caller, RefusalContext};
pub use cors::AllowedOrigin;
pub use links::Links;
pub use problem::{LONGEST_SDK_WAIT_SECS, Problem, SHOULD_RETRY_HEADER};
pub use pseudonym::{AddressKey, InvalidAddressKey};
pub use refund::refund;
pub use run::{run_buffered, run_streaming};

/// Header with the id of a request, which is the same in the response, in logs and for support.
pub const REQUEST_ID_HEADER: &str = "x-levee-request-id";
