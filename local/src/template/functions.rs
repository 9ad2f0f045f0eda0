//! `AWS::Serverless::Function`: the binary to run, its limits, and its variables (unevaluated).

use std::{collections::BTreeMap, time::Duration};

use super::{
    Mistake, Resource,
    node::Node,
    scope::{ACCOUNT, REGION, Scope},
};

/// One function of the template.
#[derive(Clone, Debug)]
pub struct Function {
    /// Logical id.
    pub id: String,
    /// Last part of `CodeUri`: the package in functions/.
    pub name: String,
    /// File name of the binary: `Metadata.BuildProperties.Binary`, or else the function's name.
    pub binary: String,
    /// Time-out of one call.
    pub timeout: Duration,
    /// Memory size in MiB. It is passed to the function but not enforced.
    pub memory: u64,
    /// Names and unevaluated values, with those of `Globals` overridden by the function's own.
    pub(super) variables: BTreeMap<String, Node>,
}

impl Function {
    /// Returns the function's ARN, as used in events and contexts.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", self.name)
    }

    /// Returns the names of the variables that the template declares for this function.
    pub fn variable_names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

pub(super) fn read(resource: &Resource<'_>, globals: Option<&Node>, scope: &Scope<'_>) -> Result<Function, Mistake> {
    let (id, node) = (&resource.id, resource.properties);
    let property = |name| node.get(name).or_else(|| globals.and_then(|globals| globals.get(name)));
    // The package's name is the last part of the path.
    let code = node.get("CodeUri").ok_or_else(|| Mistake::new(node.line, format!("{id} has no CodeUri")))?;
    let path = scope.text(code)?;
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    if name.is_empty() || name == "." {
        return Err(Mistake::new(code.line, "CodeUri must name the function's package, as functions/<name>"));
    }
    let number = |name, default| property(name).map_or(Ok(default), |node| scope.number(node));
    let declared = |node: Option<&Node>| {
        let variables = node.and_then(|node| node.get("Environment")).and_then(|it| it.get("Variables"));
        variables.map_or(&[][..], Node::entries).to_vec()
    };
    // The function's own variables override the global ones.
    let mut variables = BTreeMap::new();
    for entry in declared(globals).into_iter().chain(declared(Some(node))) {
        variables.insert(entry.key, entry.value);
    }
    Ok(Function {
        id: id.clone(),
        binary: binary(resource.metadata, scope)?.unwrap_or_else(|| name.clone()),
        name,
        // AWS::Serverless::Function: "Timeout … Default: 3", "MemorySize … Default: 128" (AWS SAM developer guide).
        timeout: Duration::from_secs(number("Timeout", 3)?),
        memory: number("MemorySize", 128)?,
        variables,
    })
}

fn binary(metadata: Option<&Node>, scope: &Scope<'_>) -> Result<Option<String>, Mistake> {
    let build = metadata.and_then(|metadata| metadata.get("BuildProperties"));
    build.and_then(|build| build.get("Binary")).map(|binary| scope.text(binary)).transpose()
}
