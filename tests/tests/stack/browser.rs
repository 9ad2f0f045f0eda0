//! The pages in a real browser: every page loads, fits into every window and passes axe-core, and forms work by
//! click.

mod board;
mod csp;

use tests::{Chromium, View};

/// Checks the open page in each of `views` and saves pictures of it.
async fn check_page(browser: &Chromium, name: &str, views: &[View]) {
    let mut faults = Vec::new();
    for view in views {
        browser.look_at(*view).await;
        browser.save(&format!("{name}-{}", view.name)).await;
        let found = browser.overflow().await.into_iter().map(|element| format!("beyond the window: {element}"));
        let found = found.chain(browser.findings().await);
        faults.extend(found.map(|fault| format!("{name}, {}: {fault}", view.name)));
    }
    faults.extend(browser.complaints().await);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
