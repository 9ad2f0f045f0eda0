//! Statistics over blocks of measurements. Pure.

use anyhow::Context as _;
use serde_json::Value;

/// Decisions of one target in one short period.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block {
    /// Length of the measured period.
    pub(super) seconds: f64,
    /// Duration of each decision in microseconds; sorted.
    pub(super) micros: Vec<f64>,
}

impl Block {
    /// Parses a worker's answer.
    pub(super) fn read(answer: &Value) -> anyhow::Result<Self> {
        let of = |value: &Value| value.as_f64().with_context(|| format!("no number: {value}"));
        let nanos = answer["nanos"].as_array().context("an answer without nanos")?;
        let micros = nanos.iter().map(|value| Ok(of(value)? / 1e3)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { seconds: of(&answer["measured_ns"])? / 1e9, micros: sorted(micros) })
    }
}

/// Statistics over all blocks of one target with one number of connections.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summary {
    /// Median of the blocks' medians, in microseconds.
    pub(super) p50: f64,
    /// 99th percentile of all decisions together, in microseconds.
    pub(super) p99: f64,
    /// Median of the blocks' decisions per second.
    pub(super) rate: f64,
    /// Median of each block, in microseconds; `None` for a block in which a busy machine decided nothing.
    medians: Vec<Option<f64>>,
    /// Decisions per second of each block.
    rates: Vec<f64>,
}

impl Summary {
    /// Computes the summary of these blocks; `None` if nothing was decided.
    pub(super) fn of(blocks: &[Block]) -> Option<Self> {
        let medians: Vec<_> = blocks.iter().map(|block| quantile(&block.micros, 0.5)).collect();
        let rates: Vec<f64> = blocks.iter().map(|block| block.micros.len() as f64 / block.seconds).collect();
        let all = sorted(blocks.iter().flat_map(|block| block.micros.iter().copied()).collect());
        let (p50, rate) = (median(medians.iter().copied().flatten())?, median(rates.iter().copied())?);
        Some(Self { p50, p99: quantile(&all, 0.99)?, rate, medians, rates })
    }

    /// Returns the ratio of this target's durations to `other`'s: the median of the ratios of each round's blocks,
    /// since a machine that is slow for a while is slow for both.
    pub(super) fn times_as_long_as(&self, other: &Self) -> Option<f64> {
        let pairs = self.medians.iter().zip(&other.medians);
        median(pairs.filter_map(|(this, that)| Some((*this)? / (*that)?)))
    }

    /// Returns the ratio of this target's decisions per second to `other`'s, in the same way.
    pub(super) fn times_as_many_as(&self, other: &Self) -> Option<f64> {
        let pairs = self.rates.iter().zip(&other.rates);
        median(pairs.filter(|(_, that)| **that > 0.0).map(|(this, that)| this / that))
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    quantile(&sorted(values.collect()), 0.5)
}

/// Returns the smallest value that is not exceeded by this share of all values.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied()
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn block(micros: &[f64]) -> Block {
        Block { seconds: 0.5, micros: micros.to_vec() }
    }

    #[test]
    fn an_answer_is_read_in_microseconds_and_sorted() {
        let answer = json!({ "measured_ns": 500_000_000, "nanos": [3_000, 1_000, 2_500] });
        assert_eq!(Block::read(&answer).unwrap(), block(&[1.0, 2.5, 3.0]));
        assert!(Block::read(&json!({ "measured_ns": 1 })).is_err());
    }

    #[test]
    fn blocks_come_to_medians_and_the_worst_hundredth_of_all() {
        let summary = Summary::of(&[block(&[1.0, 2.0, 3.0]), block(&[4.0, 5.0]), block(&[9.0])]).unwrap();
        assert_eq!((summary.p50, summary.p99, summary.rate), (4.0, 9.0, 4.0));
        assert_eq!(Summary::of(&[block(&[]), block(&[])]), None);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_ratio_is_that_of_most_rounds_even_where_one_was_slow() {
        let one = Summary::of(&[block(&[2.0]), block(&[20.0]), block(&[2.0])]).unwrap();
        let other = Summary::of(&[block(&[1.0]), block(&[10.0]), block(&[4.0])]).unwrap();
        assert_eq!(one.times_as_long_as(&other), Some(2.0));
        assert_eq!(one.times_as_many_as(&other), Some(1.0));
        let stalled = Summary::of(&[block(&[]), block(&[30.0]), block(&[12.0])]).unwrap();
        assert_eq!(stalled.times_as_long_as(&other), Some(3.0));
    }
}
