//! One delivery: what waits goes out, as far as the budget of the hour goes.

use super::{Alerts, AlertsError, Message, PublishError, Publisher};
use crate::clock::Timestamp;

/// What came of one delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Alerts that were sent, each in its own message.
    pub sent: usize,
    /// Alerts that were sent in one digest.
    pub digested: usize,
    /// Alerts that still wait: for the end of the hour, or for the next delivery.
    pub waiting: usize,
    /// Why the delivery ended early.
    pub failure: Option<PublishError>,
}

impl Alerts {
    /// Sends what waits through `publisher`; see [`super`] for the rules. Two deliveries at the same time may both send
    /// one message; the second one then ends.
    ///
    /// # Errors
    /// [`AlertsError`] when the table cannot be read or written. What was published before that and could not be marked
    /// is published again by the next delivery. A message that could not be published is no error of this kind, but
    /// [`Delivery::failure`].
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

        // What was held in an earlier hour, in one message.
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

        // What this hour has room for, one by one.
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

        // The rest is held, for the digest.
        if let Some(next) = plan.held.last().and_then(|last| budget.after_holding(hour, last)) {
            self.set_budget(&budget, &next, now).await?;
        }
        Ok(delivery)
    }
}
