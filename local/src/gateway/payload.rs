//! Rules for bodies that are passed in base64: "Content type conversions in API Gateway"
//! (api-gateway-payload-encodings-workflow.html) and "Return binary media from a Lambda proxy integration"
//! (lambda-proxy-binary-media.html).

/// Returns true if the API's list contains a media type (with or without parameters). `*/*` matches every type.
pub(super) fn is_binary(list: &[String], media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    list.iter().any(|binary| binary == "*/*" || *binary == essence)
}

/// Returns true if an encoded answer is to be decoded. The first media type that the client accepts decides.
pub(super) fn wants_binary(list: &[String], accept: Option<&str>) -> bool {
    let first = accept.and_then(|accept| accept.split(',').next()).unwrap_or("application/json");
    is_binary(list, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_accepted_type_counts() {
        let list = ["image/png".to_owned()];
        assert!(wants_binary(&list, Some("image/png;q=1, */*")));
        assert!(!wants_binary(&list, Some("*/*, image/png")));
        assert!(!wants_binary(&list, None));
        assert!(wants_binary(&["*/*".to_owned()], None));
    }
}
