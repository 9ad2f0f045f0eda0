//! Sign-in of an admin.

use super::password::PasswordHash;
use super::sessions::Session;
use super::table::{AdminsTable, AdminsTableError, admin_key, done_unless_refused, text};
use crate::clock::Timestamp;
use crate::session_token::SessionToken;

/// Reason for a rejected sign-in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Wrong e-mail address or password; the message does not say which.
    #[error("wrong e-mail address or password")]
    Wrong,
    /// Too many wrong passwords for this address. No password is checked for the given number of seconds.
    #[error("too many attempts, wait {0} s")]
    Wait(u64),
    /// The table cannot be read or written.
    #[error(transparent)]
    Unavailable(#[from] AdminsTableError),
}

impl AdminsTable {
    /// Checks a password and begins a session.
    ///
    /// # Errors
    /// [`SignInError`]. An unknown address gets the same errors as a wrong password, now and in later attempts.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<(SessionToken, Session), SignInError> {
        // Count the attempt before reading the admin.
        self.count_attempt(email, now).await?;

        // Check the password. For an unknown address, check it against a hash that nothing matches.
        let found = self.found(email).await?;
        let hash = found.as_ref().map_or_else(PasswordHash::nobodys, |found| found.admin.password.clone());
        let checked = check(hash, password.to_owned()).await?;
        let (Some(found), Checked::Right { renewed }) = (found, checked) else { return Err(SignInError::Wrong) };

        // Replace a hash that was made with weaker parameters.
        if let Some(renewed) = renewed {
            self.renew_password(&found.admin.email, &found.admin.password, &renewed).await?;
        }

        // Begin the session, and forget the wrong passwords.
        let begun = self.begin_session(&found, now).await?;
        self.clear_attempts(email).await?;
        Ok(begun)
    }

    /// Stores a new hash of the same password, unless the password has changed meanwhile.
    async fn renew_password(
        &self,
        email: &str,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), AdminsTableError> {
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

/// Checks a password on a separate thread, and hashes it again if the hash is outdated.
async fn check(hash: PasswordHash, password: String) -> Result<Checked, AdminsTableError> {
    let check = move || match hash.verify(&password) {
        true => {
            Checked::Right { renewed: hash.is_outdated().then(|| PasswordHash::from_password(&password)).flatten() }
        }
        false => Checked::Wrong,
    };
    tokio::task::spawn_blocking(check).await.map_err(|_| AdminsTableError("a password check broke off".to_owned()))
}
