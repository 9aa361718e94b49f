//! The operator's question: which execution waits for whom?

use std::time::Duration;

use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{APPLY, Error, Plan, Stage, Terraform};

use super::somebody;

const LIMIT: Duration = Duration::from_mins(1);

/// A configuration of nothing but the data source.
fn text(arguments: &str) -> String {
    format!(
        "terraform {{\n required_providers {{\n  bellflower = {{ source = \"bellflower/bellflower\" }}\n }}\n}}\n\
         data \"bellflower_pending_callbacks\" \"it\" {{\n{arguments}\n}}\n"
    )
}

/// The example, on a pipeline of which one execution waits, and then none.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_without_the_token() -> Result<(), Error> {
    let arguments = "  state_machine = { callback_timeout_seconds = 7200 }";
    let (stage, proxy) = Stage::behind_proxy(arguments).await?;
    let operator = Terraform::example("pending-callbacks", &proxy.environment())?;

    let said = operator.refuse(&APPLY)?;
    assert!(said.contains("State machine not found"), "{said}");
    assert!(
        said.contains("bellflower_callback_pipeline.NAME.name"),
        "{said}"
    );
    assert!(said.contains("name = \"orders\""), "{said}");

    stage.terraform.apply()?;
    let pipeline = stage.pipeline()?;
    let waiting = |operator: &Terraform| -> Result<Vec<String>, Error> {
        operator.apply()?;
        let all = operator.outputs()?;
        let lines = all["waiting"].as_array().cloned().unwrap_or_default();
        Ok(lines.iter().map(ToString::to_string).collect())
    };
    assert_eq!(waiting(&operator)?, Vec::<String>::new());

    let execution = pipeline.start("{}").await?;
    let id = pipeline.new_exchange(&[], LIMIT).await?;
    let name = execution.rsplit(':').next().unwrap_or_default();
    // An account that many ask at once.
    for operation in ["states:ListExecutions", "states:GetExecutionHistory"] {
        proxy.inject(Rule::before(Fault::Throttle).on(operation).first(2));
    }
    let lines = waiting(&operator)?;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains(&format!("{name} waits since 20")),
        "{lines:?}"
    );
    assert!(
        lines[0].contains(&format!("outbound/{id}/data.json")),
        "{lines:?}"
    );
    let left = lines[0]
        .split(", ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let left: u32 = left.and_then(|seconds| seconds.parse().ok()).unwrap();
    assert!((7000..=7200).contains(&left), "{lines:?}");
    // An ARN does not tell of which environment it is.
    let machine = stage.state()?["state_machine"]["arn"].clone();
    let by_arn = format!("state_machine_arn = {machine}");
    let output = "output \"it\" {\n value = data.bellflower_pending_callbacks.it\n}\n";
    let by_arn = format!("{}{output}", text(&by_arn));
    let by_arn = Terraform::configuration(&by_arn, &proxy.environment())?;
    by_arn.apply()?;
    let found = &by_arn.outputs()?["it"];
    assert!(found["environment"].is_null(), "{found}");
    assert_eq!(found["callbacks"].as_array().map(Vec::len), Some(1));
    let few = text("name = \"orders\"\nmax_executions = 1");
    let few = Terraform::configuration(&few, &proxy.environment())?;
    let said = few.expect(&["plan", "-no-color"])?.flat();
    assert!(said.contains("Not all executions were looked at"), "{said}");
    let token = pipeline
        .object(&format!("outbound/{id}/task_token.txt"))
        .await?;
    let file = operator.directory().join("terraform.tfstate");
    let remembered = std::fs::read_to_string(&file).unwrap();
    assert!(remembered.contains(&id) && !remembered.contains(token.trim()));

    pipeline.answer(&id, "{}").await?;
    pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(waiting(&operator)?, Vec::<String>::new());
    pipeline.clear().await?;
    stage.terraform.destroy()?;
    Ok(())
}

/// That nobody waits is no answer where nobody can.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_something_else_is_told() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let role = somebody::role(&stage.aws, "other").await;
    let create = stage.aws.sfn.create_state_machine().name("other");
    let create = create.role_arn(role);
    let create =
        create.definition(r#"{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}"#);
    let arn = create.send().await.unwrap().state_machine_arn;
    let asks = |arn: &str| text(&format!("state_machine_arn = \"{arn}\""));
    let operator = stage.beside(&asks(&arn))?;
    let said = operator.expect(&["plan", "-no-color"])?.flat();
    assert!(said.contains("No callback pipeline"), "{said}");
    let abroad = arn.replace("eu-west-1", "eu-north-1");
    operator.rewrite(&asks(&abroad))?;
    let said = operator.refuse(&["plan", "-no-color"])?;
    for words in ["is in eu-north-1", "works in eu-west-1"] {
        assert!(said.contains(words), "no {words} in: {said}");
    }
    Ok(())
}

/// Mistakes are told at their attribute, and nobody is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_question_is_told_at_its_place() -> Result<(), Error> {
    let terraform = Terraform::configuration(&text("name = \"orders\""), &[])?;
    for (arguments, part) in [
        ("", "Give either `name`"),
        ("name = \"orders\"\nmax_executions = 0", "from 1 to 100000"),
        (
            "name = \"orders\"\noutbound_prefix = \"out\"",
            "end with `/`",
        ),
        ("state_machine_arn = \"orders\"", "no ARN"),
    ] {
        terraform.rewrite(&text(arguments))?;
        let said = terraform.refuse(&["validate", "-no-color"])?;
        assert!(said.contains(part), "{arguments}: {said}");
    }
    Ok(())
}

/// Beside its pipeline it is read after that is made, and keeps nobody from destroying what a destroy has left.
#[tokio::test(flavor = "multi_thread")]
async fn beside_its_pipeline_it_refers_to_that() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let data = "data \"bellflower_pending_callbacks\" \"it\" {\n  name = bellflower_callback_pipeline.this.name\n}\n";
    let pipeline = Stage::text("", "orders", "");
    stage.terraform.rewrite(&format!("{pipeline}\n{data}"))?;
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    somebody::delete_machine(&stage).await;
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}
