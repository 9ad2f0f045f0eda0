//! The monitor's part of content security policy: it folds the counts of reports, and judges their patterns.

use std::collections::BTreeMap;
use std::time::Duration;

use levee::alerts::Alert;
use levee::clock::Timestamp;
use levee::csp::fold::FoldError;
use levee::csp::table::day;
use levee::csp::{Class, CspTable, CspTableError, FoldedCsp, Folder, GroupRow, Project};
use tokio::time::Instant;

use crate::judge::csp::{ActiveGroup, CspThresholds, judge_counts, judge_group, judge_silence, judge_theft};

/// Largest number of groups of a project whose patterns are judged in one run. Groups without noise are judged by their
/// identifiers' order, so that a flood does not choose them.
const MOST_JUDGED: usize = 200;
/// Days of history that the judgement of patterns reads.
const HISTORY: Duration = Duration::from_secs(2 * 24 * 3600);
/// Days of history that the judgement of silence reads.
const LONG_HISTORY: Duration = Duration::from_secs(9 * 24 * 3600);
/// Largest number of groups that the judgement of thefts reads.
const MOST_GROUPS: usize = 1_000;

/// Result of a run.
#[derive(Debug, Default)]
pub(crate) struct CspRun {
    /// Minutes that were folded.
    pub minutes: usize,
    /// Alerts to raise.
    pub alerts: Vec<Alert>,
    /// Errors of parts of the run.
    pub failures: Vec<String>,
}

/// Folds the counts of past minutes, and judges the groups that had reports. Stops to fold at `until`.
pub(crate) async fn run(
    folder: &Folder,
    table: &CspTable,
    thresholds: CspThresholds,
    now: Timestamp,
    until: Instant,
) -> CspRun {
    let mut run = CspRun::default();
    // Write the used memory first, as it keeps a flood from filling Redis. An outage of Redis is reported under its own
    // code.
    let _ = folder.note_memory().await; // the Redis handle reports it
    let FoldedCsp { minutes, groups, plain, failure } = folder.fold(now, until).await;
    // The rows that were written are judged although a later minute failed.
    run.minutes = minutes;
    if let Some(FoldError::Table(error)) = failure {
        run.failures.push(error.to_string());
    }
    // Silence is judged once an hour, and needs all projects.
    let is_hour = (now.as_secs() / 60).is_multiple_of(60);
    if groups.is_empty() && plain.is_empty() && !is_hour {
        return run;
    }
    let projects = match table.projects().await {
        Ok(projects) => Project::with_own(projects),
        Err(error) => {
            run.failures.push(error.to_string());
            return run;
        }
    };
    // Judge each project, also those without reports in an hour of silence.
    let judge = Judge { table, thresholds, now, is_hour };
    let none = BTreeMap::new();
    for project in &projects {
        let active = groups.get(&project.name).unwrap_or(&none);
        let beyond = plain.get(&project.name).and_then(|counts| counts.get("beyond_groups")).copied().unwrap_or(0);
        match judge.project(project, active, beyond).await {
            Ok(alerts) => run.alerts.extend(alerts),
            Err(error) => run.failures.push(error.to_string()),
        }
    }
    run
}

/// Judgement of the patterns of one run.
struct Judge<'a> {
    table: &'a CspTable,
    thresholds: CspThresholds,
    now: Timestamp,
    /// True if silence is judged too.
    is_hour: bool,
}

impl Judge<'_> {
    /// Reads what the patterns of a project need, and judges them. `active` are its groups with reports in this run, and
    /// `beyond_groups` the reports that found no place in a group of their own.
    async fn project(
        &self,
        project: &Project,
        active: &BTreeMap<String, Class>,
        beyond_groups: u64,
    ) -> Result<Vec<Alert>, CspTableError> {
        let Self { table, thresholds, now, is_hour } = *self;
        let mut alerts = Vec::new();
        let name = &project.name;
        // Judge each group that had reports.
        let mut may_be_theft = false;
        for (id, _) in active.iter().filter(|(_, class)| !class.is_noise()).take(MOST_JUDGED) {
            let Some(row) = table.group(name, id).await? else { continue };
            may_be_theft |= matches!(row.class, Class::Inline | Class::Eval) || row.directive.can_carry_data_out();
            let days = table.group_days(name, id, &day(now.minus(HISTORY))).await?;
            alerts.extend(judge_group(project, &ActiveGroup { row, days }, thresholds, now));
        }
        // Judge the groups of the last hour together.
        if may_be_theft {
            let groups: Vec<GroupRow> = table.groups(name, MOST_GROUPS).await?;
            alerts.extend(judge_theft(&groups, now));
        }
        // Judge the counts of the project.
        if !active.is_empty() || beyond_groups > 0 {
            let days = table.counts(name, &day(now.minus(HISTORY))).await?;
            alerts.extend(judge_counts(project, &days, beyond_groups, thresholds, now));
        }
        if is_hour {
            let days = table.counts(name, &day(now.minus(LONG_HISTORY))).await?;
            alerts.extend(judge_silence(project, &days, thresholds, now));
        }
        Ok(alerts)
    }
}
