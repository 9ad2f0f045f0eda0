//! Sources of reports that say nothing about the page: extensions, security products, adware and translators.
//!
//! The lists join those of collectors in public use (Sentry, go-csp-collector, CSP-useful). An entry classifies a
//! report and never drops it: an injected advertisement is itself of interest to a security team.

/// Schemes of browser extensions.
const EXTENSION_SCHEMES: [&str; 7] = [
    "chrome-extension",
    "jar",
    "moz-extension",
    "ms-browser-extension",
    "safari-extension",
    "safari-web-extension",
    "webkit-masked-url",
];

/// Schemes of browsers' own pages and of applications that embed a browser.
const INTERNAL_SCHEMES: [&str; 27] = [
    "about",
    "android-webview",
    "android-webview-video-poster",
    "bdvideo",
    "capacitor",
    "chrome",
    "chromeinvoke",
    "chromeinvokeimmediate",
    "chromenull",
    "file",
    "intent",
    "mbinit",
    "ms-appx",
    "ms-appx-web",
    "mx",
    "mxaddon-pkg",
    "mxjscall",
    "nativebaiduhd",
    "none",
    "opera",
    "res",
    "resource",
    "safari-resource",
    "symres",
    "tmtbff",
    "webviewprogressproxy",
    "wvjbscheme",
];

/// Hosts that security products inject. A leading `*.` covers every name below it.
const SECURITY_HOSTS: [&str; 11] = [
    "*.kaspersky-labs.com",
    "*.kis.v2.scr.kaspersky-labs.com",
    "*.eset.com",
    "*.avast.com",
    "*.avcdn.net",
    "*.bitdefender.com",
    "*.fortinet.com",
    "gateway.zscaler.net",
    "gateway.zscalertwo.net",
    "gateway.zscloud.net",
    "injections.adguard.org",
];

/// Hosts that advertising and other unwanted software injects, and bookmarklets.
const ADWARE_HOSTS: [&str; 45] = [
    "*.superfish.com",
    "*.metrext.com",
    "*.tlscdn.com",
    "*.akamaihd.net",
    "*.lnkr.us",
    "*.lnkr.fr",
    "*.monetizus.com",
    "a.linkluster.com",
    "addons.mozilla.org",
    "amiok.org",
    "connectionstrenth.com",
    "devappstor.com",
    "godlinkapp.com",
    "hoholikik.club",
    "icontent.us",
    "injections.adguard.com",
    "istatic.datafastguru.info",
    "loadsource.org",
    "netanalitics.space",
    "printapplink.com",
    "promfflinkdev.com",
    "pulseadnetwork.com",
    "saveyoutime.ru",
    "siteheart.net",
    "smartlink.cool",
    "static.image2play.com",
    "v.zilionfast.in",
    "widgets.amung.us",
    "www.passpack.com",
    "www.websmartcenter.com",
    "x.rafomedia.com",
    "xls.searchfun.in",
    "rules.similardeals.net",
    "savingsslider-a.akamaihd.net",
    "s3.amazonaws.com.rsz.sk",
    "cdn.joinhoney.com",
    "*.joinhoney.com",
    "uc.gre",
    "*.getpocket.com",
    "insights.hotjar.com",
    "eluxer.net",
    "qip.ru",
    "countmake.cool",
    "worldnaturenet.xyz",
    "cdncache1-a.akamaihd.net",
];

/// Hosts of translators and page mirrors.
const TRANSLATOR_HOSTS: [&str; 10] = [
    "*.translate.goog",
    "translate.google.com",
    "translate.googleapis.com",
    "translate.googleusercontent.com",
    "webcache.googleusercontent.com",
    "www.translatoruser-int.com",
    "*.microsofttranslator.com",
    "web.archive.org",
    "archive.ph",
    "translate.yandex.com",
];

/// Beginnings of inline code that tools for audits and password managers inject.
const INJECTED_SAMPLES: [&str; 6] = [".cip-genpw-icon", ".wrcx", "/*! axe v", "loop11", "tota11y", "url(moz-extension"];

/// Returns all schemes of the lists.
pub(super) fn schemes() -> impl Iterator<Item = &'static str> {
    EXTENSION_SCHEMES.into_iter().chain(INTERNAL_SCHEMES)
}

pub(super) fn is_extension(scheme: &str) -> bool {
    EXTENSION_SCHEMES.contains(&scheme)
}

pub(super) fn is_internal(scheme: &str) -> bool {
    INTERNAL_SCHEMES.contains(&scheme)
}

pub(super) fn is_security_product(host: &str) -> bool {
    SECURITY_HOSTS.into_iter().any(|pattern| covers(pattern, host))
}

pub(super) fn is_adware(host: &str) -> bool {
    ADWARE_HOSTS.into_iter().any(|pattern| covers(pattern, host))
}

pub(super) fn is_translator(host: &str) -> bool {
    TRANSLATOR_HOSTS.into_iter().any(|pattern| covers(pattern, host))
}

pub(super) fn is_injected_sample(sample: &str) -> bool {
    INJECTED_SAMPLES.into_iter().any(|begin| sample.starts_with(begin))
}

/// Returns true if a host is the pattern's, or is below the pattern's host where that begins with `*.`.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_with_a_star_covers_names_below_it_only() {
        assert!(covers("*.superfish.com", "www.superfish.com"));
        assert!(!covers("*.superfish.com", "superfish.com"));
        assert!(!covers("*.superfish.com", "notsuperfish.com"));
        assert!(covers("qip.ru", "qip.ru"));
        assert!(!covers("qip.ru", "a.qip.ru"));
    }
}
