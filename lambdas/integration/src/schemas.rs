//! The schemas in `docs/schemas` and the functions agree on every file of an exchange.

use bellflower_contract::{Answer, ExecutionId, MAX_CAUSE_CHARS, MAX_ERROR_CHARS};
use jsonschema::Validator;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::answer::read;
use crate::memory::{Machine, Memory, run};

/// The schema of a file, itself checked against its draft, with its examples.
fn schema(text: &str) -> (Validator, Vec<Value>) {
    let schema: Value = serde_json::from_str(text).unwrap();
    let draft = "https://json-schema.org/draft/2020-12/schema";
    assert_eq!(schema["$schema"], draft);
    jsonschema::meta::validate(&schema).unwrap();
    let examples = schema["examples"].as_array().unwrap().clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for example in &examples {
        assert!(validator.is_valid(example), "{example}");
    }
    (validator, examples)
}

const SUCCESS: &str = include_str!("../../../docs/schemas/success.schema.json");
const FAILURE: &str = include_str!("../../../docs/schemas/failure.schema.json");
const HEARTBEAT: &str = include_str!("../../../docs/schemas/heartbeat.schema.json");
const DATA: &str = include_str!("../../../docs/schemas/data.schema.json");
const ERROR: &str = include_str!("../../../docs/schemas/error.schema.json");

/// Every kind of value there is.
fn values() -> Vec<Value> {
    vec![
        json!({}),
        json!([]),
        json!(["e", "c"]),
        json!("text"),
        json!(""),
        json!(1.5),
        json!(true),
        json!(null),
    ]
}

#[test]
fn an_answer_is_good_for_the_schema_and_the_function_or_for_neither() {
    let failures = [
        json!({"error": "E"}),
        json!({"cause": "c"}),
        json!({"error": null, "cause": null}),
        json!({"error": " ", "cause": ""}),
        json!({"error": "E", "cause": "c", "more": {"error": 7}}),
        json!({"error": "é".repeat(MAX_ERROR_CHARS), "cause": "🌸".repeat(MAX_CAUSE_CHARS)}),
        json!({"error": "é".repeat(MAX_ERROR_CHARS + 1)}),
        json!({"cause": "🌸".repeat(MAX_CAUSE_CHARS + 1)}),
        json!({"error": 7}),
        json!({"cause": ["c"]}),
        json!({"error": "States.Timeout"}),
        json!({"error": "SQS.AmazonSQSException"}),
        json!({"error": "StatesOfMatter"}),
        json!({"error": "Orders.States.Odd"}),
    ];
    for (answer, text) in [
        (Answer::Success, SUCCESS),
        (Answer::Failure, FAILURE),
        (Answer::Heartbeat, HEARTBEAT),
    ] {
        let (validator, examples) = schema(text);
        let (mut good, mut bad) = (0, 0);
        for value in values().iter().chain(&failures).chain(&examples) {
            let body = value.to_string();
            let read = read(answer, "k", body.as_bytes());
            assert_eq!(validator.is_valid(value), read.is_ok(), "{answer:?} {body}");
            *(if read.is_ok() { &mut good } else { &mut bad }) += 1;
        }
        assert!(good > 0);
        assert_eq!(bad > 0, answer == Answer::Failure);
    }
}

#[test]
fn the_work_is_as_its_schema_says() {
    let (validator, _) = schema(DATA);
    for input in values() {
        let input: Box<RawValue> = serde_json::from_str(&input.to_string()).unwrap();
        let id = ExecutionId::parse("3f0c0a0e-7c0f-4e39-9c1c-0c8a3e2b6a55").unwrap();
        let payload = bellflower_processing::process(&input, id).unwrap();
        let work: Value = serde_json::from_str(payload.to_json().unwrap().get()).unwrap();
        assert!(validator.is_valid(&work), "{work}");
        let known = work.as_object().unwrap().len();
        assert_eq!(known, 4, "every field is in the schema: {work}");
    }
    for id in [
        "e-1",
        "...",
        ".",
        "..",
        "",
        "a/b",
        "a b",
        "é",
        "a\n",
        &"x".repeat(128),
        &"x".repeat(129),
    ] {
        let work = json!({"execution_id": id});
        assert_eq!(
            validator.is_valid(&work),
            ExecutionId::parse(id).is_ok(),
            "{id:?}"
        );
    }
    for work in [json!({}), json!({"execution_id": 7}), json!("e-1")] {
        assert!(!validator.is_valid(&work), "{work}");
    }
}

#[tokio::test]
async fn the_note_about_a_refused_answer_is_as_its_schema_says() {
    let (validator, _) = schema(ERROR);
    let key = "inbound/e-1/success.json";
    let store = Memory::with(&[("outbound/e-1/task_token.txt", "AQB8a"), (key, "OK")]);
    let (done, _) = run(&store, &Machine::default(), async |exchanges| {
        exchanges.close(key, std::time::Duration::ZERO).await
    })
    .await;
    assert_eq!(done, Ok(()));
    let note = store.text("outbound/e-1/error.json").unwrap();
    let note: Value = serde_json::from_str(&note).unwrap();
    assert!(validator.is_valid(&note), "{note}");
    for bad in [
        json!({}),
        json!({"error": "Other", "cause": "c", "key": "k"}),
        json!({"error": "Bellflower.InvalidAnswer", "cause": 7, "key": "k"}),
    ] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}
