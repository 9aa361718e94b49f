//! From create to destroy, and what happens in between behind Terraform's back.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::{
    ADDRESS, Error, Pipeline, Plan, Run, Stage, Terraform, differences, eventually,
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(1);

fn assert_no_changes(terraform: &Terraform) -> Result<(), Error> {
    match terraform.plan()? {
        Plan::NoChanges => Ok(()),
        Plan::Changes(text) => panic!("the plan was to be empty:\n{text}"),
    }
}

/// A failed command's words, on one line.
fn refused(run: &Run) -> String {
    let text = run.flat();
    assert_eq!(run.code, 1, "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

async fn assert_nothing_is_left(stage: &Stage) -> Result<(), Error> {
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A working directory with the same configuration and no state.
fn fresh(stage: &Stage, arguments: &str) -> Result<Terraform, Error> {
    Terraform::configuration(
        &Stage::text("", "orders", arguments),
        &stage.emulator.environment(),
    )
}

const ARGUMENTS: &str = r#"
  log_retention_in_days = 30
  iam_path              = "/pipelines/"
  tags                  = { team = "logistics" }
  key                   = { rotation_period_in_days = 180 }
  queue                 = { delay_seconds = 3 }
  processing = {
    memory_size = 256
    alarms      = { throttles = { enabled = false }, errors = { threshold = 3 } }
  }
  state_machine = { callback_timeout_seconds = 600, processing_retry = { backoff_rate = 1.5 } }
"#;

/// What AWS does not know: the names of subscriptions, and how long a key will be kept.
const NOT_IMPORTED: &str = r#"
  key           = { deletion_window_in_days = 7 }
  subscriptions = { operator = { protocol = "email", endpoint = "operator@example.com" } }
"#;

/// Create, no changes, import elsewhere, no changes, destroy there, nothing left.
#[tokio::test(flavor = "multi_thread")]
async fn created_imported_destroyed() -> Result<(), Error> {
    for (arguments, id) in [("", "orders"), (ARGUMENTS, "orders/devl")] {
        let stage = Stage::new(arguments).await?;
        let created = stage.terraform.apply()?;
        assert!(created.stdout.contains("1 added"), "{}", created.stdout);
        assert_no_changes(&stage.terraform)?;
        let observed = stage.observe().await;

        // Somebody else with the same configuration must not take it over unawares.
        let other = fresh(&stage, arguments)?;
        let said = refused(&other.run(&["apply", "-auto-approve", "-no-color"])?);
        assert!(
            said.contains("terraform import") && said.contains("orders/devl"),
            "{said}"
        );
        assert_eq!(
            differences(&observed, &stage.observe().await),
            BTreeMap::new()
        );

        other.import(ADDRESS, id)?;
        assert_no_changes(&other)?;
        assert_eq!(
            differences(&observed, &stage.observe().await),
            BTreeMap::new()
        );

        other.destroy()?;
        assert_nothing_is_left(&stage).await?;
        let key = observed["key"]["key_id"].as_str().unwrap();
        let described = stage
            .aws
            .kms
            .describe_key()
            .key_id(key)
            .send()
            .await
            .unwrap();
        let key = described.key_metadata.unwrap();
        assert_eq!(
            key.key_state().map(aws_sdk_kms::types::KeyState::as_str),
            Some("PendingDeletion")
        );

        // What Terraform still has in the first state is gone: it says so and makes it anew.
        assert_eq!(stage.change()?["actions"], json!(["create"]));
    }
    Ok(())
}

/// What an import cannot know is in the next plan; applying it makes nothing anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_import_does_not_know_is_found_by_apply() -> Result<(), Error> {
    let stage = Stage::new(NOT_IMPORTED).await?;
    stage.terraform.apply()?;
    let observed = stage.observe().await;
    let other = fresh(&stage, NOT_IMPORTED)?;
    other.import(ADDRESS, "orders")?;
    let Plan::Changes(plan) = other.plan()? else {
        panic!("the plan shows nothing");
    };
    assert!(
        plan.contains("0 to add, 1 to change, 0 to destroy"),
        "{plan}"
    );
    other.apply()?;
    assert_no_changes(&other)?;
    assert_eq!(
        differences(&observed, &stage.observe().await),
        BTreeMap::new()
    );
    other.destroy()?;
    assert_nothing_is_left(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imported_says_why() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    for (id, words) in [
        ("orders", &["orders"] as &[&str]),
        ("Not A Name", &["NAME/ENVIRONMENT"]),
        ("a/b/c", &["NAME/ENVIRONMENT"]),
    ] {
        let said = refused(&stage.terraform.run(&["import", "-no-color", ADDRESS, id])?);
        for word in words {
            assert!(said.contains(word), "{id}: {said}");
        }
    }
    assert_nothing_is_left(&stage).await
}

/// Objects and running executions stand against a destroy, until it is forced.
#[tokio::test(flavor = "multi_thread")]
async fn destroy_loses_nothing_unasked() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let pipeline = stage.pipeline()?;
    let destroy = ["destroy", "-auto-approve", "-no-color"];

    stage
        .aws
        .s3
        .put_object()
        .bucket(&pipeline.bucket)
        .key("inbound/somebody/notes.txt")
        .body(ByteStream::from_static(b"dear to somebody"))
        .send()
        .await
        .unwrap();
    let before = stage.observe().await;
    let said = refused(&stage.terraform.run(&destroy)?);
    for word in [
        pipeline.bucket.as_str(),
        "inbound/somebody/notes.txt",
        "force_destroy",
    ] {
        assert!(said.contains(word), "no {word} in: {said}");
    }
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    assert_no_changes(&stage.terraform)?;

    pipeline.clear().await?;
    let execution = pipeline.start("{}").await?;
    let id = pipeline.new_exchange(&[], LIMIT).await?;
    let before = stage.observe().await;
    let said = refused(&stage.terraform.run(&destroy)?);
    for word in [&stage.names.state_machine, &pipeline.bucket, &id] {
        assert!(said.contains(word.as_str()), "no {word} in: {said}");
    }
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    let running = pipeline.ended(&execution, Duration::ZERO).await;
    assert!(matches!(running, Err(Error::Timeout { .. })), "{running:?}");

    stage.set("bucket = { force_destroy = true }")?;
    assert_eq!(stage.change()?["actions"], json!(["update"]));
    stage.terraform.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}

/// Applies what the plan shows; the text of that plan.
fn repaired(stage: &Stage) -> Result<String, Error> {
    let Plan::Changes(text) = stage.terraform.plan()? else {
        panic!("the plan shows nothing");
    };
    assert!(text.contains("0 to destroy"), "in place:\n{text}");
    stage.terraform.apply()?;
    assert_no_changes(&stage.terraform)?;
    Ok(text)
}

/// Ids that AWS gives anew with a new object.
const IDS: [&str; 2] = ["/event_source/uuid", "/SubscriptionArn"];

fn assert_as_before(before: &Value, after: &Value) {
    let mut found = differences(before, after);
    found.retain(|at, _| !IDS.iter().any(|id| at.ends_with(id)));
    assert_eq!(found, BTreeMap::new(), "not as it was");
}

/// Parts deleted behind our back are shown by plan and made again by apply.
#[tokio::test(flavor = "multi_thread")]
#[allow(
    clippy::too_many_lines,
    reason = "one call for each part that disappears"
)]
async fn what_disappears_is_made_again() -> Result<(), Error> {
    let subscription = r#"subscriptions = { operator = { protocol = "email", endpoint = "operator@example.com" } }"#;
    let stage = Stage::new(subscription).await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let (aws, names) = (&stage.aws, &stage.names);

    // What hangs on other parts.
    let alarm = format!("{}-errors", names.processing);
    aws.cloudwatch
        .delete_alarms()
        .alarm_names(&alarm)
        .send()
        .await
        .unwrap();
    let group = format!("/aws/lambda/{}", names.processing);
    aws.logs
        .delete_log_group()
        .log_group_name(&group)
        .send()
        .await
        .unwrap();
    let call = aws.lambda.delete_event_source_mapping();
    call.uuid(before["event_source"]["uuid"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    let call = aws
        .lambda
        .remove_permission()
        .function_name(&names.integration);
    call.statement_id("bellflower-bucket").send().await.unwrap();
    let call = aws
        .iam
        .delete_role_policy()
        .role_name(&names.integration_role);
    call.policy_name("bellflower").send().await.unwrap();
    aws.s3
        .delete_bucket_lifecycle()
        .bucket(&names.bucket)
        .send()
        .await
        .unwrap();
    aws.s3
        .delete_bucket_policy()
        .bucket(&names.bucket)
        .send()
        .await
        .unwrap();
    aws.s3
        .delete_object()
        .bucket(&names.bucket)
        .key("inbound/")
        .send()
        .await
        .unwrap();
    let listed = aws.sns.list_subscriptions().send().await.unwrap();
    let arn = listed.subscriptions()[0].subscription_arn().unwrap();
    aws.sns
        .unsubscribe()
        .subscription_arn(arn)
        .send()
        .await
        .unwrap();
    let plan = repaired(&stage)?;
    for word in [
        "errors",
        "event_source",
        "permission",
        "log_group",
        "operator",
    ] {
        assert!(plan.contains(word), "no {word} in the plan:\n{plan}");
    }
    assert_as_before(&before, &stage.observe().await);

    // What others hang on.
    let url = aws
        .sqs
        .get_queue_url()
        .queue_name(&names.queue)
        .send()
        .await
        .unwrap();
    aws.sqs
        .delete_queue()
        .queue_url(url.queue_url().unwrap())
        .send()
        .await
        .unwrap();
    aws.sns
        .delete_topic()
        .topic_arn(stage.arn("sns", &names.topic))
        .send()
        .await
        .unwrap();
    aws.lambda
        .delete_function()
        .function_name(&names.integration)
        .send()
        .await
        .unwrap();
    let machine = stage.arn("states", &format!("stateMachine:{}", names.state_machine));
    aws.sfn
        .delete_state_machine()
        .state_machine_arn(machine)
        .send()
        .await
        .unwrap();
    let call = aws
        .iam
        .delete_role_policy()
        .role_name(&names.processing_role);
    call.policy_name("bellflower").send().await.unwrap();
    aws.iam
        .delete_role()
        .role_name(&names.processing_role)
        .send()
        .await
        .unwrap();
    let plan = repaired(&stage)?;
    for word in ["queue", "topic", "integration", "state_machine", "role"] {
        assert!(plan.contains(word), "no {word} in the plan:\n{plan}");
    }
    assert_as_before(&before, &stage.observe().await);

    for key in ["inbound/", "outbound/"] {
        aws.s3
            .delete_object()
            .bucket(&names.bucket)
            .key(key)
            .send()
            .await
            .unwrap();
    }
    aws.s3
        .delete_bucket()
        .bucket(&names.bucket)
        .send()
        .await
        .unwrap();
    repaired(&stage)?;
    assert_as_before(&before, &stage.observe().await);
    assert_works(&stage).await?;

    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}

/// The alias is a name that can be given again: nothing else has to go for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_alias_is_given_again() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let alias = &stage.names.key_alias;
    let call = stage.aws.kms.delete_alias().alias_name(alias);
    call.send().await.unwrap();
    let plan = repaired(&stage)?;
    assert!(plan.contains(alias), "{plan}");
    assert_as_before(&before, &stage.observe().await);
    Ok(())
}

/// One execution from start to end.
async fn assert_works(stage: &Stage) -> Result<(), Error> {
    let pipeline: Pipeline = stage.pipeline()?;
    let before = pipeline.exchanges().await?;
    let execution = pipeline.start("{}").await?;
    let id = pipeline.new_exchange(&before, LIMIT).await?;
    pipeline.answer(&id, "{}").await?;
    let ended = pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status.as_str(), "SUCCEEDED", "{ended:?}");
    pipeline.clear().await?;
    Ok(())
}

