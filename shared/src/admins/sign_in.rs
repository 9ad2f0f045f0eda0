//! Signing in, from top to bottom.

use super::password::PasswordHash;
use super::session::{Session, SessionToken};
use super::table::{AdminsTable, TableError, admin_key, done_unless_refused, text};
use crate::clock::Timestamp;

/// Why somebody was not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// E-mail address or password are wrong; which of them is not told.
    #[error("wrong e-mail address or password")]
    Wrong,
    /// Too many wrong passwords for this address: none is looked at for so many seconds.
    #[error("too many attempts, wait {0} s")]
    Wait(u64),
    /// The table cannot be used.
    #[error(transparent)]
    Unavailable(#[from] TableError),
}

impl AdminsTable {
    /// Checks a password and begins a session.
    ///
    /// # Errors
    /// [`SignInError`]; the same for an unknown address as for a wrong password, now and later.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<(SessionToken, Session), SignInError> {
        // Count the attempt before anything is looked at.
        self.count_attempt(email, now).await?;

        // Check the password, against a hash that nothing matches where the address is unknown.
        let found = self.found(email).await?;
        let hash = found.as_ref().map_or_else(PasswordHash::nobodys, |found| found.admin.password.clone());
        let checked = check(hash, password.to_owned()).await?;
        let (Some(found), Checked::Right { renewed }) = (found, checked) else { return Err(SignInError::Wrong) };

        // Replace a hash that was made with less work than today's.
        if let Some(renewed) = renewed {
            self.renew_password(&found.admin.email, &found.admin.password, &renewed).await?;
        }

        let begun = self.begin_session(&found, now).await?;
        self.clear_attempts(email).await?;
        Ok(begun)
    }

    /// Writes another hash of the same password, unless there is a new password.
    async fn renew_password(&self, email: &str, old: &PasswordHash, new: &PasswordHash) -> Result<(), TableError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(admin_key(email)))
            .update_expression("SET #password = :new")
            .condition_expression("#password = :old")
            .expression_attribute_names("#password", "password")
            .expression_attribute_values(":old", text(old.stored()))
            .expression_attribute_values(":new", text(new.stored()));
        done_unless_refused(update.send().await.map(drop)).map(drop)
    }
}

enum Checked {
    Right { renewed: Option<PasswordHash> },
    Wrong,
}

/// Checks a password on a thread of its own, and hashes it anew where the hash is outdated.
async fn check(hash: PasswordHash, password: String) -> Result<Checked, TableError> {
    let check = move || match hash.verify(&password) {
        true => Checked::Right { renewed: hash.is_outdated().then(|| PasswordHash::of(&password)).flatten() },
        false => Checked::Wrong,
    };
    tokio::task::spawn_blocking(check).await.map_err(|_| TableError("a password check broke off".to_owned()))
}
