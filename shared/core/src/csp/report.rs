//! The bodies that browsers post: four JSON shapes, told apart by their shape and never by the content type.
//!
//! - `{"csp-report": {…}}`: the report of `report-uri`, with hyphenated names.
//! - `[{"type", "age", "url", "user_agent", "body": {…}}, …]`: the Reporting API, with names in camel case.
//! - `{"type", "url", "body": {…}}`: one object without an array, from older WebKit.
//! - `{"type", "url", "csp-report": {…}}`: WebKit's mixture of both.
//!
//! <https://www.w3.org/TR/CSP3/#reporting> and <https://www.w3.org/TR/reporting-1/>

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Largest body that is read.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Largest number of reports that one body may hold. Browsers queue at most 100.
pub const MAX_REPORTS: usize = 100;
/// Deepest nesting of one report, with its own braces. The shapes need two.
pub const MAX_DEPTH: usize = 8;
/// Longest text of a field that is kept, in bytes. Longer addresses are cut.
const MAX_FIELD_BYTES: usize = 4096;
/// Oldest report that a browser sends, by its age. Chromium drops reports after 15 minutes; others keep them longer.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// One entry of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A report of a violation of a content security policy.
    Csp(RawReport),
    /// A report of another type of the Reporting API.
    Other(OtherType),
    /// An entry that is no report: it is not an object, is nested too deeply, or lacks a field that every report has.
    Invalid,
}

/// Types of the Reporting API, besides `csp-violation`, that are counted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherType(&'static str);

impl OtherType {
    const KNOWN: [&str; 12] = [
        "coep",
        "coop",
        "crash",
        "csp-hash",
        "deprecation",
        "document-policy-violation",
        "integrity-violation",
        "intervention",
        "network-error",
        "permissions-policy-violation",
        "potential-permissions-policy-violation",
        "test",
    ];

    fn parse(name: &str) -> Self {
        Self(Self::KNOWN.into_iter().find(|known| *known == name).unwrap_or("unknown"))
    }

    /// Returns the type's name, or `unknown`.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// The fields of one report that are read, as the browser wrote them but for their length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawReport {
    /// Age of the report when it was sent, at most a day.
    pub age: Duration,
    /// Address of the page.
    pub document: String,
    /// Address or keyword of the resource.
    pub blocked: String,
    /// Directive, as `effective-directive` names it, else the first word of `violated-directive`.
    pub directive: String,
    /// True if the policy was only reporting; `None` if the browser did not say.
    pub is_report_only: Option<bool>,
    /// Address of the script that caused it.
    pub source: Option<String>,
    /// Beginning of the inline script or style.
    pub sample: Option<String>,
    /// User agent that the Reporting API names in the body.
    pub user_agent: Option<String>,
}

/// Reasons for which a whole body is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than [`MAX_BODY_BYTES`].
    TooLarge,
    /// Neither a JSON object nor a JSON array.
    NotJson,
}

/// Reads the entries of a body. Entries beyond [`MAX_REPORTS`] are left out; the second value is their number.
///
/// Bytes that are not UTF-8 become U+FFFD, so that they spoil only the text that they stand in.
pub fn parse(body: &[u8]) -> Result<(Vec<Entry>, usize), BodyError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(BodyError::TooLarge);
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.as_bytes().first() {
        Some(b'[') => {
            let entries: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| BodyError::NotJson)?;
            let beyond = entries.len().saturating_sub(MAX_REPORTS);
            Ok((entries.into_iter().take(MAX_REPORTS).map(|entry| entry_of(entry.get())).collect(), beyond))
        }
        Some(b'{') => {
            let entry: &RawValue = serde_json::from_str(text).map_err(|_| BodyError::NotJson)?;
            Ok((vec![entry_of(entry.get())], 0))
        }
        _ => Err(BodyError::NotJson),
    }
}

fn entry_of(text: &str) -> Entry {
    if depth(text) > MAX_DEPTH {
        return Entry::Invalid;
    }
    let Ok(Fields(outer)) = serde_json::from_str::<Fields<'_>>(text) else { return Entry::Invalid };
    // A type other than CSP's is counted, whatever its body says.
    let kind = outer.get(Key::Type).and_then(text_value);
    if let Some(kind) = &kind
        && kind != "csp-violation"
    {
        return Entry::Other(OtherType::parse(kind));
    }
    let Some(body) = outer.get(Key::CspReport).or_else(|| outer.get(Key::Body)) else { return Entry::Invalid };
    let Ok(Fields(inner)) = serde_json::from_str::<Fields<'_>>(body.get()) else { return Entry::Invalid };
    csp_report(&outer, &inner).map_or(Entry::Invalid, Entry::Csp)
}

