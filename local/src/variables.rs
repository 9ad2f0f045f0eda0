//! The environment of a function: variables that Lambda sets, those of the template, and this machine's overrides.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;

use crate::{
    bindings,
    template::{Function, REGION, Template},
};

/// Returns a variable of levee-local's own environment; an empty one counts as unset. All of this package reads
/// variables through this function.
#[expect(clippy::disallowed_methods, reason = "the one place; the local stack has no levee::config")]
pub(crate) fn own(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Sources of a function's variables besides the template.
pub(crate) struct Sources<'a> {
    /// Result of [`bindings::overrides`].
    pub(crate) bindings: &'a BTreeMap<String, String>,
    pub(crate) dynamodb_url: &'a str,
    pub(crate) clock_file: &'a Path,
    pub(crate) bin_dir: &'a Path,
    pub(crate) template_file: &'a Path,
}

/// Returns the variables that the template declares, in `sam local`'s order of precedence: levee-local's own
/// environment, then this machine's bindings, then the template's value. The own environment is ignored for
/// [`bindings::ONLY_OURS`].
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

/// Returns the environment of a function's process, without the variables that differ between its environments.
/// Lambda's own names and values: "Defined runtime environment variables" (configuration-envvars.html).
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
    // Later entries override earlier ones: nothing replaces the stack's own addresses of the stores.
    passed_on.chain(declared).chain(fixed).collect()
}
