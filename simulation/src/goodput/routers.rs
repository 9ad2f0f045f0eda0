//! The routers to compare.

mod in_order;
mod levee;
mod panic;
mod throttling;

use std::collections::{HashMap, VecDeque};

pub use levee_core::breaker::Answer;

pub use self::in_order::InOrder;
pub use self::levee::Levee;
pub use self::panic::Panic;
pub use self::throttling::Throttling;
use super::fleet::{Call, Settings};

/// Router that sends calls from provider to provider. Times are seconds since the beginning.
pub trait Router {
    /// Handles a call that arrives.
    fn begin(&mut self, at: f64, call: Call);

    /// Returns the provider to call next, or `None` to refuse the call.
    fn next(&mut self, at: f64, call: Call) -> Option<usize>;

    /// Handles a provider's answer to a call.
    fn answered(&mut self, at: f64, call: Call, provider: usize, answer: Answer);

    /// Handles a call that was served or refused.
    fn end(&mut self, at: f64, call: Call);
}

/// Router, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// [`InOrder`].
    InOrder,
    /// [`Levee`] without room: a call that no share lets through is refused.
    Shares,
    /// [`Panic`].
    Panic,
    /// [`Throttling`].
    Throttling,
    /// [`Levee`].
    Levee,
}

impl Which {
    /// All routers.
    pub const ALL: [Self; 5] = [Self::InOrder, Self::Shares, Self::Panic, Self::Throttling, Self::Levee];

    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::InOrder => "no breaker",
            Self::Shares => "shares alone",
            Self::Panic => "panic threshold",
            Self::Throttling => "throttling",
            Self::Levee => "levee",
        }
    }

    /// Creates the router for `settings`.
    pub fn build(self, settings: &Settings) -> Box<dyn Router> {
        match self {
            Self::InOrder => Box::new(InOrder::new(settings)),
            Self::Shares => Box::new(Levee::without_room(settings)),
            Self::Panic => Box::new(Panic::new(settings)),
            Self::Throttling => Box::new(Throttling::new(settings)),
            Self::Levee => Box::new(Levee::new(settings)),
        }
    }
}

/// Providers that each call is still to be sent to.
#[derive(Debug, Default)]
struct Lists(HashMap<u64, VecDeque<usize>>);

impl Lists {
    fn begin(&mut self, call: Call, providers: impl IntoIterator<Item = usize>) {
        self.0.insert(call.id, providers.into_iter().collect());
    }

    fn next(&mut self, call: Call) -> Option<usize> {
        self.0.get_mut(&call.id)?.pop_front()
    }

    fn end(&mut self, call: Call) {
        self.0.remove(&call.id);
    }
}
