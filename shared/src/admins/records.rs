//! What is stored about admins.

use serde::{Deserialize, Serialize};

use super::password::PasswordHash;

/// What an admin may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything.
    Viewer,
    /// Change things too.
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
    /// The e-mail address, as [`email::normalise`](super::email::normalise) has it; the admin's id.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Their password, hashed.
    pub password: PasswordHash,
    /// When they were created, Unix seconds.
    pub created_at: u64,
    /// When all their sessions were last ended at once, by them or by a new password: those that began before are over.
    /// Unix milliseconds; 0 when never.
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
