//! Security headers of all answers, and of pages: no other module sets one of them.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::arrival::Arrival;
use super::layout::STYLE;
use crate::csp::Policy;
use crate::csp::policy::HeaderLines;
use crate::csp::project::OWN_PROJECT;
use crate::http::{Links, REQUEST_ID_HEADER};

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const INTEGRITY_POLICY: HeaderName = HeaderName::from_static("integrity-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Features of browsers that a page gives up, for itself and for all that it might embed (W3C Permissions Policy).
const NO_FEATURES: &str = "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), \
                           fullscreen=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), \
                           payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), \
                           usb=(), xr-spatial-tracking=()";

impl Arrival {
    /// Adds the headers that every answer to this request must have, a page or not.
    pub fn sign(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert(REQUEST_ID_HEADER, id);
        }
        secure(headers, &self.links);
    }
}

/// Adds the headers that every page must have. Every page is made by [`Page`](super::Page), which calls this.
pub(super) fn secure_page(headers: &mut HeaderMap, links: &Links) {
    secure(headers, links);
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (INTEGRITY_POLICY, "blocked-destinations=(script), endpoints=(csp)"),
        (REFERRER_POLICY, "no-referrer"),
        (PERMISSIONS_POLICY, NO_FEATURES),
        (COOP, "same-origin"),
        // For browsers without `frame-ancestors`.
        (X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The policy names this API as the place for reports about it.
    let reports = format!("{}{}", links.origin(), links.to(&format!("/csp-reports/{OWN_PROJECT}")));
    let HeaderLines(lines) = own_policy().header_lines(&reports, false);
    for (name, value) in lines {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

fn secure(headers: &mut HeaderMap, links: &Links) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CORP, HeaderValue::from_static("same-origin"));
    // HSTS for one year (RFC 6797). Browsers ignore it over plain HTTP.
    if links.origin().starts_with("https://") {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

/// Returns the content security policy of every page: only its own style, forms to this API alone, no frames, and no
/// script by any way.
pub fn own_policy() -> &'static Policy {
    static POLICY: LazyLock<Policy> = LazyLock::new(|| {
        // The one style is allowed by its hash, so a change of it changes the version.
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        let text = format!(
            "default-src 'none'; style-src 'sha256-{hash}' 'report-sample'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'; require-trusted-types-for 'script'"
        );
        Policy::parse(&text).unwrap_or_else(|_| Policy::nothing())
    });
    &POLICY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(links: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        secure_page(&mut headers, &Links::configured(links).unwrap());
        headers
    }

    #[test]
    fn a_page_has_every_header_and_hsts_only_over_https() {
        let headers = page("https://levee.example");
        let lines = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut lines: Vec<_> = lines
            .filter(|line| !line.starts_with("content-security-policy: ") && !line.starts_with("reporting-endpoints: "))
            .collect();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"), @"
        cache-control: no-store
        content-type: text/html; charset=utf-8
        cross-origin-opener-policy: same-origin
        cross-origin-resource-policy: same-origin
        integrity-policy: blocked-destinations=(script), endpoints=(csp)
        permissions-policy: accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), usb=(), xr-spatial-tracking=()
        referrer-policy: no-referrer
        strict-transport-security: max-age=31536000
        x-content-type-options: nosniff
        x-frame-options: DENY
        ");
        assert_eq!(page("http://127.0.0.1:8080").get(STRICT_TRANSPORT_SECURITY), None);
    }

    #[test]
    fn the_policy_allows_nothing_but_the_one_style_and_names_the_place_for_reports() {
        let headers = page("https://levee.example/prod");
        let policy = headers["content-security-policy"].to_str().unwrap();
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{policy}");
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        let address = format!("https://levee.example/prod/csp-reports/levee?v={}", own_policy().version());
        assert!(policy.ends_with(&format!("; report-uri {address}; report-to csp")), "{policy}");
        assert_eq!(headers["reporting-endpoints"].to_str().unwrap(), format!("csp=\"{address}\""));
        // What is served reads back as the version that it names.
        assert_eq!(Policy::parse(policy).unwrap().version(), own_policy().version());
    }
}
