//! The rules that environments and stores follow.

/// Ways to break the rules, each true if broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// True if DynamoDB accepts every write.
    pub writes_unconditionally: bool,
    /// True if Redis accepts every write.
    pub puts_unconditionally: bool,
    /// True if an environment whose write was refused puts its own decision into Redis.
    pub loser_insists: bool,
    /// True if DynamoDB compares generations only, and not the decision that a new one was made from.
    pub goes_by_number: bool,
    /// True if a decision that only Redis has is never written to DynamoDB.
    pub never_mends: bool,
}

impl Rules {
    /// The breaker's own rules.
    pub const LEVEE: Self = Self {
        writes_unconditionally: false,
        puts_unconditionally: false,
        loser_insists: false,
        goes_by_number: false,
        never_mends: false,
    };
}
