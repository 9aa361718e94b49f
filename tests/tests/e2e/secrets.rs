//! What nobody may find anywhere: keys, session tokens, passwords and task tokens, with every log at its most talkative.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellflower_tests::{APPLY, Aws, DESTROY, Error, Pipeline, Plan, Run, Stage, Terraform};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);
const RESOURCE: &str = "bellflower_callback_pipeline";

const SECRET_KEY: &str = "wJalrXUtnFEMI-recognised-secret-key";
const TOKEN: &str = "FwoGZXIvYXdzE-recognised-session-token";
const PASSWORD: &str = "recognised-password-of-the-hook";

const ARGUMENTS: &str = r#"
  bucket        = { force_destroy = true }
  subscriptions = { hook = { protocol = "https", endpoint = "https://user:recognised-password-of-the-hook@example.com/hook" } }
"#;

/// Everything that was written, by where.
#[derive(Default)]
struct Written(BTreeMap<String, String>);

impl Written {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0
            .entry(place.to_owned())
            .or_default()
            .push_str(&text.into());
    }

    fn ran(&mut self, what: &str, run: &Run) {
        self.add(
            &format!("the output of {what}"),
            format!("{}\n{}", run.stdout, run.stderr),
        );
    }

    /// The places where `secret` is.
    fn places(&self, secret: &str) -> Vec<&String> {
        let holding = self.0.iter().filter(|(_, text)| text.contains(secret));
        holding.map(|(place, _)| place).collect()
    }
}

fn provider(more: &str) -> String {
    format!(
        r#"
  access_key = "123456789012"
  secret_key = "{SECRET_KEY}"
  token      = "{TOKEN}"
  {more}
"#
    )
}

/// What a plan or a state says, without the configuration that Terraform repeats in it.
fn shown(terraform: &Terraform, file: Option<&str>) -> Result<String, Error> {
    let mut arguments = vec!["show", "-json"];
    arguments.extend(file);
    let mut shown: Value = serde_json::from_str(&terraform.expect(&arguments)?.stdout).unwrap();
    if let Value::Object(parts) = &mut shown {
        parts.remove("configuration");
    }
    Ok(shown.to_string())
}

