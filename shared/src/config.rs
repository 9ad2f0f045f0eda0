//! Configuration: read from the environment once, at start, as a pure function of a lookup from name to value.
//!
//! Each concern has its own small struct beside its code, with a `read` function that takes a [`Reader`]. The reader
//! continues after a mistake, so that a function that cannot start reports all mistakes and not only the first.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// All mistakes in the configuration, separated by semicolons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} mistake(s): {}", self.0.len(), self.0.join("; "))
    }
}

/// Reads a configuration from the process's environment.
///
/// # Errors
/// [`ConfigError`] with all mistakes that `read` found.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn from_environment<T>(read: impl FnOnce(&mut Reader<'_>) -> T) -> Result<T, ConfigError> {
    from_lookup(|name| std::env::var(name).ok(), read)
}

/// Reads a configuration from any lookup from variable name to value.
///
/// # Errors
/// [`ConfigError`] with all mistakes that `read` found.
pub fn from_lookup<T>(
    lookup: impl Fn(&str) -> Option<String>,
    read: impl FnOnce(&mut Reader<'_>) -> T,
) -> Result<T, ConfigError> {
    let mut reader = Reader { lookup: &lookup, mistakes: Vec::new(), defaults: BTreeMap::new() };
    let config = read(&mut reader);
    if reader.mistakes.is_empty() { Ok(config) } else { Err(ConfigError(reader.mistakes)) }
}

/// Returns the defaults of the numbers that `read` asks for, by variable.
pub fn defaults<T>(read: impl FnOnce(&mut Reader<'_>) -> T) -> BTreeMap<String, u64> {
    let mut reader = Reader { lookup: &|_| None, mistakes: Vec::new(), defaults: BTreeMap::new() };
    read(&mut reader);
    reader.defaults
}

/// Reads variables and collects the mistakes in them. A variable set to the empty string counts as unset.
pub struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<String>,
    /// The defaults of the numbers that were asked for.
    defaults: BTreeMap<String, u64>,
}

impl Reader<'_> {
    /// Reads a value that may be absent.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Reads a value that must be present.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.mistake(name, "is not set");
            String::new()
        })
    }

    /// Reads a whole number within `range`, or returns `default` if the variable is unset.
    pub fn number(&mut self, name: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.defaults.insert(name.to_owned(), default);
        let Some(text) = self.optional(name) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = (range.start(), range.end());
                self.mistake(name, &format!("must be a whole number from {low} to {high}, not '{text}'"));
                default
            }
        }
    }

    /// Reads a duration in milliseconds within `range`, or returns `default` milliseconds if the variable is unset.
    pub fn millis(&mut self, name: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(name, default, range))
    }

    /// Reads a value with `parse`, whose error becomes the mistake. Returns `None` if the variable is unset or
    /// invalid.
    pub fn parsed<T, E: fmt::Display>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.optional(name)?;
        parse(&text).map_err(|error| self.mistake(name, &error.to_string())).ok()
    }

    /// Records a mistake in the variable `name`. The sentence continues after the name and must not hold a secret.
    pub fn mistake(&mut self, name: &str, sentence: &str) {
        self.mistakes.push(format!("{name} {sentence}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_reported_together() {
        let error = from_lookup(
            |name| (name == "LIMIT").then(|| "many".to_owned()),
            |reader| (reader.required("TABLE"), reader.number("LIMIT", 1, 0..=9)),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the configuration has 2 mistake(s): TABLE is not set; LIMIT must be a whole number from 0 to 9, not 'many'"
        );
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let number = from_lookup(|_| Some(" ".to_owned()), |reader| reader.number("LIMIT", 7, 0..=9));
        assert_eq!(number, Ok(7));
    }
}