fn csp_report(outer: &KnownFields<'_>, inner: &KnownFields<'_>) -> Option<RawReport> {
    // Read the fields in either spelling; the page and the directive must be there.
    let text = |key: Key| inner.get(key).and_then(text_value);
    Some(RawReport {
        age: outer.get(Key::Age).and_then(millis).unwrap_or_default().min(MAX_AGE),
        // WebKit's mixture names the document only outside.
        document: text(Key::Document).or_else(|| outer.get(Key::Url).and_then(text_value))?,
        blocked: text(Key::Blocked).unwrap_or_default(),
        directive: text(Key::EffectiveDirective)
            .filter(|it| !it.is_empty())
            .or_else(|| text(Key::ViolatedDirective))
            .filter(|it| !it.is_empty())?,
        is_report_only: text(Key::Disposition).and_then(|it| match it.as_str() {
            "enforce" => Some(false),
            // The specification says `report`, MDN and some tools `reporting`.
            "report" | "reporting" => Some(true),
            _ => None,
        }),
        source: text(Key::Source).filter(|it| !it.is_empty()),
        sample: text(Key::Sample).filter(|it| !it.is_empty()),
        user_agent: outer.get(Key::UserAgent).and_then(text_value),
    })
}

/// Fields that are read, in the spelling of either API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "type")]
    Type,
    #[serde(rename = "csp-report")]
    CspReport,
    #[serde(rename = "body")]
    Body,
    #[serde(rename = "age")]
    Age,
    #[serde(rename = "url")]
    Url,
    #[serde(rename = "user_agent")]
    UserAgent,
    #[serde(rename = "document-uri", alias = "documentURL", alias = "documentURI")]
    Document,
    #[serde(rename = "blocked-uri", alias = "blockedURL", alias = "blockedURI")]
    Blocked,
    #[serde(rename = "effective-directive", alias = "effectiveDirective")]
    EffectiveDirective,
    #[serde(rename = "violated-directive", alias = "violatedDirective")]
    ViolatedDirective,
    #[serde(rename = "disposition")]
    Disposition,
    #[serde(rename = "source-file", alias = "sourceFile")]
    Source,
    #[serde(rename = "script-sample", alias = "sample")]
    Sample,
    #[serde(other)]
    Unknown,
}

/// The values of the known fields of an object, unread. A name that stands twice keeps its first value.
struct KnownFields<'a>([Option<&'a RawValue>; Key::Unknown as usize]);

impl<'a> KnownFields<'a> {
    fn get(&self, key: Key) -> Option<&'a RawValue> {
        self.0.get(key as usize).copied().flatten()
    }
}

struct Fields<'a>(KnownFields<'a>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut known = KnownFields([None; Key::Unknown as usize]);
                while let Some(key) = map.next_key::<Key>()? {
                    let value = map.next_value::<&RawValue>()?;
                    if let Some(place) = known.0.get_mut(key as usize) {
                        place.get_or_insert(value);
                    }
                }
                Ok(Fields(known))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// Returns the text of a string, cut to [`MAX_FIELD_BYTES`]; `None` for another value.
fn text_value(value: &RawValue) -> Option<String> {
    let text: Cow<'_, str> = match value.get().strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => Cow::Owned(serde_json::from_str(value.get()).ok()?),
    };
    let mut end = text.len().min(MAX_FIELD_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(text[..end].to_owned())
}

/// Returns a number of milliseconds, also from text. A fraction is rounded down.
fn millis(value: &RawValue) -> Option<Duration> {
    let number: f64 = value.get().trim_matches('"').parse().ok()?;
    // A cast to an integer saturates, and turns a negative or missing number into 0.
    Some(Duration::from_millis(number as u64))
}

/// Returns the deepest nesting of braces and brackets outside strings.
fn depth(text: &str) -> usize {
    // Skip strings, with their escapes.
    let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
