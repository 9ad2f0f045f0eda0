//! `levee why`: the story of a request, told from the functions' logs.

use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use levee::stores::logs::is_request_id;
use levee::story::Story;

use crate::context::Context;
use crate::error::usage;
use crate::output::fields;
use crate::target::LogPlace;
use crate::when;

/// Time-out of a search in CloudWatch Logs.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(120);

/// Tell what happened to a request
///
/// The id is what the answer said in x-levee-request-id, and what every error says in request_id. On AWS this searches the
/// functions' log groups, which costs what CloudWatch Logs Insights costs; on the local stack its log files.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  levee why /I35jLf7JA2CvdI=
  levee why /I35jLf7JA2CvdI= --since 7d --json
  levee why /I35jLf7JA2CvdI= --local")]
pub(crate) struct Why {
    /// The request's id
    #[arg(value_name = "REQUEST_ID")]
    id: String,
    /// How far back to look, on AWS
    #[arg(long, value_name = "TIME", value_parser = when::duration, default_value = "24h")]
    since: Duration,
}

impl Why {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        if !is_request_id(&self.id) {
            return Err(usage("this is not a request's id: it looks like /I35jLf7JA2CvdI="));
        }
        // Find the lines in the local log files, or in CloudWatch Logs.
        let lines = match &context.target.logs {
            LogPlace::Local(folder) => lines_with(&self.id, folder)?,
            LogPlace::Aws(logs) => {
                let now = context.now();
                logs.find(&self.id, now.minus(self.since), now, SEARCH_TIMEOUT).await?
            }
        };
        let Some(story) = Story::tell(&self.id, lines.iter().map(String::as_str)) else {
            bail!(self.not_found(context))
        };
        context.output.say(&story, || {
            let told = story.sentences().iter().map(|sentence| (sentence.label, sentence.text.clone()));
            fields(&told.collect::<Vec<_>>())
        })
    }

    fn not_found(&self, context: &Context) -> String {
        match &context.target.logs {
            LogPlace::Local(folder) => format!(
                "nothing is logged about {} in {}: is it of another stack, or of one that was stopped since?",
                self.id,
                folder.display()
            ),
            LogPlace::Aws(_) => format!(
                "nothing is logged about {}: is it of another --stack, or older than --since? \
                 What was logged in the last seconds may not be found yet; try again",
                self.id
            ),
        }
    }
}

/// Returns the lines that contain `text`, of the log files in `folder`.
pub(crate) fn lines_with(text: &str, folder: &Path) -> anyhow::Result<Vec<String>> {
    let unreadable = || format!("the logs in {} cannot be read", folder.display());
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        // Skip files that are no logs.
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let file = std::fs::File::open(&path).with_context(unreadable)?;
        for line in std::io::BufReader::new(file).split(b'\n') {
            let line = String::from_utf8_lossy(&line.with_context(unreadable)?).into_owned();
            if line.contains(text) {
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_about_the_request_are_taken_and_only_from_logs() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["authorizer.log", "ai-proxy.log", "notes.txt"] {
            std::fs::write(folder.path().join(name), b"about abc=\nabout another\n\xff about abc= too\n").unwrap();
        }
        let lines = lines_with("abc=", folder.path()).unwrap();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("abc=")));
    }
}
