//! The local stack as a whole: its files, its errors at the start, and its clean end.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::time::Duration;

use levee::admins::{AdminsTable, Role};
use local::bindings::key_peppers;
use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Answer, Builder, Stack, signal_to, wait_for, workspace};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn builder() -> Builder {
    Stack::builder().template("tests/fixtures/template.yaml")
}

/// Returns the child processes of a stack, from /proc.
fn children(parent: u32) -> Vec<u32> {
    let ids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
        fields.nth(1) == Some(&parent.to_string())
    };
    ids.filter(is_child).collect()
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[rstest]
#[case::ctrl_c(Signal::INT, true)]
#[case::sigterm(Signal::TERM, true)]
#[case::even_sigkill(Signal::KILL, false)]
#[tokio::test]
async fn no_child_outlives_the_stack(#[case] signal: Signal, #[case] in_order: bool) {
    let mut stack = builder().environments("probe=2").start().await;
    // Keep one environment in a call.
    let hanging = stack.client().get(stack.url("/echo")).header("x-probe", "hang").send();
    let hanging = tokio::spawn(hanging);
    stack.busy_environment("probe").await;
    let children = children(stack.pid());
    assert_eq!(children.len(), 7, "six environments of five functions, and redis: {children:?}");

    assert_eq!(stack.stop_by(signal), in_order);
    let gone = async || children.iter().all(|pid| !alive(*pid)).then_some(());
    wait_for(gone).await;
    assert!(hanging.await.unwrap().is_err());
    // The state files are removed with the stack, except after SIGKILL.
    assert_eq!(stack.state().join("local.json").exists(), !in_order);
    assert_eq!(stack.state().join("sam-env.json").exists(), !in_order);
}

#[tokio::test]
async fn a_ready_stack_has_written_where_everything_is() {
    let stack = builder().start().await;
    for name in ["url", "redis_url", "dynamodb_url", "control_url", "proxy_secret"] {
        assert!(!stack.local(name).is_empty(), "{name}");
    }
    assert!(stack.output().contains(&format!("Levee is up at {}", stack.local("url"))));
    let sam = std::fs::read(stack.state().join("sam-env.json")).unwrap();
    let sam: Value = serde_json::from_slice(&sam).unwrap();
    assert_eq!(sam["Probe"]["GREETING"], "hello from us-east-1");
    assert_eq!(sam["Probe"]["REDIS_URL"], stack.local("redis_url"));
}

async fn refusal(builder: Builder) -> String {
    match builder.try_start().await {
        Ok(_) => panic!("it started"),
        Err(output) => output,
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    // Run it without the harness, which always uses a free port.
    let said = std::process::Command::new(tests::binaries().join("levee-local"))
        .args(["--template", "tests/fixtures/template.yaml", "--port", &port, "--bin-dir"])
        .arg(tests::binaries())
        .arg("--state-dir")
        .arg(tempfile::TempDir::new().unwrap().path())
        .current_dir(workspace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains(&format!("port {port} is taken")) && said.contains("--port"), "{said}");
}

#[tokio::test]
async fn a_missing_binary_is_named_with_how_to_build_it() {
    let template = std::fs::read_to_string(workspace().join("tests/fixtures/template.yaml")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), template.replace("tests/probe-stream", "tests/nowhere")).unwrap();
    let said = refusal(Stack::builder().template(file.path())).await;
    assert!(said.contains("nowhere is missing") || said.contains("of the function nowhere"), "{said}");
    assert!(said.contains("cargo build --bin nowhere"), "{said}");
}

#[tokio::test]
async fn a_mistake_in_the_template_is_named_by_file_and_line() {
    let template = std::fs::read_to_string(workspace().join("tests/fixtures/template.yaml")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), template.replace("!Sub \"rows-${Greeting}\"", "!Select [0, [a]]")).unwrap();
    let line = template.lines().position(|line| line.contains("rows-${Greeting}")).unwrap() + 1;
    let said = refusal(Stack::builder().template(file.path())).await;
    let expected = format!("{}:{line}: the intrinsic Select is not emulated", file.path().display());
    assert!(said.contains(&expected), "{said}");
}

#[tokio::test]
async fn an_unknown_function_in_environments_is_named() {
    let said = refusal(builder().environments("nobody=2")).await;
    assert!(said.contains("nobody") && said.contains("probe-stream"), "{said}");
}

#[tokio::test]
async fn a_provider_that_is_no_stand_in_is_named_with_those_that_are() {
    let said = refusal(builder().argument("--providers").argument("primary,third")).await;
    assert!(said.contains("\"third\" is none of primary, backup"), "{said}");
}

