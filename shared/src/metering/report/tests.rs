//! Tests of reports, with the lines of a small month.

use super::*;
use crate::config::from_lookup;

const PRICES: &str = r#"{"claude-haiku-5-5":{"input":1,"output":5,"web_search":0.01},"*":{"geo":{"us":1}},"claude-sonnet-5-5":{"input":3,"output":15}}"#;

fn line(day: u8, integration: &str, model: &str, input: i64, output: i64) -> UsageLine {
    let kind = if integration == "operator" { IntegrationKind::AiOperator } else { IntegrationKind::Customer };
    let tally = Tally { calls: 1, input, output, ..Tally::default() };
    let served = format!("{model}-20261013");
    let service = Service { model: served, geo: "us".to_owned(), ..Service::default() };
    let (integration, model, provider) = (integration.to_owned(), model.to_owned(), "primary".to_owned());
    UsageLine { day, integration, kind, model, provider, service, tally }
}

fn lines() -> Vec<UsageLine> {
    let mut lines = vec![
        line(1, "crm", "claude-haiku-5-5", 100, 20),
        line(1, "operator", "claude-haiku-5-5", 10, 2),
        line(21, "operator", "claude-sonnet-5-5", 4_000, 1_000),
    ];
    let tally = &mut lines[1].tally;
    (tally.further_attempts, tally.web_searches, tally.web_fetches, tally.estimated_calls) = (1, 2, 1, 1);
    lines[2].provider = "backup".to_owned();
    lines
}

fn report(lines: &[UsageLine], cap: Option<TokenCap>) -> UsageReport {
    let prices = from_lookup(|_| Some(PRICES.to_owned()), Prices::read).unwrap();
    let month: Month = "2026-11".parse().unwrap();
    let now = Timestamp::from_secs(month.begins_at().as_secs() + 15 * 24 * 3_600);
    UsageReport::new("acme", month, lines, 2, cap, Counts::default(), &prices, now)
}

#[test]
fn a_report_has_the_month_as_a_whole_and_in_its_parts() {
    let cap = TokenCap { limit: 6_000, mode: CapMode::Warn };
    let expected = r#"{"account":"acme","month":"2026-11",
        "totals":{"calls":3,"attempts":4,"input":4110,"output":1022,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,
                "counted":5132,"estimated_calls":1,"web_searches":2,"web_fetches":1,"cost_usd":"0.04722","open_calls":2},
        "cap":{"limit":6000,"mode":"warn","percent":85,"projected":10264},
        "by_model":[
            {"model":"claude-sonnet-5-5","calls":1,"attempts":1,"input":4000,"output":1000,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,
                "counted":5000,"estimated_calls":0,"cost_usd":"0.027"},
            {"model":"claude-haiku-5-5","calls":2,"attempts":3,"input":110,"output":22,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,
                "counted":132,"estimated_calls":1,"web_searches":2,"web_fetches":1,"cost_usd":"0.02022"}],
        "by_served":[
            {"provider":"backup","model":"claude-sonnet-5-5-20261013",
                "calls":1,"attempts":1,"input":4000,"output":1000,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,
                "counted":5000,"estimated_calls":0,"cost_usd":"0.027"},
            {"provider":"primary","model":"claude-haiku-5-5-20261013",
                "calls":2,"attempts":3,"input":110,"output":22,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,
                "counted":132,"estimated_calls":1,"web_searches":2,"web_fetches":1,"cost_usd":"0.02022"}],
        "by_integration":[
            {"integration":"operator","kind":"ai-operator",
                "calls":2,"attempts":3,"input":4010,"output":1002,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,
                "counted":5012,"estimated_calls":1,"web_searches":2,"web_fetches":1,"cost_usd":"0.04702"},
            {"integration":"crm","kind":"customer","calls":1,"attempts":1,"input":100,"output":20,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,
                "counted":120,"estimated_calls":0,"cost_usd":"0.0002"}],
        "by_day":[
            {"date":"2026-11-01","calls":2,"attempts":3,"input":110,"output":22,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,
                "counted":132,"estimated_calls":1,"web_searches":2,"web_fetches":1,"cost_usd":"0.02022"},
            {"date":"2026-11-21","calls":1,"attempts":1,"input":4000,"output":1000,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,
                "counted":5000,"estimated_calls":0,"cost_usd":"0.027"}]}"#;
    let told = serde_json::to_string(&report(&lines(), Some(cap))).unwrap();
    assert_eq!(told, expected.replace(char::is_whitespace, ""));
}

