//! Answers to paths that the API does not offer: a 404 that helps a client with a wrong base URL.
//!
//! The gateway sends here every path that no other route takes. Such a request has passed no authorizer, so it must
//! lead to nothing but this answer, whatever its path says. The answer reads no store.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use levee::http::{Links, Problem, SHOULD_RETRY_HEADER};
use levee::web::Answer;
use serde::Serialize;

/// API Gateway resources whose requests are answered here.
pub const RESOURCES: [&str; 2] = ["/", "/{proxy+}"];

const OFFERED: &str = "Offered are POST /v1/messages, POST /v1/messages/count_tokens, GET /v1/models, GET /v1/models/{id}, GET /v1/quota[/history], GET and POST /v1/quota/requests, GET and DELETE /v1/quota/requests/{id}, GET /v1/usage and GET /v1/catalogs/{catalog}[/{id}].";

/// Returns true if the gateway sent `request` here because no other route takes it.
pub(crate) fn is_asked(request: &Request) -> bool {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return false };
    context.resource_path.as_deref().is_some_and(|resource| RESOURCES.contains(&resource))
}

/// Returns the problem for `path`. It repeats nothing of the path, which may hold a secret.
pub(crate) fn problem(path: &str, links: &Links) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail(path, &links.base_url()))
}

/// Explains the most likely mistake in `path`.
fn detail(path: &str, base: &str) -> String {
    // Split the path, and look for an offered path at its end.
    let lower = path.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('/').filter(|part| !part.is_empty()).collect();
    let within: &[&str] = if parts.first() == Some(&"v1") { &parts[1..] } else { &parts };
    let offered_at = (0..parts.len()).find_map(|at| offered(&parts[at..]));
    match (within, offered_at) {
        _ if parts.is_empty() => format!("There is nothing at this address itself. {OFFERED}"),
        (["v1", ..], _) => format!("The path has /v1 twice. The base URL ends before /v1: {base}"),
        (["messages", "batches", ..], _) => not_offered("Message batches are"),
        (["files", ..], _) => not_offered("Files are"),
        (["complete"], _) => not_offered("Text completions are"),
        (["chat", ..] | ["completions" | "embeddings"] | ["responses", ..], _) => {
            not_offered("OpenAI's API is not offered, only Anthropic's Messages API. Paths of the former are")
        }
        (["organizations", ..], _) => not_offered("The provider's administration is"),
        (_, Some(offered)) if path.contains("//") => {
            format!(
                "The path has two slashes in a row. It is {offered}, and the base URL has no slash at its end: {base}"
            )
        }
        // An offered path, but without `/v1`.
        (within, Some(offered)) if within.len() == parts.len() && is_whole(within) => {
            format!("The path lacks /v1: it is {offered}. Where a client does not add /v1, its base URL is {base}/v1")
        }
        // An offered path whose slash was encoded: the gateway takes it for a part of a name.
        (_, Some(offered)) if parts.len() > within.len() && is_whole(within) && path == lower => {
            format!("The path is {offered}, with plain slashes.")
        }
        // An offered path with `/v1`: only the case of its letters is wrong.
        (_, Some(offered)) if parts.len() > within.len() && is_whole(within) => {
            format!("The path is {offered}, in lower case.")
        }
        (_, Some(offered)) => format!("The path is {offered}, directly behind the base URL: {base}"),
        _ => format!("There is no such route. {OFFERED}"),
    }
}

fn not_offered(what: &str) -> String {
    format!("{what} not offered. {OFFERED}")
}

/// Returns the offered path that `parts` spell, with or without `v1`.
fn offered(parts: &[&str]) -> Option<&'static str> {
    let within = parts.strip_prefix(&["v1"]).unwrap_or(parts);
    match within {
        ["messages"] => Some("/v1/messages"),
        ["messages", "count_tokens"] => Some("/v1/messages/count_tokens"),
        ["models"] => Some("/v1/models"),
        ["models", _] => Some("/v1/models/{id}"),
        ["quota"] => Some("/v1/quota"),
        ["quota", "history"] => Some("/v1/quota/history"),
        ["quota", "requests"] => Some("/v1/quota/requests"),
        ["quota", "requests", _] => Some("/v1/quota/requests/{id}"),
        ["usage"] => Some("/v1/usage"),
        ["catalogs", _] => Some("/v1/catalogs/{catalog}"),
        ["catalogs", _, _] => Some("/v1/catalogs/{catalog}/{id}"),
        _ => None,
    }
}

