//! The interface between a breaker's design and the simulated world.

/// Value that a design attaches to a call that it lets through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ticket(pub u64);

/// Outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Result {
    /// True if the call failed.
    pub is_error: bool,
    /// True if it took longer than [`SLOW`](crate::provider::SLOW).
    pub is_slow: bool,
    /// Duration of the call, in seconds.
    pub latency: f64,
}

/// Breaker of a whole fleet. Times are seconds since the beginning; an environment serves one call at a time.
pub trait Design {
    /// Returns a ticket if the call `id`, which arrives at `environment` at `at`, goes to the provider. Otherwise it
    /// goes to the backup.
    fn admit(&mut self, at: f64, environment: usize, id: u64) -> Option<Ticket>;

    /// Returns the time, in seconds, after which [`Design::late`] is called for a call. It is read as a call is let
    /// through.
    fn looks_after(&self) -> Option<f64> {
        None
    }

    /// Handles a call that is still running after [`Design::looks_after`].
    fn late(&mut self, _at: f64, _environment: usize, _ticket: Ticket) {}

    /// Handles a call that is still running after [`SLOW`](crate::provider::SLOW).
    fn slow(&mut self, _at: f64, _environment: usize, _ticket: Ticket) {}

    /// Handles the end of a call.
    fn done(&mut self, at: f64, environment: usize, ticket: Ticket, result: Result);

    /// Returns the provider's share of the calls, 0 to 1.
    fn share(&self) -> f64;

    /// Returns the number of changes of that share.
    fn transitions(&self) -> u32;
}

/// Returns a call's place between 0 and 1. It is independent of the share, so the calls below a smaller share are
/// among those below a larger one.
pub(crate) fn place(id: u64) -> f64 {
    (id.wrapping_mul(2_654_435_761) % 1_000_003) as f64 / 1_000_003.0
}
