//! Anthropic's official SDKs with the stack: a program gets the same results as from Anthropic itself.
//!
//! The programs are under `tests/sdk`; `cargo xtask test` installs the SDKs. If the stack adds nothing of its own,
//! the same program also calls the stand-in provider directly, and the two outcomes are compared.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

mod answers;
mod errors;
mod usage;

use serde_json::Value;
use tests::{Sdk, Stack, Target};

/// Returns the statuses of all HTTP answers that the SDK received.
fn statuses(outcome: &Value) -> Vec<u64> {
    let attempts = outcome["attempts"].as_array().expect("attempts");
    attempts.iter().map(|attempt| attempt["status"].as_u64().expect("a status")).collect()
}

/// Returns the class of the exception that ended the scenario.
fn class(outcome: &Value) -> &str {
    outcome["error"]["classes"][0].as_str().unwrap_or_else(|| panic!("no error: {outcome}"))
}

/// Runs a scenario through the stack and directly; checks that the outcomes are the same, and returns them.
async fn assert_same(sdk: &mut Sdk, stack: &Stack, scenario: &str, adjust: impl Fn(Target) -> Target) -> Value {
    let through = sdk.run(scenario, &adjust(stack.target())).await;
    let direct = sdk.run(scenario, &adjust(stack.provider_target().await)).await;
    assert_eq!(through, direct, "{scenario}");
    through
}
