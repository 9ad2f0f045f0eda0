use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_796_000_000);

#[test]
fn ids_sort_by_time_and_differ() {
    let (first, second) = (new_id(NOW), new_id(Timestamp::from_millis(NOW.as_millis() + 1)));
    assert!(first < second && new_id(NOW) != new_id(NOW));
}
