//! Consistency of the repository: facts that are written in two places are the same in both.

#![expect(clippy::unwrap_used, reason = "these are tests")]

#[path = "repository/documents.rs"]
mod documents;
#[path = "repository/routes.rs"]
mod routes;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use local::template::{HeaderSource, ResponseType, Template};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn template() -> Template {
    Template::load(&root().join("template.yaml")).unwrap()
}

/// Returns the variables that a configuration reads.
fn asked_for<T>(read: impl FnOnce(&mut levee::config::Reader<'_>) -> T) -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        names.borrow_mut().insert(name.to_owned());
        None
    };
    assert!(levee::config::from_lookup(lookup, read).is_err(), "nothing is required?");
    names.into_inner()
}

/// Returns the variables that each function reads, by the function's name.
fn variables() -> BTreeMap<&'static str, BTreeSet<String>> {
    BTreeMap::from([
        ("authorizer", asked_for(authorizer::AuthorizerConfig::read)),
        ("ai-proxy", asked_for(ai_proxy::AiProxyConfig::read)),
        ("customer-api", asked_for(customer_api::CustomerApiConfig::read)),
        ("csp-report", asked_for(csp_report::CspReportConfig::read)),
        ("health-api", asked_for(health_api::HealthApiConfig::read)),
        ("monitor", asked_for(monitor::MonitorConfig::read)),
    ])
}

/// Returns the page with the table of all variables.
fn configuration() -> String {
    std::fs::read_to_string(root().join("docs/CONFIGURATION.md")).unwrap()
}

/// Returns the default of each variable, as the table has it: a value in the third column, and nothing where that is a
/// word such as `required`.
fn documented_defaults() -> BTreeMap<String, String> {
    let mut defaults = BTreeMap::new();
    for row in configuration().lines().filter_map(|line| line.strip_prefix("| `")) {
        let columns: Vec<&str> = row.split(" | ").collect();
        let is_value = columns[2].starts_with('`') || columns[2].bytes().all(|byte| byte.is_ascii_digit());
        if is_value {
            defaults.insert(columns[0].trim_matches('`').to_owned(), columns[2].trim_matches('`').to_owned());
        }
    }
    defaults
}

/// Variables to which the template gives another value than the code's default: function, variable and reason.
const OTHER_THAN_DEFAULT: [(&str, &str, &str); 8] = [
    ("csp-report", "DYNAMODB_TIMEOUT_MS", "no browser waits for it"),
    ("csp-report", "REDIS_BUDGET_MS", "no browser waits for it"),
    ("ai-proxy", "DYNAMODB_TIMEOUT_MS", "a call that takes seconds can wait longer for its record"),
    ("customer-api", "DYNAMODB_TIMEOUT_MS", "a report reads many rows"),
    ("health-api", "DYNAMODB_TIMEOUT_MS", "a page reads many rows"),
    ("health-api", "REDIS_BUDGET_MS", "a page may wait longer than a decision"),
    ("monitor", "DYNAMODB_TIMEOUT_MS", "no caller waits for it"),
    ("monitor", "REDIS_BUDGET_MS", "no caller waits for it"),
];

#[test]
fn the_templates_values_are_the_codes_defaults_and_the_documents_say_so() {
    let (template, documented) = (template(), documented_defaults());
    let in_code: BTreeMap<String, u64> = [
        levee::config::defaults(authorizer::AuthorizerConfig::read),
        levee::config::defaults(ai_proxy::AiProxyConfig::read),
        levee::config::defaults(customer_api::CustomerApiConfig::read),
        levee::config::defaults(csp_report::CspReportConfig::read),
        levee::config::defaults(health_api::HealthApiConfig::read),
        levee::config::defaults(monitor::MonitorConfig::read),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(in_code.len() > 20, "{in_code:?}");
    for (variable, default) in &in_code {
        assert_eq!(documented.get(variable), Some(&default.to_string()), "{variable} in docs/CONFIGURATION.md");
    }
    for function in template.functions.values() {
        for (variable, default) in &documented {
            // Every other variable is given, so that only this one is evaluated.
            let given = |name: &str| (name != variable).then(String::new);
            let value = template.variables(function, given).unwrap().remove(variable);
            let is_exempt = OTHER_THAN_DEFAULT.iter().any(|(name, it, _)| *name == function.name && it == variable);
            let is_default = value.as_ref().is_none_or(|value| value.is_empty() || value == default);
            assert_eq!(!is_default, is_exempt, "{variable} of {}: {value:?} and {default}", function.name);
        }
    }
}

/// The modules of `shared/src`, each after all those that it imports.
const ORDER: [&str; 27] = [
    "config",
    "sync",
    "scope",
    "session_token",
    "text",
    "clock",
    "models",
    "stores",
    "breadcrumbs",
    "telemetry",
    "function",
    "cache",
    "headroom",
    "csp",
    "story",
    "alerts",
    "admins",
    "breaker",
    "limits",
    "accounts",
    "catalogs",
    "metering",
    "statistics",
    "quotas",
    "http",
    "web",
    "lib",
];

/// Returns each Rust file below `folder`, with its text.
fn rust_files(folder: &Path) -> Vec<(std::path::PathBuf, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            files.push((path, text));
        }
    }
    files
}

/// Returns the second parts of the Redis keys that `text` names: `limit` of `{levee}:limit:…`.
fn redis_keys(text: &str) -> BTreeSet<String> {
    let parts = text.split("{levee}").skip(1).filter_map(|rest| rest.trim_start_matches('}').strip_prefix(':'));
    parts.map(|rest| rest.chars().take_while(|it| it.is_ascii_lowercase() || *it == '-').collect()).collect()
}

