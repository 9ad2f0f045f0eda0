//! A cached figure that is too high, for example because a call was counted twice.

use levee::accounts::CapMode;

use super::told::{alerts, rows, text};
use super::{Stack, assert_is_refused, call, capped, month, states};

/// Overwrites the cached figure.
async fn pretend(stack: &Stack, used: u64) {
    let key = format!("{{levee}}:tokens:{}:{}", stack.account_id(), month(stack));
    let set = async |mut connection| {
        redis::cmd("SET").arg(&key).arg(used).arg("KEEPTTL").query_async::<()>(&mut connection).await
    };
    stack.redis().run(set).await.unwrap();
}

#[tokio::test]
async fn a_figure_that_is_too_high_refuses_nobody_and_tells_of_nothing_that_is_not_so() {
    let stack = capped(CapMode::Block).await;
    assert_eq!(states(&stack, 1).await, ["ok"]);
    pretend(&stack, 1_600).await;
    // In every environment the result is the same, as each verifies the figure itself.
    assert_eq!(states(&stack, 1).await, ["ok"]);
    assert_eq!(rows(&stack, "ALERTS").await.len(), 0);
    assert_eq!(states(&stack, 2).await, ["ok", "warn"]);
    for _ in 0..6 {
        assert_is_refused(&stack, &call(&stack, false).await);
    }
    let mut told: Vec<String> = alerts(&stack, 2).await.iter().map(|row| text(row, "key").to_owned()).collect();
    told.sort();
    assert_eq!(told, [100, 80].map(|share| format!("tokens/acme/{}/{share}", month(&stack))), "not of 150 %");
}
