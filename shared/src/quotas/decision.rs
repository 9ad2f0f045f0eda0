//! Decisions of admins about requests, and the grants that follow. Start reading at [`decide`]; what it writes is decided
//! by pure functions.

use super::request::{Author, EventKind, GrantState, QuotaRequest, RequestState};
use super::table::{QuotaTableError, RequestsTable};
use crate::accounts::grants::MOST_GRANTS;
use crate::accounts::{AccountsTable, GrantSubject, Grants};
use crate::clock::Timestamp;
use crate::limits::Grant;

/// Largest number of grants that are kept, those that have ended included.
const MOST_KEPT: usize = 64;

/// Decision of an admin about a waiting request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminDecision {
    /// Grants a limit, at most the requested one, until an end (Unix seconds).
    Approve {
        /// Granted limit; `None` for the requested one.
        limit: Option<u64>,
        /// End of the grant; `None` for the requested end.
        until: Option<u64>,
        /// Public note; empty for none.
        note: String,
    },
    /// Denies the request, with a public reason.
    Deny {
        /// Public reason.
        reason: String,
    },
    /// Takes the grant back, with a public reason.
    Revoke {
        /// Public reason.
        reason: String,
    },
}

/// Errors of decisions about a stored request.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// There is no such request.
    #[error("there is no such request")]
    NotFound,
    /// The request's state does not allow the decision; the message names the state.
    #[error("{0}")]
    NotPossible(String),
    /// The request or the account's grants changed meanwhile.
    #[error("the request was changed by somebody else meanwhile")]
    Changed,
    /// The table could not be read or written.
    #[error(transparent)]
    Table(#[from] QuotaTableError),
}

/// Applies an admin's decision to the request `id` of `account`. Returns the request, and true if the account's grants have
/// changed and are to be published.
///
/// # Errors
/// [`DecisionError`]; nothing was changed.
pub async fn decide(
    (accounts, requests): (&AccountsTable, &RequestsTable),
    (account, id): (&str, &str),
    decision: &AdminDecision,
    admin: &str,
    now: Timestamp,
) -> Result<(QuotaRequest, bool), DecisionError> {
    // Check the decision before anything is written.
    let request = requests.request(account, id).await?.ok_or(DecisionError::NotFound)?;
    let grants = accounts.grants(account).await?;
    let decided = decided(&request, decision, admin, now).map_err(DecisionError::NotPossible)?;
    // Add the grant, or end it; a denial leaves the grants as they are.
    let subject = request.subject();
    let grant = match decision {
        AdminDecision::Deny { .. } => None,
        AdminDecision::Approve { .. } => decided.grant(),
        // A later request may have replaced this one's grant, which is then over already.
        AdminDecision::Revoke { .. } => {
            let own = grants.grants.get(&subject).filter(|grant| grant.request == request.id);
            own.map(|grant| Grant { until: Some(now.as_secs()), ..grant.clone() })
        }
    };
    let changed = grant.map(|grant| with_grant(&grants, &subject, grant, now)).transpose();
    let changed = changed.map_err(DecisionError::NotPossible)?;
    // Write the request and the grants, all or nothing.
    if !requests.replace(&decided, changed.as_ref().map(|changed| (&grants, changed))).await? {
        return Err(DecisionError::Changed);
    }
    Ok((decided, changed.is_some()))
}