#[test]
fn the_architecture_names_every_redis_key_and_no_other() {
    let architecture = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let table = architecture.split_once("## Redis keys").unwrap().1;
    let rows: String = table.lines().filter(|line| line.starts_with("| `{levee}:")).collect();
    let in_code = rust_files(&root().join("shared/src")).into_iter().flat_map(|(_, text)| {
        // Tests may use keys of their own.
        redis_keys(text.split("#[cfg(test)]").next().unwrap())
    });
    let in_code: BTreeSet<String> = in_code.filter(|key| !key.is_empty()).collect();
    assert_eq!(redis_keys(&rows), in_code);
}

#[test]
fn the_proxys_role_may_write_every_alert_that_it_raises() {
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let proxy = template.split_once("  AiProxy:\n").unwrap().1;
    let alerts = proxy.split_once("Resource: !GetAtt Alerts.Arn").unwrap().1.lines().take(4).collect::<String>();
    for key in ai_proxy::ALERT_KEYS {
        assert!(alerts.contains(&format!("\"KEY#{key}/*\"")), "{key} in {alerts}");
    }
}

#[test]
fn the_librarys_modules_import_in_one_direction() {
    let folder = root().join("shared/src");
    let place = |module: &str| {
        ORDER.iter().position(|it| *it == module).unwrap_or_else(|| panic!("{module} is missing in ORDER"))
    };
    for (path, text) in rust_files(&folder) {
        let inside = path.strip_prefix(&folder).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        // Tests may import from anywhere.
        let product = text.split("#[cfg(test)]").next().unwrap();
        let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
        let is_test = inside.ends_with("tests.rs");
        for imported in lines.filter(|_| !is_test).flat_map(|line| line.split("crate::").skip(1)) {
            let imported: String = imported.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
            if imported.is_empty() || imported == module || !imported.starts_with(|it: char| it.is_lowercase()) {
                continue;
            }
            assert!(place(&imported) < place(module), "{} imports {imported}", inside.display());
        }
    }
}

/// Variables that are set by Lambda or by the local stack, not by the template.
const NOT_IN_TEMPLATE: [&str; 5] =
    ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LEVEE_CLOCK_OFFSET_FILE"];

#[test]
fn the_templates_functions_are_the_packages_under_functions() {
    let packages: BTreeSet<String> = std::fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let declared: BTreeSet<String> = template().functions.values().map(|function| function.name.clone()).collect();
    assert_eq!(declared, packages);
}

#[test]
fn each_function_gets_from_the_template_exactly_the_variables_that_it_reads() {
    let template = template();
    for (name, read) in variables() {
        let function = template.functions.values().find(|function| function.name == name).unwrap();
        let declared = template.variables(function, |_| Some(String::new())).unwrap();
        let declared: BTreeSet<String> = declared.into_keys().collect();
        let expected = read.into_iter().filter(|name| !NOT_IN_TEMPLATE.contains(&name.as_str())).collect();
        assert_eq!(declared, expected, "{name}");
    }
}

#[test]
fn the_documents_name_every_variable_and_no_other() {
    let documented: BTreeSet<String> = configuration()
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .flat_map(|row| row.split(" | ").next().unwrap().split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .collect();
    let by_lambda = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let logging = ["AWS_LAMBDA_LOG_LEVEL", "RUST_LOG"];
    let read = variables()
        .into_values()
        .flatten()
        .filter(|name| !by_lambda.contains(&name.as_str()))
        .chain(logging.map(str::to_owned))
        .collect();
    assert_eq!(documented, read);
}

/// Returns the text of the sources in `folder` and below, without the monitor's own rules.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.with_extension("").starts_with(rules())
        {
            text += &std::fs::read_to_string(&path).unwrap();
        }
    }
    text
}

fn rules() -> std::path::PathBuf {
    root().join("functions/monitor/src/judge")
}

#[test]
fn every_gateway_response_that_another_try_cannot_help_says_so() {
    let stays_so = HeaderSource::Static("false".to_owned());
    let responses = template().api.responses;
    for (kind, response) in &responses {
        let said = response.headers.iter().find(|(name, _)| name == "x-should-retry").map(|(_, source)| source);
        let expected = match kind {
            // The authorizer knows the length of the wait.
            ResponseType::AccessDenied => Some(HeaderSource::Context("authorizer.shouldRetry".to_owned())),
            ResponseType::Throttled => None,
            kind if is_server_error(*kind, response.status) => None,
            _ => Some(stays_so.clone()),
        };
        assert_eq!(said, expected.as_ref(), "{}", kind.name());
    }
}

fn is_server_error(kind: ResponseType, status: Option<u16>) -> bool {
    kind == ResponseType::Default5xx || status.or(kind.status()).is_some_and(|status| status >= 500)
}

#[test]
fn what_the_monitor_alerts_about_is_what_the_functions_report() {
    let sources = sources(&root().join("functions")) + &sources(&root().join("shared/src"));
    for code in monitor::judge::codes() {
        assert!(sources.contains(&format!("\"{code}\"")), "nobody reports {code}");
    }
}

#[test]
fn the_logging_rules_name_every_metric_and_no_other() {
    let rules = std::fs::read_to_string(root().join("docs/LOGGING.md")).unwrap();
    let table = rules.split_once("### Metrics").unwrap().1.split_once("\n## ").unwrap().0;
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split(" | ").next());
    let documented: BTreeSet<&str> = rows.flat_map(|row| row.split(", ")).map(|name| name.trim_matches('`')).collect();
    let sources = sources(&root().join("functions")) + &sources(&root().join("shared/src"));
    let named = sources.lines().filter_map(|line| line.split_once("name = \"")?.1.split_once("\", unit = "));
    assert_eq!(documented, named.map(|(name, _)| name).collect());
}
