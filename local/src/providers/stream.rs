//! Transmission of an answer: a pure list of steps, and a player that executes them.

use std::io;
use std::iter;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::time::Instant;

use super::reply::{Block, Content, Delta, Reply};
use super::script::{Ending, Script};
use super::tally::TalliedCall;
use super::usage::{Usage, tokens};

/// Interval of the pings of a provider that has nothing else to send.
const PING_EVERY: Duration = Duration::from_secs(1);

/// Time for the server to flush its buffers before the connection is dropped.
const FLUSH: Duration = Duration::from_millis(10);

/// One step of sending a body.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Wait(Duration),
    Send(Bytes, Sent),
    /// Sends nothing more, with the connection left open.
    Silence,
    /// Drops the connection.
    Cut,
}

/// Usage that the client has received once a step is done.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    Nothing,
    Input(Box<Usage>),
    /// Number of output tokens in total so far.
    Output(u64),
    All(Box<Usage>),
    Failure,
}

/// Events of <https://docs.claude.com/en/docs/build-with-claude/streaming>.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    MessageStart { message: Message<'a> },
    Ping,
    ContentBlockStart { index: usize, content_block: Content },
    ContentBlockDelta { index: usize, delta: &'a Delta },
    ContentBlockStop { index: usize },
    MessageDelta { delta: Stop<'a>, usage: Usage },
    MessageStop,
    Error { error: Overloaded },
}

/// A message, whole or as in `message_start`.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    model: &'a str,
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    content: Vec<&'a Content>,
    stop_reason: Option<&'a str>,
    stop_sequence: Option<&'a str>,
    usage: Usage,
}

impl Event<'_> {
    /// Serialises the event: `event: <type>`, `data: <JSON>`, and an empty line.
    fn bytes(&self) -> Bytes {
        let name = match self {
            Self::MessageStart { .. } => "message_start",
            Self::Ping => "ping",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
            Self::Error { .. } => "error",
        };
        // Serialising these types cannot fail.
        let data = serde_json::to_string(self).unwrap_or_default();
        Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
    }
}

#[derive(Serialize)]
struct Stop<'a> {
    stop_reason: &'a str,
    stop_sequence: Option<&'a str>,
}

#[derive(Serialize)]
struct Overloaded {
    r#type: &'static str,
    message: &'static str,
}

impl<'a> Message<'a> {
    pub(super) fn whole(reply: &'a Reply) -> Self {
        Self {
            content: reply.blocks.iter().map(|block| &block.whole).collect(),
            stop_reason: Some(reply.stop_reason),
            stop_sequence: reply.stop_sequence.as_deref(),
            usage: reply.usage.clone(),
            ..Self::at_start(reply)
        }
    }

    fn at_start(reply: &'a Reply) -> Self {
        Self {
            model: &reply.model,
            id: &reply.id,
            r#type: "message",
            role: "assistant",
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: reply.usage.at_start(reply.max_tokens),
        }
    }
}

/// Returns the steps of a stream. They are created lazily, because a script may ask for 100,000 deltas.
pub(super) fn steps(reply: Reply, script: &Script) -> Box<dyn Iterator<Item = Step> + Send> {
    // The start, with the pause before the first content.
    let start = Event::MessageStart { message: Message::at_start(&reply) };
    let input = Usage { output_tokens: 0, iterations: None, ..reply.usage.clone() };
    let head = [Some(Step::Send(start.bytes(), Sent::Input(Box::new(input)))), Some(ping()), wait(script.ttft_ms)];
    let head = head.into_iter().flatten();

    // The regular end.
    let stop = Stop { stop_reason: reply.stop_reason, stop_sequence: reply.stop_sequence.as_deref() };
    let delta = Event::MessageDelta { delta: stop, usage: reply.usage.at_end() };
    let tail = [
        Step::Send(delta.bytes(), Sent::Nothing),
        Step::Send(Event::MessageStop.bytes(), Sent::All(Box::new(reply.usage.clone()))),
    ];

    // The content, replaced from some delta on if the script asks for an irregular ending.
    let rest = content(reply, wait(script.gap_ms)).chain(tail);
    match script.ending() {
        Some((after, how)) => Box::new(head.chain(until(rest, after, how))),
        None => Box::new(head.chain(rest)),
    }
}

