//! A machine with a wrong clock: the limiter uses Redis's.

use std::sync::{Arc, Mutex};

use levee::clock::Timestamp;
use levee::limits::{Algorithm, Decision, Mode, Window};
use rstest::rstest;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::{ask, charge, policy};
use crate::redis_server::Server;

/// 2027-01-30T12:00:30Z: half a minute from any end of a window.
const NOON: Timestamp = Timestamp::from_secs(1_801_310_430);
const HOUR: i64 = 3_600_000;

/// Skews that were reported, in milliseconds.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<i64>>>);

impl<S: tracing::Subscriber> Layer<S> for Reports {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Reports {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "skew_ms" {
            self.0.lock().unwrap().push(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl Reports {
    fn take(&self) -> Vec<i64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn off(now: Timestamp, skew: i64) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_add_signed(skew))
}

#[rstest]
#[case::slow(-3 * HOUR)]
#[case::fast(3 * HOUR)]
#[case::slow_by_a_month(-31 * 24 * HOUR)]
#[case::just_too_slow(-3_500)]
#[case::just_too_fast(3_500)]
#[tokio::test]
async fn a_clock_that_is_off_is_put_right_by_redis_once_and_reported_once(#[case] skew: i64) {
    let (server, reports) = (Server::start().await, Reports::default());
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(reports.clone()));
    server.set_clock(NOON);
    let limiter = server.limiter();
    limiter.warm_up().await;
    let charge = charge(&policy("minute", Algorithm::Fixed, Mode::Enforce, Window::MINUTE, 3), "s", 1);
    let check = async |n: u32| {
        server.forget_commands().await;
        let now = off(limiter.now(), skew);
        let decision = limiter.check(ask([charge.clone()], &n.to_string(), "c"), now).await;
        let round_trips = server.commands().await["evalsha"];
        (decision, round_trips, reports.take())
    };

    // The script refuses to decide the first call; the limiter learns the skew and repeats it with the right time.
    let (decision, round_trips, reported) = check(1).await;
    let Decision::Allowed(readings) = decision else { panic!("not decided: {decision:?}") };
    assert_eq!((readings[0].used, readings[0].resets_at), (1, Window::MINUTE.end(NOON)));
    assert_eq!((round_trips, reported.len()), (2, 1));
    assert!((reported[0] - skew).abs() < 2_000, "{reported:?}");

    // From then on, each call takes one round trip.
    for n in 2..=4 {
        let (decision, round_trips, reported) = check(n).await;
        assert_eq!((round_trips, reported.len()), (1, 0));
        assert_eq!(matches!(decision, Decision::Refused(_)), n == 4, "{decision:?}");
    }
    let counters: Vec<_> = server.snapshot().await.into_keys().filter(|key| key.contains(":limit:")).collect();
    assert_eq!(counters, [charge.counter(NOON)]);
}

#[tokio::test]
async fn a_clock_that_is_put_right_later_is_noticed_too() {
    let (server, reports) = (Server::start().await, Reports::default());
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(reports.clone()));
    server.set_clock(NOON);
    let limiter = server.limiter();
    let charge = charge(&policy("minute", Algorithm::Fixed, Mode::Enforce, Window::MINUTE, 9), "s", 1);
    for (skew, expected) in [(-HOUR, 1), (-HOUR, 0), (0, 1), (0, 0), (HOUR, 1), (HOUR, 0)] {
        let decision = limiter.check(ask([charge.clone()], "", "c"), off(limiter.now(), skew)).await;
        assert!(matches!(decision, Decision::Allowed(_)), "{decision:?}");
        assert_eq!(reports.take().len(), expected, "{skew}");
    }
    // All six calls are counted, in the right window.
    let snapshot = server.snapshot().await;
    assert_eq!(snapshot[&charge.counter(NOON)].value, ["6"]);
    assert_eq!(snapshot.len(), 1);
}

#[rstest]
#[case(-1_000)]
#[case(1_000)]
#[tokio::test]
async fn a_clock_that_is_nearly_right_is_taken_at_its_word(#[case] skew: i64) {
    let (server, reports) = (Server::start().await, Reports::default());
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(reports.clone()));
    server.set_clock(NOON);
    let limiter = server.limiter();
    let charge = charge(&policy("in-flight", Algorithm::Concurrency, Mode::Enforce, Window::MINUTE, 9), "s", 1);
    let now = off(limiter.now(), skew);
    let decision = limiter.check(ask([charge.clone()], "", "c"), now).await;
    assert!(matches!(decision, Decision::Allowed(_)), "{decision:?}");
    assert_eq!(reports.take(), [0; 0]);
    let ends = server.snapshot().await[&charge.leases()].pairs();
    assert_eq!(ends["c"], now.as_millis() + 30_000);
}
