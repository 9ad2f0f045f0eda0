use http::HeaderMap;

use super::*;

fn guards(models: &[&str], max_tokens: Option<u64>) -> Guards {
    Guards { models: models.iter().map(ToString::to_string).collect(), max_tokens, ..Guards::default() }
}

/// Returns the status and message of the refusal of a message with this body.
fn refused(terms: &Terms, body: &str) -> Option<(u16, String)> {
    refused_with(terms, &HeaderMap::new(), body)
}

fn refused_with(terms: &Terms, headers: &HeaderMap, body: &str) -> Option<(u16, String)> {
    let demands = Demands::of_message(headers, body.as_bytes()).unwrap();
    let failed = check(&demands, terms).err()?;
    Some((failed.kind.status().as_u16(), failed.message))
}

fn asking(model: &str) -> String {
    format!(r#"{{"model":"{model}","max_tokens":5}}"#)
}

/// Returns the message of the refusal of a body with `written` added to it.
fn max_tokens(terms: &Terms, written: &str) -> Option<String> {
    refused(terms, &format!(r#"{{"model":"m"{written}}}"#)).map(|(_, message)| message)
}

#[test]
fn a_model_must_be_allowed_by_the_account_and_by_the_key() {
    let terms = Terms { account: guards(&["claude-haiku-*", "claude-opus-5-5"], None), ..Terms::default() };
    assert_eq!(refused(&terms, &asking("claude-haiku-5-5")), None);
    let message =
        "This account may not use the model 'claude-sonnet-5-5'. It may use: claude-haiku-*, claude-opus-5-5.";
    assert_eq!(refused(&terms, &asking("claude-sonnet-5-5")), Some((403, message.to_owned())));
    let terms = Terms { key: guards(&["claude-haiku-5-5"], None), ..terms };
    assert_eq!(refused(&terms, &asking("claude-haiku-5-5")), None);
    let message = "This key may not use the model 'claude-opus-5-5'. It may use: claude-haiku-5-5.";
    assert_eq!(refused(&terms, &asking("claude-opus-5-5")), Some((403, message.to_owned())));
    assert_eq!(refused(&Terms::default(), &asking("anything")), None);
}

#[test]
fn a_name_that_looks_like_none_is_not_repeated() {
    let terms = Terms { key: guards(&["m"], None), ..Terms::default() };
    for name in ["<b>ada@example.com</b>", &"x".repeat(200)] {
        let message = "This key may not use this model. It may use: m.".to_owned();
        assert_eq!(refused(&terms, &asking(name)), Some((403, message)));
    }
}

#[test]
fn no_more_tokens_may_be_asked_for_than_the_smaller_ceiling() {
    let terms = Terms { account: guards(&[], Some(4_096)), ..Terms::default() };
    assert_eq!(max_tokens(&terms, r#","max_tokens":4096"#), None);
    let message = "max_tokens is 9000; this account may ask for at most 4096.";
    assert_eq!(max_tokens(&terms, r#","max_tokens":9000"#).as_deref(), Some(message));
    let terms = Terms { key: guards(&[], Some(100)), ..terms };
    let message = "max_tokens is 4096; this key may ask for at most 100.";
    assert_eq!(max_tokens(&terms, r#","max_tokens":4096"#).as_deref(), Some(message));
}

#[test]
fn what_is_no_whole_number_gets_around_no_ceiling_and_is_the_providers_to_judge_without_one() {
    let terms = Terms { key: guards(&[], Some(100)), ..Terms::default() };
    let message = "max_tokens must be a whole number from 1 on; this key may ask for at most 100.";
    for written in ["1e9", "1e1", "50.0", "-1", "\"50\"", "null", "[50]", "{}", "true", "18446744073709551616"] {
        let written = format!(r#","max_tokens":{written}"#);
        assert_eq!(max_tokens(&terms, &written).as_deref(), Some(message), "{written}");
        assert_eq!(max_tokens(&Terms::default(), &written), None, "{written}");
    }
    assert_eq!(max_tokens(&terms, "").as_deref(), Some(message));
}

/// A guard, fields of a body, and the expected status and a part of the message of the refusal.
type Case<'a> = (&'a Guards, String, Option<(u16, &'a str)>);

/// Checks a guard of each kind against a body that it allows and bodies that it refuses.
#[test]
fn a_guard_holds_wherever_a_body_names_what_it_limits() {
    let values = |values: &[&str]| values.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let haiku = guards(&["claude-haiku-*"], None);
    let hundred = guards(&[], Some(100));
    let standard = Guards { speeds: values(&["standard"]), ..Guards::default() };
    let tier = Guards { service_tiers: values(&["standard_only"]), ..Guards::default() };
    let geo = Guards { inference_geos: values(&["us"]), ..Guards::default() };
    let search = Guards { server_tools: Some(values(&["web_search"])), ..Guards::default() };
    let none = Guards { server_tools: Some(BTreeSet::new()), ..Guards::default() };
    let advisor = r#"{"type":"advisor_20260301","name":"advisor","model":"claude-opus-5-5"}"#;
    let inline = |tool: &str| {
        format!(
            r#""messages":[{{"role":"system","content":[{{"type":"tool_addition","tool":{{"type":"tool_definition","definition":{tool}}}}}]}}]"#
        )
    };
    let compacted = |tool: &str| {
        format!(
            r#""messages":[{{"role":"assistant","content":[{{"type":"compaction","content":"x","tool_changes":[{{"type":"tool_addition","tool":{{"type":"tool_definition","definition":{tool}}}}}]}}]}}]"#
        )
    };
    let haiku_fallback =
        r#""fallbacks":[{"model":"claude-haiku-5-5","max_tokens":null,"thinking":{"type":"disabled"}}]"#;
    let cases: Vec<Case<'_>> = vec![
        (&haiku, String::new(), None),
        (&haiku, haiku_fallback.to_owned(), None),
        (&haiku, r#""fallbacks":null,"tools":null"#.to_owned(), None),
        (
            &haiku,
            r#""fallbacks":[{"model":"claude-haiku-5-5"},{"model":"claude-opus-5-5"}]"#.to_owned(),
            Some((403, "This key may not use the model 'claude-opus-5-5' in fallbacks[1].model. It may use: claude-haiku-*.")),
        ),
        (
            &haiku,
            r#""fallbacks":"default""#.to_owned(),
            Some((403, "fallbacks 'default' lets the AI provider choose the model. This key may use: claude-haiku-*.")),
        ),
        (&haiku, format!(r#""tools":[{{"name":"t","input_schema":{{}}}},{advisor}]"#), Some((403, "in tools[1].model."))),
        (&haiku, inline(advisor), Some((403, "in messages[0].content[0].tool.definition.model."))),
        (&haiku, r#""fallbacks":[{"model":7}]"#.to_owned(), Some((400, "The value of fallbacks[0].model is"))),
        (&haiku, r#""fallbacks":["claude-opus-5-5"]"#.to_owned(), Some((400, "The value of fallbacks[0] is"))),
        (&haiku, r#""fallbacks":{"model":"m"}"#.to_owned(), Some((400, "The value of fallbacks is"))),
        (&haiku, r#""fallbacks":[{"model":"claude-haiku-5-5","via":"x"}]"#.to_owned(), Some((400, "The field 'via' in fallbacks[0]"))),
        (&haiku, r#""second_model":"claude-opus-5-5""#.to_owned(), Some((400, "The field 'second_model' is not understood here"))),
        (&haiku, r#""thread":{"type":"create"}"#.to_owned(), Some((400, "The field 'thread'"))),
        (&haiku, r#""tools":[{"type":"advisor_20270101","model":"claude-haiku-5-5"}]"#.to_owned(), Some((400, "The tool type 'advisor_20270101' in tools[0]"))),
        (&haiku, r#""messages":[{"role":"user","content":[{"type":"delegate"}]}]"#.to_owned(), Some((400, "The content block 'delegate' in messages[0].content[0]"))),
        (&haiku, compacted(advisor), Some((403, "in messages[0].content[0].tool_changes[0].tool.definition.model."))),
        (&haiku, compacted(r#"{"name":"t","input_schema":{}}"#), None),
        (&none, compacted(advisor), Some((403, "the server tool advisor in messages[0].content[0].tool_changes[0].tool"))),
        (
            &haiku,
            r#""messages":[{"role":"system","content":[{"type":"tool_addition","tool":{"type":"tool_v2","spec":{}}}]}]"#.to_owned(),
            Some((400, "The reference to a tool 'tool_v2' in messages[0].content[0].tool")),
        ),
        (
            &haiku,
            r#""messages":[{"role":"system","content":[{"type":"tool_addition","tool":{"name":"advisor","model":"claude-opus-5-5"}}]}]"#.to_owned(),
            Some((400, "The reference to a tool")),
        ),
        (&haiku, r#""messages":[{"role":"system","content":"x","model":"claude-opus-5-5"}]"#.to_owned(), Some((400, "The field 'model' in messages[0]"))),
        (&haiku, r#""messages":[{"role":"user","content":"x","fallbacks":"default"}]"#.to_owned(), Some((400, "The field 'fallbacks' in messages[0]"))),
        (&haiku, r#""context_management":{"edits":[{"type":"compact_20260112"}]}"#.to_owned(), None),
        (
            &haiku,
            r#""context_management":{"edits":[{"type":"compact_20270112","model":"m"}]}"#.to_owned(),
            Some((400, "The context edit 'compact_20270112' in context_management.edits[0]")),
        ),
        (&haiku, r#""context_management":{"via":1}"#.to_owned(), Some((400, "The field 'via' in context_management"))),
        (&haiku, r#""compaction":{"type":"summarize","model":"m"}"#.to_owned(), Some((400, "The field 'model' in compaction"))),
        (&haiku, r#""output_config":{"effort":"low","judge":"m"}"#.to_owned(), Some((400, "The field 'judge' in output_config"))),
        (&haiku, r#""tools":[{"name":"t","input_schema":{},"runs_on":"m"}]"#.to_owned(), Some((400, "The field 'runs_on' in tools[0]"))),
        (&hundred, r#""fallbacks":[{"model":"m","max_tokens":100}]"#.to_owned(), None),
        (
            &hundred,
            r#""fallbacks":[{"model":"m","max_tokens":64000}]"#.to_owned(),
            Some((400, "fallbacks[0].max_tokens is 64000; this key may ask for at most 100.")),
        ),
        (&hundred, r#""thinking":{"type":"enabled","budget_tokens":100}"#.to_owned(), None),
        (
            &hundred,
            r#""thinking":{"type":"enabled","budget_tokens":64000}"#.to_owned(),
            Some((400, "thinking.budget_tokens is 64000; this key may ask for at most 100.")),
        ),
        (
            &hundred,
            r#""fallbacks":[{"model":"m","max_tokens":5,"thinking":{"type":"enabled","budget_tokens":64000}}]"#.to_owned(),
            Some((400, "fallbacks[0].thinking.budget_tokens is 64000")),
        ),
        (&haiku, r#""thinking":{"type":"adaptive","model":"m"}"#.to_owned(), Some((400, "The field 'model' in thinking"))),
        (
            &haiku,
            r#""tools":[{"type":"web_search_20260318","name":"web_search","summarizer":{"model":"claude-opus-5-5"}}]"#.to_owned(),
            Some((400, "The field 'model' in tools[0].summarizer")),
        ),
        (
            &haiku,
            r#""messages":[{"role":"user","content":{"type":"tool_addition"}}]"#.to_owned(),
            Some((400, "The value of messages[0].content is")),
        ),
        (
            &haiku,
            r#""system":[{"type":"tool_addition","tool":{"definition":{"model":"claude-opus-5-5"}}}]"#.to_owned(),
            Some((400, "The content block 'tool_addition' in system[0]")),
        ),
        (&hundred, format!(r#""tools":[{advisor}]"#), Some((400, "tools[0].max_tokens must be a whole number"))),
        (
            &hundred,
            r#""tools":[{"type":"advisor_20260301","name":"advisor","model":"m","max_tokens":101}]"#.to_owned(),
            Some((400, "tools[0].max_tokens is 101; this key may ask for at most 100.")),
        ),
        (&standard, r#""speed":"standard""#.to_owned(), None),
        (&standard, String::new(), None),
        (&standard, r#""speed":"fast""#.to_owned(), Some((403, "speed is 'fast'; this key may ask for: standard."))),
        (&standard, r#""fallbacks":[{"model":"m","speed":"fast"}]"#.to_owned(), Some((403, "fallbacks[0].speed is 'fast'"))),
        (&tier, r#""service_tier":"standard_only""#.to_owned(), None),
        (&tier, String::new(), Some((403, "service_tier is 'auto'; this key may ask for: standard_only."))),
        (&geo, String::new(), None),
        (&geo, r#""inference_geo":"us""#.to_owned(), None),
        (&geo, r#""inference_geo":"global""#.to_owned(), Some((403, "inference_geo is 'global'"))),
        (&search, r#""tools":[{"type":"web_search_20260318","name":"web_search"},{"type":"bash_20250124","name":"bash"}]"#.to_owned(), None),
        (
            &search,
            r#""tools":[{"type":"web_fetch_20260318","name":"web_fetch"}]"#.to_owned(),
            Some((403, "This key may not use the server tool web_fetch in tools[0]. It may use: web_search.")),
        ),
        (&search, r#""mcp_servers":[{"type":"url","url":"https://x","name":"x"}]"#.to_owned(), Some((403, "the server tool mcp in mcp_servers."))),
        (&none, r#""mcp_servers":[]"#.to_owned(), None),
        (&none, r#""tools":[{"type":"code_execution_20260521","name":"code_execution"}]"#.to_owned(), Some((403, "It may use: none."))),
    ];
    for (guards, fields, expected) in cases {
        let comma = if fields.is_empty() { "" } else { "," };
        let body = format!(r#"{{"model":"claude-haiku-5-5","max_tokens":5{comma}{fields}}}"#);
        let terms = Terms { key: guards.clone(), ..Terms::default() };
        let refused = refused(&terms, &body);
        match (&refused, expected) {
            (None, None) => {}
            (Some((status, message)), Some((expected, part))) => {
                assert!(*status == expected && message.contains(part), "{body}: {refused:?}");
            }
            _ => panic!("{body}: {refused:?}"),
        }
    }
}

#[test]
fn what_is_not_understood_passes_where_the_platform_allows_it_and_where_no_guard_limits_bodies() {
    let strict = guards(&["m"], None);
    let lenient = Guards { unknown_fields: UnknownFields::Allow, ..strict.clone() };
    let of = |account: &Guards, key: &Guards| Terms { account: account.clone(), key: key.clone(), cap: None };
    let none = Guards::default();
    let body = r#"{"model":"m","max_tokens":5,"new":1}"#;
    let whose = |terms: Terms| refused(&terms, body).map(|(_, message)| message.contains("this account"));
    assert_eq!(whose(of(&none, &none)), None);
    assert_eq!(whose(of(&lenient, &none)), None);
    assert_eq!(whose(of(&lenient, &lenient)), None);
    assert_eq!(whose(of(&strict, &lenient)), Some(true));
    assert_eq!(whose(of(&lenient, &strict)), Some(false));
}

#[test]
fn betas_are_understood_in_lists_and_in_several_lines() {
    let terms = Terms { key: guards(&["m"], None), ..Terms::default() };
    let mut headers = HeaderMap::new();
    let body = r#"{"model":"m","max_tokens":5}"#;
    headers.append("anthropic-beta", "claude-code-20250219, interleaved-thinking-2025-05-14,".parse().unwrap());
    headers.append("anthropic-beta", "advisor-tool-2026-03-01".parse().unwrap());
    assert_eq!(refused_with(&terms, &headers, body), None);
    headers.append("anthropic-beta", "prompt-caching-2024-07-31,other-models-2027-01-01".parse().unwrap());
    let message = refused_with(&terms, &headers, body).unwrap().1;
    assert!(message.starts_with("The beta 'other-models-2027-01-01' is not understood here"), "{message}");
}
