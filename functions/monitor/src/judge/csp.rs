//! Alerts about patterns of CSP reports. Single reports are never an alert: anybody may post them.

use std::collections::BTreeMap;
use std::time::Duration;

use levee::alerts::Alert;
use levee::clock::Timestamp;
use levee::config::Reader;
use levee::csp::table::{DayCounts, day};
use levee::csp::{Class, GroupRow, GroupState, Project};

const HOUR_SECS: u64 = 3600;
const DAY: Duration = Duration::from_secs(24 * HOUR_SECS);
/// Time after its first report for which a group is new.
const NEW_FOR: Duration = DAY;
/// Time after a group was resolved in which late reports are no return: pages that are still open send them.
const RESOLVED_GRACE: Duration = Duration::from_secs(HOUR_SECS);
/// Networks from which reports must come on a sensitive path, and for an address that may carry data out. One could be a
/// single visitor's extension.
const LEAST_REACH: u64 = 2;
/// Hours after the first report of a policy version in which a jump is blamed on it.
const NEW_VERSION_HOURS: usize = 2;
/// Factor by which the reports of a new version exceed those of the versions before it.
const VERSION_JUMP: u64 = 5;
/// Days with reports after which a day without any is an alert.
const DAYS_BEFORE_SILENCE: usize = 7;

/// Thresholds of alerts about CSP reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CspThresholds {
    /// `CSP_ALERT_REACH`: distinct networks on one day from which reports of a new group must come. Default 5, 1 to
    /// 10,000. One visitor's extension or one forger has one network.
    pub reach: u64,
    /// `CSP_ALERT_SPIKE`: factor by which the reports of an hour exceed the group's own hourly average of the day before.
    /// Default 20, 2 to 1,000. Daily rhythms stay below 10.
    pub spike: u64,
    /// `CSP_ALERT_REPORTS`: reports in an hour, for spikes and new policy versions, or on a day, for silence, below which
    /// there is no pattern. Default 50, 1 to 1,000,000.
    pub reports: u64,
}

impl CspThresholds {
    /// Reads the variables that the fields name.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            reach: reader.number("CSP_ALERT_REACH", 5, 1..=10_000),
            spike: reader.number("CSP_ALERT_SPIKE", 20, 2..=1_000),
            reports: reader.number("CSP_ALERT_REPORTS", 50, 1..=1_000_000),
        }
    }
}

/// A group that had reports, with its history.
#[derive(Debug, Clone)]
pub struct ActiveGroup {
    /// Row of the group.
    pub row: GroupRow,
    /// Reports by day and hour, of two days at least.
    pub days: BTreeMap<String, [u64; 24]>,
}

/// Returns the alerts about one group.
pub fn judge_group(project: &Project, group: &ActiveGroup, thresholds: CspThresholds, now: Timestamp) -> Vec<Alert> {
    let row = &group.row;
    if row.class.is_noise() || row.state == GroupState::Muted {
        return Vec::new();
    }
    [came_back(row), is_new(project, row, thresholds, now), spiked(group, thresholds, now)]
        .into_iter()
        .flatten()
        .collect()
}

/// Returns the alert about a resolved group that has reports again.
fn came_back(row: &GroupRow) -> Option<Alert> {
    let resolved_until = row.state_since + RESOLVED_GRACE.as_secs();
    (row.state == GroupState::Resolved && row.last_seen > resolved_until).then(|| Alert {
        key: format!("csp.back/{}/{}", row.project, row.id),
        title: format!("A resolved CSP violation is back on {}: {} of {}", row.project, row.directive, what(row)),
        detail: format!("{}\n\nIf it is resolved again: levee csp resolve {} {}.", facts(row), row.project, row.id),
        cool_down: DAY * 7,
    })
}

/// Returns the alert about a new group that may be foreign code and comes from several networks.
fn is_new(project: &Project, row: &GroupRow, thresholds: CspThresholds, now: Timestamp) -> Option<Alert> {
    let is_new = Timestamp::from_secs(row.first_seen).until(now) <= NEW_FOR && row.state == GroupState::Open;
    // Scripts, and what may become one.
    // A known third party is expected, but for what the policy has not been told yet.
    let is_suspicious = row.directive.is_script_like() && row.class != Class::KnownThirdParty;
    let is_sensitive = project.is_sensitive(row.group().split_document().1);
    let reach = if is_sensitive { LEAST_REACH.min(thresholds.reach) } else { thresholds.reach };
    (is_new && is_suspicious && row.reach >= reach).then(|| Alert {
        key: format!("csp.new/{}/{}", row.project, row.id),
        title: format!("New CSP violation on {}: {} of {}", row.project, row.directive, what(row)),
        detail: format!(
            "{}{}\n\nThis may be injected code, or a change of the page that its policy does not know. Look at it: levee csp \
             show {} {}. If it is expected, allow it in the policy or mute it: levee csp mute {} {}.",
            facts(row),
            if is_sensitive { "\nThe page is a sensitive one of the project." } else { "" },
            row.project,
            row.id,
            row.project,
            row.id
        ),
        cool_down: DAY * 2,
    })
}