/// Returns the request after an admin's decision, or the sentence that says why it is not possible.
fn decided(
    request: &QuotaRequest,
    decision: &AdminDecision,
    admin: &str,
    now: Timestamp,
) -> Result<QuotaRequest, String> {
    let by = Author::Admin(admin.to_owned());
    let state = request.state.name();
    match decision {
        AdminDecision::Approve { .. } | AdminDecision::Deny { .. } if request.state != RequestState::Pending => {
            Err(format!("The request is {state}: only a pending one can be decided."))
        }
        AdminDecision::Deny { reason } => Ok(request.changed(RequestState::Denied, EventKind::Denied, by, reason, now)),
        AdminDecision::Approve { limit, until, note } => {
            // Check the granted limit and its end.
            let limit = limit.unwrap_or(request.limit);
            let until = until.or(request.until);
            if limit <= request.evidence.present || limit > request.limit {
                let (present, most) = (request.evidence.present, request.limit);
                return Err(format!(
                    "The granted limit is above the present {present}, and at most the requested {most}."
                ));
            }
            if until.is_some_and(|until| until <= now.as_secs()) {
                return Err("The end of the grant is in the past: give another one.".to_owned());
            }
            // Less than was requested is a part.
            let (state, kind) = match limit == request.limit {
                true => (RequestState::Approved, EventKind::Approved),
                false => (RequestState::PartiallyApproved, EventKind::PartiallyApproved),
            };
            let note = if note.is_empty() { "Granted by the platform." } else { note };
            let changed = request.changed(state, kind, by, note, now);
            Ok(QuotaRequest { granted: Some(limit), granted_until: until, ..changed })
        }
        AdminDecision::Revoke { reason } => match request.grant_state(now) {
            Some(GrantState::Active) => Ok(request.changed(RequestState::Revoked, EventKind::Revoked, by, reason, now)),
            _ => Err(format!("The request is {state} and has no grant in force.")),
        },
    }
}

