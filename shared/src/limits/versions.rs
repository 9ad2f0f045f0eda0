//! Markers: versions in Redis that let every environment notice a change to an account, an integration, a key or the
//! platform's defaults at its next request, although each caches records for a minute.
//!
//! Every record carries a version that rises with each change. After a change is written, its version is
//! [published](publish) to Redis. `check.lua` reads the markers of all records that a caller decided from, and
//! reports a newer one as stale. Markers outlive the caches; if one is missing, the cached record is at most as old
//! as the cache allows.

use std::fmt;
use std::str::FromStr;

use redis::Script;

use crate::stores::redis::{Redis, Unavailable};

/// Time for which a marker is kept, milliseconds: longer than any environment caches a record.
const KEPT_MILLIS: u64 = 3600 * 1000;

/// Marker of the catalogs, which all three share.
pub(super) const CATALOGS_MARKER: &str = "{levee}:version:catalogs";
/// Time for which that marker is kept, milliseconds: longer than the cache keeps a stale catalog.
const CATALOGS_KEPT_MILLIS: u64 = 26 * 3600 * 1000;
/// Name by which a publication asks for that marker, beside [`RecordId`]s.
pub const CATALOGS_NAME: &str = "catalogs";

/// Subject of a marker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordId {
    /// The platform's default limits and its blocks.
    Platform,
    /// An account, by its id.
    Account(String),
    /// An integration, by its account's id and its own.
    Integration(String, String),
    /// A key, by its id.
    Key(String),
    /// The grants of an account, by its id.
    Grants(String),
}

/// Writes `platform`, `account/acme`, `integration/acme/crm`, `key/4f8KpQ2mZx7R` or `grants/acme`.
impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Account(account) => write!(f, "account/{account}"),
            Self::Integration(account, integration) => write!(f, "integration/{account}/{integration}"),
            Self::Key(key) => write!(f, "key/{key}"),
            Self::Grants(account) => write!(f, "grants/{account}"),
        }
    }
}

/// Error for a text that names no subject of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("names no platform, account, integration, key or grants")]
pub struct InvalidRecordId;

impl FromStr for RecordId {
    type Err = InvalidRecordId;

    fn from_str(text: &str) -> Result<Self, InvalidRecordId> {
        match *text.split('/').collect::<Vec<_>>() {
            ["platform"] => Ok(Self::Platform),
            ["account", account] if !account.is_empty() => Ok(Self::Account(account.to_owned())),
            ["integration", account, integration] if !account.is_empty() && !integration.is_empty() => {
                Ok(Self::Integration(account.to_owned(), integration.to_owned()))
            }
            ["key", key] if !key.is_empty() => Ok(Self::Key(key.to_owned())),
            ["grants", account] if !account.is_empty() => Ok(Self::Grants(account.to_owned())),
            _ => Err(InvalidRecordId),
        }
    }
}

impl RecordId {
    /// Returns the marker's Redis key.
    pub fn key(&self) -> String {
        format!("{{levee}}:version:{self}")
    }
}

/// Version of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Record that the version is of.
    pub of: RecordId,
    /// Version; 0 for a record that does not exist.
    pub version: u64,
    /// True if this version stops the record: revoked, suspended, blocked or deleted.
    pub is_stopped: bool,
}

/// Encodes the number that a marker holds: the version doubled, plus one if it stops the record.
pub(super) fn encode(version: u64, is_stopped: bool) -> u64 {
    version.saturating_mul(2) + u64::from(is_stopped)
}

/// Decodes a marker into the version, and true if it stops the record; `None` for a missing marker.
pub(super) fn decode(marker: i64) -> Option<(u64, bool)> {
    let marker = u64::try_from(marker).ok()?;
    Some((marker / 2, marker % 2 == 1))
}

/// Makes all environments notice these versions at their next request. An older version never replaces a newer one.
///
/// # Errors
/// [`Unavailable`] if Redis cannot be reached. The versions are then noticed when the cached records expire.
pub async fn publish(redis: &Redis, versions: &[Version]) -> Result<(), Unavailable> {
    if versions.is_empty() {
        return Ok(());
    }
    let markers = versions.iter().map(|it| (it.of.key(), encode(it.version, it.is_stopped)));
    raise(redis, markers, KEPT_MILLIS).await
}

/// Makes all environments notice this version of the catalogs at their next request, as [`publish`] does for records.
///
/// # Errors
/// [`Unavailable`] if Redis cannot be reached. The version is then noticed when the cached catalogs expire.
pub async fn publish_catalogs(redis: &Redis, version: u64) -> Result<(), Unavailable> {
    raise(redis, [(CATALOGS_MARKER.to_owned(), encode(version, false))], CATALOGS_KEPT_MILLIS).await
}

/// Raises markers in one script call.
async fn raise(
    redis: &Redis,
    markers: impl IntoIterator<Item = (String, u64)>,
    kept_millis: u64,
) -> Result<(), Unavailable> {
    let script = Script::new(include_str!("versions.lua"));
    let mut call = script.prepare_invoke();
    call.arg(kept_millis);
    for (key, marker) in markers {
        call.key(key).arg(marker);
    }
    let call = &call;
    redis.run(async |mut connection| call.invoke_async::<i64>(&mut connection).await).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_read_as_it_is_written() {
        let (acme, crm) = (|| "acme".to_owned(), || "crm".to_owned());
        for marked in [
            RecordId::Platform,
            RecordId::Account(acme()),
            RecordId::Integration(acme(), crm()),
            RecordId::Key(crm()),
            RecordId::Grants(acme()),
        ] {
            assert_eq!(marked.to_string().parse(), Ok(marked));
        }
        for other in
            ["", "platform/", "account/", "account", "integration/acme", "key/a/b", "integration//crm", "grants"]
        {
            assert_eq!(other.parse::<RecordId>(), Err(InvalidRecordId), "{other}");
        }
    }

    #[test]
    fn a_marker_holds_a_version_and_whether_it_stops() {
        for marker in [(0, false), (7, true), (1_795_310_118_042, false)] {
            assert_eq!(decode(i64::try_from(encode(marker.0, marker.1)).unwrap()), Some(marker));
        }
        assert_eq!(decode(-1), None);
    }
}