/// Returns the alert about a group with many more reports than it usually has.
fn spiked(group: &ActiveGroup, thresholds: CspThresholds, now: Timestamp) -> Option<Alert> {
    let row = &group.row;
    // A group needs a day of its own history.
    if Timestamp::from_secs(row.first_seen).until(now) <= DAY || row.state != GroupState::Open {
        return None;
    }
    // Compare this hour with the average of the day before, at least one report an hour.
    let this_hour = hour_of(&group.days, now);
    let average = sum_before(&group.days, now, 24).div_ceil(24).max(1);
    let is_spike = this_hour >= thresholds.reports && this_hour >= average.saturating_mul(thresholds.spike);
    is_spike.then(|| Alert {
        key: format!("csp.spike/{}/{}", row.project, row.id),
        title: format!("CSP violations on {} rise suddenly: {} of {}", row.project, row.directive, what(row)),
        detail: format!(
            "Reports in this hour: {this_hour}\nHourly average of the day before: {average}\n{}\n\nLook at it: levee csp show {} {}.",
            facts(row),
            row.project,
            row.id
        ),
        cool_down: Duration::from_secs(6 * HOUR_SECS),
    })
}

/// Returns the alert about inline code together with a new address that may carry data out, on pages of one host: the
/// pattern of a skimmer. `groups` are those of the project with reports in the last hour.
pub fn judge_theft(groups: &[GroupRow], now: Timestamp) -> Option<Alert> {
    let is_recent = |row: &&GroupRow| {
        Timestamp::from_secs(row.last_seen).until(now) <= Duration::from_secs(HOUR_SECS)
            && row.state != GroupState::Muted
    };
    let host = |row: &GroupRow| row.group().split_document().0.to_owned();
    // Find inline code and new ways out, both of the last hour, on pages of one host.
    let inline: Vec<_> =
        groups.iter().filter(is_recent).filter(|row| matches!(row.class, Class::Inline | Class::Eval)).collect();
    let is_way_out = |row: &&GroupRow| {
        row.class == Class::External
            && row.directive.can_carry_data_out()
            && row.reach >= LEAST_REACH
            && Timestamp::from_secs(row.first_seen).until(now) <= NEW_FOR
    };
    let way_out = groups.iter().filter(is_recent).filter(is_way_out);
    let (code, way_out) = way_out
        .flat_map(|out| inline.iter().map(move |code| (*code, out)))
        .find(|(code, out)| host(code) == host(out))?;
    Some(Alert {
        key: format!("csp.theft/{}/{}", way_out.project, way_out.id),
        title: format!("Inline code and a new address on {}: {}", way_out.project, what(way_out)),
        detail: format!(
            "Inline code was blocked, and {} to a new address, on pages of one host in one hour. Code that steals what \
             visitors enter looks like this.\n\nThe address: {}\nThe code: {}\n\nLook at both: levee csp show {} {} and levee \
             csp show {} {}.",
            way_out.directive,
            facts(way_out),
            facts(code),
            way_out.project,
            way_out.id,
            code.project,
            code.id
        ),
        cool_down: DAY * 2,
    })
}

/// Returns the alerts about the counts of a project. `beyond_groups` are the reports of this run that found no place in
/// a group of their own; `days` are the counts of the last days, by day.
pub fn judge_counts(
    project: &Project,
    days: &[DayCounts],
    beyond_groups: u64,
    thresholds: CspThresholds,
    now: Timestamp,
) -> Vec<Alert> {
    [flooded(project, beyond_groups), jumped(project, days, thresholds, now)].into_iter().flatten().collect()
}

/// Returns the alert about a project whose reports have more meanings than are kept apart.
fn flooded(project: &Project, beyond_groups: u64) -> Option<Alert> {
    (beyond_groups > 0).then(|| Alert {
        key: format!("csp.flood/{}", project.name),
        title: format!("More CSP violations on {} than are kept apart", project.name),
        detail: format!(
            "Reports beyond the bound of new groups: {beyond_groups}\n\nThey are counted together, and known groups go on as \
             before. Either somebody posts invented reports, or a new policy has a mistake: levee csp list {}. The bounds \
             are the variables CSP_NEW_GROUPS_PER_HOUR, CSP_NEW_GROUPS_PER_NETWORK and CSP_GROUPS_PER_PROJECT.",
            project.name
        ),
        cool_down: Duration::from_secs(6 * HOUR_SECS),
    })
}

