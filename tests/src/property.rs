//! The number of cases that a property test tries.

use proptest::test_runner::Config;

/// Set by `cargo xtask test --thorough`.
const THOROUGH: &str = "LEVEE_THOROUGH";
/// The factor by which a thorough run tries more cases.
const TIMES: u32 = 8;

/// Returns the configuration of a property test that tries `cases` cases, or eight times as many in a thorough run.
///
/// A failing case is printed, not stored: the stores of these tests are gone with the test.
pub fn property(cases: u32) -> Config {
    #[expect(clippy::disallowed_methods, reason = "the option reaches each test by its environment")]
    let is_thorough = std::env::var(THOROUGH).is_ok_and(|value| value == "1");
    let cases = if is_thorough { cases * TIMES } else { cases };
    Config { cases, failure_persistence: None, ..Config::default() }
}
