//! Forms that browsers send.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use lambda_http::Request;
use url::form_urlencoded;

use super::error::WebError;

/// Largest body that is read, in bytes.
const LARGEST_BODY: usize = 8 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// Fields of a form.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of `request`. A body of another content type has no fields.
    pub(super) fn from_request(request: &Request) -> Result<Self, WebError> {
        if request.body().len() > LARGEST_BODY {
            return Err(WebError::TooLarge);
        }
        let fields = if is_form(request.headers()) {
            form_urlencoded::parse(request.body()).into_owned().collect()
        } else {
            Vec::new()
        };
        Ok(Self(fields))
    }

    /// Returns a field; empty if it is absent.
    pub fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }
}

pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_by_its_content_type_and_only_up_to_its_bound() {
        let field = |content_type: &str, body: &str| {
            let request = http::Request::builder().header("content-type", content_type).body(body.into()).unwrap();
            Form::from_request(&request).map(|form| form.field("a").to_owned())
        };
        assert_eq!(field("Application/X-www-form-urlencoded; charset=UTF-8", "b=1&a=x%26%2B+y&a=z").unwrap(), "x&+ y");
        assert_eq!(field("application/json", "a=1").unwrap(), "");
        assert!(matches!(field(FORM, &"a".repeat(LARGEST_BODY + 1)), Err(WebError::TooLarge)));
    }
}
