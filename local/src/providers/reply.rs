//! Content of an answer: its blocks, split into the deltas of a stream, and its usage.

use serde::Serialize;
use serde_json::{Value, json};

use super::request::Ask;
use super::script::Script;
use super::seed::Seed;
use super::tools;
use super::usage::{self, OutputDetails, ServerToolUse, Usage};

/// Number of deltas of a text unless scripted.
pub(super) const DEFAULT_DELTAS: u64 = 8;
const THINKING_DELTAS: usize = 3;
const WORDS_A_DELTA: usize = 4;

/// Longest delta in characters if their number is scripted.
const LONGEST_DELTA: u64 = 48;

/// Number of characters of a tool's input in one delta.
const JSON_PIECE: usize = 12;

/// A whole answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) blocks: Vec<Block>,
    pub(super) stop_reason: &'static str,
    pub(super) stop_sequence: Option<String>,
    pub(super) usage: Usage,
    pub(super) max_tokens: u64,
}

/// A complete block, and the deltas that build it from its empty form.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) whole: Content,
    pub(super) deltas: Vec<Delta>,
}

/// Anthropic's content blocks.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content {
    Thinking { thinking: String, signature: String },
    Text { text: String },
    ToolUse { id: String, name: String, input: Value },
    ServerToolUse { id: String, name: String, input: Value },
    WebSearchToolResult { tool_use_id: String, content: Value },
}

/// Anthropic's deltas of blocks.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names are the wire's")]
pub(super) enum Delta {
    TextDelta { text: String },
    ThinkingDelta { thinking: String },
    SignatureDelta { signature: String },
    InputJsonDelta { partial_json: String },
}

impl Delta {
    /// Returns the number of characters that count as output.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::TextDelta { text } => length(text),
            Self::ThinkingDelta { thinking } => length(thinking),
            Self::InputJsonDelta { partial_json } => length(partial_json),
            Self::SignatureDelta { .. } => 0,
        }
    }
}

impl Content {
    /// Returns the form in `content_block_start`. Results of the provider's own tools are sent whole.
    pub(super) fn emptied(&self) -> Self {
        match self.clone() {
            Self::Thinking { .. } => Self::Thinking { thinking: String::new(), signature: String::new() },
            Self::Text { .. } => Self::Text { text: String::new() },
            Self::ToolUse { id, name, .. } => Self::ToolUse { id, name, input: json!({}) },
            Self::ServerToolUse { id, name, .. } => Self::ServerToolUse { id, name, input: json!({}) },
            found @ Self::WebSearchToolResult { .. } => found,
        }
    }
}

/// Output that `max_tokens` still allows.
struct Room {
    characters: u64,
    is_full: bool,
}

impl Room {
    /// Returns as many pieces as there is room for, the last one shortened.
    fn take(&mut self, pieces: Vec<String>) -> Vec<String> {
        let mut taken = Vec::with_capacity(pieces.len());
        for mut piece in pieces {
            let length = length(&piece);
            if length > self.characters {
                self.is_full = true;
                shorten(&mut piece, self.characters);
            }
            self.characters = self.characters.saturating_sub(length);
            if !piece.is_empty() {
                taken.push(piece);
            }
            if self.is_full {
                break;
            }
        }
        taken
    }

    fn has_for(&mut self, text: &str) -> bool {
        self.is_full |= length(text) > self.characters;
        if !self.is_full {
            self.characters -= length(text);
        }
        !self.is_full
    }
}

/// Composes an answer: thinking if requested, a search if offered, always text, and a tool call if requested, as far
/// as `max_tokens` has room.
pub(super) fn compose(name: &str, ask: &Ask, script: &Script, seed: Seed) -> Reply {
    let available = usage::characters(ask.max_tokens);
    let mut room = Room { characters: available, is_full: false };
    let mut blocks = Vec::new();
    let mut usage = usage::of_prompt(&ask.body);

    // Thinking and server tools come first.
    if ask.thinks {
        blocks.extend(thinking(&mut room, seed));
        let thinking_tokens = usage::tokens(available - room.characters);
        usage.output_tokens_details = Some(OutputDetails { thinking_tokens });
    }
    let (searches, fetches) = (tools::offers(ask, "web_search_"), tools::offers(ask, "web_fetch_"));
    if searches {
        blocks.extend(search(&mut room, seed));
    }
    if searches || fetches {
        usage.server_tool_use =
            Some(ServerToolUse { web_search_requests: u64::from(searches), web_fetch_requests: u64::from(fetches) });
    }

    // The text ends at the earliest stop sequence, or if there is no room left.
    let mut pieces = text(name, script.deltas, room.characters, seed.branch("text"));
    let stop_sequence = stop(&mut pieces, &ask.stop_sequences);
    let pieces = room.take(pieces);
    if !pieces.is_empty() {
        let whole = Content::Text { text: pieces.concat() };
        blocks.push(Block { whole, deltas: pieces.into_iter().map(|text| Delta::TextDelta { text }).collect() });
    }

    // Call a tool unless a stop sequence ended the answer.
    let mut stop_reason = if stop_sequence.is_some() { "stop_sequence" } else { "end_turn" };
    if let Some(tool) = tools::called(ask).filter(|_| stop_sequence.is_none()) {
        blocks.extend(tool_use(&mut room, tool, seed));
        stop_reason = "tool_use";
    }
    if room.is_full {
        stop_reason = "max_tokens";
    }

    // Compute the usage from the characters produced, then apply the script's overrides.
    usage.output_tokens = usage::tokens(available - room.characters);
    if let Some(over) = &script.usage {
        // The script was validated when it was set.
        usage = usage.overridden(over).unwrap_or(usage);
    }
    Reply {
        id: seed.id("msg_01", 22),
        model: ask.model.clone(),
        blocks,
        stop_reason,
        stop_sequence: stop_sequence.filter(|_| stop_reason == "stop_sequence"),
        usage,
        max_tokens: ask.max_tokens,
    }
}

