//! Makes the calls and injects faults meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::{Value, json};
use tests::{Answer, Stack};

use super::plan::{self, Caller, Chance, Key, Manner, Planned};

/// Number of concurrent clients: more than the proxies that serve them.
const CLIENTS: usize = 16;
/// Average number of calls per killed proxy.
const CALLS_A_KILL: usize = 30;
/// Part of the storm without Redis, in tenths.
const WITHOUT_REDIS: std::ops::Range<usize> = 4..6;
/// Share of DynamoDB's transactions that are cancelled because of a conflict, and of its writes whose answer is lost.
const CONFLICTS: f64 = 0.3;
const LOST: f64 = 0.03;

/// Last event of a complete stream.
const LAST_EVENT: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Results of a storm.
pub struct Storm {
    /// Outcomes of the calls for their clients.
    pub heard: Vec<Heard>,
    /// Number of killed proxies.
    pub kills: usize,
}

/// Outcome of a call for its client.
#[derive(Debug)]
pub struct Heard {
    /// Name by which client and provider identify the call.
    pub name: String,
    /// Account and integration of its key.
    pub caller: Caller,
    /// Requested model.
    pub model: String,
    /// Request id of gateway and ledger; empty if the answer's head did not arrive.
    pub request_id: String,
    /// Status of the answer; 0 if there was none.
    pub status: u16,
    /// True if the answer is complete.
    pub is_whole: bool,
    /// True if the client left before that.
    pub has_left: bool,
}

/// Makes this number of calls while proxies are killed, Redis is down for a while, and transactions conflict.
pub async fn rage(stack: &Stack, keys: &[Key], calls: usize) -> Storm {
    stack.script("primary", json!({ "gap_ms": 4, "deltas": 6 })).await;
    let faults = json!({ "conflict_ratio": CONFLICTS, "lost_ratio": LOST, "seed": 1 });
    control(stack, "PUT", "/dynamodb/faults", faults).await;

    let made = AtomicUsize::new(0);
    let clients = async {
        let call = async |number| {
            let heard = make(stack, keys, plan::call(number, keys.len())).await;
            redis(stack, made.fetch_add(1, Ordering::Relaxed) + 1, calls).await;
            heard
        };
        iter((0..calls).map(call)).buffer_unordered(CLIENTS).collect().await
    };
    let (heard, kills) = tokio::join!(clients, kill(stack, &made, calls));

    control(stack, "DELETE", "/dynamodb/faults", Value::Null).await;
    Storm { heard, kills }
}

async fn make(stack: &Stack, keys: &[Key], planned: Planned) -> Heard {
    let Planned { name, key, manner, body } = planned;
    let Key { text, caller } = &keys[key];
    let model = body["model"].as_str().unwrap().to_owned();
    let nothing = Heard {
        name,
        caller: caller.clone(),
        model,
        request_id: String::new(),
        status: 0,
        is_whole: false,
        has_left: false,
    };
    // If a proxy is killed right after the answer's head, the head may be lost too.
    let Ok(mut response) = stack.request_with_key(text, "/v1/messages").json(&body).send().await else {
        return nothing;
    };
    let status = response.status().as_u16();
    // The gateway's own answers contain the id too.
    let request_id = response.headers()["x-amz-apigw-id"].to_str().unwrap().to_owned();
    let heard = Heard { request_id, status, ..nothing };
    if manner == Manner::Leaving && status == 200 {
        let _first_piece = response.chunk().await;
        return Heard { has_left: true, ..heard };
    }
    let answer = Answer::read(response).await;
    let is_whole = match manner {
        Manner::Whole => serde_json::from_slice::<Value>(&answer.body).is_ok(),
        Manner::Streamed | Manner::Leaving => answer.body.ends_with(LAST_EVENT.as_bytes()),
    };
    Heard { is_whole: is_whole && status == 200, ..heard }
}

/// Stops Redis and starts it again at the planned numbers of calls.
async fn redis(stack: &Stack, made: usize, calls: usize) {
    if made * 10 == WITHOUT_REDIS.start * calls {
        control(stack, "POST", "/redis/stop", Value::Null).await;
    } else if made * 10 == WITHOUT_REDIS.end * calls {
        control(stack, "POST", "/redis/start", Value::Null).await;
    }
}

/// Kills a proxy in the middle of a call from time to time until all calls are made, and returns the number of kills.
async fn kill(stack: &Stack, made: &AtomicUsize, calls: usize) -> usize {
    let (mut kills, mut next) = (0, 0);
    while made.load(Ordering::Relaxed) < calls {
        if made.load(Ordering::Relaxed) < next {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let chance = Chance(kills);
        tokio::time::sleep(Duration::from_millis(chance.below("pause", 50) as u64)).await;
        let environments = stack.environments("ai-proxy").await;
        let busy: Vec<_> = (0..environments.len()).filter(|at| environments[*at]["state"] == "busy").collect();
        if let Some(victim) = busy.get(chance.below("victim", busy.len().max(1))) {
            control(stack, "POST", &format!("/functions/ai-proxy/{victim}/kill"), Value::Null).await;
            kills += 1;
            next = made.load(Ordering::Relaxed) + chance.below("next", 2 * CALLS_A_KILL);
        }
    }
    kills
}

async fn control(stack: &Stack, method: &str, path: &str, body: Value) {
    let answer = stack.control(method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
}
