//! Admins, and the audit of changes.

use super::*;

#[tokio::test]
async fn every_change_is_recorded_with_who_made_it_and_what_it_was_before() {
    let stack = Stack::builder().start().await;
    let key = newco(&stack).await;
    levee_with(&stack, "account set newco --name", &["Newer Co"]).await.ok();
    levee(&stack, "account suspend newco").await.ok();
    levee(&stack, "account suspend newco").await.ok();
    levee_with(&stack, "integration set newco/crm --name", &["Desk"]).await.ok();
    levee(&stack, &format!("key set {} --scopes read", id_of(&key))).await.ok();
    levee(&stack, &format!("key revoke {} --yes", id_of(&key))).await.ok();
    levee(&stack, "admin create ada@example.com --role viewer --generate-password").await.ok();
    levee(&stack, "account list").await.ok();

    let mut log = audit(&stack).await;
    log.reverse();
    assert!(log.iter().all(|entry| entry.actor == "cli:tester"), "{log:?}");
    let id = format!("newco/crm/{}", id_of(&key));
    let told: Vec<_> = log.iter().map(|it| (it.action.as_str(), it.target.as_str(), it.detail.as_str())).collect();
    assert_eq!(
        told,
        [
            ("account.create", "newco", "name 'New Co'"),
            ("integration.create", "newco/crm", "name 'CRM', kind 'customer'"),
            ("key.create", id.as_str(), "name 'test', scopes ai,catalogs,read,request, expires never"),
            ("account.set", "newco", "name 'New Co' -> 'Newer Co'"),
            ("account.suspend", "newco", "status 'active' -> 'suspended'"),
            ("integration.set", "newco/crm", "name 'CRM' -> 'Desk'"),
            ("key.set", id.as_str(), "scopes 'ai,catalogs,read,request' -> 'read'"),
            ("key.revoke", id.as_str(), "name 'test'"),
            ("admin.create", "ada@example.com", "role 'viewer'"),
        ]
    );
}

#[tokio::test]
async fn an_admin_signs_in_with_the_password_that_the_command_set() {
    let stack = Stack::builder().start().await;
    let admins = admins(&stack);
    let sign_in = async |password: &str| admins.sign_in("ada@example.com", password, stack.now()).await;

    let create = "admin create Ada@Example.com --role viewer --password-stdin";
    levee_reading(&stack, create, &[], "too short\n").await.fails(2, "12 characters");
    levee_reading(&stack, create, &[], "correct horse battery\n").await.ok();
    levee_reading(&stack, create, &[], "another horse battery\n")
        .await
        .fails(1, "there is an admin ada@example.com already");
    let (token, session) = sign_in("correct horse battery").await.unwrap();
    assert_eq!(session.role, Role::Viewer);

    let set = levee(&stack, "admin set ada@example.com --role operator").await.ok();
    assert_eq!(set.line(), "admin ada@example.com: role 'viewer' -> 'operator'");
    assert_eq!(admins.session(&token, stack.now()).await.unwrap().unwrap().role, Role::Operator);
    levee(&stack, "admin sign-out ada@example.com").await.ok();
    assert!(admins.session(&token, stack.now()).await.unwrap().is_none());

    let generated = levee(&stack, "admin set ada@example.com --generate-password").await.ok();
    let password = generated.line();
    assert!(matches!(sign_in("correct horse battery").await, Err(SignInError::Wrong)));
    let (token, _) = sign_in(password).await.unwrap();
    let shown = levee(&stack, "admin show ada@example.com").await.ok();
    let listed = levee(&stack, "admin list --json").await.ok();
    assert_eq!(listed.json().as_array().unwrap().len(), 3);
    for text in [everything(&stack).await, format!("{shown:?}{listed:?}")] {
        assert!(text.contains("ada@example.com"));
        assert!(!text.contains(password) && !text.contains("correct horse battery"), "a password is in:\n{text}");
    }
    assert!(!format!("{shown:?}{listed:?}").contains("argon2"));

    levee(&stack, "admin delete ada@example.com --yes").await.ok();
    assert!(admins.session(&token, stack.now()).await.unwrap().is_none());
    levee(&stack, "admin show ada@example.com").await.fails(1, "there is no admin ada@example.com");
    levee(&stack, "admin delete admin@levee.local --yes").await.fails(1, "last operator");
    levee(&stack, "admin set admin@levee.local --role viewer").await.fails(1, "last operator");
    levee(&stack, "admin set admin@levee.local").await.fails(2, "--role");
    levee(&stack, "admin set admin@levee.local --password").await.fails(2, "--password-stdin");
}

#[tokio::test]
async fn an_admin_who_has_to_wait_because_of_wrong_passwords_is_let_in_at_once() {
    let stack = Stack::builder().start().await;
    let admins = admins(&stack);
    let (email, password) = stack.admin();
    let sign_in = async |password: &str| admins.sign_in(email, password, stack.now()).await;
    let blocked = loop {
        match sign_in("somebody else's guess").await.unwrap_err() {
            SignInError::Wrong => {}
            error => break error,
        }
    };
    assert!(matches!(blocked, SignInError::Wait(_)), "{blocked}");
    // Wrong passwords from continued guessing.
    for _ in 0..6 {
        stack.advance(300).await;
        assert!(matches!(sign_in("somebody else's guess").await, Err(SignInError::Wrong)));
    }
    assert!(matches!(sign_in(password).await, Err(SignInError::Wait(_))));
    let unblocked = levee(&stack, &format!("admin unblock {email}")).await.ok();
    assert_eq!(unblocked.line(), format!("admin {email} may sign in at once"));
    sign_in(password).await.unwrap();
    levee(&stack, "admin unblock nobody@example.com").await.fails(1, "there is no admin nobody@example.com");

    let log = levee(&stack, "audit --json").await.ok().json();
    let [entry] = &log.as_array().unwrap()[..] else { panic!("{log}") };
    assert_eq!(
        (&entry["action"], &entry["target"], &entry["actor"]),
        (&json!("admin.unblock"), &json!(email), &json!("cli:tester"))
    );
}

#[tokio::test]
async fn the_record_of_changes_is_shown_newest_first_and_as_far_as_asked() {
    let stack = Stack::builder().start().await;
    let none = levee(&stack, "audit").await.ok();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "nothing was changed yet\n"));
    newco(&stack).await;
    let text = levee(&stack, "audit --limit 2").await.ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    let [headers, newest, before] = lines[..] else { panic!("{text}") };
    assert!(headers.starts_with("AT ") && headers.contains(" ACTOR ") && headers.ends_with(" DETAIL"), "{text}");
    assert!(newest.contains("cli:tester  key.create ") && newest.contains("newco/crm/"), "{text}");
    assert!(
        before.contains("cli:tester  integration.create  newco/crm ") && before.ends_with("kind 'customer'"),
        "{text}"
    );
    assert_eq!(levee(&stack, "audit --json").await.ok().json().as_array().unwrap().len(), 3);
    levee(&stack, "audit --limit 0").await.fails(2, "1..=1000");
}
