//! Routes: the template, the functions, the authorizer and the throttles name the same ones.

use std::collections::BTreeSet;

use local::template::{Methods, Route};

use super::{root, template};

/// Returns function, method and path of everything that is served, and true if it needs the authorizer.
fn served() -> Vec<(&'static str, String, &'static str, bool)> {
    let ai = ai_proxy::routes::ROUTES.iter().map(|(method, path, _)| ("ai-proxy", (*method).to_owned(), *path, true));
    let health = health_api::routes::ROUTES.iter().map(|(method, path, access, _)| {
        ("health-api", method.to_string(), *path, *access == health_api::routes::Access::SigningIn)
    });
    let own = customer_api::routes::ROUTES.iter();
    let own = own.map(|(method, path, _)| ("customer-api", (*method).to_owned(), *path, true));
    let not_offered = health_api::not_offered::RESOURCES.iter();
    let not_offered = not_offered.map(|path| ("health-api", "ANY".to_owned(), *path, false));
    let preflight = health_api::preflight::ROUTES.iter();
    let preflight = preflight.map(|(path, _)| ("health-api", "OPTIONS".to_owned(), *path, false));
    let csp = csp_report::routes::ROUTES.iter();
    let csp = csp.map(|(method, path)| ("csp-report", (*method).to_owned(), *path, false));
    ai.chain(own).chain(csp).chain(health).chain(preflight).chain(not_offered).collect()
}

#[test]
fn browsers_may_ask_about_every_route_that_needs_a_key_and_no_other() {
    let by_key = |(function, method, path, _): (&str, String, &'static str, bool)| {
        matches!(function, "ai-proxy" | "customer-api").then_some((path, method))
    };
    let by_key: BTreeSet<_> = served().into_iter().filter_map(by_key).collect();
    let each = |(path, methods): &(&'static str, &'static str)| {
        methods.split(", ").map(|method| (*path, method.to_owned())).collect::<Vec<_>>()
    };
    let asked = health_api::preflight::ROUTES.iter().flat_map(each);
    assert_eq!(asked.collect::<BTreeSet<_>>(), by_key);
}

#[test]
fn the_template_routes_what_the_functions_serve_and_the_authorizer_knows_each_route() {
    let template = template();
    let served = served();
    // Paths of the catch-all route are served by nothing else.
    let covers = |resource: &str, path: &str| match resource.strip_suffix("{proxy+}") {
        Some(prefix) if prefix != "/" => path.starts_with(prefix),
        _ => resource == path,
    };
    let leads_to = |route: &Route, (function, method, path, authorized): &(&str, String, &str, bool)| {
        template.functions[&route.function].name == *function
            && (route.methods == Methods::Any || route.methods == Methods::One(method.clone()))
            && covers(&route.path, path)
            && route.authorizer.is_some() == *authorized
    };
    for it in &served {
        assert!(template.routes.iter().any(|route| leads_to(route, it)), "no route leads to {it:?}");
    }
    for route in &template.routes {
        assert!(served.iter().any(|it| leads_to(route, it)), "nobody serves {route:?}");
        let known = levee::limits::Route::from_resource(&route.path).is_some();
        assert!(known || route.authorizer.is_none(), "the authorizer has no rule for {}", route.path);
    }
}

/// Returns the routes of `template.yaml` with a throttle of their own, as method and path. Checks that each has one.
fn throttled() -> BTreeSet<(String, String)> {
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let settings = template.split_once("      MethodSettings:\n").unwrap().1;
    let settings = settings.split_once("      EndpointConfiguration:").unwrap().0;
    let count = settings.matches("- ResourcePath: ").count();
    let throttled: BTreeSet<_> = settings
        .split("- ResourcePath: ")
        .skip(1)
        .map(|setting| {
            let field = |name: &str| {
                let line = setting.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
                line.split_once(": ").unwrap().1.trim().to_owned()
            };
            let rate: u32 = field("ThrottlingRateLimit").parse().unwrap();
            assert!(rate > 0 && field("ThrottlingBurstLimit").parse::<u32>().unwrap() >= rate, "{setting}");
            // The path's slashes are written as ~1, except the first, which is the setting's.
            let path = setting.lines().next().unwrap().trim().replacen('/', "", 1).replace("~1", "/");
            (field("HttpMethod"), if path.is_empty() { "/".to_owned() } else { path })
        })
        .collect();
    // API Gateway takes one of two settings for a route.
    assert_eq!(throttled.len(), count, "a route has two throttles: {throttled:?}");
    throttled
}

#[test]
fn every_route_without_an_authorizer_has_a_throttle() {
    let template = template();
    let name = |route: &Route| {
        let method = match &route.methods {
            Methods::Any => "ANY".to_owned(),
            Methods::One(method) => method.clone(),
        };
        (method, route.path.clone())
    };
    let open: BTreeSet<_> = template.routes.iter().filter(|route| route.authorizer.is_none()).map(name).collect();
    assert!(open.contains(&("GET".to_owned(), "/health".to_owned())), "{open:?}");
    let throttled = throttled();
    assert!(open.is_subset(&throttled), "without a throttle: {:?}", open.difference(&throttled));
    // A setting for a route that the template does not declare makes the deployment fail.
    let all: BTreeSet<_> = template.routes.iter().map(name).collect();
    assert!(throttled.is_subset(&all), "no routes: {:?}", throttled.difference(&all));
}
