//! The decision function: from a state and the evidence since then to the next state.

use std::time::Duration;

use super::config::BreakerConfig;
use super::evidence::{Evidence, SecondBucket, Totals};
use super::state::{BreakerState, Forced, Mode, Reason, Share};
use super::suspicion::{Suspicion, Test, bounds};
use crate::clock::Timestamp;

/// Most results are bad: the circuit opens. Five bad results in a row are enough.
const FAILING: Test = Test { healthy: 0.10, sick: 0.60, threshold: 8.5 };
/// The error rate is raised: the share falls.
const ERRING: Test = Test { healthy: 0.04, sick: 0.30, threshold: 6.5 };
/// The rate of late calls is raised. In health one call of 20 is late by definition.
const SLOWING: Test = Test { healthy: 0.08, sick: 0.60, threshold: 8.0 };
/// Lower bound of the ratio of late calls above which the circuit opens.
const STALLED: f64 = 0.59;
/// Smallest health that is recorded for late calls, since a late call is usually still served.
const LATE_HEALTH: Share = Share::from_basis_points(5_000);
/// Lower bound of the bad ratio above which the share falls to a fifth instead of a half.
const STEEP: f64 = 0.25;

/// Lower bound of the bad ratio above which a round of probes fails at once. A single result never fails a round.
const PROBES_FAIL_ABOVE: f64 = 0.30;
/// Good results that end a round of probes, or an open phase, if none was bad.
const PROBES_TO_RECOVER: u32 = 5;
/// Probes after which a round may end although some were bad.
const PROBES_TO_END: u32 = 10;
/// Bad ratio above which a round of [`PROBES_TO_END`] probes fails.
const PROBES_BELOW: f64 = 0.25;

/// Bad ratio from which on a share may not rise.
const MAY_RISE_WITH: f64 = 0.105;
/// Value that the upper bound of the bad ratio must be below for a share to rise.
const MAY_RISE_BELOW: f64 = 0.30;

/// Returns the next decision about a provider at `now`, or `None` if the present one stays. `jitter` is a random
/// number from 0 to 1 by which the lengths of pauses vary. The new state's generation is one higher.
///
/// The evidence must be of the state's own generation.
pub fn step(
    state: &BreakerState,
    evidence: &Evidence,
    now: Timestamp,
    jitter: f64,
    config: &BreakerConfig,
) -> Option<BreakerState> {
    let step = Step { state, evidence, now, jitter, config };
    // An override holds until it expires, whatever the evidence says.
    if let Some(forced) = &state.forced {
        return (now >= forced.until).then(|| step.released(forced.share));
    }
    // A spent budget opens the circuit at once: the provider said so, there is nothing to weigh.
    if let Some(until) = evidence.spent_until.filter(|until| *until > now && *until > state.not_before) {
        let health = Share::NONE;
        return Some(BreakerState { not_before: until, health, ..step.to(Mode::Open, Share::NONE, Reason::Spent) });
    }
    match state.mode {
        // Calls that no other provider could take have shown that this one is well.
        Mode::Open if evidence.good_since_trouble() >= PROBES_TO_RECOVER => Some(step.recovered()),
        Mode::Open => (now >= state.not_before).then(|| step.to(Mode::Probe, Share::NONE, Reason::Paused)),
        Mode::Probe => step.probe(),
        Mode::Closed | Mode::Shed | Mode::Ramp => step.fall().or_else(|| step.rise()),
    }
}

/// Returns the decision of an admin's override: `share` of the calls until `until`, whatever the evidence says.
pub fn force(state: &BreakerState, share: Share, until: Timestamp, by: &str, now: Timestamp) -> BreakerState {
    let mode = match share {
        Share::ALL => Mode::Closed,
        Share::NONE => Mode::Open,
        _ => Mode::Ramp,
    };
    let forced = Some(Forced { share, until, by: by.to_owned() });
    let generation = state.generation + 1;
    let reason = Reason::Forced;
    BreakerState {
        generation,
        mode,
        share,
        since: now,
        not_before: until,
        reason,
        forced,
        word: generation,
        ..state.clone()
    }
}

/// Returns the decision that ends an admin's override, or `None` if there is no override.
pub fn release(state: &BreakerState, now: Timestamp, config: &BreakerConfig) -> Option<BreakerState> {
    let forced = state.forced.as_ref()?;
    let step = Step { state, evidence: &Evidence::default(), now, jitter: 0.0, config };
    let released = step.released(forced.share);
    Some(BreakerState { word: released.generation, ..released })
}

