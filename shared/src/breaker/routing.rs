//! Which providers a call goes to, and in what order. No I/O.
//!
//! A provider's share is made of places: each session has one with each provider, by a hash, and is let through where its
//! place is below the share. So a session stays where it is while nothing changes (its prompt is in that provider's cache),
//! and when a share falls, those that are left were there before.

use super::breakers::Standing;
use super::config::BreakerConfig;
use super::state::{Mode, Share};
use super::step::floor;
use crate::clock::Timestamp;

/// Below this health a provider is of no use even where all are bad.
const USELESS: Share = Share::of(1_000);

/// Which call, and what it belongs to. A call that belongs to nothing is a session of its own: both are the same then.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// What keeps calls that belong together at one provider.
    pub session: &'a str,
    /// The call itself.
    pub call: &'a str,
}

/// A provider, as a call may go to it.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it stands.
    pub standing: &'a Standing,
    /// Whether the caller's data may go there.
    pub is_allowed: bool,
}

/// Why a call did not go to the provider that is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detour {
    /// The caller's data may not go there.
    Restricted,
    /// It gets no calls, or single ones.
    Open,
    /// It gets a part of the calls, and this one is not among them.
    Share,
    /// This environment keeps away from it.
    Local,
    /// The backup is kept warm.
    Warm,
}

impl Detour {
    /// How headers and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Open => "breaker-open",
            Self::Share => "breaker-share",
            Self::Local => "breaker-local",
            Self::Warm => "warm",
        }
    }
}

/// A provider that a call may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Which one, by its place among the candidates.
    pub provider: usize,
    /// It must be asked for first: a provider on probation takes single calls.
    pub is_probe: bool,
}

/// Where a call may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The providers, in the order in which they are to be tried.
    pub stops: Vec<Stop>,
    /// Why the first of them is not the one that is preferred.
    pub detour: Option<Detour>,
    /// All providers are bad: this is the least bad one.
    pub is_desperate: bool,
}

/// No provider takes the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// The caller's data may go to none of them.
    Restricted,
    /// None of them works; one may be asked again then.
    AllBad(Timestamp),
}

