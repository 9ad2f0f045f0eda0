//! Confirmation of changes that cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;

use crate::error::usage;
use crate::output::tame;

/// Whether somebody has said yes.
#[derive(Debug, clap::Args)]
pub(crate) struct Consent {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Consent {
    /// Asks `question`, unless `--yes` is given. Fails if the answer is not yes.
    pub(crate) fn ask(&self, question: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        // Only a terminal can be asked.
        let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
        if !stdin.is_terminal() || !stderr.is_terminal() {
            return Err(usage(format!("{question} There is no terminal to ask in: give --yes")));
        }
        // Standard output is for results, so the question goes to standard error.
        write!(stderr, "{} [y/N] ", tame(question))?;
        stderr.flush()?;
        let mut answer = String::new();
        stdin.lock().read_line(&mut answer)?;
        if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            bail!("nothing was changed");
        }
        Ok(())
    }
}
