//! Invariants of the breaker that hold at every moment.

use std::time::Duration;

use levee_core::breaker::{
    BreakerConfig, BreakerState, Evidence, Forced, Mode, Penalty, Reason, SecondBucket, Share, step,
};
use levee_core::clock::Timestamp;
use proptest::prelude::*;
use simulation::designs::Levee;
use simulation::provider::FALLS_ILL;
use simulation::{Design, Faults, Result, Scenario, Settings, Ticket, run};

const NOW: Timestamp = Timestamp::from_secs(1_795_310_000);

fn settings(scenario: Scenario, seed: u64, faults: Faults) -> Settings {
    Settings { scenario, rate: 5.0, environments: 40, seed, faults }
}

/// Design that checks each decision as it is made.
struct Watched {
    levee: Levee,
    before: BreakerState,
}

impl Watched {
    fn look(&mut self) {
        let now = self.levee.state();
        assert!(now.generation == self.before.generation || now.generation == self.before.generation + 1);
        if now.generation > self.before.generation {
            is_judged(&self.before, now);
            self.before = now.clone();
        } else {
            assert_eq!(*now, self.before, "what is decided changes with its generation");
        }
    }
}

/// Asserts that the health in a decision matches the evidence that led to it.
fn is_judged(before: &BreakerState, after: &BreakerState) {
    use Reason::{Clean, Erring, Failing, Slowing, Spent, Stalling, StillFailing, Throttled};
    match after.reason {
        Failing | Erring | Stalling | Slowing | Throttled | Spent | StillFailing => {
            assert!(after.health < Share::ALL, "{after:?}");
        }
        Clean if after.mode == Mode::Closed => assert_eq!(after.health, Share::ALL),
        _ => assert_eq!(after.health, before.health),
    }
    assert!(after.health <= Share::ALL);
    assert!(after.share >= before.share || after.health < Share::ALL, "{before:?} {after:?}");
}

impl Design for Watched {
    fn admit(&mut self, at: f64, environment: usize, id: u64) -> Option<Ticket> {
        let ticket = self.levee.admit(at, environment, id);
        self.look();
        ticket
    }

    fn looks_after(&self) -> Option<f64> {
        self.levee.looks_after()
    }

    fn late(&mut self, at: f64, environment: usize, ticket: Ticket) {
        self.levee.late(at, environment, ticket);
        self.look();
    }

    fn slow(&mut self, at: f64, environment: usize, ticket: Ticket) {
        self.levee.slow(at, environment, ticket);
        self.look();
    }

    fn done(&mut self, at: f64, environment: usize, ticket: Ticket, result: Result) {
        self.levee.done(at, environment, ticket, result);
        self.look();
    }

    fn share(&self) -> f64 {
        self.levee.share()
    }

    fn transitions(&self) -> u32 {
        self.levee.transitions()
    }
}

#[test]
fn generations_rise_one_by_one_and_health_says_what_led_there() {
    for scenario in Scenario::ALL {
        let gone = Some(FALLS_ILL + 30.0..FALLS_ILL + 90.0);
        for faults in [Faults::default(), Faults { poisoned: 1, store_is_gone: gone, skew: 1.0 }] {
            let settings = settings(scenario, 9_000, faults);
            let mut watched = Watched { levee: Levee::new(&settings), before: BreakerState::new() };
            let outcome = run(&mut watched, &settings);
            assert_eq!(watched.before.generation, u64::from(outcome.transitions), "{scenario:?}");
        }
    }
}

#[test]
fn results_of_an_earlier_generation_change_nothing() {
    // Results of the first generation open the circuit.
    let mut levee = Levee::new(&settings(Scenario::Healthy, 1, Faults::default()));
    let bad = Result { is_error: true, is_slow: false, latency: 0.3 };
    let old = Ticket(levee.state().generation);
    for call in 0..9 {
        levee.done(10.0 + call as f64 * 0.2, call, old, bad);
    }
    assert_eq!((levee.state().mode, levee.state().generation), (Mode::Open, 1));
    // The same ones change nothing while it is open.
    let opened = levee.state().clone();
    for call in 0..200 {
        levee.done(12.0 + call as f64 * 0.01, call % 40, old, bad);
    }
    assert_eq!(*levee.state(), opened);
    // Results of two earlier generations, bad or good, change nothing while it is half-open.
    while levee.state().mode != Mode::Probe {
        levee.admit(opened.not_before.as_millis() as f64 / 1000.0 + 1.0, 0, 1);
    }
    let probing = levee.state().clone();
    for call in 0..200 {
        levee.done(30.0 + call as f64 * 0.1, call % 40, old, bad);
        levee.done(30.0 + call as f64 * 0.1, call % 40, Ticket(opened.generation), Result { is_error: false, ..bad });
    }
    assert_eq!(*levee.state(), probing, "neither bad nor good ones");
}

