//! Wide event of the customers' API: everything about one request in one log line, which is also its metrics.

use http::StatusCode;
use levee::cache::{CacheAnswer, CacheStatus};
use levee::catalogs::{Catalog, CatalogSnapshot};
use levee::clock::Timestamp;
use levee::http::{Caller, Problem};
use levee::limits::Route;
use levee::telemetry::{Head, outcome};
use metrique::ServiceMetrics;
use metrique::emf::flags::NoMetric;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

/// Event of one request, written on drop.
#[metrics(emf::dimension_sets = [[]])]
#[derive(Debug)]
pub(crate) struct CustomerApiReport {
    #[metrics(flatten)]
    head: Head,
    #[metrics(name = "account.id")]
    account: Option<String>,
    #[metrics(name = "integration.id")]
    integration: Option<String>,
    #[metrics(name = "key.id")]
    key: Option<String>,
    /// Path of the route as declared, or `none` if there is no such route.
    route: &'static str,
    #[metrics(name = "RouteClass")]
    route_class: &'static str,
    /// Catalog that was read.
    catalog: Option<&'static str>,
    /// Way through the cache: `hit`, `stale` or `miss`.
    #[metrics(name = "cache.status")]
    cache_status: Option<&'static str>,
    /// Age of the catalog, seconds.
    #[metrics(name = "cache.age", flags(NoMetric))]
    cache_age: Option<u64>,
    #[metrics(name = "CacheHits", unit = Count)]
    cache_hits: Option<bool>,
    #[metrics(name = "CacheFrontHits", unit = Count)]
    cache_front_hits: Option<bool>,
    #[metrics(name = "CacheStale", unit = Count)]
    cache_stale: Option<bool>,
    #[metrics(name = "CacheMisses", unit = Count)]
    cache_misses: Option<bool>,
    #[metrics(name = "CacheSourceReads", unit = Count)]
    cache_source_reads: Option<u64>,
    #[metrics(name = "CacheUnstored", unit = Count)]
    cache_unstored: Option<bool>,
    /// `ok`, `caller_error`, `forbidden` or `failed`; `unfinished` if the environment was stopped first.
    outcome: &'static str,
    #[metrics(flags(NoMetric))]
    status: u64,
    /// Message of the problem that the caller got.
    error: Option<String>,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    #[metrics(name = "Duration", unit = Millisecond)]
    took: Timer,
}

/// Begins the event of the request `request_id`.
pub(crate) fn begin(request_id: &str) -> CustomerApiReportGuard {
    CustomerApiReport {
        head: Head::new("customer-api", "answered a customer", request_id),
        account: None,
        integration: None,
        key: None,
        route: "none",
        route_class: "self",
        catalog: None,
        cache_status: None,
        cache_age: None,
        cache_hits: None,
        cache_front_hits: None,
        cache_stale: None,
        cache_misses: None,
        cache_source_reads: None,
        cache_unstored: None,
        outcome: "unfinished",
        status: 0,
        error: None,
        requests: 1,
        took: Timer::start_now(),
    }
    .append_on_drop(ServiceMetrics::sink_or_discard())
}

impl CustomerApiReport {
    /// Records the caller.
    pub(crate) fn caller(&mut self, caller: &Caller) {
        self.account = Some(caller.account.clone());
        self.integration = Some(caller.integration.clone());
        self.key = Some(caller.key.clone());
    }

    /// Records the route.
    pub(crate) fn route(&mut self, route: &'static str) {
        self.route = route;
        if let Some(known) = Route::from_resource(route) {
            self.route_class = known.class().name();
        }
    }

    /// Records the way of a catalog through the cache.
    pub(crate) fn cached(&mut self, catalog: Catalog, answer: &CacheAnswer<CatalogSnapshot>, now: Timestamp) {
        self.catalog = Some(catalog.name());
        self.cache_status = Some(answer.status.name());
        self.cache_age = Some(answer.entry.read_at.until(now).as_secs());
        let is = |status: CacheStatus| Some(answer.status == status);
        (self.cache_hits, self.cache_stale, self.cache_misses) =
            (is(CacheStatus::Hit), is(CacheStatus::Stale), is(CacheStatus::Miss));
        // Count the reads of the source, and those whose value could not be cached.
        self.cache_front_hits = Some(answer.is_front);
        self.cache_source_reads = Some(answer.source_reads);
        self.cache_unstored = Some(answer.source_reads > 0 && answer.status == CacheStatus::Miss && !answer.is_stored);
    }

    /// Records the status of the answer, and its problem if it has one.
    pub(crate) fn answered(&mut self, status: StatusCode, problem: Option<Problem>) {
        self.status = status.as_u16().into();
        self.error = problem.map(|problem| problem.detail);
        self.outcome = outcome(status);
    }
}
