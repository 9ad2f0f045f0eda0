//! Self-service of limits: an account sees its quota, asks for more, and gets it.
//!
//! A customer's [`QuotaAsk`] becomes a [`QuotaRequest`]. [`judge()`] decides by [`Evidence`] from the statistics if it is
//! granted at once, by [`QuotaRules`]; otherwise it waits for an admin. A [grant](crate::limits::Grant) is stored apart
//! from the account's own record ([`crate::accounts::Grants`]), is in force at the next request, and ends by itself.
//! [`QuotaDesk`] ties these to the stores. Start reading at [`QuotaDesk::submit`].
//!
//! Invariants:
//! - An account has at most one waiting request for a policy. Of two concurrent ones, one is stored.
//! - A request and the grant that follows from it are written together, on the condition that the account's grants are
//!   as they were judged.
//! - A grant never lowers a limit, and an admin's override of a policy is raised by an admin alone.
//! - Every change of a request is an event in it, with its time and its author.

mod ask;
mod decision;
mod desk;
mod evidence;
mod judge;
mod request;
mod rules;
mod table;
mod view;

pub use ask::{AskError, IdempotencyKey, QuotaAsk};
pub use decision::{AdminDecision, DecisionError, decide};
pub use desk::{Asker, QuotaDesk, SubmitError, Submitted};
pub use evidence::{Evidence, PoolEvidence, WouldRefuse};
pub use judge::{Judgement, Rule, judge, largest_automatic};
pub use request::{Author, EventKind, GrantState, QuotaRequest, RequestEvent, RequestState};
pub use rules::QuotaRules;
pub use table::{QuotaTableError, RequestList, RequestPage, RequestsTable};
pub use view::{LimitView, RequestView};
