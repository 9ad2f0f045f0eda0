//! What an account used in a month, for customers and admins: as JSON and as CSV. No I/O.
//!
//! All figures come from the same lines, so that the parts of a report agree with each other.

mod csv;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

pub use self::csv::csv;

use super::cap::{Counts, percent};
use super::month::Month;
use super::months::{Line, projected};
use super::prices::{Prices, Usd};
use super::tally::Tally;
use super::usage::Service;
use crate::accounts::IntegrationKind;
use crate::accounts::terms::{CapMode, TokenCap};
use crate::clock::Timestamp;

/// What an account used in a month (UTC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageReport {
    /// The account's id.
    pub account: String,
    /// The month.
    pub month: Month,
    /// All of it.
    pub totals: Totals,
    /// How much of the account's present cap that is; `None` where it has no cap.
    pub cap: Option<CapUse>,
    /// By the model that was asked for, what counts most first.
    pub by_model: Vec<ModelUse>,
    /// By the provider and the model that served, what counts most first.
    pub by_served: Vec<ServedUse>,
    /// By integration, what counts most first.
    pub by_integration: Vec<IntegrationUse>,
    /// By day (UTC), the first first; days on which nothing was used are left out.
    pub by_day: Vec<DayUse>,
    /// By day, integration, model that was asked for, and the way in which it was served.
    #[serde(skip)]
    pub lines: Vec<LineUse>,
}

/// What was used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Used {
    /// AI calls that used tokens. A call counts with the first of its attempts that did.
    pub calls: u64,
    /// Attempts of AI calls that used tokens, or may have: more than the calls where some moved on to another provider.
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
    /// The tokens that count against caps.
    pub counted: u64,
    /// Of the calls, those whose figures are estimated, because the provider's final ones are missing.
    pub estimated_calls: u64,
    /// Searches that the provider made in the web.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    /// Pages that the provider fetched from the web.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_fetches: u64,
    /// What it costs; `None` where a part of it has no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Usd>,
}

fn is_zero(figure: &u64) -> bool {
    *figure == 0
}

/// A whole month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// What was used.
    #[serde(flatten)]
    pub used: Used,
    /// Calls that began in the month and are not over. What they use is in no figure yet.
    pub open_calls: u64,
}

/// How far an account has come with its cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CapUse {
    /// Tokens a month.
    pub limit: u64,
    /// What becomes of calls beyond it.
    pub mode: CapMode,
    /// How many whole percent of it are used.
    pub percent: u64,
    /// The tokens that count at the month's end, if it goes on like that.
    pub projected: u64,
}

/// What was used of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelUse {
    /// The model that was asked for.
    pub model: String,
    /// What was used.
    #[serde(flatten)]
    pub used: Used,
}

/// What was used of one model at one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServedUse {
    /// The provider; `None` where an earlier version wrote the sums, which did not keep it.
    pub provider: Option<String>,
    /// The model that the answers name; the one that was asked for where that is not known.
    pub model: String,
    /// What was used.
    #[serde(flatten)]
    pub used: Used,
}

/// What one integration used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntegrationUse {
    /// The integration's id.
    pub integration: String,
    /// What kind of integration it is: tells the platform's AI Operator apart.
    pub kind: IntegrationKind,
    /// What was used.
    #[serde(flatten)]
    pub used: Used,
}

/// What was used on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayUse {
    /// The day, such as `2026-11-22`.
    pub date: String,
    /// What was used.
    #[serde(flatten)]
    pub used: Used,
}

/// What one integration used on one day, of one model that was asked for and one way in which it was served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineUse {
    /// The day, such as `2026-11-22`.
    pub date: String,
    /// The integration's id.
    pub integration: String,
    /// What kind of integration it is.
    pub kind: IntegrationKind,
    /// The model that was asked for.
    pub model: String,
    /// The provider; empty where an earlier version wrote the sums.
    pub provider: String,
    /// The way in which the provider served.
    pub service: Service,
    /// What was used.
    pub used: Used,
}

/// Sums that grow by lines, and what they cost as long as each line's cost is known.
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
            counted: counts.of(&self.tally),
            estimated_calls: figure(self.tally.estimated_calls),
            web_searches: figure(self.tally.web_searches),
            web_fetches: figure(self.tally.web_fetches),
            cost_usd: self.cost,
        }
    }
}

impl UsageReport {
    /// Returns the report of what `lines` say that `account` used in `month`. `cap` is the one that it has at `now`;
    /// `open_calls` are its calls that are not over.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own")]
    pub fn new(
        account: impl Into<String>,
        month: Month,
        lines: &[Line],
        open_calls: u64,
        cap: Option<TokenCap>,
        counts: Counts,
        prices: &Prices,
        now: Timestamp,
    ) -> Self {
        let begin = || Sum::begin(prices);
        let (mut total, mut by_model, mut by_served, mut by_integration, mut by_day) =
            (begin(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut of_lines = Vec::with_capacity(lines.len());
        for line in lines {
            let Line { day, integration, kind, model, provider, service, tally } = line;
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
        // What counts the same stays in the order of its name.
        by_model.sort_by_key(|it| Reverse(it.used.counted));
        by_served.sort_by_key(|it| Reverse(it.used.counted));
        by_integration.sort_by_key(|it| Reverse(it.used.counted));

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
