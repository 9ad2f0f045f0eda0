use proptest::prelude::*;

use super::*;

fn of_message(body: &str) -> Demands {
    Demands::of_message(&HeaderMap::new(), body.as_bytes()).unwrap()
}

fn demands(body: &str) -> Vec<(String, Demand)> {
    of_message(body).0
}

fn some(place: &str, demand: Demand) -> (String, Demand) {
    (place.to_owned(), demand)
}

#[test]
fn what_a_message_leaves_out_has_the_providers_default() {
    let model = some("model", Demand::Model("m".to_owned()));
    let speed = |speed: &str| some("speed", Demand::Speed(speed.to_owned()));
    let tier = |tier: &str| some("service_tier", Demand::ServiceTier(tier.to_owned()));
    let most = |most| some("max_tokens", Demand::MaxTokens(most));
    assert_eq!(demands(r#"{"model":"m"}"#), [model.clone(), most(None), speed("standard"), tier("auto")]);
    let body = r#"{"max_tokens":7,"model":"m","service_tier":"standard_only","speed":"fast"}"#;
    assert_eq!(demands(body), [most(Some(7)), model.clone(), tier("standard_only"), speed("fast")]);
    let body = r#"{"model":"m","speed":null,"service_tier":null,"inference_geo":null}"#;
    assert_eq!(demands(body), [model.clone(), most(None), speed("standard"), tier("auto")]);
    let count = Demands::of_count(&HeaderMap::new(), br#"{"model":"m","max_tokens":9}"#).unwrap();
    assert_eq!(count.0, [model], "a count of tokens asks for none");
}

#[test]
fn a_field_that_is_there_twice_is_refused_wherever_it_stands() {
    for body in [
        r#"{"model":"m","tools":[],"tools":[{"type":"advisor_20260301","model":"opus"}]}"#,
        r#"{"model":"m","tools":[],"to\u006fls":[]}"#,
        r#"{"model":"m","fallbacks":[{"model":"haiku","model":"opus"}]}"#,
        r#"{"model":"m","tools":[{"type":"custom","type":"advisor_20260301","model":"opus"}]}"#,
        r#"{"model":"m","messages":[{"content":[],"content":[]}]}"#,
        r#"{"model":"m","messages":[{"content":[{"type":"text","type":"tool_addition"}]}]}"#,
        r#"{"model":"m","messages":[{"content":[{"type":"tool_addition","tool":{"definition":{},"definition":{}}}]}]}"#,
    ] {
        let error = Demands::of_message(&HeaderMap::new(), body.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("duplicate field"), "{body}: {error}");
    }
}

#[test]
fn names_are_read_however_they_are_spelled() {
    let body = r#"{"\u006dodel":"\u006d","f\u0061llbacks":"default","max_tok\u0065ns":9}"#;
    let demands = demands(body);
    for demand in [Demand::Model("m".to_owned()), Demand::AnyModel, Demand::MaxTokens(Some(9))] {
        assert!(demands.iter().any(|(_, there)| *there == demand), "{demand:?}");
    }
    let escaped = r#"{"model":"m","fallbacks":"d\u0065fault"}"#;
    assert!(of_message(escaped).iter().any(|(_, demand)| *demand == Demand::AnyModel));
}

#[test]
fn what_tools_and_blocks_hold_for_the_model_is_not_looked_into() {
    let body = r#"{"model":"m","max_tokens":1,
        "tools":[{"name":"t","input_schema":{"properties":{"model":{"type":"advisor_20260301"}},"model":"opus"}}],
        "messages":[{"role":"user","content":"max_tokens"},
            {"role":"assistant","content":[{"type":"tool_use","id":"1","name":"t","input":{"model":"opus","model":"b"}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"new"}]}]},
            {"role":"system","content":[{"type":"tool_addition","tool":{"type":"tool_reference","name":"t"}}]}],
        "system":[{"type":"text","text":"fallbacks"}],"metadata":{"user_id":"model"}}"#;
    let places: Vec<_> = demands(body).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["max_tokens", "model", "speed", "service_tier"]);
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(body in "[\\[\\]{}\",:a-z0-9\\\\ ]{0,60}") {
        let _ = Demands::of_message(&HeaderMap::new(), body.as_bytes());
    }
}
