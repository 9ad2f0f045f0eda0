//! Reads what one answer reports of its usage: the `usage` object, its iterations, and the model that served.
//!
//! `usage.iterations` has one entry for each sampling pass. What an entry means for the sum depends on its type:
//!
//! | type | in the figures of the `usage` object | model |
//! | --- | --- | --- |
//! | `message` | yes, where it is a pass of the model that served; no, where it is an attempt of another model that declined | its own, else the one that served |
//! | `fallback_message` | yes: it is the last pass of a turn that a fallback served | its own |
//! | `compaction` | no | its own, else the one that served |
//! | `advisor_message` | no | its own |
//!
//! A type that is not known is read as `message`. An attempt that declined before any output is reported, and not billed
//! by default, so that it is left out. Where the passes of the model that served come to more than the `usage` object says,
//! they count; where they come to less, the object does. The last pass is the one that served, also where it writes the
//! model's name in another way than the answer.

use super::figures::Counted;
use super::json::{Object, elements};
use super::parts::{add, is_same_model, label, named, prompt_above};
use super::{BYTES_PER_TOKEN, Figures, Part, Service, Usage};
use crate::metering::model::LONGEST_TOLD;

/// The most iterations that are read. An answer with more of them is not counted exactly.
const MOST_ITERATIONS: usize = 256;

/// Figures of a call, with how they were read and what each model used of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What was used in all.
    pub figures: Figures,
    /// The first field that was refused ([`Figures::is_absurd`]): its name, and never its value.
    pub absurd: Option<&'static str>,
    /// What was used of each model, the one that served first. Their sum is that of `figures`.
    pub parts: Vec<Part>,
    /// True where both input and output were reported, so that no side of the figures is missing.
    pub is_whole: bool,
}

/// What an answer reports, in one `usage` object or in several that replace each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Reported {
    counted: Counted,
    model: String,
    speed: String,
    geo: String,
    iterations: Vec<Iteration>,
}

/// One sampling pass.
#[derive(Debug, Clone)]
struct Iteration {
    kind: Kind,
    /// The model that the entry names; empty where it names none.
    model: String,
    usage: Usage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Fallback,
    Compaction,
    Advisor,
}

impl Reading {
    /// Reads a whole JSON answer; `None` where it reports no usage. An output that is not reported is estimated from the
    /// answer's length.
    pub fn of_message(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let message = Object::parse(&text)?;
        let mut reported = Reported::default();
        let has_output = reported.replace_with(message.field("usage")?);
        reported.served_by(message.text("model"));
        let mut reading = reported.reading();
        if !has_output {
            reading.raise_output(tokens_of(body));
        }
        Some(reading)
    }

    /// Estimates the output of a JSON answer that reports no usage, from its length.
    pub fn of_unmetered(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let mut reported = Reported::default();
        reported.served_by(Object::parse(&text).and_then(|message| message.text("model")));
        let mut reading = reported.reading();
        reading.raise_output(tokens_of(body));
        reading
    }

    /// Raises the output to `output`, for the model that served.
    pub(super) fn raise_output(&mut self, output: u64) {
        let more = output.saturating_sub(self.figures.usage.output);
        self.figures.usage.output += more;
        if let Some(part) = self.parts.first_mut() {
            part.usage.output += more;
        }
    }
}

