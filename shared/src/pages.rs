//! Pages for people: one layout, one style, and the format of times and numbers.
//!
//! Pages are rendered on the server and need no JavaScript. Invariants:
//!
//! - Text from outside is escaped. maud does this, and no function here takes raw text.
//! - A page loads and runs nothing. Its content security policy says so, with the hash of its one style.
//! - Every number has its unit, every time its zone.
//!
//! Start reading at [`Page`].

mod layout;
pub mod show;
mod table;

pub use layout::{Page, Tab};
pub use table::table;
