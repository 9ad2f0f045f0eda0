//! The decision.

use std::time::Duration;

use super::config::BreakerConfig;
use super::evidence::{Evidence, Second, Totals};
use super::state::{Forced, Mode, Reason, Share, State};
use super::suspicion::{Suspicion, Test, bounds};
use crate::clock::Timestamp;

/// Most results are bad: the provider is given up. Five in a row are enough.
const FAILING: Test = Test { healthy: 0.10, sick: 0.60, threshold: 8.5 };
/// More results are bad than should be: the share falls.
const ERRING: Test = Test { healthy: 0.04, sick: 0.30, threshold: 6.5 };
/// More calls are late than should be. One of 20 is late by definition.
const SLOWING: Test = Test { healthy: 0.08, sick: 0.60, threshold: 8.0 };
/// Where at least so much is late, the provider is given up.
const STALLED: f64 = 0.59;
/// What is late is not lost: so much of it, at least, counts as having gone well.
const LATE_HEALTH: Share = Share::of(5_000);
/// Where at least so much is bad, the share falls to a fifth, else to half.
const STEEP: f64 = 0.25;

/// Probes: a round fails as soon as so much of it, at least, is bad; never on a single result.
const PROBES_FAIL_ABOVE: f64 = 0.30;
/// So many good probes and no bad one are enough.
const PROBES_TO_RECOVER: u32 = 5;
/// A round of so many probes ends, one way or the other.
const PROBES_TO_END: u32 = 10;
/// Of a whole round, at most so much may be bad.
const PROBES_BELOW: f64 = 0.25;

/// A share may rise while at most so much is bad, of as many results as make it likely that less than
/// [`MAY_RISE_BELOW`] is.
const MAY_RISE_WITH: f64 = 0.105;
/// See [`MAY_RISE_WITH`].
const MAY_RISE_BELOW: f64 = 0.30;

/// The next decision about a provider at `now`; `None` where it stays as it is. `jitter` is a random figure of 0 to 1, by
/// which pauses differ. The new state's generation is one more.
///
/// The evidence must be of the state's own generation.
pub fn step(state: &State, evidence: &Evidence, now: Timestamp, jitter: f64, config: &BreakerConfig) -> Option<State> {
    let step = Step { state, evidence, now, jitter, config };
    if let Some(forced) = &state.forced {
        return (now >= forced.until).then(|| step.released(forced.share));
    }
    // A spent budget is a fact, not a suspicion.
    if let Some(until) = evidence.spent_until.filter(|until| *until > now && *until > state.not_before) {
        let health = Share::NONE;
        return Some(State { not_before: until, health, ..step.to(Mode::Open, Share::NONE, Reason::Spent) });
    }
    match state.mode {
        // Calls that nobody else could take have shown that it is well.
        Mode::Open if evidence.good_since_trouble() >= PROBES_TO_RECOVER => Some(step.recovered()),
        Mode::Open => (now >= state.not_before).then(|| step.to(Mode::Probe, Share::NONE, Reason::Paused)),
        Mode::Probe => step.probe(),
        Mode::Closed | Mode::Shed | Mode::Ramp => step.fall().or_else(|| step.rise()),
    }
}

/// The decision that an admin's word makes: `share` of the calls until `until`, whatever happens.
pub fn force(state: &State, share: Share, until: Timestamp, by: &str, now: Timestamp) -> State {
    let mode = match share {
        Share::ALL => Mode::Closed,
        Share::NONE => Mode::Open,
        _ => Mode::Ramp,
    };
    let forced = Some(Forced { share, until, by: by.to_owned() });
    let generation = state.generation + 1;
    let reason = Reason::Forced;
    State { generation, mode, share, since: now, not_before: until, reason, forced, word: generation, ..state.clone() }
}

/// The decision that takes an admin's word back; `None` where there is none.
pub fn release(state: &State, now: Timestamp, config: &BreakerConfig) -> Option<State> {
    let forced = state.forced.as_ref()?;
    let step = Step { state, evidence: &Evidence::default(), now, jitter: 0.0, config };
    let released = step.released(forced.share);
    Some(State { word: released.generation, ..released })
}

