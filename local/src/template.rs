//! Parses template.yaml into the parts that are emulated: functions, routes, gateway responses and tables.
//!
//! Nothing is guessed: an intrinsic, a property of the API or a shape of a route that is not emulated is a
//! [`Mistake`] that names its line. Resources without a meaning on one machine (networks, alarms, roles) are ignored.
//! Start reading at [`Template::read`].

mod api;
mod events;
mod functions;
mod gateway_responses;
mod node;
mod scope;
mod tables;

use std::{collections::BTreeMap, fmt, path::Path};

pub use self::{
    api::{Api, Authorizer, Cors},
    events::{Methods, Route, Schedule},
    functions::Function,
    gateway_responses::{BodyPart, GatewayResponse, HeaderSource, RequestPart, ResponseType},
    scope::{ACCOUNT, API_ID, REGION},
    tables::Table,
};
use self::{
    node::{Node, NodeKind},
    scope::Scope,
};

/// An error in the template, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line number, from 1.
    pub line: usize,
    /// Description of the error.
    pub message: String,
}

impl Mistake {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.line, self.message)
    }
}

impl std::error::Error for Mistake {}

/// The parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    /// Functions by logical id.
    pub functions: BTreeMap<String, Function>,
    /// The one `AWS::Serverless::Api`.
    pub api: Api,
    /// Routes of all functions, in the order of the file.
    pub routes: Vec<Route>,
    /// Schedules of the functions.
    pub schedules: Vec<Schedule>,
    /// Tables by logical id.
    pub tables: BTreeMap<String, Table>,
    root: Node,
    references: BTreeMap<String, String>,
}

impl Template {
    /// Reads the template at `path`, with its parameters at their defaults.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or with `file:line: message` if it contains something that is not emulated.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        Self::load_with(path, &BTreeMap::new())
    }

    /// Reads the template at `path`, with these values of its parameters.
    ///
    /// # Errors
    /// As [`Template::load`], and if the template lacks one of the parameters.
    pub fn load_with(path: &Path, parameters: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| anyhow::anyhow!("cannot read the template {}: {error}", path.display()))?;
        Self::read(&text, parameters).map_err(|mistake| anyhow::anyhow!("{}:{mistake}", path.display()))
    }

    /// Parses a template's text, with these values of its parameters.
    ///
    /// # Errors
    /// The first construct that is not emulated, or a parameter that the template lacks.
    pub fn read(text: &str, parameters: &BTreeMap<String, String>) -> Result<Self, Mistake> {
        // Parse the YAML and set the parameters.
        let mut root = node::parse(text)?;
        for (name, value) in parameters {
            set_parameter(&mut root, name, value)?;
        }
        let globals = root.get("Globals").and_then(|globals| globals.get("Function")).cloned();
        if let Some(api) = root.get("Globals").and_then(|globals| globals.get("Api")) {
            api.only("Globals.Api (put it on the API itself)", &[], api::IGNORED)?;
        }
        // Read the tables first: functions refer to their names.
        let mut scope = Scope::new(&root);
        let tables = tables::read(&resources(&root, &scope, "AWS::DynamoDB::Table")?, &scope)?;
        let mut references: BTreeMap<String, String> =
            tables.iter().map(|(id, table)| (id.clone(), table.name.clone())).collect();
        for (id, name) in &references {
            scope.define(id, name);
        }

        // Read the one API, then the functions with their routes and schedules.
        let mut functions = BTreeMap::new();
        let (mut routes, mut schedules) = (Vec::new(), Vec::new());
        let apis = resources(&root, &scope, "AWS::Serverless::Api")?;
        let [api] = apis.as_slice() else {
            let line = apis.get(1).map_or(1, |api| api.properties.line);
            return Err(Mistake::new(line, format!("one AWS::Serverless::Api is emulated, found {}", apis.len())));
        };
        let api = api::read(&api.id, api.properties, &scope)?;
        for resource in resources(&root, &scope, "AWS::Serverless::Function")? {
            let function = functions::read(&resource, globals.as_ref(), &scope)?;
            events::read(&function, resource.properties, &api, &scope, &mut routes, &mut schedules)?;
            references.insert(resource.id.clone(), function.name.clone());
            functions.insert(resource.id, function);
        }
        // Check references between the parts.
        references.insert(api.id.clone(), API_ID.to_owned());
        events::check(&routes)?;
        api.check(&functions)?;
        Ok(Self { functions, api, routes, schedules, tables, references, root: root.clone() })
    }

    /// Returns the environment variables that the template declares for a function. `instead` may override any of
    /// them; an overridden value is not evaluated.
    ///
    /// # Errors
    /// The line of a variable whose value does not exist on this machine.
    pub fn variables(
        &self,
        function: &Function,
        instead: impl Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, String>, Mistake> {
        let mut scope = Scope::new(&self.root);
        for (id, value) in &self.references {
            scope.define(id, value);
        }
        let mut variables = BTreeMap::new();
        for (name, node) in &function.variables {
            let value = match instead(name) {
                Some(value) => Some(value),
                None => scope
                    .optional_text(node)
                    .map_err(|mistake| Mistake::new(mistake.line, format!("{name}: {}", mistake.message)))?,
            };
            variables.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(variables)
    }
}

/// Sets the default of the parameter `name`, which has to exist, to `value`.
fn set_parameter(root: &mut Node, name: &str, value: &str) -> Result<(), Mistake> {
    let parameter = root.get_mut("Parameters").and_then(|parameters| parameters.get_mut(name));
    let Some(parameter) = parameter else {
        return Err(Mistake::new(1, format!("the template has no parameter {name}")));
    };
    let default = Node::scalar(parameter.line, value);
    parameter.set("Default", default);
    Ok(())
}

/// A resource whose condition, if any, holds.
struct Resource<'a> {
    id: String,
    properties: &'a Node,
    metadata: Option<&'a Node>,
}

/// Returns the resources of one type.
fn resources<'a>(root: &'a Node, scope: &Scope<'_>, kind: &str) -> Result<Vec<Resource<'a>>, Mistake> {
    static NOTHING: Node = Node { line: 1, kind: NodeKind::Map(Vec::new()) };
    let mut found = Vec::new();
    let all = root.get("Resources").ok_or_else(|| Mistake::new(1, "the template has no Resources"))?;
    for entry in all.entries() {
        let is_kind =
            matches!(entry.value.get("Type"), Some(Node { kind: NodeKind::Scalar(text), .. }) if text == kind);
        let exists = match entry.value.get("Condition") {
            Some(Node { kind: NodeKind::Scalar(name), line }) if is_kind => scope.condition(name, *line)?,
            _ => true,
        };
        if is_kind && exists {
            let properties = entry.value.get("Properties").unwrap_or(&NOTHING);
            found.push(Resource { id: entry.key.clone(), properties, metadata: entry.value.get("Metadata") });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
