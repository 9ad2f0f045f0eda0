//! Counters of a stand-in, and the guard that counts a call in every case of its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::front_door::Seen;
use super::served::{About, End, Served};
use super::usage::Usage;

/// Counters, as shown by `GET /providers/{name}`. Always `requests` = `completed` + `failed` + `interrupted` +
/// `in_flight`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    /// Number of calls for messages.
    requests: u64,
    count_tokens: u64,
    models: u64,
    /// Number of requests of any kind that the front door refused; they are in no other counter.
    pub(super) refused: u64,
    in_flight: u64,
    completed: u64,
    /// Number of calls ended by the stand-in: an error status, an error event, a cut connection.
    failed: u64,
    /// Number of calls ended by the client, which left before the end.
    interrupted: u64,
    /// Usage of completed calls.
    usage: Sums,
    /// Usage of the parts of failed and interrupted calls that were sent: the input once `message_start` was, the
    /// output by delta.
    partial_usage: Sums,
    pub(super) last_request: Option<Seen>,
    /// The calls one by one.
    #[serde(skip)]
    pub(super) served: Served,
    /// Remainder of the error diffusion for the next call, by endpoint.
    #[serde(skip)]
    carry: [f64; 3],
}

/// Sums over calls, in tokens.
#[derive(Debug, Default, Serialize)]
struct Sums {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation_input_tokens: u64,
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

impl Sums {
    fn add(&mut self, usage: &Usage) {
        let add = |sum: &mut u64, tokens: Option<u64>| *sum = sum.saturating_add(tokens.unwrap_or_default());
        let split = usage.cache_creation.as_ref();
        add(&mut self.input_tokens, Some(usage.input_tokens));
        add(&mut self.output_tokens, Some(usage.output_tokens));
        add(&mut self.cache_read_input_tokens, usage.cache_read_input_tokens);
        add(&mut self.cache_creation_input_tokens, usage.cache_creation_input_tokens);
        add(&mut self.ephemeral_5m_input_tokens, split.map(|split| split.ephemeral_5m_input_tokens));
        add(&mut self.ephemeral_1h_input_tokens, split.map(|split| split.ephemeral_1h_input_tokens));
    }
}

/// Endpoint of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Endpoint {
    Messages,
    CountTokens,
    Models,
}

/// One call. If it is dropped before [`TalliedCall::complete`] or [`TalliedCall::fail`], it counts as interrupted: the client has
/// left.
#[derive(Debug)]
pub(super) struct TalliedCall {
    tally: Arc<Mutex<Tally>>,
    endpoint: Endpoint,
    /// Content of the call, once the request has been parsed.
    about: Option<About>,
    /// Usage that the client has received so far.
    sent: Usage,
    has_ended: bool,
}

impl TalliedCall {
    pub(super) fn begin(tally: &Arc<Mutex<Tally>>, endpoint: Endpoint) -> Self {
        let mut counts = lock(tally);
        match endpoint {
            Endpoint::Messages => {
                counts.requests += 1;
                counts.in_flight += 1;
            }
            Endpoint::CountTokens => counts.count_tokens += 1,
            Endpoint::Models => counts.models += 1,
        }
        drop(counts);
        Self { tally: Arc::clone(tally), endpoint, about: None, sent: Usage::default(), has_ended: false }
    }

    /// Decides by error diffusion if this call fails: of `n` successive calls `share` × `n` fail, rounded down,
    /// evenly spread.
    pub(super) fn is_to_fail(&self, share: f64) -> bool {
        /// Tolerance: ten times 0.1 is a little less than 1.
        const ROUNDING: f64 = 1e-9;
        let mut tally = lock(&self.tally);
        let carry = &mut tally.carry[self.endpoint as usize];
        *carry += share;
        let fails = *carry >= 1.0 - ROUNDING;
        if fails {
            *carry -= 1.0;
        }
        fails
    }

    /// Records that `message_start` was sent.
    pub(super) fn sent_input(&mut self, usage: &Usage) {
        self.sent = Usage { output_tokens: 0, ..usage.clone() };
    }

    /// Records that a delta was sent; `tokens` is the total so far.
    pub(super) fn sent_output(&mut self, tokens: u64) {
        self.sent.output_tokens = tokens;
    }

    /// Records the content of the call, so that it is listed when it ends.
    pub(super) fn is_about(&mut self, about: About) {
        self.about = Some(about);
    }

    pub(super) fn complete(&mut self, usage: &Usage) {
        if !self.has_ended {
            self.sent = usage.clone();
        }
        self.end(End::Completed);
    }

    pub(super) fn fail(&mut self) {
        self.end(End::Failed);
    }

    fn end(&mut self, end: End) {
        if std::mem::replace(&mut self.has_ended, true) || self.endpoint != Endpoint::Messages {
            return;
        }
        let mut tally = lock(&self.tally);
        let tally = &mut *tally;
        tally.in_flight -= 1;
        let (calls, usage) = match end {
            End::Completed => (&mut tally.completed, &mut tally.usage),
            End::Failed => (&mut tally.failed, &mut tally.partial_usage),
            End::Interrupted => (&mut tally.interrupted, &mut tally.partial_usage),
        };
        *calls += 1;
        usage.add(&self.sent);
        if let Some(about) = self.about.take() {
            tally.served.remember(about, end, self.sent.clone());
        }
    }
}

impl Drop for TalliedCall {
    fn drop(&mut self) {
        self.end(End::Interrupted);
    }
}

impl Tally {
    /// Restarts the spread of failures, for a new script.
    pub(super) fn forget_carry(&mut self) {
        self.carry = [0.0; 3];
    }
}

/// Locks the tally. After a panic of another thread the counts are still good enough to be shown.
pub(super) fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(share: f64, calls: usize) -> Vec<bool> {
        let tally = Arc::default();
        (0..calls).map(|_| TalliedCall::begin(&tally, Endpoint::Messages).is_to_fail(share)).collect()
    }

    #[test]
    fn failures_are_spread_evenly() {
        assert_eq!(failures(0.5, 4), [false, true, false, true]);
        assert_eq!(failures(1.0, 2), [true, true]);
        assert_eq!(failures(0.0, 2), [false, false]);
        for tenths in 1..10_u32 {
            let failed = failures(f64::from(tenths) / 10.0, 1_000).into_iter().filter(|fails| *fails).count();
            assert_eq!(failed, tenths as usize * 100, "{tenths} tenths");
        }
    }

    #[test]
    fn a_call_ends_once_and_counts_what_was_sent() {
        let tally = Arc::default();
        let mut call = TalliedCall::begin(&tally, Endpoint::Messages);
        call.sent_input(&Usage { input_tokens: 7, ..Usage::default() });
        call.sent_output(3);
        drop(call);
        let mut call = TalliedCall::begin(&tally, Endpoint::Messages);
        call.complete(&Usage { input_tokens: 5, output_tokens: 2, ..Usage::default() });
        call.fail();
        drop(call);

        let tally = lock(&tally);
        assert_eq!((tally.requests, tally.in_flight, tally.completed, tally.failed), (2, 0, 1, 0));
        assert_eq!((tally.interrupted, tally.partial_usage.input_tokens, tally.partial_usage.output_tokens), (1, 7, 3));
        assert_eq!((tally.usage.input_tokens, tally.usage.output_tokens), (5, 2));
    }
}
