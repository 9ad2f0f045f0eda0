//! Stored form of scopes and windows in rows.

pub(super) mod window {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::limits::Window;

    pub(in super::super) fn serialize<S: Serializer>(window: &Window, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&window.name())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Window, D::Error> {
        let text = String::deserialize(deserializer)?;
        Window::parse(&text).ok_or_else(|| D::Error::custom("is no window"))
    }
}

pub(super) mod scope {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::limits::PolicyScope;

    const NAMES: [(PolicyScope, &str); 7] = [
        (PolicyScope::ClientAddress, "client-address"),
        (PolicyScope::Key, "key"),
        (PolicyScope::Integration, "integration"),
        (PolicyScope::AccountClass, "account-class"),
        (PolicyScope::Account, "account"),
        (PolicyScope::Share, "share"),
        (PolicyScope::Global, "global"),
    ];

    pub(in super::super) fn serialize<S: Serializer>(scope: &PolicyScope, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(NAMES.iter().find(|(it, _)| it == scope).map_or("", |(_, name)| name))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PolicyScope, D::Error> {
        let text = String::deserialize(deserializer)?;
        let scope = NAMES.iter().find(|(_, name)| *name == text).map(|(scope, _)| *scope);
        scope.ok_or_else(|| D::Error::custom("is no scope"))
    }
}
