//! Platform admins: signing in, what ends a session, the wait after wrong passwords, roles, and the audit log.
//!
//! All but the last test have a DynamoDB with the template's tables to themselves, without a stack around it.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials;
use futures_util::future::join_all;
use levee::admins::{
    Admin, AdminsTable, AuditEntry, ChangeError, PasswordHash, Role, Session, SessionToken, SignInError,
};
use levee::clock::{Clock, Timestamp};
use levee::stores::aws::AwsConfig;
use levee::stores::dynamodb::{self, DynamoDbConfig};
use local::bindings::key_peppers;
use local::dynamodb::{DynamoDb, Mode};
use local::template::Template;
use rstest::rstest;
use tests::{Stack, workspace};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const PASSWORD: &str = "correct horse battery";
const OTHER_PASSWORD: &str = "another horse entirely";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A running DynamoDB, and the admins in it.
struct Admins {
    dynamodb: DynamoDb,
    client: aws_sdk_dynamodb::Client,
    table: AdminsTable,
    now: Timestamp,
}

impl std::ops::Deref for Admins {
    type Target = AdminsTable;

    fn deref(&self) -> &AdminsTable {
        &self.table
    }
}

impl Admins {
    /// Nobody.
    async fn none() -> Self {
        let template = Template::load(&workspace().join("template.yaml")).unwrap();
        let dynamodb = DynamoDb::start(&template.tables).await.unwrap();
        let client = dynamodb::client(&DynamoDbConfig {
            aws: AwsConfig {
                region: "us-east-1".to_owned(),
                credentials: Credentials::new("test", "test", None, None, "test"),
            },
            endpoint_url: Some(format!("http://{}", dynamodb.address())),
            timeout: Duration::from_secs(10),
        });
        let table = AdminsTable::new(client.clone(), "Admins");
        Self { dynamodb, client, table, now: Clock::system().now() }
    }

    /// The operator Ada.
    async fn ada() -> Self {
        let admins = Self::none().await;
        assert!(admins.create(&admin(ADA, Role::Operator)).await.unwrap());
        admins
    }

    /// The operators Ada and Bob.
    async fn ada_and_bob() -> Self {
        let admins = Self::ada().await;
        assert!(admins.create(&admin(BOB, Role::Operator)).await.unwrap());
        admins
    }

    /// So many seconds after the start.
    fn after(&self, secs: u64) -> Timestamp {
        self.now.plus(Duration::from_secs(secs))
    }

    async fn token(&self, email: &str) -> SessionToken {
        self.sign_in(email, PASSWORD, self.now).await.unwrap().0
    }

    async fn session_now(&self, token: &SessionToken) -> Option<Session> {
        self.session(token, self.now).await.unwrap()
    }

