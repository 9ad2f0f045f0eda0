//! Breadcrumbs: what trails write under storms and outages, and what is read of it.

#![expect(clippy::unwrap_used, reason = "all of this file is tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::FutureExt;
use futures_util::future::join_all;
use levee::breadcrumbs::{Breadcrumb, BreadcrumbTable, Filter, Severity, Trail};
use levee::clock::{Clock, Timestamp};
use levee::stores::aws::AwsConfig;
use levee::stores::dynamodb::{self, DynamoDbConfig};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;
use tests::{Stack, messages, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::layer::SubscriberExt;

/// The table's name in the stack.
const TABLE: &str = "Breadcrumbs";
/// What a write may take on a machine that does other things besides.
const PATIENT: Duration = Duration::from_secs(20);
const MINUTE: u64 = 60;
const DAY: i64 = 24 * 3600;

/// A clock that a test moves.
struct Time {
    folder: TempDir,
    clock: Clock,
}

impl Time {
    /// A clock that is `offset` seconds off.
    fn new(offset: i64) -> Self {
        let folder = TempDir::new().unwrap();
        let lookup =
            |name: &str| (name == "LEVEE_CLOCK_OFFSET_FILE").then(|| file(&folder).to_str().unwrap().to_owned());
        let clock = levee::config::from_lookup(lookup, Clock::read).unwrap();
        let time = Self { folder, clock };
        time.set(offset);
        time
    }

    fn set(&self, offset: i64) {
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, offset.to_string()).unwrap();
        std::fs::rename(&draft, file(&self.folder)).unwrap();
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("offset")
}

fn table(stack: &Stack) -> BreadcrumbTable {
    BreadcrumbTable::new(stack.dynamodb(), TABLE)
}

/// The trail of an environment of `function` that writes to `table`.
fn trail(function: &'static str, table: BreadcrumbTable, time: &Time) -> Trail {
    let trail = Trail::new(function);
    trail.write_to(table, time.clock.clone());
    trail
}

/// Does `work`, whose events go to `trail`.
fn logging_to<T>(trail: &Trail, work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(trail.layer()), work)
}

fn of(function: &str) -> Filter {
    Filter { function: Some(function.to_owned()), ..Filter::default() }
}

/// All breadcrumbs of `filter`, read in pages of `limit`.
async fn read(stack: &Stack, filter: &Filter, limit: usize, now: Timestamp) -> Vec<Breadcrumb> {
    let table = table(stack);
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = table.page(filter, after.as_ref(), limit, now).await.unwrap();
        assert!(page.breadcrumbs.len() <= limit);
        all.extend(page.breadcrumbs);
        let Some(next) = page.next else { break };
        // As it travels in a URL.
        after = Some(next.to_string().parse().unwrap());
    }
    all
}

/// What makes one of the storm's errors.
fn logged(error: usize, request: usize) {
    let code = ["provider.unreachable", "provider.timeout", "provider.cut", "usage.unwritten", "usage.lost"][error % 5];
    let account = ["acme", "globex"][error / 10 % 2];
    let provider = ["primary", "backup"][error / 20 % 2];
    let id = format!("r{request:06}xY");
    if (error / 5).is_multiple_of(2) {
        tracing::error!(code, request.id = id, account.id = account, provider, "no answer to {id} within {request} ms");
    } else {
        let error = std::io::Error::other(format!("os error {request}"));
        tracing::error!(code, request.id = id, account.id = account, provider, %error, "cut at byte {}", request * 7);
    }
}

