//! Token metering: what each AI call used, from the provider's own figures, added up per account and month (UTC), and
//! held against a cap.
//!
//! [`usage`] (of `levee_core`) reads the figures out of JSON answers and server-sent events and is pure, as is [`call`], which says what a
//! record changes in the sums. [`ledger`] writes records to DynamoDB, each once; [`months`] reads the sums; [`unwritten`]
//! is what becomes of a record that DynamoDB refuses. [`cap`] says what of it counts against which cap, and [`view`]
//! keeps that figure at hand in Redis; [`told`] tells somebody of it.
//!
//! Invariants: usage is exact where the provider reported it, marked as estimated where it did not, and counted once. A
//! call counts in the month in which it began. Redis is never asked for what is true, only for what is quick.

pub mod asked;
pub mod call;
pub mod cap;
pub mod ledger;
pub mod month;
pub mod months;
pub mod prices;
pub mod report;
pub mod tally;
pub mod told;
pub mod unwritten;
pub mod view;

pub use levee_core::metering::{model, sse, usage};

pub use asked::{Asked, Format};
pub use call::{Call, Record, State};
pub use cap::{CapConfig, Counts, TokenState};
pub use ledger::{Ledger, LedgerError, OpenCalls, Written};
pub use month::Month;
pub use months::{Line, Months};
pub use prices::{Prices, Usd};
pub use report::UsageReport;
pub use tally::Tally;
pub use told::{Reached, Told};
pub use usage::{Figures, Part, Reading, Service, StreamError, StreamReader, Tier, Usage, estimate_prompt};
pub use view::View;
