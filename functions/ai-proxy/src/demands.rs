//! Reads everything that a call asks for and that guards may limit. No I/O.
//!
//! A body names models and ceilings of tokens in several places: at the top level, in `fallbacks`, in tools, and in
//! tools that are added in the middle of a conversation. A field, tool type, content block or beta that is not
//! [`understood`] may name them in places that are unknown here, so it is a demand of its own ([`Demand::Unknown`]).
//!
//! Start reading at [`Demands::of_message`].

mod object;
mod strays;
mod understood;

use std::fmt;

use http::HeaderMap;
use serde_json::value::RawValue;

use self::object::{Object, is_null, join, list};
use self::strays::Stray;
use self::understood::{ADVISOR, COMPACTION_FIELDS, MCP, OUTPUT_FIELDS, TOOL_ADDITION};

/// Header that names betas.
const BETA_HEADER: &str = "anthropic-beta";

/// One thing that a call asks for and that a guard may limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// A model.
    Model(String),
    /// A model of the provider's choice.
    AnyModel,
    /// A ceiling of tokens; `None` if a required one is missing, or is not a whole number.
    MaxTokens(Option<u64>),
    /// A speed.
    Speed(String),
    /// A service tier.
    ServiceTier(String),
    /// A region.
    InferenceGeo(String),
    /// A server tool.
    ServerTool(&'static str),
    /// A part of the call that is not understood, with its name.
    Unknown(PartKind, String),
    /// A value of another type than documented.
    Odd,
}

/// Kind of a part that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// A field of the body.
    Field,
    /// The type of a tool.
    Tool,
    /// The kind of reference to a tool that is added.
    Reference,
    /// The type of a context edit.
    Edit,
    /// The type of a content block.
    Block,
    /// A beta.
    Beta,
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Field => "field",
            Self::Tool => "tool type",
            Self::Reference => "reference to a tool",
            Self::Edit => "context edit",
            Self::Block => "content block",
            Self::Beta => "beta",
        })
    }
}

/// Everything that a call asks for, each with its place in the body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Demands(Vec<(String, Demand)>);

impl Demands {
    /// Reads the demands of a message.
    ///
    /// # Errors
    /// If `body` is not a JSON object, or if an object in it that is read has a duplicate field or is of another type.
    pub fn of_message(headers: &HeaderMap, body: &[u8]) -> Result<Self, serde_json::Error> {
        let mut demands = Self::read(headers, body)?;
        // Fields that are left out ask for the provider's default.
        for (place, default) in [
            ("max_tokens", Demand::MaxTokens(None)),
            ("speed", Demand::Speed("standard".to_owned())),
            ("service_tier", Demand::ServiceTier("auto".to_owned())),
        ] {
            if !demands.0.iter().any(|(there, _)| there == place) {
                demands.0.push((place.to_owned(), default));
            }
        }
        Ok(demands)
    }

    /// Reads the demands of a token count. It uses no tokens, so its ceilings do not matter.
    ///
    /// # Errors
    /// As [`Demands::of_message`].
    pub fn of_count(headers: &HeaderMap, body: &[u8]) -> Result<Self, serde_json::Error> {
        let mut demands = Self::read(headers, body)?;
        demands.0.retain(|(_, demand)| !matches!(demand, Demand::MaxTokens(_)));
        Ok(demands)
    }

    fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut demands = Self::default();
        let body: Object<'_> = serde_json::from_slice(bytes)?;
        // Read the call's own fields, then those that hold further ones.
        demands.read_common("", &body);
        for (name, value) in &body.0 {
            match name.as_str() {
                _ if is_null(value) => {}
                "fallbacks" => demands.read_fallbacks(value)?,
                "tools" => demands.read_tools(value)?,
                "messages" => demands.read_messages(value)?,
                "context_management" => demands.read_context_management(value)?,
                "compaction" => demands.read_known("", name, value, COMPACTION_FIELDS)?,
                "output_config" => demands.read_known("", name, value, OUTPUT_FIELDS)?,
                "system" => demands.read_system(value)?,
                "thinking" => demands.read_thinking("", value)?,
                "mcp_servers" if list(value).is_none_or(|servers| !servers.is_empty()) => {
                    demands.add("mcp_servers".to_owned(), Demand::ServerTool(MCP));
                }
                // A known field without any demand. All others may name something that guards limit.
                known if understood::is_field(known) => {}
                _ => demands.unknown(String::new(), PartKind::Field, name),
            }
        }
        demands.read_betas(headers);
        demands.read_strays(bytes)?;
        Ok(demands)
    }

    /// Returns all demands, each with its place in the body.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Demand)> {
        self.0.iter().map(|(place, demand)| (place.as_str(), demand))
    }

    fn add(&mut self, place: String, demand: Demand) {
        self.0.push((place, demand));
    }

    fn unknown(&mut self, place: String, kind: PartKind, name: &str) {
        self.add(place, Demand::Unknown(kind, name.to_owned()));
    }

    /// Reads the fields that have the same meaning in every object.
    fn read_common(&mut self, place: &str, object: &Object<'_>) {
        for (name, value) in &object.0 {
            let place = join(place, name);
            match name.as_str() {
                // A null is the same as a field that is left out.
                _ if is_null(value) => {}
                "max_tokens" => self.add(place, Demand::MaxTokens(value.get().parse().ok())),
                "model" => self.text(place, value, Demand::Model),
                "speed" => self.text(place, value, Demand::Speed),
                "service_tier" => self.text(place, value, Demand::ServiceTier),
                "inference_geo" => self.text(place, value, Demand::InferenceGeo),
                _ => {}
            }
        }
    }

    fn text(&mut self, place: String, value: &RawValue, demand: fn(String) -> Demand) {
        match serde_json::from_str(value.get()) {
            Ok(text) => self.add(place, demand(text)),
            Err(_) => self.add(place, Demand::Odd),
        }
    }

    fn read_fallbacks(&mut self, value: &RawValue) -> Result<(), serde_json::Error> {
        // The provider chooses the model, so no list of models can allow it.
        if serde_json::from_str::<String>(value.get()).is_ok_and(|text| text == "default") {
            self.add("fallbacks".to_owned(), Demand::AnyModel);
            return Ok(());
        }
        for (place, fallback) in self.objects("fallbacks", value)? {
            self.read_common(&place, &fallback);
            self.only(&place, &fallback, understood::FALLBACK_FIELDS);
            if let Some(output_config) = fallback.0.get("output_config") {
                self.read_known(&place, "output_config", output_config, OUTPUT_FIELDS)?;
            }
            if let Some(thinking) = fallback.0.get("thinking") {
                self.read_thinking(&place, thinking)?;
            }
        }
        Ok(())
    }

    /// Reads the budget of thinking. Between calls of tools it may exceed the call's own ceiling.
    fn read_thinking(&mut self, place: &str, value: &RawValue) -> Result<(), serde_json::Error> {
        self.read_known(place, "thinking", value, understood::THINKING_FIELDS)?;
        if value.get().starts_with('{') {
            let thinking: Object<'_> = serde_json::from_str(value.get())?;
            if let Some(budget) = thinking.0.get("budget_tokens").filter(|budget| !is_null(budget)) {
                let place = join(&join(place, "thinking"), "budget_tokens");
                self.add(place, Demand::MaxTokens(budget.get().parse().ok()));
            }
        }
        Ok(())
    }

    /// Reads the system prompt: text, or blocks of text.
    fn read_system(&mut self, value: &RawValue) -> Result<(), serde_json::Error> {
        if value.get().starts_with('"') {
            return Ok(());
        }
        for (place, block) in self.objects("system", value)? {
            let kind = block.text("type").unwrap_or_default();
            if kind != "text" {
                self.unknown(place, PartKind::Block, &kind);
            }
        }
        Ok(())
    }

    /// Adds a demand for each limited name in a place that is not read above.
    fn read_strays(&mut self, body: &[u8]) -> Result<(), serde_json::Error> {
        for Stray { place, name } in strays::find(body)? {
            match name {
                Some(name) => self.unknown(place, PartKind::Field, &name),
                None => self.add(place, Demand::Odd),
            }
        }
        Ok(())
    }

    fn read_tools(&mut self, value: &RawValue) -> Result<(), serde_json::Error> {
        for (place, tool) in self.objects("tools", value)? {
            self.read_tool(&place, &tool)?;
        }
        Ok(())
    }

    fn read_tool(&mut self, place: &str, tool: &Object<'_>) -> Result<(), serde_json::Error> {
        self.read_common(place, tool);
        // A tool without a type is one that the caller runs.
        let kind = match tool.0.get("type") {
            Some(kind) if !is_null(kind) => tool.text("type").unwrap_or_default(),
            _ => "custom".to_owned(),
        };
        // An unknown type may name a model or a ceiling in a new place.
        let Some(server_tool) = understood::server_tool(&kind) else {
            self.unknown(place.to_owned(), PartKind::Tool, &kind);
            return Ok(());
        };
        if server_tool == Some(ADVISOR) {
            // Without a ceiling the advisor may answer as much as its model can.
            if tool.0.get("max_tokens").is_none_or(|value| is_null(value)) {
                self.add(join(place, "max_tokens"), Demand::MaxTokens(None));
            }
            self.only(place, tool, understood::ADVISOR_FIELDS);
        }
        if kind == "custom" {
            self.only(place, tool, understood::CUSTOM_TOOL_FIELDS);
        }
        if let Some(server_tool) = server_tool {
            self.add(place.to_owned(), Demand::ServerTool(server_tool));
        }
        Ok(())
    }

    fn read_messages(&mut self, value: &RawValue) -> Result<(), serde_json::Error> {
        for (place, message) in self.objects("messages", value)? {
            self.only(&place, &message, understood::MESSAGE_FIELDS);
            if let Some(output_config) = message.0.get("output_config") {
                self.read_known(&place, "output_config", output_config, OUTPUT_FIELDS)?;
            }
            // Look into blocks. Content that is plain text asks for nothing.
            let is_text = |content: &RawValue| is_null(content) || content.get().starts_with('"');
            let Some(content) = message.0.get("content").filter(|content| !is_text(content)) else { continue };
            for (place, block) in self.objects(&join(&place, "content"), content)? {
                self.read_block(&place, &block)?;
            }
        }
        Ok(())
    }

    fn read_block(&mut self, place: &str, block: &Object<'_>) -> Result<(), serde_json::Error> {
        let kind = block.text("type").unwrap_or_default();
        if !understood::is_block(&kind) {
            self.unknown(place.to_owned(), PartKind::Block, &kind);
        }
        if kind == TOOL_ADDITION {
            self.read_tool_addition(place, block)?;
        }
        // A compaction block keeps the changes to the tools of the conversation that it replaces.
        if let Some(changes) = block.0.get("tool_changes").filter(|changes| !is_null(changes)) {
            for (place, change) in self.objects(&join(place, "tool_changes"), changes)? {
                self.read_block(&place, &change)?;
            }
        }
        Ok(())
    }

    fn read_context_management(&mut self, value: &RawValue) -> Result<(), serde_json::Error> {
        if !value.get().starts_with('{') {
            self.add("context_management".to_owned(), Demand::Odd);
            return Ok(());
        }
        let config: Object<'_> = serde_json::from_str(value.get())?;
        self.only("context_management", &config, &["edits"]);
        let Some(edits) = config.0.get("edits").filter(|edits| !is_null(edits)) else { return Ok(()) };
        for (place, edit) in self.objects("context_management.edits", edits)? {
            let kind = edit.text("type").unwrap_or_default();
            if !understood::EDITS.contains(&kind.as_str()) {
                self.unknown(place, PartKind::Edit, &kind);
            }
        }
        Ok(())
    }

    /// Reads an object that may be null, has only `known` fields, and names nothing that guards limit.
    fn read_known(
        &mut self,
        place: &str,
        name: &str,
        value: &RawValue,
        known: &[&str],
    ) -> Result<(), serde_json::Error> {
        let place = join(place, name);
        if value.get().starts_with('{') {
            self.only(&place, &serde_json::from_str(value.get())?, known);
        } else if !is_null(value) {
            self.add(place, Demand::Odd);
        }
        Ok(())
    }

    /// Adds a demand for each field of `object` that is not `known`.
    fn only(&mut self, place: &str, object: &Object<'_>, known: &[&str]) {
        for name in object.0.keys().filter(|name| !known.contains(&name.as_str())) {
            self.unknown(place.to_owned(), PartKind::Field, name);
        }
    }

    /// Reads a tool that is added in the middle of a conversation: a reference to a declared tool, or a definition.
    fn read_tool_addition(&mut self, place: &str, block: &Object<'_>) -> Result<(), serde_json::Error> {
        let Some(tool) = block.0.get("tool") else { return Ok(()) };
        let place = join(place, "tool");
        let tool: Object<'_> = serde_json::from_str(tool.get())?;
        let kind = tool.text("type").unwrap_or_default();
        if !understood::REFERENCES.contains(&kind.as_str()) {
            self.unknown(place.clone(), PartKind::Reference, &kind);
        }
        if let Some(definition) = tool.0.get("definition") {
            self.read_tool(&join(&place, "definition"), &serde_json::from_str(definition.get())?)?;
        }
        Ok(())
    }

    fn read_betas(&mut self, headers: &HeaderMap) {
        for value in headers.get_all(BETA_HEADER) {
            let text = String::from_utf8_lossy(value.as_bytes());
            for beta in text.split(',').map(str::trim).filter(|beta| !beta.is_empty() && !understood::is_beta(beta)) {
                self.unknown(String::new(), PartKind::Beta, beta);
            }
        }
    }

    /// Returns the objects of the list at `place`. Adds a demand for anything that is not a list of objects.
    fn objects<'a>(
        &mut self,
        place: &str,
        value: &'a RawValue,
    ) -> Result<Vec<(String, Object<'a>)>, serde_json::Error> {
        let Some(items) = list(value) else {
            self.add(place.to_owned(), Demand::Odd);
            return Ok(Vec::new());
        };
        let mut objects = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{place}[{index}]");
            if item.get().starts_with('{') {
                objects.push((place, serde_json::from_str(item.get())?));
            } else {
                self.add(place, Demand::Odd);
            }
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests;
