//! Starts the intake of CSP reports.

use csp_report::{CspReportConfig, CspReportState, handle};
use lambda_http::Error;
use levee::function::Function;
use levee::http::run_buffered;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::begin("csp-report");
    let state = &function.start(CspReportConfig::read, |config| &config.common, CspReportState::new).await?;
    run_buffered(&function, |request| handle(state, request)).await
}
