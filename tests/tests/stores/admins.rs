//! Platform admins: signing in, the end of sessions, the delay after wrong passwords, roles, and the audit log.
//!
//! Each test has its own DynamoDB with the template's tables.

mod audit;
mod changes;
mod sign_in;

use std::time::Duration;

use futures_util::future::join_all;
use levee::admins::{Admin, AdminsTable, AuditEntry, ChangeError, PasswordHash, Role, Session, SignInError};
use levee::clock::{Clock, Timestamp};
use levee::session_token::SessionToken;
use local::dynamodb::{Faults, Mode};
use rstest::rstest;

use crate::emulator::Emulator;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const PASSWORD: &str = "correct horse battery";
const OTHER_PASSWORD: &str = "another horse entirely";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A running DynamoDB with a table of admins.
struct Admins {
    emulator: Emulator,
    table: AdminsTable,
    now: Timestamp,
}

impl std::ops::Deref for Admins {
    type Target = AdminsTable;

    fn deref(&self) -> &AdminsTable {
        &self.table
    }
}

impl Admins {
    /// Creates a table without admins.
    async fn none() -> Self {
        let emulator = Emulator::start().await;
        let table = AdminsTable::new(emulator.client(), "Admins");
        Self { emulator, table, now: Clock::system().now() }
    }

    /// Creates a table with the operator Ada.
    async fn ada() -> Self {
        let admins = Self::none().await;
        assert!(admins.create(&admin(ADA, Role::Operator)).await.unwrap());
        admins
    }

    /// Creates a table with the operators Ada and Bob.
    async fn ada_and_bob() -> Self {
        let admins = Self::ada().await;
        assert!(admins.create(&admin(BOB, Role::Operator)).await.unwrap());
        admins
    }

    /// Returns the time `secs` seconds after the start.
    fn after(&self, secs: u64) -> Timestamp {
        self.now.plus(Duration::from_secs(secs))
    }

    async fn token(&self, email: &str) -> SessionToken {
        self.sign_in(email, PASSWORD, self.now).await.unwrap().0
    }

    async fn session_now(&self, token: &SessionToken) -> Option<Session> {
        self.session(token, self.now).await.unwrap()
    }

    /// Returns the result of a sign-in as a word: `in`, `wrong`, or the seconds to wait.
    async fn outcome(&self, email: &str, password: &str, now: Timestamp) -> String {
        match self.sign_in(email, password, now).await {
            Ok(_) => "in".to_owned(),
            Err(SignInError::Wrong) => "wrong".to_owned(),
            Err(SignInError::Wait(seconds)) => seconds.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Returns the whole content of the table as text.
    async fn dump(&self) -> String {
        let items = self.emulator.client().scan().table_name("Admins").send().await.unwrap().items.unwrap();
        items.iter().map(|item| format!("{item:?}\n")).collect()
    }
}

fn admin(email: &str, role: Role) -> Admin {
    static HASH: std::sync::OnceLock<PasswordHash> = std::sync::OnceLock::new();
    let password = HASH.get_or_init(|| PasswordHash::new(PASSWORD).unwrap()).clone();
    Admin { email: email.to_owned(), role, password, created_at: 1_700_000_000, sessions_from: 0 }
}

#[tokio::test]
async fn nothing_that_opens_anything_is_stored() {
    let admins = Admins::ada().await;
    let token = admins.token(ADA).await;
    admins.outcome(ADA, OTHER_PASSWORD, admins.now).await;
    // The case in which a password is typed into the wrong field.
    admins.outcome("my secret passphrase", OTHER_PASSWORD, admins.now).await;
    admins.outcome("nobody@example.com", OTHER_PASSWORD, admins.now).await;

    let dump = admins.dump().await;
    for prefix in ["ADMINS", "SESSION#", "ATTEMPTS#"] {
        assert!(dump.contains(prefix), "{prefix}: {dump}");
    }
    let csrf = token.csrf();
    let secrets =
        [token.reveal(), csrf.reveal(), PASSWORD, OTHER_PASSWORD, "my secret passphrase", "nobody@example.com"];
    for secret in secrets {
        assert!(!dump.contains(secret), "{secret}: {dump}");
    }
}

#[tokio::test]
async fn a_session_and_its_end_say_so_when_the_table_is_gone() {
    let admins = Admins::ada().await;
    let token = admins.token(ADA).await;
    admins.emulator.set(Mode::Refuse).await;
    let refused = admins.sign_in(ADA, PASSWORD, admins.now).await.unwrap_err();
    assert!(matches!(refused, SignInError::Unavailable(_)), "{refused}");
    assert!(!refused.to_string().contains(ADA), "{refused}");
    assert!(admins.session(&token, admins.now).await.is_err());
    assert!(admins.sign_out(&token).await.is_err());
    assert!(matches!(admins.delete(ADA).await, Err(ChangeError::Unavailable(_))));

    admins.emulator.set(Mode::Serve).await;
    assert!(admins.session_now(&token).await.is_some());
}