fn is_whole(within: &[&str]) -> bool {
    offered(within).is_some()
}

/// Creates the answer, in a form that SDKs and people can read.
pub(crate) fn answer(problem: &Problem, request_id: &str) -> Answer {
    #[derive(Serialize)]
    struct ProblemBody<'a> {
        r#type: &'static str,
        title: &'static str,
        status: u16,
        code: &'static str,
        detail: &'a str,
        request_id: &'a str,
        error: Inner<'a>,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        r#type: &'static str,
        message: &'a str,
    }
    let Problem { status, code, detail, .. } = problem;
    let error = Inner { r#type: "not_found_error", message: detail };
    let status = status.as_u16();
    let body = ProblemBody { r#type: "error", title: problem.title(), status, code, detail, request_id, error };
    let mut answer = Answer::new(serde_json::to_string(&body).unwrap_or_default());
    *answer.status_mut() = problem.status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SHOULD_RETRY_HEADER, HeaderValue::from_static("false"));
    // Anthropic's SDKs read the id of a failed call from this header.
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("request-id", id);
    }
    answer
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::itself("/", "There is nothing at this address itself. Offered are POST /v1/messages")]
    #[case::v1_twice(
        "/v1/v1/messages",
        "The path has /v1 twice. The base URL ends before /v1: https://api.example/prod"
    )]
    #[case::v1_twice_without_more("/v1/v1", "The path has /v1 twice.")]
    #[case::no_v1("/messages", "The path lacks /v1: it is /v1/messages. Where a client does not add /v1")]
    #[case::no_v1_either("/messages/count_tokens", "The path lacks /v1: it is /v1/messages/count_tokens.")]
    #[case::a_model_without_v1("/models/claude-sonnet-5-5", "The path lacks /v1: it is /v1/models/{id}.")]
    #[case::batches("/v1/messages/batches", "Message batches are not offered. Offered are")]
    #[case::a_batch("/v1/messages/batches/msgbatch_1/results", "Message batches are not offered.")]
    #[case::files("/v1/files", "Files are not offered.")]
    #[case::openai("/v1/chat/completions", "OpenAI's API is not offered, only Anthropic's Messages API.")]
    #[case::openai_without_v1("/chat/completions", "OpenAI's API is not offered")]
    #[case::openai_responses("/v1/responses", "OpenAI's API is not offered")]
    #[case::text_completions("/v1/complete", "Text completions are not offered.")]
    #[case::administration("/v1/organizations/me", "The provider's administration is not offered.")]
    #[case::two_slashes("//v1/messages", "The path has two slashes in a row. It is /v1/messages")]
    #[case::too_much_before(
        "/anthropic/v1/messages",
        "The path is /v1/messages, directly behind the base URL: https://"
    )]
    #[case::encoded_slash("/v1/messages", "The path is /v1/messages, with plain slashes.")]
    #[case::capitals("/V1/Messages", "The path is /v1/messages, in lower case.")]
    #[case::unknown("/v1/nothing", "There is no such route. Offered are")]
    fn a_path_that_is_not_offered_is_answered_in_words_that_help(#[case] path: &str, #[case] expected: &str) {
        let links = Links::configured("https://api.example/prod").unwrap();
        let detail = problem(path, &links).detail;
        assert!(detail.starts_with(expected), "{detail}");
    }

    #[test]
    fn nothing_of_the_path_is_repeated() {
        let links = Links::configured("https://api.example").unwrap();
        for path in ["/lv_live_secret", "/v1/lv_live_secret", "/models/lv_live_secret", "/lv_live_secret/v1/messages"] {
            let answer = answer(&problem(path, &links), "r-1");
            assert!(!answer.body().contains("lv_live_secret"), "{path}: {}", answer.body());
        }
    }

    #[test]
    fn the_answer_is_an_error_to_sdks_and_a_problem_to_others() {
        let answer = answer(&Problem::new(StatusCode::NOT_FOUND, "not_found", "Detail."), "r-1");
        assert_eq!(answer.status().as_u16(), 404);
        assert_eq!(answer.headers()["x-should-retry"], "false");
        insta::assert_snapshot!(answer.body(), @r#"{"type":"error","title":"Not Found","status":404,"code":"not_found","detail":"Detail.","request_id":"r-1","error":{"type":"not_found_error","message":"Detail."}}"#);
    }
}
