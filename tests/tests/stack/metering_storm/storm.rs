//! The calls, and what breaks while they are made.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::{Value, json};
use tests::{Answer, Stack};

use super::plan::{self, Caller, Chance, Key, Manner, Planned};

/// How many clients there are at any time: more than the proxies that serve them.
const CLIENTS: usize = 16;
/// How many calls are made for one proxy that is killed, on average.
const CALLS_A_KILL: usize = 30;
/// The part of the storm in which there is no Redis, in tenths.
const WITHOUT_REDIS: std::ops::Range<usize> = 4..6;
/// The share of DynamoDB's transactions that are cancelled because they meet another one, and of its writes whose
/// answer is lost.
const CONFLICTS: f64 = 0.3;
const LOST: f64 = 0.03;

/// What a whole stream ends with.
const LAST_EVENT: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// What a storm was.
pub struct Storm {
    /// What became of each call for its client.
    pub heard: Vec<Heard>,
    /// How many proxies were killed.
    pub kills: usize,
}

/// What became of a call for its client.
#[derive(Debug)]
pub struct Heard {
    /// What both ends know the call by.
    pub name: String,
    /// Whose key it was made with.
    pub caller: Caller,
    /// The model that it asks for.
    pub model: String,
    /// What the gateway and the ledger know it by; empty where not even an answer's head came.
    pub request_id: String,
    /// The answer's status, 0 where there was none.
    pub status: u16,
    /// All of the answer came.
    pub is_whole: bool,
    /// The client left before that.
    pub has_left: bool,
}

/// Makes so many calls while proxies are killed, Redis is gone for a while, and transactions meet.
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
    // A proxy that is killed right after its answer's head may take that along.
    let Ok(mut response) = stack.request_with_key(text, "/v1/messages").json(&body).send().await else {
        return nothing;
    };
    let status = response.status().as_u16();
    // The gateway's own answers have it too.
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

/// Stops Redis and starts it again, each at its moment.
async fn redis(stack: &Stack, made: usize, calls: usize) {
    if made * 10 == WITHOUT_REDIS.start * calls {
        control(stack, "POST", "/redis/stop", Value::Null).await;
    } else if made * 10 == WITHOUT_REDIS.end * calls {
        control(stack, "POST", "/redis/start", Value::Null).await;
    }
}

/// Kills a proxy in the middle of a call now and then, as the calls go on; how often it did.
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
