//! `levee audit`: recent actions of admins and operators.

use clap::value_parser;

use crate::context::Context;
use crate::views::AuditView;

/// Show what was changed lately, on the board and by this command, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  levee audit\n  levee audit --limit 200 --json")]
pub(crate) struct Audit {
    /// How many changes to show, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u16).range(1..=1000))]
    limit: u16,
}

impl Audit {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        let entries = context.target.admins.audit_log(self.limit.into(), context.now()).await?;
        let views: Vec<_> = entries.iter().map(AuditView::new).collect();
        context.output.list(&views, AuditView::HEADERS, "nothing was changed yet", AuditView::row)
    }
}
