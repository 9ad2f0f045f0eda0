//! Table of the newest alerts.

use levee::web::{show, table};
use maud::{Markup, html};

use super::unread;
use crate::snapshot::AlertReport;

pub(super) fn alerts(alerts: Option<&[AlertReport]>) -> Markup {
    let Some(alerts) = alerts else { return unread() };
    let rows: Vec<_> = alerts
        .iter()
        .map(|alert| {
            html! {
                td { (show::time(alert.raised_at.0)) }
                th scope="row" { (alert.title) }
                td.wide { (alert.detail) }
                td { @if let Some(at) = alert.sent_at { (show::time(at.0)) } @else { "waits to be sent" } }
                td { (show::count(alert.repeats, "time")) }
            }
        })
        .collect();
    table("The newest alerts, newest first", &["Raised", "Alert", "Detail", "Sent", "Again since"], &rows, "No alerts.")
}
