//! Number of cases of a property test.

use proptest::test_runner::Config;

/// Variable that `cargo xtask test --thorough` sets to 1.
const THOROUGH: &str = "LEVEE_THOROUGH";
/// Factor by which a thorough run increases the number of cases.
const TIMES: u32 = 8;

/// Returns the configuration of a property test with `cases` cases, or eight times as many in a thorough run.
///
/// A failing case is printed, not stored, since the stores of these tests do not outlive the test.
pub fn property(cases: u32) -> Config {
    #[expect(clippy::disallowed_methods, reason = "the option reaches each test by its environment")]
    let is_thorough = std::env::var(THOROUGH).is_ok_and(|value| value == "1");
    let cases = if is_thorough { cases * TIMES } else { cases };
    Config { cases, failure_persistence: None, ..Config::default() }
}
