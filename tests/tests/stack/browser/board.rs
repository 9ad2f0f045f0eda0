//! The System Health board in a browser.

use serde_json::json;
use tests::{Chromium, Stack, View, messages};

use super::check_page;
use crate::board::{add_violation, real};

const VIEWS: [View; 3] = [View::DESKTOP, View::DARK, View::PHONE];

#[tokio::test]
async fn an_admin_signs_in_and_every_page_of_the_board_is_whole() {
    let stack = Stack::builder().with_demo().start().await;
    // Create content for the pages: a call, and one that its provider cut off.
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
    stack.script("primary", json!({ "cut_after": 1 })).await;
    let mut streamed = messages("Hello");
    streamed["stream"] = true.into();
    let cut = stack.call("/v1/messages", &streamed).await;
    let request = cut.header("x-levee-request-id").to_owned();

    add_violation(&stack).await;

    let browser = Chromium::start().await;
    assert_eq!(
        browser.open(&stack.url("/admin")).await,
        "Sign in – Levee",
        "whoever is not signed in is led to the form"
    );
    check_page(&browser, "sign-in", &VIEWS).await;
    browser.sign_in(&stack, stack.admin()).await;
    check_page(&browser, "board", &[VIEWS.as_slice(), &[View::WIDE]].concat()).await;
    for (name, path) in [
        ("errors", "/admin/errors".to_owned()),
        ("accounts", "/admin/accounts".to_owned()),
        ("provider", "/admin/breakers/primary".to_owned()),
        ("request", format!("/admin/requests?id={request}")),
        ("violations", "/admin/csp".to_owned()),
        ("violation", real("/admin/csp/{id}")),
        ("audit", "/admin/audit".to_owned()),
    ] {
        browser.open(&stack.url(&path)).await;
        check_page(&browser, name, &VIEWS).await;
    }
}

#[tokio::test]
async fn an_operator_suspends_an_account_with_a_click_and_a_viewer_cannot() {
    let stack = Stack::builder().with_demo().start().await;
    let suspend = "return [...document.querySelectorAll('button')].map(it => it.textContent.trim())\
        .filter(text => text.startsWith('Suspend')).length";

    let browser = Chromium::start().await;
    browser.sign_in(&stack, stack.viewer()).await;
    browser.open(&stack.url("/admin/accounts")).await;
    assert_eq!(browser.run(suspend).await, json!(0));

    let browser = Chromium::start().await;
    browser.sign_in(&stack, stack.admin()).await;
    browser.open(&stack.url("/admin/accounts")).await;
    assert_eq!(browser.run(suspend).await, json!(3));
    browser.press("Suspend Acme Logistics").await;
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 403);
    browser.press("Resume Acme Logistics").await;
    assert_eq!(stack.call("/v1/messages", &messages("Hello")).await.status, 200);
}
