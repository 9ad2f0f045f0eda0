//! Search for the records that could not be written, in the log lines that hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use levee::metering::unwritten::{LOST_TRACK, UNOPENED, UNWRITTEN, read};
use levee::metering::{Record, call};

use crate::context::Context;
use crate::output::aside;
use crate::target::LogPlace;
use crate::why;

/// Time-out of one search in CloudWatch Logs.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(300);

/// Records found in log lines.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// Most final record of each attempt, by account, call and number of the attempt.
    attempts: BTreeMap<(String, String, u32), Record>,
    /// Number of lines that should hold a record but do not hold it whole.
    pub(super) unreadable: usize,
}

impl Unwritten {
    /// Reads the records that the stack has logged; on AWS, within the last `since`.
    pub(super) async fn logged(context: &Context, since: Duration) -> anyhow::Result<Self> {
        // Use a set, as a line that names several codes is found several times.
        let mut lines = BTreeSet::new();
        for code in [UNOPENED, UNWRITTEN, LOST_TRACK] {
            match &context.target.logs {
                LogPlace::Local(folder) => lines.extend(why::lines_with(code, folder)?),
                LogPlace::Aws(logs) => {
                    aside(&format!("searching the logs for {code}; this may take minutes"));
                    let now = context.now();
                    lines.extend(logs.find_all(code, now.minus(since), now, SEARCH_TIMEOUT).await?);
                }
            }
        }
        let mut found = Self::default();
        lines.iter().for_each(|line| found.add(line));
        Ok(found)
    }

    /// Reads the records in the lines of a file, or of standard input if the path is `-`.
    pub(super) fn in_file(file: &Path) -> anyhow::Result<Self> {
        let unreadable = || format!("{} cannot be read", file.display());
        let input: Box<dyn BufRead> = if file == Path::new("-") {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(std::io::BufReader::new(std::fs::File::open(file).with_context(unreadable)?))
        };
        let mut found = Self::default();
        // A log file may hold bytes that are no text.
        for line in input.split(b'\n') {
            found.add(&String::from_utf8_lossy(&line.with_context(unreadable)?));
        }
        Ok(found)
    }

    fn add(&mut self, line: &str) {
        match read(line) {
            Ok(Some(record)) => {
                let key = (record.call.account.clone(), record.call.id.clone(), record.call.attempt);
                // Keep the more final of two records of an attempt.
                let kept = self.attempts.get(&key);
                if kept.is_none_or(|kept| call::step(Some(kept), &record).is_some()) {
                    self.attempts.insert(key, record);
                }
            }
            Ok(None) => {}
            Err(_) => self.unreadable += 1,
        }
    }

    /// Returns the records, sorted by account.
    pub(super) fn into_records(self) -> Vec<Record> {
        self.attempts.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use levee::metering::RecordState;
    use serde_json::{Value, json};

    use super::*;

    /// Returns a log line with `code` about an attempt of the account acme.
    fn line(code: &str, id: &str, attempt: u32, state: &str) -> String {
        let record = json!({
            "id": id, "attempt": attempt, "request_id": "r", "account": "acme", "integration": "crm",
            "kind": "customer", "provider": "primary", "model": "m", "started_at": 1_700_000_000_u64,
            "deadline": 1_700_000_300_u64, "state": state, "input": 1, "output": 2, "cache_read": 0,
            "cache_write_5m": 0, "cache_write_1h": 0, "web_searches": 0, "web_fetches": 0, "tier": "standard",
            "estimated": false,
        });
        json!({ "level": "ERROR", "code": code, "record": record.to_string() }).to_string()
    }

    fn states(lines: &[String]) -> (Vec<RecordState>, usize) {
        let mut found = Unwritten::default();
        lines.iter().for_each(|line| found.add(line));
        let unreadable = found.unreadable;
        (found.into_records().into_iter().map(|record| record.state).collect(), unreadable)
    }

    #[test]
    fn of_several_lines_about_an_attempt_the_most_final_counts_whatever_order_they_are_in() {
        let open = line(UNOPENED, "1", 1, "open");
        let [abandoned, closed] = ["abandoned", "closed"].map(|state| line(UNWRITTEN, "1", 1, state));
        for lines in [[&open, &abandoned, &closed], [&closed, &abandoned, &open], [&abandoned, &closed, &open]] {
            assert_eq!(states(&lines.map(Clone::clone)), (vec![RecordState::Closed], 0));
        }
        assert_eq!(
            states(&[closed, line(UNWRITTEN, "1", 2, "void")]),
            (vec![RecordState::Closed, RecordState::Void], 0)
        );
    }

    #[test]
    fn lines_that_hold_no_record_are_passed_over_and_broken_ones_are_counted() {
        let whole = line(UNWRITTEN, "1", 1, "closed");
        let other = line("usage.other", "2", 1, "closed");
        let (cut, odd) = (whole[..whole.len() - 1].to_owned(), line(UNWRITTEN, "3", 1, "gone"));
        let wrong_state = line(UNOPENED, "4", 1, "closed");
        let nothing = Value::Null.to_string();
        let lines = [nothing, other, cut, odd, wrong_state, String::new(), "usage.unwritten".to_owned(), whole];
        assert_eq!(states(&lines), (vec![RecordState::Closed], 4));
    }

    #[test]
    fn a_file_is_read_line_by_line_whatever_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lines");
        let whole = line(UNWRITTEN, "1", 1, "closed");
        std::fs::write(&file, [b"\xff\xfe\n", whole.as_bytes(), b"\r\n\n", &whole.as_bytes()[..50]].concat()).unwrap();
        let found = Unwritten::in_file(&file).unwrap();
        assert_eq!((found.attempts.len(), found.unreadable), (1, 1));
        let missing = Unwritten::in_file(&folder.path().join("nothing")).unwrap_err();
        assert!(format!("{missing:#}").contains("nothing cannot be read"), "{missing:#}");
    }
}
