//! Alerts: what somebody should be told of, once.
//!
//! Whoever finds something wrong calls [`Alerts::raise`] as often as it likes: of all that raise the same key at once or
//! while it cools down, one is first, decided by one conditional write; the others only count up. That write also puts
//! the alert into an outbox, so that raising needs nobody who listens. [`Alerts::deliver`], run every minute, empties
//! the outbox through a [`Publisher`]:
//!
//! - Oldest first, and at most [`PER_HOUR`] one by one in any clock hour. What is above is held and goes out as one
//!   digest with the first delivery after that hour.
//! - A message that cannot be published ends the delivery, because what stopped it stops the others too. Its alert
//!   waits for the next one.
//! - An alert is marked as sent after it is published. A crash in between repeats one message; none is ever lost.
//!
//! Start reading at [`table`] (what is stored), then [`deliver`] and [`budget`] (what goes out when).
//! What may be said in a message is up to [`defang()`].

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

/// The longest stored key, bytes.
const LONGEST_KEY: usize = 200;
/// The longest stored title, bytes.
const LONGEST_TITLE: usize = 200;
/// The longest stored detail, bytes.
const LONGEST_DETAIL: usize = 6_000;

/// Something that somebody should be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What makes two alerts the same one, such as `redis.gone` or `provider.refused/primary`. Of a longer one, the first
    /// 200 bytes count.
    pub key: String,
    /// One line.
    pub title: String,
    /// What is known, and what to do.
    pub detail: String,
    /// How long the same alert is not raised again.
    pub cool_down: Duration,
}

/// An alert as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// [`Alert::key`].
    pub key: String,
    /// [`Alert::title`], defanged.
    pub title: String,
    /// [`Alert::detail`], defanged.
    pub detail: String,
    /// When it was raised, Unix seconds.
    pub raised_at: u64,
    /// When it was sent, Unix seconds; `None` while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<u64>,
    /// How often it was raised again while it cooled down.
    pub repeats: u64,
}

impl Raised {
    /// `alert` as it is raised now.
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

/// Tells people.
pub trait Publisher {
    /// Publishes one message. After an error it may have been published all the same.
    fn publish(&self, message: &Message) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// A message that was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not published: {0}")]
pub struct PublishError(pub String);
