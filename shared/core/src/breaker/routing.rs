//! Orders the providers for one call. No I/O.
//!
//! A share says which provider is asked *first*. It limits a provider only as far as another one takes the rest:
//! behind the first provider all others stay on the call's list. If no other provider is left,
//! [`Room`](super::room::Room) and not the share limits the calls to a provider.
//!
//! Each session has a place with each provider, by a hash, and is let through if its place is below the provider's
//! share. So a session stays with its provider while the share does not change (its prompt is in that provider's
//! cache), and if a share falls, the sessions that remain were there before.
//!
//! Start reading at [`route`].

use super::config::BreakerConfig;
use super::provider_status::ProviderStatus;
use super::room::By;
use super::state::{BreakerState, Mode, Reason, Share};
use super::step::floor;
use crate::clock::Timestamp;

/// Identity of a call: its session and itself. Without a session both are the same.
#[derive(Debug, Clone, Copy)]
pub struct Affinity<'a> {
    /// Key that keeps the calls of a session at one provider.
    pub session: &'a str,
    /// Key of the call itself.
    pub call: &'a str,
}

/// Provider that a call may be sent to.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Name of the provider.
    pub name: &'a str,
    /// Status of the provider.
    pub standing: &'a ProviderStatus,
    /// True if the caller's data may be sent to the provider.
    pub is_allowed: bool,
}

/// Reason why a call does not go to the preferred provider first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FallbackReason {
    /// The caller's data may not be sent to it.
    Restricted,
    /// It gets no calls, or single ones only.
    Open,
    /// It gets a part of the calls, and this call is not in that part.
    Share,
    /// This environment's own breaker keeps away from it.
    Local,
    /// The backup provider is kept warm with this call.
    Warm,
}

impl FallbackReason {
    /// Returns the name in headers and logs.
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

/// Entry of a call's list of providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Index of the provider among the candidates.
    pub provider: usize,
    /// Condition for sending the call there.
    pub entry: Entry,
}

/// Condition for sending a call to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// No condition.
    Free,
    /// The caller needs a probe slot: a half-open provider takes single calls.
    Probe,
    /// The caller needs room: the provider's share does not cover this call, and is no limit because no other
    /// provider is left.
    Room,
    /// The caller needs a slot: the provider asked for a pause, and is called only to check that it still applies.
    Pause,
    /// The same, for a call that no other provider is left for.
    LastPause,
}

impl Entry {
    /// Returns the rule that lets a call through under this condition. `has_room` is true if the provider has room
    /// for all calls, so that the call needs no credit.
    pub const fn by(self, has_room: bool) -> By {
        match self {
            Self::Probe => By::Probe,
            Self::Room if !has_room => By::Room,
            Self::Room | Self::Free | Self::Pause | Self::LastPause => By::Share,
        }
    }
}

/// Providers that a call may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePlan {
    /// Providers in the order in which to try them. A half-open provider is listed a second time, for a call that no
    /// other provider is left for.
    pub stops: Vec<Target>,
    /// Reason why the first stop is not the preferred provider.
    pub detour: Option<FallbackReason>,
}

/// No provider can take the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// The caller's data may not be sent to any provider.
    Restricted,
    /// No provider may be called before this time.
    AllOut(Timestamp),
}

