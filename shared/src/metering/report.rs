//! Reports of the usage of an account in a month, for customers and admins, as JSON and as CSV. No I/O.
//!
//! All figures of a report come from the same lines, so that its parts agree with each other.

mod csv;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

pub use self::csv::csv;

use super::cap::{Counts, percent};
use super::month::Month;
use super::months::{UsageLine, projected};
use super::prices::{Prices, Usd};
use super::tally::Tally;
use super::usage::Service;
use crate::accounts::IntegrationKind;
use crate::accounts::terms::{CapMode, TokenCap};
use crate::clock::Timestamp;

/// Usage of an account in a month (UTC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageReport {
    /// Id of the account.
    pub account: String,
    /// Month of the usage.
    pub month: Month,
    /// Usage of the whole month.
    pub totals: Totals,
    /// Usage of the account's present cap, or `None` if it has no cap.
    pub cap: Option<CapUse>,
    /// Usage by the model that the caller asked for, the largest counted usage first.
    pub by_model: Vec<ModelUse>,
    /// Usage by the provider and the model that served, the largest counted usage first.
    pub by_served: Vec<ServedUse>,
    /// Usage by integration, the largest counted usage first.
    pub by_integration: Vec<IntegrationUse>,
    /// Usage by day (UTC), the earliest first. Days without usage are left out.
    pub by_day: Vec<DayUse>,
    /// Usage by day, integration, requested model and the way in which it was served.
    #[serde(skip)]
    pub lines: Vec<LineUse>,
}

/// Usage, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Used {
    /// AI calls that used tokens. A call counts with the first of its attempts that did.
    pub calls: u64,
    /// Attempts of AI calls that used tokens, or may have. More than `calls` if some calls failed over to another
    /// provider.
    pub attempts: u64,
    /// Input tokens that were neither read from nor written to the cache.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache for 5 minutes.
    pub cache_write_5m: u64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Tokens that count against caps.
    pub counted: u64,
    /// Calls with estimated figures, because the provider's final ones are missing.
    pub estimated_calls: u64,
    /// Web searches that the provider made.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    /// Web pages that the provider fetched.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_fetches: u64,
    /// Cost, or `None` if a part of the usage has no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Usd>,
}

fn is_zero(figure: &u64) -> bool {
    *figure == 0
}

/// Usage of a whole month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Usage.
    #[serde(flatten)]
    pub used: Used,
    /// Calls that began in the month and are still open. Their usage is in no figure yet.
    pub open_calls: u64,
}

/// Usage of an account's cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CapUse {
    /// Cap, tokens per month.
    pub limit: u64,
    /// Treatment of calls beyond the cap.
    pub mode: CapMode,
    /// Used part of the cap, whole percent. It may exceed 100.
    pub percent: u64,
    /// Projected number of counted tokens at the end of the month.
    pub projected: u64,
}

/// Usage of one requested model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelUse {
    /// Model that the caller asked for.
    pub model: String,
    /// Usage.
    #[serde(flatten)]
    pub used: Used,
}

/// Usage of one model at one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServedUse {
    /// Name of the provider, or `None` for sums of earlier versions, which did not record it.
    pub provider: Option<String>,
    /// Model that the answers name, or the requested one if that is not known.
    pub model: String,
    /// Usage.
    #[serde(flatten)]
    pub used: Used,
}

/// Usage of one integration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntegrationUse {
    /// Id of the integration.
    pub integration: String,
    /// Kind of the integration, which tells the platform's AI Operator apart.
    pub kind: IntegrationKind,
    /// Usage.
    #[serde(flatten)]
    pub used: Used,
}

/// Usage of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayUse {
    /// Date of the day, such as `2026-11-22`.
    pub date: String,
    /// Usage.
    #[serde(flatten)]
    pub used: Used,
}

/// Usage of one integration on one day, of one requested model and one way in which it was served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineUse {
    /// Date of the day, such as `2026-11-22`.
    pub date: String,
    /// Id of the integration.
    pub integration: String,
    /// Kind of the integration.
    pub kind: IntegrationKind,
    /// Model that the caller asked for.
    pub model: String,
    /// Name of the provider; empty for sums of earlier versions.
    pub provider: String,
    /// Model, tier and other properties with which the provider served.
    pub service: Service,
    /// Usage.
    pub used: Used,
}

/// Running sums over lines, and their cost as long as the cost of each line is known.
#[derive(Clone, Copy)]
struct Sum {
    tally: Tally,
    cost: Option<Usd>,
}