/// Estimates the tokens of an answer from its length.
fn tokens_of(body: &[u8]) -> u64 {
    (body.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

impl Iteration {
    /// Returns whether the entry is a sampling pass of a message itself, and no call beside it.
    fn is_pass(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::Fallback)
    }

    /// Returns whether the entry may be of `model`: it names it, or none.
    fn may_be_of(&self, model: &str) -> bool {
        self.model.is_empty() || is_same_model(&self.model, model)
    }
}

impl Reported {
    /// Returns whether a figure of the input was reported.
    pub(super) fn has_input(&self) -> bool {
        self.counted.has_input
    }

    /// Returns the first field that was refused.
    pub(super) fn absurd(&self) -> Option<&'static str> {
        self.counted.absurd
    }

    /// Takes over the name of the model that served, where there is one.
    pub(super) fn served_by(&mut self, model: Option<String>) {
        if let Some(model) = model {
            self.model = named(&model, LONGEST_TOLD);
        }
    }

    /// Takes over what a `usage` object says, given as its JSON; what it does not say stays. Returns true where it says how
    /// many tokens were put out.
    pub(super) fn replace_with(&mut self, usage: &str) -> bool {
        let has_output = self.counted.replace_with(usage);
        let Some(reported) = Object::parse(usage) else { return has_output };
        let text = |field| reported.field(field).map(|_| label(&reported.text(field).unwrap_or_default()));
        if let Some(speed) = text("speed") {
            self.speed = speed;
        }
        if let Some(geo) = text("inference_geo") {
            self.geo = geo;
        }
        if let Some(list) = reported.field("iterations") {
            self.read_iterations(list);
        }
        has_output
    }

    fn read_iterations(&mut self, list: &str) {
        let Some((entries, has_more)) = elements(list, MOST_ITERATIONS) else {
            return self.counted.refuse("iterations");
        };
        if has_more {
            self.counted.refuse("iterations");
        }
        self.iterations.clear();
        for entry in entries {
            let mut counted = Counted::default();
            counted.replace_with(entry);
            if let Some(field) = counted.absurd {
                self.counted.refuse(field);
            }
            let Some(entry) = Object::parse(entry) else { continue };
            let kind = match entry.text("type").as_deref() {
                Some("compaction") => Kind::Compaction,
                Some("advisor_message") => Kind::Advisor,
                Some("fallback_message") => Kind::Fallback,
                _ => Kind::Message,
            };
            let model = entry.text("model").map(|model| named(&model, LONGEST_TOLD)).unwrap_or_default();
            self.iterations.push(Iteration { kind, model, usage: counted.figures.usage });
        }
    }

    /// Returns all that is reported, each iteration counted once.
    pub(super) fn reading(&self) -> Reading {
        let Counted { figures, absurd, has_input, has_output } = self.counted;
        let passes = || self.iterations.iter().filter(|it| it.is_pass());
        let fallback = passes().rfind(|it| it.kind == Kind::Fallback && !it.model.is_empty());
        let serving = fallback.map_or(&self.model, |it| &it.model);
        // Where no pass has the name of the model that served, the last one is by that model under another name.
        let also_named = match passes().next_back() {
            Some(last) if !passes().any(|it| it.may_be_of(serving)) => &last.model,
            _ => serving,
        };
        let serving = if serving.is_empty() { also_named } else { serving };
        let is_of_serving = |it: &Iteration| it.may_be_of(serving) || it.may_be_of(also_named);

        // What the `usage` object says beyond the passes of the model that served is of the same model.
        let (mut inside, mut prompt) = (Usage::default(), figures.usage.prompt());
        for pass in passes().filter(|it| is_of_serving(it)) {
            inside = inside.plus(&pass.usage);
            prompt = pass.usage.prompt();
        }
        let mut parts = Vec::new();
        add(&mut parts, self.service(serving, prompt), &figures.usage.less(&inside));

        for iteration in &self.iterations {
            let Iteration { kind, model, usage } = iteration;
            let is_declined = *kind == Kind::Message && !is_of_serving(iteration);
            if is_declined && usage.output == 0 {
                continue;
            }
            // One name for one model, whether or not an entry has the date of a snapshot.
            let model = if is_of_serving(iteration) { serving } else { model };
            let service = self.service(model, usage.prompt());
            // An advisor is a call of its own: what is said of the speed is said of the answer.
            let speed = if *kind == Kind::Advisor { String::new() } else { service.speed };
            add(&mut parts, Service { speed, ..service }, usage);
        }
        let usage = parts.iter().fold(Usage::default(), |sum, part| sum.plus(&part.usage));
        Reading { figures: Figures { usage, ..figures }, absurd, parts, is_whole: has_input && has_output }
    }

    fn service(&self, model: &str, prompt: u64) -> Service {
        Service {
            model: model.to_owned(),
            tier: self.counted.figures.tier,
            speed: self.speed.clone(),
            geo: self.geo.clone(),
            prompt_above: prompt_above(prompt),
        }
    }
}

#[cfg(test)]
mod tests;
