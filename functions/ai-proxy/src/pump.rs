//! A stream on its way through: whole events are passed on as they come, byte for byte; the usage is written and
//! the call's places in flight are given back before the last of them is released; a stream that breaks off ends in a
//! well-formed `event: error`. It begins with content, or before it where the provider only pings for long.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use levee::clock::Clock;
use levee::http::anthropic::{ErrorKind, stream_event};
use levee::metering::StreamReader;
use levee::metering::sse::Framer;
use tokio::time::{Instant, timeout_at};

use crate::about::{About, TooLarge, with_cause};
use crate::exchange::CONNECTION_LOST;
use crate::in_flight::InFlight;
use crate::intake;
use crate::meter::Meter;
use crate::outcome::{Fault, Verdict, of_stream_error};
use crate::patience::Awaited;
use crate::report::Report;
use crate::timeouts::TimedOut;
use crate::watch::Watch;

/// A provider that sends a larger event is cut off.
const LARGEST_EVENT: usize = 16 * 1024 * 1024;
/// How long the connection's end is waited for once the stream has ended, so that the connection can be used again.
const LINGER: Duration = Duration::from_secs(1);

/// A provider's stream from where it is passed on.
pub struct Pump {
    /// What is left of the provider's answer.
    pub answer: reqwest::Response,
    /// Has seen everything received.
    pub reader: StreamReader,
    /// Holds what was received and not yet passed on.
    pub framer: Framer,
    /// Writes the usage.
    pub meter: Option<Meter>,
    /// Tells the breaker how it goes on.
    pub watch: Option<Watch>,
    /// The longest time between two events.
    pub gap: Duration,
    /// The longest time without content, whatever signs of life there are.
    pub ping: Duration,
    /// The moment at which content came last, or the stream began.
    pub content_at: Instant,
    /// The moment from which the next event is waited for; `None` while none is. Comments do not move it.
    pub silent_since: Option<Instant>,
    /// True once the breaker knows how the stream began.
    pub has_content: bool,
    /// When the stream must have ended.
    pub deadline: Instant,
    /// The clock of the breaker's dates.
    pub clock: Clock,
    /// When the call was sent.
    pub sent: Instant,
    /// What log lines about the call name.
    pub about: About,
    /// The wide event.
    pub report: Report,
    /// What the call holds.
    pub in_flight: InFlight,
    /// Since when the usage is written, and the places are given back.
    pub settled_at: Option<Instant>,
    /// Nothing more is passed on.
    pub is_over: bool,
}

enum Received {
    Chunk(Bytes),
    End,
    Broken(ErrorKind, String),
}

impl Pump {
    /// The chunks for the client.
    pub fn into_stream(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut pump| async move { pump.next().await.map(|chunk| (chunk, pump)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            if let Some(whole) = self.framer.whole_events() {
                if self.reader.progress().ended {
                    self.settle().await;
                }
                return Some(whole);
            }
            match self.receive().await {
                // Behind the last event nothing belongs to the answer.
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

    /// Takes the next chunk, and notes what it is a sign of.
    fn take(&mut self, chunk: &[u8]) {
        let (events, pings) = (self.reader.events(), self.reader.pings());
        intake::take(&mut self.reader, &mut self.framer, chunk);
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
        // From the first wait on, not from the last event: a client that reads slowly is no fault of the provider's.
        let silent_since = *self.silent_since.get_or_insert_with(Instant::now);
        let gap = self.settled_at.map_or(silent_since + self.gap, |settled_at| settled_at + LINGER);
        let content_by = self.content_at + self.ping;
        match timeout_at(gap.min(content_by).min(self.deadline), self.answer.chunk()).await {
            Ok(Ok(Some(chunk))) => Received::Chunk(chunk),
            Ok(Ok(None)) => Received::End,
            // After the last event, how the connection ends means nothing.
            Ok(Err(_)) | Err(_) if ended => Received::End,
            Ok(Err(error)) => {
                self.about.error("provider.cut", &with_cause(error), "a stream was cut");
                Received::Broken(ErrorKind::BadGateway, CONNECTION_LOST.to_owned())
            }
            Err(_) => {
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

    /// Writes what was used, and gives back what the call held. The second time nothing is left to do: a provider may
    /// send more after the last event.
    async fn settle(&mut self) {
        if self.settled_at.is_some() {
            return;
        }
        self.report.provider_took(self.sent.elapsed());
        let progress = self.reader.progress();
        if let Some(error) = progress.error {
            self.report.stream_error(error);
            if let Some(verdict) = of_stream_error(error, &self.reader, self.clock.now()) {
                self.broke_off(verdict);
                self.about.error("provider.failed", &error.name(), "a provider ended a stream with an error");
            }
        }
        if let Some(watch) = self.watch.as_ref().filter(|_| !self.has_content) {
            // It ended without content, and not badly.
            match progress.error {
                Some(_) => watch.said_nothing(),
                None => watch.came(Awaited::FirstContent, self.sent.elapsed()),
            }
            self.has_content = true;
        }
        self.about.absurd(progress.absurd);
        let (reading, is_estimated) = self.reader.reading();
        let meter = self.meter.take();
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
        };
        tokio::join!(metered, self.in_flight.give_back(), told);
        self.settled_at = Some(Instant::now());
    }

    /// The first content has come after the stream was passed on.
    fn first_content(&mut self) {
        self.has_content = true;
        let after = self.sent.elapsed();
        self.report.first_content(after);
        if let Some(watch) = &self.watch {
            watch.came(Awaited::FirstContent, after);
        }
    }

    /// Counts the stream as bad, even where its beginning was good.
    fn broke_off(&mut self, verdict: Verdict) {
        match &self.watch {
            Some(watch) if self.has_content => watch.broke_off(),
            Some(watch) => watch.ended_without_content(verdict),
            None => {}
        }
        self.has_content = true;
    }

    /// Ends a stream that broke off. What was received of an unfinished event is dropped: half an event cannot be told
    /// from a whole one once an error follows it.
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
    /// Leaves what is known of a stream that is dropped before its end to its meter, which logs it.
    fn drop(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.learn(self.reader.reading().0);
        }
    }
}
