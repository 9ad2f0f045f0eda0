//! A function's events: the API routes that it serves, and the schedules that call it.
//!
//! Follows "Api" and "Schedule" in the AWS SAM developer guide (sam-property-function-api.html) and "Set up a method
//! resource" in the API Gateway developer guide.

use std::time::Duration;

use super::{
    Api, Function, Mistake,
    node::{Node, NodeKind},
    scope::Scope,
};

/// Methods that a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// All methods that the resource does not name otherwise.
    Any,
    /// One method, in capitals.
    One(String),
}

/// One method of one resource, and its function.
#[derive(Clone, Debug)]
pub struct Route {
    /// Methods that it answers.
    pub methods: Methods,
    /// Path of the resource, as `/v1/models/{id}`.
    pub path: String,
    /// Logical id of the function.
    pub function: String,
    /// Name of the authorizer in the template, if the route has one.
    pub authorizer: Option<String>,
    /// True for `ResponseTransferMode: RESPONSE_STREAM`.
    pub streaming: bool,
    /// Time-out of the integration.
    pub timeout: Duration,
    /// Line of the declaration in the template.
    pub line: usize,
}

/// A function that is called at a fixed rate.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Logical id of the function.
    pub function: String,
    /// Time between two calls.
    pub every: Duration,
}

/// Range of a route's time-out. "Integration timeout: 50 milliseconds – 29 seconds for all integration types" and,
/// for streams, "up to 15 minutes": api-gateway-execution-service-limits-table.html and response-transfer-mode.html.
const LONGEST: Duration = Duration::from_secs(29);
const LONGEST_STREAM: Duration = Duration::from_secs(15 * 60);
const SHORTEST: Duration = Duration::from_millis(50);

pub(super) fn read(
    function: &Function,
    node: &Node,
    api: &Api,
    scope: &Scope<'_>,
    routes: &mut Vec<Route>,
    schedules: &mut Vec<Schedule>,
) -> Result<(), Mistake> {
    for entry in node.get("Events").map_or(&[][..], Node::entries) {
        let nothing = Node { line: entry.line, kind: NodeKind::Map(Vec::new()) };
        let properties = entry.value.get("Properties").unwrap_or(&nothing);
        let kind = entry.value.get("Type").map(|kind| scope.text(kind)).transpose()?.unwrap_or_default();
        match kind.as_str() {
            "Api" => routes.push(route(function, entry.line, properties, api, scope)?),
            "Schedule" => schedules.extend(schedule(function, "Schedule", properties, scope)?),
            "ScheduleV2" => schedules.extend(schedule(function, "ScheduleExpression", properties, scope)?),
            _ => return Err(Mistake::new(entry.line, format!("events of type {kind:?} are not emulated"))),
        }
    }
    Ok(())
}

fn route(function: &Function, line: usize, node: &Node, api: &Api, scope: &Scope<'_>) -> Result<Route, Mistake> {
    node.only(
        "an Api event",
        &["Path", "Method", "RestApiId", "Auth", "ResponseTransferMode", "TimeoutInMillis"],
        &["RequestParameters"],
    )?;
    // Path and method.
    let needed = |name| node.get(name).ok_or_else(|| Mistake::new(line, format!("this Api event has no {name}")));
    let path = needed("Path")?;
    let methods = match scope.text(needed("Method")?)?.to_ascii_uppercase().as_str() {
        "ANY" => Methods::Any,
        method => Methods::One(method.to_owned()),
    };
    // The event has to belong to the one API.
    if let Some(target) = node.get("RestApiId") {
        let known = matches!(&target.kind, NodeKind::Intrinsic(name, to)
            if name == "Ref" && to.kind == NodeKind::Scalar(api.id.clone()));
        if !known {
            return Err(Mistake::new(target.line, format!("RestApiId must be !Ref {}", api.id)));
        }
    }
    // Transfer mode.
    let streaming = match node.get("ResponseTransferMode").map(|mode| scope.text(mode)).transpose()?.as_deref() {
        None | Some("BUFFERED") => false,
        Some("RESPONSE_STREAM") => true,
        Some(other) => return Err(Mistake::new(line, format!("ResponseTransferMode {other} does not exist"))),
    };
    Ok(Route {
        path: resource_path(&scope.text(path)?, path.line)?,
        methods,
        function: function.id.clone(),
        authorizer: authorizer(node.get("Auth"), api, scope)?,
        streaming,
        timeout: timeout(node.get("TimeoutInMillis"), streaming, scope)?,
        line,
    })
}

