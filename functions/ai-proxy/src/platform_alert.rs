//! Alerts operators to trouble with the platform's own account at a provider. It does not end by itself, and failover
//! hides it from callers.

use std::sync::Mutex;
use std::time::Duration;

use levee::alerts::{Alert, Alerts};
use levee::clock::{Clock, Timestamp};
use levee::metering::CAP_ALERT;
use levee::stores::with_timeout;
use levee::sync::lock;
use tokio::task::JoinHandle;

/// Time in which an alert is not raised again.
const COOL_DOWN: Duration = Duration::from_secs(3600);
/// Time in which one environment does not try to raise the same alert again.
const QUIET: Duration = Duration::from_secs(60);

/// Trouble with the platform's account at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The provider rejects the platform's credentials.
    Credentials,
    /// The platform's prepaid credit is used up.
    Credit,
}

impl Trouble {
    /// Returns the code in the log and in the alert's key.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Credentials => "provider.refused",
            Self::Credit => "provider.unpaid",
        }
    }
}

/// The first parts of the keys of all alerts that this function raises. Its role may write no others (template.yaml).
pub const ALERT_KEYS: [&str; 3] = [CAP_ALERT, Trouble::Credentials.code(), Trouble::Credit.code()];

/// Raises alerts about the platform's accounts at providers.
pub struct PlatformAlert {
    alerts: Alerts,
    clock: Clock,
    timeout: Duration,
    /// Alerts that this environment raised within the last [`QUIET`].
    raised: Mutex<Vec<(String, Trouble, Timestamp)>>,
}

impl PlatformAlert {
    /// Creates an alarm that writes through `alerts`, for up to `timeout` at a time.
    pub fn new(alerts: Alerts, clock: Clock, timeout: Duration) -> Self {
        Self { alerts, clock, timeout, raised: Mutex::default() }
    }

    /// Raises an alert about `trouble` with `provider` in the background. Returns `None` if this environment did so
    /// within the last [`QUIET`].
    pub fn raise(&self, provider: &str, trouble: Trouble) -> Option<JoinHandle<()>> {
        let now = self.clock.now();
        if !self.is_news(provider, trouble, now) {
            return None;
        }
        // Write the alert in the background. The caller may wait for it.
        let alert = alert(provider, trouble);
        let (alerts, timeout, provider) = (self.alerts.clone(), self.timeout, provider.to_owned());
        Some(tokio::spawn(async move {
            if let Err(error) = with_timeout(timeout, alerts.raise(&alert, now)).await {
                tracing::error!(
                    code = "alert.untold",
                    provider,
                    error,
                    "an alert about the platform's account at a provider could not be raised"
                );
            }
        }))
    }

    fn is_news(&self, provider: &str, trouble: Trouble, now: Timestamp) -> bool {
        let mut raised = lock(&self.raised);
        // There is at most one entry for each provider and trouble, so the list stays short.
        raised.retain(|(.., at)| at.until(now) < QUIET);
        let is_known = raised.iter().any(|(name, what, _)| name == provider && *what == trouble);
        if !is_known {
            raised.push((provider.to_owned(), trouble, now));
        }
        !is_known
    }
}

fn alert(provider: &str, trouble: Trouble) -> Alert {
    let (title, detail) = match trouble {
        Trouble::Credentials => (
            format!("The AI provider {provider} refuses the platform's credentials"),
            format!(
                "{provider} answered 401, 402 or 403. Its calls go to the next provider, as long as there is one. Look at its \
                 key in AI_PROVIDERS or in Secrets Manager, and at its billing."
            ),
        ),
        Trouble::Credit => (
            format!("The platform's prepaid credit with the AI provider {provider} is used up"),
            format!(
                "{provider} says that its credit balance is too low. Its calls go to the next provider, as long as there is \
                 one; it is tried again every few minutes. Add credit to the platform's account there."
            ),
        ),
    };
    Alert { key: format!("{}/{provider}", trouble.code()), title, detail, cool_down: COOL_DOWN }
}
