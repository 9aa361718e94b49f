//! What others do between one command and the next, and what a careless configuration does to itself: nothing may stay behind that no state knows, nothing of
//! others may go, and no plan may say that all is well when it is not.

use std::process::Stdio;
use std::time::Duration;

use aws_sdk_iam::types::Tag;
use aws_sdk_sfn::types::ExecutionStatus;
use bellflower_tests::processes::providers_of;
use bellflower_tests::proxy::{Fault, Play, Proxy, Rule};
use bellflower_tests::{ADDRESS, APPLY, DESTROY, Error, Plan, REFRESH, Stage, eventually};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};

use super::{ownership, somebody};

const UPDATE: &str = "lambda:UpdateFunctionConfiguration";

/// Own names, from which other names follow.
const NAMED: &str = r#"
  queue         = { name = "my-queue" }
  topic         = { name = "my-topic" }
  processing    = { function_name = "my-processing" }
  integration   = { function_name = "my-integration", role = { name = "my-role" } }
  state_machine = { name = "my-machine" }
"#;

/// A create that failed is destroyed whole, whatever its parts are called.
#[tokio::test(flavor = "multi_thread")]
async fn own_names_are_kept_when_a_create_fails() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy(NAMED).await?;
    let denied = Fault::error(403, "AccessDeniedException", "denied");
    proxy.inject(Rule::before(denied).on("lambda:CreateFunction"));
    stage.terraform.refuse(&APPLY)?;
    assert_eq!(
        stage.state()?["processing"]["function_name"],
        "my-processing"
    );
    proxy.clear();
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// What somebody deleted is no reason to forget what was made beside it.
#[tokio::test(flavor = "multi_thread")]
async fn own_names_are_kept_when_parts_are_deleted() -> Result<(), Error> {
    let stage = Stage::new(NAMED).await?;
    stage.terraform.apply()?;
    let aws = &stage.aws;
    for function in ["my-integration", "my-processing"] {
        let call = aws.lambda.delete_function().function_name(function);
        call.send().await.unwrap();
    }
    let machine = stage.arn("states", "stateMachine:my-machine");
    let call = aws.sfn.delete_state_machine().state_machine_arn(machine);
    call.send().await.unwrap();
    let url = aws.sqs.get_queue_url().queue_name("my-queue");
    let url = url.send().await.unwrap().queue_url.unwrap();
    aws.sqs.delete_queue().queue_url(url).send().await.unwrap();
    stage.terraform.expect(&REFRESH)?;
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Somebody else's bucket, function and topic have taken our names: what hangs on them is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_parts_of_others_is_theirs() -> Result<(), Error> {
    let theirs = "arn:aws:sqs:eu-west-1:123456789012:theirs";
    let stage = Stage::new(&format!(
        "  subscriptions = {{ shared = {{ protocol = \"sqs\", endpoint = \"{theirs}\" }} }}\n"
    ))
    .await?;
    let aws = &stage.aws;
    somebody::queue(aws, "theirs").await;
    stage.terraform.apply()?;
    let names = &stage.names;

    let topic = stage.arn("sns", &names.topic);
    aws.sns
        .delete_topic()
        .topic_arn(&topic)
        .send()
        .await
        .unwrap();
    somebody::topic(aws, &names.topic).await;
    let call = aws.sns.subscribe().topic_arn(&topic).protocol("sqs");
    call.endpoint(theirs).send().await.unwrap();

    let function = &names.integration;
    let call = aws.lambda.delete_function().function_name(function);
    call.send().await.unwrap();
    let role = stage.arn("iam", &format!("role/{}", names.processing_role));
    somebody::function(aws, function, &role).await;
    let call = aws.lambda.put_function_event_invoke_config();
    let call = call.function_name(function).maximum_retry_attempts(2);
    call.send().await.unwrap();
    let call = aws.lambda.create_event_source_mapping();
    let call = call.function_name(function).batch_size(3);
    let call = call.event_source_arn(stage.arn("sqs", &names.queue));
    let mapping = call.send().await.unwrap().uuid.unwrap();

    let run = stage.terraform.destroy()?;
    let said = run.flat();
    assert!(
        said.contains(&names.topic) && said.contains(function),
        "{said}"
    );
    let left = aws.sns.list_subscriptions_by_topic().topic_arn(&topic);
    let left = left.send().await.unwrap();
    assert_eq!(left.subscriptions().len(), 1, "their subscription is gone");
    let left = aws.lambda.get_function_event_invoke_config();
    let left = left.function_name(function).send().await.unwrap();
    assert_eq!(left.maximum_retry_attempts, Some(2));
    let left = aws.lambda.get_event_source_mapping().uuid(&mapping);
    assert_eq!(left.send().await.unwrap().batch_size, Some(3));
    Ok(())
}

