//! Amounts of US dollars.

use std::fmt;

use serde::{Serialize, Serializer};

/// Number of picodollars in a dollar.
const PER_DOLLAR: u128 = 1_000_000_000_000;

/// Amount of US dollars, exact to the picodollar. Written as a decimal with at least two and at most twelve decimals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(pub(super) u128);

impl Usd {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// Returns the sum of both amounts, or `None` on overflow.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:012}", self.0 % PER_DOLLAR);
        let significant = decimals.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / PER_DOLLAR, &decimals[..significant])
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
