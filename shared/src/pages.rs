//! Pages for people: one layout, one style, and how times and numbers are shown.
//!
//! Pages are made on the server and need no JavaScript. Invariants: whatever a page shows of others' text is escaped
//! (maud does it; nothing here takes raw text); a page loads nothing and runs nothing, and its policy says so, with the
//! hash of the one style that it carries; every number has its unit, every time its zone.
//!
//! Start reading at [`Page`].

mod layout;
pub mod show;
mod table;

pub use layout::{Page, Tab};
pub use table::table;
