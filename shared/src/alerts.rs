//! Alerts: notifications to operators, each sent once.
//!
//! Code that finds a problem calls [`Alerts::raise`], any number of times. A conditional write decides which call
//! raises the alert. Other calls with the same key, at the same time or during the cool-down, only count as
//! repeats. The same write puts the alert into an outbox, so that raising does not depend on the receiver.
//! [`Alerts::deliver`], run every minute, empties the outbox through a [`Publisher`]:
//!
//! - Oldest first, and at most [`PER_HOUR`] single messages in each clock hour. Further alerts are held, and go out
//!   as one digest with the first delivery after that hour.
//! - A message that cannot be published ends the delivery, because the same cause would stop the others too. Its
//!   alert waits for the next delivery.
//! - An alert is marked as sent after it is published. A crash in between repeats one message. No alert is lost.
//!
//! Start reading at [`table`] (the stored form), then [`deliver`] and [`budget`] (the schedule). [`defang()`] makes
//! the text of messages harmless.

pub mod budget;
pub mod defang;
pub mod deliver;
pub mod message;
pub mod sns;
pub mod table;

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use budget::PER_HOUR;
pub use defang::defang;
pub use deliver::Delivery;
pub use message::Message;
pub use sns::{Sns, SnsConfig};
pub use table::{Alerts, AlertsError};

use crate::clock::Timestamp;

/// Longest stored key, in bytes.
const LONGEST_KEY: usize = 200;
/// Longest stored title, in bytes.
const LONGEST_TITLE: usize = 200;
/// Longest stored detail, in bytes.
const LONGEST_DETAIL: usize = 6_000;

/// Problem that operators should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Identity of the alert, such as `redis.gone` or `provider.refused/primary`. Of a longer key, the first 200
    /// bytes count.
    pub key: String,
    /// Summary in one line.
    pub title: String,
    /// Known facts, and the action to take.
    pub detail: String,
    /// Time in which the same alert is not raised again.
    pub cool_down: Duration,
}

/// Stored alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// [`Alert::key`].
    pub key: String,
    /// [`Alert::title`], defanged.
    pub title: String,
    /// [`Alert::detail`], defanged.
    pub detail: String,
    /// Time when it was raised, in Unix seconds.
    pub raised_at: u64,
    /// Time when it was sent, in Unix seconds; `None` while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<u64>,
    /// Number of times it was raised again during its cool-down.
    pub repeats: u64,
}

impl Raised {
    /// Creates the stored form of `alert`, raised at `now`.
    fn new(alert: &Alert, now: Timestamp) -> Self {
        Self {
            key: defang::cut(&alert.key, LONGEST_KEY),
            title: defang::line(&alert.title, LONGEST_TITLE),
            detail: defang::cut(&defang(&alert.detail), LONGEST_DETAIL),
            raised_at: now.as_secs(),
            sent_at: None,
            repeats: 0,
        }
    }
}

/// Channel that delivers messages to people.
pub trait Publisher {
    /// Publishes one message. After an error it may have been published nevertheless.
    fn publish(&self, message: &Message) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// Error of publishing a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not published: {0}")]
pub struct PublishError(pub String);
