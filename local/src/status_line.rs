//! The status line of an answer.

use http::Response;
use hyper::ext::ReasonPhrase;

/// Sets the reason phrase of 529, Anthropic's own status. hyper does not know it and would write `<none>`.
pub(crate) fn with_reason<B>(mut response: Response<B>) -> Response<B> {
    if response.status().as_u16() == 529 {
        response.extensions_mut().insert(ReasonPhrase::from_static(b"Overloaded"));
    }
    response
}
