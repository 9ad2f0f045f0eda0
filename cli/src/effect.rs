//! Time at which a change takes effect.

use std::fmt;

use serde::Serialize;

use crate::output::aside;

/// Time at which a change takes effect everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Effect {
    /// With the next request: every environment of the functions will notice it.
    #[serde(rename = "at once")]
    AtOnce,
    /// Within 60 s: the change could not be published, and environments notice it when their caches expire.
    #[serde(rename = "within 60 s")]
    Soon,
    /// When the cached catalogs expire: the change could not be published.
    #[serde(rename = "when the cache expires, after about 5 minutes")]
    Late,
}

impl Effect {
    /// Prints that the change takes effect at once. A later effect has been printed as a warning already.
    pub(crate) fn tell(self) {
        if self == Self::AtOnce {
            aside(&format!("It takes effect {self}."));
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtOnce => "at once",
            Self::Soon => "within 60 s",
            Self::Late => "when the cache expires, after about 5 minutes",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_what_people_read() {
        for effect in [Effect::AtOnce, Effect::Soon, Effect::Late] {
            assert_eq!(serde_json::to_value(effect).unwrap(), effect.to_string());
        }
    }
}
