//! Alerts about providers: those that get no calls, and those that an admin has forced for more than a day.

use std::time::Duration;

use levee::alerts::Alert;
use levee::breaker::{BreakerState, Mode, Reason, Transition};
use levee::clock::Timestamp;

use super::COOL_DOWN;

/// Time without calls after which a provider is an alert.
const GIVEN_UP_FOR: Duration = Duration::from_secs(60);
/// Time after the end of its pause without any decision after which a provider counts as unused.
const FORGOTTEN: Duration = Duration::from_secs(10 * 60);
/// Time after which a forced provider is an alert, and the cool-down of that alert.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// State of a provider and its recent decisions.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerSummary {
    /// Name of the provider.
    pub provider: String,
    /// Present decision.
    pub state: BreakerState,
    /// Latest decisions, the newest first. Used only if the provider is given up.
    pub history: Vec<Transition>,
}

/// Returns true if the breaker itself, not an admin, gives the provider no calls or only probes.
pub fn is_given_up(state: &BreakerState) -> bool {
    state.forced.is_none() && matches!(state.mode, Mode::Open | Mode::Probe)
}

/// Returns the alerts for `standings` at `now`.
pub fn judge(standings: &[BreakerSummary], now: Timestamp) -> impl Iterator<Item = Alert> {
    standings.iter().filter_map(move |standing| given_up(standing, now).or_else(|| held(standing, now)))
}

/// Returns the alert about a provider that gets no calls for more than a minute and is still in use.
fn given_up(BreakerSummary { provider, state, history }: &BreakerSummary, now: Timestamp) -> Option<Alert> {
    if !is_given_up(state) || now >= state.since.max(state.not_before).plus(FORGOTTEN) {
        return None;
    }
    // Failed rounds of probes are decisions too. The provider was given up at the first of the latest consecutive
    // decisions that give it up.
    let first = history.iter().take_while(|decision| is_given_up(&decision.to)).last();
    let since = first.map_or(state.since, |first| first.at.min(state.since));
    let why = first.map_or(state.reason, |first| first.to.reason);
    (since.until(now) > GIVEN_UP_FOR).then(|| Alert {
        key: format!("breaker.open/{provider}"),
        title: format!("An AI provider gets no calls for more than a minute: {provider}"),
        detail: format!(
            "Given up at {}: {why}\nRounds of probes that failed since: {}\n\nCalls go to the other \
             providers, where there are any that they may go to. It is probed by itself, and comes back by steps. What was \
             decided: levee breaker history {provider}. Look at the provider's own status page.",
            since.to_rfc3339(),
            state.failed_rounds
        ),
        // A spent budget may last for days.
        cool_down: if why == Reason::Spent { A_DAY } else { COOL_DOWN },
    })
}

/// Returns the alert about a provider that an admin has forced for more than a day.
fn held(BreakerSummary { provider, state, .. }: &BreakerSummary, now: Timestamp) -> Option<Alert> {
    let forced = state.forced_at(now)?;
    (state.since.until(now) > A_DAY).then(|| Alert {
        key: format!("breaker.forced/{provider}"),
        title: format!("An AI provider is held by hand for more than a day: {provider}"),
        detail: format!(
            "Its share: {}\nSince {}, until {}\n\nWhatever happens to it, its breaker decides nothing meanwhile. Who said so \
             is told by: levee breaker show {provider}. Let the breaker decide again with: levee breaker release {provider}.",
            forced.share,
            state.since.to_rfc3339(),
            forced.until.to_rfc3339()
        ),
        cool_down: A_DAY,
    })
}

#[cfg(test)]
mod tests {
    use levee::breaker::{Grounds, Share, force};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

    fn ago(secs: u64) -> Timestamp {
        NOW.minus(Duration::from_secs(secs))
    }

    fn decided(generation: u64, mode: Mode, reason: Reason, secs_ago: u64) -> BreakerState {
        let share = if mode == Mode::Closed { Share::ALL } else { Share::NONE };
        BreakerState {
            generation,
            mode,
            share,
            reason,
            since: ago(secs_ago),
            not_before: ago(secs_ago),
            ..BreakerState::new()
        }
    }

    /// Returns a provider with these decisions, the oldest first.
    fn standing(states: &[BreakerState]) -> BreakerSummary {
        let decisions = states.windows(2).rev();
        let history = decisions.map(|it| Transition::new("primary", &it[0], it[1].clone(), Grounds::default(), "it"));
        BreakerSummary {
            provider: "primary".to_owned(),
            state: states.last().unwrap().clone(),
            history: history.collect(),
        }
    }

    fn keys(standing: BreakerSummary) -> Vec<String> {
        judge(&[standing], NOW).map(|alert| alert.key).collect()
    }

    #[test]
    fn a_provider_is_given_up_from_the_first_decision_on_however_many_rounds_of_probes_fail() {
        let rounds = |first| {
            standing(&[
                decided(1, Mode::Closed, Reason::Clean, 900),
                decided(2, Mode::Open, Reason::Failing, first),
                decided(3, Mode::Probe, Reason::Paused, 20),
                decided(4, Mode::Open, Reason::StillFailing, 10),
            ])
        };
        assert_eq!(keys(rounds(60)), Vec::<String>::new());
        assert_eq!(keys(rounds(61)), ["breaker.open/primary"]);
        let alert = judge(&[rounds(90)], NOW).next().unwrap();
        assert!(alert.detail.starts_with("Given up at 2026-11-22T01:13:48Z: failing\n"), "{}", alert.detail);
        // A provider that came back in between was not given up all the time.
        let back = standing(&[
            decided(1, Mode::Open, Reason::Failing, 300),
            decided(2, Mode::Closed, Reason::Clean, 100),
            decided(3, Mode::Open, Reason::Failing, 30),
        ]);
        assert_eq!(keys(back), Vec::<String>::new());
    }

    #[test]
    fn a_provider_that_nobody_calls_any_more_is_told_of_no_more() {
        let open = |secs_ago| standing(&[BreakerState::new(), decided(1, Mode::Open, Reason::Failing, secs_ago)]);
        assert_eq!(keys(open(599)), ["breaker.open/primary"]);
        assert_eq!(keys(open(600)), Vec::<String>::new());
    }

    #[test]
    fn who_is_held_by_hand_is_told_of_after_a_day_and_not_when_that_is_over() {
        let held = |share, secs_ago, until| {
            standing(&[BreakerState::new(), force(&BreakerState::new(), share, until, "cli:ada", ago(secs_ago))])
        };
        let (day, later) = (A_DAY.as_secs(), NOW.plus(A_DAY));
        for share in [Share::NONE, Share::from_basis_points(2_500), Share::ALL] {
            assert_eq!(keys(held(share, day, later)), Vec::<String>::new());
            assert_eq!(keys(held(share, day + 1, later)), ["breaker.forced/primary"]);
            assert_eq!(keys(held(share, day + 1, NOW)), Vec::<String>::new());
        }
        // Names of admins stay on pages that only admins can read.
        let alert = judge(&[held(Share::NONE, day + 1, later)], NOW).next().unwrap();
        assert!(!alert.detail.contains("cli:ada"), "{}", alert.detail);
    }

    #[test]
    fn a_provider_that_gets_calls_is_no_alert() {
        for mode in [Mode::Closed, Mode::Shed, Mode::Ramp] {
            assert_eq!(
                keys(standing(&[BreakerState::new(), decided(1, mode, Reason::Erring, 300)])),
                Vec::<String>::new()
            );
        }
    }
}
