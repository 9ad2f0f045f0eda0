//! Common frame of every function: it starts the function, and for each event it makes sure that errors are written
//! before the environment is frozen.

use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use lambda_runtime::Error;
use tokio::time::{Instant, timeout_at};

use crate::breadcrumbs::{BreadcrumbTable, Trail};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Reader};
use crate::stores::dynamodb::{self, DynamoDbConfig};
use crate::telemetry;

/// Time that a response may wait for its breadcrumbs to be written.
const FLUSH_BUDGET: Duration = Duration::from_millis(50);
/// Time before the function's deadline at which breadcrumbs are written even if the request has not ended: at the
/// deadline Lambda kills the process.
const BEFORE_DEADLINE: Duration = Duration::from_millis(500);
/// Time-out of writing the cause if a function cannot start.
const LAST_WORDS_BUDGET: Duration = Duration::from_secs(1);

/// Configuration that all functions share.
#[derive(Debug, Clone)]
pub struct Common {
    /// Clock of the function.
    pub clock: Clock,
    /// Configuration of DynamoDB.
    pub dynamodb: DynamoDbConfig,
    /// `BREADCRUMBS_TABLE`: name of the table of recent errors.
    pub breadcrumbs_table: String,
}

impl Common {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            clock: Clock::read(reader),
            dynamodb: DynamoDbConfig::read(reader),
            breadcrumbs_table: reader.required("BREADCRUMBS_TABLE"),
        }
    }

    /// Creates a client of the table of recent errors.
    pub fn breadcrumbs(&self) -> BreadcrumbTable {
        BreadcrumbTable::new(dynamodb::client(&self.dynamodb), &self.breadcrumbs_table)
    }
}

/// Process of a function. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Function {
    name: &'static str,
    trail: Trail,
    clock: Arc<OnceLock<Clock>>,
}

impl Function {
    /// Creates the function `name` and starts logging. Call it first in `main`.
    pub fn begin(name: &'static str) -> Self {
        Self { name, trail: telemetry::init(name), clock: Arc::default() }
    }

    /// Reads the configuration from the environment, and creates the state that the function keeps between calls.
    ///
    /// # Errors
    /// The mistakes in the configuration, or the error of `make`; both are logged.
    pub async fn start<C, S, E>(
        &self,
        read: impl FnOnce(&mut Reader<'_>) -> C,
        common: impl FnOnce(&C) -> &Common,
        make: impl AsyncFnOnce(C) -> Result<S, E>,
    ) -> Result<S, Error>
    where
        E: Display + Into<Error>,
    {
        // Read the configuration.
        let config = config::from_environment(read)
            .inspect_err(|error| tracing::error!(code = "config.invalid", %error, "{} cannot start", self.name))?;
        // From here on errors are also written as breadcrumbs.
        let common = common(&config);
        let clock = self.clock.get_or_init(|| common.clock.clone());
        self.trail.write_to(common.breadcrumbs(), clock.clone());
        match make(config).await {
            Ok(state) => Ok(state),
            Err(error) => {
                tracing::error!(code = "start.failed", %error, "{} cannot start", self.name);
                self.trail.flush_all(LAST_WORDS_BUDGET, self.now()).await;
                Err(error.into())
            }
        }
    }

    /// Runs `work`, which serves the request `request_id` before `deadline` (Unix milliseconds, by Lambda's clock).
    /// Errors that occur meanwhile are written before this function returns, and in any case before the deadline.
    pub async fn observe<T>(&self, request_id: &str, deadline: u64, work: impl Future<Output = T>) -> T {
        telemetry::answering(request_id);
        // A panic is logged as it happens. It is resumed after its breadcrumb is written.
        let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
        let answer = match timeout_at(last_call(deadline), &mut work).await {
            Ok(answer) => answer,
            Err(_) => tokio::join!(work, self.near_deadline(request_id)).0,
        };
        self.settle().await;
        answer.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Writes the errors of a request that has been served.
    pub(crate) async fn settle(&self) {
        self.trail.flush(FLUSH_BUDGET, self.now()).await;
    }

    /// Logs that the request is about to be cut off, and writes all errors so far.
    pub(crate) async fn near_deadline(&self, request_id: &str) {
        tracing::error!(code = "deadline.near", request.id = request_id, "a request is about to outlast its function");
        self.trail.flush_all(BEFORE_DEADLINE / 2, self.now()).await;
    }

    fn now(&self) -> Timestamp {
        self.clock.get().map_or_else(|| Clock::system().now(), Clock::now)
    }
}

/// Returns the latest time to write breadcrumbs for a request with this deadline.
pub(crate) fn last_call(deadline: u64) -> Instant {
    let left = Clock::system().now().until(Timestamp::from_millis(deadline));
    Instant::now() + left.saturating_sub(BEFORE_DEADLINE)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::stores::dynamodb::stub::Stub;

    const DONE: (u16, &str) = (200, "{}");
    const LONG: Duration = Duration::from_secs(60);

    /// Returns a function whose breadcrumbs go to `stub` while the guard lives.
    fn function(stub: &Stub) -> (Function, tracing::subscriber::DefaultGuard) {
        let trail = Trail::new("probe");
        trail.write_to(BreadcrumbTable::new(stub.client.clone(), "breadcrumbs"), Clock::system());
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(trail.layer()));
        (Function { name: "probe", trail, clock: Arc::default() }, guard)
    }

    fn deadline(left: Duration) -> u64 {
        Clock::system().now().plus(left).as_millis()
    }

    #[tokio::test]
    async fn what_goes_wrong_is_written_before_the_answer_ends() {
        let stub = Stub::start(&[DONE]).await;
        let (function, _guard) = function(&stub);
        function.observe("r", deadline(LONG), async { tracing::error!(code = "a.b", "it failed") }).await;
        assert_eq!(stub.answered(), 1);
        function.observe("r", deadline(LONG), async { tracing::info!("all is well") }).await;
        assert_eq!(stub.answered(), 1);
    }

    #[tokio::test]
    async fn a_request_that_outlasts_its_function_is_written_down_while_it_goes_on() {
        let stub = Stub::start(&[DONE]).await;
        let (function, _guard) = function(&stub);
        let until_written = async {
            while stub.answered() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        function.observe("r", deadline(BEFORE_DEADLINE), until_written).await;
        assert_eq!(stub.answered(), 1);
    }

    #[tokio::test]
    async fn a_panic_is_written_down_with_its_request_before_it_goes_on() {
        let stub = Stub::start(&[DONE]).await;
        let (function, _guard) = function(&stub);
        telemetry::log_panics();
        let panicking = function.observe("r-1", deadline(LONG), async { panic!("with a prompt in it") });
        assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());
        let written = stub.requests().concat();
        assert!(written.contains(r#""S":"panic""#) && written.contains(r#""S":"r-1""#), "{written}");
        assert!(!written.contains("prompt"), "{written}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_that_says_nothing_costs_one_answer_fifty_milliseconds_and_the_next_ones_nothing() {
        let stub = Stub::start(&[]).await;
        let (function, _guard) = function(&stub);
        let began = Instant::now();
        for _ in 0..20 {
            function.observe("r", deadline(LONG), async { tracing::error!(code = "a.b", "it failed") }).await;
        }
        assert_eq!(began.elapsed(), FLUSH_BUDGET);
    }
}
