//! A stack on AWS, found by its outputs.

use super::*;

/// Returns CloudFormation's answer to DescribeStacks.
fn described(outputs: &[(&str, &str)]) -> String {
    let outputs: String = outputs
        .iter()
        .map(|(name, value)| {
            let value = value.replace('"', "&quot;");
            format!("<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>")
        })
        .collect();
    format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
         <Stacks><member><StackName>prod</StackName><CreationTime>2026-11-22T01:15:18Z</CreationTime>\
         <StackStatus>CREATE_COMPLETE</StackStatus><Outputs>{outputs}</Outputs></member></Stacks>\
         </DescribeStacksResult></DescribeStacksResponse>"
    )
}

/// Starts a CloudFormation that always gives this answer.
async fn cloudformation(status: &str, body: &str) -> Scripted {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n", body.len());
    Scripted::start(vec![(Duration::ZERO, format!("{head}connection: close\r\n\r\n{body}"))]).await
}

/// Runs `levee` against an AWS of which only CloudFormation and the given addresses exist.
async fn on_aws(cloudformation: &Scripted, command: &str, more: &[(&str, &str)]) -> Run {
    let mut variables = vec![
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL_CLOUDFORMATION", cloudformation.url.as_str()),
    ];
    variables.extend(more);
    run(&command.split(' ').collect::<Vec<_>>(), &variables, "").await
}

/// Starts a CloudFormation that describes the local stack as one on AWS.
async fn described_as(stack: &Stack, log_groups: &str) -> Scripted {
    let outputs = [
        ("AccountsTable", "Accounts"),
        ("AdminsTable", "Admins"),
        ("BreakersTable", "Breakers"),
        ("CatalogsTable", "Catalogs"),
        ("CspTable", "Csp"),
        ("UsageTable", "Usage"),
        ("KeyPeppersSecret", stack.local("key_peppers")),
        ("KeyEnvironment", "local"),
        ("LogGroups", log_groups),
        ("MonitorFunction", "prod-Monitor-4f8K"),
        ("TokenCapDefault", "7000000"),
    ];
    cloudformation("200 OK", &described(&outputs)).await
}

/// Starts a Lambda that always gives this answer, with one more header line.
async fn lambda(status: &str, more: &str, body: &str) -> Scripted {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{more}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    Scripted::start(vec![(Duration::ZERO, head + body)]).await
}

#[tokio::test]
async fn on_aws_a_stack_is_found_by_its_outputs() {
    let stack = Stack::builder().with_demo().start().await;
    let sam = std::fs::read(stack.state().join("sam-env.json")).unwrap();
    let sam: Value = serde_json::from_slice(&sam).unwrap();
    let board = |name: &str| sam["HealthApi"][name].as_str().unwrap().to_owned();
    let answers = described_as(&stack, &board("LOG_GROUPS")).await;
    let monitor = lambda("200 OK", "x-amz-executed-version: $LATEST", r#"{"published":1}"#).await;
    let logs = board("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS");
    let stores = [
        ("AWS_ENDPOINT_URL_DYNAMODB", stack.local("dynamodb_url")),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs.as_str()),
        ("AWS_ENDPOINT_URL_LAMBDA", monitor.url.as_str()),
        ("LEVEE_STACK", "prod"),
    ];

    let listed = on_aws(&answers, "account list --json", &stores).await.ok().json();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert!(answers.bodies()[0].contains("StackName=prod"), "{:?}", answers.bodies());
    on_aws(&answers, "account list --stack other", &stores).await.ok();
    assert!(answers.bodies()[1].contains("StackName=other"), "{:?}", answers.bodies());

    let made = on_aws(&answers, "key create acme/crm --name remote", &stores).await.ok();
    assert!(made.stderr.contains("is accepted at once"), "{made:?}");
    assert_eq!(monitor.bodies(), [json!({ "publish": [format!("key/{}", id_of(made.line()))] }).to_string()]);
    let answer = stack.call_with_key(made.line(), "/v1/messages", &messages("Hello")).await;
    assert_eq!(answer.status, 200);
    let id = answer.header("x-levee-request-id");
    let told = tests::wait_for(async || {
        let told = on_aws(&answers, &format!("why {id}"), &stores).await;
        (told.code == 0).then_some(told)
    })
    .await;
    assert!(told.stdout.contains(id_of(made.line())), "{told:?}");
    let nothing = on_aws(&answers, "why nobodyKnowsThisId=", &stores).await;
    nothing.fails(1, "older than --since");
}

