//! Storms of errors: few rows, and every error is counted.

use super::*;

const ENVIRONMENTS: usize = 4;
const ERRORS: usize = 10_000;
const STORM_SECS: usize = 10;
const ERRORS_OF_A_REQUEST: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_errors_is_counted_to_the_last_one_in_few_rows() {
    let stack = Stack::builder().start().await;
    // Start five seconds before the end of a minute, so that the storm's ten seconds span two minutes.
    let second = Clock::system().now().as_secs() % MINUTE;
    let start = i64::try_from((MINUTE - 5 + MINUTE - second) % MINUTE).unwrap();
    let time = Arc::new(Time::new(start));
    let began = time.now();

    let trails: Vec<Trail> = (0..ENVIRONMENTS).map(|_| trail("storm", table(&stack), &time)).collect();
    let runtime = tokio::runtime::Handle::current();
    let second_begins = Arc::new(Barrier::new(ENVIRONMENTS));
    let threads: Vec<_> = trails
        .iter()
        .cloned()
        .enumerate()
        .map(|(environment, trail)| {
            let (time, runtime, second_begins) = (time.clone(), runtime.clone(), second_begins.clone());
            std::thread::spawn(move || {
                let requests = ERRORS / ENVIRONMENTS / ERRORS_OF_A_REQUEST;
                for request in 0..requests {
                    if request % (requests / STORM_SECS) == 0 && second_begins.wait().is_leader() {
                        time.set(start + (request * STORM_SECS / requests) as i64);
                    }
                    logging_to(&trail, || {
                        for error in 0..ERRORS_OF_A_REQUEST {
                            let number = request * ERRORS_OF_A_REQUEST + error + environment;
                            logged(number % DISTINCT, number);
                        }
                    });
                    runtime.block_on(trail.flush(PATIENT, time.now()));
                }
            })
        })
        .collect();
    tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| thread.join().unwrap())).await.unwrap();
    let ended = time.now();
    let during = read(&stack, &of("storm"), 200, ended).await;

    time.set(start + i64::try_from(STORM_SECS as u64 + MINUTE).unwrap());
    for trail in &trails {
        trail.flush(PATIENT, time.now()).await;
    }
    let rows = read(&stack, &of("storm"), 200, time.now()).await;

    let minutes = ended.as_secs() / MINUTE - began.as_secs() / MINUTE + 1;
    assert!(minutes >= 2, "the storm crossed no minute");
    assert!(rows.len() as u64 <= DISTINCT as u64 * minutes, "{} rows in {minutes} minutes", rows.len());
    let kinds = |rows: &[Breadcrumb]| -> BTreeSet<_> {
        rows.iter()
            .map(|row| (row.code.clone(), row.account.clone(), row.connection.clone(), row.message[..3].to_owned()))
            .collect()
    };
    assert_eq!(kinds(&rows).len(), DISTINCT);
    assert_eq!(kinds(&during), kinds(&rows), "each error is there while the storm lasts");
    assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), ERRORS as u64);
    for row in &rows {
        assert!(row.request_id.is_some() && row.first_at <= row.last_at, "{row:?}");
        assert_eq!(row.first_at / 60_000, row.last_at / 60_000, "{row:?}");
    }
}

/// Statuses that the stand-in provider answers with, each for calls of two accounts.
const FAILURES: [u16; 3] = [500, 401, 429];
/// Number of concurrent calls.
const CALLS: usize = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failed_calls_is_counted_to_the_last_one_by_the_functions_themselves() {
    let limits = [
        "LIMIT_AI_PER_ADDRESS",
        "LIMIT_INTEGRATION_PER_MINUTE",
        "LIMIT_ACCOUNT_PER_MINUTE",
        "LIMIT_ACCOUNT_PER_DAY",
        "LIMIT_ACCOUNT_IN_FLIGHT",
        "LIMIT_GLOBAL_PER_MINUTE",
    ];
    let builder = Stack::builder().with_demo().environments("ai-proxy=4").only_primary();
    let stack = limits.into_iter().fold(builder, |builder, limit| builder.env(limit, "100000")).start().await;
    let call = messages("Hello");
    let now = || Clock::system().now();
    let minute = || now().as_secs() / MINUTE;
    let foreign = stack.demo_keys().into_iter().find(|(name, _)| !name.starts_with(stack.account_id()));
    let keys = [stack.api_key().to_owned(), foreign.unwrap().1];

    let began = minute();
    for status in FAILURES {
        stack.reset("primary").await;
        stack.script("primary", json!({ "status": status })).await;
        let calls = (0..CALLS).map(|number| stack.call_with_key(&keys[number % 2], "/v1/messages", &call));
        let answers = join_all(calls).await;
        // A rejected platform key is reported to the client as a 502.
        let expected = if status == 401 { 502 } else { status };
        assert!(answers.iter().all(|answer| answer.status == expected), "{answers:?}");
    }
    let minutes = minute() - began + 1;

    let rows = async || -> Vec<Breadcrumb> {
        let rows = read(&stack, &of("ai-proxy"), 200, now().plus(Duration::from_secs(MINUTE))).await;
        rows.into_iter().filter(|row| row.code.starts_with("provider.")).collect()
    };
    stack.reset("primary").await;
    stack.advance(MINUTE + 1).await;
    let counted = wait_for(async || {
        let before = stack.invocations("ai-proxy").await;
        let is_idle = |now: Vec<u64>| now.iter().zip(&before).any(|(now, before)| now == before);
        while is_idle(stack.invocations("ai-proxy").await) {
            let answers = join_all((0..8).map(|_| stack.call("/v1/messages", &call))).await;
            assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        }
        // Rows may be written after the calls have been answered.
        let rows = rows().await;
        let total: u64 = rows.iter().map(|row| row.count).sum();
        (total >= (FAILURES.len() * CALLS) as u64).then_some(rows)
    })
    .await;

    assert_eq!(counted.iter().map(|row| row.count).sum::<u64>(), (FAILURES.len() * CALLS) as u64);
    let kinds: BTreeSet<_> = counted.iter().map(|row| (&row.code, &row.account)).collect();
    assert_eq!(kinds.len(), FAILURES.len() * keys.len(), "{kinds:?}");
    assert!(counted.len() as u64 <= kinds.len() as u64 * minutes, "{} rows in {minutes} minutes", counted.len());
    assert!(counted.iter().all(|row| row.request_id.is_some() && row.more_request_ids.len() <= 4), "{counted:?}");
}