/// Where the provider looks elsewhere there is nothing to be seen, which does not mean that there is nothing.
#[tokio::test(flavor = "multi_thread")]
async fn another_region_is_refused() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.left().await?;
    let elsewhere = Stage::text("  region = \"eu-central-1\"\n", "orders", "");
    stage.terraform.rewrite(&elsewhere)?;
    for arguments in [
        &["plan", "-no-color"][..],
        &APPLY,
        &["apply", "-auto-approve", "-no-color", "-refresh=false"],
        &DESTROY,
        &["destroy", "-auto-approve", "-no-color", "-refresh=false"],
    ] {
        let said = stage.terraform.refuse(arguments)?;
        assert!(
            said.contains("eu-west-1") && said.contains("eu-central-1"),
            "{said}"
        );
    }
    assert_eq!(stage.left().await?, before);
    stage.set("")?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

async fn subscriptions(stage: &Stage) -> Vec<(String, Value)> {
    let sns = &stage.aws.sns;
    let listed = sns.list_subscriptions_by_topic();
    let listed = listed.topic_arn(stage.arn("sns", &stage.names.topic));
    let listed = listed.send().await.unwrap();
    let mut found = Vec::new();
    for one in listed.subscriptions() {
        let arn = one.subscription_arn().unwrap_or_default();
        let shown = sns.get_subscription_attributes().subscription_arn(arn);
        let shown = shown.send().await.unwrap().attributes.unwrap_or_default();
        let filter = shown.get("FilterPolicy").cloned().unwrap_or_default();
        let endpoint = one.endpoint().unwrap_or_default().to_owned();
        found.push((endpoint, serde_json::from_str(&filter).unwrap_or_default()));
    }
    found
}