/// Returns the smallest useful share at `rate` calls a second: a smaller one would bring too few results.
pub fn floor(rate: f64, config: &BreakerConfig) -> Share {
    let floor = f64::from(Share::ALL.basis_points()) * config.floor_rate / rate.max(0.001);
    // Below the largest floor it fits.
    let largest = config.largest_floor;
    if floor >= f64::from(largest.basis_points()) { largest } else { Share::from_basis_points(floor as u16) }
}

struct Step<'a> {
    state: &'a BreakerState,
    evidence: &'a Evidence,
    now: Timestamp,
    jitter: f64,
    config: &'a BreakerConfig,
}

impl Step<'_> {
    fn to(&self, mode: Mode, share: Share, reason: Reason) -> BreakerState {
        let generation = self.state.generation + 1;
        BreakerState { generation, mode, share, since: self.now, reason, forced: None, ..self.state.clone() }
    }

    /// Opens the circuit. The pause is longer the more rounds of probes have failed and the more often the circuit
    /// opened recently.
    fn open(&self, reason: Reason, health: Share) -> BreakerState {
        let Self { state, now, config, .. } = self;
        // A failed round of probes continues the present opening. Any other opening adds to the penalty.
        let is_fresh = state.mode != Mode::Probe;
        let half_life = config.penalty_half_life;
        let penalty = if is_fresh { state.penalty.raised(*now, half_life) } else { state.penalty };
        let failed_rounds = if is_fresh { 0 } else { state.failed_rounds.saturating_add(1) };
        // Each failed round and each recent opening doubles the pause. It varies by 20 % and respects Retry-After.
        let doublings = f64::from(failed_rounds) + (penalty.at(*now, half_life) - 1.0).max(0.0);
        let pause = config.longest_pause.min(config.first_pause.mul_f64(2f64.powf(doublings.min(16.0))));
        let not_before = now.plus(pause.mul_f64(0.8 + 0.4 * self.jitter)).max(self.asked_for());
        BreakerState { penalty, failed_rounds, not_before, health, ..self.to(Mode::Open, Share::NONE, reason) }
    }

    /// Returns the time until which the provider asks not to be called, limited by `longest_retry_after`.
    fn asked_for(&self) -> Timestamp {
        let latest = self.now.plus(self.config.longest_retry_after);
        self.evidence.retry_after.map_or(self.now, |at| at.min(latest))
    }

    /// Returns true if enough environments see bad results for the provider to be the cause.
    fn is_of_the_provider(&self) -> bool {
        let Evidence { environments, troubled_environments, .. } = *self.evidence;
        troubled_environments >= self.config.quorum.min(environments).max(1)
    }

    /// Returns true if `troubled` accounts are enough. One account's calls may be at fault themselves.
    fn is_of_many(&self, troubled: u32) -> bool {
        troubled >= self.config.account_quorum.min(self.evidence.accounts)
    }

    fn recovered(&self) -> BreakerState {
        BreakerState { failed_rounds: 0, ..self.to(Mode::Ramp, Share::LADDER[0], Reason::Recovered) }
    }

    fn probe(&self) -> Option<BreakerState> {
        let totals = self.evidence.totals();
        let Totals { results, late, .. } = totals;
        let troubled = totals.troubled();
        let (at_least, at_most) = bounds(troubled, results);
        // A late call has no result yet, so one call may count as late and as bad.
        let is_stalled = late >= 2 && late + troubled >= results;
        let health = match troubled {
            0 => LATE_HEALTH,
            _ => Share::without(troubled, results),
        };
        let failed = || self.open(Reason::StillFailing, health);
        // The round fails as soon as it is clearly bad for enough accounts.
        let is_bad = (results >= 2 && at_least > PROBES_FAIL_ABOVE) || is_stalled;
        let Evidence { troubled_accounts, late_accounts, .. } = *self.evidence;
        let is_of_many = self.is_of_many(troubled_accounts.max(late_accounts));
        if is_bad && is_of_many {
            return Some(failed());
        }
        // It succeeds with enough clean results, or with fewer after a time if there are few calls.
        let is_quiet = results >= 1 && self.state.since.until(self.now) >= self.config.quiet_dwell;
        let is_clean = (results >= PROBES_TO_RECOVER || is_quiet) && troubled == 0;
        if is_clean || (results >= PROBES_TO_END && at_most < 0.40) {
            return Some(self.recovered());
        }
        // At full length it fails if too much was bad. In between it goes on.
        let is_bad = results >= PROBES_TO_END && f64::from(troubled) / f64::from(results) > PROBES_BELOW;
        (is_bad && is_of_many).then(failed)
    }

    fn fall(&self) -> Option<BreakerState> {
        if !self.is_of_the_provider() {
            return None;
        }
        let Evidence { troubled_accounts, late_accounts, .. } = *self.evidence;
        // A verdict counts only if enough accounts are affected.
        let weigh = |test: Test, accounts, count: fn(&SecondBucket) -> (u32, u32)| {
            let suspicion = test.weigh(&self.evidence.seconds, count);
            Suspicion { is_certain: suspicion.is_certain && self.is_of_many(accounts), ..suspicion }
        };
        // Most results are bad, or most calls are late: open the circuit.
        let failing = weigh(FAILING, troubled_accounts, |second| (second.good + second.throttled, second.bad));
        if failing.is_certain {
            return Some(self.open(Reason::Failing, failing.health));
        }
        let late = weigh(SLOWING, late_accounts, |second| (second.on_time, second.late));
        let late = Suspicion { health: late.health.max(LATE_HEALTH), ..late };
        if late.is_certain && late.at_least > STALLED {
            return Some(self.open(Reason::Stalling, late.health));
        }
        // Too many results are bad, late or throttled: reduce the share. The first reason that applies is recorded.
        let erring = weigh(ERRING, troubled_accounts, |second| (second.good + second.throttled, second.bad));
        let troubled = weigh(ERRING, troubled_accounts, |second| (second.good, second.bad + second.throttled));
        let (why, suspicion) = match (erring.is_certain, late.is_certain, troubled.is_certain) {
            (true, ..) => (Reason::Erring, erring),
            (_, true, _) => (Reason::Slowing, late),
            (.., true) => (Reason::Throttled, troubled),
            _ => return None,
        };
        self.shed(why, suspicion)
    }

    fn shed(&self, why: Reason, suspicion: Suspicion) -> Option<BreakerState> {
        let is_steep = why == Reason::Slowing || suspicion.at_least > STEEP;
        let share = self.state.share.part(if is_steep { 5 } else { 2 });
        // A share below the floor would get the same calls as the floor.
        let smallest = self.config.smallest_share.max(floor(self.evidence.rate, self.config));
        let share = match (share < smallest, why) {
            (false, _) => share,
            // A rate limit is no reason to open the circuit: the share stays at the floor.
            (true, Reason::Throttled) if self.state.share > smallest => smallest,
            (true, Reason::Throttled) => return None,
            (true, _) => return Some(self.open(why, suspicion.health)),
        };
        Some(BreakerState { not_before: self.asked_for(), health: suspicion.health, ..self.to(Mode::Shed, share, why) })
    }

    fn rise(&self) -> Option<BreakerState> {
        let Self { state, now, config, .. } = self;
        if state.share >= Share::ALL || *now < state.not_before.max(self.asked_for()) {
            return None;
        }
        // A provider that was often opened recently comes back more slowly.
        let penalty = state.penalty.at(*now, config.penalty_half_life);
        let dwell: Duration = config.dwell.mul_f64(1.0 + (penalty - 1.0).clamp(0.0, 4.0));
        // The results must be clean: none bad, or few of many.
        let totals = self.evidence.totals();
        let (troubled, results) = (totals.troubled(), totals.results);
        let is_clean = troubled == 0
            || (bounds(troubled, results).1 < MAY_RISE_BELOW
                && f64::from(troubled) / f64::from(results.max(1)) < MAY_RISE_WITH);
        let held = state.since.until(*now);
        if held < dwell || !is_clean {
            return None;
        }
        // Enough results raise the share by one step. Without them, time without bad results does: by one step for
        // each dwell that has passed, because on a quiet stack hours may pass between two evaluations.
        let steps = match results >= config.results_to_rise {
            true => 1,
            false => (held.as_secs() / config.quiet_dwell.max(dwell).as_secs().max(1)).min(Share::LADDER.len() as u64),
        };
        if steps == 0 {
            return None;
        }
        let share = (0..steps).fold(state.share, |share, _| share.next());
        if share == Share::ALL {
            return Some(BreakerState { health: Share::ALL, ..self.to(Mode::Closed, share, Reason::Clean) });
        }
        Some(self.to(Mode::Ramp, share, Reason::Clean))
    }

    /// Returns the decision after an override of `share`, in the mode that the breaker itself uses for that share.
    fn released(&self, share: Share) -> BreakerState {
        let (mode, share) = match share {
            Share::ALL => (Mode::Closed, share),
            share if share < self.config.smallest_share => (Mode::Probe, Share::NONE),
            share => (Mode::Ramp, share),
        };
        BreakerState { not_before: self.now, ..self.to(mode, share, Reason::Forced) }
    }
}

#[cfg(test)]
mod tests;
