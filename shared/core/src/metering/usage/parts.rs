//! Usage by model, with everything else that its price depends on.

use serde::{Deserialize, Serialize};

use super::{Tier, Usage};

/// Lengths of a prompt, in tokens, above which prices may differ. The step of each prompt is kept with its usage, so
/// that a threshold of the price table can be applied to sums.
pub const PROMPT_STEPS: [u64; 5] = [128_000, 200_000, 256_000, 272_000, 512_000];

/// Largest number of parts of one call. The rest is added to one part of the model [`OTHER`], which has no price.
pub const MOST_PARTS: usize = 8;

/// Stands for the name of a model that is too long or has invalid characters.
pub const OTHER: &str = "other";

/// Longest name of a speed or a region, in bytes.
const LONGEST_LABEL: usize = 32;

/// The way in which a provider served a call, as far as prices depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Model that the answer names; empty if it names none.
    #[serde(rename = "served")]
    pub model: String,
    /// Service tier.
    pub tier: Tier,
    /// Speed that the answer names (`usage.speed`), such as `fast`; empty if it names none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub speed: String,
    /// Region that the answer names (`usage.inference_geo`), such as `us`; empty if it names none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub geo: String,
    /// Largest of [`PROMPT_STEPS`] that the prompt exceeds; 0 if it exceeds none.
    #[serde(skip_serializing_if = "is_zero")]
    pub prompt_above: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The usage of one model within a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The way in which the model was served.
    #[serde(flatten)]
    pub service: Service,
    /// Tokens and requests.
    #[serde(flatten)]
    pub usage: Usage,
}

impl Usage {
    /// Returns the tokens that the model read: the sum of all input figures, which are disjoint.
    pub fn prompt(&self) -> u64 {
        let Self { input, cache_read, cache_write_5m, cache_write_1h, .. } = *self;
        [cache_read, cache_write_5m, cache_write_1h].into_iter().fold(input, u64::saturating_add)
    }

    /// Returns the sum of two usages.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Returns this usage minus `other`, with no figure below zero.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(&self, other: &Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            input: each(self.input, other.input),
            output: each(self.output, other.output),
            cache_read: each(self.cache_read, other.cache_read),
            cache_write_5m: each(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: each(self.cache_write_1h, other.cache_write_1h),
            web_searches: each(self.web_searches, other.web_searches),
            web_fetches: each(self.web_fetches, other.web_fetches),
        }
    }
}

/// Returns the largest of [`PROMPT_STEPS`] that a prompt of this many tokens exceeds, or 0.
pub fn prompt_above(prompt: u64) -> u64 {
    PROMPT_STEPS.into_iter().rev().find(|step| prompt > *step).unwrap_or(0)
}

/// Returns true if both names stand for one model: they are equal, apart from the date of a snapshot and from the
/// spelling of other platforms, such as `eu.anthropic.claude-haiku-5-5-20261013-v1:0` and `claude-haiku-5-5@20261013`.
pub fn is_same_model(one: &str, other: &str) -> bool {
    bare(one) == bare(other)
}

