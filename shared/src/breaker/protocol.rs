//! What becomes of a decision that DynamoDB and one that Redis has. DynamoDB is the truth; Redis may be ahead of it while
//! DynamoDB cannot be written, and behind it when somebody could not write Redis. No I/O.

use super::state::State;

/// Whether a decision takes the place in Redis of another one, as put.lua has it. Both are a generation, and whether
/// DynamoDB has it.
pub const fn supersedes((generation, is_saved): (u64, bool), (other, other_is_saved): (u64, bool)) -> bool {
    generation > other || (generation == other && is_saved && !other_is_saved)
}

/// What brings DynamoDB and Redis together.
#[derive(Debug, Clone, PartialEq)]
pub enum Mend {
    /// They agree. Redis is told that DynamoDB has it.
    Agreed,
    /// Redis gets what DynamoDB has.
    Mirror(State),
    /// DynamoDB gets this after what it has, then Redis.
    Write(State),
}

/// How what DynamoDB has and what Redis has come together.
pub fn mend(truth: &State, mirrored: &State, is_saved: bool) -> Mend {
    if truth == mirrored {
        return Mend::Agreed;
    }
    if supersedes((truth.generation, true), (mirrored.generation, is_saved)) {
        return Mend::Mirror(truth.clone());
    }
    // What an admin said while Redis went its own way is said still.
    if truth.forced.is_some() && mirrored.forced.is_none() {
        return Mend::Write(State { generation: mirrored.generation + 1, ..truth.clone() });
    }
    // Redis decided while DynamoDB could not be written. Of one generation, both saved, they cannot differ.
    let generation = mirrored.generation.max(truth.generation + 1);
    Mend::Write(State { generation, ..mirrored.clone() })
}
