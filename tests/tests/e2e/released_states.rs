//! States that released versions wrote: the present provider reads them, and plans nothing for what it would make the same way today.
//!
//! `provider/tests/states/VERSION/NAME.tfstate` was written by that version in account 123456789012 and region eu-west-1, from
//! `NAME.tf` beside it. They stay as they are; each release adds its own.

use std::path::{Path, PathBuf};

use bellflower_tests::{APPLY, Error, Stage, environment};
use serde_json::Value;

/// What is of the provider that applies, not of the state: the code it carries.
const CODE: &[&str] = &["package", "code_sha256"];

/// What is made otherwise today: the functions and the state machine do more, and need more for it; the topic's policy has lost
/// a statement that gave nobody anything.
const GROWN: &[&str] = &[
    ".integration.role.policy",
    ".processing.role.policy",
    ".state_machine.definition",
    ".state_machine.role.policy",
    ".topic.policy",
];

/// The saved states, by the paths of their configurations.
fn saved() -> Vec<PathBuf> {
    let folder = environment::repository().join("provider/tests/states");
    let inside = |folder: &Path| {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let versions = inside(&folder);
    versions
        .iter()
        .flat_map(|version| inside(version))
        .filter(|path| path.extension().is_some_and(|end| end == "tf"))
        .collect()
}

/// The paths of the leaves in which two values differ. What was not there before is new, and of no concern to what was.
fn differing(before: &Value, after: &Value, at: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            for name in one
                .keys()
                .chain(other.keys().filter(|name| !one.contains_key(*name)))
            {
                let part = |map: &serde_json::Map<String, Value>| {
                    map.get(name).cloned().unwrap_or_default()
                };
                differing(&part(one), &part(other), &format!("{at}.{name}"), found);
            }
        }
        _ if before == after || before.is_null() => {}
        _ => found.push(at.to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_of_every_release_are_read_and_at_rest() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let saved = saved();
    assert!(saved.len() >= 2, "{saved:?}");
    for configuration in saved {
        let name = configuration.display();
        let text = std::fs::read_to_string(&configuration).unwrap();
        let terraform = stage.beside(&text)?;
        let saved = terraform.directory().join("terraform.tfstate");
        std::fs::copy(configuration.with_extension("tfstate"), &saved).unwrap();

        // Without a refresh, for in this account there is nothing of it.
        let planned = ["plan", "-refresh=false", "-out=saved.plan", "-no-color"];
        let said = terraform.expect(&planned)?.flat();
        // What another version makes otherwise is nobody's doing, and has lost nothing.
        for loss in ["Answers that were not seen", "Open callbacks may be lost"] {
            assert!(!said.contains(loss), "{name}: {said}");
        }
        let plan: Value =
            serde_json::from_str(&terraform.expect(&["show", "-json", "saved.plan"])?.stdout)
                .unwrap();
        let change = &plan["resource_changes"][0]["change"];
        assert!(
            change["before"]["arn"].is_null() && change["before"]["name"].is_string(),
            "{name}: {change}"
        );
        assert_eq!(change["replace_paths"], Value::Null, "{name}");
        let mut found = Vec::new();
        differing(&change["before"], &change["after"], "", &mut found);
        found.retain(|path| !CODE.iter().any(|end| path.ends_with(&format!(".{end}"))));
        found.retain(|path| !GROWN.contains(&path.as_str()));
        assert_eq!(
            found,
            Vec::<String>::new(),
            "{name}: the present provider would change it"
        );

        // With one it is found to be gone, and is made again and removed like any other.
        terraform.expect(&APPLY)?;
        terraform.destroy()?;
        assert_eq!(stage.left().await?, Vec::<String>::new(), "{name}");
    }
    Ok(())
}
