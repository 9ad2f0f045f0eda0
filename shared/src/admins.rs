//! Platform admins: their records, their sessions, and the audit of their actions.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `ADMINS` | `<e-mail address>` | [`Admin`], and the `generation` of their sessions |
//! | `SESSION#<SHA-256 of the token>` | `SESSION` | the session's admin, generation and expiry |
//! | `ATTEMPTS#<SHA-256 of the e-mail address>` | `ATTEMPTS` | wrong passwords in a row; expires after a day |
//! | `AUDIT#<2026-11>` | `<milliseconds>#<random>` | [`AuditEntry`]; expires after 400 days |
//!
//! Invariants:
//! - A password is checked only after the attempt was counted, so that concurrent guesses are as slow as sequential
//!   ones. An unknown address costs the same work as a known one and gets the same answer.
//! - The stored data opens nothing: passwords are stored as argon2id hashes, session tokens as SHA-256. No client
//!   address is stored.
//! - A changed role, a deleted admin and a sign-out everywhere take effect at once: each check of a session reads
//!   the admin too. A session belongs to a generation; ending all sessions of an admin replaces the admin's
//!   generation.
//! - There is always an operator: the last one can be neither deleted nor made a viewer.
//!
//! Start reading at [`AdminsTable::sign_in`].

mod attempts;
pub mod audit;
mod changes;
pub mod email;
pub mod password;
pub mod records;
mod sessions;
mod sign_in;
pub mod table;

pub use audit::AuditEntry;
pub use changes::ChangeError;
pub use email::InvalidEmail;
pub use password::PasswordHash;
pub use records::{Admin, Role};
pub use sessions::Session;
pub use sign_in::SignInError;
pub use table::{AdminsTable, AdminsTableError};
