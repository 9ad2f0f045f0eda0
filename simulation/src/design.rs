//! What a breaker's design has to answer, and what it is told.

/// What a design gave a call on its way to the provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ticket(pub u64);

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Result {
    /// It failed.
    pub is_error: bool,
    /// It took longer than [`SLOW`](crate::provider::SLOW).
    pub is_slow: bool,
    /// How long it took, seconds.
    pub latency: f64,
}

/// A breaker of a whole fleet. Times are seconds since the beginning; an environment serves one call at a time.
pub trait Design {
    /// Whether the call `id`, which comes to `environment` at `at`, goes to the provider; else it goes to the backup.
    fn admit(&mut self, at: f64, environment: usize, id: u64) -> Option<Ticket>;

    /// After how long a call is to be looked at; asked when it is let through.
    fn looks_after(&self) -> Option<f64> {
        None
    }

    /// A call is not back after [`Design::looks_after`].
    fn late(&mut self, _at: f64, _environment: usize, _ticket: Ticket) {}

    /// A call is not back after [`SLOW`](crate::provider::SLOW).
    fn slow(&mut self, _at: f64, _environment: usize, _ticket: Ticket) {}

    /// A call is back.
    fn done(&mut self, at: f64, environment: usize, ticket: Ticket, result: Result);

    /// How much of the calls the provider gets, 0 to 1.
    fn share(&self) -> f64;

    /// How often that changed.
    fn transitions(&self) -> u32;
}

/// Where in 0 to 1 a call is: the same for every share, so that of two shares the smaller one's calls are among the
/// larger one's.
pub(crate) fn place(id: u64) -> f64 {
    (id.wrapping_mul(2_654_435_761) % 1_000_003) as f64 / 1_000_003.0
}
