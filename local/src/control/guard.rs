//! The guard of the control address, which rejects requests from web pages. A page that is open in a developer's
//! browser can send requests to loopback, directly or through a host name that resolves to it. Browsers then send
//! `Origin`, or that name as `Host`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderMap, StatusCode, Uri,
        header::{HOST, ORIGIN},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::ControlError;

const FROM_A_PAGE: &str = "The control address takes no requests from web pages. Send the request without an Origin \
                           header, from a program such as curl.";
const OTHER_HOST: &str = "The control address answers to loopback names only. Send the request to 127.0.0.1, [::1] or \
                          localhost with the port of control_url in local.json, and with that as its Host header.";

/// Rejects requests from web pages and under foreign host names before they reach any route, including unknown ones.
pub(super) fn guarded(routes: Router) -> Router {
    routes.layer(middleware::from_fn(admit))
}

async fn admit(request: Request, next: Next) -> Response {
    match refusal(request.uri(), request.headers()) {
        Some(sentence) => ControlError(StatusCode::FORBIDDEN, sentence.to_owned()).into_response(),
        None => next.run(request).await,
    }
}

fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(ORIGIN) {
        return Some(FROM_A_PAGE);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (host, second) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next());
    // The authority of a target in absolute form takes precedence over the header.
    let target = uri.authority().map(|authority| authority.as_str());
    let is_admitted = host.is_some_and(is_loopback) && second.is_none() && target.is_none_or(is_loopback);
    (!is_admitted).then_some(OTHER_HOST)
}

/// Returns true if a `Host` value names this machine: 127.0.0.0/8, `[::1]` or `localhost`, with or without a port.
fn is_loopback(host: &str) -> bool {
    // An address, with a port or without.
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    // The name `localhost`, with an optional port in decimal digits.
    let (name, is_port) = match host.split_once(':') {
        None => (host, true),
        Some((name, port)) => (name, port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()),
    };
    name.eq_ignore_ascii_case("localhost") && is_port
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use axum::{http::HeaderValue, routing::post};
    use serde_json::Value;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const LOOPBACK: [&str; 8] = [
        "localhost",
        "localhost:8080",
        "LocalHost:1",
        "127.0.0.1",
        "127.0.0.1:40001",
        "127.9.8.7:65535",
        "[::1]",
        "[::1]:40001",
    ];

    const OTHERS: [&str; 23] = [
        "",
        "evil.example",
        "evil.example:40001",
        "127.0.0.1.evil.example",
        "127.0.0.1.evil.example:40001",
        "localhost.evil.example",
        "evil.localhost",
        "localhost.",
        "localhost:",
        "localhost:http",
        "localhost:+80",
        "localhost:65536",
        "localhost:80:80",
        "evil@localhost",
        "localhost@evil.example",
        "127.0.0.1@evil.example",
        "127.0.0.1, evil.example",
        "127.1",
        "128.0.0.1",
        "0.0.0.0:80",
        "::1",
        "[::2]:80",
        "[::1].evil.example",
    ];

    fn headers(host: &str) -> HeaderMap {
        HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())])
    }

    #[test]
    fn only_loopback_names_are_admitted() {
        let target = Uri::from_static("/functions");
        for host in LOOPBACK {
            assert_eq!(refusal(&target, &headers(host)), None, "{host}");
        }
        for host in OTHERS {
            assert_eq!(refusal(&target, &headers(host)), Some(OTHER_HOST), "{host}");
        }
        assert_eq!(refusal(&target, &HeaderMap::new()), Some(OTHER_HOST));

        let mut twice = headers("localhost");
        twice.append(HOST, HeaderValue::from_static("localhost"));
        assert_eq!(refusal(&target, &twice), Some(OTHER_HOST));
        let garbled = HeaderMap::from_iter([(HOST, HeaderValue::from_bytes(b"localhost\xff").unwrap())]);
        assert_eq!(refusal(&target, &garbled), Some(OTHER_HOST));
    }

    #[test]
    fn a_target_in_absolute_form_is_held_to_the_same_rule() {
        let headers = headers("localhost");
        assert_eq!(refusal(&Uri::from_static("http://127.0.0.1:80/functions"), &headers), None);
        assert_eq!(refusal(&Uri::from_static("http://evil.example/functions"), &headers), Some(OTHER_HOST));
    }

    #[test]
    fn an_origin_of_any_value_is_refused() {
        for origin in ["null", "http://evil.example", "http://localhost:8080", ""] {
            let mut headers = headers("localhost:8080");
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            assert_eq!(refusal(&Uri::from_static("/functions"), &headers), Some(FROM_A_PAGE), "{origin}");
        }
    }

    #[tokio::test]
    async fn a_refused_request_reaches_no_route_and_is_told_what_to_do() {
        let done = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&done);
        let act = || async move { counted.fetch_add(1, Ordering::Relaxed).to_string() };
        let routes = guarded(Router::new().route("/redis/stop", post(act)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });

        let loopback = format!("host: {address}\r\n");
        for (path, headers, status, sentence) in [
            ("/redis/stop", "host: evil.example\r\n".to_owned(), 403, OTHER_HOST),
            ("/redis/stop", "host: 127.0.0.1.evil.example\r\n".to_owned(), 403, OTHER_HOST),
            ("/redis/stop", String::new(), 403, OTHER_HOST),
            ("/redis/stop", format!("{loopback}origin: null\r\n"), 403, FROM_A_PAGE),
            ("/redis/stop", format!("{loopback}origin: http://evil.example\r\n"), 403, FROM_A_PAGE),
            ("/nowhere", "host: evil.example\r\n".to_owned(), 403, OTHER_HOST),
            ("/nowhere", loopback.clone(), 404, ""),
            ("/redis/stop", loopback.clone(), 200, ""),
        ] {
            let mut connection = TcpStream::connect(address).await.unwrap();
            let request = format!("POST {path} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: 0\r\n\r\n");
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}{answer}");
            if status == 403 {
                let (_, body) = answer.split_once("\r\n\r\n").unwrap();
                let body: Value = serde_json::from_str(body).unwrap();
                assert_eq!(body, serde_json::json!({ "error": sentence }), "{request}");
            }
        }
        assert_eq!(done.load(Ordering::Relaxed), 1, "only the last request acts");
    }
}