/// Where a session's place with a provider is: below [`Share::ALL`], and the same whatever the share is. It is FNV-1a
/// (<http://www.isthe.com/chongo/tech/comp/fnv/>) with a finish that spreads it over all bits.
pub fn place(session: &str, provider: &str) -> u16 {
    let bytes = session.bytes().chain([0]).chain(provider.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = mixed ^ (mixed >> 32);
    // Below 10,000, so it fits.
    (mixed % u64::from(Share::ALL.basis_points())) as u16
}

enum Passage {
    Passes,
    Probe,
    Not(Detour),
}

/// Where the call of `session` goes, of `candidates` in the order in which they are preferred. `warm` is the share of calls
/// that go to the second of them while the first one is well.
pub fn route(
    Whose { session, call }: Whose<'_>,
    candidates: &[Candidate<'_>],
    warm: Share,
    config: &BreakerConfig,
) -> Result<Route, NoRoute> {
    if candidates.iter().all(|candidate| !candidate.is_allowed) {
        return Err(NoRoute::Restricted);
    }
    let mut detour = None;
    let mut stops = Vec::with_capacity(candidates.len());
    for (provider, candidate) in candidates.iter().enumerate() {
        match passage(Whose { session, call }, candidate, config) {
            Passage::Passes => stops.push(Stop { provider, is_probe: false }),
            Passage::Probe => stops.push(Stop { provider, is_probe: true }),
            Passage::Not(why) => detour = detour.or((stops.is_empty()).then_some(why)),
        }
    }
    if let Some(warmed) = warmed(session, candidates, &stops, warm) {
        stops.retain(|stop| stop.provider != warmed.provider);
        stops.insert(0, warmed);
        detour = detour.or(Some(Detour::Warm));
    }
    let mut is_desperate = false;
    if stops.iter().all(|stop| stop.is_probe) {
        // A probe may be refused, and then there is nowhere to go.
        if let Some(provider) = desperate(session, candidates) {
            is_desperate = stops.first().is_none_or(|first| first.provider == provider);
            match stops.iter_mut().find(|stop| stop.provider == provider) {
                Some(stop) => stop.is_probe = false,
                None => stops.push(Stop { provider, is_probe: false }),
            }
        }
    }
    let Some(first) = stops.first() else { return Err(NoRoute::AllBad(soonest(candidates))) };
    let detour = detour.filter(|_| first.provider != 0);
    Ok(Route { stops, detour, is_desperate })
}

impl Candidate<'_> {
    /// What an admin says it gets, while that holds.
    fn forced(&self) -> Option<Share> {
        let Standing { state, now, .. } = self.standing;
        state.forced_at(*now).map(|forced| forced.share)
    }

    /// Whether it gets all calls, and nobody had to say so.
    fn is_whole(&self) -> bool {
        self.standing.state.mode == Mode::Closed && self.forced().is_none()
    }

    fn is_below(&self, session: &str, share: Share) -> bool {
        place(session, self.name) < share.basis_points()
    }
}

fn passage(Whose { session, call }: Whose<'_>, candidate: &Candidate<'_>, config: &BreakerConfig) -> Passage {
    let Candidate { standing, is_allowed, .. } = candidate;
    let (state, floor) = (&standing.state, floor(standing.rate, config));
    let is_below = |share| candidate.is_below(session, share);
    // Were the floor made of sessions too, a few of them could all be above it, and nothing would be known ever again.
    let is_of_the_floor = || candidate.is_below(call, floor);
    if !is_allowed {
        return Passage::Not(Detour::Restricted);
    }
    match candidate.forced() {
        Some(Share::NONE) => return Passage::Not(Detour::Open),
        Some(share) if is_below(share) => return Passage::Passes,
        Some(_) => return Passage::Not(Detour::Share),
        None => {}
    }
    if standing.is_away {
        return Passage::Not(Detour::Local);
    }
    match state.mode {
        Mode::Closed => Passage::Passes,
        Mode::Shed | Mode::Ramp if is_below(state.share) || is_of_the_floor() => Passage::Passes,
        Mode::Shed | Mode::Ramp => Passage::Not(Detour::Share),
        // While nobody decides anything nobody would ever find out that it is well again.
        Mode::Open | Mode::Probe if !standing.is_shared && standing.now >= state.not_before && is_of_the_floor() => {
            Passage::Passes
        }
        Mode::Probe if standing.is_shared => Passage::Probe,
        Mode::Open | Mode::Probe => Passage::Not(Detour::Open),
    }
}

/// The next provider, where it is warmed with what the first one gets in health. One that is on its way back is too, whatever
/// its share is: else it would be there only when it is needed, and not ready.
fn warmed(session: &str, candidates: &[Candidate<'_>], stops: &[Stop], warm: Share) -> Option<Stop> {
    let first = stops.first().filter(|stop| !stop.is_probe && candidates[stop.provider].is_whole())?;
    let is_warming = place(session, "warm") < warm.basis_points();
    let next = candidates.iter().enumerate().skip(first.provider + 1).find(|(_, candidate)| candidate.is_allowed);
    let (provider, candidate) = next.filter(|_| is_warming)?;
    if candidate.forced().is_some() || candidate.standing.is_away {
        return None;
    }
    match candidate.standing.state.mode {
        Mode::Open => None,
        Mode::Probe => candidate.standing.is_shared.then_some(Stop { provider, is_probe: true }),
        Mode::Closed | Mode::Shed | Mode::Ramp => Some(Stop { provider, is_probe: false }),
    }
}

/// Where all are bad: one by how much of its calls went well when it last was given up. What an admin says goes before that.
fn desperate(session: &str, candidates: &[Candidate<'_>]) -> Option<usize> {
    let may_get = |candidate: &Candidate<'_>| {
        candidate.is_allowed && candidate.forced().is_none_or(|share| candidate.is_below(session, share))
    };
    let health = |candidate: &Candidate<'_>| match candidate.standing.state.health {
        health if may_get(candidate) && health >= USELESS => u32::from(health.basis_points()),
        _ => 0,
    };
    let all: u32 = candidates.iter().map(health).sum();
    let mut at = u32::from(place(session, "desperate")) * all / u32::from(Share::ALL.basis_points());
    candidates.iter().position(|candidate| {
        let health = health(candidate);
        let is_it = at < health;
        at = at.saturating_sub(health);
        is_it
    })
}

/// When one of the providers may be asked again.
fn soonest(candidates: &[Candidate<'_>]) -> Timestamp {
    let allowed = candidates.iter().filter(|candidate| candidate.is_allowed);
    let moments = allowed.map(|candidate| candidate.standing.state.not_before.max(candidate.standing.now));
    moments.min().unwrap_or(Timestamp::from_millis(0))
}

#[cfg(test)]
mod tests;
