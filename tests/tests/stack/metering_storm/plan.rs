//! The calls of a storm. Each is determined by its number alone, so that a failing storm can be repeated.

use levee::accounts::{Account, AccountsTable, ApiKey, Integration, IntegrationKind, KeyRecord, Peppers};
use levee::clock::Clock;
use serde_json::{Value, json};
use tests::Stack;

/// Number of accounts.
const ACCOUNTS: usize = 20;
const INTEGRATIONS: [(&str, IntegrationKind); 2] =
    [("crm", IntegrationKind::Customer), ("operator", IntegrationKind::AiOperator)];
const MODELS: [&str; 2] = ["claude-sonnet-5-5", "claude-haiku-5-5"];

/// Way in which a client takes its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As one JSON document.
    Whole,
    /// As a stream, to its end.
    Streamed,
    /// As a stream that the client leaves before its end.
    Leaving,
}

/// A planned call.
pub struct Planned {
    /// Name by which client and provider identify it.
    pub name: String,
    /// Index of the key.
    pub key: usize,
    /// Way in which its answer is taken.
    pub manner: Manner,
    /// Body of the request.
    pub body: Value,
}

/// Account and integration.
pub type Caller = (String, String);

/// A key and its holder.
pub struct Key {
    /// Full text of the key.
    pub text: String,
    /// Account and integration that it belongs to.
    pub caller: Caller,
}

/// Creates the accounts with their integrations, and returns a key for each integration.
pub async fn accounts(stack: &Stack) -> Vec<Key> {
    let table = AccountsTable::new(stack.dynamodb(), "Accounts");
    let peppers = Peppers::from_json(&local::bindings::key_peppers()).unwrap();
    let now = Clock::system().now();
    let mut keys = Vec::new();
    for number in 0..ACCOUNTS {
        let account = format!("storm-{number:02}");
        table.put_account(&Account::new(&account, "Storm", now)).await.unwrap();
        for (integration, kind) in INTEGRATIONS {
            table.put_integration(&account, &Integration::new(integration, "Storm", kind, now)).await.unwrap();
            let key = ApiKey::generate("local").unwrap();
            table.put_key(&KeyRecord::new(&key, &peppers, &account, integration, "storm", now)).await.unwrap();
            keys.push(Key { text: key.reveal().to_owned(), caller: (account.clone(), integration.to_owned()) });
        }
    }
    keys
}

/// Returns the call of this number, for this number of keys.
pub fn call(number: usize, keys: usize) -> Planned {
    let chance = Chance(number);
    let manner = match chance.below("manner", 30) {
        0..3 => Manner::Leaving,
        3..10 => Manner::Streamed,
        _ => Manner::Whole,
    };
    let name = format!("call-{number:04}");
    let mut body = json!({
        "model": MODELS[chance.below("model", MODELS.len())],
        "max_tokens": 256 + chance.below("room", 256),
        "stream": manner != Manner::Whole,
        "metadata": { "user_id": name },
        "messages": [{ "role": "user", "content": format!("Tell me {} times. {name}", chance.below("times", 1_000)) }],
    });
    let cached = |ttl: &str, text: &str| {
        let control = json!({ "type": "ephemeral", "ttl": ttl });
        json!([{ "type": "text", "text": text, "cache_control": control }])
    };
    match chance.below("feature", 8) {
        0 => body["system"] = cached("5m", "You know all rivers and all their levees."),
        1 => body["system"] = cached("1h", "You like brevity, and nothing else so much."),
        2 => body["system"] = cached("5m", "This prefix is cached, as you know."),
        3 => body["thinking"] = json!({ "type": "adaptive" }),
        4 => body["tools"] = json!([{ "type": "web_search_20250305", "name": "web_search" }]),
        5 => body["tools"] = json!([{ "type": "web_fetch_20250910", "name": "web_fetch" }]),
        _ => {}
    }
    // Use the accounts in turn, so that all have the same number of calls.
    let integration = chance.below("integration", INTEGRATIONS.len());
    let key = number * INTEGRATIONS.len() % keys + integration;
    Planned { name, key, manner, body }
}

/// Generator of repeatable pseudo-random numbers.
pub struct Chance(pub usize);

impl Chance {
    /// Returns a number below `end`, which depends on the purpose.
    pub fn below(&self, purpose: &str, end: usize) -> usize {
        let purpose = purpose.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        // SplitMix64 (Steele, Lea and Flood, 2014).
        let mut mixed = (self.0 as u64).wrapping_add(purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % end
    }
}
