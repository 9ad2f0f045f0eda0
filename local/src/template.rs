//! template.yaml, read into what the emulation needs: functions, routes, the API's answers, and tables.
//!
//! Nothing is guessed: an intrinsic, a property of the API or a route shape that is not emulated is a [`Mistake`] that
//! names its line. Resources that mean nothing on one machine (networks, alarms, roles) are passed over unread.
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
    node::{Kind, Node},
    scope::Scope,
};

/// What is wrong with the template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
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

/// The template as the local stack understands it.
#[derive(Clone, Debug)]
pub struct Template {
    /// By logical id.
    pub functions: BTreeMap<String, Function>,
    /// The one `AWS::Serverless::Api`.
    pub api: Api,
    /// Every route of every function, in the order of the file.
    pub routes: Vec<Route>,
    /// The schedules of functions.
    pub schedules: Vec<Schedule>,
    /// By logical id.
    pub tables: BTreeMap<String, Table>,
    root: Node,
    references: BTreeMap<String, String>,
}

impl Template {
    /// Reads the template at `path`, with its parameters at their defaults.
    ///
    /// # Errors
    /// When the file cannot be read, or with `file:line: message` when it holds something that is not emulated.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        Self::load_with(path, &BTreeMap::new())
    }

    /// Reads the template at `path`, with these values for its parameters.
    ///
    /// # Errors
    /// As [`Template::load`], and when the template has no parameter of a name that is given.
    pub fn load_with(path: &Path, parameters: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| anyhow::anyhow!("cannot read the template {}: {error}", path.display()))?;
        Self::read(&text, parameters).map_err(|mistake| anyhow::anyhow!("{}:{mistake}", path.display()))
    }

    /// Reads a template's text, with these values for its parameters.
    ///
    /// # Errors
    /// The first thing in it that is not emulated, or a parameter that it does not have.
    pub fn read(text: &str, parameters: &BTreeMap<String, String>) -> Result<Self, Mistake> {
        let mut root = node::parse(text)?;
        for (name, value) in parameters {
            set_parameter(&mut root, name, value)?;
        }
        let globals = root.get("Globals").and_then(|globals| globals.get("Function")).cloned();
        if let Some(api) = root.get("Globals").and_then(|globals| globals.get("Api")) {
            api.only("Globals.Api (put it on the API itself)", &[], api::IGNORED)?;
        }
        let mut scope = Scope::new(&root);
        let tables = tables::read(&resources(&root, &scope, "AWS::DynamoDB::Table")?, &scope)?;
        let mut references: BTreeMap<String, String> =
            tables.iter().map(|(id, table)| (id.clone(), table.name.clone())).collect();
        for (id, name) in &references {
            scope.define(id, name);
        }

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
        references.insert(api.id.clone(), API_ID.to_owned());
        events::check(&routes)?;
        api.check(&functions)?;
        Ok(Self { functions, api, routes, schedules, tables, references, root: root.clone() })
    }

    /// The environment variables that the template gives to a function. `instead` may name another value for any of
    /// them; what it names is not evaluated.
    ///
    /// # Errors
    /// A variable whose value does not exist on this machine, by its line.
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

/// Makes `value` the default of the parameter `name`, which must be there.
fn set_parameter(root: &mut Node, name: &str, value: &str) -> Result<(), Mistake> {
    let parameter = root.get_mut("Parameters").and_then(|parameters| parameters.get_mut(name));
    let Some(parameter) = parameter else {
        return Err(Mistake::new(1, format!("the template has no parameter {name}")));
    };
    let default = Node::scalar(parameter.line, value);
    parameter.set("Default", default);
    Ok(())
}

/// A resource that exists under the template's conditions.
struct Resource<'a> {
    id: String,
    properties: &'a Node,
    metadata: Option<&'a Node>,
}

/// The resources of one type.
fn resources<'a>(root: &'a Node, scope: &Scope<'_>, kind: &str) -> Result<Vec<Resource<'a>>, Mistake> {
    static NOTHING: Node = Node { line: 1, kind: Kind::Map(Vec::new()) };
    let mut found = Vec::new();
    let all = root.get("Resources").ok_or_else(|| Mistake::new(1, "the template has no Resources"))?;
    for entry in all.entries() {
        let is_kind = matches!(entry.value.get("Type"), Some(Node { kind: Kind::Scalar(text), .. }) if text == kind);
        let exists = match entry.value.get("Condition") {
            Some(Node { kind: Kind::Scalar(name), line }) if is_kind => scope.condition(name, *line)?,
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
