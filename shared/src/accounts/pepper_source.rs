//! Source of an environment's peppers: a secret that is read at start, and again when a key names a version that is
//! not held.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::pepper::{InvalidPeppers, Peppers};
use crate::clock::Timestamp;
use crate::stores::aws::AwsConfig;
use crate::stores::secrets::{SecretError, SecretRef};
use crate::sync::lock;

/// Shortest interval between two reads of the secret. Without it, every call whose key names a missing version would
/// cost a read.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Longest time that a call waits for the secret.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Peppers held by an environment, with the secret that they are read from.
pub struct PepperSource {
    secret: SecretRef,
    aws: AwsConfig,
    held: Mutex<Arc<Peppers>>,
    read_at: Mutex<Timestamp>,
}

/// Errors of reading the peppers.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    /// The secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret is not a valid set of peppers.
    #[error("KEY_PEPPERS {0}")]
    Invalid(#[from] InvalidPeppers),
}

impl PepperSource {
    /// Reads the peppers from `secret`.
    ///
    /// # Errors
    /// [`PepperError`].
    pub async fn read(secret: SecretRef, aws: AwsConfig, now: Timestamp) -> Result<Self, PepperError> {
        let peppers = Peppers::from_json(&secret.resolve(&aws).await?)?;
        Ok(Self { secret, aws, held: Mutex::new(Arc::new(peppers)), read_at: Mutex::new(now) })
    }

    /// Returns the peppers as last read.
    pub fn held(&self) -> Arc<Peppers> {
        lock(&self.held).clone()
    }

    /// Returns the peppers, after reading the secret again if `version` is not held. Returns the held peppers if the
    /// version is still missing, if the secret cannot be read, or if it was read less than a minute ago.
    pub async fn with_version(&self, version: u32, now: Timestamp) -> Arc<Peppers> {
        let held = self.held();
        if held.has(version) || !self.may_read(now) {
            return held;
        }
        // Read the secret again, and keep the held peppers if that fails.
        let read = async { Ok::<_, PepperError>(Peppers::from_json(&self.secret.resolve(&self.aws).await?)?) };
        match tokio::time::timeout(READ_TIMEOUT, read).await {
            Ok(Ok(peppers)) => {
                let peppers = Arc::new(peppers);
                *lock(&self.held) = peppers.clone();
                peppers
            }
            Ok(Err(error)) => {
                tracing::error!(code = "peppers.unreadable", %error, "a new pepper cannot be read");
                held
            }
            Err(_) => {
                tracing::error!(code = "peppers.unreadable", "a new pepper was not read within {READ_TIMEOUT:?}");
                held
            }
        }
    }

    fn may_read(&self, now: Timestamp) -> bool {
        let mut read_at = lock(&self.read_at);
        // A moment in the future was recorded while the clock was fast.
        let may = now < *read_at || now >= read_at.plus(READ_AGAIN_AFTER);
        if may {
            *read_at = now;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_700_000_000);

    async fn source() -> PepperSource {
        let credentials = Credentials::new("test", "test", None, None, "test");
        let aws = AwsConfig { region: "us-east-1".to_owned(), credentials };
        let secret = SecretRef::new(r#"{"1":"a pepper of at least thirty-two characters"}"#);
        PepperSource::read(secret, aws, START).await.unwrap()
    }

    #[tokio::test]
    async fn a_version_that_was_added_is_read_once_a_minute_at_most() {
        let mut source = source().await;
        let both = r#"{"1":"a pepper of at least thirty-two characters","2":"another one of at least thirty-two"}"#;
        source.secret = SecretRef::new(both);
        let after = |secs| START.plus(Duration::from_secs(secs));

        assert!(!source.with_version(2, after(59)).await.has(2), "it was read a moment ago");
        assert!(source.with_version(2, after(60)).await.has(2));
        assert_eq!(source.held().current(), 2);
        source.secret = SecretRef::new("no longer readable");
        assert!(source.with_version(3, after(300)).await.has(2), "what is held stays");
        let third = both.replace('}', r#","3":"yet another one of at least thirty-two"}"#);
        source.secret = SecretRef::new(&*third);
        assert!(source.with_version(3, START).await.has(3), "the clock was put right meanwhile");
    }
}