fn authorizer(auth: Option<&Node>, api: &Api, scope: &Scope<'_>) -> Result<Option<String>, Mistake> {
    let Some(auth) = auth else { return Ok(api.default_authorizer.clone()) };
    auth.only("an event's Auth", &["Authorizer"], &[])?;
    match auth.get("Authorizer") {
        None => Ok(api.default_authorizer.clone()),
        Some(node) => match scope.text(node)?.as_str() {
            "NONE" => Ok(None),
            name if api.authorizers.contains_key(name) => Ok(Some(name.to_owned())),
            name => Err(Mistake::new(node.line, format!("the API has no authorizer {name}"))),
        },
    }
}

fn timeout(node: Option<&Node>, streaming: bool, scope: &Scope<'_>) -> Result<Duration, Mistake> {
    let Some(node) = node else { return Ok(LONGEST) };
    let (asked, longest) =
        (Duration::from_millis(scope.number(node)?), if streaming { LONGEST_STREAM } else { LONGEST });
    if asked < SHORTEST || asked > longest {
        let range = format!("{} to {}", SHORTEST.as_millis(), longest.as_millis());
        return Err(Mistake::new(node.line, format!("TimeoutInMillis must be from {range} on this route")));
    }
    Ok(asked)
}

/// Checks that a path has a shape that API Gateway accepts: literal parts, `{name}`, and `{name+}` at the end.
fn resource_path(path: &str, line: usize) -> Result<String, Mistake> {
    let wrong = |why: &str| Err(Mistake::new(line, format!("the path {path}: {why}")));
    let Some(rest) = path.strip_prefix('/') else { return wrong("it must start with /") };
    if rest.is_empty() {
        return Ok(path.to_owned());
    }
    let segments: Vec<&str> = rest.split('/').collect();
    // Each part is literal, `{name}`, or, at the end, `{name+}`.
    for (index, segment) in segments.iter().enumerate() {
        let name = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        let word =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        match name {
            Some(name) if name.strip_suffix('+').is_some_and(word) => {
                if index + 1 != segments.len() {
                    return wrong("a greedy part must be the last");
                }
            }
            Some(name) if word(name) => {}
            None if !segment.is_empty() && !segment.contains(['{', '}', '*', '+', '?']) => {}
            _ => return wrong("this shape of part is not emulated"),
        }
    }
    Ok(path.to_owned())
}

fn schedule(function: &Function, property: &str, node: &Node, scope: &Scope<'_>) -> Result<Option<Schedule>, Mistake> {
    // Only `rate(…)` is emulated.
    let enabled = node.get("Enabled").map_or(Ok(true), |node| scope.boolean(node))?;
    let state = node.get("State").map_or(Ok("ENABLED".to_owned()), |node| scope.text(node))?;
    let expression = node.get(property).ok_or_else(|| Mistake::new(node.line, format!("there is no {property}")))?;
    let text = scope.text(expression)?;
    let parts: Vec<&str> = text
        .strip_prefix("rate(")
        .and_then(|rest| rest.strip_suffix(')'))
        .map(|rate| rate.split_whitespace().collect())
        .unwrap_or_default();
    let every = match parts.as_slice() {
        [count, unit] => count.parse::<u64>().ok().zip(match unit.trim_end_matches('s') {
            "minute" => Some(60),
            "hour" => Some(3600),
            "day" => Some(86_400),
            _ => None,
        }),
        _ => None,
    };
    let Some((count, unit)) = every else {
        return Err(Mistake::new(expression.line, format!("the schedule {text} is not emulated (only rate(…) is)")));
    };
    let every = Duration::from_secs(count.max(1) * unit);
    Ok((enabled && state == "ENABLED").then(|| Schedule { function: function.id.clone(), every }))
}

/// Checks the routes against each other: a method may not be declared twice, nor one variable part have two names ("A
/// sibling of this resource already has a variable path part": API Gateway refuses such an API).
pub(super) fn check(routes: &[Route]) -> Result<(), Mistake> {
    for (index, route) in routes.iter().enumerate() {
        for earlier in &routes[..index] {
            if earlier.path == route.path && earlier.methods == route.methods {
                let message = format!("{} is already served, by line {}", route.path, earlier.line);
                return Err(Mistake::new(route.line, message));
            }
            if let Some((ours, theirs)) = clash(&route.path, &earlier.path) {
                let message = format!("{ours} and {theirs} of line {} name one part of the path", earlier.line);
                return Err(Mistake::new(route.line, message));
            }
        }
    }
    Ok(())
}

fn clash<'a>(left: &'a str, right: &'a str) -> Option<(&'a str, &'a str)> {
    let (ours, theirs) = left.split('/').zip(right.split('/')).find(|(left, right)| left != right)?;
    let single = |part: &str| part.starts_with('{') && !part.ends_with("+}");
    (single(ours) && single(theirs)).then_some((ours, theirs))
}
