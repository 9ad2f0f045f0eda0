//! Sessions in the table: begin, look up, end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::email;
use super::password::PasswordHash;
use super::records::Role;
use super::table::{
    AdminsTable, AdminsTableError, FoundAdmin, Item, admin_key, done_unless_refused, from_item, key, number, text,
};
use crate::clock::Timestamp;
use crate::session_token::{SessionToken, random_id};

/// Lifetime of a session, independent of its use.
const LASTS: Duration = Duration::from_secs(12 * 3600);

/// Valid session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// E-mail address of the admin.
    pub email: String,
    /// Current role of the admin.
    pub role: Role,
    /// End of the session, in Unix seconds.
    pub expires_at: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredSession {
    email: String,
    /// Admin's generation at the start of the session.
    generation: String,
    /// Unix seconds.
    expires_at: u64,
}

impl AdminsTable {
    pub(super) async fn begin_session(
        &self,
        found: &FoundAdmin,
        now: Timestamp,
    ) -> Result<(SessionToken, Session), AdminsTableError> {
        // Store the hash of the token with the admin's present generation.
        let token = SessionToken::generate();
        let FoundAdmin { admin, generation } = found;
        let expires_at = now.plus(LASTS).as_secs();
        let stored = StoredSession { email: admin.email.clone(), generation: generation.clone(), expires_at };
        self.put(session_key(&token), &stored).await?;
        Ok((token, Session { email: stored.email, role: admin.role, expires_at }))
    }

    /// Returns the session of `token`; `None` if it has ended or never existed. The admin and their role are read
    /// each time.
    ///
    /// # Errors
    /// [`AdminsTableError`] if the table cannot be read.
    pub async fn session(&self, token: &SessionToken, now: Timestamp) -> Result<Option<Session>, AdminsTableError> {
        let Some(item) = self.item(session_key(token)).await? else { return Ok(None) };
        let stored: StoredSession = from_item(item)?;
        // DynamoDB may remove an expired session late.
        if stored.expires_at <= now.as_secs() {
            return Ok(None);
        }
        // The session is valid if its admin exists and still has its generation.
        let found = self.found(&stored.email).await?.filter(|found| found.generation == stored.generation);
        Ok(found.map(|FoundAdmin { admin, .. }| Session {
            email: admin.email,
            role: admin.role,
            expires_at: stored.expires_at,
        }))
    }

    /// Ends one session.
    ///
    /// # Errors
    /// [`AdminsTableError`] if it could not be ended.
    pub async fn sign_out(&self, token: &SessionToken) -> Result<(), AdminsTableError> {
        self.remove(session_key(token)).await
    }

    /// Ends all sessions of an admin. Returns false if there is no such admin.
    ///
    /// # Errors
    /// [`AdminsTableError`] if they could not be ended.
    pub async fn sign_out_everywhere(&self, email: &str, now: Timestamp) -> Result<bool, AdminsTableError> {
        self.next_generation(email, None, now).await
    }

    /// Replaces an admin's password and ends all their sessions. Returns false if there is no such admin.
    ///
    /// # Errors
    /// [`AdminsTableError`] if it could not be written.
    pub async fn set_password(
        &self,
        email: &str,
        password: &PasswordHash,
        now: Timestamp,
    ) -> Result<bool, AdminsTableError> {
        self.next_generation(email, Some(password), now).await
    }

    async fn next_generation(
        &self,
        email: &str,
        password: Option<&PasswordHash>,
        now: Timestamp,
    ) -> Result<bool, AdminsTableError> {
        // A new generation invalidates all sessions of the old one.
        let Ok(email) = email::normalise(email) else { return Ok(false) };
        let set = "SET #generation = :generation, #sessions_from = :now";
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(admin_key(&email)))
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#generation", "generation")
            .expression_attribute_names("#sessions_from", "sessions_from")
            .expression_attribute_values(":generation", text(random_id()))
            .expression_attribute_values(":now", number(now.as_millis()));
        let update = match password {
            None => update.update_expression(set),
            Some(password) => update
                .update_expression(format!("{set}, #password = :password"))
                .expression_attribute_names("#password", "password")
                .expression_attribute_values(":password", text(password.stored())),
        };
        done_unless_refused(update.send().await.map(drop))
    }
}

fn session_key(token: &SessionToken) -> Item {
    key(format!("SESSION#{}", token.hash()), "SESSION")
}
