//! How environments go about it.

/// The rules, and ways to break them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// DynamoDB takes whatever comes.
    pub writes_unconditionally: bool,
    /// Redis takes whatever comes.
    pub puts_unconditionally: bool,
    /// Who lost puts its own decision into Redis.
    pub loser_insists: bool,
    /// DynamoDB goes by the generation alone, and not by the decision that a new one was made from.
    pub goes_by_number: bool,
    /// What Redis has and DynamoDB does not is left as it is.
    pub never_mends: bool,
}

impl Rules {
    /// As the breaker has them.
    pub const LEVEE: Self = Self {
        writes_unconditionally: false,
        puts_unconditionally: false,
        loser_insists: false,
        goes_by_number: false,
        never_mends: false,
    };
}