impl Sum {
    fn begin(prices: &Prices) -> Self {
        Self { tally: Tally::default(), cost: (!prices.is_empty()).then_some(Usd::ZERO) }
    }

    fn add(&mut self, tally: &Tally, cost: Option<Usd>) {
        self.tally = self.tally.plus(tally);
        self.cost = self.cost.and_then(|sum| sum.plus(cost?));
    }

    fn used(&self, counts: Counts) -> Used {
        let figure = |figure: i64| u64::try_from(figure).unwrap_or(0);
        Used {
            calls: figure(self.tally.calls),
            attempts: figure(self.tally.attempts()),
            input: figure(self.tally.input),
            output: figure(self.tally.output),
            cache_read: figure(self.tally.cache_read),
            cache_write_5m: figure(self.tally.cache_write_5m),
            cache_write_1h: figure(self.tally.cache_write_1h),
            counted: counts.counted(&self.tally),
            estimated_calls: figure(self.tally.estimated_calls),
            web_searches: figure(self.tally.web_searches),
            web_fetches: figure(self.tally.web_fetches),
            cost_usd: self.cost,
        }
    }
}

impl UsageReport {
    /// Returns the report of `account` for `month`. `lines` are the sums of the month, `open_calls` is the number of
    /// its calls that are still open, and `cap` is the account's cap at `now`.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own")]
    pub fn new(
        account: impl Into<String>,
        month: Month,
        lines: &[UsageLine],
        open_calls: u64,
        cap: Option<TokenCap>,
        counts: Counts,
        prices: &Prices,
        now: Timestamp,
    ) -> Self {
        // Add each line to the totals and to every breakdown.
        let begin = || Sum::begin(prices);
        let (mut total, mut by_model, mut by_served, mut by_integration, mut by_day) =
            (begin(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut of_lines = Vec::with_capacity(lines.len());
        for line in lines {
            let UsageLine { day, integration, kind, model, provider, service, tally } = line;
            let cost = prices.cost(line);
            total.add(tally, cost);
            by_model.entry(model).or_insert_with(begin).add(tally, cost);
            let served = if service.model.is_empty() { model } else { &service.model };
            by_served.entry((provider, served)).or_insert_with(begin).add(tally, cost);
            by_integration.entry(integration).or_insert_with(|| (*kind, begin())).1.add(tally, cost);
            by_day.entry(*day).or_insert_with(begin).add(tally, cost);
            of_lines.push(LineUse {
                date: format!("{month}-{day:02}"),
                integration: integration.clone(),
                kind: *kind,
                model: model.clone(),
                provider: provider.clone(),
                service: service.clone(),
                used: Sum { tally: *tally, cost }.used(counts),
            });
        }

        // Turn the sums into entries.
        let used = |sum: &Sum| sum.used(counts);
        let mut by_model: Vec<_> =
            by_model.iter().map(|(model, sum)| ModelUse { model: (*model).clone(), used: used(sum) }).collect();
        let mut by_served: Vec<_> = by_served
            .iter()
            .map(|((provider, model), sum)| ServedUse {
                provider: (!provider.is_empty()).then(|| (*provider).clone()),
                model: (*model).clone(),
                used: used(sum),
            })
            .collect();
        let mut by_integration: Vec<_> = by_integration
            .iter()
            .map(|(id, (kind, sum))| IntegrationUse { integration: (*id).clone(), kind: *kind, used: used(sum) })
            .collect();
        let by_day =
            by_day.iter().map(|(day, sum)| DayUse { date: format!("{month}-{day:02}"), used: used(sum) }).collect();
        // Put the largest counted usage first. The sort is stable: equal entries stay in the order of their names.
        by_model.sort_by_key(|it| Reverse(it.used.counted));
        by_served.sort_by_key(|it| Reverse(it.used.counted));
        by_integration.sort_by_key(|it| Reverse(it.used.counted));

        // Compare the counted tokens with the cap.
        let totals = Totals { used: used(&total), open_calls };
        let counted = totals.used.counted;
        let cap = cap.map(|TokenCap { limit, mode }| CapUse {
            limit,
            mode,
            percent: percent(counted, limit),
            projected: projected(counted, month, now),
        });
        let account = account.into();
        Self { account, month, totals, cap, by_model, by_served, by_integration, by_day, lines: of_lines }
    }
}

#[cfg(test)]
mod tests;
