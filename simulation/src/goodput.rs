//! Goodput: of the calls that some provider would have served when they came, how many were served.
//!
//! One to three providers fall ill together, and ten accounts call them. Beside Levee's routing, with the breaker as it is,
//! stand other [`routers`]: none, shares that refuse what they do not let through, a panic threshold as Envoy has it, and the
//! throttling of Google's SRE book. Start reading at [`run()`].
//!
//! | what | how |
//! | --- | --- |
//! | a call that is served | its first content comes after 0.6 s in the median (95 % within 1.4 s), its end 1.4 s later |
//! | a call that fails | after 0.3 s; one that is refused as too many after 0.1 s |
//! | chance | 1 % of the calls fail at a provider that is well, each for itself |
//! | a limited provider | takes as many calls a second as its capacity, with ten seconds' worth at once |
//! | a call counts | if a provider that has been well for [`GRACE`] seconds would serve it |
//!
//! A call goes to each provider once: second tries after a pause are left out for all routers alike.

mod fleet;
pub mod routers;
mod scene;

pub use fleet::{Call, Goodput, Settings, run};
pub use scene::{GRACE, LEAST, LEAST_OF_CAPACITY, MOST_ASKED, Scene};
