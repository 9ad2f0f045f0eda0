//! The end of sessions, and actions of operators on each other.

use super::*;

#[tokio::test]
async fn signing_out_ends_one_session() {
    let admins = Admins::ada().await;
    let (one, other) = (admins.token(ADA).await, admins.token(ADA).await);
    admins.sign_out(&one).await.unwrap();
    assert_eq!(admins.session_now(&one).await, None);
    assert!(admins.session_now(&other).await.is_some());
    // Signing out twice is not an error.
    admins.sign_out(&one).await.unwrap();
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_sessions_of_that_admin() {
    let admins = Admins::ada_and_bob().await;
    let (one, other, of_bob) = (admins.token(ADA).await, admins.token(ADA).await, admins.token(BOB).await);
    assert!(admins.sign_out_everywhere(ADA, admins.now).await.unwrap());
    assert_eq!((admins.session_now(&one).await, admins.session_now(&other).await), (None, None));
    assert!(admins.session_now(&of_bob).await.is_some());
    assert_eq!(admins.admin(ADA).await.unwrap().unwrap().sessions_from, admins.now.as_millis());

    // A session that begins in the same millisecond is valid.
    let new = admins.token(ADA).await;
    assert!(admins.session_now(&new).await.is_some());
    assert!(!admins.sign_out_everywhere("nobody@example.com", admins.now).await.unwrap());
    assert!(!admins.sign_out_everywhere("nobody", admins.now).await.unwrap());
    assert_eq!(admins.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_and_ends_all_sessions() {
    let admins = Admins::ada().await;
    let token = admins.token(ADA).await;
    let other = PasswordHash::new(OTHER_PASSWORD).unwrap();
    assert!(admins.set_password("Ada@example.com", &other, admins.now).await.unwrap());
    assert_eq!(admins.session_now(&token).await, None);
    assert_eq!(admins.outcome(ADA, PASSWORD, admins.now).await, "wrong");
    assert_eq!(admins.outcome(ADA, OTHER_PASSWORD, admins.now).await, "in");
    assert!(!admins.set_password("nobody@example.com", &other, admins.now).await.unwrap());
    assert_eq!(admins.admin("nobody@example.com").await.unwrap(), None);
}

#[tokio::test]
async fn a_changed_role_and_a_deletion_bite_at_once() {
    let admins = Admins::ada_and_bob().await;
    let token = admins.token(BOB).await;
    let role = async || admins.session_now(&token).await.map(|session| session.role);
    assert_eq!(role().await, Some(Role::Operator));
    assert!(admins.set_role(BOB, Role::Viewer).await.unwrap());
    assert_eq!(role().await, Some(Role::Viewer));
    assert!(admins.set_role(BOB, Role::Viewer).await.unwrap());
    assert!(admins.set_role(BOB, Role::Operator).await.unwrap());
    assert_eq!(role().await, Some(Role::Operator));

    assert!(admins.delete(BOB).await.unwrap());
    assert_eq!(role().await, None);
    assert_eq!(admins.outcome(BOB, PASSWORD, admins.now).await, "wrong");
    assert!(!admins.delete(BOB).await.unwrap());
    assert!(!admins.set_role(BOB, Role::Viewer).await.unwrap());
    assert!(!admins.set_role(BOB, Role::Operator).await.unwrap());

    // A new admin with the same address does not get the old sessions.
    assert!(admins.create(&admin(BOB, Role::Operator)).await.unwrap());
    assert_eq!(role().await, None);
}

#[tokio::test]
async fn an_admin_is_created_once_under_a_well_formed_address() {
    let admins = Admins::ada().await;
    assert!(!admins.create(&admin(" ADA@example.com", Role::Viewer)).await.unwrap());
    assert!(admins.create(&admin("Bob@Example.com", Role::Viewer)).await.unwrap());
    let refused = admins.create(&admin("carol", Role::Viewer)).await.unwrap_err();
    assert!(matches!(refused, ChangeError::InvalidEmail(_)), "{refused}");
    assert_eq!(admins.list().await.unwrap(), [admin(ADA, Role::Operator), admin(BOB, Role::Viewer)]);
    assert_eq!(admins.admin("BOB@example.com").await.unwrap(), Some(admin(BOB, Role::Viewer)));
}

#[tokio::test]
async fn an_admin_is_created_although_the_first_answer_was_lost() {
    let admins = Admins::ada().await;
    admins.emulator.inject(Some(Faults { lost_ratio: 0.5, seed: Some(5), ..Faults::default() })).await;
    let mut created = 0;
    for number in 0..24 {
        match admins.create(&admin(&format!("viewer-{number}@example.com"), Role::Viewer)).await {
            Ok(is_created) => {
                assert!(is_created, "{number}");
                created += 1;
            }
            Err(error) => assert!(matches!(error, ChangeError::Unavailable(_)), "{error}"),
        }
    }
    admins.emulator.inject(None).await;
    // The writes that were never answered were made too, and are not made twice.
    assert!(created > 0 && created < 24, "{created}");
    assert_eq!(admins.list().await.unwrap().len(), 25);
    assert!(!admins.create(&admin("viewer-7@example.com", Role::Viewer)).await.unwrap());
}

#[tokio::test]
async fn the_last_operator_stays() {
    let admins = Admins::ada().await;
    admins.create(&admin(BOB, Role::Viewer)).await.unwrap();
    for refused in [admins.delete(ADA).await, admins.set_role(ADA, Role::Viewer).await] {
        assert!(matches!(refused, Err(ChangeError::LastOperator)), "{refused:?}");
    }
    assert_eq!(admins.list().await.unwrap(), [admin(ADA, Role::Operator), admin(BOB, Role::Viewer)]);

    assert!(admins.set_role(BOB, Role::Operator).await.unwrap());
    assert!(admins.delete(ADA).await.unwrap());
    assert!(matches!(admins.delete(BOB).await, Err(ChangeError::LastOperator)));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_who_remove_each_other_at_once_leave_one() {
    let admins = Admins::none().await;
    let everyone: Vec<String> = (0..6).map(|number| format!("operator-{number}@example.com")).collect();
    for round in 0..5 {
        for email in &everyone {
            admins.create(&admin(email, Role::Operator)).await.unwrap();
        }
        let leave = |(number, email): (usize, &String)| {
            let (table, email) = (admins.table.clone(), email.clone());
            tokio::spawn(async move {
                match number % 2 {
                    0 => table.delete(&email).await,
                    _ => table.set_role(&email, Role::Viewer).await,
                }
            })
        };
        let _some_are_refused = join_all(everyone.iter().enumerate().map(leave)).await;
        let left = admins.list().await.unwrap().into_iter().filter(|admin| admin.role == Role::Operator).count();
        assert_eq!(left, 1, "round {round}");
        for email in &everyone {
            admins.set_role(email, Role::Operator).await.unwrap();
        }
    }
}