const DISTINCT: usize = 40;
const ENVIRONMENTS: usize = 4;
const ERRORS: usize = 10_000;
const STORM_SECS: usize = 10;
const ERRORS_OF_A_REQUEST: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_errors_is_counted_to_the_last_one_in_few_rows() {
    let stack = Stack::builder().start().await;
    // Five seconds before a minute is over, so that the storm's ten seconds cross its end.
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

/// What the stand-in provider is told to do in a storm through the functions, each for calls of two accounts.
const FAILURES: [u16; 3] = [500, 401, 429];
/// Calls at a time.
const CALLS: usize = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failed_calls_is_counted_to_the_last_one_by_the_functions_themselves() {
    let limits = [
        "LIMIT_AI_PER_ADDRESS",
        "LIMIT_INTEGRATION_PER_MINUTE",
        "LIMIT_ACCOUNT_PER_MINUTE",
        "LIMIT_ACCOUNT_PER_DAY",
        "LIMIT_GLOBAL_PER_MINUTE",
    ];
    let builder = Stack::builder().environments("ai-proxy=4");
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
        // The client is told of the platform's own trouble with the provider's key in other words.
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
        // Writing may outlast the answers to the calls.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_names_its_first_request_and_the_latest_others_of_whom_wrote_last() {
    let stack = Stack::builder().start().await;
    let time = Time::new(0);
    let (one, other) = (trail("requests", table(&stack), &time), trail("requests", table(&stack), &time));
    let row = async || read(&stack, &of("requests"), 50, time.now()).await.pop().unwrap();
    // All of it is one row, as a minute begins here.
    time.set(i64::try_from(MINUTE - time.now().as_secs() % MINUTE).unwrap());
    let fail = async |trail: &Trail, requests: std::ops::Range<usize>| {
        requests.for_each(|request| logging_to(trail, || logged(0, request)));
        trail.flush_all(PATIENT, time.now()).await;
    };
    let ids = |requests: std::ops::Range<usize>| requests.map(|request| format!("r{request:06}xY")).collect::<Vec<_>>();

    fail(&one, 0..1).await;
    assert_eq!((row().await.request_id, row().await.more_request_ids), (ids(0..1).pop(), vec![]));
    fail(&other, 10..11).await;
    assert_eq!((row().await.request_id, row().await.more_request_ids), (ids(0..1).pop(), ids(10..11)));
    fail(&one, 1..3).await;
    assert_eq!(row().await.more_request_ids, ids(1..3));
    fail(&other, 11..20).await;
    assert_eq!((row().await.more_request_ids, row().await.count), (ids(16..20), 13));
}

#[rstest]
#[case("refuse")]
#[case("hang")]
#[case("throttle")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_dynamodb_loses_no_error_and_holds_nobody_up(#[case] mode: &str) {
    let stack = Stack::builder().start().await;
    let time = Time::new(0);
    let trail = trail("outage", table(&stack), &time);
    let error = |number: usize| logging_to(&trail, || logged(number, number));

    error(0);
    trail.flush(PATIENT, time.now()).await;
    assert_eq!(read(&stack, &of("outage"), 50, time.now()).await.len(), 1);

    stack.control("POST", "/dynamodb/stop", json!({ "mode": mode })).await;
    let budget = Duration::from_millis(200);
    for number in 0..DISTINCT {
        error(number);
    }
    let (began, now) = (Instant::now(), time.now());
    trail.flush(budget, now).await;
    // The client itself waits for ten seconds.
    assert!(began.elapsed() < budget * 20, "{:?}", began.elapsed());
    for number in 0..DISTINCT {
        error(number);
        assert!(trail.flush(PATIENT, now).now_or_never().is_some(), "a request waited");
    }

    stack.control("POST", "/dynamodb/start", json!({})).await;
    time.set(2 * 60);
    let total = |rows: &[Breadcrumb]| rows.iter().map(|row| row.count).sum::<u64>();
    // Writes that were left behind may still wait for answers that never come.
    let rows = wait_for(async || {
        trail.flush(PATIENT, time.now()).await;
        let rows = read(&stack, &of("outage"), 50, time.now()).await;
        (total(&rows) > 2 * DISTINCT as u64).then_some(rows)
    })
    .await;
    assert_eq!(total(&rows), 1 + 2 * DISTINCT as u64);
    let codes: BTreeMap<_, usize> = rows.iter().fold(BTreeMap::new(), |mut codes, row| {
        *codes.entry((&row.code, &row.account, &row.connection)).or_default() += 1;
        codes
    });
    assert_eq!(codes.len(), DISTINCT / 2);
}

