//! Tells somebody that a provider refuses the platform's credentials: that mends itself as little as it hurts others.

use std::sync::Mutex;
use std::time::Duration;

use levee::alerts::{Alert, Alerts};
use levee::clock::{Clock, Timestamp};
use levee::stores::with_timeout;
use levee::sync::lock;
use tokio::task::JoinHandle;

/// How long the same is not told again.
const COOL_DOWN: Duration = Duration::from_secs(3600);
/// How long one environment leaves it at what it told.
const QUIET: Duration = Duration::from_secs(60);

/// Tells of providers.
pub struct Alarm {
    alerts: Alerts,
    clock: Clock,
    timeout: Duration,
    /// When this environment told of which provider last.
    told: Mutex<Vec<(String, Timestamp)>>,
}

impl Alarm {
    /// Tells through `alerts`, for no longer than `timeout` at a time.
    pub fn new(alerts: Alerts, clock: Clock, timeout: Duration) -> Self {
        Self { alerts, clock, timeout, told: Mutex::default() }
    }

    /// Tells that `provider` refuses the platform's credentials, beside whatever else is done; `None` where that is no news.
    pub fn refused(&self, provider: &str) -> Option<JoinHandle<()>> {
        let now = self.clock.now();
        if !self.is_news(provider, now) {
            return None;
        }
        let alert = alert(provider);
        let (alerts, timeout, provider) = (self.alerts.clone(), self.timeout, provider.to_owned());
        Some(tokio::spawn(async move {
            if let Err(error) = with_timeout(timeout, alerts.raise(&alert, now)).await {
                tracing::error!(
                    code = "alert.untold",
                    provider,
                    error,
                    "nobody could be told that a provider refuses the platform's credentials"
                );
            }
        }))
    }

    fn is_news(&self, provider: &str, now: Timestamp) -> bool {
        let mut told = lock(&self.told);
        let is_known = told.iter().any(|(name, at)| name == provider && at.until(now) < QUIET);
        if !is_known {
            told.retain(|(name, _)| name != provider);
            told.push((provider.to_owned(), now));
        }
        !is_known
    }
}

fn alert(provider: &str) -> Alert {
    Alert {
        key: format!("provider.refused/{provider}"),
        title: format!("The AI provider {provider} refuses the platform's credentials"),
        detail: format!(
            "{provider} answered 401, 402 or 403. Its calls go to the next provider, as long as there is one. Look at its key \
             in AI_PROVIDERS or in Secrets Manager, and at its billing."
        ),
        cool_down: COOL_DOWN,
    }
}
