//! Usage reports as CSV.

use super::{LineUse, UsageReport};
use crate::metering::usage::Service;

/// Column names of [`csv()`].
pub(super) const COLUMNS: [&str; 23] = [
    "account",
    "date",
    "integration",
    "kind",
    "model",
    "calls",
    "estimated_calls",
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "web_searches",
    "web_fetches",
    "counted",
    "cost_usd",
    "attempts",
    "provider",
    "served",
    "tier",
    "speed",
    "geo",
    "prompt_above",
];

/// Returns `reports` as CSV (RFC 4180): a header, then one line per account, day, integration, requested model, and way
/// in which it was served. An unknown cost is an empty cell.
pub fn csv<'a>(reports: impl IntoIterator<Item = &'a UsageReport>) -> String {
    // Writing to memory does not fail.
    write(reports).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn write<'a>(reports: impl IntoIterator<Item = &'a UsageReport>) -> Result<Vec<u8>, ::csv::Error> {
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for report in reports {
        for LineUse { date, integration, kind, model, provider, service, used } in &report.lines {
            let texts = [&report.account, date, integration, &kind.to_string(), model].map(|text| inert(text));
            let figures = [
                used.calls,
                used.estimated_calls,
                used.input,
                used.output,
                used.cache_read,
                used.cache_write_5m,
                used.cache_write_1h,
                used.web_searches,
                used.web_fetches,
                used.counted,
            ];
            let cost = used.cost_usd.map(|cost| cost.to_string()).unwrap_or_default();
            let Service { model: served, tier, speed, geo, prompt_above } = service;
            // Sums of earlier versions have no provider and no tier.
            let tier = if provider.is_empty() { "" } else { tier.name() };
            let (attempts, prompt_above) = (used.attempts.to_string(), prompt_above.to_string());
            let service = [&attempts, provider, served, tier, speed, geo, &prompt_above].map(inert);
            let figures = figures.map(|it| it.to_string());
            writer.write_record(texts.into_iter().chain(figures).chain([cost]).chain(service))?;
        }
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Returns `text` as a cell that no spreadsheet takes for a formula
/// (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn inert(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}
