//! The fields, tool types, content blocks and betas of Anthropic's Messages API that guards understand.
//!
//! As of 2026-11-30, from the request types of Anthropic's Python SDK 2.14.0 (`types/beta/message_create_params.py`,
//! `beta_tool_union_param.py`, `beta_content_block_param.py`, `anthropic_beta_param.py`) and the betas that Claude
//! Code sends. Add an entry only if [`Demands`](super::Demands) finds every model, ceiling, speed, tier, region and
//! server tool that a body can ask for by it. A place in which the API has such a name also goes into `strays::KNOWN`.

/// Top-level fields of `POST /v1/messages` and `/v1/messages/count_tokens`. `thread` is left out: it continues a
/// conversation that the provider holds, and the tools of that conversation are not in the body.
const FIELDS: &[&str] = &[
    "billing_policy",
    "cache_control",
    "compaction",
    "container",
    "context_management",
    "diagnostics",
    "fallback_credit_token",
    "fallbacks",
    "inference_geo",
    "max_tokens",
    "mcp_servers",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "user_profile_id",
];

/// Fields of an entry of `fallbacks`.
pub const FALLBACK_FIELDS: &[&str] = &["max_tokens", "model", "output_config", "speed", "thinking"];

/// Fields of the advisor tool.
pub const ADVISOR_FIELDS: &[&str] = &[
    "allowed_callers",
    "cache_control",
    "caching",
    "defer_loading",
    "max_tokens",
    "max_uses",
    "model",
    "name",
    "strict",
    "type",
];

/// Fields of a tool that the caller defines and runs.
pub const CUSTOM_TOOL_FIELDS: &[&str] = &[
    "allowed_callers",
    "cache_control",
    "defer_loading",
    "description",
    "eager_input_streaming",
    "input_examples",
    "input_schema",
    "name",
    "strict",
    "type",
];

/// Fields of a message.
pub const MESSAGE_FIELDS: &[&str] = &["clear_at", "content", "output_config", "role"];

/// Fields of `output_config`, at the top level, in a fallback and in a message.
pub const OUTPUT_FIELDS: &[&str] = &["effort", "format", "task_budget"];

/// Fields of `thinking`, at the top level and in a fallback.
pub const THINKING_FIELDS: &[&str] = &["block_binding", "budget_tokens", "display", "type"];

/// Fields of `compaction`.
pub const COMPACTION_FIELDS: &[&str] = &["instructions", "type"];

/// Types of context edits (`context_management.edits`).
pub const EDITS: &[&str] = &["clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112"];

/// Kinds of references to a tool that is added in the middle of a conversation.
pub const REFERENCES: &[&str] = &["mcp_tool_reference", "mcp_toolset_reference", "tool_definition", "tool_reference"];

/// Tool types, each with its server tool; `None` for a tool that the caller runs.
const TOOLS: &[(&str, Option<&str>)] = &[
    ("advisor_20260301", Some(ADVISOR)),
    ("bash_20241022", None),
    ("bash_20250124", None),
    ("browser_toolset_20260801", None),
    ("code_execution_20250522", Some("code_execution")),
    ("code_execution_20250825", Some("code_execution")),
    ("code_execution_20260120", Some("code_execution")),
    ("code_execution_20260521", Some("code_execution")),
    ("computer_20241022", None),
    ("computer_20250124", None),
    ("computer_20251124", None),
    ("computer_toolset_20260801", None),
    ("custom", None),
    ("mcp_toolset", Some(MCP)),
    ("memory_20250818", None),
    ("text_editor_20241022", None),
    ("text_editor_20250124", None),
    ("text_editor_20250429", None),
    ("text_editor_20250728", None),
    ("tool_search_tool_bm25", Some("tool_search")),
    ("tool_search_tool_bm25_20251119", Some("tool_search")),
    ("tool_search_tool_regex", Some("tool_search")),
    ("tool_search_tool_regex_20251119", Some("tool_search")),
    ("web_fetch_20250910", Some("web_fetch")),
    ("web_fetch_20260209", Some("web_fetch")),
    ("web_fetch_20260309", Some("web_fetch")),
    ("web_fetch_20260318", Some("web_fetch")),
    ("web_search_20250305", Some("web_search")),
    ("web_search_20260209", Some("web_search")),
    ("web_search_20260318", Some("web_search")),
];

