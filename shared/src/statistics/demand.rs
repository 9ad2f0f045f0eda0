//! Demand for a limit: the calls that passed and those that it refused, one sample per span of time with calls. Pure.
//!
//! Samples are absolute and independent of the limit, so that they tell what another limit would have refused. A bucket
//! holds one value up to 15, and above that an eighth of a power of two, so that the bounds of a bucket differ by at
//! most 12.5 %. (The scale is that of HdrHistogram with three bits of precision.)
//!
//! A client that retries a refused call counts once more with each attempt, so demand beyond the limit is at least the
//! number of calls that the client needed, and often more.

use std::collections::BTreeMap;
use std::ops::{Add, RangeInclusive};

use serde::{Deserialize, Serialize};

/// Values below this have a bucket each.
const EXACT: u64 = 16;
/// Binary logarithm of the number of buckets in a power of two.
const PRECISION: u32 = 3;

/// Number of spans by their demand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u16, u64)>", into = "Vec<(u16, u64)>")]
pub struct Demand(BTreeMap<u16, u64>);

impl From<Vec<(u16, u64)>> for Demand {
    fn from(buckets: Vec<(u16, u64)>) -> Self {
        Self(buckets.into_iter().collect())
    }
}

impl From<Demand> for Vec<(u16, u64)> {
    fn from(demand: Demand) -> Self {
        demand.0.into_iter().collect()
    }
}

/// Number of spans, as far as the buckets tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Between {
    /// At least this many.
    pub at_least: u64,
    /// At most this many.
    pub at_most: u64,
}

impl Add for Between {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            at_least: self.at_least.saturating_add(other.at_least),
            at_most: self.at_most.saturating_add(other.at_most),
        }
    }
}

impl Demand {
    /// Adds a span with `calls`, weighted; a span without any is no sample.
    pub fn sample(&mut self, calls: u64) {
        if calls > 0 {
            let spans = self.0.entry(bucket(calls)).or_default();
            *spans = spans.saturating_add(1);
        }
    }

    /// Returns the number of spans with calls.
    pub fn spans(&self) -> u64 {
        self.0.values().fold(0, |sum, spans| sum.saturating_add(*spans))
    }

    /// Returns the number of spans whose demand was above `limit`.
    pub fn above(&self, limit: u64) -> Between {
        let mut above = Between::default();
        for (bucket, spans) in &self.0 {
            let range = range(*bucket);
            let one = Between {
                at_least: if *range.start() > limit { *spans } else { 0 },
                at_most: if *range.end() > limit { *spans } else { 0 },
            };
            above = above + one;
        }
        above
    }

    /// Returns the demand that `percent` of the spans did not exceed, or up to 12.5 % more than it; `None` without
    /// spans.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let wanted = (u128::from(self.spans()) * u128::from(percent.min(100))).div_ceil(100).max(1);
        // Walk up the buckets until enough spans are seen.
        let mut seen = 0_u128;
        for (bucket, spans) in &self.0 {
            seen += u128::from(*spans);
            if seen >= wanted {
                return Some(*range(*bucket).end());
            }
        }
        None
    }
}

impl Add for Demand {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (bucket, spans) in other.0 {
            let mine = self.0.entry(bucket).or_default();
            *mine = mine.saturating_add(spans);
        }
        self
    }
}

/// Returns the bucket of a number of calls.
fn bucket(calls: u64) -> u16 {
    if calls < EXACT {
        return u16::try_from(calls).unwrap_or(0);
    }
    // The power of two, and the eighth of it.
    let exponent = calls.ilog2();
    let part = (calls >> (exponent - PRECISION)) & ((1 << PRECISION) - 1);
    let first = EXACT + u64::from(exponent - EXACT.ilog2()) * (1 << PRECISION);
    u16::try_from(first + part).unwrap_or(u16::MAX)
}

/// Returns the numbers of calls that fall into a bucket.
fn range(bucket: u16) -> RangeInclusive<u64> {
    let bucket = u64::from(bucket);
    if bucket < EXACT {
        return bucket..=bucket;
    }
    let octave = u32::try_from((bucket - EXACT) >> PRECISION).unwrap_or(u32::MAX);
    let part = (bucket - EXACT) & ((1 << PRECISION) - 1);
    // A bucket beyond the last one, which only a damaged row has, counts as the last one.
    let shift = (octave.saturating_add(EXACT.ilog2()) - PRECISION).min(u64::BITS - 1 - PRECISION);
    let start = ((1 << PRECISION) + part) << shift;
    start..=start + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_calls_and_its_bounds_differ_by_an_eighth(calls in any::<u64>(), shift in 0u32..64) {
            let calls = calls >> shift;
            let range = range(bucket(calls));
            prop_assert!(range.contains(&calls), "{range:?}");
            prop_assert!((range.end() - range.start()) <= range.start() / 8, "{range:?}");
        }

        #[test]
        fn spans_above_a_limit_are_counted_within_the_bounds(
            spans in prop::collection::vec(0u64..5_000, 0..50),
            limit in 0u64..5_000,
        ) {
            let mut demand = Demand::default();
            spans.iter().for_each(|calls| demand.sample(*calls));
            let above = spans.iter().filter(|calls| **calls > limit).count() as u64;
            let told = demand.above(limit);
            prop_assert!(told.at_least <= above && above <= told.at_most, "{told:?}, {above}");
            // Only spans close to the limit are in doubt.
            let close = |calls: &&u64| **calls + **calls / 8 >= limit && **calls <= limit + limit / 8;
            prop_assert!(told.at_most - told.at_least <= spans.iter().filter(close).count() as u64);
        }

        #[test]
        fn a_percentile_is_that_of_the_spans_or_an_eighth_more(
            mut spans in prop::collection::vec(1u64..100_000, 1..50),
            percent in 1u64..=100,
        ) {
            let mut demand = Demand::default();
            spans.iter().for_each(|calls| demand.sample(*calls));
            spans.sort_unstable();
            let exact = spans[(spans.len() * percent as usize).div_ceil(100) - 1];
            let told = demand.percentile(percent).unwrap();
            prop_assert!(exact <= told && told <= exact + exact / 8, "{told}, {exact}");
        }

        #[test]
        fn what_is_stored_is_read_and_added(one in prop::collection::vec(any::<u64>(), 0..9), other in any::<u64>()) {
            let mut demand = Demand::default();
            one.iter().for_each(|calls| demand.sample(*calls));
            let read: Demand = serde_json::from_value(serde_json::to_value(&demand).unwrap()).unwrap();
            let mut single = Demand::default();
            single.sample(other);
            let mut both = demand.clone();
            both.sample(other);
            prop_assert_eq!(read + single, both);
        }
    }

    #[test]
    fn a_damaged_bucket_breaks_nothing() {
        let demand = Demand::from(vec![(u16::MAX, 1)]);
        assert_eq!(demand.above(1), Between { at_least: 1, at_most: 1 });
        assert_eq!(Demand::default().percentile(95), None);
    }
}