fn moment(ahead: i64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs().saturating_add_signed(ahead))
}

/// Generates any state that a store may hold, including those that no decision leads to.
fn any_state() -> impl Strategy<Value = BreakerState> {
    let mode = prop_oneof![Just(Mode::Closed), Just(Mode::Shed), Just(Mode::Open), Just(Mode::Probe), Just(Mode::Ramp)];
    let share = || prop_oneof![Just(0), Just(10_000), 0..=10_000u16].prop_map(Share::from_basis_points);
    let day = || -86_400..604_800i64;
    let forced = proptest::option::of((share(), day()));
    (mode, share(), -86_400..5i64, day(), 0..100u32, 0..20usize, share(), forced).prop_map(
        |(mode, share, since, not_before, failed_rounds, opened, health, forced)| {
            let raised = |penalty: Penalty, _| penalty.raised(NOW, Duration::from_secs(300));
            let word = |(share, until)| Forced { share, until: moment(until), by: "ada".to_owned() };
            BreakerState {
                generation: 7,
                mode,
                share,
                since: moment(since),
                not_before: moment(not_before),
                failed_rounds,
                penalty: (0..opened).fold(Penalty::NONE, raised),
                health,
                forced: forced.map(word),
                ..BreakerState::new()
            }
        },
    )
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let few = || prop_oneof![3 => Just(0u32), 3 => 0..6u32, 1 => 0..500u32];
    let second = (few(), few(), few(), few(), few());
    let moments = || proptest::option::weighted(0.2, (-50..1_000i64).prop_map(moment));
    (proptest::collection::vec(second, 0..30), 0.0..200.0f64, 0..20u32, moments(), moments()).prop_map(
        |(counts, rate, environments, retry_after, spent_until)| {
            let at = |(ago, (good, bad, throttled, late, on_time))| SecondBucket {
                at: NOW.as_secs() - 30 + ago,
                good,
                bad,
                throttled,
                late,
                on_time,
            };
            let seconds = (0..).zip(counts).map(at).collect();
            let known = Evidence { environments, troubled_environments: environments, ..Evidence::default() };
            Evidence { seconds, rate, retry_after, spent_until, ..known }
        },
    )
}

proptest! {
    /// Covers every state that a crash, an admin or an earlier version may leave behind.
    #[test]
    fn no_state_is_stuck(before in any_state(), rate in 0.05..500.0f64, jitter in 0.0..1.0f64) {
        let (mut state, mut now) = (before, NOW);
        for _ in 0..40 {
            // Skip all waiting times.
            let until = state.forced.as_ref().map_or(NOW, |forced| forced.until);
            now = now.plus(Duration::from_secs(60)).max(until).max(state.not_before);
            let good = SecondBucket { at: now.as_secs(), good: 12, on_time: 12, ..SecondBucket::default() };
            let evidence = Evidence { seconds: vec![good], rate, environments: 1, ..Evidence::default() };
            state = step(&state, &evidence, now, jitter, &BreakerConfig::default()).unwrap_or(state);
        }
        prop_assert_eq!((state.share, state.forced), (Share::ALL, None));
        prop_assert!(!matches!(state.mode, Mode::Open | Mode::Probe));
    }

    #[test]
    fn health_says_what_led_to_a_decision(before in any_state(), evidence in any_evidence(), jitter in 0.0..1.0f64) {
        let before = BreakerState { forced: None, ..before };
        // The share of a state that no decision leads to cannot be judged.
        let is_sound = match before.mode {
            Mode::Closed => before.share == Share::ALL,
            Mode::Open | Mode::Probe => before.share == Share::NONE,
            Mode::Shed | Mode::Ramp => before.share > Share::NONE && before.share < Share::ALL,
        };
        if let Some(after) = step(&before, &evidence, NOW, jitter, &BreakerConfig::default()).filter(|_| is_sound) {
            is_judged(&before, &after);
        }
    }
}
