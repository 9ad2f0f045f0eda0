//! Directives that a report can name.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Directives that a report can name: those of CSP level 3, Trusted Types, and older ones that browsers still report.
const KNOWN: [&str; 26] = [
    "base-uri",
    "block-all-mixed-content",
    "child-src",
    "connect-src",
    "default-src",
    "fenced-frame-src",
    "font-src",
    "form-action",
    "frame-ancestors",
    "frame-src",
    "img-src",
    "manifest-src",
    "media-src",
    "navigate-to",
    "object-src",
    "prefetch-src",
    "require-trusted-types-for",
    "sandbox",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "trusted-types",
    "worker-src",
];

/// A known directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Directive(&'static str);

impl Directive {
    /// Parses the name of a directive in any case. For text with a source list, as browsers of CSP level 2 report it,
    /// the name is the first word. Returns `None` for a name that is not known.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.split_ascii_whitespace().next()?;
        KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(name)).map(Self)
    }

    /// Returns the name in lower case.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// Returns the directives that can govern what this one is reported for, the most specific one first. A policy
    /// applies the first one that it has.
    ///
    /// <https://www.w3.org/TR/CSP3/#directive-fallback-list>
    pub fn fallbacks(self) -> &'static [&'static str] {
        match self.0 {
            "script-src-elem" | "script-src" => &["script-src-elem", "script-src", "default-src"],
            "script-src-attr" => &["script-src-attr", "script-src", "default-src"],
            "style-src-elem" | "style-src" => &["style-src-elem", "style-src", "default-src"],
            "style-src-attr" => &["style-src-attr", "style-src", "default-src"],
            "worker-src" => &["worker-src", "child-src", "script-src", "default-src"],
            "frame-src" => &["frame-src", "child-src", "default-src"],
            "fenced-frame-src" => &["fenced-frame-src", "frame-src", "child-src", "default-src"],
            "child-src" => &["child-src", "default-src"],
            "connect-src" => &["connect-src", "default-src"],
            "font-src" => &["font-src", "default-src"],
            "img-src" => &["img-src", "default-src"],
            "manifest-src" => &["manifest-src", "default-src"],
            "media-src" => &["media-src", "default-src"],
            "object-src" => &["object-src", "default-src"],
            "prefetch-src" => &["prefetch-src", "default-src"],
            "base-uri" => &["base-uri"],
            "block-all-mixed-content" => &["block-all-mixed-content"],
            "form-action" => &["form-action"],
            "frame-ancestors" => &["frame-ancestors"],
            "navigate-to" => &["navigate-to"],
            "require-trusted-types-for" => &["require-trusted-types-for"],
            "sandbox" => &["sandbox"],
            "trusted-types" => &["trusted-types"],
            _ => &["default-src"],
        }
    }

    /// Returns true if a violation can mean that foreign code ran or tried to run.
    pub fn is_script_like(self) -> bool {
        matches!(
            self.0,
            "base-uri"
                | "object-src"
                | "require-trusted-types-for"
                | "script-src"
                | "script-src-attr"
                | "script-src-elem"
                | "trusted-types"
                | "worker-src"
        )
    }

    /// Returns true if a violation can mean that a page tried to send data away.
    pub fn can_carry_data_out(self) -> bool {
        matches!(self.0, "connect-src" | "form-action" | "img-src" | "navigate-to")
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Directive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Directive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| serde::de::Error::custom("this is no known directive"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_found_by_name_in_any_case_and_before_a_source_list() {
        assert_eq!(Directive::parse("IMG-SRC").map(Directive::name), Some("img-src"));
        assert_eq!(Directive::parse("script-src 'self' https://a.example").map(Directive::name), Some("script-src"));
        assert_eq!(Directive::parse("script-src-evil"), None);
        assert_eq!(Directive::parse(" \t"), None);
    }

    #[test]
    fn only_default_src_itself_has_no_case_of_its_own_among_the_fallbacks() {
        for name in KNOWN.into_iter().filter(|&name| name != "default-src") {
            let first = Directive(name).fallbacks()[0];
            assert!(first == name || first == format!("{name}-elem"), "{name} falls back to {first} at once");
        }
        assert_eq!(Directive("default-src").fallbacks(), ["default-src"]);
    }
}
