//! Passes a provider's stream on to the client, in whole events and byte for byte. Only the provider's `error` event is
//! written anew.
//!
//! Before the last event is released, the usage is written and the call's places in flight are released. A stream that
//! breaks off ends in a well-formed `event: error`. The pump usually starts at the first content, but before it if the
//! provider only pings for long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use levee::clock::Clock;
use levee::http::anthropic::{ErrorKind, stream_event};
use levee::metering::sse::Framer;
use levee::metering::{StreamError, StreamReader};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::deadlines::ResponseMode;
use crate::exchange::CONNECTION_LOST;
use crate::in_flight::InFlight;
use crate::intake;
use crate::log_context::{LogContext, TooLarge};
use crate::meter::Meter;
use crate::outcome::{Fault, Verdict, of_stream_error};
use crate::platform_alert::PlatformAlert;
use crate::platform_error::{PlatformError, event_instead};
use crate::provider_answer::ProviderAnswer;
use crate::report::CallReport;
use crate::timeouts::TimedOut;
use crate::watch::Watch;

/// Largest event of a provider, in bytes. A larger one breaks the stream off.
const LARGEST_EVENT: usize = 16 * 1024 * 1024;
/// Time to wait for the end of the connection after the stream's last event, so that the connection can be reused.
const LINGER: Duration = Duration::from_secs(1);

/// A provider's stream from the moment at which it is passed on.
pub struct Pump {
    /// The rest of the provider's answer.
    pub answer: ProviderAnswer,
    /// Reader of everything received so far.
    pub reader: StreamReader,
    /// Bytes that were received and not yet passed on.
    pub framer: Framer,
    /// Writer of the attempt's record; `None` once the usage was written.
    pub meter: Option<Meter>,
    /// Reports to the breaker.
    pub watch: Option<Watch>,
    /// Longest time between two events.
    pub gap: Duration,
    /// Longest time with nothing but pings.
    pub ping: Duration,
    /// The moment of the last event that is not a ping, or of the pump's start.
    pub content_at: Instant,
    /// Start of the present wait for an event; `None` before the first wait and after each event. A comment does not
    /// reset it.
    pub silent_since: Option<Instant>,
    /// True once the breaker knows how the stream began.
    pub has_content: bool,
    /// The moment at which the stream must have ended.
    pub deadline: Instant,
    /// Clock for the dates that are reported to the breaker.
    pub clock: Clock,
    /// Alerts operators to trouble with the platform's account.
    pub alarm: Arc<PlatformAlert>,
    /// The moment at which the request was released.
    pub sent: Instant,
    /// Fields of the log lines about the attempt.
    pub about: LogContext,
    /// Handle to the call's wide event.
    pub report: CallReport,
    /// The call's places in flight.
    pub in_flight: InFlight,
    /// The moment at which the usage was written and the places were released.
    pub settled_at: Option<Instant>,
    /// True once nothing more is passed on.
    pub is_over: bool,
}

enum Received {
    Chunk(Bytes),
    End,
    Broken(ErrorKind, String),
}