/// Returns the steps of all blocks, with `gap` before every delta but the first.
fn content(reply: Reply, gap: Option<Step>) -> impl Iterator<Item = Step> + Send {
    let most = reply.usage.output_tokens;
    let (mut characters, mut is_first) = (0, true);
    reply
        .blocks
        .into_iter()
        .enumerate()
        .flat_map(block_events)
        .flat_map(move |(bytes, weight)| {
            let Some(weight) = weight else { return [None, Some(Step::Send(bytes, Sent::Nothing))] };
            characters += weight;
            let gap = gap.clone().filter(|_| !std::mem::take(&mut is_first));
            // A scripted usage may be smaller than the output.
            [gap, Some(Step::Send(bytes, Sent::Output(tokens(characters).min(most))))]
        })
        .flatten()
}

/// Returns a block's events, each delta with the number of characters that count as output.
fn block_events((index, block): (usize, Block)) -> impl Iterator<Item = (Bytes, Option<u64>)> + Send {
    let start = Event::ContentBlockStart { index, content_block: block.whole.emptied() }.bytes();
    let stop = Event::ContentBlockStop { index }.bytes();
    let deltas = block.deltas.into_iter();
    let deltas =
        deltas.map(move |delta| (Event::ContentBlockDelta { index, delta: &delta }.bytes(), Some(delta.weight())));
    iter::once((start, None)).chain(deltas).chain(iter::once((stop, None)))
}

/// Returns the steps up to and including delta number `after`, then the irregular ending. With fewer deltas, returns
/// all steps.
fn until(mut steps: impl Iterator<Item = Step> + Send, after: u64, how: Ending) -> impl Iterator<Item = Step> + Send {
    let mut left = after;
    let mut ending = ending(how);
    iter::from_fn(move || {
        if left == 0 {
            return ending.next();
        }
        let step = steps.next()?;
        if matches!(step, Step::Send(_, Sent::Output(_))) {
            left -= 1;
        }
        Some(step)
    })
}

fn ending(how: Ending) -> Box<dyn Iterator<Item = Step> + Send> {
    match how {
        Ending::Pings => Box::new(iter::repeat_with(|| [Step::Wait(PING_EVERY), ping()]).flatten()),
        Ending::Silence => Box::new(iter::once(Step::Silence)),
        Ending::Cut => Box::new(iter::once(Step::Cut)),
        Ending::ErrorEvent => {
            let error = Overloaded { r#type: "overloaded_error", message: "Overloaded" };
            Box::new(iter::once(Step::Send(Event::Error { error }.bytes(), Sent::Failure)))
        }
    }
}

fn ping() -> Step {
    Step::Send(Event::Ping.bytes(), Sent::Nothing)
}

fn wait(ms: Option<u64>) -> Option<Step> {
    ms.filter(|ms| *ms > 0).map(|ms| Step::Wait(Duration::from_millis(ms)))
}

/// Returns a body that executes the steps at their time. If the client leaves, it is dropped together with the call.
pub(super) fn play(steps: impl Iterator<Item = Step> + Send + 'static, call: TalliedCall) -> Body {
    let player = Player { steps, call, due: Instant::now() };
    Body::from_stream(stream::unfold(player, |mut player| async move {
        let step = player.next().await?;
        Some((step, player))
    }))
}

struct Player<S> {
    steps: S,
    call: TalliedCall,
    /// Time from which waits are measured, so that late timers do not add up over a long stream.
    due: Instant,
}

impl<S: Iterator<Item = Step>> Player<S> {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            match self.steps.next()? {
                Step::Wait(time) => {
                    self.due += time;
                    tokio::time::sleep_until(self.due).await;
                }
                Step::Send(bytes, sent) => {
                    self.note(sent);
                    return Some(Ok(bytes));
                }
                Step::Silence => std::future::pending().await,
                Step::Cut => {
                    tokio::time::sleep(FLUSH).await;
                    self.call.fail();
                    return Some(Err(io::ErrorKind::ConnectionReset.into()));
                }
            }
        }
    }

    fn note(&mut self, sent: Sent) {
        match sent {
            Sent::Nothing => {}
            Sent::Input(usage) => self.call.sent_input(&usage),
            Sent::Output(tokens) => self.call.sent_output(tokens),
            Sent::All(usage) => self.call.complete(&usage),
            Sent::Failure => self.call.fail(),
        }
    }
}
