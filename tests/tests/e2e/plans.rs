//! What a plan said is what an apply does, and what the next plan finds done: also where values are unknown, or more exact than AWS keeps them.

use std::time::{Duration, Instant};

use bellflower_tests::{Error, Plan, REFRESH, Stage};
use serde_json::json;

use super::in_place::{code, zip};
use super::ownership::state_file;
use super::somebody;

/// A place that changes to what is not known yet may leave open callbacks behind as well as one that is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_not_known_yet_is_warned_of() -> Result<(), Error> {
    let lines = "  bucket = { inbound_prefix = terraform_data.place.output }\n";
    let text = Stage::text("", "orders", lines);
    let place = |prefix: &str| {
        format!("{text}resource \"terraform_data\" \"place\" {{\n  input = \"{prefix}\"\n}}\n")
    };
    let stage = Stage::new("").await?;
    stage.terraform.rewrite(&place("answers/"))?;
    stage.terraform.apply()?;
    stage.terraform.rewrite(&place("replies/"))?;
    let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
    assert!(said.contains("Open callbacks would be lost"), "{said}");
    assert!(said.contains("known only after apply"), "{said}");

    // So may a name in an object of which nothing is known.
    let object = "resource \"terraform_data\" \"place\" {\n  input = { name = \"other\", inbound_prefix = \"replies/\" }\n}\n";
    let bucket = "  bucket = { inbound_prefix = \"answers/\" }\n";
    for (argument, more) in [("queue", bucket), ("bucket", "")] {
        let line = format!("  {argument} = terraform_data.place.output\n{more}");
        let text = Stage::text("", "orders", &line);
        stage.terraform.rewrite(&format!("{text}{object}"))?;
        let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
        assert!(said.contains("A name that may change"), "{said}");
        let lost = said.contains("Open callbacks would be lost");
        assert_eq!(lost, argument == "bucket", "{said}");
    }
    Ok(())
}

/// A level of logging that is known only after apply says nothing of the role's policy before.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_level_may_come_late() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let text = Stage::text(
        "",
        "orders",
        "  state_machine = { log_level = terraform_data.level.output }\n",
    );
    for level in ["OFF", "ERROR"] {
        let level =
            format!("resource \"terraform_data\" \"level\" {{\n  input = \"{level}\"\n}}\n");
        stage.terraform.rewrite(&format!("{text}{level}"))?;
        stage.terraform.apply()?;
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

/// CloudWatch keeps fewer digits of a threshold than Terraform.
#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_may_have_more_digits_than_are_kept() -> Result<(), Error> {
    let lines = |threshold: &str| {
        format!("  alarms = {{ dead_letter_depth = {{ threshold = {threshold} }} }}\n")
    };
    let stage = Stage::new(&lines("100 / 3")).await?;
    stage.terraform.apply()?;
    for _ in 0..2 {
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
        stage.terraform.expect(&REFRESH)?;
    }
    stage.set(&lines("100 / 3 + 0.001"))?;
    assert!(matches!(stage.terraform.plan()?, Plan::Changes(_)));
    Ok(())
}

/// Other code under the same key for another architecture is other code.
#[tokio::test(flavor = "multi_thread")]
async fn code_in_s3_for_another_architecture_is_other_code() -> Result<(), Error> {
    let lines = |architecture: &str| {
        format!(
            "  processing = {{\n    s3_bucket = \"code\"\n    s3_key = \"code.zip\"\n    runtime = \"python3.13\"\n    handler = \"main.handler\"\n    \
             architectures = [\"{architecture}\"]\n  }}\n"
        )
    };
    let stage = Stage::new(&lines("x86_64")).await?;
    for architecture in ["x86_64", "arm64"] {
        let (bytes, hash) = zip(architecture);
        somebody::code(&stage, bytes).await;
        stage.set(&lines(architecture))?;
        let change = stage.change()?;
        assert_eq!(
            change["after_unknown"]["processing"]["code_sha256"],
            json!(true)
        );
        let began = Instant::now();
        stage.terraform.apply()?;
        assert!(began.elapsed() < Duration::from_secs(45), "it waited");
        assert_eq!(code(&stage).await, hash);
        assert_eq!(stage.state()?["processing"]["code_sha256"], json!(hash));
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

/// Executions keep the time-out that they began with.
#[tokio::test(flavor = "multi_thread")]
async fn what_expires_before_waiting_executions_end_is_warned_of() -> Result<(), Error> {
    let stage = Stage::new("  state_machine = { callback_timeout_seconds = 864000 }\n").await?;
    stage.terraform.apply()?;
    // Some may have begun under a longer time-out than the state's.
    for (days, warned) in [(5, true), (10, true), (400, false)] {
        stage.set(&format!("  bucket = {{ expiration_days = {days} }}\n"))?;
        let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
        let lost = said.contains("Open callbacks would be lost");
        assert_eq!(lost, warned, "{said}");
    }

    // Messages may be older than what they are to live for.
    for (seconds, warned) in [(86_400, true), (1_209_600, false)] {
        stage.set(&format!(
            "  dead_letter_queue = {{ message_retention_seconds = {seconds} }}\n"
        ))?;
        let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
        let lost = said.contains("Older messages would be lost: orders/devl, dead_letter_queue");
        assert_eq!(lost, warned, "{said}");
    }
    Ok(())
}

/// A refresh that finds nothing leaves the state as it was, so that a plan that was saved before can be applied after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_changes_no_state() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let written = state_file(&stage);
    stage.set("  queue = { delay_seconds = 3 }\n")?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;
    stage.terraform.expect(&REFRESH)?;
    assert_eq!(state_file(&stage), written);
    stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?;
    assert_eq!(stage.state()?["queue"]["delay_seconds"], json!(3));
    Ok(())
}