#[tokio::test]
async fn a_provider_that_is_left_out_is_unknown_to_the_functions_and_takes_scripts_all_the_same() {
    let stack = Stack::builder().only_primary().env("NOBODY_DECLARES_THIS", "1").start().await;
    let sam = std::fs::read(stack.state().join("sam-env.json")).unwrap();
    let sam: Value = serde_json::from_slice(&sam).unwrap();
    for function in ["AiProxy", "HealthApi"] {
        let providers: Value = serde_json::from_str(sam[function]["AI_PROVIDERS"].as_str().unwrap()).unwrap();
        let names: Vec<_> = providers.as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["primary"], "{function}");
        assert_eq!(sam[function]["NOBODY_DECLARES_THIS"], Value::Null, "{function}");
    }
    stack.script("backup", json!({ "status": 500 })).await;
    assert_eq!(stack.provider("backup").await["script"]["status"], 500);
}

#[tokio::test]
async fn the_stack_ends_with_an_error_when_redis_dies_by_itself() {
    let mut stack = builder().start().await;
    let redis = children(stack.pid()).into_iter().find(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.contains("redis") || name.contains("valkey"))
    });
    signal_to(redis.unwrap(), Signal::KILL);
    wait_for(async || stack.output().contains("Redis is gone").then_some(())).await;
    wait_for(async || (!alive(stack.pid())).then_some(())).await;
    // Send the signal only to read the exit code; the process has already ended.
    assert!(!stack.stop_by(Signal::TERM), "it ended as if all were well");
}

#[tokio::test]
async fn a_function_that_dies_while_starting_is_named_with_its_last_words() {
    let said = refusal(Stack::builder().env("LIMIT_ACCOUNT_PER_MINUTE", "many")).await;
    // The output contains the function's own lines, with a prefix, and then levee-local's reason. Several functions
    // read the limits, and any of them may fail first.
    let (_, why) = said.split_once("levee-local: ").unwrap();
    let (function, why) = why.split_once("/0 did not start").unwrap();
    assert!(["authorizer", "customer-api", "health-api"].contains(&function), "{said}");
    assert!(why.contains("LIMIT_ACCOUNT_PER_MINUTE"), "{said}");
}

#[tokio::test]
async fn a_given_redis_that_does_not_answer_is_told_and_the_stack_serves_without_it() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [nobody, silent.local_addr().unwrap()] {
        let url = format!("redis://:a-password@{address}/1");
        let stack = builder().env("REDIS_URL", &url).start().await;
        let told = format!("REDIS_URL: no Redis answers at {address}");
        wait_for(async || stack.output().contains(&told).then_some(())).await;
        let lines = stack.output();
        let lines: Vec<_> = lines.lines().filter(|line| line.contains("no Redis answers")).collect();
        assert!(matches!(lines[..], [line] if !line.contains("a-password")), "{lines:?}");
        assert_eq!(stack.client().get(stack.url("/echo")).send().await.unwrap().status(), 200);
    }
}

async fn ping(address: &str) -> Result<String, std::io::ErrorKind> {
    let mut socket = TcpStream::connect(address).await.map_err(|error| error.kind())?;
    socket.write_all(b"PING\r\n").await.map_err(|error| error.kind())?;
    let mut reply = [0; 5];
    match tokio::time::timeout(Duration::from_millis(300), socket.read_exact(&mut reply)).await {
        Ok(read) => read.map(|_| String::from_utf8_lossy(&reply).into_owned()).map_err(|error| error.kind()),
        Err(_) => Err(std::io::ErrorKind::TimedOut),
    }
}