/// Properties changed behind our back: those with an attribute are shown there, the others in `drift`.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_is_shown_and_mended() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let (aws, names) = (&stage.aws, &stage.names);
    let url = aws
        .sqs
        .get_queue_url()
        .queue_name(&names.queue)
        .send()
        .await
        .unwrap();
    let queue = url.queue_url().unwrap();
    let key = before["key"]["key_id"].as_str().unwrap();
    let bucket_arn = stage.arn("s3", &names.bucket);

    let call = aws.sqs.set_queue_attributes().queue_url(queue);
    let call = call.attributes(QueueAttributeName::DelaySeconds, "77");
    call.attributes(QueueAttributeName::RedrivePolicy, "")
        .send()
        .await
        .unwrap();
    aws.sqs
        .untag_queue()
        .queue_url(queue)
        .tag_keys("no such tag")
        .send()
        .await
        .unwrap();
    aws.sqs
        .tag_queue()
        .queue_url(queue)
        .tags("stranger", "here")
        .send()
        .await
        .unwrap();
    let call = aws
        .lambda
        .update_function_configuration()
        .function_name(&names.integration);
    call.memory_size(1024)
        .description("mine now")
        .send()
        .await
        .unwrap();
    let call = aws
        .lambda
        .put_function_concurrency()
        .function_name(&names.processing);
    call.reserved_concurrent_executions(2).send().await.unwrap();
    aws.kms
        .disable_key_rotation()
        .key_id(key)
        .send()
        .await
        .unwrap();
    let call = aws.logs.put_retention_policy().retention_in_days(1);
    call.log_group_name(format!("/aws/lambda/{}", names.integration))
        .send()
        .await
        .unwrap();
    aws.s3
        .delete_public_access_block()
        .bucket(&names.bucket)
        .send()
        .await
        .unwrap();
    let open = json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "Open", "Effect": "Allow", "Principal": {"AWS": stage.arn("iam", "root")},
        "Action": "s3:GetObject", "Resource": format!("{bucket_arn}/*"),
    }]});
    aws.s3
        .put_bucket_policy()
        .bucket(&names.bucket)
        .policy(open.to_string())
        .send()
        .await
        .unwrap();
    let nothing = aws_sdk_s3::types::NotificationConfiguration::builder().build();
    let call = aws
        .s3
        .put_bucket_notification_configuration()
        .bucket(&names.bucket);
    call.notification_configuration(nothing)
        .send()
        .await
        .unwrap();
    let all = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
    let call = aws.iam.put_role_policy().role_name(&names.processing_role);
    call.policy_name("bellflower")
        .policy_document(all)
        .send()
        .await
        .unwrap();
    let machine = stage.arn("states", &format!("stateMachine:{}", names.state_machine));
    let call = aws.sfn.update_state_machine().state_machine_arn(machine);
    let pass = r#"{"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": true}}}"#;
    call.definition(pass).send().await.unwrap();

    let Plan::Changes(plan) = stage.terraform.plan()? else {
        panic!("the plan shows nothing");
    };
    for words in [
        "delay_seconds = 77 -> 0",
        "memory_size = 1024 -> 128",
        "reserved_concurrent_executions = 2 -> -1",
        "enable_key_rotation = false -> true",
        "retention_in_days = 1 -> 14",
        "block_public_acls = false -> true",
        "queue.redrive_policy",
        "queue.tags",
        "integration.description",
        "definition",
        "notification",
    ] {
        let line = plan.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(line.contains(words), "no {words} in the plan:\n{plan}");
    }
    repaired(&stage)?;
    assert_as_before(&before, &stage.observe().await);
    assert_works(&stage).await
}

