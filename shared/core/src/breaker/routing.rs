//! Which providers a call goes to, and in what order. No I/O.
//!
//! A share says which provider is asked *first*. It limits a provider only as far as another one takes the rest: behind the
//! first one every other provider stays on the call's list, and where nobody else is left, [`Room`](super::room::Room) and
//! not the share says how much a provider is asked.
//!
//! A provider's share is made of places: each session has one with each provider, by a hash, and is let through where its
//! place is below the share. So a session stays where it is while nothing changes (its prompt is in that provider's cache),
//! and when a share falls, those that are left were there before.

use super::config::BreakerConfig;
use super::room::By;
use super::standing::Standing;
use super::state::{Mode, Reason, Share, State};
use super::step::floor;
use crate::clock::Timestamp;

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
    /// The condition for going there.
    pub entry: Entry,
}

/// The condition for sending a call to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Free,
    /// It must be asked for: a provider on probation takes single calls.
    Probe,
    /// It must be asked for, as far as the provider has room: its share is for other calls, and nobody else is left.
    Room,
    /// It must be asked for: the provider asks to be left alone, and is asked now and then whether it still does.
    Pause,
    /// The same where nobody else is left.
    LastPause,
}

impl Entry {
    /// Returns the rule by which a call that enters so is let through, at a provider that `has_room` for all its calls or
    /// has to be asked for it.
    pub const fn by(self, has_room: bool) -> By {
        match self {
            Self::Probe => By::Probe,
            Self::Room if !has_room => By::Room,
            Self::Room | Self::Free | Self::Pause | Self::LastPause => By::Share,
        }
    }
}

/// Where a call may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The providers, in the order in which they are to be tried. One that takes single calls is there a second time, for
    /// when nobody else is left.
    pub stops: Vec<Stop>,
    /// Why the first of them is not the one that is preferred.
    pub detour: Option<Detour>,
}

/// No provider takes the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// The caller's data may go to none of them.
    Restricted,
    /// None of them may be asked before then.
    AllOut(Timestamp),
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

/// The way into a provider that is asked first.
enum Passage {
    Enters(Entry),
    Not(Detour),
}

