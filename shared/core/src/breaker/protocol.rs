//! Reconciles a decision in DynamoDB with one in Redis. DynamoDB is the source of truth. Redis may be ahead of it
//! while DynamoDB cannot be written, and behind it if a write to Redis failed. No I/O.

use super::state::BreakerState;

/// Returns true if a decision replaces another one in Redis; put.lua has the same rule. Both are given as a
/// generation and a flag that is true if DynamoDB has the decision.
pub const fn supersedes((generation, is_saved): (u64, bool), (other, other_is_saved): (u64, bool)) -> bool {
    generation > other || (generation == other && is_saved && !other_is_saved)
}

/// Action that reconciles DynamoDB and Redis.
#[derive(Debug, Clone, PartialEq)]
pub enum Reconciliation {
    /// They agree. Redis only needs to be told that DynamoDB has the decision.
    Agreed,
    /// Redis gets this decision, which DynamoDB has.
    Mirror(BreakerState),
    /// DynamoDB gets this decision as its next one, then Redis.
    Write(BreakerState),
}

/// Returns the action that reconciles the decision in DynamoDB (`truth`) with the one that Redis has or is about to
/// get (`mirrored`). `is_saved` is true if DynamoDB is known to have had the latter.
pub fn reconcile(truth: &BreakerState, mirrored: &BreakerState, is_saved: bool) -> Reconciliation {
    // Two saved decisions of one generation are the same, but for a float's last digit after two serializations.
    if truth == mirrored || (truth.generation == mirrored.generation && is_saved) {
        return Reconciliation::Agreed;
    }
    // DynamoDB has the later decision, or the saved one of the same generation.
    if supersedes((truth.generation, true), (mirrored.generation, is_saved)) {
        return Reconciliation::Mirror(truth.clone());
    }
    // An override that was set or released while Redis was ahead still applies.
    if is_unheard(truth, mirrored) {
        return Reconciliation::Write(BreakerState { generation: mirrored.generation + 1, ..truth.clone() });
    }
    // Redis got a decision while DynamoDB could not be written.
    Reconciliation::Write(match truth.word > mirrored.word {
        true => BreakerState { generation: mirrored.generation + 1, word: truth.word, ..mirrored.clone() },
        false => mirrored.clone(),
    })
}

/// Returns true if the decision in Redis was made without knowledge of an override that still matters: the override
/// had not expired by then, or it was released and Redis still holds it.
fn is_unheard(truth: &BreakerState, mirrored: &BreakerState) -> bool {
    let holds = truth.forced.as_ref().is_some_and(|forced| forced.until > mirrored.since);
    truth.word > mirrored.word && (holds || mirrored.forced.is_some())
}

#[cfg(test)]
mod tests;
