//! Stored form of admins.

use serde::{Deserialize, Serialize};

use super::password::PasswordHash;

/// Permissions of an admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May view everything.
    Viewer,
    /// May view and change everything.
    Operator,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        })
    }
}

/// A platform admin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admin {
    /// E-mail address in the form of [`email::normalise`](super::email::normalise); the admin's id.
    pub email: String,
    /// Current role.
    pub role: Role,
    /// Hash of the password.
    pub password: PasswordHash,
    /// Time of creation, in Unix seconds.
    pub created_at: u64,
    /// Time when all sessions were last ended, by a sign-out everywhere or a new password; earlier sessions are
    /// invalid. In Unix milliseconds; 0 if never.
    #[serde(default)]
    pub sessions_from: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_stored_under_the_name_that_it_prints() {
        for role in [Role::Viewer, Role::Operator] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.to_string());
        }
    }
}
