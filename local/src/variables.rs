//! The environment of a function: what Lambda sets, what the template gives, and what this machine puts in its place.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;

use crate::{
    bindings,
    template::{Function, REGION, Template},
};

/// A variable of levee-local's own environment; one set to nothing counts as unset. Nothing else in this package reads it.
#[expect(clippy::disallowed_methods, reason = "the one place; the local stack has no levee::config")]
pub(crate) fn own(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where a function's variables come from besides the template.
pub(crate) struct Sources<'a> {
    /// Of bindings.rs.
    pub(crate) bindings: &'a BTreeMap<String, String>,
    pub(crate) dynamodb_url: &'a str,
    pub(crate) clock_file: &'a Path,
    pub(crate) bin_dir: &'a Path,
    pub(crate) template_file: &'a Path,
}

/// The variables that the template declares, by `sam local`'s order of precedence: levee-local's own environment, then
/// this machine's bindings, then the template's value. [`bindings::ONLY_OURS`] are left to the bindings.
pub(crate) fn declared(
    template: &Template,
    function: &Function,
    sources: &Sources<'_>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let instead = |name: &str| {
        let own = if bindings::ONLY_OURS.contains(&name) { None } else { own(name) };
        own.or_else(|| sources.bindings.get(name).cloned())
    };
    template
        .variables(function, instead)
        .map_err(|mistake| anyhow::anyhow!("{}:{mistake}", sources.template_file.display()))
        .with_context(|| format!("the variables of {}", function.name))
}

/// The whole environment of a function's process, but for what differs between its environments. Names and values of
/// Lambda's own: "Defined runtime environment variables" (configuration-envvars.html).
pub(crate) fn all(
    function: &Function,
    declared: &BTreeMap<String, String>,
    sources: &Sources<'_>,
) -> Vec<(String, String)> {
    const PASSED_ON: [&str; 5] = ["PATH", "RUST_LOG", "RUST_BACKTRACE", "SSL_CERT_FILE", "LLVM_PROFILE_FILE"];
    let passed_on = PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), own(name)?)));
    let fixed = [
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_SESSION_TOKEN", "local".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", sources.dynamodb_url.to_owned()),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", bindings::log_group(&function.name)),
        ("LAMBDA_TASK_ROOT", sources.bin_dir.display().to_string()),
        ("LEVEE_CLOCK_OFFSET_FILE", sources.clock_file.display().to_string()),
        ("TZ", ":UTC".to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
    ];
    let fixed = fixed.map(|(name, value)| (name.to_owned(), value));
    let declared = declared.iter().map(|(name, value)| (name.clone(), value.clone()));
    // Later ones win: nothing takes the address of the stores from the stack.
    passed_on.chain(declared).chain(fixed).collect()
}
