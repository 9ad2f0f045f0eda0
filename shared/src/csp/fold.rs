//! Moves the counts of past minutes from Redis into the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use levee_core::csp::Class;
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use super::counter::{MEMORY_KEY, MINUTES_KEY, Meaning, groups_key, minute_key, reach_key};
use super::project::ProjectName;
use super::table::{CspTable, CspTableError, GroupMinute};
use crate::clock::Timestamp;
use crate::stores::redis::{Redis, Unavailable};

/// Time after the end of a minute at which it is folded. Clocks of environments differ less.
const AFTER_MINUTE_SECS: u64 = 5;
/// Largest number of minutes of one run; more wait for the next run.
const MOST_MINUTES: usize = 30;
/// Lifetime of the figure of Redis's memory; the monitor writes it every minute.
const MEMORY_KEPT_SECS: u64 = 180;

/// Result of a run.
#[derive(Debug, Default)]
pub struct FoldedCsp {
    /// Minutes that were folded completely.
    pub minutes: usize,
    /// Groups that had reports.
    pub groups: BTreeMap<ProjectName, BTreeMap<String, Class>>,
    /// Counts that belong to no group, by project, summed over the run.
    pub plain: BTreeMap<ProjectName, BTreeMap<String, u64>>,
    /// Error that ended the run.
    pub failure: Option<FoldError>,
}