#[tokio::test]
async fn redis_can_be_stopped_started_paused_and_resumed() {
    let stack = builder().start().await;
    let address = stack.local("redis_url").strip_prefix("redis://").unwrap();
    let act = async |action: &str| {
        let answer = stack.control("POST", &format!("/redis/{action}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        ping(address).await
    };
    assert_eq!(ping(address).await.as_deref(), Ok("+PONG"));
    assert_eq!(act("pause").await, Err(std::io::ErrorKind::TimedOut));
    assert_eq!(act("resume").await.as_deref(), Ok("+PONG"));
    assert_eq!(act("stop").await, Err(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(act("start").await.as_deref(), Ok("+PONG"));
    // A paused server can be stopped too.
    assert_eq!(act("pause").await, Err(std::io::ErrorKind::TimedOut));
    assert_eq!(act("stop").await, Err(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(act("start").await.as_deref(), Ok("+PONG"));
}

#[tokio::test]
async fn a_redis_that_is_not_the_stacks_own_is_left_alone() {
    let owner = builder().start().await;
    let guest = builder().env("REDIS_URL", owner.local("redis_url")).start().await;
    assert_eq!(guest.local("redis_url"), owner.local("redis_url"));
    assert!(!guest.output().contains("no Redis answers"), "{}", guest.output());
    let answer = guest.control("POST", "/redis/stop", Value::Null).await;
    assert_eq!(answer.status, 409);
    assert!(answer.json()["error"].as_str().unwrap().contains("REDIS_URL"), "{answer:?}");
}

/// Calls ListTables of the emulator, over plain HTTP.
async fn tables(stack: &Stack) -> Result<Answer, reqwest::Error> {
    let request = stack.client().post(stack.local("dynamodb_url")).timeout(Duration::from_millis(300));
    let request = request.header("x-amz-target", "DynamoDB_20120810.ListTables").body("{}");
    let request = request
        .header("content-type", "application/x-amz-json-1.0")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=0")
        .header("x-amz-date", "20260101T000000Z");
    Ok(Answer::read(request.send().await?).await)
}

#[tokio::test]
async fn dynamodb_has_the_templates_tables_and_can_refuse_hang_and_throttle() {
    let stack = builder().start().await;
    let set = async |action: &str, body: Value| {
        assert_eq!(stack.control("POST", &format!("/dynamodb/{action}"), body).await.status, 200);
    };
    assert_eq!(tables(&stack).await.unwrap().json(), json!({ "TableNames": ["rows-hello"] }));
    set("stop", Value::Null).await;
    assert!(tables(&stack).await.unwrap_err().is_connect());
    set("stop", json!({ "mode": "hang" })).await;
    assert!(tables(&stack).await.unwrap_err().is_timeout());
    set("stop", json!({ "mode": "throttle" })).await;
    let throttled = tables(&stack).await.unwrap();
    assert_eq!(throttled.status, 400);
    assert!(throttled.text().contains("ProvisionedThroughputExceededException"));
    set("start", Value::Null).await;
    assert_eq!(tables(&stack).await.unwrap().json(), json!({ "TableNames": ["rows-hello"] }));
}

#[tokio::test]
async fn the_functions_clock_moves_by_whole_steps() {
    let stack = builder().start().await;
    let file = stack.state().join("clock-offset");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "0");
    stack.advance(90).await;
    stack.advance(10).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "100");
}

#[tokio::test]
async fn what_cannot_be_controlled_is_refused_with_a_reason() {
    let stack = builder().start().await;
    for (path, body, status, reason) in [
        ("/redis/explode", Value::Null, 404, "stop, start, pause or resume"),
        ("/functions/nobody/0/kill", Value::Null, 404, "nobody"),
        ("/functions/probe/7/kill", Value::Null, 404, "environment 7"),
        ("/monitor/run", Value::Null, 501, "no function named monitor"),
        ("/time/advance", json!({ "minutes": 1 }), 400, "minutes"),
        ("/dynamodb/stop", json!({ "mode": "melt" }), 400, "melt"),
    ] {
        let answer = stack.control("POST", path, body).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.json()["error"].as_str().unwrap().contains(reason), "{path}: {answer:?}");
    }
    for (faults, reason) in [(json!({ "lost_ratio": 2 }), "from 0 to 1"), (json!({ "lost": 1 }), "lost_ratio")] {
        let answer = stack.control("PUT", "/dynamodb/faults", faults).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.json()["error"].as_str().unwrap().contains(reason), "{answer:?}");
    }
}

#[tokio::test]
async fn it_has_an_operator_and_a_viewer_and_tells_where_they_are() {
    let stack = Stack::builder().start().await;
    let local: Value = serde_json::from_slice(&std::fs::read(stack.state().join("local.json")).unwrap()).unwrap();
    assert_eq!((stack.local("key_environment"), stack.local("key_peppers")), ("local", &*key_peppers()));
    let admins = AdminsTable::new(stack.dynamodb(), local["tables"]["Admins"].as_str().unwrap());
    for ((email, password), role) in [(stack.admin(), Role::Operator), (stack.viewer(), Role::Viewer)] {
        let (_, session) = admins.sign_in(email, password, stack.now()).await.unwrap();
        assert_eq!(session.role, role, "{email}");
    }
    let told = format!("{}/admin for {}, {}", stack.local("url"), stack.admin().0, stack.admin().1);
    wait_for(async || stack.output().contains(&told).then_some(())).await;
}
