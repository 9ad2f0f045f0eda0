//! Evidence for a request, from the statistics and the present state of the pool. Pure.

use serde::{Deserialize, Serialize};

use crate::limits::LimitSource;
use crate::statistics::{Between, Counted, Day, DayRow, Demand, trial};

/// Days of the statistics that prove demand, today included.
pub(super) const DAYS: u64 = 7;
/// Days for which it is told what the requested limit would have refused.
pub(super) const TRIAL_DAYS: u64 = 30;

/// Facts that a request is judged by. They are stored with it, and its customer sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Creation time of the account, Unix seconds; `None` if it was not recorded.
    pub account_created_at: Option<u64>,
    /// Limit in force.
    pub present: u64,
    /// Origin of that limit.
    pub source: LimitSource,
    /// Limit of all accounts; 0 if the policy is off for them.
    pub standard: u64,
    /// Days of the last 7 with recorded demand.
    pub days_observed: u64,
    /// Windows with calls on these days.
    pub windows: u64,
    /// Demand that 95 % of these windows did not exceed, or up to 12.5 % more; `None` if it is not recorded.
    pub demand_p95: Option<u64>,
    /// Days of the last 7 on which the policy refused calls.
    pub days_refused: u64,
    /// Calls that passed today.
    pub used_today: u64,
    /// Calls that the policy refused today.
    pub refused_today: u64,
    /// Time of the last grant of this policy, Unix seconds; `None` if there was none.
    pub last_granted_at: Option<u64>,
    /// Pool that the calls are counted in as well; `None` if there is none with this window.
    pub pool: Option<PoolEvidence>,
    /// What the requested limit would have refused in the last 30 days; `None` if demand is not recorded.
    pub would_refuse: Option<WouldRefuse>,
}

/// State of the pool of all accounts. Customers do not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolEvidence {
    /// Limit of the pool.
    pub limit: u64,
    /// Most that one account may take of it.
    pub share: u64,
    /// Calls counted in the present window, or in the one before if those were more; `None` if Redis did not say.
    pub used: Option<u64>,
}

/// Refusals by a limit in the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldRefuse {
    /// First day with recorded demand; `None` if there is none.
    pub since: Option<String>,
    /// Days with calls.
    pub days: u64,
    /// Days with refusals.
    pub days_over: Between,
    /// Windows with calls.
    pub windows: u64,
    /// Windows with refusals.
    pub windows_over: Between,
}

impl Evidence {
    /// Adds the statistics in `rows` about `policy` of the part `counted`, as of `today`, for a request of `limit`.
    #[must_use]
    pub fn with_statistics(self, rows: &[DayRow], counted: &Counted, policy: &str, limit: u64, today: Day) -> Self {
        let first = today.back(DAYS - 1);
        let of_part = rows.iter().filter(|row| row.key.counted == *counted && row.key.day >= first);
        let days: Vec<_> = of_part.filter_map(|row| Some((row.key.day, row.policies.get(policy)?))).collect();
        // Add up the demand, and today's sums.
        let demands: Vec<Demand> = days.iter().filter_map(|(_, day)| day.demand_so_far()).collect();
        let observed = demands.len() as u64;
        let demand = demands.into_iter().fold(Demand::default(), |sum, demand| sum + demand);
        let today = days.iter().find(|(day, _)| *day == today).map(|(_, day)| *day);
        let would_refuse = trial(rows, counted, policy, limit).map(|trial| WouldRefuse {
            since: trial.since.map(|day| day.to_string()),
            days: trial.days,
            days_over: trial.days_over,
            windows: trial.windows,
            windows_over: trial.windows_over,
        });
        Self {
            days_observed: observed,
            windows: demand.spans(),
            demand_p95: demand.percentile(95),
            days_refused: days.iter().filter(|(_, day)| day.refused > 0).count() as u64,
            used_today: today.map_or(0, |day| day.used),
            refused_today: today.map_or(0, |day| day.refused),
            would_refuse,
            ..self
        }
    }
}
