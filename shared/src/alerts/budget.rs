//! Hourly budget of single messages, and the choice of alerts that are held for the digest. Pure; `table` keeps the
//! state.

use serde::{Deserialize, Serialize};

/// Number of alerts that are sent as single messages in a clock hour (UTC).
pub const PER_HOUR: usize = 10;

/// Use of the budget in the latest hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Budget {
    /// Version, incremented by each write, so that two concurrent deliveries do not both count.
    pub(super) version: u64,
    /// Clock hour of `sent`, in hours since the Unix epoch.
    pub(super) hour: u64,
    /// Number of alerts that were sent as single messages in that hour.
    pub(super) sent: usize,
    /// Position of the last alert that was held in that hour. All alerts up to it that still wait were held too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held_to: Option<String>,
}

/// Actions for the alerts that wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    /// Alerts to send now, in one message.
    pub(super) digest: &'a [String],
    /// Alerts to send now, each in its own message.
    pub(super) single: &'a [String],
    /// Alerts to hold until the hour is over.
    pub(super) held: &'a [String],
}

impl Budget {
    /// Decides for `hour` about `waiting`, the positions of all alerts that wait, in ascending order.
    pub(super) fn plan<'a>(&self, waiting: &'a [String], hour: u64) -> Plan<'a> {
        let is_over = self.hour != hour;
        let was_held = |position: &String| is_over && self.held_to.as_ref().is_some_and(|held_to| position <= held_to);
        // Alerts that were held in an earlier hour go into the digest.
        let (digest, rest) = waiting.split_at(waiting.partition_point(was_held));
        // The next ones are sent one by one, up to the budget; the rest is held.
        let left = if is_over { PER_HOUR } else { PER_HOUR.saturating_sub(self.sent) };
        let (single, held) = rest.split_at(left.min(rest.len()));
        Plan { digest, single, held }
    }

    /// Returns the budget after the digest was sent in `hour`.
    pub(super) fn after_digest(&self, hour: u64) -> Self {
        Self { version: self.version + 1, hour, sent: 0, held_to: None }
    }

    /// Returns the budget after one single message was sent in `hour`.
    pub(super) fn after_single(&self, hour: u64) -> Self {
        let sent = if self.hour == hour { self.sent + 1 } else { 1 };
        Self { version: self.version + 1, hour, sent, held_to: self.held_to.clone() }
    }

    /// Returns the budget after the alerts up to `position` were held in `hour`. Returns `None` if that is stored
    /// already.
    pub(super) fn after_holding(&self, hour: u64, position: &str) -> Option<Self> {
        let is_new = self.held_to.as_deref() != Some(position);
        is_new.then(|| Self { version: self.version + 1, hour, held_to: Some(position.to_owned()), ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
        numbers.into_iter().map(|number| format!("{number:013}#key")).collect()
    }

    #[test]
    fn ten_go_out_one_by_one_and_the_rest_as_a_digest_when_the_hour_is_over() {
        let budget = Budget { hour: 7, sent: 3, ..Budget::default() };
        let waiting = positions(0..12);
        let plan = budget.plan(&waiting, 7);
        assert_eq!((plan.digest.len(), plan.single, plan.held), (0, &waiting[..7], &waiting[7..]));

        let budget = Budget { sent: 10, ..budget }.after_holding(7, &waiting[11]).unwrap();
        let waiting = positions(7..14);
        let same_hour = budget.plan(&waiting, 7);
        assert_eq!((same_hour.digest.len(), same_hour.single.len(), same_hour.held.len()), (0, 0, 7));
        let next_hour = budget.plan(&waiting, 8);
        assert_eq!((next_hour.digest, next_hour.single), (&waiting[..5], &waiting[5..]));
    }

    #[test]
    fn what_waits_for_another_reason_goes_out_one_by_one_in_a_later_hour() {
        let budget = Budget { hour: 7, sent: 3, ..Budget::default() };
        let waiting = positions(0..10);
        assert_eq!(budget.plan(&waiting, 9).single, waiting);
    }

    proptest! {
        /// Alerts are raised, and deliveries run and fail, at random.
        #[test]
        fn nothing_is_lost_and_no_hour_has_more_than_ten_and_one_digest(
            runs in proptest::collection::vec((0_usize..30, 0_u64..2, 0_usize..12), 1..40)
        ) {
            let (mut budget, mut hour, mut raised) = (Budget::default(), 1000, 0);
            let (mut waiting, mut sent) = (Vec::new(), Vec::new());
            let mut messages = std::collections::HashMap::<(u64, bool), usize>::new();
            // The last runs succeed, within two hours.
            for (new, hours, fails_after) in runs.into_iter().chain([(0, 0, 99), (0, 1, 99), (0, 1, 99)]) {
                waiting.extend(positions(raised..raised + new));
                (raised, hour) = (raised + new, hour + hours);
                let plan = budget.plan(&waiting, hour);
                let mut left = fails_after;
                let mut gone = Vec::new();
                let mut next = budget.clone();
                // Deliver as `Alerts::deliver` does: the digest, the single messages, then the alerts to hold.
                let is_digest = !plan.digest.is_empty();
                if is_digest && left > 0 {
                    left -= 1;
                    gone.extend_from_slice(plan.digest);
                    next = next.after_digest(hour);
                    *messages.entry((hour, true)).or_default() += 1;
                }
                let mut all_went = !is_digest || !gone.is_empty();
                for single in plan.single {
                    if !all_went || left == 0 {
                        all_went = false;
                        break;
                    }
                    left -= 1;
                    gone.push(single.clone());
                    next = next.after_single(hour);
                    *messages.entry((hour, false)).or_default() += 1;
                }
                if all_went && let Some(last) = plan.held.last() {
                    next = next.after_holding(hour, last).unwrap_or(next);
                }
                // Remove the alerts that were sent from those that wait.
                waiting.retain(|position| !gone.contains(position));
                sent.extend(gone);
                budget = next;
            }
            prop_assert_eq!(waiting, Vec::<String>::new());
            prop_assert_eq!(sent, positions(0..raised));
            for ((hour, is_digest), number) in messages {
                prop_assert!(number <= if is_digest { 1 } else { PER_HOUR }, "{number} in {hour}");
            }
        }
    }
}