/// The least share that is any use at `rate` calls a second: less would not bring enough results to judge by.
pub fn floor(rate: f64, config: &BreakerConfig) -> Share {
    let floor = f64::from(Share::ALL.basis_points()) * config.floor_rate / rate.max(0.001);
    // Below the largest floor it fits.
    let largest = config.largest_floor;
    if floor >= f64::from(largest.basis_points()) { largest } else { Share::of(floor as u16) }
}

struct Step<'a> {
    state: &'a State,
    evidence: &'a Evidence,
    now: Timestamp,
    jitter: f64,
    config: &'a BreakerConfig,
}

impl Step<'_> {
    fn to(&self, mode: Mode, share: Share, reason: Reason) -> State {
        let generation = self.state.generation + 1;
        State { generation, mode, share, since: self.now, reason, forced: None, ..self.state.clone() }
    }

    /// Gives the provider up for a while, which is longer the more rounds of probes have failed, and the more often it was
    /// given up lately.
    fn open(&self, reason: Reason, health: Share) -> State {
        let Self { state, now, config, .. } = self;
        let is_fresh = state.mode != Mode::Probe;
        let half_life = config.penalty_half_life;
        let penalty = if is_fresh { state.penalty.raised(*now, half_life) } else { state.penalty };
        let failed_rounds = if is_fresh { 0 } else { state.failed_rounds.saturating_add(1) };
        let doublings = f64::from(failed_rounds) + (penalty.at(*now, half_life) - 1.0).max(0.0);
        let pause = config.longest_pause.min(config.first_pause.mul_f64(2f64.powf(doublings.min(16.0))));
        let not_before = now.plus(pause.mul_f64(0.8 + 0.4 * self.jitter)).max(self.asked_for());
        State { penalty, failed_rounds, not_before, health, ..self.to(Mode::Open, Share::NONE, reason) }
    }

    /// When the provider wants to be asked again, within reason.
    fn asked_for(&self) -> Timestamp {
        let latest = self.now.plus(self.config.longest_retry_after);
        self.evidence.retry_after.map_or(self.now, |at| at.min(latest))
    }

    /// Returns whether enough environments and accounts are in trouble for it to be the provider's.
    fn is_of_the_provider(&self) -> bool {
        let Evidence { environments, troubled_environments, .. } = *self.evidence;
        troubled_environments >= self.config.quorum.min(environments).max(1)
    }

    /// Returns whether what `troubled` accounts got is not one account's alone, whose calls may be at fault themselves.
    fn is_of_many(&self, troubled: u32) -> bool {
        troubled >= self.config.account_quorum.min(self.evidence.accounts)
    }

    fn recovered(&self) -> State {
        State { failed_rounds: 0, ..self.to(Mode::Ramp, Share::LADDER[0], Reason::Recovered) }
    }

    fn probe(&self) -> Option<State> {
        let totals = self.evidence.totals();
        let Totals { results, late, .. } = totals;
        let troubled = totals.troubled();
        let (at_least, at_most) = bounds(troubled, results);
        // What is late has no result yet, so that both may count one call.
        let is_stalled = late >= 2 && late + troubled >= results;
        let health = match troubled {
            0 => LATE_HEALTH,
            _ => Share::without(troubled, results),
        };
        let failed = || self.open(Reason::StillFailing, health);
        let is_bad = (results >= 2 && at_least > PROBES_FAIL_ABOVE) || is_stalled;
        let Evidence { troubled_accounts, late_accounts, .. } = *self.evidence;
        let is_of_many = self.is_of_many(troubled_accounts.max(late_accounts));
        if is_bad && is_of_many {
            return Some(failed());
        }
        // Where there are few calls, time will do.
        let is_quiet = results >= 1 && self.state.since.until(self.now) >= self.config.quiet_dwell;
        let is_clean = (results >= PROBES_TO_RECOVER || is_quiet) && troubled == 0;
        if is_clean || (results >= PROBES_TO_END && at_most < 0.40) {
            return Some(self.recovered());
        }
        let is_bad = results >= PROBES_TO_END && f64::from(troubled) / f64::from(results) > PROBES_BELOW;
        (is_bad && is_of_many).then(failed)
    }

    fn fall(&self) -> Option<State> {
        if !self.is_of_the_provider() {
            return None;
        }
        let Evidence { troubled_accounts, late_accounts, .. } = *self.evidence;
        let weigh = |test: Test, accounts, count: fn(&Second) -> (u32, u32)| {
            let suspicion = test.weigh(&self.evidence.seconds, count);
            Suspicion { is_certain: suspicion.is_certain && self.is_of_many(accounts), ..suspicion }
        };
        let failing = weigh(FAILING, troubled_accounts, |second| (second.good + second.throttled, second.bad));
        if failing.is_certain {
            return Some(self.open(Reason::Failing, failing.health));
        }
        let late = weigh(SLOWING, late_accounts, |second| (second.on_time, second.late));
        let late = Suspicion { health: late.health.max(LATE_HEALTH), ..late };
        if late.is_certain && late.at_least > STALLED {
            return Some(self.open(Reason::Stalling, late.health));
        }
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

    fn shed(&self, why: Reason, suspicion: Suspicion) -> Option<State> {
        let is_steep = why == Reason::Slowing || suspicion.at_least > STEEP;
        let share = self.state.share.part(if is_steep { 5 } else { 2 });
        // Below the floor a smaller share would be the same one.
        let smallest = self.config.smallest_share.max(floor(self.evidence.rate, self.config));
        let share = match (share < smallest, why) {
            (false, _) => share,
            // Being limited is no reason to give a provider up.
            (true, Reason::Throttled) if self.state.share > smallest => smallest,
            (true, Reason::Throttled) => return None,
            (true, _) => return Some(self.open(why, suspicion.health)),
        };
        Some(State { not_before: self.asked_for(), health: suspicion.health, ..self.to(Mode::Shed, share, why) })
    }

    fn rise(&self) -> Option<State> {
        let Self { state, now, config, .. } = self;
        if state.share >= Share::ALL || *now < state.not_before.max(self.asked_for()) {
            return None;
        }
        // Who was given up often lately comes back slowly.
        let penalty = state.penalty.at(*now, config.penalty_half_life);
        let dwell: Duration = config.dwell.mul_f64(1.0 + (penalty - 1.0).clamp(0.0, 4.0));
        let totals = self.evidence.totals();
        let (troubled, results) = (totals.troubled(), totals.results);
        let is_clean = troubled == 0
            || (bounds(troubled, results).1 < MAY_RISE_BELOW
                && f64::from(troubled) / f64::from(results.max(1)) < MAY_RISE_WITH);
        let held = state.since.until(*now);
        if held < dwell || !is_clean {
            return None;
        }
        // Results raise the share by one step. Time without bad ones does so too, and by as many as it would have meanwhile:
        // on a quiet stack nobody looks for hours.
        let steps = match results >= config.results_to_rise {
            true => 1,
            false => (held.as_secs() / config.quiet_dwell.max(dwell).as_secs().max(1)).min(Share::LADDER.len() as u64),
        };
        if steps == 0 {
            return None;
        }
        let share = (0..steps).fold(state.share, |share, _| share.next());
        if share == Share::ALL {
            return Some(State { health: Share::ALL, ..self.to(Mode::Closed, share, Reason::Clean) });
        }
        Some(self.to(Mode::Ramp, share, Reason::Clean))
    }

    /// What holds after what an admin said is over: what it came to, as if it had come so by itself.
    fn released(&self, share: Share) -> State {
        let (mode, share) = match share {
            Share::ALL => (Mode::Closed, share),
            share if share < self.config.smallest_share => (Mode::Probe, Share::NONE),
            share => (Mode::Ramp, share),
        };
        State { not_before: self.now, ..self.to(mode, share, Reason::Forced) }
    }
}

#[cfg(test)]
mod tests;
