//! Delivery of the waiting alerts, within the hour's budget.

use super::{Alerts, AlertsError, Message, PublishError, Publisher};
use crate::clock::Timestamp;

/// Result of one delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Number of alerts that were sent, each in its own message.
    pub sent: usize,
    /// Number of alerts that were sent in one digest.
    pub digested: usize,
    /// Number of alerts that still wait, for the end of the hour or for the next delivery.
    pub waiting: usize,
    /// Error that ended the delivery early.
    pub failure: Option<PublishError>,
}

impl Alerts {
    /// Sends the waiting alerts through `publisher`; see [`super`] for the rules. Two concurrent deliveries may
    /// both send the same message; the second one then ends.
    ///
    /// # Errors
    /// [`AlertsError`] if the table cannot be read or written. Alerts that were published before that but not
    /// marked as sent are published again by the next delivery. A message that could not be published is reported
    /// as [`Delivery::failure`] instead.
    pub async fn deliver(&self, publisher: &impl Publisher, now: Timestamp) -> Result<Delivery, AlertsError> {
        let hour = now.as_secs() / 3600;
        let waiting = self.waiting(now).await?;
        let mut delivery = Delivery { waiting: waiting.len(), ..Delivery::default() };
        if waiting.is_empty() {
            return Ok(delivery);
        }
        let mut budget = self.budget().await?;
        let plan = budget.clone();
        let plan = plan.plan(&waiting, hour);

        // Send the alerts that were held in an earlier hour, in one message.
        if !plan.digest.is_empty() {
            if let Err(failure) = publisher.publish(&Message::digest(&self.at(plan.digest).await?)).await {
                return Ok(Delivery { failure: Some(failure), ..delivery });
            }
            let next = budget.after_digest(hour);
            self.mark_sent(plan.digest, (&budget, &next), now).await?;
            budget = next;
            delivery.digested = plan.digest.len();
            delivery.waiting -= plan.digest.len();
        }

        // Send the alerts that this hour has room for, one by one.
        for position in plan.single {
            let position = std::slice::from_ref(position);
            let Some(alert) = self.at(position).await?.pop() else { continue };
            if let Err(failure) = publisher.publish(&Message::alert(&alert)).await {
                return Ok(Delivery { failure: Some(failure), ..delivery });
            }
            let next = budget.after_single(hour);
            self.mark_sent(position, (&budget, &next), now).await?;
            budget = next;
            delivery.sent += 1;
            delivery.waiting -= 1;
        }

        // Hold the rest for the digest.
        if let Some(next) = plan.held.last().and_then(|last| budget.after_holding(hour, last)) {
            self.set_budget(&budget, &next, now).await?;
        }
        Ok(delivery)
    }
}
