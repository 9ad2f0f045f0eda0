//! Signing in: passwords, sessions, and the delay after wrong passwords.

use super::*;

#[rstest]
#[case::as_stored(ADA)]
#[case::as_typed("  Ada@Example.com ")]
#[tokio::test]
async fn the_right_password_begins_a_session_of_twelve_hours(#[case] typed: &str) {
    let admins = Admins::ada().await;
    let (token, session) = admins.sign_in(typed, PASSWORD, admins.now).await.unwrap();
    let expires_at = admins.after(12 * HOUR).as_secs();
    assert_eq!(session, Session { email: ADA.to_owned(), role: Role::Operator, expires_at });

    let token = SessionToken::parse(token.reveal()).unwrap();
    assert_eq!(admins.session(&token, admins.after(12 * HOUR - 1)).await.unwrap(), Some(session));
    assert_eq!(admins.session(&token, admins.after(12 * HOUR)).await.unwrap(), None);
}

#[tokio::test]
async fn a_token_that_was_never_given_has_no_session() {
    let admins = Admins::ada().await;
    let token = admins.token(ADA).await;
    for position in [0, 31, 63] {
        let mut text = token.reveal().to_owned();
        let digit = if text.as_bytes()[position] == b'0' { "1" } else { "0" };
        text.replace_range(position..=position, digit);
        assert_eq!(admins.session_now(&SessionToken::parse(&text).unwrap()).await, None, "{position}");
    }
    assert!(admins.session_now(&token).await.is_some());
}

#[rstest]
#[case::a_known_address(ADA)]
#[case::an_unknown_address("nobody@example.com")]
#[case::no_address("nobody")]
#[case::nothing("")]
#[tokio::test]
async fn wrong_passwords_are_answered_alike_for_all_addresses(#[case] email: &str) {
    let admins = Admins::ada().await;
    // Three attempts are free, and the fourth costs a second.
    for _ in 0..4 {
        assert_eq!(admins.outcome(email, OTHER_PASSWORD, admins.now).await, "wrong");
    }
    let mut now = admins.now;
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        let last_moment = now.plus(Duration::from_millis(wait * 1000 - 1));
        for (asked, left) in [(now, wait), (now, wait), (last_moment, 1)] {
            // Attempts during a delay do not extend it.
            assert_eq!(admins.outcome(email, OTHER_PASSWORD, asked).await, left.to_string(), "of {wait} s");
        }
        now = now.plus(Duration::from_secs(wait));
        assert_eq!(admins.outcome(email, OTHER_PASSWORD, now).await, "wrong", "after {wait} s");
    }
    // Other admins do not have to wait.
    admins.create(&admin(BOB, Role::Viewer)).await.unwrap();
    assert_eq!(admins.outcome(BOB, PASSWORD, now).await, "in");
}

#[tokio::test]
async fn the_right_password_is_not_looked_at_during_a_wait_and_ends_it_afterwards() {
    let admins = Admins::ada().await;
    for _ in 0..4 {
        admins.outcome(ADA, OTHER_PASSWORD, admins.now).await;
    }
    assert_eq!(admins.outcome(ADA, PASSWORD, admins.now).await, "1");
    assert_eq!(admins.outcome(ADA, PASSWORD, admins.after(1)).await, "in");
    // Three attempts are free again.
    for _ in 0..3 {
        assert_eq!(admins.outcome(ADA, OTHER_PASSWORD, admins.after(1)).await, "wrong");
    }
    assert_eq!(admins.outcome(ADA, PASSWORD, admins.after(1)).await, "in");
}

#[rstest]
#[case::a_known_address(ADA)]
#[case::an_unknown_address("nobody@example.com")]
#[tokio::test(flavor = "multi_thread")]
async fn of_guesses_sent_at_once_only_the_free_ones_are_judged(#[case] email: &'static str) {
    let admins = Admins::ada().await;
    let guess = |_| {
        let (table, now) = (admins.table.clone(), admins.now);
        tokio::spawn(async move { table.sign_in(email, OTHER_PASSWORD, now).await.unwrap_err() })
    };
    let answers = join_all((0..50).map(guess)).await;
    let judged = answers.iter().filter(|answer| matches!(answer, Ok(SignInError::Wrong))).count();
    let waiting = answers.iter().filter(|answer| matches!(answer, Ok(SignInError::Wait(1)))).count();
    assert_eq!((judged, waiting), (4, 46), "{answers:?}");
    assert_eq!(admins.outcome(email, PASSWORD, admins.now).await, "1");
}

#[tokio::test]
async fn wrong_passwords_are_forgotten_after_a_day_or_by_an_operator() {
    let admins = Admins::ada().await;
    for _ in 0..4 {
        admins.outcome(ADA, OTHER_PASSWORD, admins.now).await;
    }
    admins.clear_attempts(" ADA@example.com").await.unwrap();
    for _ in 0..4 {
        assert_eq!(admins.outcome(ADA, OTHER_PASSWORD, admins.now).await, "wrong");
    }
    assert_eq!(admins.outcome(ADA, OTHER_PASSWORD, admins.after(DAY - 1)).await, "wrong");
    assert_eq!(admins.outcome(ADA, OTHER_PASSWORD, admins.after(DAY - 1)).await, "2");
    for _ in 0..4 {
        assert_eq!(admins.outcome(ADA, OTHER_PASSWORD, admins.after(2 * DAY)).await, "wrong");
    }
}

#[tokio::test]
async fn a_hash_made_with_less_work_is_replaced_at_the_next_sign_in() {
    let admins = Admins::none().await;
    let weak: PasswordHash = serde_json::from_value(WEAK.into()).unwrap();
    let ada = Admin { password: weak.clone(), ..admin(ADA, Role::Operator) };
    admins.create(&ada).await.unwrap();

    assert_eq!(admins.outcome(ADA, OTHER_PASSWORD, admins.now).await, "wrong");
    assert_eq!(admins.admin(ADA).await.unwrap().unwrap().password, weak);
    let token = admins.token(ADA).await;
    let renewed = admins.admin(ADA).await.unwrap().unwrap().password;
    let stored = serde_json::to_value(&renewed).unwrap();
    assert!(stored.as_str().unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert!(renewed.verify(PASSWORD));

    // The next sign-in does not change the hash again, and the session continues.
    assert_eq!(admins.outcome(ADA, PASSWORD, admins.now).await, "in");
    assert_eq!(admins.admin(ADA).await.unwrap().unwrap().password, renewed);
    assert!(admins.session_now(&token).await.is_some());
}

/// Hash of [`PASSWORD`] with 1 MiB and one pass, computed by Argon2's reference implementation.
const WEAK: &str = "$argon2id$v=19$m=1024,t=1,p=1$SId4WBCFLv/g2aN28D0ENw$1B2xNHjSJGyjA1ybmek8fmACuF0aBrLbFjTHJ6qaNY8";