/// To SNS a number is another thing than its text, and operators have an order; a login is more than a name.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_become_what_the_plan_said() -> Result<(), Error> {
    let queue = "arn:aws:sqs:eu-west-1:123456789012:q";
    let filtered = |filter: &Value| {
        let filter = filter.to_string().replace('"', "\\\"");
        format!(
            "  subscriptions = {{ a = {{ protocol = \"sqs\", endpoint = \"{queue}\", filter_policy = \"{filter}\" }} }}\n"
        )
    };
    let first = json!({"retries": [3]});
    let stage = Stage::new(&filtered(&first)).await?;
    let call = stage.aws.sqs.create_queue().queue_name("q");
    call.send().await.unwrap();
    stage.terraform.apply()?;
    for filter in [
        json!({"retries": ["3"]}),
        json!({"retries": [{"numeric": [">=", 3, "<", 10]}]}),
        json!({"retries": [{"numeric": ["<", 3, ">=", 10]}]}),
    ] {
        stage.set(&filtered(&filter))?;
        stage.terraform.apply()?;
        assert_eq!(subscriptions(&stage).await, [(queue.to_owned(), filter)]);
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    for password in ["old", "new"] {
        let endpoint = format!("https://user:{password}@127.0.0.1:1/hook");
        stage.set(&format!(
            "  subscriptions = {{ a = {{ protocol = \"https\", endpoint = \"{endpoint}\" }} }}\n"
        ))?;
        stage.terraform.apply()?;
        let found = subscriptions(&stage).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, endpoint);
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

/// Step Functions may list an execution late, and keeps a state machine for as long as one waits: destroy ends what it could not know of before, or says what it is.
#[tokio::test(flavor = "multi_thread")]
async fn executions_that_are_listed_late_do_not_stay() -> Result<(), Error> {
    let lines = |force: bool| {
        let limit = if force { "10m" } else { "15s" };
        format!("  bucket = {{ force_destroy = {force} }}\n  timeouts {{ delete = \"{limit}\" }}\n")
    };
    let (stage, proxy) = Stage::behind_proxy(&lines(true)).await?;
    proxy.play(Play::MachineDeleting(Duration::from_millis(300)));
    for force in [true, false] {
        stage.set(&lines(force))?;
        stage.terraform.apply()?;
        let pipeline = stage.pipeline()?;
        let list = proxy.aws().sfn.list_executions();
        let list = list.state_machine_arn(&pipeline.state_machine_arn);
        let none = list.status_filter(ExecutionStatus::Running).send().await;
        assert!(none.unwrap().executions().is_empty());
        let execution = pipeline.start("{}").await?;
        pipeline.new_exchange(&[], Duration::from_mins(1)).await?;
        if !force {
            pipeline.clear().await?;
        }
        let late = proxy.inject(
            Rule::before(Fault::Stale)
                .on("states:ListExecutions")
                .first(1),
        );
        let first = stage.terraform.run(&DESTROY)?;
        assert_eq!(late.count(), 1);
        if force {
            assert_eq!(first.code, 0, "{}", first.flat());
            assert_eq!(proxy.count("states:StopExecution"), 1);
        } else {
            assert_eq!(first.code, 1, "{}", first.flat());
            // It still holds what waits, and is no state machine that is not there, nor one that can be used.
            let Plan::Changes(plan) = stage.terraform.plan()? else {
                panic!("the plan is empty");
            };
            assert!(plan.contains("is DELETING, should be ACTIVE"), "{plan}");
            let said = stage.terraform.refuse(&DESTROY)?;
            assert!(
                said.contains(&execution) && said.contains("an execution is running"),
                "{said}"
            );
            assert_eq!(proxy.count("states:StopExecution"), 1);
            let stop = stage.aws.sfn.stop_execution().execution_arn(&execution);
            stop.send().await.unwrap();
            stage.terraform.destroy()?;
        }
        assert_eq!(stage.left().await?, Vec::<String>::new());
    }
    Ok(())
}

async fn delete_role(stage: &Stage, role: &str) {
    let iam = &stage.aws.iam;
    let listed = iam.list_role_policies().role_name(role).send();
    for policy in listed.await.unwrap().policy_names() {
        let call = iam.delete_role_policy().role_name(role).policy_name(policy);
        call.send().await.unwrap();
    }
    iam.delete_role().role_name(role).send().await.unwrap();
}

/// Deletes a part's role, and makes one that is like it but for its unique id.
async fn remake_role(stage: &Stage, owner: &str, role: &str) -> Result<(), Error> {
    let iam = &stage.aws.iam;
    let told = stage.state()?[owner]["role"].clone();
    let told = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let was = iam.get_role().role_name(role).send().await.unwrap();
    let was = was.role.unwrap();
    delete_role(stage, role).await;
    let create = iam.create_role().role_name(role).path(was.path);
    let create = create.set_description(was.description).set_tags(was.tags);
    let create = create.assume_role_policy_document(told("assume_role_policy"));
    create.send().await.unwrap();
    let put = iam.put_role_policy().role_name(role);
    let put = put
        .policy_name("bellflower")
        .policy_document(told("policy"));
    put.send().await.unwrap();
    Ok(())
}

/// A role's unique id, as AWS has it.
async fn role_id(stage: &Stage, role: &str) -> Value {
    let told = stage.aws.iam.get_role().role_name(role).send().await;
    json!(told.unwrap().role.unwrap().role_id)
}

/// A function's right to its key is that of the role it was written with. AWS does not show whether that was this one or another of the same name: what was
/// not written again is in the state.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_gets_its_new_role_in_the_next_run() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    delete_role(&stage, &stage.names.integration_role).await;

    for operation in ["iam:PutRolePolicy", UPDATE, UPDATE] {
        proxy.clear();
        let denied = Fault::error(403, "AccessDenied", "denied");
        proxy.inject(Rule::before(denied).on(operation));
        let said = stage.terraform.refuse(&APPLY)?;
        assert!(said.contains(operation), "{said}");
        assert!(matches!(stage.terraform.plan()?, Plan::Changes(_)));
    }
    proxy.clear();
    let before = proxy.count(UPDATE);
    stage.terraform.apply()?;
    assert_eq!(proxy.count(UPDATE), before + 1);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// A role that somebody made in all like the one that was is another one to AWS. The state that has its id must not take it for settled.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_like_the_one_that_was_is_another() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let names = &stage.names;
    for (owner, role, update) in [
        ("integration", &names.integration_role, UPDATE),
        (
            "state_machine",
            &names.state_machine_role,
            "states:UpdateStateMachine",
        ),
    ] {
        let known = stage.state()?[owner]["role"]["unique_id"].clone();
        assert_eq!(known, role_id(&stage, role).await);
        remake_role(&stage, owner, role).await?;
        let now = role_id(&stage, role).await;
        assert_ne!(known, now);
        for is_in_the_state in [false, true] {
            if is_in_the_state {
                stage.terraform.expect(&REFRESH)?;
                assert_eq!(stage.state()?[owner]["role"]["unique_id"], now);
            }
            let Plan::Changes(plan) = stage.terraform.plan()? else {
                panic!("the plan is empty");
            };
            assert!(plan.contains(&format!("{owner}.role_arn")), "{plan}");
        }
        let before = proxy.count(update);
        stage.terraform.apply()?;
        assert_eq!(proxy.count(update), before + 1);
        let after = stage.state()?;
        assert_eq!(after[owner]["role"]["unique_id"], now);
        assert_eq!(after["drift"], json!({}));
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

/// Applies, and kills the provider, or Terraform with it, when a call comes to which this rule gives no answer.
async fn kill_at(stage: &Stage, proxy: &Proxy, rule: Rule, whole: bool) -> Result<(), Error> {
    use std::os::unix::process::CommandExt as _;
    let struck = proxy.inject(rule);
    let mut apply = stage.terraform.command(&APPLY);
    let apply = apply.process_group(0);
    let apply = apply.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = apply.spawn().expect("Terraform starts");
    let terraform = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let begun = eventually("the call", Duration::from_mins(1), async || {
        Ok(if struck.count() > 0 {
            Ok(())
        } else {
            Err("no call".to_owned())
        })
    })
    .await;
    let providers = providers_of(terraform);
    if whole || begun.is_err() {
        kill_process_group(terraform, Signal::KILL).unwrap();
    }
    for provider in &providers {
        // It may have ended with Terraform.
        kill_process(*provider, Signal::KILL).ok();
    }
    child.wait().unwrap();
    begun?;
    assert!(!providers.is_empty(), "no provider was running");
    proxy.clear();
    let lock = stage.terraform.directory();
    std::fs::remove_file(lock.join(".terraform.tfstate.lock.info")).ok();
    Ok(())
}

/// Who is killed after a role was made, and before its function was written with it, says that nowhere: the role's id does.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_apply_leaves_no_function_with_its_former_role() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let role = &stage.names.integration_role;
    for whole in [false, true] {
        let was = role_id(&stage, role).await;
        delete_role(&stage, role).await;
        kill_at(&stage, &proxy, Rule::before(Fault::Hang).on(UPDATE), whole).await?;
        let now = role_id(&stage, role).await;
        assert_ne!(was, now);
        let Plan::Changes(plan) = stage.terraform.plan()? else {
            panic!("the plan is empty");
        };
        assert!(plan.contains("integration.role_arn"), "{plan}");
        let before = proxy.count(UPDATE);
        stage.terraform.apply()?;
        assert_eq!(proxy.count(UPDATE), before + 1);
        assert_eq!(stage.state()?["integration"]["role"]["unique_id"], now);
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

/// The states of earlier versions have no ids of roles: they get them, and nothing is to be done for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_without_the_ids_of_roles_gets_them() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let names = &stage.names;
    let roles = [
        ("processing", &names.processing_role),
        ("integration", &names.integration_role),
        ("state_machine", &names.state_machine_role),
    ];
    let mut kept = ownership::state_file(&stage);
    for (owner, _) in roles {
        let attributes = &mut kept["resources"][0]["instances"][0]["attributes"];
        let role = attributes[owner]["role"].as_object_mut().unwrap();
        assert!(role.remove("unique_id").is_some_and(|id| id.is_string()));
    }
    ownership::put_state(&stage, &kept);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.expect(&REFRESH)?;
    let now = stage.state()?;
    for (owner, role) in roles {
        let known = &now[owner]["role"]["unique_id"];
        assert_eq!(*known, role_id(&stage, role).await);
    }
    assert_eq!(now["drift"], json!({}));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// A plan that knew an id is applied after that object has gone: the new one's id is told, and that it is new.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_anew_is_told() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    stage.set("  queue = { delay_seconds = 5 }\n")?;
    stage
        .terraform
        .expect(&["plan", "-no-color", "-out=the.plan"])?;
    let before = stage.state()?["event_source"]["uuid"].clone();
    let lambda = &stage.aws.lambda;
    let call = lambda.delete_event_source_mapping();
    let call = call.uuid(before.as_str().unwrap_or_default());
    call.send().await.unwrap();
    let role = &stage.names.processing_role;
    delete_role(&stage, role).await;
    let said = stage
        .terraform
        .refuse(&["apply", "-no-color", "the.plan"])?;
    for id in ["event_source.uuid", "processing.role.unique_id"] {
        assert!(said.contains(id), "{said}");
    }
    let known = stage.state()?["processing"]["role"]["unique_id"].clone();
    assert_eq!(known, role_id(&stage, role).await);
    let listed = lambda.list_event_source_mappings();
    let listed = listed.event_source_arn(stage.arn("sqs", &stage.names.queue));
    let listed = listed.send().await.unwrap();
    let ids: Vec<_> = listed
        .event_source_mappings()
        .iter()
        .map(|one| one.uuid())
        .collect();
    assert_eq!(ids, [stage.state()?["event_source"]["uuid"].as_str()]);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// IAM takes keys of tags that differ in their case alone for one.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_may_change_its_case() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    for key in ["stage", "STAGE"] {
        let provider = format!("  default_tags {{\n    tags = {{ {key} = \"x\" }}\n  }}\n");
        stage
            .terraform
            .rewrite(&Stage::text(&provider, "orders", ""))?;
        stage.terraform.apply()?;
        let tags = stage.aws.iam.list_role_tags();
        let tags = tags.role_name(&stage.names.processing_role).send();
        let tags = tags.await.unwrap().tags;
        let mut keys: Vec<&str> = tags.iter().map(Tag::key).collect();
        keys.sort_unstable();
        let mut expected = ["bellflower:pipeline", key];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

/// Two pipelines of one name cannot stand side by side, and it is said where that comes from.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_cannot_come_first() -> Result<(), Error> {
    let lifecycle = "  lifecycle {\n    create_before_destroy = true\n  }\n";
    let stage = Stage::new(lifecycle).await?;
    stage.terraform.apply()?;
    let before = stage.left().await?;
    let replace = format!("-replace={ADDRESS}");
    let said = stage
        .terraform
        .refuse(&["apply", "-auto-approve", "-no-color", &replace])?;
    assert!(said.contains("create_before_destroy"), "{said}");
    assert_eq!(stage.left().await?, before);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// What may be lost with a bucket is said of the pipeline, not of the bucket that was there.
#[tokio::test(flavor = "multi_thread")]
async fn what_destroy_may_do_is_not_forgotten_with_the_bucket() -> Result<(), Error> {
    let stage = Stage::new("  bucket = { force_destroy = true }\n").await?;
    stage.terraform.apply()?;
    let pipeline = stage.pipeline()?;
    let execution = pipeline.start("{}").await?;
    pipeline.new_exchange(&[], Duration::from_mins(1)).await?;
    pipeline.clear().await?;
    somebody::delete_bucket(&stage, &stage.names.bucket).await;
    stage.terraform.destroy()?;
    let told = stage.aws.sfn.describe_execution().execution_arn(&execution);
    if let Ok(told) = told.send().await {
        assert_eq!(told.status, ExecutionStatus::Aborted);
    }
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Of a pipeline that is half gone some roles, log groups and alarms may be left, and they, too, are where they are.
#[tokio::test(flavor = "multi_thread")]
async fn another_region_is_refused_by_what_is_left() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let denied = Fault::error(403, "AccessDenied", "denied");
    for operation in [
        "iam:DeleteRole",
        "logs:DeleteLogGroup",
        "cloudwatch:DeleteAlarms",
    ] {
        proxy.inject(Rule::before(denied.clone()).on(operation));
    }
    stage.terraform.refuse(&DESTROY)?;
    proxy.clear();
    let key = stage.state()?["key"]["key_id"].clone();
    if let Some(key) = key.as_str() {
        let schedule = stage.aws.kms.schedule_key_deletion().key_id(key);
        schedule.send().await.unwrap();
        let delete = stage
            .aws
            .kms
            .delete_alias()
            .alias_name(&stage.names.key_alias);
        delete.send().await.unwrap();
    }
    stage.terraform.expect(&REFRESH)?;
    let now = stage.state()?;
    for gone in [
        "key",
        "queue",
        "topic",
        "processing",
        "integration",
        "state_machine",
    ] {
        assert!(now[gone]["arn"].is_null(), "{gone}: {}", now[gone]);
    }
    let before = stage.left().await?;
    assert!(before.len() > 10, "{before:?}");
    stage
        .terraform
        .rewrite(&Stage::text("  region = \"eu-central-1\"\n", "orders", ""))?;
    let said = stage.terraform.refuse(&DESTROY)?;
    assert!(said.contains("Another region or account"), "{said}");
    assert_eq!(stage.left().await?, before);
    stage.set("")?;
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// While the key is missing, what is encrypted with it is not said to need none.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_is_said_to_be_made() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let key = stage.state()?["key"]["key_id"].clone();
    let schedule = stage.aws.kms.schedule_key_deletion();
    let schedule = schedule.key_id(key.as_str().unwrap_or_default());
    schedule.send().await.unwrap();
    let plan = stage.terraform.run(&["plan", "-no-color"])?.flat();
    let way_on = format!(
        "aws kms cancel-key-deletion --key-id {}",
        key.as_str().unwrap_or_default()
    );
    assert!(plan.contains(&way_on), "{plan}");
    for _ in 0..2 {
        stage.terraform.expect(&REFRESH)?;
    }
    let now = stage.state()?;
    assert!(now["key"]["arn"].is_null(), "{now}");
    let drift = now["drift"]["queue.kms_master_key_id"].as_str();
    let drift = drift.unwrap_or_default();
    assert!(
        drift.ends_with("should be the key that is to be made"),
        "{}",
        now["drift"]
    );
    let plan = stage.terraform.run(&["plan", "-no-color"])?.flat();
    assert!(plan.contains(&way_on), "{plan}");
    // Who goes that way has it back, with all that it opens.
    let cancel = stage.aws.kms.cancel_key_deletion();
    let cancel = cancel.key_id(key.as_str().unwrap_or_default());
    cancel.send().await.unwrap();
    let plan = stage.terraform.run(&["plan", "-no-color"])?.flat();
    assert!(
        !plan.contains("should be the key that is to be made"),
        "{plan}"
    );
    stage.terraform.apply()?;
    let now = stage.state()?;
    assert_eq!((&now["key"]["key_id"], &now["drift"]), (&key, &json!({})));
    stage.terraform.destroy()?;
    Ok(())
}

/// Terraform destroys what a new object replaces: what became part of the new one is spared, and what did not is named.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replacement_was_made_of_is_not_destroyed() -> Result<(), Error> {
    let lines = |queue: &str| {
        format!(
            "  queue = {{ name = \"{queue}\" }}\n  bucket = {{ force_destroy = true }}\n  lifecycle {{\n    create_before_destroy = true\n  }}\n"
        )
    };
    let stage = Stage::new(&lines("first")).await?;
    stage.terraform.apply()?;
    somebody::delete_machine(&stage).await;
    let put = stage.aws.s3.put_object().bucket(&stage.names.bucket);
    put.key("outbound/1/data.json").send().await.unwrap();
    stage.set(&lines("second"))?;
    // What holds something is no remains of a run.
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("Pipeline in use"), "{said}");
    let get = stage.aws.s3.head_object().bucket(&stage.names.bucket);
    get.key("outbound/1/data.json").send().await.unwrap();
    let delete = stage.aws.s3.delete_object().bucket(&stage.names.bucket);
    let delete = delete.key("outbound/1/data.json");
    delete.send().await.unwrap();
    let said = stage.terraform.apply()?.flat();
    assert!(said.contains("1 added, 0 changed, 1 destroyed"), "{said}");
    assert!(
        said.contains("Parts left to the pipeline that was made")
            && said.contains("SQS queue \"first\""),
        "{said}"
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.destroy()?;
    let left = stage.left().await?;
    let known = |one: &String| one.ends_with("/first") || one.contains("event source");
    assert!(!left.is_empty() && left.iter().all(known), "{left:?}");
    Ok(())
}

/// `terraform test` makes and destroys with one and the same process of the provider.
#[tokio::test(flavor = "multi_thread")]
async fn terraform_test_leaves_nothing() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let text = "provider \"bellflower\" {}\n\nrun \"made\" {\n  command = apply\n\n  assert {\n    condition     = bellflower_callback_pipeline.this.queue.url != \"\"\n    \
                error_message = \"no queue\"\n  }\n}\n\nrun \"made_anew\" {\n  command = apply\n\n  plan_options {\n    refresh = false\n    replace = [bellflower_callback_pipeline.this]\n  }\n}\n";
    std::fs::write(stage.terraform.directory().join("main.tftest.hcl"), text).unwrap();
    let run = stage.terraform.expect(&["test", "-no-color"])?;
    assert!(run.flat().contains("2 passed, 0 failed"), "{}", run.flat());
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A tag or a variable may be called as it likes, and name whatever is elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_named_arn_is_no_part() -> Result<(), Error> {
    let arn = "arn:aws:sqs:us-east-1:999999999999:audit";
    let stage = Stage::new(&format!("  tags = {{ arn = \"{arn}\" }}\n")).await?;
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// What a state has kept of an earlier run's refresh is no picture of what there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_without_refresh_looks_for_itself() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    // Without changes Terraform keeps what the refresh wrote down.
    stage.terraform.apply()?;
    let url = stage.state()?["queue"]["url"].clone();
    let url = url.as_str().unwrap_or_default();
    let tag = stage.aws.sqs.tag_queue().queue_url(url);
    let tag = tag.tags("bellflower:pipeline", "other/devl/eu-west-1");
    tag.send().await.unwrap();
    let run =
        stage
            .terraform
            .expect(&["destroy", "-auto-approve", "-no-color", "-refresh=false"])?;
    assert!(
        run.flat().contains("other/devl/eu-west-1"),
        "{}",
        run.flat()
    );
    assert_eq!(stage.left().await?, [format!("SQS queue {url}")]);
    Ok(())
}

/// Of a pipeline that is half gone the bucket alone may be left, whose ARN does not say where it is: the key does.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_left_alone_is_not_forgotten_elsewhere() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let key = somebody::key(&stage).await;
    let lines = format!("  kms_key_arn = \"{key}\"\n");
    stage.set(&lines)?;
    stage.terraform.apply()?;
    let denied = Fault::error(403, "AccessDenied", "denied");
    proxy.inject(Rule::before(denied).on("s3:DeleteBucket"));
    stage.terraform.refuse(&DESTROY)?;
    proxy.clear();
    let text = Stage::text("  region = \"eu-central-1\"\n", "orders", "");
    let block = text.find("resource").unwrap_or_default();
    stage.terraform.rewrite(&text[..block])?;
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("Another region or account"), "{said}");
    stage.set(&lines)?;
    stage.terraform.destroy()?;
    let left = stage.left().await?;
    assert!(left.iter().all(|one| one.contains("key")), "{left:?}");
    Ok(())
}
