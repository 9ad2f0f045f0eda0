use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_796_000_000);

fn subject(policy: &str) -> GrantSubject {
    GrantSubject { integration: None, policy: policy.to_owned() }
}

fn grant(limit: u64, until: Option<u64>) -> Grant {
    Grant { limit, until, granted_at: NOW.as_secs() - 5, request: "qr-1".to_owned() }
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
    assert!(!added.grants.contains_key(&subject(&format!("p{}", MOST_GRANTS - 1))), "the oldest that ended is dropped");
    assert!(added.version >= NOW.as_millis());
    // There is no room for one more that is in force, but for a change of one that is.
    assert!(with_grant(&added, &subject("more"), grant(9, None), NOW).is_err());
    assert!(with_grant(&added, &subject("new"), grant(10, None), NOW).is_ok());
}

#[test]
fn ids_sort_by_time_and_differ() {
    let (first, second) = (new_id(NOW), new_id(Timestamp::from_millis(NOW.as_millis() + 1)));
    assert!(first < second && new_id(NOW) != new_id(NOW));
}