/// Returns where the call of `session` goes, of `candidates` in the order in which they are preferred. `warm` is the share of
/// calls that go to the second of them while the first one is well.
///
/// A share says who is asked first. Behind that provider all others stay on the list, those that are better off before the
/// others: a call does not end in an error while somebody could serve it.
///
/// # Errors
/// [`NoRoute`], where no provider may be asked at all.
pub fn route(
    whose: Whose<'_>,
    candidates: &[Candidate<'_>],
    warm: Share,
    config: &BreakerConfig,
) -> Result<Route, NoRoute> {
    if candidates.iter().all(|candidate| !candidate.is_allowed) {
        return Err(NoRoute::Restricted);
    }

    // The first one, by preference, place and share.
    let mut detour = None;
    let mut entering = Vec::with_capacity(candidates.len());
    for (provider, candidate) in candidates.iter().enumerate() {
        match passage(whose, candidate, config) {
            Passage::Enters(entry) => entering.push(Stop { provider, entry }),
            Passage::Not(why) => detour = detour.or(entering.is_empty().then_some(why)),
        }
    }
    let warmed = warmed(whose.session, candidates, &entering, warm);
    detour = detour.or(warmed.map(|_| Detour::Warm));
    let mut stops: Vec<Stop> = warmed.or(entering.first().copied()).into_iter().collect();

    // All others behind it, in the order of how well they are.
    let is_first =
        |provider| stops.first().is_some_and(|first| first.provider == provider && first.entry != Entry::Probe);
    let mut others: Vec<usize> =
        (0..candidates.len()).filter(|at| !is_first(*at) && !candidates[*at].is_out()).collect();
    others.sort_by_key(|at| candidates[*at].rank());
    let entry = |provider| {
        let is_free = entering.iter().any(|stop| stop.provider == provider && stop.entry == Entry::Free);
        if is_free { Entry::Free } else { Entry::Room }
    };
    stops.extend(others.into_iter().map(|provider| Stop { provider, entry: entry(provider) }));

    // A share leaves calls to other providers. Where none of these can help, room decides about all calls.
    for stop in &mut stops {
        let is_alone = candidates.iter().enumerate().all(|(other, it)| other == stop.provider || !it.can_help());
        if stop.entry == Entry::Free && is_alone && candidates[stop.provider].is_shedding() {
            stop.entry = Entry::Room;
        }
    }

    // Last of all those that ask to be left alone: by accounts that they have not told so.
    for (provider, candidate) in candidates.iter().enumerate() {
        let may_ask = candidate.is_paused() && candidate.standing.pause.is_some_and(|pause| pause.may_ask);
        let is_there = stops.iter().any(|stop| stop.provider == provider);
        if candidate.is_allowed && !candidate.is_held_out() && may_ask && !is_there {
            stops.push(Stop { provider, entry: Entry::LastPause });
        }
    }
    let Some(first) = stops.first() else { return Err(NoRoute::AllOut(soonest(candidates))) };
    let detour = detour.filter(|_| first.provider != 0);
    Ok(Route { stops, detour })
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

    /// Returns whether an admin gives it no calls, or the platform's budget there is spent.
    fn is_held_out(&self) -> bool {
        let Standing { state, now, .. } = self.standing;
        let is_spent = state.mode == Mode::Open && state.reason == Reason::Spent && *now < state.not_before;
        self.forced() == Some(Share::NONE) || (is_spent && self.forced().is_none())
    }

    /// Returns whether only its share lets calls through, and it lacks room for all of them.
    fn is_shedding(&self) -> bool {
        let Standing { state, has_room, .. } = self.standing;
        matches!(state.mode, Mode::Shed | Mode::Ramp) && !has_room && self.forced().is_none()
    }

    /// Returns whether it can be expected to serve the calls that another provider's share leaves.
    fn can_help(&self) -> bool {
        let Standing { state, has_room, is_away, .. } = self.standing;
        let serves = match state.mode {
            Mode::Closed => true,
            Mode::Shed | Mode::Ramp => *has_room,
            Mode::Open | Mode::Probe => false,
        };
        serves && !is_away && !self.is_out()
    }

    /// Returns whether it may not be asked, even where nobody else is left.
    fn is_out(&self) -> bool {
        !self.is_allowed || self.is_held_out() || self.is_paused()
    }

    /// Returns whether it asks to be left alone, and no admin says otherwise.
    fn is_paused(&self) -> bool {
        self.standing.pause.is_some() && self.forced().is_none()
    }

    /// Its rank by health: less is better.
    fn rank(&self) -> (bool, u8, std::cmp::Reverse<Share>) {
        let State { mode, share, .. } = self.standing.state;
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
        Some(share) if is_below(share) => return Passage::Enters(Entry::Free),
        Some(_) => return Passage::Not(Detour::Share),
        None => {}
    }
    if let Some(pause) = standing.pause {
        return if pause.is_probe_due { Passage::Enters(Entry::Pause) } else { Passage::Not(Detour::Open) };
    }
    if standing.is_away {
        return Passage::Not(Detour::Local);
    }
    match state.mode {
        Mode::Closed => Passage::Enters(Entry::Free),
        Mode::Shed | Mode::Ramp if is_below(state.share) || is_of_the_floor() => Passage::Enters(Entry::Free),
        Mode::Shed | Mode::Ramp => Passage::Not(Detour::Share),
        // While no environment decides anything, none would ever find out that it is well again.
        Mode::Open | Mode::Probe if !standing.is_shared && standing.now >= state.not_before && is_of_the_floor() => {
            Passage::Enters(Entry::Free)
        }
        Mode::Probe if standing.is_shared => Passage::Enters(Entry::Probe),
        Mode::Open | Mode::Probe => Passage::Not(Detour::Open),
    }
}

/// The next provider, where it is warmed with what the first one gets in health. One that is on its way back is too, whatever
/// its share is: else it would be there only when it is needed, and not ready.
fn warmed(session: &str, candidates: &[Candidate<'_>], entering: &[Stop], warm: Share) -> Option<Stop> {
    let first = entering.first().filter(|stop| stop.entry == Entry::Free && candidates[stop.provider].is_whole())?;
    let is_warming = place(session, "warm") < warm.basis_points();
    let next = candidates.iter().enumerate().skip(first.provider + 1).find(|(_, candidate)| candidate.is_allowed);
    let (provider, candidate) = next.filter(|_| is_warming)?;
    let Standing { state, is_away, is_shared, pause, .. } = candidate.standing;
    if candidate.forced().is_some() || *is_away || pause.is_some() {
        return None;
    }
    match state.mode {
        Mode::Open => None,
        Mode::Probe => is_shared.then_some(Stop { provider, entry: Entry::Probe }),
        Mode::Closed | Mode::Shed | Mode::Ramp => Some(Stop { provider, entry: Entry::Free }),
    }
}

/// Returns when one of the providers may be asked again.
fn soonest(candidates: &[Candidate<'_>]) -> Timestamp {
    let allowed = candidates.iter().filter(|candidate| candidate.is_allowed);
    let moments = allowed.map(|candidate| {
        let Standing { state, pause, now, .. } = candidate.standing;
        pause.map_or(state.not_before, |pause| pause.until.max(state.not_before)).max(*now)
    });
    moments.min().unwrap_or(Timestamp::from_millis(0))
}

#[cfg(test)]
mod tests;
