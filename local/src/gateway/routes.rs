//! Matches paths to resources.
//!
//! "API Gateway selects … the most specific": a literal part has precedence over `{name}`, which has precedence over
//! `{name+}` (api-gateway-method-settings-method-request.html, "Set up a method resource", and
//! api-gateway-set-up-simple-proxy.html). Once a resource is found, only its own methods count: a named method before
//! ANY, and no other resource is tried. `/v1` is a resource as well if `/v1/messages` is one, and has no methods.

use std::collections::BTreeMap;

use http::Method;

use super::exchange::decode;
use crate::template::{Methods, Route};

/// All resources of the API, as a tree of path parts.
#[derive(Debug, Default)]
pub(super) struct Routes {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literal: BTreeMap<String, Node>,
    variable: Option<(String, Box<Node>)>,
    greedy: Option<(String, Box<Node>)>,
    /// Path of the resource, as `/v1/models/{id}`.
    path: String,
    methods: ResourceMethods,
}

/// Methods of one resource.
#[derive(Debug, Default)]
pub(super) struct ResourceMethods {
    named: BTreeMap<String, Route>,
    any: Option<Route>,
}

/// A matched resource, and the values of its path parameters.
pub(super) struct Found<'a> {
    pub(super) path: &'a str,
    pub(super) methods: &'a ResourceMethods,
    pub(super) parameters: Vec<(String, String)>,
}

impl ResourceMethods {
    /// Returns the route of a method. HEAD is a method of its own: a route for GET does not answer it.
    pub(super) fn route(&self, method: &Method) -> Option<&Route> {
        self.named.get(method.as_str()).or(self.any.as_ref())
    }

    /// Returns true for a resource without methods, which exists only because resources are below it.
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none()
    }

    /// Returns the names of the methods, for the answer to a preflight request.
    pub(super) fn names(&self) -> Vec<&str> {
        match self.any {
            Some(_) => vec!["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
            None => self.named.keys().map(String::as_str).chain(["OPTIONS"]).collect(),
        }
    }
}

impl Routes {
    pub(super) fn new(routes: &[Route]) -> Self {
        let mut root = Node { path: "/".to_owned(), ..Node::default() };
        for route in routes {
            let mut node = &mut root;
            // Walk down the tree, adding nodes as needed.
            let mut path = String::new();
            for part in parts(&route.path) {
                path.extend(["/", part]);
                let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
                node = match name.map(|name| (name, name.strip_suffix('+'))) {
                    None => node.literal.entry(part.to_owned()).or_default(),
                    Some((name, None)) => &mut node.variable.get_or_insert_with(|| (name.to_owned(), Box::default())).1,
                    Some((_, Some(name))) => {
                        &mut node.greedy.get_or_insert_with(|| (name.to_owned(), Box::default())).1
                    }
                };
                node.path.clone_from(&path);
            }
            match &route.methods {
                Methods::Any => node.methods.any = Some(route.clone()),
                Methods::One(method) => drop(node.methods.named.insert(method.clone(), route.clone())),
            }
        }
        Self { root }
    }

    /// Finds the resource of an encoded path. A slash at the end is ignored.
    pub(super) fn resource(&self, path: &str) -> Option<Found<'_>> {
        let parts: Vec<&str> = parts(path.strip_suffix('/').unwrap_or(path)).collect();
        let mut parameters = Vec::new();
        let (path, methods) = self.root.find(&parts, &mut parameters)?;
        Some(Found { path, methods, parameters })
    }
}

impl Node {
    fn find(&self, parts: &[&str], parameters: &mut Vec<(String, String)>) -> Option<(&str, &ResourceMethods)> {
        let Some((first, rest)) = parts.split_first() else {
            return Some((&self.path, &self.methods));
        };
        // Try the literal part, then the variable, then the greedy one.
        if let Some(found) = self.literal.get(*first).and_then(|node| node.find(rest, parameters)) {
            return Some(found);
        }
        if let Some((name, node)) = &self.variable
            && !first.is_empty()
        {
            let known = parameters.len();
            parameters.push((name.clone(), decode(first)));
            if let Some(found) = node.find(rest, parameters) {
                return Some(found);
            }
            parameters.truncate(known);
        }
        let (name, node) = self.greedy.as_ref()?;
        parameters.push((name.clone(), decode(&parts.join("/"))));
        node.find(&[], parameters)
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/').filter({
        let root = path.len() <= 1;
        move |_| !root
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn routes(declared: &[(&str, &str)]) -> Routes {
        let route = |(method, path): &(&str, &str)| Route {
            methods: if *method == "ANY" { Methods::Any } else { Methods::One((*method).to_owned()) },
            path: (*path).to_owned(),
            function: String::new(),
            authorizer: None,
            streaming: false,
            timeout: Duration::ZERO,
            line: 0,
        };
        Routes::new(&declared.iter().map(route).collect::<Vec<_>>())
    }

    #[test]
    fn a_literal_part_wins_over_a_variable_one_and_that_over_a_greedy_one() {
        let routes =
            routes(&[("GET", "/{proxy+}"), ("GET", "/a/{id}"), ("GET", "/a/b"), ("GET", "/a/{id}/c"), ("GET", "/")]);
        let path = |path: &str| routes.resource(path).map(|found| (found.path.to_owned(), found.parameters));
        assert_eq!(path("/a/b").unwrap().0, "/a/b");
        assert_eq!(path("/a/b/").unwrap().0, "/a/b");
        assert_eq!(path("/a/x%20y").unwrap(), ("/a/{id}".to_owned(), vec![("id".to_owned(), "x y".to_owned())]));
        assert_eq!(path("/a/b/c").unwrap().0, "/a/{id}/c");
        assert_eq!(path("/a/b/d").unwrap(), ("/{proxy+}".to_owned(), vec![("proxy".to_owned(), "a/b/d".to_owned())]));
        assert_eq!(path("/").unwrap().0, "/");
    }

    #[test]
    fn a_greedy_part_takes_at_least_one_part() {
        let routes = routes(&[("ANY", "/portal/{proxy+}")]);
        assert!(routes.resource("/portal").unwrap().methods.is_empty());
        assert!(!routes.resource("/portal/x").unwrap().methods.is_empty());
    }

    #[test]
    fn a_resource_that_others_are_below_takes_its_path_from_a_greedy_part() {
        let routes = routes(&[("ANY", "/{proxy+}"), ("POST", "/v1/messages"), ("GET", "/a/{id}/b")]);
        for path in ["/", "/v1", "/v1/", "/a", "/a/x"] {
            assert!(routes.resource(path).unwrap().methods.is_empty(), "{path}");
        }
        for path in ["/v1/other", "/v1/messages/other", "/a/x/c"] {
            assert_eq!(routes.resource(path).unwrap().path, "/{proxy+}", "{path}");
        }
    }

    #[test]
    fn a_method_of_its_own_wins_over_any_and_head_is_not_get() {
        let routes = routes(&[("ANY", "/a"), ("GET", "/a"), ("GET", "/b")]);
        let methods = |path| routes.resource(path).unwrap().methods;
        assert_eq!(methods("/a").route(&Method::GET).unwrap().methods, Methods::One("GET".to_owned()));
        assert_eq!(methods("/a").route(&Method::PUT).unwrap().methods, Methods::Any);
        assert!(methods("/b").route(&Method::HEAD).is_none());
    }
}