fn thinking(room: &mut Room, seed: Seed) -> Option<Block> {
    let mut source = seed.branch("thinking");
    let pieces = room.take((0..THINKING_DELTAS).map(|_| source.words(WORDS_A_DELTA)).collect());
    if pieces.is_empty() {
        return None;
    }
    let signature = seed.id("Eq", 86);
    let whole = Content::Thinking { thinking: pieces.concat(), signature: signature.clone() };
    let said = pieces.into_iter().map(|thinking| Delta::ThinkingDelta { thinking });
    Some(Block { whole, deltas: said.chain([Delta::SignatureDelta { signature }]).collect() })
}

fn search(room: &mut Room, seed: Seed) -> Vec<Block> {
    let input = json!({ "query": seed.branch("query").words(2).trim_end() });
    let id = seed.id("srvtoolu_01", 22);
    if !room.has_for(&input.to_string()) {
        return Vec::new();
    }
    let deltas = json_deltas(&input);
    let call = Content::ServerToolUse { id: id.clone(), name: "web_search".to_owned(), input };
    let content = json!([{
        "type": "web_search_result",
        "title": "How a levee is kept",
        "url": "https://example.com/levees",
        "encrypted_content": seed.id("", 64),
        "page_age": "April 30, 2025",
    }]);
    let found = Content::WebSearchToolResult { tool_use_id: id, content };
    vec![Block { whole: call, deltas }, Block { whole: found, deltas: Vec::new() }]
}

fn tool_use(room: &mut Room, tool: &Value, seed: Seed) -> Option<Block> {
    let input = tools::input(tool, seed.branch("input"));
    if !room.has_for(&input.to_string()) {
        return None;
    }
    let name = tool["name"].as_str().unwrap_or_default().to_owned();
    let deltas = json_deltas(&input);
    Some(Block { whole: Content::ToolUse { id: seed.id("toolu_01", 22), name, input }, deltas })
}

/// Splits a tool's input into deltas. The first one is empty, as in Anthropic's streams.
fn json_deltas(input: &Value) -> Vec<Delta> {
    let characters: Vec<char> = input.to_string().chars().collect();
    let pieces = characters.chunks(JSON_PIECE).map(|piece| piece.iter().collect());
    [String::new()].into_iter().chain(pieces).map(|partial_json| Delta::InputJsonDelta { partial_json }).collect()
}

/// Generates the pieces of the text. A scripted number of deltas is kept by shortening them, down to one character.
/// Otherwise the pieces have their natural length, and may exceed `max_tokens`.
fn text(name: &str, scripted: Option<u64>, room: u64, mut source: Seed) -> Vec<String> {
    let count = scripted.unwrap_or(DEFAULT_DELTAS);
    let longest = scripted.map_or(u64::MAX, |count| (room / count.max(1)).clamp(1, LONGEST_DELTA));
    (0..count)
        .map(|number| {
            let mut piece = if number == 0 { format!("Hello from {name}: ") } else { source.words(WORDS_A_DELTA) };
            shorten(&mut piece, longest);
            piece
        })
        .collect()
}

/// Ends the text at the earliest stop sequence, and returns that sequence.
fn stop(pieces: &mut Vec<String>, sequences: &[String]) -> Option<String> {
    let text = pieces.concat();
    let found = sequences.iter().filter(|sequence| !sequence.is_empty());
    let (mut left, sequence) = found.filter_map(|stop| Some((text.find(stop.as_str())?, stop))).min()?;
    pieces.retain_mut(|piece| {
        piece.truncate(left.min(piece.len()));
        left -= piece.len();
        !piece.is_empty()
    });
    Some(sequence.clone())
}

fn shorten(text: &mut String, most: u64) {
    let cut = usize::try_from(most).ok().and_then(|most| text.char_indices().nth(most));
    if let Some((end, _)) = cut {
        text.truncate(end);
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}
