//! Usage, as it is shown.

use std::cmp::Reverse;

use anyhow::bail;
use levee::accounts::TokenCap;
use levee::metering::report::{CapUse, ServedUse, Used, csv};
use levee::metering::{Month, UsageLine, UsageReport};
use serde::Serialize;

use crate::account;
use crate::context::Context;
use crate::output::{NOTHING, fields, table};
use crate::target::MeteringConfig;

/// Usage of one account in a month.
#[derive(Debug, Serialize)]
struct AccountUse {
    account: String,
    month: Month,
    #[serde(flatten)]
    used: Used,
    cap: Option<CapUse>,
}

/// Columns of [`figures`].
const FIGURES: [&str; 8] = ["CALLS", "ATTEMPTS", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "COUNTED", "COST USD"];

impl AccountUse {
    fn row(&self) -> Vec<String> {
        let mut row = vec![self.account.clone()];
        row.extend(figures(&self.used));
        row.push(cap_text(self.cap.as_ref()));
        row
    }
}

pub(super) async fn list(context: &Context, month: Month) -> anyhow::Result<()> {
    let config = context.target.metering_config()?;
    let accounts = account::all(context).await?;
    let ids: Vec<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
    // Read the usage of all accounts, then report each.
    let mut by_account = context.target.months().read_all(&ids, month).await?;
    let mut views = Vec::new();
    for account in &accounts {
        let lines = by_account.remove(&account.id).unwrap_or_default();
        // The list does not show open calls, so they are not read.
        let UsageReport { account, totals, cap, .. } =
            report(context, &config, &account.id, month, &lines, 0, config.cap.for_account(account));
        views.push(AccountUse { account, month, used: totals.used, cap });
    }
    // List the account with the most counted tokens first.
    views.sort_by_key(|view| Reverse(view.used.counted));
    let headers: Vec<&str> = ["ACCOUNT"].into_iter().chain(FIGURES).chain(["CAP"]).collect();
    context.output.list(&views, &headers, "there are no accounts", AccountUse::row)
}

pub(super) async fn show(context: &Context, id: &str, month: Month, as_csv: bool) -> anyhow::Result<()> {
    let config = context.target.metering_config()?;
    let account = context.target.accounts.account(id).await?.map(|detail| detail.account);
    let lines = context.target.months().read(id, month).await?;
    // The usage of a deleted account is kept, so a missing account may still have some.
    if account.is_none() && lines.is_empty() {
        bail!(
            "there is no account {id}, and nothing was used under this id in {month}; list accounts with: levee account list"
        );
    }
    let open_calls = context.target.ledger().open_calls(id, month).await?;
    let cap = account.and_then(|account| config.cap.for_account(&account));
    let report = report(context, &config, id, month, &lines, open_calls, cap);
    if as_csv {
        return context.output.csv(&csv([&report]));
    }
    context.output.say(&report, || text(&report))
}

fn report(
    context: &Context,
    config: &MeteringConfig,
    account: &str,
    month: Month,
    lines: &[UsageLine],
    open_calls: u64,
    cap: Option<TokenCap>,
) -> UsageReport {
    UsageReport::new(account, month, lines, open_calls, cap, config.counts, &config.prices, context.now())
}

fn text(report: &UsageReport) -> String {
    let used = &report.totals.used;
    let mut all = vec![
        ("account", report.account.clone()),
        ("month", report.month.to_string()),
        ("calls", used.calls.to_string()),
        ("attempts", used.attempts.to_string()),
        ("estimated", used.estimated_calls.to_string()),
        ("open", report.totals.open_calls.to_string()),
        ("counted", used.counted.to_string()),
        ("cap", cap_text(report.cap.as_ref())),
    ];
    if let Some(cap) = &report.cap {
        all.push(("projected", cap.projected.to_string()));
    }
    if let Some(cost) = used.cost_usd {
        all.push(("cost USD", cost.to_string()));
    }
    let mut text = fields(&all);
    // Add a table for each breakdown that has rows.
    let part = |header: &'static str, rows: Vec<(&String, &Used)>| {
        let headers: Vec<&str> = [header].into_iter().chain(FIGURES).collect();
        let row = |(name, used): (&String, &Used)| [name.clone()].into_iter().chain(figures(used)).collect();
        let rows: Vec<Vec<String>> = rows.into_iter().map(row).collect();
        if rows.is_empty() { String::new() } else { format!("\n{}", table(&headers, &rows)) }
    };
    text += &part("DAY", report.by_day.iter().map(|it| (&it.date, &it.used)).collect());
    text += &part("INTEGRATION", report.by_integration.iter().map(|it| (&it.integration, &it.used)).collect());
    let name = |it: &ServedUse| format!("{} {}", it.provider.as_deref().unwrap_or(NOTHING), it.model);
    let served: Vec<(String, &Used)> = report.by_served.iter().map(|it| (name(it), &it.used)).collect();
    text += &part("SERVED BY", served.iter().map(|(name, used)| (name, *used)).collect());
    text + &part("MODEL", report.by_model.iter().map(|it| (&it.model, &it.used)).collect())
}

fn figures(used: &Used) -> [String; 8] {
    let cost = used.cost_usd.map_or_else(|| NOTHING.to_owned(), |cost| cost.to_string());
    let cache_write = used.cache_write_5m.saturating_add(used.cache_write_1h);
    let [calls, attempts, input, output, cache_read, cache_write, counted] =
        [used.calls, used.attempts, used.input, used.output, used.cache_read, cache_write, used.counted]
            .map(|it| it.to_string());
    [calls, attempts, input, output, cache_read, cache_write, counted, cost]
}

fn cap_text(cap: Option<&CapUse>) -> String {
    cap.map_or_else(|| "none".to_owned(), |cap| format!("{}% of {} ({})", cap.percent, cap.limit, cap.mode))
}