/// Returns the grants with `grant` for `subject`. Grants that have ended stay for a while, because the time of the last
/// one decides about the next.
pub(super) fn with_grant(
    grants: &Grants,
    subject: &GrantSubject,
    grant: Grant,
    now: Timestamp,
) -> Result<Grants, String> {
    let mut changed = grants.clone();
    changed.version = (grants.version + 1).max(now.as_millis());
    changed.grants.insert(subject.clone(), grant);
    if changed.live(now).count() > MOST_GRANTS {
        return Err(format!("The account has {MOST_GRANTS} grants in force: an admin has to make room first."));
    }
    // Make room: of those that have ended, drop the oldest.
    while changed.grants.len() > MOST_KEPT {
        let ended = changed.grants.iter().filter(|(_, grant)| !grant.is_live(now));
        let Some(oldest) = ended.min_by_key(|(_, grant)| grant.granted_at).map(|(subject, _)| subject.clone()) else {
            break;
        };
        changed.grants.remove(&oldest);
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LimitSource;
    use crate::quotas::{Evidence, Judgement, QuotaAsk, Rule};

    const NOW: Timestamp = Timestamp::from_secs(1_796_000_000);

    fn subject(policy: &str) -> GrantSubject {
        GrantSubject { integration: None, policy: policy.to_owned() }
    }

    fn grant(limit: u64, until: Option<u64>) -> Grant {
        Grant { limit, until, granted_at: NOW.as_secs() - 5, request: "qr-1".to_owned() }
    }

    /// Returns a waiting request for 1,200 in place of 600.
    fn waiting(until: Option<u64>) -> QuotaRequest {
        let evidence = Evidence {
            account_created_at: None,
            present: 600,
            source: LimitSource::Default,
            standard: 600,
            days_observed: 0,
            windows: 0,
            demand_p95: None,
            days_refused: 0,
            used_today: 0,
            refused_today: 0,
            last_granted_at: None,
            pool: None,
            would_refuse: None,
        };
        let judgement = Judgement { granted_until: None, rule: Rule::Age, explanation: "An admin decides.".to_owned() };
        let ask = QuotaAsk {
            policy: "account".to_owned(),
            limit: 1_200,
            reason: "Launch".to_owned(),
            until,
            refused_request_id: None,
        };
        QuotaRequest::new("qr-1".to_owned(), "acme", subject("account"), ask, "k", (evidence, judgement), NOW)
    }

    fn approve(limit: Option<u64>, until: Option<u64>) -> AdminDecision {
        AdminDecision::Approve { limit, until, note: String::new() }
    }

    #[test]
    fn a_request_is_approved_in_full_or_in_part_within_its_bounds() {
        let later = NOW.as_secs() + 60;
        for (limit, until, expected) in [
            (None, None, Some((RequestState::Approved, 1_200, None))),
            (Some(1_200), Some(later), Some((RequestState::Approved, 1_200, Some(later)))),
            (Some(900), None, Some((RequestState::PartiallyApproved, 900, None))),
            (Some(601), None, Some((RequestState::PartiallyApproved, 601, None))),
            (Some(600), None, None),
            (Some(1_201), None, None),
            (None, Some(NOW.as_secs()), None),
        ] {
            let decided = decided(&waiting(None), &approve(limit, until), "ada@example.com", NOW);
            let told = decided.ok().map(|it| (it.state, it.granted.unwrap(), it.granted_until));
            assert_eq!(told, expected, "{limit:?} {until:?}");
        }
        // The requested end holds unless the admin gives another one, and one that has passed has to be replaced.
        let decide = |until| decided(&waiting(Some(NOW.as_secs())), &approve(None, until), "ada", NOW);
        assert!(decide(None).is_err());
        assert_eq!(decide(Some(later)).unwrap().grant().unwrap().until, Some(later));
    }

    #[test]
    fn a_decision_is_made_once_and_a_grant_is_taken_back_while_it_is_in_force() {
        let deny = AdminDecision::Deny { reason: "Not now.".to_owned() };
        let revoke = AdminDecision::Revoke { reason: "Abuse.".to_owned() };
        let denied = decided(&waiting(None), &deny, "ada", NOW).unwrap();
        assert_eq!(
            (denied.state, denied.explanation.as_str(), denied.grant()),
            (RequestState::Denied, "Not now.", None)
        );
        assert!(decided(&waiting(None), &revoke, "ada", NOW).is_err(), "nothing was granted");
        let approved = decided(&waiting(None), &approve(None, Some(NOW.as_secs() + 60)), "ada", NOW).unwrap();
        for decision in [&deny, &approve(None, None)] {
            assert!(
                decided(&approved, decision, "ada", NOW).unwrap_err().contains("only a pending one"),
                "{decision:?}"
            );
        }
        let revoked = decided(&approved, &revoke, "ada", NOW).unwrap();
        assert_eq!((revoked.grant_state(NOW), revoked.revision), (Some(GrantState::Revoked), 3));
        assert!(decided(&revoked, &revoke, "ada", NOW).is_err());
        let later = Timestamp::from_secs(NOW.as_secs() + 60);
        assert!(decided(&approved, &revoke, "ada", later).is_err(), "it has ended");
    }

    #[test]
    fn an_account_has_a_bounded_number_of_grants_and_those_that_ended_make_room() {
        let over = Some(NOW.as_secs());
        let mut grants = Grants::default();
        for number in 0..MOST_KEPT {
            let until = if number < MOST_GRANTS - 1 { None } else { over };
            let mut ended = grant(9, until);
            ended.granted_at += number as u64;
            grants.grants.insert(subject(&format!("p{number}")), ended);
        }
        let added = with_grant(&grants, &subject("new"), grant(9, None), NOW).unwrap();
        assert_eq!((added.grants.len(), added.live(NOW).count()), (MOST_KEPT, MOST_GRANTS));
        let oldest = subject(&format!("p{}", MOST_GRANTS - 1));
        assert!(!added.grants.contains_key(&oldest), "the oldest that ended is dropped");
        assert!(added.version >= NOW.as_millis());
        // There is no room for one more that is in force, but for a change of one that is.
        assert!(with_grant(&added, &subject("more"), grant(9, None), NOW).is_err());
        assert!(with_grant(&added, &subject("new"), grant(10, None), NOW).is_ok());
    }
}