/// Returns a session's place with a provider: below [`Share::ALL`], and independent of the share. It is an FNV-1a
/// hash (<http://www.isthe.com/chongo/tech/comp/fnv/>) with a final mix that spreads it over all bits.
pub fn place(session: &str, provider: &str) -> u16 {
    let bytes = session.bytes().chain([0]).chain(provider.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = mixed ^ (mixed >> 32);
    // Below 10,000, so it fits.
    (mixed % u64::from(Share::ALL.basis_points())) as u16
}

/// Decision about one provider as the first stop of a call.
enum Eligibility {
    Enters(Entry),
    Not(FallbackReason),
}

/// Returns the providers for the call `whose`, from `candidates` in order of preference. `warm` is the share of
/// sessions that go to the second candidate while the first one is well.
///
/// A share decides which provider is asked first. All others follow, the healthiest first, so that a call does not
/// end in an error while some provider could serve it.
///
/// # Errors
/// Returns [`NoRoute`] if no provider may be called at all.
pub fn route(
    whose: Affinity<'_>,
    candidates: &[Candidate<'_>],
    warm: Share,
    config: &BreakerConfig,
) -> Result<RoutePlan, NoRoute> {
    if candidates.iter().all(|candidate| !candidate.is_allowed) {
        return Err(NoRoute::Restricted);
    }

    // Choose the first provider by preference, place and share.
    let mut detour = None;
    let mut entering = Vec::with_capacity(candidates.len());
    for (provider, candidate) in candidates.iter().enumerate() {
        match passage(whose, candidate, config) {
            Eligibility::Enters(entry) => entering.push(Target { provider, entry }),
            Eligibility::Not(why) => detour = detour.or(entering.is_empty().then_some(why)),
        }
    }
    // Send a part of the sessions to the backup first, to keep it warm.
    let warmed = warmed(whose.session, candidates, &entering, warm);
    detour = detour.or(warmed.map(|_| FallbackReason::Warm));
    let mut stops: Vec<Target> = warmed.or(entering.first().copied()).into_iter().collect();

    // Append all others, the healthiest first.
    let is_first =
        |provider| stops.first().is_some_and(|first| first.provider == provider && first.entry != Entry::Probe);
    let mut others: Vec<usize> =
        (0..candidates.len()).filter(|at| !is_first(*at) && !candidates[*at].is_out()).collect();
    others.sort_by_key(|at| candidates[*at].rank());
    let entry = |provider| {
        let is_free = entering.iter().any(|stop| stop.provider == provider && stop.entry == Entry::Free);
        if is_free { Entry::Free } else { Entry::Room }
    };
    stops.extend(others.into_iter().map(|provider| Target { provider, entry: entry(provider) }));

    // A share leaves calls to other providers. If none of these can help, room decides about all calls.
    for stop in &mut stops {
        let is_alone = candidates.iter().enumerate().all(|(other, it)| other == stop.provider || !it.can_help());
        if stop.entry == Entry::Free && is_alone && candidates[stop.provider].is_shedding() {
            stop.entry = Entry::Room;
        }
    }

    // Append the providers that asked for a pause, if this account may call them.
    for (provider, candidate) in candidates.iter().enumerate() {
        let may_ask = candidate.is_paused() && candidate.standing.pause.is_some_and(|pause| pause.may_ask);
        let is_there = stops.iter().any(|stop| stop.provider == provider);
        if candidate.is_allowed && !candidate.is_held_out() && may_ask && !is_there {
            stops.push(Target { provider, entry: Entry::LastPause });
        }
    }
    let Some(first) = stops.first() else { return Err(NoRoute::AllOut(soonest(candidates))) };
    let detour = detour.filter(|_| first.provider != 0);
    Ok(RoutePlan { stops, detour })
}

impl Candidate<'_> {
    /// Returns the share that an override gives it, while the override is in force.
    fn forced(&self) -> Option<Share> {
        let ProviderStatus { state, now, .. } = self.standing;
        state.forced_at(*now).map(|forced| forced.share)
    }

    /// Returns true if it gets all calls without an override.
    fn is_whole(&self) -> bool {
        self.standing.state.mode == Mode::Closed && self.forced().is_none()
    }

    fn is_below(&self, session: &str, share: Share) -> bool {
        place(session, self.name) < share.basis_points()
    }

    /// Returns true if an override gives it no calls, or the platform's budget there is spent.
    fn is_held_out(&self) -> bool {
        let ProviderStatus { state, now, .. } = self.standing;
        let is_spent = state.mode == Mode::Open && state.reason == Reason::Spent && *now < state.not_before;
        self.forced() == Some(Share::NONE) || (is_spent && self.forced().is_none())
    }

    /// Returns true if it has a partial share and no room for all calls.
    fn is_shedding(&self) -> bool {
        let ProviderStatus { state, has_room, .. } = self.standing;
        matches!(state.mode, Mode::Shed | Mode::Ramp) && !has_room && self.forced().is_none()
    }

    /// Returns true if it is expected to serve the calls that another provider's share leaves.
    fn can_help(&self) -> bool {
        let ProviderStatus { state, has_room, is_away, .. } = self.standing;
        let serves = match state.mode {
            Mode::Closed => true,
            Mode::Shed | Mode::Ramp => *has_room,
            Mode::Open | Mode::Probe => false,
        };
        serves && !is_away && !self.is_out()
    }

    /// Returns true if it may not be called, even if no other provider is left.
    fn is_out(&self) -> bool {
        !self.is_allowed || self.is_held_out() || self.is_paused()
    }

    /// Returns true if it asked for a pause and no override is in force.
    fn is_paused(&self) -> bool {
        self.standing.pause.is_some() && self.forced().is_none()
    }

    /// Returns its rank by health; lower is better.
    fn rank(&self) -> (bool, u8, std::cmp::Reverse<Share>) {
        let BreakerState { mode, share, .. } = self.standing.state;
        let rank = match mode {
            Mode::Closed => 0,
            Mode::Shed => 1,
            Mode::Ramp => 2,
            Mode::Probe => 3,
            Mode::Open => 4,
        };
        (self.standing.is_away, rank, std::cmp::Reverse(self.forced().unwrap_or(share)))
    }
}

/// Returns the condition under which a provider takes the call first, or the reason why it does not.
fn passage(Affinity { session, call }: Affinity<'_>, candidate: &Candidate<'_>, config: &BreakerConfig) -> Eligibility {
    let Candidate { standing, is_allowed, .. } = candidate;
    let (state, floor) = (&standing.state, floor(standing.rate, config));
    let is_below = |share| candidate.is_below(session, share);
    // The floor goes by call, not by session: otherwise all of a few sessions could be above it, and the provider
    // would get no results to recover by.
    let is_of_the_floor = || candidate.is_below(call, floor);
    if !is_allowed {
        return Eligibility::Not(FallbackReason::Restricted);
    }
    // An override decides before anything else.
    match candidate.forced() {
        Some(Share::NONE) => return Eligibility::Not(FallbackReason::Open),
        Some(share) if is_below(share) => return Eligibility::Enters(Entry::Free),
        Some(_) => return Eligibility::Not(FallbackReason::Share),
        None => {}
    }
    // A provider that asked for a pause gets a call only if a check is due.
    if let Some(pause) = standing.pause {
        return if pause.is_probe_due {
            Eligibility::Enters(Entry::Pause)
        } else {
            Eligibility::Not(FallbackReason::Open)
        };
    }
    if standing.is_away {
        return Eligibility::Not(FallbackReason::Local);
    }
    // The breaker's decision: all calls, those below the share or the floor, probes, or none.
    match state.mode {
        Mode::Closed => Eligibility::Enters(Entry::Free),
        Mode::Shed | Mode::Ramp if is_below(state.share) || is_of_the_floor() => Eligibility::Enters(Entry::Free),
        Mode::Shed | Mode::Ramp => Eligibility::Not(FallbackReason::Share),
        // No environment evaluates while results are not shared, so the floor has to discover a recovery.
        Mode::Open | Mode::Probe if !standing.is_shared && standing.now >= state.not_before && is_of_the_floor() => {
            Eligibility::Enters(Entry::Free)
        }
        Mode::Probe if standing.is_shared => Eligibility::Enters(Entry::Probe),
        Mode::Open | Mode::Probe => Eligibility::Not(FallbackReason::Open),
    }
}

/// Returns the backup that the call is sent to first to keep it warm, if the first provider is well. A backup that is
/// coming back is warmed whatever its share is: otherwise it would not be ready by the time it is needed.
fn warmed(session: &str, candidates: &[Candidate<'_>], entering: &[Target], warm: Share) -> Option<Target> {
    let first = entering.first().filter(|stop| stop.entry == Entry::Free && candidates[stop.provider].is_whole())?;
    // The session must be among the warming ones, and the next allowed provider must be usable.
    let is_warming = place(session, "warm") < warm.basis_points();
    let next = candidates.iter().enumerate().skip(first.provider + 1).find(|(_, candidate)| candidate.is_allowed);
    let (provider, candidate) = next.filter(|_| is_warming)?;
    let ProviderStatus { state, is_away, is_shared, pause, .. } = candidate.standing;
    if candidate.forced().is_some() || *is_away || pause.is_some() {
        return None;
    }
    match state.mode {
        Mode::Open => None,
        Mode::Probe => is_shared.then_some(Target { provider, entry: Entry::Probe }),
        Mode::Closed | Mode::Shed | Mode::Ramp => Some(Target { provider, entry: Entry::Free }),
    }
}

/// Returns the earliest time at which an allowed provider may be called again.
fn soonest(candidates: &[Candidate<'_>]) -> Timestamp {
    let allowed = candidates.iter().filter(|candidate| candidate.is_allowed);
    let moments = allowed.map(|candidate| {
        let ProviderStatus { state, pause, now, .. } = candidate.standing;
        pause.map_or(state.not_before, |pause| pause.until.max(state.not_before)).max(*now)
    });
    moments.min().unwrap_or(Timestamp::from_millis(0))
}

#[cfg(test)]
mod tests;
