//! `AWS::Serverless::Api`: authorizers, gateway responses, CORS and binary media types.
//!
//! Follows "AWS::Serverless::Api", "ApiAuth", "LambdaRequestAuthorizer" and "CorsConfiguration" in the AWS SAM
//! developer guide.

use std::collections::BTreeMap;

use super::{
    Function, GatewayResponse, Mistake, ResponseType, gateway_responses,
    node::{Node, NodeKind},
    scope::Scope,
};

/// Properties without a meaning on one machine.
pub(super) const IGNORED: &[&str] = &[
    "AccessLogSetting",
    "AlwaysDeploy",
    "Description",
    "Domain",
    "EndpointConfiguration",
    "MethodSettings",
    "Name",
    "OpenApiVersion",
    "PropagateTags",
    "SecurityPolicy",
    "Tags",
    "TracingEnabled",
];

/// The REST API in front of the functions.
#[derive(Clone, Debug)]
pub struct Api {
    /// Logical id.
    pub id: String,
    /// Authorizer of routes that name none.
    pub default_authorizer: Option<String>,
    /// Authorizers by their names in the template.
    pub authorizers: BTreeMap<String, Authorizer>,
    /// True if preflight requests pass through the default authorizer.
    pub authorize_preflight: bool,
    /// Responses that the gateway makes itself.
    pub responses: BTreeMap<ResponseType, GatewayResponse>,
    /// Answer to preflight requests, if the API has CORS.
    pub cors: Option<Cors>,
    /// Media types whose bodies are passed in base64.
    pub binary_media_types: Vec<String>,
}

/// A REQUEST authorizer without a cache.
#[derive(Clone, Debug)]
pub struct Authorizer {
    /// Logical id of its function.
    pub function: String,
    line: usize,
}

/// Headers of the answer to a preflight request.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Names and values, without the quotes of the template.
    pub headers: Vec<(String, String)>,
    /// True if `AllowMethods` is set; otherwise the resource's methods are sent.
    pub allows_methods: bool,
}

impl Api {
    /// Checks that the function of each authorizer exists.
    pub(super) fn check(&self, functions: &BTreeMap<String, Function>) -> Result<(), Mistake> {
        match self.authorizers.values().find(|authorizer| !functions.contains_key(&authorizer.function)) {
            Some(lost) => Err(Mistake::new(lost.line, format!("there is no function {}", lost.function))),
            None => Ok(()),
        }
    }
}

pub(super) fn read(id: &str, node: &Node, scope: &Scope<'_>) -> Result<Api, Mistake> {
    node.only("the API", &["StageName", "Auth", "GatewayResponses", "Cors", "BinaryMediaTypes"], IGNORED)?;
    // Authorizers, and the default one.
    let nothing = Node { line: node.line, kind: NodeKind::Map(Vec::new()) };
    let auth = node.get("Auth").unwrap_or(&nothing);
    auth.only("Auth", &["DefaultAuthorizer", "Authorizers", "AddDefaultAuthorizerToCorsPreflight"], &[])?;
    let mut authorizers = BTreeMap::new();
    for entry in auth.get("Authorizers").map_or(&[][..], Node::entries) {
        authorizers.insert(entry.key.clone(), authorizer(&entry.value, scope)?);
    }
    let default_authorizer = match auth.get("DefaultAuthorizer") {
        None => None,
        Some(node) => match scope.text(node)? {
            name if authorizers.contains_key(&name) => Some(name),
            name => return Err(Mistake::new(node.line, format!("there is no authorizer {name}"))),
        },
    };
    let preflight = auth.get("AddDefaultAuthorizerToCorsPreflight");
    let media_types = node.get("BinaryMediaTypes").map(|list| scope.list(list)).transpose()?.unwrap_or_default();
    Ok(Api {
        id: id.to_owned(),
        default_authorizer,
        authorizers,
        // ApiAuth: "AddDefaultAuthorizerToCorsPreflight … Default: True".
        authorize_preflight: preflight.map_or(Ok(true), |node| scope.boolean(node))?,
        responses: gateway_responses::read(node.get("GatewayResponses"), scope)?,
        cors: node.get("Cors").map(|node| cors(node, scope)).transpose()?,
        // As in JSON pointers, SAM's `image~1png` stands for `image/png`.
        binary_media_types: media_types
            .iter()
            .map(|node| Ok(scope.text(node)?.replace("~1", "/").to_ascii_lowercase()))
            .collect::<Result<_, Mistake>>()?,
    })
}

fn authorizer(node: &Node, scope: &Scope<'_>) -> Result<Authorizer, Mistake> {
    node.only("an authorizer", &["FunctionArn", "FunctionPayloadType", "Identity"], &["FunctionInvokeRole"])?;
    // Only REQUEST authorizers without a cache are emulated.
    let payload = node.get("FunctionPayloadType");
    if payload.map(|node| scope.text(node)).transpose()?.as_deref() != Some("REQUEST") {
        let line = payload.map_or(node.line, |node| node.line);
        return Err(Mistake::new(line, "only authorizers with FunctionPayloadType REQUEST are emulated"));
    }
    let identity = node.get("Identity");
    if let Some(identity) = identity {
        identity.only("an authorizer's Identity (requests always reach the function)", &["ReauthorizeEvery"], &[])?;
    }
    let cached = identity.and_then(|identity| identity.get("ReauthorizeEvery"));
    match cached {
        Some(node) if scope.number(node)? == 0 => {}
        _ => {
            let line = cached.or(identity).map_or(node.line, |node| node.line);
            return Err(Mistake::new(line, "an authorizer needs Identity.ReauthorizeEvery: 0, no cache is emulated"));
        }
    }
    // The function has to be referenced by `!GetAtt <function>.Arn`.
    let target = node.get("FunctionArn").ok_or_else(|| Mistake::new(node.line, "there is no FunctionArn"))?;
    match &target.kind {
        NodeKind::Intrinsic(name, arguments) if name == "GetAtt" => match &arguments.kind {
            NodeKind::List(parts) if parts.len() == 2 && parts[1].kind == NodeKind::Scalar("Arn".to_owned()) => {
                Ok(Authorizer { function: scope.text(&parts[0])?, line: target.line })
            }
            _ => Err(Mistake::new(target.line, "FunctionArn must be !GetAtt <function>.Arn")),
        },
        _ => Err(Mistake::new(target.line, "FunctionArn must be !GetAtt <function>.Arn")),
    }
}

fn cors(node: &Node, scope: &Scope<'_>) -> Result<Cors, Mistake> {
    let unquoted = |node: &Node| Ok::<_, Mistake>(scope.text(node)?.trim_matches('\'').to_owned());
    if !matches!(node.kind, NodeKind::Map(_)) {
        let headers = vec![("Access-Control-Allow-Origin".to_owned(), unquoted(node)?)];
        return Ok(Cors { headers, allows_methods: false });
    }
    const HEADERS: [(&str, &str); 4] = [
        ("AllowOrigin", "Access-Control-Allow-Origin"),
        ("AllowMethods", "Access-Control-Allow-Methods"),
        ("AllowHeaders", "Access-Control-Allow-Headers"),
        ("MaxAge", "Access-Control-Max-Age"),
    ];
    node.only("Cors", &HEADERS.map(|(property, _)| property), &[])?;
    let mut headers = Vec::new();
    for (property, header) in HEADERS {
        if let Some(value) = node.get(property) {
            headers.push((header.to_owned(), unquoted(value)?));
        }
    }
    Ok(Cors { headers, allows_methods: node.get("AllowMethods").is_some() })
}