/// Returns the alert about a new policy version with many more reports than the versions before it.
fn jumped(project: &Project, days: &[DayCounts], thresholds: CspThresholds, now: Timestamp) -> Option<Alert> {
    let served = project.served()?;
    let version = served.version.as_str();
    // Count the served version, and all versions.
    let by_day = |select: &dyn Fn(&DayCounts) -> [u64; 24]| -> BTreeMap<String, [u64; 24]> {
        days.iter().map(|day| (day.day.clone(), select(day))).collect()
    };
    let of_version = by_day(&|day| day.versions.get(version).copied().unwrap_or_default());
    let all = by_day(&|day| day.hours);
    // The version is new if it has no reports before the last hours.
    let recent = hour_of(&of_version, now) + sum_before(&of_version, now, NEW_VERSION_HOURS - 1);
    let is_new = of_version.values().flatten().sum::<u64>() == recent;
    // The versions before it had reports for at least a day.
    let before = sum_before(&all, now, 24).saturating_sub(sum_before(&of_version, now, 24));
    let expected = (before * NEW_VERSION_HOURS as u64).div_ceil(24);
    let is_jump = recent >= thresholds.reports && recent >= expected.saturating_mul(VERSION_JUMP);
    (is_new && before > 0 && is_jump).then(|| Alert {
        key: format!("csp.version/{}/{version}", project.name),
        title: format!("The new policy of {} blocks much more than the one before", project.name),
        detail: format!(
            "Version: {version}\nReports in {NEW_VERSION_HOURS} h: {recent}\nExpected by the versions before: {expected}\n\nThe \
             policy may block what the pages need. Look at the groups: levee csp list {}. Set the former policy again, or \
             serve the new one report-only first.",
            project.name
        ),
        cool_down: DAY,
    })
}

/// Returns the alert about a project that had reports on each of the last days and has none for a day. `days` are the
/// counts of the last eight days at least.
pub fn judge_silence(
    project: &Project,
    days: &[DayCounts],
    thresholds: CspThresholds,
    now: Timestamp,
) -> Option<Alert> {
    let all: BTreeMap<String, [u64; 24]> = days.iter().map(|day| (day.day.clone(), day.hours)).collect();
    // Compare the last day with the week before.
    let last_day = hour_of(&all, now) + sum_before(&all, now, 24);
    // The days before the last 24 hours, without today.
    // Each of the days has to have been busy.
    let before: Vec<u64> = (2..DAYS_BEFORE_SILENCE as u64 + 2)
        .map(|ago| {
            all.get(&day(now.minus(DAY * u32::try_from(ago).unwrap_or(u32::MAX)))).map_or(0, |hours| hours.iter().sum())
        })
        .collect();
    let was_busy = before.iter().all(|reports| *reports >= thresholds.reports);
    (last_day == 0 && was_busy).then(|| Alert {
        key: format!("csp.silent/{}", project.name),
        title: format!("No CSP reports of {} for a day", project.name),
        detail: format!(
            "Reports on each of the {DAYS_BEFORE_SILENCE} days before: at least {}\n\nThe pages may have lost their policy or \
             the address of its reports. Compare what they carry with: levee csp policy {}.",
            thresholds.reports, project.name
        ),
        cool_down: DAY * 7,
    })
}

/// Returns the blocked resource for a title.
fn what(row: &GroupRow) -> &str {
    if row.blocked.is_empty() { "many resources" } else { &row.blocked }
}

/// Returns what is known of a group, a fact a line.
fn facts(row: &GroupRow) -> String {
    let seen = |secs: u64| Timestamp::from_secs(secs).to_rfc3339();
    let page = if row.document.is_empty() { "any" } else { &row.document };
    format!(
        "Class: {}\nPage: {page}\nReports: {}, from {} networks today\nSeen: {} to {}",
        row.class.name(),
        row.total,
        row.reach,
        seen(row.first_seen),
        seen(row.last_seen)
    )
}

/// Returns the reports of the clock hour of `now`.
fn hour_of(days: &BTreeMap<String, [u64; 24]>, now: Timestamp) -> u64 {
    let hour = usize::try_from(now.as_secs() / HOUR_SECS % 24).unwrap_or(0);
    days.get(&day(now)).and_then(|hours| hours.get(hour)).copied().unwrap_or(0)
}

/// Returns the reports of the `hours` clock hours before the one of `now`.
fn sum_before(days: &BTreeMap<String, [u64; 24]>, now: Timestamp, hours: usize) -> u64 {
    (1..=hours as u64).map(|ago| hour_of(days, now.minus(Duration::from_secs(ago * HOUR_SECS)))).sum()
}

#[cfg(test)]
mod tests;