#[tokio::test]
async fn on_aws_what_could_not_be_written_is_found_by_its_code_and_caps_are_the_stacks_own() {
    let stack = Stack::builder().env("DYNAMODB_TIMEOUT_MS", "500").start().await;
    let sam = std::fs::read(stack.state().join("sam-env.json")).unwrap();
    let sam: Value = serde_json::from_slice(&sam).unwrap();
    let board = |name: &str| sam["HealthApi"][name].as_str().unwrap().to_owned();
    let answers = described_as(&stack, &board("LOG_GROUPS")).await;
    let logs = board("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS");
    let stores = [
        ("AWS_ENDPOINT_URL_DYNAMODB", stack.local("dynamodb_url")),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs.as_str()),
    ];
    let shown = on_aws(&answers, "cap show acme --json", &stores).await.ok().json();
    assert_eq!(shown["cap"], json!({ "limit": 7_000_000, "mode": "warn" }));

    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
    let before = stack.month("acme").await.calls;
    for what in ["stop", "start"] {
        stack.control("POST", &format!("/dynamodb/{what}"), json!({})).await;
        if what == "stop" {
            assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
        }
    }
    let replayed = tests::wait_for(async || {
        let replayed = on_aws(&answers, "usage replay --since 1h --json", &stores).await.ok().json();
        (replayed["written"] == 1).then_some(replayed)
    })
    .await;
    assert_eq!(replayed["already_there"], 0);
    assert_eq!(stack.month("acme").await.calls, before + 1);
}

#[tokio::test]
async fn on_aws_what_environments_cannot_be_told_of_is_changed_and_takes_effect_within_60_s() {
    let stack = Stack::builder().start().await;
    let answers = described_as(&stack, "logs").await;
    let failed = r#"{"errorType":"Error","errorMessage":"Redis: no answer within the budget of 1s"}"#;
    let failing = lambda("200 OK", "x-amz-function-error: Unhandled", failed).await;
    let older = lambda("200 OK", "x-amz-executed-version: $LATEST", "null").await;
    let denied = r#"{"Message":"User: ada is not authorized to perform: lambda:InvokeFunction"}"#;
    let denied = lambda("403 Forbidden", "x-amzn-errortype: AccessDeniedException", denied).await;
    for (url, command, why) in [
        (failing.url.as_str(), "account suspend acme", "prod-Monitor-4f8K failed (Unhandled): Redis: no answer"),
        (older.url.as_str(), "account resume acme", "prod-Monitor-4f8K does not know how"),
        (denied.url.as_str(), "limit set acme account --limit 5", "Lambda: AccessDeniedException: User: ada is not"),
        ("http://127.0.0.1:1", "block add 203.0.113.9 --reason x", "Lambda: dispatch failure"),
    ] {
        let stores = [("AWS_ENDPOINT_URL_DYNAMODB", stack.local("dynamodb_url")), ("AWS_ENDPOINT_URL_LAMBDA", url)];
        let done = on_aws(&answers, &format!("{command} --json"), &stores).await.ok();
        assert_eq!(done.json()["effective"], "within 60 s", "{done:?}");
        let warning = "warning: The change is made. It takes effect within 60 s, not at once: ";
        assert!(done.stderr.starts_with(warning) && done.stderr.contains(why), "{done:?}");
        assert!(!done.stderr.contains("takes effect at once"), "{done:?}");
    }
    assert_eq!(failing.bodies(), [r#"{"publish":["account/acme"]}"#]);
    assert_eq!(levee(&stack, "limit show acme account --json").await.ok().json()["limit"], 5);
    assert_eq!(levee(&stack, "block list --json").await.ok().json()[0]["who"], "203.0.113.9/32");
}

#[tokio::test]
async fn on_aws_what_is_missing_is_named() {
    let error = |code: &str, message: &str| {
        format!(
            "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        )
    };
    let missing =
        cloudformation("400 Bad Request", &error("ValidationError", "Stack with id levee does not exist")).await;
    on_aws(&missing, "account list", &[])
        .await
        .fails(1, "there is no stack levee in eu-central-1; give its name with --stack");
    let denied = error("AccessDenied", "User: ada is not authorized to perform: cloudformation:DescribeStacks");
    let denied = cloudformation("403 Forbidden", &denied).await;
    on_aws(&denied, "account list", &[]).await.fails(1, "You may not do this with these credentials");
    let old = cloudformation("200 OK", &described(&[("AccountsTable", "Accounts")])).await;
    on_aws(&old, "account list", &[]).await.fails(1, "has no output AdminsTable");

    run(&["account", "list", "--region", "eu-central-1"], &[], "").await.fails(1, "there are no AWS credentials");
    let credentials = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    run(&["account", "list"], &credentials, "").await.fails(1, "give --region");
}