/// Error of a run.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// Redis did not answer.
    #[error("CSP counts: {0}")]
    Redis(#[from] Unavailable),
    /// The table could not be written.
    #[error(transparent)]
    Table(#[from] CspTableError),
}

/// Counts of a minute, as Redis holds them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Minute {
    projects: BTreeMap<String, ProjectMinute>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct ProjectMinute {
    plain: BTreeMap<String, u64>,
    groups: BTreeMap<String, GroupCounts>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct GroupCounts {
    reports: u64,
    browsers: BTreeMap<String, u64>,
    versions: BTreeMap<String, u64>,
}

/// Moves the counts of minutes from Redis into the table.
pub struct Folder {
    redis: Arc<Redis>,
    table: CspTable,
}

impl Folder {
    /// Creates a folder between the two stores.
    pub fn new(redis: Arc<Redis>, table: CspTable) -> Self {
        Self { redis, table }
    }

    /// Folds the minutes that are over, the oldest first, and stops to begin new ones at `until`. A minute is deleted
    /// from Redis after all its rows are written; a run that fails in between is repeated by the next one.
    pub async fn fold(&self, now: Timestamp, until: Instant) -> FoldedCsp {
        let mut folded = FoldedCsp::default();
        folded.failure = self.fold_into(&mut folded, now, until).await.err();
        folded
    }

    async fn fold_into(&self, folded: &mut FoldedCsp, now: Timestamp, until: Instant) -> Result<(), FoldError> {
        for minute in self.past_minutes(now).await? {
            if Instant::now() >= until {
                break;
            }
            self.fold_minute(folded, minute).await?;
            folded.minutes += 1;
        }
        Ok(())
    }

    async fn fold_minute(&self, folded: &mut FoldedCsp, minute: u64) -> Result<(), FoldError> {
        // Read all counts of the minute, and fold project by project.
        let fields = redis::cmd("HGETALL").arg(minute_key(minute)).to_owned();
        let fields = &fields;
        let fields: Vec<(String, u64)> =
            self.redis.run(async |mut connection| fields.query_async(&mut connection).await).await?;
        for (name, counts) in Minute::parse(fields).projects {
            // Names come from our own script, which takes them from checked ones.
            let Ok(project) =
                name.parse().or_else(|error| if name == "other" { Ok(ProjectName::other()) } else { Err(error) })
            else {
                continue;
            };
            self.fold_project(folded, minute, project, counts).await?;
        }
        self.forget(minute).await?;
        Ok(())
    }

    async fn fold_project(
        &self,
        folded: &mut FoldedCsp,
        minute: u64,
        project: ProjectName,
        counts: ProjectMinute,
    ) -> Result<(), FoldError> {
        // Read what the groups mean, and how many networks have reported them today.
        let at = Timestamp::from_secs(minute * 60);
        let ids: Vec<String> = counts.groups.keys().cloned().collect();
        let (meanings, reaches) = self.meanings(&project, &ids, at).await?;
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        // Write each group with its day.
        for ((id, group), (meaning, reach)) in counts.groups.into_iter().zip(meanings.into_iter().zip(reaches)) {
            // Redis lost the meaning, but not the count: there is no group to add it to.
            let Some(meaning) = meaning.and_then(|text| serde_json::from_str::<Meaning>(&text).ok()) else {
                tracing::warn!(code = "csp.lost_group", reports = group.reports, "reports of a group that Redis lost");
                continue;
            };
            // Sums of the project leave out noise, which comes and goes with visitors.
            if !meaning.group.class.is_noise() {
                for (version, count) in &group.versions {
                    *sums.entry(version.clone()).or_default() += count;
                }
            }
            folded.groups.entry(project.clone()).or_default().insert(id.clone(), meaning.group.class);
            let GroupCounts { reports, browsers, versions } = group;
            let row = GroupMinute { id, meaning, reports, browsers, versions, reach };
            self.table.fold_group(&project, minute, &row).await?;
        }
        // Write the counts of the project.
        if !counts.plain.is_empty() || !sums.is_empty() {
            self.table.fold_counts(&project, minute, &counts.plain, &sums).await?;
        }
        let plain = folded.plain.entry(project).or_default();
        for (name, count) in counts.plain {
            *plain.entry(name).or_default() += count;
        }
        Ok(())
    }

    /// Returns the minutes that are over and have counts, the oldest first.
    async fn past_minutes(&self, now: Timestamp) -> Result<Vec<u64>, Unavailable> {
        let before = now.as_secs().saturating_sub(60 + AFTER_MINUTE_SECS) / 60;
        let mut range = redis::cmd("ZRANGE");
        range.arg(MINUTES_KEY).arg("-inf").arg(before).arg("BYSCORE").arg("LIMIT").arg(0).arg(MOST_MINUTES);
        let range = &range;
        self.redis.run(async |mut connection| range.query_async(&mut connection).await).await
    }

    /// Reads the meanings of groups and their reach on the day of `at`, in one round trip.
    async fn meanings(
        &self,
        project: &ProjectName,
        ids: &[String],
        at: Timestamp,
    ) -> Result<(Vec<Option<String>>, Vec<u64>), Unavailable> {
        if ids.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        // One round trip for all groups.
        let mut pipe = redis::pipe();
        pipe.cmd("HMGET").arg(groups_key(project)).arg(ids);
        for id in ids {
            pipe.cmd("PFCOUNT").arg(reach_key(at, id));
        }
        let pipe = &pipe;
        let run = async |mut connection: MultiplexedConnection| {
            let values: Vec<redis::Value> = pipe.query_async(&mut connection).await?;
            let mut values = values.into_iter();
            let meanings = values.next().map_or(Ok(Vec::new()), redis::from_redis_value)?;
            let reaches = values.map(redis::from_redis_value).collect::<Result<Vec<u64>, _>>()?;
            Ok((meanings, reaches))
        };
        self.redis.run(run).await
    }

    async fn forget(&self, minute: u64) -> Result<(), Unavailable> {
        let mut pipe = redis::pipe();
        pipe.cmd("DEL").arg(minute_key(minute)).ignore().cmd("ZREM").arg(MINUTES_KEY).arg(minute).ignore();
        let pipe = &pipe;
        self.redis.run(async |mut connection| pipe.query_async(&mut connection).await).await
    }

    /// Writes the used part of Redis's memory to Redis, so that functions can stop to store what is not needed.
    ///
    /// # Errors
    /// [`Unavailable`] if Redis does not answer.
    pub async fn note_memory(&self) -> Result<(), Unavailable> {
        let run = async |mut connection: MultiplexedConnection| {
            let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
            let percent = used_percent(&info);
            redis::cmd("SET")
                .arg(MEMORY_KEY)
                .arg(percent)
                .arg("EX")
                .arg(MEMORY_KEPT_SECS)
                .query_async::<()>(&mut connection)
                .await
        };
        self.redis.run(run).await
    }
}

/// Returns the used part of the memory, in percent, from the text of `INFO memory`. A Redis without a limit is empty.
fn used_percent(info: &str) -> u64 {
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().parse::<u64>().ok()
    };
    match (field("used_memory"), field("maxmemory")) {
        (Some(used), Some(limit)) if limit > 0 => used.saturating_mul(100) / limit,
        _ => 0,
    }
}

impl Minute {
    /// Reads the fields of a minute: `c|<project>|<name>` and `g|<project>|<group>|<n, b:browser or v:version>`. A field
    /// of another form is ignored.
    fn parse(fields: Vec<(String, u64)>) -> Self {
        let mut minute = Self::default();
        for (field, count) in fields {
            match *field.splitn(4, '|').collect::<Vec<_>>() {
                ["c", project, name] => {
                    minute.projects.entry(project.to_owned()).or_default().plain.insert(name.to_owned(), count);
                }
                ["g", project, group, what] => {
                    let project = minute.projects.entry(project.to_owned()).or_default();
                    let group = project.groups.entry(group.to_owned()).or_default();
                    match what.split_once(':') {
                        None => group.reports = count,
                        Some(("b", browser)) => drop(group.browsers.insert(browser.to_owned(), count)),
                        Some((_, version)) => drop(group.versions.insert(version.to_owned(), count)),
                    }
                }
                _ => {}
            }
        }
        minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_minute_are_read_by_project_and_group() {
        let fields = [
            ("c|shop|invalid", 3),
            ("g|shop|abc|n", 5),
            ("g|shop|abc|b:chrome", 4),
            ("g|shop|abc|b:firefox", 1),
            ("g|shop|abc|v:other", 5),
            ("nonsense", 7),
            ("c|other|unknown_project", 2),
        ];
        let minute = Minute::parse(fields.map(|(name, count)| (name.to_owned(), count)).to_vec());
        let shop = &minute.projects["shop"];
        assert_eq!(shop.plain, BTreeMap::from([("invalid".to_owned(), 3)]));
        assert_eq!(shop.groups["abc"].reports, 5);
        assert_eq!(shop.groups["abc"].browsers["firefox"], 1);
        assert_eq!(shop.groups["abc"].versions["other"], 5);
        assert_eq!(minute.projects.len(), 2);
    }

    #[test]
    fn the_used_memory_is_a_part_of_the_limit() {
        assert_eq!(used_percent("# Memory\r\nused_memory:750\r\nused_memory_human:1K\r\nmaxmemory:1000\r\n"), 75);
        assert_eq!(used_percent("used_memory:750\r\nmaxmemory:0\r\n"), 0);
        assert_eq!(used_percent(""), 0);
    }
}
