//! Confirmation of a figure before it has a lasting consequence: a refusal until the end of the month, or an alert that
//! is raised once a month.

use std::ops::RangeInclusive;

use super::{UsageCache, Wanted};
use crate::clock::Timestamp;
use crate::metering::month::Month;
use crate::sync::lock;

impl UsageCache {
    /// Returns the counted tokens that `account` has used in `month`, confirmed by DynamoDB where it matters. `figure`
    /// is the view's figure. `steps` spans the token counts at which something happens, from the first to the last.
    ///
    /// DynamoDB is asked unless it is known already that the account has reached all steps or none. Its answer is used
    /// for a minute, plus what the figure has grown by since. So a flood of refused calls asks once per minute and
    /// environment, and a call that passes asks only if the figure has grown to another step. If DynamoDB does not
    /// answer, `figure` is returned, and DynamoDB is not asked again for five seconds.
    pub async fn confirmed(
        &self,
        account: &str,
        month: Month,
        figure: u64,
        steps: RangeInclusive<u64>,
        now: Timestamp,
    ) -> u64 {
        let wanted = Wanted::new(account, month, now);
        if let Some(known) = lock(&self.own).confirmed(&wanted.key, figure, &steps, now) {
            return known;
        }
        match self.ask(&wanted).await {
            Some(used) => {
                lock(&self.own).confirm(&wanted.key, figure, used, now);
                used
            }
            None => figure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BROKEN, USED_30, at, month, view};
    use super::*;

    async fn confirmed(view: &UsageCache, figure: u64, steps: RangeInclusive<u64>, secs: u64) -> u64 {
        view.confirmed("acme", month(), figure, steps, at(secs)).await
    }

    #[tokio::test]
    async fn a_figure_that_is_too_high_is_set_right_and_what_it_grows_by_counts() {
        let (view, stub) = view(&[USED_30]).await;
        assert_eq!(confirmed(&view, 100, 90..=90, 0).await, 30);
        assert_eq!(confirmed(&view, 110, 90..=90, 1).await, 40);
        assert_eq!(confirmed(&view, 20, 20..=90, 2).await, 30, "read again meanwhile");
        assert_eq!(stub.answered(), 2, "between two steps DynamoDB is asked");
        assert_eq!(confirmed(&view, 79, 90..=90, 3).await, 89);
        assert_eq!(stub.answered(), 2);
        assert_eq!(confirmed(&view, 80, 90..=90, 4).await, 30, "90, or 30 with 60 that are counted twice");
        assert_eq!(stub.answered(), 3);
    }

    #[tokio::test]
    async fn of_what_is_confirmed_dynamodb_is_asked_once_a_minute() {
        let (view, stub) = view(&[USED_30]).await;
        for secs in [0, 1, 30, 59] {
            assert_eq!(confirmed(&view, 100 + secs, 24..=30, secs).await, 30);
        }
        assert_eq!(stub.answered(), 1);
        assert_eq!(confirmed(&view, 200, 24..=30, 60).await, 30);
        assert_eq!(stub.answered(), 2);
    }

    #[tokio::test]
    async fn what_dynamodb_has_just_said_needs_no_confirmation() {
        let (view, stub) = view(&[USED_30]).await;
        assert_eq!(view.used("acme", month(), at(0)).await, Some(30));
        assert_eq!(confirmed(&view, 30, 30..=30, 1).await, 30);
        assert_eq!(stub.answered(), 1);
    }

    #[tokio::test]
    async fn where_dynamodb_does_not_answer_the_figure_is_gone_by() {
        let (view, stub) = view(&[BROKEN]).await;
        for secs in [0, 1, 4] {
            assert_eq!(confirmed(&view, 100, 90..=90, secs).await, 100);
            lock(&view.own).heard(&Wanted::new("acme", month(), at(0)).key, 100);
        }
        assert_eq!(stub.answered(), 1, "a failure is not repeated at every call, whatever Redis says");
        assert_eq!(confirmed(&view, 100, 90..=90, 5).await, 100);
        assert_eq!(stub.answered(), 2);
    }
}