/// Server tool with which a second model advises the first one.
pub const ADVISOR: &str = "advisor";
/// Server tool that stands for the tools of MCP servers.
pub const MCP: &str = "mcp";

/// Types of content blocks in messages.
const BLOCKS: &[&str] = &[
    "advisor_tool_result",
    "bash_code_execution_tool_result",
    "code_execution_tool_result",
    "compaction",
    "container_upload",
    "document",
    "fallback",
    "image",
    "mcp_tool_listing",
    "mcp_tool_result",
    "mcp_tool_use",
    "redacted_thinking",
    "search_result",
    "server_tool_use",
    "text",
    "text_editor_code_execution_tool_result",
    "thinking",
    TOOL_ADDITION,
    "tool_reference",
    "tool_removal",
    "tool_result",
    "tool_search_tool_result",
    "tool_use",
    "web_fetch_tool_result",
    "web_search_tool_result",
];

/// Content block that adds a tool in the middle of a conversation.
pub const TOOL_ADDITION: &str = "tool_addition";

/// Betas of the Messages API, as named in the header `anthropic-beta`.
const BETAS: &[&str] = &[
    "advanced-tool-use-2025-11-20",
    "advisor-tool-2026-03-01",
    "agent-memory-2026-07-22",
    "cache-diagnosis-2026-04-07",
    "claude-code-20250219",
    "code-execution-2025-05-22",
    "code-execution-2025-08-25",
    "compact-2026-01-12",
    "compact-2026-09-04",
    "computer-use-2024-10-22",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "dev-full-thinking-2025-05-14",
    "effort-2025-11-24",
    "extended-cache-ttl-2025-04-11",
    "fallback-credit-2026-06-01",
    "fallback-credit-2026-07-01",
    "fast-mode-2026-02-01",
    "files-api-2025-04-14",
    "fine-grained-tool-streaming-2025-05-14",
    "inline-tools-2026-09-15",
    "interleaved-thinking-2025-05-14",
    "mcp-client-2025-04-04",
    "mcp-client-2025-11-20",
    "mcp-client-2026-09-15",
    "mid-conversation-output-config-2026-07-01",
    "mid-conversation-system-2026-04-07",
    "mid-conversation-system-clear-at-2026-08-21",
    "mid-conversation-tool-changes-2026-07-01",
    "model-context-window-exceeded-2025-08-26",
    "output-128k-2025-02-19",
    "output-300k-2026-03-24",
    "pdfs-2024-09-25",
    "prompt-caching-2024-07-31",
    "prompt-caching-scope-2026-01-05",
    "redact-thinking-2026-02-12",
    "server-side-fallback-2026-06-01",
    "server-side-fallback-2026-07-01",
    "skills-2025-10-02",
    "structured-outputs-2025-11-13",
    "structured-outputs-2025-12-15",
    "task-budgets-2026-03-13",
    "thinking-binding-controls-2026-08-01",
    "thinking-display-updates-2026-08-18",
    "thinking-token-count-2026-05-13",
    "token-counting-2024-11-01",
    "token-efficient-tools-2025-02-19",
    "user-profiles-2026-03-24",
    "user-profiles-2026-08-18",
    "user-profiles-2026-09-04",
    "user-profiles-billing-2026-10-01",
];

/// Returns true if guards understand the top-level field `name`.
pub fn is_field(name: &str) -> bool {
    FIELDS.contains(&name)
}

/// Returns the server tool of a tool type, `Some(None)` for a tool that the caller runs, and `None` for a type that
/// guards do not understand.
pub fn server_tool(kind: &str) -> Option<Option<&'static str>> {
    TOOLS.iter().find(|(known, _)| *known == kind).map(|(_, server_tool)| *server_tool)
}

/// Returns true if guards understand content blocks of this type.
pub fn is_block(kind: &str) -> bool {
    BLOCKS.contains(&kind)
}

/// Returns true if guards understand the beta `name`.
pub fn is_beta(name: &str) -> bool {
    BETAS.contains(&name)
}

#[cfg(test)]
mod tests {
    use levee::accounts::terms::SERVER_TOOLS;

    use super::*;

    #[test]
    fn every_server_tool_that_a_guard_may_name_has_a_type_and_the_other_way_round() {
        let mut named: Vec<_> = TOOLS.iter().filter_map(|(_, server_tool)| *server_tool).collect();
        named.sort_unstable();
        named.dedup();
        assert_eq!(named, SERVER_TOOLS);
    }
}
