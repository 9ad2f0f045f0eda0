//! One environment whose connections to a provider all break: it avoids the provider by itself, and the others are
//! unaffected.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tests::Language::Python;
use tests::Stack;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::scene::{Scene, Seen, assert_served, mixed, stack};

/// Number of environments that [`stack`] starts.
const ENVIRONMENTS: usize = 3;

/// A relay to a stand-in that can be closed to one process.
struct Way {
    address: SocketAddr,
    target: Arc<watch::Sender<Option<SocketAddr>>>,
    closed_to: Arc<watch::Sender<Option<u64>>>,
}

impl Way {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (target, closed_to) = (Arc::new(watch::Sender::new(None)), Arc::new(watch::Sender::new(None)));
        let (to, closed) = (target.clone(), closed_to.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, to.subscribe(), closed.subscribe()));
            }
        });
        Self { address, target, closed_to }
    }

    /// Returns the entry of `AI_PROVIDERS` for the stand-in `name` behind this relay.
    fn provider(&self, name: &str) -> serde_json::Value {
        let key = Stack::provider_key(name);
        json!({ "name": name, "kind": "anthropic", "base_url": format!("http://{}", self.address), "api_key": key })
    }

    async fn leads_to(&self, stack: &Stack, name: &str) {
        let provider = stack.provider(name).await;
        let target = provider["base_url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        self.target.send_replace(Some(target));
    }
}

async fn relay(
    mut client: TcpStream,
    mut target: watch::Receiver<Option<SocketAddr>>,
    mut closed_to: watch::Receiver<Option<u64>>,
) {
    let target = target.wait_for(Option::is_some).await.unwrap().unwrap();
    let socket = client_socket(&client);
    let is_closed = |pid: &Option<u64>| pid.is_some_and(|pid| holds(pid, &socket));
    let mut server = TcpStream::connect(target).await.unwrap();
    tokio::select! {
        biased;
        _ = closed_to.wait_for(is_closed) => {}
        _ = copy_bidirectional(&mut client, &mut server) => {}
    }
}

/// Returns the name of the client's end of `connection` in the list of a process's files (proc_net(5)).
fn client_socket(connection: &TcpStream) -> String {
    let address = |address: SocketAddr| {
        let SocketAddr::V4(address) = address else { panic!("{address}") };
        format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port())
    };
    // Compare both ends: the client's port may also belong to an older connection that is still closing.
    let ends = [connection.peer_addr(), connection.local_addr()].map(|end| address(end.unwrap()));
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut rows = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[1..3] == ends).unwrap_or_else(|| panic!("no socket {ends:?}"));
    format!("socket:[{}]", row[9])
}

fn holds(pid: u64, socket: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|link| link.to_str() == Some(socket)))
}

#[tokio::test]
async fn an_environment_whose_connections_break_keeps_away_by_itself_and_the_provider_keeps_its_share() {
    let (primary, backup) = (Way::open().await, Way::open().await);
    let providers = json!([primary.provider("primary"), backup.provider("backup")]).to_string();
    let mut scene = Scene::of(stack().env("AI_PROVIDERS", &providers), Python).await;
    primary.leads_to(&scene.stack, "primary").await;
    backup.leads_to(&scene.stack, "backup").await;
    // Make calls in each environment, so that the breaker knows several of them.
    for number in 0..ENVIRONMENTS {
        leave_calls_to(&scene.stack, number).await;
        let healthy = scene.calls(mixed(10)).await;
        assert_served(&healthy);
        assert!(healthy.iter().all(|seen| seen.provider() == "primary"), "{healthy:?}");
    }

    // Break the connections of the last environment, which gets all calls.
    let environments = scene.stack.environments("ai-proxy").await;
    primary.closed_to.send_replace(environments[ENVIRONMENTS - 1]["pid"].as_u64());
    let seen = scene.calls(mixed(30)).await;
    assert_served(&seen);
    let (met, kept_away) = (count(&seen, "unreachable"), count(&seen, "breaker-local"));
    eprintln!("{met} of {} calls met broken connections, {kept_away} were kept from them", seen.len());
    assert!((5..=12).contains(&met), "{seen:?}");
    assert_eq!(met + kept_away, seen.len(), "{seen:?}");

    // The others are unaffected.
    for number in 0..ENVIRONMENTS - 1 {
        leave_calls_to(&scene.stack, number).await;
        let seen = scene.calls(mixed(10)).await;
        assert_served(&seen);
        assert!(seen.iter().all(|seen| seen.provider() == "primary"), "{seen:?}");
    }
    assert!(scene.history().await.is_empty(), "one environment alone decides nothing");
}

fn count(seen: &[Seen], reason: &str) -> usize {
    seen.iter().filter(|seen| seen.reason() == reason).count()
}

/// Freezes all environments of the proxy except this one, so that it gets all calls.
async fn leave_calls_to(stack: &Stack, chosen: usize) {
    for number in 0..ENVIRONMENTS {
        let action = if number == chosen { "thaw" } else { "freeze" };
        stack.order(&format!("/functions/ai-proxy/{number}/{action}")).await;
    }
}
