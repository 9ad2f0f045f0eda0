//! State of Redis.

use std::time::Duration;

use levee::web::show;
use maud::{Markup, html};

use crate::snapshot::{RedisReport, RedisState};

pub(super) fn redis(redis: &RedisReport) -> Markup {
    let row =
        |name: &str, value: Option<String>| html! { @if let Some(value) = value { dt { (name) } dd { (value) } } };
    html! {
        dl {
            dt { "State" }
            dd {
                @match redis.state {
                    RedisState::Up => strong.good { "answers" },
                    RedisState::Down => strong.bad { "cannot be reached" },
                }
            }
            @if let Some(since) = redis.since { dt { "Since" } dd { (show::time(since.0)) } }
            (row("Answer time", redis.latency_ms.map(|ms| format!("{ms:.1} ms"))))
            (row("Memory", redis.used_memory_bytes.map(|used| match redis.max_memory_bytes {
                Some(most) => format!("{} of {}", show::bytes(used), show::bytes(most)),
                None => show::bytes(used),
            })))
            (row("Connections", redis.connected_clients.map(|clients| show::count(clients, "connection"))))
            (row("Running for", redis.uptime_seconds.map(|secs| show::duration(Duration::from_secs(secs)))))
        }
    }
}
