//! The seam between the authorizer and the functions behind it: route classes, the verdict that travels in the
//! authorizer context, the client's address, and errors as the API's users see them.
//!
//! Start reading at [`context`], which is the contract between the two sides.

pub mod address;
mod admit;
pub mod anthropic;
pub mod context;
pub mod routes;
mod run;

pub use admit::{Admission, Admitted, Forbidden, admit};
pub use context::{AuthorizerContext, RefusalContext};
pub use routes::Route;
pub use run::run_streaming;

/// The id by which one request is named everywhere: in the answer, in logs and by support.
pub const REQUEST_ID_HEADER: &str = "x-levee-request-id";
