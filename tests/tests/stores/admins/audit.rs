//! The audit log.

use super::*;

fn entry(at: Timestamp, target: &str) -> AuditEntry {
    AuditEntry {
        at: at.as_millis(),
        actor: ADA.to_owned(),
        action: "account.suspend".to_owned(),
        target: target.to_owned(),
        detail: String::new(),
        request_id: None,
    }
}

#[tokio::test]
async fn the_audit_log_is_newest_first_across_months_and_as_long_as_asked() {
    let admins = Admins::none().await;
    let ago = |secs: u64| Timestamp::from_millis(admins.now.as_millis() - secs * 1000);
    assert_eq!(admins.audit_log(10, admins.now).await.unwrap(), []);
    // One entry every ten days over the retention time, some at the same moment, written in no particular order.
    let mut entries: Vec<_> =
        (0..40).map(|number| entry(ago(number * 10 * DAY), &format!("of day {number}"))).collect();
    let told = AuditEntry {
        detail: "It sent too much.".to_owned(),
        request_id: Some("I35jLf7JA2CvdI=".to_owned()),
        ..entry(ago(1), "globex")
    };
    entries.insert(1, told);
    for entry in entries.iter().rev().step_by(2).chain(entries.iter().rev().skip(1).step_by(2)) {
        admins.audit(entry).await.unwrap();
    }
    // Older entries are not shown, even if they still exist.
    admins.audit(&entry(ago(401 * DAY), "too old")).await.unwrap();

    assert_eq!(admins.audit_log(100, admins.now).await.unwrap(), entries);
    for limit in [0, 1, 2, 7, 40] {
        assert_eq!(admins.audit_log(limit, admins.now).await.unwrap(), entries[..limit], "{limit}");
    }
}

#[tokio::test]
async fn entries_of_one_millisecond_are_all_kept() {
    let admins = Admins::none().await;
    let write = |number: usize| {
        let entry = entry(admins.now, &number.to_string());
        let table = &admins.table;
        async move { table.audit(&entry).await }
    };
    assert!(join_all((0..20).map(write)).await.into_iter().all(|written| written.is_ok()));
    let mut targets: Vec<usize> =
        admins.audit_log(100, admins.now).await.unwrap().iter().map(|entry| entry.target.parse().unwrap()).collect();
    targets.sort_unstable();
    assert_eq!(targets, (0..20).collect::<Vec<_>>());
}
