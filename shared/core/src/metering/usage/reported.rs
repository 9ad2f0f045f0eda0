//! Reads an answer's report of its usage: the `usage` object, its iterations, and the model that served.
//!
//! `usage.iterations` has one entry for each sampling pass. The effect of an entry on the sum depends on its type:
//!
//! | type | included in the figures of the `usage` object | model |
//! | --- | --- | --- |
//! | `message` | yes for the model that served, no for another one that declined | its own, else the one that served |
//! | `fallback_message` | yes: it is the last pass of a turn that a fallback served | its own |
//! | `compaction` | no | its own, else the one that served |
//! | `advisor_message` | no | its own |
//!
//! An unknown type is read as `message`. An attempt that declined before any output is reported, but not billed by
//! default, so it is left out. If the passes of the model that served add up to more than the `usage` object, the
//! passes count; if they add up to less, the object does. The last pass is the one that served, even if it spells the
//! model's name differently from the answer.

use super::figures::Counted;
use super::json::{Object, elements};
use super::parts::{add, is_same_model, label, named, prompt_above};
use super::{BYTES_PER_TOKEN, Figures, Part, Service, Usage};
use crate::models::LONGEST_TOLD;

/// Largest number of iterations that are read. An answer with more of them is not counted exactly.
const MOST_ITERATIONS: usize = 256;

/// Figures of a call, broken down by model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Total usage of the call.
    pub figures: Figures,
    /// Name of the first field that was left out ([`Figures::is_absurd`]). Never its value.
    pub absurd: Option<&'static str>,
    /// Usage by model, the one that served first. Their sum is that of `figures`.
    pub parts: Vec<Part>,
    /// True if the uncached input was reported.
    pub has_input: bool,
    /// True if the output was reported.
    pub has_output: bool,
}

/// The report of an answer, from one `usage` object or from several that replace each other.
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
    kind: IterationKind,
    /// Model that the entry names; empty if it names none.
    model: String,
    usage: Usage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IterationKind {
    Message,
    Fallback,
    Compaction,
    Advisor,
}

impl Reading {
    /// Reads a whole JSON answer; `None` if it reports no usage. A missing output is estimated from the answer's
    /// length.
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

    /// Returns true if no side of the figures is missing.
    pub fn is_whole(&self) -> bool {
        self.has_input && self.has_output
    }

    /// Raises the output to at least `output`, in favour of the model that served.
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
    /// Returns true if the entry is a sampling pass of the message itself, not a call beside it.
    fn is_pass(&self) -> bool {
        matches!(self.kind, IterationKind::Message | IterationKind::Fallback)
    }

    /// Returns true if the entry names `model` or no model.
    fn may_be_of(&self, model: &str) -> bool {
        self.model.is_empty() || is_same_model(&self.model, model)
    }
}

impl Reported {
    /// Returns true if any figure of the input was reported.
    pub(super) fn has_input(&self) -> bool {
        self.counted.has_input
    }

    /// Returns the name of the first field that was left out.
    pub(super) fn absurd(&self) -> Option<&'static str> {
        self.counted.absurd
    }

    /// Stores the name of the model that served, if there is one.
    pub(super) fn served_by(&mut self, model: Option<String>) {
        if let Some(model) = model {
            self.model = named(&model, LONGEST_TOLD);
        }
    }

    /// Merges the JSON of a `usage` object into the report. Missing fields keep their values. Returns true if it has
    /// the number of output tokens.
    pub(super) fn replace_with(&mut self, usage: &str) -> bool {
        let has_output = self.counted.replace_with(usage);
        let Some(reported) = Object::parse(usage) else { return has_output };
        // Read the labels on which prices depend.
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
        // Read each entry like a `usage` object. A figure that is left out marks the whole report.
        for entry in entries {
            let mut counted = Counted::default();
            counted.replace_with(entry);
            if let Some(field) = counted.absurd {
                self.counted.refuse(field);
            }
            let Some(entry) = Object::parse(entry) else { continue };
            let kind = match entry.text("type").as_deref() {
                Some("compaction") => IterationKind::Compaction,
                Some("advisor_message") => IterationKind::Advisor,
                Some("fallback_message") => IterationKind::Fallback,
                _ => IterationKind::Message,
            };
            let model = entry.text("model").map(|model| named(&model, LONGEST_TOLD)).unwrap_or_default();
            self.iterations.push(Iteration { kind, model, usage: counted.figures.usage });
        }
    }

    /// Returns everything that was reported, with each iteration counted once.
    pub(super) fn reading(&self) -> Reading {
        let Counted { figures, absurd, has_input, has_output } = self.counted;
        // Find the model that served: the last fallback's, else the one that the answer names.
        let passes = || self.iterations.iter().filter(|it| it.is_pass());
        let fallback = passes().rfind(|it| it.kind == IterationKind::Fallback && !it.model.is_empty());
        let serving = fallback.map_or(&self.model, |it| &it.model);
        // If no pass has the name of that model, the last pass is by the same model under another name.
        let also_named = match passes().next_back() {
            Some(last) if !passes().any(|it| it.may_be_of(serving)) => &last.model,
            _ => serving,
        };
        let serving = if serving.is_empty() { also_named } else { serving };
        let is_of_serving = |it: &Iteration| it.may_be_of(serving) || it.may_be_of(also_named);

        // The excess of the `usage` object over the passes of the model that served belongs to that model.
        let (mut inside, mut prompt) = (Usage::default(), figures.usage.prompt());
        for pass in passes().filter(|it| is_of_serving(it)) {
            inside = inside.plus(&pass.usage);
            prompt = pass.usage.prompt();
        }
        let mut parts = Vec::new();
        add(&mut parts, self.service(serving, prompt), &figures.usage.less(&inside));

        // Add each iteration under its own model.
        for iteration in &self.iterations {
            let Iteration { kind, model, usage } = iteration;
            // An attempt that declined before any output is not billed.
            let is_declined = *kind == IterationKind::Message && !is_of_serving(iteration);
            if is_declined && usage.output == 0 {
                continue;
            }
            // Use one name for the model that served, even if an entry has the date of a snapshot.
            let model = if is_of_serving(iteration) { serving } else { model };
            let service = self.service(model, usage.prompt());
            // An advisor is a call of its own, and the speed is that of the answer.
            let speed = if *kind == IterationKind::Advisor { String::new() } else { service.speed };
            add(&mut parts, Service { speed, ..service }, usage);
        }
        // The total includes the iterations that are in no other figure.
        let usage = parts.iter().fold(Usage::default(), |sum, part| sum.plus(&part.usage));
        Reading { figures: Figures { usage, ..figures }, absurd, parts, has_input, has_output }
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
