//! Reading breadcrumbs: pages, filters, cursors, and malformed rows.

use super::*;

/// Writes breadcrumbs on nine days, ending yesterday, from eleven minutes before noon on: 41 a day, of which 21 are
/// in one minute. Returns noon of today.
async fn nine_days(stack: &Stack) -> Timestamp {
    let time = Time::new(0);
    let system = || i64::try_from(Clock::system().now().as_secs()).unwrap();
    let noon = system() / DAY * DAY + DAY / 2;
    for function in ["week", "other"] {
        let trail = trail(function, table(stack), &time);
        for (day, minute) in (1..=9).flat_map(|day| (0..11).map(move |minute| (day, minute))) {
            time.set(noon - day * DAY - i64::try_from(minute).unwrap() * 60 - system());
            logging_to(&trail, || {
                (0..if minute == 0 { 20 } else { 1 }).for_each(|number| logged(number + minute, number));
                tracing::warn!(code = "redis.gone", account.id = "initech", "Redis is unavailable");
            });
            trail.flush_all(PATIENT, time.now()).await;
        }
    }
    Timestamp::from_secs(noon.unsigned_abs())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_each_breadcrumb_of_a_week_exactly_once_and_newest_first() {
    let stack = Stack::builder().start().await;
    let now = nine_days(&stack).await;
    let all = read(&stack, &Filter::default(), 200, now).await;
    let mine: Vec<_> = all.into_iter().filter(|row| ["week", "other"].contains(&row.function.as_str())).collect();

    // The three earliest days are out of the range of a week.
    assert_eq!(mine.len(), 2 * 6 * 41);
    assert!(mine.is_sorted_by(|newer, older| newer.first_at / 60_000 >= older.first_at / 60_000));

    let filters = [
        of("week"),
        Filter { severity: Some(Severity::Warning), ..of("week") },
        Filter { severity: Some(Severity::Error), account: Some("acme".to_owned()), ..of("other") },
        Filter { code: Some("provider.cut".to_owned()), ..of("week") },
        Filter { account: Some("initech".to_owned()), ..of("other") },
        Filter { account: Some("nobody".to_owned()), ..Filter::default() },
    ];
    for filter in filters {
        let is = |asked: &Option<String>, text: Option<&str>| asked.as_deref().is_none_or(|asked| Some(asked) == text);
        let mut expected: Vec<_> = mine
            .iter()
            .filter(|row| is(&filter.function, Some(&row.function)) && is(&filter.code, Some(&row.code)))
            .filter(|row| is(&filter.account, row.account.as_deref()))
            .filter(|row| filter.severity.is_none_or(|severity| severity == row.severity))
            .map(|row| format!("{row:?}"))
            .collect();
        expected.sort_unstable();
        for limit in [7, 200] {
            let mut found: Vec<_> =
                read(&stack, &filter, limit, now).await.iter().map(|row| format!("{row:?}")).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{filter:?} in pages of {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_none_are_passed_over_and_cursors_from_nowhere_do_no_harm() {
    let stack = Stack::builder().start().await;
    let time = Time::new(0);
    let trail = trail("garbled", table(&stack), &time);
    logging_to(&trail, || (0..DISTINCT).for_each(|number| logged(number, number)));
    trail.flush_all(PATIENT, time.now()).await;
    let rows = read(&stack, &of("garbled"), 50, time.now()).await;
    assert_eq!(rows.len(), DISTINCT);

    let items = stack.dynamodb().scan().table_name(TABLE).send().await.unwrap().items.unwrap();
    for (number, mut item) in items.into_iter().enumerate() {
        let key = match number % 4 {
            0 => "0000#nonsense",
            1 => "2359#0123456789abcdef",
            2 => "zzz",
            _ => "0001#0123456789abcdef",
        };
        item.insert("sk".to_owned(), AttributeValue::S(key.to_owned()));
        item.remove("count");
        item.insert("severity".to_owned(), AttributeValue::S("catastrophe".to_owned()));
        stack.dynamodb().put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }
    assert_eq!(read(&stack, &of("garbled"), 3, time.now()).await.len(), rows.len());

    for cursor in ["4294967295-ffffffffffffffff", "0-0000000000000000", "1-0000000000000000"] {
        let page = table(&stack).page(&of("garbled"), Some(&cursor.parse().unwrap()), 50, time.now()).await.unwrap();
        let is_after_all = cursor.starts_with('4');
        assert_eq!(page.breadcrumbs.len(), if is_after_all { rows.len() } else { 0 }, "{cursor}");
    }
}
