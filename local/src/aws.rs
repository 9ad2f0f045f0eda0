//! Stand-ins for two AWS services, on loopback: SNS, which receives alerts, and CloudWatch Logs Insights, which
//! searches the functions' logs. They speak the services' own protocols, so that the functions use the real SDK. They
//! do not check signatures.

mod cloudwatch_logs;
mod insights;
mod sns;

use axum::{Router, serve::ListenerExt};
use tokio::net::TcpListener;

pub(crate) use self::{
    cloudwatch_logs::CloudWatchLogs,
    sns::{Sns, control_routes},
};

/// Serves `routes` on a free port until the runtime ends. Returns the address, with no slash at the end.
async fn serve(routes: Router) -> std::io::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        let _slower_without_it = socket.set_nodelay(true);
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}
