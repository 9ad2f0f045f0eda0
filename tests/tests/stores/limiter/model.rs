//! Reference model of the limiter: a full log of the calls that passed, without counters and resets.

use std::collections::{BTreeMap, BTreeSet};

use levee::clock::Timestamp;
use levee::limits::{Algorithm, Charge, Mode, Policy, Window};
use time::{Date, Month, OffsetDateTime};

/// Longest time of a call in flight, in milliseconds.
const UNTIL_ARRIVAL: u64 = 30_000;

/// All calls that have passed.
#[derive(Debug, Default)]
pub struct Model {
    calls: Vec<Call>,
    leases: Vec<Lease>,
}

#[derive(Debug)]
struct Call {
    at: u64,
    policy: String,
    subject: String,
    window: Window,
    weight: u64,
}

#[derive(Debug)]
struct Lease {
    set: String,
    id: String,
    end: u64,
    is_gone: bool,
}

/// Expected state of a policy.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    pub used: u64,
    pub is_over: bool,
}

/// Expected decision about a call.
#[derive(Debug)]
pub struct Expected {
    pub is_allowed: bool,
    pub standings: Vec<Standing>,
}

impl Model {
    /// Decides a call at `now` and logs it if it passes.
    pub fn check(&mut self, charges: &[Charge], id: &str, now: Timestamp) -> Expected {
        let now = now.as_millis();
        let is_over = |charge: &Charge| self.used(charge, now) + charge.weight > charge.policy.limit;
        let over: Vec<bool> = charges.iter().map(is_over).collect();
        let refuses = |(charge, is_over): (&Charge, &bool)| *is_over && charge.policy.mode == Mode::Enforce;
        let is_allowed = !charges.iter().zip(&over).any(refuses);
        if is_allowed {
            self.log(charges, id, now);
        }
        let standing = |(charge, was_over): (&Charge, bool)| {
            let used = self.used(charge, now);
            Standing { used, is_over: if is_allowed { used > charge.policy.limit } else { was_over } }
        };
        Expected { is_allowed, standings: charges.iter().zip(over).map(standing).collect() }
    }

    fn log(&mut self, charges: &[Charge], id: &str, now: u64) {
        for charge in charges {
            let Policy { name, algorithm, window, .. } = &*charge.policy;
            if *algorithm == Algorithm::Concurrency {
                // Expired leases are removed for good when the next call comes.
                for lease in self.leases.iter_mut().filter(|it| it.set == charge.leases() && it.end <= now) {
                    lease.is_gone = true;
                }
                let (set, id, end) = (charge.leases(), id.to_owned(), now + UNTIL_ARRIVAL);
                self.leases.push(Lease { set, id, end, is_gone: false });
            } else {
                let (policy, subject) = (name.clone(), charge.subject.0.clone());
                self.calls.push(Call { at: now, policy, subject, window: *window, weight: charge.weight });
            }
        }
    }

    /// Ends a call.
    pub fn release(&mut self, id: &str) {
        for lease in self.leases.iter_mut().filter(|lease| lease.id == id) {
            lease.is_gone = true;
        }
    }

    /// Returns the sets in which the call `id` holds or held a place.
    pub fn sets_of(&self, id: &str) -> Vec<String> {
        self.leases.iter().filter(|lease| lease.id == id).map(|lease| lease.set.clone()).collect()
    }

    /// Returns the ids of calls in flight that hold a place.
    pub fn in_flight(&self) -> Vec<String> {
        let ids: BTreeSet<_> = self.leases.iter().filter(|lease| !lease.is_gone).map(|lease| &lease.id).collect();
        ids.into_iter().cloned().collect()
    }

    fn used(&self, charge: &Charge, now: u64) -> u64 {
        let Policy { algorithm, window, .. } = *charge.policy;
        let this = ordinal(window, now);
        match algorithm {
            Algorithm::Fixed => self.in_window(charge, this),
            Algorithm::Sliding => {
                let (start, end) = (start_of(window, this), start_of(window, this + 1));
                let millionths = ((end - now) * 1_000_000).div_ceil(end - start);
                let before = self.in_window(charge, this - 1) * millionths;
                self.in_window(charge, this) + before.div_ceil(1_000_000)
            }
            Algorithm::Concurrency => {
                let set = charge.leases();
                let is_held = |lease: &&Lease| lease.set == set && !lease.is_gone && lease.end > now;
                self.leases.iter().filter(is_held).count() as u64
            }
        }
    }

    fn in_window(&self, charge: &Charge, ordinal_of_window: u64) -> u64 {
        let policy = &charge.policy;
        let is_of = |call: &&Call| call.policy == policy.name && call.subject == charge.subject.0;
        let calls = self.calls.iter().filter(is_of);
        calls.filter(|call| ordinal(policy.window, call.at) == ordinal_of_window).map(|call| call.weight).sum()
    }

    /// Returns the counters that Redis has to contain.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = BTreeMap::new();
        for Call { at, policy, subject, window, weight } in &self.calls {
            let start = start_of(*window, ordinal(*window, *at)) / 1000;
            let name = match window {
                Window::Secs(secs) => secs.to_string(),
                Window::Month => "month".to_owned(),
            };
            *counters.entry(format!("{{levee}}:limit:{policy}:{subject}:{name}:{start}")).or_default() += weight;
        }
        counters
    }

    /// Returns the ends of the calls in flight, by set.
    pub fn sets(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut sets = BTreeMap::<String, BTreeMap<String, u64>>::new();
        for lease in self.leases.iter().filter(|lease| !lease.is_gone) {
            sets.entry(lease.set.clone()).or_default().insert(lease.id.clone(), lease.end);
        }
        sets
    }
}

/// Returns the number of the window that contains a moment: since 1970, or since the year 0 for months.
pub fn ordinal(window: Window, at: u64) -> u64 {
    match window {
        Window::Secs(secs) => at / 1000 / secs,
        Window::Month => {
            let date = OffsetDateTime::from_unix_timestamp((at / 1000).cast_signed()).unwrap();
            u64::from(date.year().unsigned_abs()) * 12 + u64::from(u8::from(date.month())) - 1
        }
    }
}

/// Returns the first millisecond of a window.
pub fn start_of(window: Window, ordinal: u64) -> u64 {
    match window {
        Window::Secs(secs) => ordinal * secs * 1000,
        Window::Month => {
            let month = Month::try_from(u8::try_from(ordinal % 12).unwrap() + 1).unwrap();
            let first = Date::from_calendar_date(i32::try_from(ordinal / 12).unwrap(), month, 1).unwrap();
            first.midnight().assume_utc().unix_timestamp().unsigned_abs() * 1000
        }
    }
}
