//! One request, from top to bottom.

use std::collections::BTreeMap;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    CACHE_CONTROL, HOST, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use levee::clock::Timestamp;
use levee::csp::ProjectName;
use levee::csp::counter::Batch;
use levee::csp::policy::Version;
use levee::csp::project::OWN_PROJECT;
use levee::csp::report::{BodyError, Entry, parse};
use levee::csp::violation::{Project, Unusable, Violation};
use levee::http::address::{Origin, PROXY_SECRET_HEADER};
use levee::http::request_id;
use levee::web::own_policy;

use crate::config::CspReportState;
use crate::report::{self, IntakeReport};

/// Serves one request. The answer is always 204.
pub async fn handle(state: &CspReportState, request: Request) -> Response<String> {
    let request_id = request_id(&request);
    let mut report = report::begin(&request_id);
    if request.method() == Method::POST {
        take_in(state, &request, &request_id, &mut report).await;
    } else {
        report.preflight();
    }
    answer()
}

/// Creates the answer to every request. A browser asks first if it may post reports to another origin.
fn answer() -> Response<String> {
    let mut answer = Response::new(String::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    // Any origin may post, as nothing is read back.
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Reads the reports of a request and counts them.
async fn take_in(state: &CspReportState, request: &Request, request_id: &str, report: &mut IntakeReport) {
    let now = state.clock.now();
    // Find the project that the address names.
    let (parameters, query) = (request.path_parameters(), request.query_string_parameters());
    let name = parameters.first("project").and_then(|name| name.parse::<ProjectName>().ok());
    let version = query.first("v").and_then(Version::parse).filter(|version| version != &own_policy().version());
    let Some(rules) = state.projects.rules(name.as_ref(), version.as_ref()).await else {
        report.unreadable();
        return;
    };
    let project = name.and_then(|name| rules.get_key_value(&name));

    // Read the reports, and sort out what belongs to no group.
    let (name, reports) = match project {
        Some((name, project)) if name.as_str() == OWN_PROJECT => {
            (name.clone(), read(request, &own(project, request), now))
        }
        Some((name, project)) => (name.clone(), read(request, project, now)),
        None => (ProjectName::other(), read_unassigned(request)),
    };
    report.project(name.as_str(), reports.counts.values().sum());

    // Count them in one round trip. Without Redis they are lost, and the browser is answered as always.
    let network = state.client_secrets.address_key.daily_network_pseudonym(client_address(state, request), now);
    let batch = Batch { violations: reports.violations, counts: reports.counts, network: &network };
    match state.counter.count(&name, &batch, now).await {
        Ok(tally) => report.counted(tally),
        Err(error) => {
            tracing::warn!(code = "csp.lost", request.id = request_id, %error, "CSP reports were not counted");
            report.lost(batch.violations.len());
        }
    }
}

/// Adds to the project of Levee's own pages what the code knows of them: their policy, and the host that they share with
/// this request.
fn own(project: &Project, request: &Request) -> Project {
    // The host without its port, as projects name hosts.
    let mut project = project.clone();
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    project.document_hosts.push(host.to_ascii_lowercase());
    project.policies.push((own_policy().version(), own_policy().clone()));
    project
}

/// Reports of one body.
#[derive(Debug, Default)]
struct Reports {
    violations: Vec<Violation>,
    /// Numbers of entries that belong to no group, by name.
    counts: BTreeMap<&'static str, u64>,
}

impl Reports {
    fn count(&mut self, name: &'static str, amount: usize) {
        if amount > 0 {
            *self.counts.entry(name).or_default() += amount as u64;
        }
    }
}

/// Reads the reports of a request for `project`.
fn read(request: &Request, project: &Project, now: Timestamp) -> Reports {
    let query = request.query_string_parameters();
    let version = query.first("v").and_then(Version::parse);
    let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut reports = Reports::default();
    // Keep the usable reports, and count all other entries by name.
    for entry in entries(request, &mut reports) {
        match entry {
            Entry::Csp(raw) => match Violation::new(&raw, project, version.as_ref(), user_agent, now) {
                Ok(violation) => reports.violations.push(violation),
                Err(Unusable::Directive) => reports.count("unknown_directive", 1),
                Err(Unusable::Document) => reports.count("no_document", 1),
            },
            Entry::Other(kind) => reports.count(kind.name(), 1),
            Entry::Invalid => reports.count("invalid", 1),
        }
    }
    reports
}

/// Counts the reports of a request whose project is not known.
fn read_unassigned(request: &Request) -> Reports {
    let mut reports = Reports::default();
    let entries = entries(request, &mut reports);
    reports.count("unassigned", entries.len());
    reports
}

/// Returns the entries of the body, and counts those that are not read.
fn entries(request: &Request, reports: &mut Reports) -> Vec<Entry> {
    match parse(request.body()) {
        Ok((entries, beyond)) => {
            reports.count("beyond_body", beyond);
            entries
        }
        Err(error) => {
            reports.count(
                match error {
                    BodyError::TooLarge => "too_large",
                    BodyError::NotJson => "not_json",
                },
                1,
            );
            Vec::new()
        }
    }
}

/// Returns the client's address, as the authorizer determines it for other routes.
fn client_address(state: &CspReportState, request: &Request) -> Option<std::net::IpAddr> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return None };
    // The gateway keeps the lines of a header in their order.
    let forwarded_for = lines(request.headers(), "x-forwarded-for");
    let shown_secrets = lines(request.headers(), PROXY_SECRET_HEADER);
    let origin = Origin {
        source_ip: context.identity.source_ip.as_deref().unwrap_or_default(),
        forwarded_for: Some(&forwarded_for),
        shown_secrets: &shown_secrets,
    };
    origin.client_address(state.client_secrets.proxy_secret.as_deref())
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
}
