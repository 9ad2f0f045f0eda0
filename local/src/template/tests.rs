//! Constructs that a template may contain, and the line in each error.

use std::time::Duration;

use rstest::rstest;

use super::*;

/// An API with an authorizer, a function with a route, and a table.
const TEMPLATE: &str = "\
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: prod
      Auth:
        DefaultAuthorizer: Keys
        Authorizers:
          Keys: {FunctionPayloadType: REQUEST, FunctionArn: !GetAtt Hello.Arn, Identity: {ReauthorizeEvery: 0}}
      GatewayResponses:
        UNAUTHORIZED:
          ResponseParameters: {Headers: {x-a: context.requestId}}
          ResponseTemplates:
            application/json: |
              {\"a\": 1,
               \"b\": \"$context.error.message\"}
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/hello/
      Events:
        Get:
          Type: Api
          Properties: {Path: '/a/{id}', Method: get, RestApiId: !Ref Api}
        Often:
          Type: Schedule
          Properties: {Schedule: rate(5 minutes)}
  Rows:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: expires, Enabled: true}
";

fn read(text: &str) -> Result<Template, Mistake> {
    Template::read(text, &BTreeMap::new())
}

#[test]
fn a_template_becomes_functions_routes_schedules_and_tables() {
    let template = read(TEMPLATE).unwrap();
    let hello = &template.functions["Hello"];
    assert_eq!((hello.name.as_str(), hello.binary.as_str(), hello.timeout), ("hello", "hello", Duration::from_secs(3)));
    let route = &template.routes[0];
    assert_eq!((route.path.as_str(), &route.methods), ("/a/{id}", &Methods::One("GET".to_owned())));
    assert_eq!((route.authorizer.as_deref(), route.streaming), (Some("Keys"), false));
    assert_eq!(template.schedules[0].every, Duration::from_secs(300));
    let rows = &template.tables["Rows"];
    assert_eq!((rows.name.as_str(), rows.expires_by.as_deref()), ("Rows", Some("expires")));
    assert_eq!(rows.create["KeySchema"], serde_json::json!([{ "AttributeName": "pk", "KeyType": "HASH" }]));
    let response = &template.api.responses[&ResponseType::Unauthorized];
    assert_eq!(response.headers[0].1, HeaderSource::Context("requestId".to_owned()));
}

/// Each case replaces a part of the template; the message has to name the line of the error.
#[rstest]
#[case::api_property(
    "StageName: prod",
    "MinimumCompressionSize: 5",
    "5: the property MinimumCompressionSize of the API"
)]
#[case::auth_property("DefaultAuthorizer: Keys", "ApiKeyRequired: true", "7: the property ApiKeyRequired of Auth")]
#[case::no_such_authorizer("DefaultAuthorizer: Keys", "DefaultAuthorizer: Locks", "7: there is no authorizer Locks")]
#[case::token_authorizer("FunctionPayloadType: REQUEST", "FunctionPayloadType: TOKEN", "9: only authorizers with")]
#[case::cached_authorizer("ReauthorizeEvery: 0", "ReauthorizeEvery: 60", "9: an authorizer needs Identity.Reauth")]
#[case::identity_source(
    "{ReauthorizeEvery: 0}",
    "{Headers: [a]}",
    "9: the property Headers of an authorizer's Identity"
)]
#[case::foreign_authorizer("!GetAtt Hello.Arn", "!GetAtt Other.Arn", "9: there is no function Other")]
#[case::response_type("UNAUTHORIZED:", "UNAUTHORISED:", "11: there is no gateway response type UNAUTHORISED")]
#[case::response_property("ResponseParameters:", "Parameters:", "12: the property Parameters of a gateway response")]
#[case::header_source("context.requestId", "$context.requestId", "12: a header's value must be")]
#[case::header_variable("context.requestId", "context.requestid", "12: $context.requestid does not exist")]
#[case::body_variable("$context.error.message", "$context.error.mesage", "16: $context.error.mesage does not exist")]
#[case::body_vtl("$context.error.message", "$input.body", "16: $input.body is not substituted")]
#[case::code("functions/hello/", ".", "20: CodeUri must name the function's package")]
#[case::event_type("Type: Schedule", "Type: SQS", "25: events of type \"SQS\" are not emulated")]
#[case::event_property("Method: get", "Method: get, RequestModel: {}", "24: the property RequestModel of an Api event")]
#[case::greedy_in_the_middle("/a/{id}", "/{id+}/a", "24: the path /{id+}/a: a greedy part must be the last")]
#[case::path_shape("/a/{id}", "/a/x{id}", "24: the path /a/x{id}: this shape of part is not emulated")]
#[case::other_api("!Ref Api", "!Ref Other", "24: RestApiId must be !Ref Api")]
#[case::long_time_out(
    "Method: get",
    "Method: get, TimeoutInMillis: 29001",
    "24: TimeoutInMillis must be from 50 to 29000"
)]
#[case::route_twice(
    "Type: Schedule\n          Properties: {Schedule: rate(5 minutes)}",
    "Type: Api\n          Properties: {Path: '/a/{id}', Method: GET}",
    "25: /a/{id} is already served, by line 22"
)]
#[case::names_of_one_part(
    "Type: Schedule\n          Properties: {Schedule: rate(5 minutes)}",
    "Type: Api\n          Properties: {Path: '/a/{name}/b', Method: GET}",
    "25: {name} and {id} of line 22"
)]
#[case::cron("rate(5 minutes)", "cron(0 12 * * ? *)", "27: the schedule cron(0 12 * * ? *) is not emulated")]
#[case::intrinsic("functions/hello/", "!FindInMap [a, b, c]", "20: the intrinsic FindInMap is not emulated")]
#[case::second_api(
    "Rows:\n    Type: AWS::DynamoDB::Table",
    "Two:\n    Type: AWS::Serverless::Api",
    "31: one AWS::Serverless::Api"
)]
#[case::duplicate_key("StageName: prod", "StageName: a\n      StageName: b", "6: the key StageName is there twice")]
fn a_mistake_names_its_line(#[case] from: &str, #[case] to: &str, #[case] message: &str) {
    let broken = TEMPLATE.replacen(from, to, 1);
    assert_ne!(broken, TEMPLATE);
    let mistake = read(&broken).unwrap_err().to_string();
    assert!(mistake.starts_with(message), "{mistake}");
}

#[test]
fn a_variable_without_a_value_here_is_an_error_unless_another_takes_its_place() {
    let declared = "CodeUri: functions/hello/\n      Environment: {Variables: {CACHE: !GetAtt Redis.Address}}";
    let template = read(&TEMPLATE.replace("CodeUri: functions/hello/", declared)).unwrap();
    let hello = &template.functions["Hello"];
    let mistake = template.variables(hello, |_| None).unwrap_err();
    assert_eq!(mistake.to_string(), "21: CACHE: Redis.Address has no value on this machine");
    let variables = template.variables(hello, |name| (name == "CACHE").then(|| "here".to_owned())).unwrap();
    assert_eq!(variables["CACHE"], "here");
}

#[test]
fn conditions_leave_out_resources() {
    let text = TEMPLATE.replace("  Rows:\n", "  Rows:\n    Condition: No\n") + "Conditions:\n  No: !Equals [a, b]\n";
    assert!(read(&text).unwrap().tables.is_empty());
}

/// The product's own template, and the one of the whole-stack tests.
#[rstest]
#[case("template.yaml")]
#[case("tests/fixtures/template.yaml")]
fn the_templates_of_this_repository_are_understood(#[case] path: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path);
    Template::load(&file).unwrap();
}
