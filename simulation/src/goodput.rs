//! Measures goodput: the ratio of calls that were served, of those that some provider would have served as they
//! arrived.
//!
//! One to three providers fail together, and ten accounts call them. Levee's routing with the real breaker is
//! compared with other [`routers`]: no breaker, shares that refuse all other calls, a panic threshold as in Envoy,
//! and the throttling of Google's SRE book. Start reading at [`run()`].
//!
//! | subject | model |
//! | --- | --- |
//! | a call that is served | first content after 0.6 s in the median (95 % within 1.4 s), end 1.4 s later |
//! | a call that fails | fails after 0.3 s; after 0.1 s if it is refused as too many |
//! | random failures | 1 % of the calls at a healthy provider, independent of each other |
//! | a limited provider | takes as many calls a second as its capacity, and at once ten seconds' worth |
//! | a call that counts | a provider that has been well for [`GRACE`] seconds would serve it |
//!
//! A call goes to each provider once. Retries after a pause are left out for all routers.

mod fleet;
pub mod routers;
mod scene;

pub use fleet::{Call, Goodput, Settings, run};
pub use scene::{GRACE, LEAST, LEAST_OF_CAPACITY, MOST_ASKED, Scene};