/// A relay that passes everything on, but answers only when it is told to.
async fn relay(to: String) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(AtomicBool::new(true));
    let told = answers.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (to, answers) = (to.clone(), told.clone());
            tokio::spawn(async move {
                let server = TcpStream::connect(to).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut buffer = [0; 16 * 1024];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    if answers.load(Ordering::SeqCst) {
                        to_client.write_all(&buffer[..length]).await.unwrap();
                    }
                }
            });
        }
    });
    (url, answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_counts_once_though_others_write_in_between() {
    let stack = Stack::builder().start().await;
    let time = Time::new(0);
    let address = stack.local("dynamodb_url").trim_start_matches("http://").to_owned();
    let (url, answers) = relay(address).await;
    let credentials = Credentials::new("test", "test", None, None, "test");
    // It gives up waiting for the lost answer before the end, and then may write again.
    let relayed = dynamodb::client(&DynamoDbConfig {
        aws: AwsConfig { region: "us-east-1".to_owned(), credentials },
        endpoint_url: Some(url),
        timeout: PATIENT / 4,
    });
    let (one, other) = loop {
        let one = trail("lost", BreadcrumbTable::new(relayed.clone(), TABLE), &time);
        let other = trail("lost", table(&stack), &time);
        if marks_of(&stack, &[&one, &other], &time).await == 2 {
            break (one, other);
        }
    };
    let total = async || {
        let rows = read(&stack, &of("lost"), 50, time.now()).await;
        rows.iter().filter(|row| row.code != "mark").map(|row| row.count).sum::<u64>()
    };
    let wait_for_total = async |expected: u64| wait_for(async || (total().await == expected).then_some(())).await;

    answers.store(false, Ordering::SeqCst);
    logging_to(&one, || logged(0, 1));
    one.flush(Duration::from_millis(100), time.now()).await;
    wait_for_total(1).await;
    logging_to(&other, || logged(0, 2));
    other.flush(PATIENT, time.now()).await;
    wait_for_total(2).await;

    answers.store(true, Ordering::SeqCst);
    logging_to(&one, || logged(0, 3));
    one.flush_all(PATIENT, time.now()).await;
    other.flush_all(PATIENT, time.now()).await;
    assert_eq!(total().await, 3);
}

/// How many attributes of a row `trails` leave their marks in; the fewer, the less a repeated write is known again.
async fn marks_of(stack: &Stack, trails: &[&Trail], time: &Time) -> usize {
    let account = format!("{:?}", Instant::now());
    for trail in trails {
        logging_to(trail, || tracing::error!(code = "mark", account.id = account, "a mark"));
        trail.flush(PATIENT, time.now()).await;
    }
    let items = stack.dynamodb().scan().table_name(TABLE).send().await.unwrap().items.unwrap();
    let is_mark = |name: &&String| name.strip_prefix('w').is_some_and(|slot| slot.parse::<u32>().is_ok());
    let rows = items.iter().filter(|item| item.get("code") == Some(&AttributeValue::S("mark".to_owned())));
    rows.map(|row| row.keys().filter(is_mark).count()).max().unwrap_or_default()
}

/// Writes breadcrumbs on nine days, the last of them yesterday, from eleven minutes before noon on: 41 a day, 21 of them
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

    // The last three days are a week ago or longer.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_that_is_logged_gets_into_the_table() {
    let stack = Stack::builder().start().await;
    let time = Time::new(0);
    let trail = trail("secrets", table(&stack), &time);
    let secrets = [
        stack.api_key(),
        &stack.provider_key("primary"),
        "198.51.100.77",
        "2001:db8::4d",
        "jane.doe@example.com",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0b21teSJ9.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    ];
    logging_to(&trail, || {
        for secret in secrets {
            tracing::error!(code = "a", "refused with {secret}, for some reason");
            tracing::error!(code = secret, provider = secret, error = ?Some(secret), "refused");
            tracing::warn!(code = "b", error = %format!("https://a:{secret}@host/?q={secret}"), prompt = secret, "refused");
            tracing::error!(error = %json!({ "authorization": secret, "content": secret }), "refused");
        }
    });
    trail.flush_all(PATIENT, time.now()).await;

    assert!(read(&stack, &of("secrets"), 200, time.now()).await.len() > secrets.len());
    let items = format!("{:?}", stack.dynamodb().scan().table_name(TABLE).send().await.unwrap().items);
    for secret in secrets {
        let end = &secret[secret.len() - 8..];
        assert!(!items.contains(end), "'{end}' of '{secret}' is in {items}");
    }
}
