//! Token metering: counts what each AI call used, from the provider's own figures, sums it per account and month (UTC),
//! and compares the sums with a token cap.
//!
//! [`usage`] (in `levee_core`) reads the figures from JSON answers and server-sent events. [`call`] defines the records
//! and how a record changes the sums. Both are pure. [`ledger`] writes each record to DynamoDB once, [`months`] reads
//! the sums, and [`unwritten`] logs records that DynamoDB refused and reads them back for a replay. [`cap`] says which
//! tokens count and how much of a cap is used, [`view`] keeps that figure in Redis, and [`cap_notifier`] alerts operators.
//! [`report`] and [`prices`] serve usage reports. Start reading at [`call`] and [`ledger`].
//!
//! Invariants: usage is exact if the provider reported it, marked as estimated if not, and counted once. A call counts
//! in the month in which it began. DynamoDB holds the truth; Redis only holds a fast copy.

pub mod call;
pub mod cap;
pub mod cap_notifier;
pub mod ledger;
pub mod month;
pub mod months;
pub mod prices;
pub mod report;
pub mod tally;
pub mod unwritten;
pub mod view;

pub use levee_core::metering::{sse, usage};

pub use call::{Call, Record, RecordState};
pub use cap::{CapConfig, Counts, TokenState};
pub use cap_notifier::{CAP_ALERT, CapNotifier, Reached};
pub use ledger::{Ledger, LedgerError, OpenCalls, Written};
pub use month::Month;
pub use months::{Months, UsageLine};
pub use prices::{Prices, Usd};
pub use report::UsageReport;
pub use tally::Tally;
pub use usage::{Figures, Part, Reading, Service, StreamError, StreamReader, Tier, Usage, estimate_prompt};
pub use view::UsageCache;