#[test]
fn a_month_without_calls_is_all_nought_and_one_without_a_cap_says_null() {
    let report = serde_json::to_value(report(&[], None)).unwrap();
    assert_eq!(report["totals"]["counted"], 0);
    assert_eq!(report["totals"]["cost_usd"], "0.00");
    assert_eq!((&report["cap"], &report["by_day"]), (&serde_json::Value::Null, &serde_json::json!([])));
}

#[test]
fn a_sum_has_a_cost_only_where_all_its_parts_have_one() {
    let mut lines = lines();
    lines.push(line(21, "crm", "claude-unheard-of", 1, 1));
    let report = report(&lines, None);
    let known = |used: &[Used]| used.iter().map(|used| used.cost_usd.is_some()).collect::<Vec<_>>();
    assert_eq!(report.totals.used.cost_usd, None);
    assert_eq!(known(&report.by_day.iter().map(|it| it.used).collect::<Vec<_>>()), [true, false]);
    assert_eq!(known(&report.by_integration.iter().map(|it| it.used).collect::<Vec<_>>()), [true, false]);
    assert_eq!(known(&report.by_model.iter().map(|it| it.used).collect::<Vec<_>>()), [true, true, false]);
}

#[test]
fn what_an_earlier_version_wrote_is_in_a_report_under_the_model_that_was_asked_for() {
    let tally = Tally { calls: 1, input: 1_000_000, ..Tally::default() };
    let (provider, service) = (String::new(), Service::default());
    let earlier = UsageLine { provider, service, tally, ..line(1, "crm", "claude-haiku-5-5", 0, 0) };
    let batch = UsageLine { tally: Tally { other_tier_calls: 1, ..tally }, ..earlier.clone() };
    let report = report(std::slice::from_ref(&earlier), None);
    let served = &report.by_served[0];
    assert_eq!((served.provider.as_deref(), served.model.as_str()), (None, "claude-haiku-5-5"));
    assert_eq!((served.used.attempts, served.used.cost_usd.map(|it| it.to_string())), (1, Some("1.00".to_owned())));
    assert!(csv([&report]).contains("1000000,0,0,0,0,0,0,1000000,1.00,1,,,,,,0\r\n"), "{}", csv([&report]));
    assert_eq!(self::report(&[batch], None).totals.used.cost_usd, None);
}

#[test]
fn a_table_has_one_line_per_day_integration_model_and_way_of_serving() {
    let expected = [
        "account,date,integration,kind,model,calls,estimated_calls,input,output,cache_read,cache_write_5m,\
            cache_write_1h,web_searches,web_fetches,counted,cost_usd,\
            attempts,provider,served,tier,speed,geo,prompt_above\r\n",
        "acme,2026-11-01,crm,customer,claude-haiku-5-5,1,0,100,20,0,0,0,0,0,120,0.0002,\
            1,primary,claude-haiku-5-5-20261013,standard,,us,0\r\n",
        "acme,2026-11-01,operator,ai-operator,claude-haiku-5-5,1,1,10,2,0,0,0,2,1,12,0.02002,\
            2,primary,claude-haiku-5-5-20261013,standard,,us,0\r\n",
        "acme,2026-11-21,operator,ai-operator,claude-sonnet-5-5,1,0,4000,1000,0,0,0,0,0,5000,0.027,\
            1,backup,claude-sonnet-5-5-20261013,standard,,us,0\r\n",
    ];
    assert_eq!(csv([&report(&lines(), None)]), expected.concat());
}

#[test]
fn what_somebody_named_is_quoted_and_never_a_formula() {
    let names = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a,\"b\"", "a\nb", "plain-1"];
    let lines = names.map(|model| line(1, "crm", model, 1, 1));
    let table = csv([&report(&lines, None)]);
    for cell in ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "\"'\rx\"", "\"a,\"\"b\"\"\"", "\"a\nb\"", "plain-1"] {
        assert!(table.contains(&format!(",customer,{cell},1,0,1,1,")), "{cell} is not in {table}");
    }
    let mut reader = ::csv::Reader::from_reader(table.as_bytes());
    assert!(reader.records().all(|record| record.unwrap().len() == super::csv::COLUMNS.len()));
}