async fn log_groups(aws: &Aws) -> String {
    let groups = aws.logs.describe_log_groups().send().await.unwrap();
    let mut text = String::new();
    for group in groups.log_groups() {
        let name = group.log_group_name().unwrap_or_default();
        let events = aws
            .logs
            .filter_log_events()
            .log_group_name(name)
            .send()
            .await
            .unwrap();
        for event in events.events() {
            text.push_str(event.message().unwrap_or_default());
            text.push('\n');
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_task_token_is_written_anywhere() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let mut terraform = stage.beside(&Stage::text(&provider(""), "orders", ARGUMENTS))?;
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        terraform.set(name, None);
    }
    let log = terraform.directory().join("everything.log");
    terraform.set("TF_LOG", Some("TRACE"));
    terraform.set("TF_LOG_PROVIDER", Some("TRACE"));
    terraform.set("TF_LOG_PATH", Some(&log.display().to_string()));
    let mut written = Written::default();

    written.ran(
        "plan",
        &terraform.expect(&["plan", "-out=first.plan", "-no-color"])?,
    );
    written.add("the plan", shown(&terraform, Some("first.plan"))?);
    written.ran(
        "apply",
        &terraform.expect(&["apply", "-no-color", "first.plan"])?,
    );

    // An exchange that is still open, so that there is a task token.
    let pipeline = Pipeline::new(stage.aws.clone(), &terraform.resource(RESOURCE)?)?;
    pipeline.start(r#"{"order": 1}"#).await?;
    let exchange = pipeline.new_exchange(&[], LIMIT).await?;
    let task_token = pipeline
        .object(&format!("outbound/{exchange}/task_token.txt"))
        .await?;
    assert!(task_token.len() > 20, "no task token: {task_token}");

    assert!(matches!(terraform.plan()?, Plan::NoChanges));
    terraform.rewrite(&Stage::text(
        &provider(""),
        "orders",
        &format!("{ARGUMENTS}\n  log_retention_in_days = 30"),
    ))?;
    written.ran("a second apply", &terraform.expect(&APPLY)?);
    written.add("the state", shown(&terraform, None)?);

    // An apply that fails, in words of the provider's own.
    let nowhere = provider("max_retries = 0\n endpoints {\n sqs = \"https://127.0.0.1:9\"\n }\n");
    terraform.rewrite(&Stage::text(
        &nowhere,
        "orders",
        &format!("{ARGUMENTS}\n  queue = {{ delay_seconds = 7 }}"),
    ))?;
    let failed = terraform.run(&["apply", "-auto-approve", "-refresh=false", "-no-color"])?;
    assert!(
        failed.code == 1 && failed.flat().contains("sqs:GetQueueAttributes"),
        "{}",
        failed.flat()
    );
    written.ran("an apply that fails", &failed);
    written.add("the state after it", shown(&terraform, None)?);

    written.add("the functions' logs", log_groups(&stage.aws).await);
    terraform.rewrite(&Stage::text(&provider(""), "orders", ARGUMENTS))?;
    written.ran("destroy", &terraform.expect(&DESTROY)?);
    written.add(
        "the log of Terraform and the provider",
        std::fs::read_to_string(&log).unwrap(),
    );
    assert_eq!(stage.left().await?, Vec::<String>::new());

    // Each kind of text is there, or nothing could be found in it.
    for (place, word) in [
        (
            "the log of Terraform and the provider",
            "states:CreateStateMachine",
        ),
        ("the functions' logs", exchange.as_str()),
        ("the plan", "orders-queue-devl"),
        ("the state", "orders-queue-devl"),
    ] {
        assert!(
            written.0[place].contains(word),
            "{place} does not tell of {word}"
        );
    }
    let nowhere: Vec<&String> = Vec::new();
    for secret in [SECRET_KEY, TOKEN, task_token.trim()] {
        assert_eq!(written.places(secret), nowhere, "{secret}");
    }
    // An argument is in the state and in what Terraform shows of a plan, as it was written; it is nowhere else.
    let mut places = written.places(PASSWORD);
    places.retain(|place| {
        !["plan", "state", "the output of destroy"]
            .iter()
            .any(|part| place.contains(part))
    });
    assert_eq!(places, nowhere, "{PASSWORD}");
    Ok(())
}

/// Others may give the integration function variables of theirs. They are told and removed, without their values.
#[tokio::test(flavor = "multi_thread")]
async fn variables_of_others_are_told_without_their_values() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let lambda = &stage.aws.lambda;
    let name = &stage.names.integration;
    let get = || lambda.get_function_configuration().function_name(name);
    let known = get().send().await.unwrap().environment.unwrap().variables;
    let theirs = aws_sdk_lambda::types::Environment::builder().set_variables(known);
    let theirs = theirs.variables("DATABASE", PASSWORD).build();
    let update = lambda.update_function_configuration().function_name(name);
    update.environment(theirs).send().await.unwrap();
    let plan = stage
        .terraform
        .expect(&["plan", "-no-color", "-out=the.plan"])?;
    assert!(plan.stdout.contains("DATABASE"), "{}", plan.stdout);
    assert!(!plan.stdout.contains(PASSWORD), "{}", plan.stdout);
    assert!(!shown(&stage.terraform, Some("the.plan"))?.contains(PASSWORD));
    // What a refresh has seen is written down where Terraform is called to destroy.
    let plan = ["plan", "-destroy", "-no-color", "-out=end.plan"];
    stage.terraform.expect(&plan)?;
    let file = stage.terraform.directory().join("end.plan");
    let mut file = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
    let kept: Value = serde_json::from_reader(file.by_name("tfstate").unwrap()).unwrap();
    let private = &kept["resources"][0]["instances"][0]["private"];
    let private = STANDARD.decode(private.as_str().unwrap()).unwrap();
    let private = String::from_utf8(private).unwrap();
    assert!(private.contains("integration"), "{private}");
    assert!(!private.contains(PASSWORD), "{private}");
    stage.terraform.apply()?;
    let now = get().send().await.unwrap().environment.unwrap().variables;
    assert!(!now.unwrap().contains_key("DATABASE"));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}
