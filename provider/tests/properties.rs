//! The list of all properties of all parts, which the end-to-end test of drift goes through.

use std::collections::BTreeSet;

use serde_json::json;
use terraform_provider_bellflower::documents::Place;
use terraform_provider_bellflower::pipeline::plan::{Known, recorded};

/// A part a line: where it stands, and the properties in which it may differ from what it should be.
const LISTED: &str = include_str!("../../tests/tests/e2e/drift/properties.txt");

#[test]
fn every_property_of_every_part_is_listed() {
    let state = json!({
        "name": "orders",
        "processing": {"code_sha256": "known"},
        "integration": {"code_sha256": "known"},
        "dashboard": {},
        "subscriptions": {"listener": {"protocol": "sqs", "endpoint": "arn:aws:sqs:eu-west-1:123456789012:listener"}},
    });
    let known = Known {
        place: Some(Place {
            partition: "aws".to_owned(),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
        }),
        ..Known::default()
    };
    let blueprint = recorded(state.as_object().unwrap(), &known).unwrap();
    let lines: BTreeSet<String> = blueprint
        .nodes
        .iter()
        .map(|node| {
            let desired = node.part.desired();
            let names: Vec<&str> = desired.keys().map(String::as_str).collect();
            format!("{}: {}\n", node.path.join("."), names.join(" "))
        })
        .collect();
    let lines: String = lines.into_iter().collect();
    assert!(
        lines == LISTED,
        "tests/tests/e2e/drift/properties.txt has to be:\n{lines}"
    );
}
