//! A stack, its callers, and the decisions about its primary provider.

use std::cell::Cell;
use std::time::Duration;

use levee::breaker::{BreakerState, BreakersTable, Mode, Share, Transition};
use serde_json::{Value, json};
use tests::{Builder, Language, Sdk, Stack};

/// Number of concurrent calls: as many as there are environments of the proxy.
const AT_ONCE: usize = 3;
/// A share below which almost all calls go elsewhere.
const NEARLY_NOTHING: Share = Share::from_basis_points(1_000);

/// Longest time for which an environment avoids a provider before it tries again, in seconds.
const LONGEST_OWN_PAUSE: u64 = 60;

/// Returns a default stack with three environments of the proxy and without limits.
pub fn stack() -> Builder {
    Stack::builder().environments("ai-proxy=3").without_limits()
}

/// Returns streamed calls.
pub fn streamed(count: usize) -> Vec<Value> {
    vec![json!({ "streamed": true }); count]
}

/// Returns calls of which every second one is streamed.
pub fn mixed(count: usize) -> Vec<Value> {
    (0..count).map(|number| json!({ "streamed": number % 2 == 0 })).collect()
}

/// Outcome of one call.
#[derive(Debug)]
pub struct Seen(Value);

impl Seen {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// Returns the provider that served it.
    pub fn provider(&self) -> &str {
        self.text("provider")
    }

    /// Returns the fallback reason, or an empty string for the preferred provider.
    pub fn reason(&self) -> &str {
        self.text("reason")
    }

    /// Returns true if the answer is complete.
    pub fn is_whole(&self) -> bool {
        self.0["is_whole"] == true && self.0["status"] == 200 && self.0["error"].is_null()
    }

    /// Returns the names of a stream's events before its end or an error.
    pub fn events(&self) -> Vec<&str> {
        self.0["events"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }

    /// Returns the status, the class of the raised error, and its type.
    pub fn error(&self) -> (u64, &str, &str) {
        let error = &self.0["error"];
        let status = self.0["status"].as_u64().unwrap_or_default();
        (status, error["classes"][0].as_str().unwrap_or_default(), error["type"].as_str().unwrap_or_default())
    }

    /// Returns true if it went to the backup at once because the primary's breaker was open.
    pub fn went_straight_to_the_backup(&self) -> bool {
        let is_given_up = ["breaker-open", "breaker-local"].contains(&self.reason());
        is_given_up && (self.provider(), self.text("attempts")) == ("backup", "1")
    }
}

/// Asserts that every call was served.
pub fn assert_served(seen: &[Seen]) {
    for seen in seen {
        assert!(seen.is_whole(), "{seen:?}");
    }
}

/// The primary provider at the moment at which its share fell to almost nothing.
#[derive(Debug)]
pub struct Fallen {
    pub state: BreakerState,
    /// Number of calls that it had received.
    pub attempts: u64,
}

pub struct Scene {
    pub stack: Stack,
    language: Language,
    sdk: Sdk,
    table: BreakersTable,
}

impl Scene {
    pub async fn start(language: Language) -> Self {
        Self::of(stack(), language).await
    }

    pub async fn of(stack: Builder, language: Language) -> Self {
        let stack = stack.start().await;
        let table = stack.breakers();
        Self { stack, language, sdk: Sdk::start(language).await, table }
    }

    /// Sets the script of the primary provider.
    pub async fn primary(&self, script: Value) {
        self.stack.script("primary", script).await;
    }

    /// Returns the number of calls that the primary provider has received.
    pub async fn attempts(&self) -> u64 {
        self.stack.requests("primary").await
    }

    /// Returns the decision about the primary provider.
    pub async fn state(&self) -> BreakerState {
        self.table.read("primary").await.unwrap()
    }

    /// Returns the history of decisions, oldest first, and checks that each follows the one before.
    pub async fn history(&self) -> Vec<Transition> {
        let mut history = self.table.history("primary", None, 500).await.unwrap();
        history.reverse();
        for (generation, transition) in (1..).zip(&history) {
            assert_eq!(transition.to.generation, generation, "a decision is missing, or there twice: {history:#?}");
        }
        for pair in history.windows(2) {
            let (before, after) = (&pair[0].to, &pair[1]);
            assert_eq!((before.mode, before.share), (after.from, after.from_share), "{history:#?}");
        }
        history
    }

    /// Asserts that only probes of the calls since the breaker opened reached the primary: at most ten per round,
    /// since five good or two bad ones decide a round.
    pub async fn assert_only_probes_met_it(&self, seen: &[Seen]) {
        let history = self.history().await;
        let rounds = history.iter().filter(|transition| transition.to.mode == Mode::Probe).count();
        let met = seen.iter().filter(|seen| !seen.went_straight_to_the_backup()).count();
        eprintln!("{met} of {} calls met it, in at most {rounds} rounds of probes", seen.len());
        assert!(met <= 10 * rounds, "{seen:?}: {history:#?}");
    }

    /// Makes calls, three at a time.
    pub async fn calls(&mut self, calls: Vec<Value>) -> Vec<Seen> {
        made(&mut self.sdk, &self.stack, calls, AT_ONCE).await
    }

    /// Works as [`Scene::calls`], and also returns the moment at which the primary provider's share fell to almost
    /// nothing. If `calls` are not enough for that, some of them are repeated.
    pub async fn calls_until_it_falls(&mut self, calls: Vec<Value>) -> (Vec<Seen>, Fallen) {
        let more = calls[..6].to_vec();
        let Self { stack, sdk, table, .. } = self;
        let is_over = Cell::new(false);
        let making = async {
            let seen = made(sdk, stack, calls, AT_ONCE).await;
            is_over.set(true);
            seen
        };
        let watching = async {
            while !is_over.get() {
                if let Some(fallen) = fallen(stack, table).await {
                    return Some(fallen);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            None
        };
        let (mut seen, mut found) = tokio::join!(making, watching);
        for _ in 0..20 {
            if let Some(fallen) = found {
                return (seen, fallen);
            }
            // Environments that avoid the provider by themselves need more results before the shared breaker decides.
            self.stack.advance(LONGEST_OWN_PAUSE).await;
            seen.extend(self.calls(more.clone()).await);
            found = fallen(&self.stack, &self.table).await;
        }
        panic!("its share has not fallen: {:#?}", self.history().await)
    }

    /// Starts another program that makes calls.
    pub async fn another_program(&self) -> Sdk {
        Sdk::start(self.language).await
    }

    /// Works as [`Scene::calls`], with another program and all calls at the same time.
    pub async fn calls_at_once(&self, program: &mut Sdk, calls: Vec<Value>) -> Vec<Seen> {
        let at_once = calls.len();
        made(program, &self.stack, calls, at_once).await
    }
}

async fn fallen(stack: &Stack, table: &BreakersTable) -> Option<Fallen> {
    let state = table.read("primary").await.unwrap();
    if state.share >= NEARLY_NOTHING {
        return None;
    }
    Some(Fallen { state, attempts: stack.requests("primary").await })
}

async fn made(sdk: &mut Sdk, stack: &Stack, calls: Vec<Value>, at_once: usize) -> Vec<Seen> {
    let more = json!({ "calls": calls, "at_once": at_once });
    let mut outcome = sdk.run_with("calls", &stack.target().retrying(0), more).await;
    assert!(outcome["error"].is_null(), "{outcome}");
    let Value::Array(seen) = outcome["calls"].take() else { panic!("no calls: {outcome}") };
    seen.into_iter().map(Seen).collect()
}
