//! Wrong passwords per e-mail address, and the wait that they cause.
//!
//! The first three in a row cause no wait. The fourth causes a wait of one second, and each further one doubles it,
//! up to five minutes. During a wait no password is checked, and an attempt does not extend the wait. An attacker
//! that goes on guessing can therefore lock an admin out. The limit per client address slows the attacker down, and
//! [`AdminsTable::clear_attempts`] ends the present wait.

use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use serde::{Deserialize, Serialize};

use super::email::folded;
use super::sign_in::SignInError;
use super::table::{AdminsTable, AdminsTableError, Item, failed, from_item, key, number, to_item};
use crate::clock::Timestamp;
use crate::session_token::sha256;

/// Number of wrong passwords in a row that cause no wait.
const FREE: u32 = 3;
const LONGEST_WAIT_SECS: u64 = 300;
/// Time after the last wrong password until all are forgotten.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Number of tries to count an attempt that conflicts with concurrent ones. Only attempts that cause no wait can
/// conflict repeatedly; later ones must wait.
const TRIES: u32 = 8;

/// Attempts since the last right password. An attempt that is being checked counts as wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Attempts {
    count: u32,
    /// End of the wait, in Unix milliseconds. No password is checked before.
    blocked_until: u64,
    /// Unix seconds.
    expires_at: u64,
}

/// Returns the record to store for one more attempt at `now`.
///
/// # Errors
/// The seconds to wait, if no attempt is allowed yet.
fn attempt(before: Option<&Attempts>, now: Timestamp) -> Result<Attempts, u64> {
    // Ignore an expired record that DynamoDB has not removed yet.
    let before = before.filter(|before| before.expires_at > now.as_secs());
    let blocked_until = Timestamp::from_millis(before.map_or(0, |before| before.blocked_until));
    if blocked_until > now {
        return Err(now.secs_until(blocked_until));
    }
    let count = before.map_or(0, |before| before.count).saturating_add(1);
    Ok(Attempts {
        count,
        blocked_until: now.plus(Duration::from_secs(wait_secs(count))).as_millis(),
        expires_at: now.plus(KEPT).as_secs(),
    })
}

/// Returns the wait in seconds after `count` wrong passwords in a row.
fn wait_secs(count: u32) -> u64 {
    match count.checked_sub(FREE + 1) {
        None => 0,
        Some(doublings) => 1u64.checked_shl(doublings).unwrap_or(u64::MAX).min(LONGEST_WAIT_SECS),
    }
}

impl AdminsTable {
    /// Deletes the count of wrong passwords of this e-mail address, so that the next attempt is checked at once.
    ///
    /// # Errors
    /// [`AdminsTableError`] if it could not be deleted.
    pub async fn clear_attempts(&self, email: &str) -> Result<(), AdminsTableError> {
        self.remove(attempts_key(email)).await
    }

    /// Counts an attempt before its password is checked. Of concurrent attempts, only as many pass as would one
    /// after the other.
    pub(super) async fn count_attempt(&self, email: &str, now: Timestamp) -> Result<(), SignInError> {
        let mut before = None;
        for _ in 0..TRIES {
            let after = attempt(before.as_ref(), now).map_err(SignInError::Wait)?;
            match self.replace_attempts(attempts_key(email), before.as_ref(), &after).await? {
                // On a conflict, decide again with the record that was found.
                Ok(()) => return Ok(()),
                Err(found) => before = found,
            }
        }
        Err(SignInError::Wait(1))
    }

    /// Writes `after` if `before` is still stored. Otherwise the inner error is the stored record.
    async fn replace_attempts(
        &self,
        key: Item,
        before: Option<&Attempts>,
        after: &Attempts,
    ) -> Result<Result<(), Option<Attempts>>, AdminsTableError> {
        let mut item = to_item(after)?;
        item.extend(key);
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        // Write only if the record is still the one that was read.
        let put = match before {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(before) => put
                .condition_expression("#count = :count AND #blocked_until = :blocked_until")
                .expression_attribute_names("#count", "count")
                .expression_attribute_names("#blocked_until", "blocked_until")
                .expression_attribute_values(":count", number(before.count.into()))
                .expression_attribute_values(":blocked_until", number(before.blocked_until)),
        };
        let Err(error) = put.send().await else { return Ok(Ok(())) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                Ok(Err(refused.item.clone().map(from_item).transpose()?))
            }
            _ => Err(failed(&error)),
        }
    }
}

/// Returns the key of an address's record. Users may type anything into the sign-in form, so it is stored as a
/// hash.
fn attempts_key(email: &str) -> Item {
    key(format!("ATTEMPTS#{}", sha256(&folded(email))), "ATTEMPTS")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stores::dynamodb::stub::Stub;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_250);

    #[test]
    fn three_are_free_and_then_the_wait_doubles_up_to_five_minutes() {
        let waits: Vec<_> = (0..=14).map(wait_secs).collect();
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(wait_secs(u32::MAX), 300);
    }

    #[test]
    fn during_a_wait_nothing_changes_and_the_seconds_are_rounded_up() {
        let blocked = Attempts { count: 5, blocked_until: NOW.as_millis() + 1_001, expires_at: NOW.as_secs() + 9 };
        assert_eq!(attempt(Some(&blocked), NOW), Err(2));
        let later = Timestamp::from_millis(blocked.blocked_until);
        assert_eq!(attempt(Some(&blocked), later).unwrap().count, 6);
    }

    #[test]
    fn what_has_expired_is_forgotten_whether_or_not_it_is_still_there() {
        let expired = Attempts { count: 13, blocked_until: u64::MAX, expires_at: NOW.as_secs() };
        assert_eq!(attempt(Some(&expired), NOW), attempt(None, NOW));
    }

    #[tokio::test]
    async fn an_attempt_that_others_are_always_faster_than_has_to_wait() {
        let refused = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"no"}"#;
        let stub = Stub::start(vec![(400, refused)].leak()).await;
        let table = AdminsTable::new(stub.client.clone(), "admins");
        let refused = table.count_attempt("ada@example.com", NOW).await.unwrap_err();
        assert!(matches!(refused, SignInError::Wait(1)), "{refused}");
        assert_eq!(stub.answered(), TRIES as usize);
    }

    proptest! {
        #[test]
        fn attempts_that_never_wait_are_let_through_as_often_as_the_waits_allow(
            gaps in proptest::collection::vec(0u64..2_000, 1..200),
        ) {
            let (mut now, mut attempts, mut judged) = (NOW, None, 0u32);
            for gap in gaps {
                now = now.plus(Duration::from_millis(gap));
                if let Ok(after) = attempt(attempts.as_ref(), now) {
                    judged += 1;
                    attempts = Some(after);
                }
            }
            // The wait before each checked attempt has passed since the first one.
            let waited: u64 = (0..judged).map(wait_secs).sum();
            prop_assert!(NOW.plus(Duration::from_secs(waited)) <= now, "{judged} judged after {waited} s");
        }
    }
}