/// Returns a model's name without region, vendor, version of the interface and date.
fn bare(model: &str) -> &str {
    let model = model.rsplit('/').next().unwrap_or(model);
    // A region or a vendor ends with a dot. A dot within a version is followed by a digit.
    let mut starts = model.rmatch_indices('.').map(|(at, _)| at + 1);
    let start = starts.find(|at| model[*at..].starts_with(|it: char| it.is_ascii_alphabetic())).unwrap_or(0);
    let model = &model[start..];
    let is_version = |text: &str| {
        let number = text.strip_prefix('v').unwrap_or_default().split_once(':').map_or("", |(major, _)| major);
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let model = model.rsplit_once('-').filter(|(_, version)| is_version(version)).map_or(model, |(name, _)| name);
    let model = model.split_once('@').map_or(model, |(name, _)| name);
    without_date(model)
}

/// Returns a model's name without the date at its end (`-20261013`), if it has one.
pub fn without_date(model: &str) -> &str {
    match model.rsplit_once('-') {
        Some((name, date)) if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => model,
    }
}

/// Returns `text` if it may be stored as the name of a speed or a region, else [`OTHER`].
pub(super) fn label(text: &str) -> String {
    named(text, LONGEST_LABEL)
}

/// Returns `text` if it is a valid name of at most `longest` bytes, else [`OTHER`].
pub(super) fn named(text: &str, longest: usize) -> String {
    let is_name = !text.is_empty() && text.len() <= longest && crate::models::is_of_a_name(text);
    if is_name { text.to_owned() } else { OTHER.to_owned() }
}

/// Adds `usage` to the part with this service, or as a new part. If no part is free, the last one becomes [`OTHER`]
/// and gets it.
pub(super) fn add(parts: &mut Vec<Part>, service: Service, usage: &Usage) {
    // Reuse the part with this service, or the last one if there is no room for another.
    let known = parts.iter().position(|part| part.service == service);
    let last = parts.len().checked_sub(1).filter(|last| last + 1 >= MOST_PARTS);
    match known.or(last) {
        Some(at) => {
            if known.is_none() {
                parts[at].service = Service { model: OTHER.to_owned(), ..Service::default() };
            }
            parts[at].usage = parts[at].usage.plus(usage);
        }
        None => parts.push(Part { service, usage: *usage }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(model: &str) -> Service {
        Service { model: model.to_owned(), ..Service::default() }
    }

    #[test]
    fn a_prompt_is_above_the_largest_step_that_it_exceeds() {
        for (prompt, expected) in
            [(0, 0), (128_000, 0), (128_001, 128_000), (200_000, 128_000), (200_001, 200_000), (u64::MAX, 512_000)]
        {
            assert_eq!(prompt_above(prompt), expected, "{prompt}");
        }
    }

    #[test]
    fn a_model_with_the_date_of_a_snapshot_is_the_same_model() {
        for (one, other, expected) in [
            ("claude-haiku-5-5", "claude-haiku-5-5-20261013", true),
            ("claude-haiku-5-5-20261013", "claude-haiku-5-5-20260101", true),
            ("claude-haiku-5-5", "claude-haiku-5", false),
            ("claude-haiku-5-5", "eu.anthropic.claude-haiku-5-5-20261013-v1:0", true),
            ("claude-haiku-5-5", "anthropic.claude-haiku-5-5-v2:0", true),
            ("claude-haiku-5-5", "claude-haiku-5-5@20261013", true),
            ("claude-haiku-5-5", "anthropic/claude-haiku-5-5", true),
            ("claude-haiku-5-5", "eu.anthropic.claude-opus-5-5", false),
            ("claude-3.5", "claude-5", false),
            ("claude-haiku-5-5", "claude-haiku-5-5-2026101", false),
            ("claude-haiku-5-5", "claude-haiku-5-5-2026101x", false),
        ] {
            assert_eq!(is_same_model(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn usage_of_one_service_is_one_part_and_parts_are_bounded() {
        let (mut parts, usage) = (Vec::new(), Usage { input: 1, output: 2, ..Usage::default() });
        for round in 0..3 {
            for number in 0..20 {
                add(&mut parts, service(&format!("m{number}")), &usage);
            }
            assert_eq!(parts.len(), MOST_PARTS, "{round}");
        }
        assert_eq!((parts[0].service.model.as_str(), parts[0].usage.input), ("m0", 3));
        assert_eq!((parts[7].service.model.as_str(), parts[7].usage.input), (OTHER, 60 - 7 * 3));
    }

    #[test]
    fn a_label_is_a_short_name_and_anything_else_is_other() {
        for (text, expected) in [("us", "us"), ("fast", "fast"), ("", OTHER), ("a b", OTHER), ("a#b", OTHER)] {
            assert_eq!(label(text), expected, "{text:?}");
        }
        assert_eq!(label(&"x".repeat(LONGEST_LABEL + 1)), OTHER);
    }
}
