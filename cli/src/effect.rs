//! When a change takes effect.

use std::fmt;

use serde::Serialize;

use crate::output::aside;

/// When a change takes effect everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Effect {
    /// With the next request: every environment of the functions knows.
    #[serde(rename = "at once")]
    AtOnce,
    /// They could not be told, and find out by themselves.
    #[serde(rename = "within 60 s")]
    Soon,
}

impl Effect {
    /// Tells people that it is at once. What is later was told when that was found out.
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_what_people_read() {
        for effect in [Effect::AtOnce, Effect::Soon] {
            assert_eq!(serde_json::to_value(effect).unwrap(), effect.to_string());
        }
    }
}
