//! Checks and headers that all endpoints have in common: the key, the version, the size of the body, and the headers
//! of the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::StandIn;
use super::answer::Verbatim;
use super::errors::Problem;
use super::request::Version;
use super::seed::{Seed, fnv_1a};
use super::tally::lock;
use super::usage::Usage;

/// Anthropic's limit on a request's body, in bytes.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// Rate limits of the organisation, per minute.
const REQUESTS_A_MINUTE: u64 = 4_000;
const INPUT_TOKENS_A_MINUTE: u64 = 2_000_000;
const OUTPUT_TOKENS_A_MINUTE: u64 = 400_000;

/// Format of the `date` header (RFC 9110, section 5.6.7).
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// The last request that a stand-in received, for tests of what a proxy forwards. Several values of one header are
/// joined with `, `.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Seen {
    method: String,
    path: String,
    query: Option<String>,
    headers: BTreeMap<String, String>,
    /// FNV-1a hash (64 bits, 16 hexadecimal digits) of the body, or of its first 32 MiB.
    body_hash: String,
    /// Length of the body in bytes.
    body_length: usize,
}

/// Checks a request before it reaches its endpoint, and adds headers to the answer.
pub(super) async fn admit(State(stand_in): State<Arc<StandIn>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (body, length) = match read(body).await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };

    // Leave out the query: an SDK's `?beta=true` does not change the answer.
    let seed = Seed::from_parts(&[stand_in.name.as_bytes(), parts.uri.path().as_bytes(), &body]);
    let tally = stand_in.tally();
    lock(&tally).last_request = Some(seen(&parts, &body, length));

    // Refuse the request, or pass it to its endpoint with seed and version.
    let response = match judge(&stand_in, &parts, length) {
        Ok(version) => {
            parts.extensions.insert(seed);
            parts.extensions.insert(version);
            next.run(Request::from_parts(parts, Body::from(body))).await
        }
        Err(problem) => {
            lock(&tally).refused += 1;
            problem.into_response()
        }
    };
    if response.extensions().get::<Verbatim>().is_some() {
        return response;
    }
    dress(response, &stand_in, &seed.id("req_011C", 20))
}

/// Reads the whole body and keeps at most 32 MiB of it. The rest has to be read as well, because a client that is
/// still writing when the connection closes might never see the 413.
async fn read(mut body: Body) -> Result<(Bytes, usize), Problem> {
    let (mut kept, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::invalid("The request body could not be read."))?;
        let data = frame.into_data().unwrap_or_default();
        length += data.len();
        kept.extend_from_slice(&data[..data.len().min(BODY_LIMIT - kept.len())]);
    }
    Ok((kept.freeze(), length))
}

fn judge(stand_in: &StandIn, parts: &http::request::Parts, length: usize) -> Result<Version, Problem> {
    let header = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let key = header(HeaderName::from_static("x-api-key"))
        .or_else(|| header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")));
    match key {
        None => return Err(Problem::new(401, "x-api-key header is required")),
        Some(key) if key != stand_in.api_key => return Err(Problem::new(401, "invalid x-api-key")),
        Some(_) => {}
    }
    if length > BODY_LIMIT {
        return Err(Problem::new(413, "Request exceeds the maximum size"));
    }
    match header(HeaderName::from_static("anthropic-version")) {
        None => Err(Problem::invalid("anthropic-version: header is required")),
        Some("2023-06-01") => Ok(Version::Of2023),
        Some("2026-10-21") => Ok(Version::Of2026),
        Some(other) => Err(Problem::invalid(format!("anthropic-version: \"{other}\" is not a valid version"))),
    }
}

fn seen(parts: &http::request::Parts, body: &[u8], length: usize) -> Seen {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.to_string())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers,
        body_hash: format!("{:016x}", fnv_1a(body)),
        body_length: length,
    }
}

/// Adds Anthropic's headers, and some that a proxy has to remove; gives an error its body.
fn dress(mut response: Response, stand_in: &StandIn, request_id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let mut answer = (problem.status, axum::Json(problem.envelope(request_id))).into_response();
        if let Some(value) = problem.retry_after.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
            answer.headers_mut().insert(RETRY_AFTER, value);
        }
        let should_retry = matches!(problem.status.as_u16(), 408 | 409 | 429 | 500..);
        set(answer.headers_mut(), "x-should-retry", &should_retry.to_string());
        response = answer;
    }

    // Add Anthropic's headers.
    let spent = response.extensions_mut().remove::<Usage>().unwrap_or_default();
    let is_limited = response.status() == 429;
    let headers = response.headers_mut();
    rate_limits(headers, &spent, is_limited);
    set(headers, "date", &OffsetDateTime::now_utc().format(HTTP_DATE).unwrap_or_default());
    set(headers, "request-id", request_id);
    set(headers, "anthropic-organization-id", "5f0c2d9e-6f3b-4a52-9d0a-0c5a1b7e4d21");
    set(headers, "strict-transport-security", "max-age=31536000; includeSubDomains; preload");

    // Headers that must not reach the proxy's callers.
    set(headers, "server", &format!("standin/{}", stand_in.name));
    set(headers, "set-cookie", &format!("_cfuvid={}; Path=/; HttpOnly; Secure", stand_in.name));
    set(headers, "x-api-key", &stand_in.api_key);
    set(headers, "via", "1.1 standin-edge");
    set(headers, "cf-ray", "9a1b2c3d4e5f6071-FRA");
    set(headers, "x-envoy-upstream-service-time", "12");
    response
}

/// Sets the rate limit headers. Buckets are full before every call, so that the remainder depends on the call alone.
fn rate_limits(headers: &mut HeaderMap, spent: &Usage, is_limited: bool) {
    let wait = retry_after(headers).unwrap_or(Duration::from_secs(if is_limited { 60 } else { 1 }));
    let reset = OffsetDateTime::now_utc().replace_nanosecond(0).map(|now| now + wait);
    let reset = reset.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
    let tokens = INPUT_TOKENS_A_MINUTE + OUTPUT_TOKENS_A_MINUTE;
    for (kind, limit, used) in [
        ("requests", REQUESTS_A_MINUTE, if is_limited { REQUESTS_A_MINUTE } else { 1 }),
        ("tokens", tokens, spent.input_tokens.saturating_add(spent.output_tokens)),
        ("input-tokens", INPUT_TOKENS_A_MINUTE, spent.input_tokens),
        ("output-tokens", OUTPUT_TOKENS_A_MINUTE, spent.output_tokens),
    ] {
        set(headers, &format!("anthropic-ratelimit-{kind}-limit"), &limit.to_string());
        set(headers, &format!("anthropic-ratelimit-{kind}-remaining"), &limit.saturating_sub(used).to_string());
        set(headers, &format!("anthropic-ratelimit-{kind}-reset"), &reset);
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse::<u32>().ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
