//! A list of named steps. All of them run and are announced, timed and judged; the end lists the failed ones.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Result of a step that did not fail.
pub(crate) enum Outcome {
    Ok,
    /// The step could not be checked here; the text gives the reason.
    Skipped(String),
}

enum Verdict {
    Ok,
    Skipped(String),
    Failed(String),
}

/// Results of the steps so far.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<(String, Verdict, Duration)>,
}

impl Report {
    /// Announces a step, runs it and records its result. A failure does not stop later steps.
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> anyhow::Result<Outcome>) {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let verdict = match step() {
            Ok(Outcome::Ok) => Verdict::Ok,
            Ok(Outcome::Skipped(why)) => Verdict::Skipped(why),
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        let took = start.elapsed();
        eprintln!("--- {}", row(name, &verdict, took));
        self.rows.push((name.to_owned(), verdict, took));
    }

    /// Prints the summary. Returns an error that names the failed steps, if there are any.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        eprintln!("\n=== Summary");
        for (name, verdict, took) in &self.rows {
            eprintln!("{}", row(name, verdict, *took));
        }
        let failed = self.rows.iter().filter(|(_, verdict, _)| matches!(verdict, Verdict::Failed(_)));
        let names = failed.map(|(name, ..)| name.as_str()).collect::<Vec<_>>();
        if !names.is_empty() {
            bail!("{} of {} steps failed: {}", names.len(), self.rows.len(), names.join(", "));
        }
        Ok(())
    }
}

fn row(name: &str, verdict: &Verdict, took: Duration) -> String {
    let (word, why) = match verdict {
        Verdict::Ok => ("ok", String::new()),
        Verdict::Skipped(why) => ("SKIPPED", format!(": {why}")),
        Verdict::Failed(why) => ("FAILED", format!(": {why}")),
    };
    format!("{word:<7} {:>6.1} s  {name}{why}", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_runs_and_the_end_names_those_that_failed() {
        let mut report = Report::default();
        let mut ran = 0;
        report.step("one", || bail!("broken"));
        report.step("two", || Ok(Outcome::Skipped("no network".to_owned())));
        report.step("three", || {
            ran += 1;
            Ok(Outcome::Ok)
        });
        report.step("four", || bail!("broken too"));
        assert_eq!(ran, 1);
        assert_eq!(report.finish().unwrap_err().to_string(), "2 of 4 steps failed: one, four");
    }

    #[test]
    fn a_skipped_step_fails_nothing_and_says_why() {
        let mut report = Report::default();
        report.step("one", || Ok(Outcome::Skipped("no network".to_owned())));
        assert_eq!(row("one", &report.rows[0].1, Duration::ZERO), "SKIPPED    0.0 s  one: no network");
        assert!(report.finish().is_ok());
    }
}
