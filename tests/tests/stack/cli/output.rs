//! Output for people and programs: lists, stories, errors and help.

use super::*;

#[tokio::test]
async fn nothing_that_is_stored_reaches_the_terminal_as_a_command_or_unseen() {
    let stack = Stack::builder().start().await;
    let accounts = levee::accounts::AccountsTable::new(stack.dynamodb(), "Accounts");
    let odd = levee::accounts::Account::new("odd", "\u{1b}[2J\u{202e}ecila\u{200b}", stack.now());
    accounts.put_account(&odd).await.unwrap();
    let wild = |text: &str| text.contains(['\u{1b}', '\u{202e}', '\u{200b}']);
    for command in ["account list", "account show odd", "account delete odd", "account set odd --name Plain", "audit"] {
        let run = levee(&stack, command).await;
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("\u{fffd}[2J\u{fffd}ecila\u{fffd}"), "{command}: {run:?}");
        assert!(!wild(&said), "{command}: {run:?}");
    }
}

#[tokio::test]
async fn the_story_of_a_request_is_found_by_its_id() {
    let stack = Stack::builder().start().await;
    let answer = stack.call("/v1/messages", &messages("Hello")).await;
    let id = answer.header("x-levee-request-id");
    // The proxy logs the request once all of it is over, possibly after the client has its answer.
    let told = tests::wait_for(async || {
        let told = levee_with(&stack, "why", &[id]).await.ok();
        told.stdout.contains("\nanswer ").then_some(told)
    })
    .await;
    assert!(told.stdout.contains(id) && told.stdout.contains("localDemoKey"), "{told:?}");
    let sentences = levee_with(&stack, "why --json", &[id]).await.ok().json();
    let labels: Vec<_> = sentences.as_array().unwrap().iter().map(|it| it["label"].as_str().unwrap()).collect();
    assert!(labels.contains(&"verdict") && labels.contains(&"provider"), "{labels:?}");
    let line = format!("{}  {}", "verdict ", "allowed");
    assert!(told.stdout.lines().any(|it| it == line), "{told:?}");

    levee(&stack, "why nobodyKnowsThisId=").await.fails(1, "nothing is logged about nobodyKnowsThisId=");
    levee_with(&stack, "why", &["\" or true"]).await.fails(2, "not a request's id");
}

#[tokio::test]
async fn lists_are_whole_however_long_and_empty_ones_are_lists_too() {
    let stack = Stack::builder().start().await;
    let accounts = levee::accounts::AccountsTable::new(stack.dynamodb(), "Accounts");
    for number in 0..250 {
        let (id, name) = (format!("account-{number:03}"), format!("Account {number}"));
        let account = levee::accounts::Account::new(&id, &name, stack.now());
        accounts.put_account(&account).await.unwrap();
    }
    let listed = levee(&stack, "account list --json").await.ok().json();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    let mut expected: Vec<_> = (0..250).map(|number| format!("account-{number:03}")).collect();
    expected.push("acme".to_owned());
    assert_eq!(ids, expected);
    let text = levee(&stack, "account list").await.ok().stdout;
    assert_eq!(text.lines().count(), 252);
    assert_eq!(text.lines().next(), Some("ID           NAME            STATUS  CREATED"));

    assert_eq!(levee(&stack, "integration list account-000 --json").await.ok().json(), json!([]));
    let none = levee(&stack, "integration list account-000").await.ok();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "account account-000 has no integrations\n"));
    levee(&stack, "key list nobody").await.fails(1, "there is no account nobody");
}

#[tokio::test]
async fn what_goes_wrong_says_what_to_do_and_ends_with_its_code() {
    let stack = Stack::builder().start().await;
    for (command, code, text) in [
        ("account show nobody", 1, "levee account list"),
        ("account create acme --name Acme", 1, "there is an account acme already"),
        ("account create Acme --name Acme", 2, "lower-case letters"),
        ("account create nameless", 2, "--name"),
        ("integration create nobody/crm --name CRM", 1, "levee account create nobody"),
        ("integration create acme/crm --name CRM", 1, "there is an integration acme/crm already"),
        ("integration show acme", 2, "ACCOUNT/INTEGRATION"),
        ("key create acme/nothing --name x", 1, "levee integration list acme"),
        ("key create acme/crm --name x --scopes everything", 2, "the scopes are"),
        ("key create acme/crm --name x --expires soon", 2, "90d"),
        ("key set localPlainKy", 2, "required"),
        ("key show lv_local_mistyped_secretsecret", 2, "a key's id has 12 letters and digits"),
        ("key show nobodysKey12", 1, "there is no key nobodysKey12"),
        ("admin create nobody --role viewer", 2, "e-mail address"),
        ("account list --stack prod", 2, "leave one out"),
        ("account", 2, "Usage"),
    ] {
        let run = levee(&stack, command).await;
        assert!(!run.stderr.contains("secretsecret"), "{run:?}");
        run.fails(code, text);
    }
    run(&["account", "list", "--local"], &[], "").await.fails(1, "cargo xtask up");
    run(&["account", "list", "--local=/nowhere"], &[], "").await.fails(1, "cargo xtask up");
    stack.control("POST", "/dynamodb/stop", json!({})).await;
    levee(&stack, "account list").await.fails(1, "cargo xtask up");
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    let mut paths = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(path) = paths.pop() {
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = run(&arguments, &[], "").await.ok().stdout;
        assert!(help.contains("Examples:\n  levee "), "{path:?} has no example:\n{help}");
        seen += 1;
        let commands = help.split_once("\nCommands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap());
        for line in commands.unwrap_or_default().lines() {
            let name = line.split_whitespace().next().unwrap();
            if name != "help" {
                paths.push(path.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
    }
    assert!(seen > 35, "{seen}");
}