    /// How a sign-in ends, in a word: `in`, `wrong`, or the seconds to wait.
    async fn outcome(&self, email: &str, password: &str, now: Timestamp) -> String {
        match self.sign_in(email, password, now).await {
            Ok(_) => "in".to_owned(),
            Err(SignInError::Wrong) => "wrong".to_owned(),
            Err(SignInError::Wait(seconds)) => seconds.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Everything that the table holds, as text.
    async fn dump(&self) -> String {
        let items = self.client.scan().table_name("Admins").send().await.unwrap().items.unwrap();
        items.iter().map(|item| format!("{item:?}\n")).collect()
    }
}

fn admin(email: &str, role: Role) -> Admin {
    static HASH: std::sync::OnceLock<PasswordHash> = std::sync::OnceLock::new();
    let password = HASH.get_or_init(|| PasswordHash::new(PASSWORD).unwrap()).clone();
    Admin { email: email.to_owned(), role, password, created_at: 1_700_000_000, sessions_from: 0 }
}

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
    // Three are free, and the fourth costs a second.
    for _ in 0..4 {
        assert_eq!(admins.outcome(email, OTHER_PASSWORD, admins.now).await, "wrong");
    }
    let mut now = admins.now;
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        let last_moment = now.plus(Duration::from_millis(wait * 1000 - 1));
        for (asked, left) in [(now, wait), (now, wait), (last_moment, 1)] {
            // Asking during a wait makes it no longer.
            assert_eq!(admins.outcome(email, OTHER_PASSWORD, asked).await, left.to_string(), "of {wait} s");
        }
        now = now.plus(Duration::from_secs(wait));
        assert_eq!(admins.outcome(email, OTHER_PASSWORD, now).await, "wrong", "after {wait} s");
    }
    // Nobody else waits.
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
    // Three are free again.
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
async fn signing_out_ends_one_session() {
    let admins = Admins::ada().await;
    let (one, other) = (admins.token(ADA).await, admins.token(ADA).await);
    admins.sign_out(&one).await.unwrap();
    assert_eq!(admins.session_now(&one).await, None);
    assert!(admins.session_now(&other).await.is_some());
    // Twice does no harm.
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

    // A session that begins in the same moment is a new one.
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

    // Somebody new of the same address has none of the old sessions.
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

    // The next time there is nothing to do, and the session goes on.
    assert_eq!(admins.outcome(ADA, PASSWORD, admins.now).await, "in");
    assert_eq!(admins.admin(ADA).await.unwrap().unwrap().password, renewed);
    assert!(admins.session_now(&token).await.is_some());
}

/// [`PASSWORD`] with 1 MiB and one pass, as Argon2's reference implementation hashes it.
const WEAK: &str = "$argon2id$v=19$m=1024,t=1,p=1$SId4WBCFLv/g2aN28D0ENw$1B2xNHjSJGyjA1ybmek8fmACuF0aBrLbFjTHJ6qaNY8";

#[tokio::test]
async fn nothing_that_opens_anything_is_stored() {
    let admins = Admins::ada().await;
    let token = admins.token(ADA).await;
    admins.outcome(ADA, OTHER_PASSWORD, admins.now).await;
    // As when the password is typed into the wrong field.
    admins.outcome("my secret passphrase", OTHER_PASSWORD, admins.now).await;
    admins.outcome("nobody@example.com", OTHER_PASSWORD, admins.now).await;

    let dump = admins.dump().await;
    for prefix in ["ADMINS", "SESSION#", "ATTEMPTS#"] {
        assert!(dump.contains(prefix), "{prefix}: {dump}");
    }
    let csrf = token.csrf();
    let secrets =
        [token.reveal(), csrf.reveal(), PASSWORD, OTHER_PASSWORD, "my secret passphrase", "nobody@example.com"];
    for secret in secrets {
        assert!(!dump.contains(secret), "{secret}: {dump}");
    }
}

#[tokio::test]
async fn a_session_and_its_end_say_so_when_the_table_is_gone() {
    let admins = Admins::ada().await;
    let token = admins.token(ADA).await;
    admins.dynamodb.set(Mode::Refuse).await;
    let refused = admins.sign_in(ADA, PASSWORD, admins.now).await.unwrap_err();
    assert!(matches!(refused, SignInError::Unavailable(_)), "{refused}");
    assert!(!refused.to_string().contains(ADA), "{refused}");
    assert!(admins.session(&token, admins.now).await.is_err());
    assert!(admins.sign_out(&token).await.is_err());
    assert!(matches!(admins.delete(ADA).await, Err(ChangeError::Unavailable(_))));

    admins.dynamodb.set(Mode::Serve).await;
    assert!(admins.session_now(&token).await.is_some());
}

fn entry(at: Timestamp, target: &str) -> AuditEntry {
    AuditEntry {
        at: at.as_millis(),
        actor: ADA.to_owned(),
        action: "account.suspend".to_owned(),
        target: target.to_owned(),
        detail: String::new(),
        request_id: None,
    }
}

#[tokio::test]
async fn the_audit_log_is_newest_first_across_months_and_as_long_as_asked() {
    let admins = Admins::none().await;
    let ago = |secs: u64| Timestamp::from_millis(admins.now.as_millis() - secs * 1000);
    assert_eq!(admins.audit_log(10, admins.now).await.unwrap(), []);
    // Every ten days for as long as entries are kept, some at the same moment; written in no order.
    let mut entries: Vec<_> =
        (0..40).map(|number| entry(ago(number * 10 * DAY), &format!("of day {number}"))).collect();
    let told = AuditEntry {
        detail: "It sent too much.".to_owned(),
        request_id: Some("I35jLf7JA2CvdI=".to_owned()),
        ..entry(ago(1), "globex")
    };
    entries.insert(1, told);
    for entry in entries.iter().rev().step_by(2).chain(entries.iter().rev().skip(1).step_by(2)) {
        admins.audit(entry).await.unwrap();
    }
    // What is older is not shown, whether or not it is still there.
    admins.audit(&entry(ago(401 * DAY), "too old")).await.unwrap();

    assert_eq!(admins.audit_log(100, admins.now).await.unwrap(), entries);
    for limit in [0, 1, 2, 7, 40] {
        assert_eq!(admins.audit_log(limit, admins.now).await.unwrap(), entries[..limit], "{limit}");
    }
}

#[tokio::test]
async fn entries_of_one_millisecond_are_all_kept() {
    let admins = Admins::none().await;
    let write = |number: usize| {
        let entry = entry(admins.now, &number.to_string());
        let table = &admins.table;
        async move { table.audit(&entry).await }
    };
    assert!(join_all((0..20).map(write)).await.into_iter().all(|written| written.is_ok()));
    let mut targets: Vec<usize> =
        admins.audit_log(100, admins.now).await.unwrap().iter().map(|entry| entry.target.parse().unwrap()).collect();
    targets.sort_unstable();
    assert_eq!(targets, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_running_stack_has_an_operator_and_a_viewer_and_tells_where_they_are() {
    let stack = Stack::builder().argument("--no-demo").start().await;
    let local: serde_json::Value =
        serde_json::from_slice(&std::fs::read(stack.state().join("local.json")).unwrap()).unwrap();
    assert_eq!((stack.local("key_environment"), stack.local("key_peppers")), ("local", &*key_peppers()));
    let admins = AdminsTable::new(stack.dynamodb(), local["tables"]["Admins"].as_str().unwrap());
    let now = Clock::system().now();
    for ((email, password), role) in [(stack.admin(), Role::Operator), (stack.viewer(), Role::Viewer)] {
        let (_, session) = admins.sign_in(email, password, now).await.unwrap();
        assert_eq!(session.role, role, "{email}");
    }
    let told = format!("{}/admin for {}, {}", stack.local("url"), stack.admin().0, stack.admin().1);
    tests::wait_for(async || stack.output().contains(&told).then_some(())).await;
}