impl Pump {
    /// Returns the chunks for the client.
    pub fn into_stream(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut pump| async move { pump.next().await.map(|chunk| (chunk, pump)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            // Pass on all events that are complete. Settle the call before its last event.
            if let Some(whole) = self.framer.whole_events() {
                if self.reader.progress().ended {
                    self.settle().await;
                }
                return Some(whole);
            }
            // Wait for more bytes, the end of the connection or a time-out.
            match self.receive().await {
                // Bytes after the last event do not belong to the answer.
                Received::Chunk(_) if self.reader.progress().ended => {
                    self.is_over = true;
                    self.settle().await;
                }
                Received::Chunk(chunk) if self.framer.held() + chunk.len() <= LARGEST_EVENT => self.take(&chunk),
                Received::Chunk(_) => {
                    self.about.error("provider.nonsense", &TooLarge(LARGEST_EVENT), "a provider's event is too large");
                    return self.break_off(ErrorKind::BadGateway, "The AI provider's answer is too large.").await;
                }
                Received::End if self.reader.progress().ended => {
                    self.is_over = true;
                    self.settle().await;
                    return self.framer.rest();
                }
                Received::End => {
                    self.about.error("provider.cut", &"within the answer", "a stream ended too early");
                    return self.break_off(ErrorKind::BadGateway, "The AI provider ended its answer too early.").await;
                }
                Received::Broken(kind, message) => return self.break_off(kind, &message).await,
            }
        }
        None
    }

    /// Feeds the next chunk to the reader and the framer, and restarts the time-outs that it satisfies.
    fn take(&mut self, chunk: &[u8]) {
        let (events, pings) = (self.reader.events(), self.reader.pings());
        let instead = |reader: &StreamReader| event_instead(reader, self.clock.now(), &self.about.request_id);
        intake::take(&mut self.reader, &mut self.framer, chunk, instead);
        let events = self.reader.events() - events;
        if events > 0 {
            self.silent_since = None;
        }
        if events > u64::from(self.reader.pings() - pings) {
            self.content_at = Instant::now();
        }
        if self.reader.progress().has_content && !self.has_content {
            self.first_content();
        }
    }

    async fn receive(&mut self) -> Received {
        let ended = self.reader.progress().ended;
        // The wait starts here and not at the last event: a client that reads slowly is not the provider's fault.
        let silent_since = *self.silent_since.get_or_insert_with(Instant::now);
        let gap = self.settled_at.map_or(silent_since + self.gap, |settled_at| settled_at + LINGER);
        let content_by = self.content_at + self.ping;
        match timeout_at(gap.min(content_by).min(self.deadline), self.answer.chunk()).await {
            Ok(Ok(Some(chunk))) => Received::Chunk(chunk),
            Ok(Ok(None)) => Received::End,
            // After the last event it does not matter how the connection ends.
            Ok(Err(_)) | Err(_) if ended => Received::End,
            Ok(Err(error)) => {
                self.about.error("provider.cut", &error, "a stream was cut");
                Received::Broken(ErrorKind::BadGateway, CONNECTION_LOST.to_owned())
            }
            Err(_) => {
                // Find the time-out that expired first.
                let which = match gap.min(content_by) {
                    first if first >= self.deadline => TimedOut::Deadline,
                    first if first == gap => TimedOut::StreamGap,
                    _ => TimedOut::OnlyPings,
                };
                if which == TimedOut::Deadline
                    && let Some(watch) = self.watch.take()
                    && !self.has_content
                {
                    // A long answer is not the provider's fault.
                    watch.said_nothing();
                    watch.finish().await;
                }
                self.about.error("provider.timeout", &which, "a stream stalled");
                Received::Broken(ErrorKind::Timeout, which.to_string())
            }
        }
    }

    /// Writes the usage and releases the call's places in flight. Later calls do nothing, because a provider may send
    /// more after the last event.
    async fn settle(&mut self) {
        if self.settled_at.is_some() {
            return;
        }
        // Report the stream's end, and an error of the provider, to the breaker.
        self.report.provider_took(self.sent.elapsed());
        let progress = self.reader.progress();
        let mut telling = None;
        if let Some(error) = progress.error {
            self.report.stream_error(error);
            if let Some(verdict) = of_stream_error(error, &self.reader, self.clock.now()) {
                self.broke_off(verdict);
                telling = self.failed(error, verdict.fault);
            }
        }
        if let Some(watch) = self.watch.as_ref().filter(|_| !self.has_content) {
            // The stream ended without content, and not through the provider's fault.
            match progress.error {
                Some(_) => watch.said_nothing(),
                None => watch.came(ResponseMode::FirstContent, self.sent.elapsed()),
            }
            self.has_content = true;
        }
        // Write the usage, release the places and finish the reports at the same time.
        self.about.absurd(progress.absurd);
        let (reading, is_estimated) = self.reader.reading();
        let meter = self.meter.take();
        // A stream that the provider refused at once used nothing.
        let metered = async {
            match meter {
                Some(mut meter) if progress.is_refused() => meter.void().await,
                Some(mut meter) => meter.close(reading, is_estimated).await,
                None => {}
            }
        };
        let watch = self.watch.as_ref();
        let told = async {
            if let Some(watch) = watch {
                watch.finish().await;
            }
            if let Some(telling) = telling {
                // The task logs its own failure.
                let _is_over = telling.await;
            }
        };
        tokio::join!(metered, self.in_flight.give_back(), told);
        self.settled_at = Some(Instant::now());
    }

    /// Logs the error that ended the stream. Alerts operators if it is about the platform's account; the alert is being
    /// raised.
    fn failed(&self, error: StreamError, fault: Fault) -> Option<JoinHandle<()>> {
        let Some(platform) = PlatformError::from_fault(fault) else {
            self.about.error("provider.failed", &error.name(), "a provider ended a stream with an error");
            return None;
        };
        // Log it, then alert operators unless the error ends by itself.
        self.about.error(platform.code, &error.name(), platform.logged);
        self.alarm.raise(&self.about.provider, platform.trouble?)
    }

    /// Reports the first content, which came after the stream was passed on.
    fn first_content(&mut self) {
        self.has_content = true;
        let after = self.sent.elapsed();
        self.report.first_content(after);
        if let Some(watch) = &self.watch {
            watch.came(ResponseMode::FirstContent, after);
        }
    }

    /// Reports the stream as bad, even if its beginning was good.
    fn broke_off(&mut self, verdict: Verdict) {
        match &self.watch {
            // An error about the platform's account says nothing about how well the provider works.
            Some(watch) if self.has_content && PlatformError::from_fault(verdict.fault).is_none() => watch.broke_off(),
            Some(watch) => watch.ended_without_content(verdict),
            None => {}
        }
        self.has_content = true;
    }

    /// Ends a stream that broke off with an error event. The bytes of an unfinished event are dropped: the error event
    /// after them would look like their continuation.
    async fn break_off(&mut self, kind: ErrorKind, message: &str) -> Option<Bytes> {
        self.is_over = true;
        self.report.failed(kind, message);
        let fault = if kind == ErrorKind::Timeout { Fault::Timeout } else { Fault::Cut };
        self.broke_off(fault.into());
        self.settle().await;
        Some(stream_event(kind, message, &self.about.request_id).into())
    }
}

impl Drop for Pump {
    /// Passes the usage known so far to the meter, which logs it if the stream is dropped before its end.
    fn drop(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.learn(self.reader.reading().0);
        }
    }
}
