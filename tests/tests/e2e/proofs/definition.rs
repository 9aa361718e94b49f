//! The state machine's definition before two linters that know nothing of us: cfn-lint holds each state against AWS's schema, statelint
//! follows the transitions. The emulator accepts what AWS refuses.

use std::path::Path;
use std::process::Command;

use bellflower_tests::environment;
use serde_json::{Value, json};

/// What both say of each definition, by its name.
pub fn findings(definitions: &[(&str, &Value)]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    let mut templates = Vec::new();
    for (name, definition) in definitions {
        let template = json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
                "RoleArn": "arn:aws:iam::123456789012:role/machine",
                "Definition": definition,
            }}},
        });
        let path = folder.path().join(format!("{name}.json"));
        std::fs::write(&path, template.to_string()).unwrap();
        templates.push(path);

        let path = folder.path().join(format!("{name}.asl.json"));
        std::fs::write(&path, definition.to_string()).unwrap();
        // FLOAT: a BackoffRate of 2 is as good as 2.0 to AWS, and to JSON.
        let mut statelint = linter("statelint", folder.path());
        let (success, said) = run(statelint
            .args(["--eval-jsonata", "--ignore", "FLOAT"])
            .arg(&path));
        if !success {
            found.push(((*name).to_owned(), said));
        }
    }
    // One run for all, since its start takes seconds.
    let mut cfn_lint = linter("cfn-lint", folder.path());
    let (success, said) = run(cfn_lint
        .args(["--format", "json", "--regions", "eu-west-1", "--"])
        .args(&templates));
    let findings: Vec<Value> =
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(success, findings.is_empty(), "{said}");
    for finding in findings {
        let file = Path::new(finding["Filename"].as_str().unwrap_or_default());
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        found.push((name.into_owned(), finding["Message"].to_string()));
    }
    found
}

fn linter(name: &str, home: &Path) -> Command {
    let path = environment::linters().join("bin").join(name);
    assert!(
        path.is_file(),
        "there is no {}; `cargo xtask tools` installs it",
        path.display()
    );
    let mut command = Command::new(path);
    environment::isolate(&mut command, home);
    command
}

fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    // A linter that dies says so here, and must not pass for one that finds nothing.
    assert_eq!(errors, "", "{command:?}: {said}");
    (output.status.success(), said)
}
