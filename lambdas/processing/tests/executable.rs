//! The real executable in a fake Lambda.

// One fake of the runtime API serves both functions' tests.
#[path = "../../integration/tests/fakes/http.rs"]
mod http;
#[path = "../../integration/tests/fakes/lambda.rs"]
mod lambda;

use lambda::{Lambda, Outcome};
use serde_json::json;

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_bellflower-processing");

#[test]
fn each_invocation_makes_a_payload_with_an_execution_id_of_its_own() {
    let lambda = Lambda::start(EXECUTABLE, &[]);
    let mut ids = Vec::new();
    for (input, info) in [
        (json!({"Comment": "an order", "n": 1}), "an order"),
        (json!([1, 2]), "The input has no Comment."),
    ] {
        let Outcome::Response(payload) = lambda.invoke(&input.to_string()) else {
            panic!("{input} failed");
        };
        assert_eq!(payload["info"], info);
        assert_eq!(payload["status_code"], 200);
        assert_eq!(payload["input"], input);
        ids.push(payload["execution_id"].as_str().unwrap().to_owned());
    }
    assert!(ids.iter().all(|id| id.len() == 36));
    assert_ne!(ids[0], ids[1]);
    let lines = lambda.stop();
    assert_eq!(lines[0]["message"], "input processed");
    assert_eq!(lines[0]["execution_id"], json!(ids[0]));
}

#[test]
fn it_fails_on_demand_and_goes_on() {
    let lambda = Lambda::start(EXECUTABLE, &[]);
    assert_eq!(
        lambda.invoke(r#"{"simulate_failure": "out of paper"}"#),
        Outcome::Error {
            kind: "Bellflower.SimulatedFailure".to_owned(),
            message: "out of paper".to_owned(),
        }
    );
    assert!(matches!(lambda.invoke("{}"), Outcome::Response(_)));
    let lines = lambda.stop();
    assert_eq!(lines[0]["message"], "processing failed");
    assert_eq!(lines[0]["error"], "Bellflower.SimulatedFailure");
}

#[test]
fn an_input_that_is_too_long_is_refused_in_words() {
    let lambda = Lambda::start(EXECUTABLE, &[]);
    let Outcome::Error { kind, message } = lambda.invoke(&format!("\"{}\"", "x".repeat(260_000)))
    else {
        panic!("it was taken");
    };
    assert_eq!(kind, "Bellflower.WorkTooLong");
    assert!(message.contains("253952"), "{message}");
    assert_eq!(lambda.stop()[0]["message"], "processing failed");
}
