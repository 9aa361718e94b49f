//! The examples and the module's own tests, run as they stand.

use std::collections::BTreeSet;

use bellflower_tests::{Error, MiniStack, Plan, Terraform, environment, inventory};
use serde_json::Value;

use super::somebody;

/// Applies an example, sees that nothing is left to do, destroys it, and sees that nothing is left of it.
async fn comes_and_goes(emulator: &MiniStack, terraform: &Terraform) -> Result<(), Error> {
    let aws = emulator.aws();
    let before = inventory(&aws).await?;
    terraform.apply()?;
    let plan = terraform.plan()?;
    assert!(matches!(plan, Plan::NoChanges), "{plan:?}");
    assert!(inventory(&aws).await?.len() >= before.len() + 20);
    terraform.destroy()?;
    assert_eq!(inventory(&aws).await?, before, "left after destroy");
    Ok(())
}

/// The environment with these variables of the configuration.
fn with(emulator: &MiniStack, variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut environment = emulator.environment();
    let named = |(name, value): &(&str, &str)| (format!("TF_VAR_{name}"), (*value).to_owned());
    environment.extend(variables.iter().map(named));
    environment
}

#[tokio::test(flavor = "multi_thread")]
async fn basic() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let terraform = Terraform::example("basic", &emulator.environment())?;
    comes_and_goes(&emulator, &terraform).await
}

/// With every variable that it takes: the boundary and the queues are the user's and stay.
#[tokio::test(flavor = "multi_thread")]
async fn complete() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let aws = emulator.aws();
    for queue in ["audit", "work"] {
        somebody::open_queue(&aws, queue).await;
    }
    let everything = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
    let boundary = aws.iam.create_policy().policy_name("boundary");
    let boundary = boundary.policy_document(everything).send().await;
    let account = emulator.account();
    let region = emulator.region();
    let boundary = boundary.unwrap().policy.unwrap().arn.unwrap();
    let terraform = Terraform::example(
        "complete",
        &with(
            &emulator,
            &[
                ("alarm_email", "operator@example.com"),
                ("region", region),
                ("bucket", "bellflower-exchange"),
                ("permissions_boundary", &boundary),
                (
                    "audit_queue_arn",
                    &format!("arn:aws:sqs:{region}:{account}:audit"),
                ),
                (
                    "work_queue_arn",
                    &format!("arn:aws:sqs:{region}:{account}:work"),
                ),
            ],
        ),
    )?;
    comes_and_goes(&emulator, &terraform).await
}

/// The names of all that may be given, at any depth.
fn arguments(of: &Value, names: &mut BTreeSet<String>) {
    let inside = |what: &str| of[what].as_object().into_iter().flatten();
    for (name, attribute) in inside("attributes") {
        if attribute["optional"] == true || attribute["required"] == true {
            names.insert(name.clone());
            arguments(&attribute["nested_type"], names);
        }
    }
    for (name, block) in inside("block_types") {
        names.insert(name.clone());
        arguments(&block["block"], names);
    }
}

/// It says so of itself: every argument is there, set or in a comment.
#[tokio::test(flavor = "multi_thread")]
async fn complete_has_every_argument() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let terraform = Terraform::example("basic", &emulator.environment())?;
    let schema = terraform.expect(&["providers", "schema", "-json"])?.stdout;
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let schemas = schema["provider_schemas"].as_object().unwrap();
    let ours = schemas.values().next().unwrap();
    let mut names = BTreeSet::new();
    let resource = &ours["resource_schemas"]["bellflower_callback_pipeline"];
    for schema in [&ours["provider"], resource] {
        arguments(&schema["block"], &mut names);
    }
    assert!(names.len() > 100, "{names:?}");
    let file = environment::repository().join("examples/complete/main.tf");
    let text = std::fs::read_to_string(file).unwrap();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = text.split(|c| !is_word(c)).collect();
    names.retain(|name| !words.contains(name.as_str()));
    assert_eq!(names, BTreeSet::new());
    Ok(())
}

/// With nothing but what it asks for.
#[tokio::test(flavor = "multi_thread")]
async fn complete_with_an_address_only() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let environment = with(&emulator, &[("alarm_email", "operator@example.com")]);
    let terraform = Terraform::example("complete", &environment)?;
    comes_and_goes(&emulator, &terraform).await
}

#[tokio::test(flavor = "multi_thread")]
async fn module() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let terraform = Terraform::example("module", &emulator.environment())?;
    comes_and_goes(&emulator, &terraform).await
}

/// `terraform test` in the module's folder.
#[tokio::test(flavor = "multi_thread")]
async fn the_modules_own_tests() -> Result<(), Error> {
    const FOLDER: &str = "-chdir=../../terraform";
    let emulator = MiniStack::start()?;
    // The copy of an example has the module beside it, where the example looks for it.
    let terraform = Terraform::example("module", &emulator.environment())?;
    terraform.expect(&[FOLDER, "init", "-no-color"])?;
    let run = terraform.expect(&[FOLDER, "test", "-no-color"])?;
    assert!(run.stdout.contains(" passed, 0 failed"), "{}", run.stdout);
    assert_eq!(
        inventory(&emulator.aws()).await?,
        Vec::<String>::new(),
        "it only plans"
    );
    Ok(())
}