/// Terraform and provider killed in the middle of a create: the next apply goes on with what is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_apply_is_taken_up_again() -> Result<(), Error> {
    use std::os::unix::process::CommandExt as _;
    let stage = Stage::new("").await?;
    let mut apply = stage
        .terraform
        .command(&["apply", "-auto-approve", "-no-color"]);
    let apply = apply.process_group(0).stdout(std::process::Stdio::null());
    let mut child = apply.spawn().expect("Terraform starts");
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let begun = eventually("the first parts", LIMIT, async || {
        let found = stage.left().await?;
        Ok(if found.len() > 3 {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        })
    })
    .await;
    // The provider runs in a group of its own and ends with Terraform.
    kill_process_group(group, Signal::KILL).unwrap();
    child.wait().unwrap();
    begun?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    std::fs::remove_file(
        stage
            .terraform
            .directory()
            .join(".terraform.tfstate.lock.info"),
    )
    .ok();

    stage.terraform.apply()?;
    assert_no_changes(&stage.terraform)?;
    assert_works(&stage).await?;
    let keys = stage
        .left()
        .await?
        .iter()
        .filter(|one| one.starts_with("KMS key"))
        .count();
    assert_eq!(keys, 1, "no second key");
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}

/// Ctrl-C in the middle of a create: the state has what exists, and the next apply goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_apply_loses_nothing() -> Result<(), Error> {
    use std::os::unix::process::CommandExt as _;
    let stage = Stage::new("").await?;
    let mut apply = stage
        .terraform
        .command(&["apply", "-auto-approve", "-no-color"]);
    let child = apply
        .process_group(0)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("Terraform starts");
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let begun = eventually("the first parts", LIMIT, async || {
        let found = stage.left().await?;
        Ok(if found.is_empty() {
            Err("nothing".to_owned())
        } else {
            Ok(())
        })
    })
    .await;
    // As a terminal does it: to the whole group.
    kill_process_group(group, Signal::INT).unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    begun?;
    let said = run.flat();
    assert!(!said.contains("panicked"), "{said}");
    if run.success() {
        // It was quicker than the signal; nothing to take up.
        return assert_no_changes(&stage.terraform);
    }
    stage.state()?;
    stage.terraform.expect(&["untaint", "-no-color", ADDRESS])?;
    stage.terraform.apply()?;
    assert_no_changes(&stage.terraform)?;
    assert_works(&stage).await?;
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}
