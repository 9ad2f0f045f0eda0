//! Writing breadcrumbs: several requests with one error, outages, lost answers, and no secrets.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_names_its_first_request_and_the_latest_others_of_whom_wrote_last() {
    let stack = Stack::builder().start().await;
    let time = Time::new(0);
    let (one, other) = (trail("requests", table(&stack), &time), trail("requests", table(&stack), &time));
    let row = async || read(&stack, &of("requests"), 50, time.now()).await.pop().unwrap();
    // Start at the beginning of a minute, so that everything is in one row.
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
    // The client's own time-out is ten seconds.
    assert!(began.elapsed() < budget * 20, "{:?}", began.elapsed());
    for number in 0..DISTINCT {
        error(number);
        assert!(trail.flush(PATIENT, now).now_or_never().is_some(), "a request waited");
    }

    stack.control("POST", "/dynamodb/start", json!({})).await;
    time.set(2 * 60);
    let total = |rows: &[Breadcrumb]| rows.iter().map(|row| row.count).sum::<u64>();
    // Abandoned writes may still wait for answers that never come.
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

/// Starts a relay that forwards everything, and passes answers on only while the flag is set.
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
    // The time-out for the lost answer is shorter than the test, after which the write is repeated.
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

/// Returns the number of row attributes in which `trails` leave their marks. With fewer of them, repeated writes are
/// detected less often.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_that_is_logged_gets_into_the_table() {
    let stack = Stack::builder().start().await;
    let time = Time::new(0);
    let trail = trail("secrets", table(&stack), &time);
    let secrets = [
        stack.api_key(),
        &Stack::provider_key("primary"),
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

#[tokio::test]
async fn a_request_that_outlasts_its_function_leaves_a_row_before_it_is_cut_off() {
    // Give the board's function a time-out of one second, which a stopped Redis uses up.
    let template = std::fs::read_to_string(tests::workspace().join("template.yaml")).unwrap();
    let hasty = template.replace("      Timeout: 15\n", "      Timeout: 1\n");
    assert_ne!(hasty, template);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("template.yaml");
    std::fs::write(&file, hasty).unwrap();
    let stack = Stack::builder().template(&file).env("REDIS_BUDGET_MS", "1000").start().await;
    stack.control("POST", "/redis/pause", serde_json::Value::Null).await;

    let answer = stack.get("/health").await;

    stack.control("POST", "/redis/resume", serde_json::Value::Null).await;
    let rows = stack.rows().await;
    let is_written = rows.iter().any(|row| row.contains("\"deadline.near\"") && row.contains("\"health-api\""));
    assert!(is_written, "{answer:?}\n{rows:#?}");
}
