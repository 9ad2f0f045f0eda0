//! `cargo xtask bench csp`: speed of reading CSP reports, compared with parsing the same bytes as JSON, in one run.

use anyhow::Context as _;
use serde_json::Value;

use crate::shell;
use crate::workspace::Workspace;

/// Smallest ratio of the two speeds that the code should keep.
const TARGET: f64 = 0.2;

/// Measure how many CSP reports one core reads in a second
///
/// Reading goes from bytes to the group: parsing, cleaning, judgement by the served policy, classification and the
/// fingerprint. It is compared with parsing the same bytes with serde_json in the same run.
#[derive(clap::Args)]
pub(crate) struct Csp {
    /// Fail if reading is slower than 0.2 times plain parsing
    #[arg(long)]
    check: bool,
}

impl Csp {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        // Build the bench with optimisations, and read what it measured.
        shell::run(&mut workspace.cargo(["build", "--package", "bench", "--profile", "fast"]))?;
        let mut bench = workspace.command(workspace.target.join("fast/bench"));
        let text = shell::output(bench.arg("csp"))?;
        let measured: Value = serde_json::from_str(text.trim()).context("the bench answered no JSON")?;
        let number = |name: &str| measured[name].as_f64().with_context(|| format!("no {name} in {text}"));
        let ratio = number("ratio")?;
        println!("reading CSP reports on one core, medians of 20 blocks of 0.2 s");
        println!(
            "  from bytes to the group  {:>9} reports/s of {} bytes",
            number("reports_per_second")?,
            number("bytes_per_report")?
        );
        println!("  plain serde_json         {:>9} reports/s", number("json_per_second")?);
        println!("  ratio                    {ratio:>9.2} (target: at least {TARGET})");
        anyhow::ensure!(!self.check || ratio >= TARGET, "reading is slower than {TARGET} times plain parsing");
        Ok(())
    }
}
