//! Policies: read from files, and printed as header lines.

use std::io::Read;

use anyhow::Context as _;
use levee::csp::policy::{HeaderLines, MAX_POLICY_BYTES};
use levee::csp::{Policy, ProjectName};
use serde_json::{Map, Value, json};

use super::project::find;
use crate::context::Context;
use crate::error::usage;

/// Parses the address of a stack, without a slash at its end.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'?' | b'#' | b';' | b','));
    let has_host =
        ["https://", "http://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if !is_plain || !has_host {
        return Err("it is no address such as https://api.example.com or https://api.example.com/prod".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Reads and parses a policy from a file, or from standard input for `-`.
pub(super) fn read(file: &str) -> anyhow::Result<Policy> {
    let mut text = String::new();
    // Read no more than tells that it is too long.
    let limit = u64::try_from(MAX_POLICY_BYTES).unwrap_or(u64::MAX) + 1;
    let name = if file == "-" { "standard input" } else { file };
    let read = match file {
        "-" => std::io::stdin().lock().take(limit).read_to_string(&mut text),
        file => std::fs::File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text)),
    };
    read.with_context(|| format!("the policy in {name} cannot be read"))?;
    // People paste whole header lines.
    let text = ["content-security-policy-report-only:", "content-security-policy:"]
        .into_iter()
        .find_map(|name| {
            text.get(..name.len()).filter(|begin| begin.eq_ignore_ascii_case(name)).map(|_| &text[name.len()..])
        })
        .unwrap_or(&text);
    Policy::parse(text).map_err(|error| usage(format!("{name}: {error}")))
}

/// Prints the header lines of a project's policy.
pub(super) async fn print(context: &Context, name: &ProjectName, base_url: &str) -> anyhow::Result<()> {
    // Only a policy that is set has a version that reports can name.
    let project = find(context, name).await?;
    let served = project.served().with_context(|| {
        format!("{name} has no policy yet; set one with: levee csp project set {name} --policy FILE --report-only")
    })?;
    let policy = Policy::parse(&served.text).map_err(|error| anyhow::anyhow!("the stored policy: {error}"))?;
    let HeaderLines(lines) = policy.header_lines(&format!("{base_url}/csp-reports/{name}"), served.is_report_only);
    // Print the lines as a web server takes them, or as an object for programs.
    let headers: Map<String, Value> = lines.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let value = json!({ "project": name.as_str(), "version": served.version.as_str(), "report_only": served.is_report_only, "headers": headers });
    context.output.say(&value, || {
        let lines: Vec<_> = lines.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        lines.join("\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_fits_into_a_header() {
        assert_eq!(base_url("https://api.example.com/prod/").as_deref(), Ok("https://api.example.com/prod"));
        for text in [
            "",
            "api.example.com",
            "https://",
            "https://a.example/?x",
            "https://a.example/\"",
            "https://a b",
            "ftp://a",
        ] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }
}
