//! What a plan said is what an apply does, and what the next plan finds done: also where values are unknown, ignored, or more exact than AWS keeps them.

use std::time::{Duration, Instant};

use aws_sdk_cloudwatchlogs::types::LogGroup;
use aws_sdk_s3::types::{
    ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleAndOperator,
    LifecycleRuleFilter, Tag as S3Tag,
};
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{ADDRESS, APPLY, Error, Plan, Stage};
use serde_json::{Value, json};

use super::in_place::zip;
use super::ownership::state_file;
use super::somebody;

async fn code(stage: &Stage) -> String {
    let get = stage.aws.lambda.get_function_configuration();
    let told = get.function_name(&stage.names.processing).send().await;
    told.unwrap().code_sha256.unwrap_or_default()
}

/// Who lets somebody else see to the code tells Terraform to ignore the function: the rest of the pipeline changes as before, and the code stays what it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_ignored_keeps_its_code() -> Result<(), Error> {
    let lines = |delay: u32| {
        format!(
            "  processing = {{ filename = \"code.zip\", runtime = \"python3.13\", handler = \"main.handler\" }}\n  queue = {{ delay_seconds = {delay} }}\n  \
             lifecycle {{\n    ignore_changes = [processing]\n  }}\n"
        )
    };
    let stage = Stage::new(&lines(0)).await?;
    let path = stage.terraform.directory().join("code.zip");
    let (first, hash) = zip("first");
    std::fs::write(&path, first).unwrap();
    stage.terraform.apply()?;
    assert_eq!(code(&stage).await, hash);

    let (second, theirs) = zip("second");
    std::fs::write(&path, &second).unwrap();
    stage.set(&lines(1))?;
    stage.terraform.apply()?;
    assert_eq!(code(&stage).await, hash);
    assert_eq!(stage.state()?["queue"]["delay_seconds"], json!(1));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    let update = stage.aws.lambda.update_function_code();
    let update = update.function_name(&stage.names.processing);
    let update = update.zip_file(aws_sdk_lambda::primitives::Blob::new(zip("third").0));
    let deployed = update.send().await.unwrap().code_sha256.unwrap();
    assert_ne!(deployed, theirs);
    stage.set(&lines(2))?;
    stage.terraform.apply()?;
    assert_eq!(code(&stage).await, deployed);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // Nor is any file needed for that.
    std::fs::remove_file(&path).unwrap();
    stage.set(&lines(3))?;
    let said = stage.terraform.apply()?.flat();
    assert!(!said.contains("Warning"), "{said}");
    assert_eq!(code(&stage).await, deployed);
    std::fs::write(&path, &second).unwrap();

    // Nor does an apply put back what it had when the plan was made.
    stage.set(&lines(4))?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;
    let update = stage.aws.lambda.update_function_code();
    let update = update.function_name(&stage.names.processing);
    let update = update.zip_file(aws_sdk_lambda::primitives::Blob::new(zip("fourth").0));
    let deployed = update.send().await.unwrap().code_sha256.unwrap();
    let said = stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?;
    let said = said.flat();
    assert!(said.contains("Other code than in the plan"), "{said}");
    assert_eq!(code(&stage).await, deployed);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // Without the function there is nothing to keep.
    let delete = stage.aws.lambda.delete_function();
    let delete = delete.function_name(&stage.names.processing);
    delete.send().await.unwrap();
    stage.terraform.apply()?;
    assert_eq!(code(&stage).await, theirs);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// The same where the code came out of S3.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_ignored_keeps_its_code_out_of_s3() -> Result<(), Error> {
    let lines = |team: &str| {
        format!(
            "  processing = {{ s3_bucket = \"code\", s3_key = \"code.zip\", runtime = \"python3.13\", handler = \"main.handler\" }}\n  \
             tags = {{ team = \"{team}\" }}\n  lifecycle {{\n    ignore_changes = [processing]\n  }}\n"
        )
    };
    let stage = Stage::new(&lines("one")).await?;
    somebody::code(&stage, zip("first").0).await;
    stage.terraform.apply()?;
    let update = stage.aws.lambda.update_function_code();
    let update = update.function_name(&stage.names.processing);
    let update = update.zip_file(aws_sdk_lambda::primitives::Blob::new(zip("theirs").0));
    let deployed = update.send().await.unwrap().code_sha256.unwrap();
    stage.set(&lines("two"))?;
    stage.terraform.apply()?;
    assert_eq!(code(&stage).await, deployed);
    assert_eq!(stage.state()?["processing"]["code_sha256"], json!(deployed));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// What is made anew behind an argument that is ignored is made as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_ignored_comes_back_as_it_was() -> Result<(), Error> {
    let lines = "  event_source = { enabled = false, batch_size = 7 }\n  processing = { memory_size = 512 }\n  \
                 subscriptions = { shared = { protocol = \"sqs\", endpoint = \"arn:aws:sqs:eu-west-1:123456789012:theirs\" } }\n  \
                 lifecycle {\n    ignore_changes = [event_source, processing.memory_size, subscriptions]\n  }\n";
    let stage = Stage::new(lines).await?;
    somebody::queue(&stage.aws, "theirs").await;
    stage.terraform.apply()?;
    let sns = &stage.aws.sns;
    let arn = stage.state()?["subscriptions"]["shared"]["arn"].clone();
    let end = sns.unsubscribe();
    let end = end.subscription_arn(arn.as_str().unwrap_or_default());
    end.send().await.unwrap();
    let lambda = &stage.aws.lambda;
    let uuid = stage.state()?["event_source"]["uuid"].clone();
    let delete = lambda.delete_event_source_mapping();
    let delete = delete.uuid(uuid.as_str().unwrap_or_default());
    delete.send().await.unwrap();
    let delete = lambda.delete_function();
    let delete = delete.function_name(&stage.names.processing);
    delete.send().await.unwrap();
    stage.terraform.apply()?;
    let uuid = stage.state()?["event_source"]["uuid"].clone();
    let get = lambda.get_event_source_mapping();
    let get = get.uuid(uuid.as_str().unwrap_or_default());
    let mapping = get.send().await.unwrap();
    let listed = sns.list_subscriptions_by_topic();
    let listed = listed.topic_arn(stage.arn("sns", &stage.names.topic));
    assert_eq!(listed.send().await.unwrap().subscriptions().len(), 1);
    assert_eq!(mapping.state(), Some("Disabled"));
    assert_eq!(mapping.batch_size(), Some(7));
    let get = lambda.get_function_configuration();
    let get = get.function_name(&stage.names.processing);
    assert_eq!(get.send().await.unwrap().memory_size(), Some(512));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

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
        stage
            .terraform
            .expect(&["apply", "-refresh-only", "-auto-approve", "-no-color"])?;
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
    for (days, warned) in [(5, true), (10, false)] {
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

/// An apply leaves what somebody has changed since its plan in a part of which nothing is to be written: he may have had his reasons, as for an emergency stop.
#[tokio::test(flavor = "multi_thread")]
async fn an_apply_changes_what_its_plan_shows() -> Result<(), Error> {
    let lines = |days: u32| {
        format!(
            "  log_retention_in_days = {days}\n  lifecycle {{\n    ignore_changes = [event_source]\n  }}\n"
        )
    };
    let stage = Stage::new(&lines(14)).await?;
    stage.terraform.apply()?;
    let uuid = stage.state()?["event_source"]["uuid"].clone();
    stage.set(&lines(7))?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;
    let (aws, names) = (&stage.aws, &stage.names);
    let disable = aws.lambda.update_event_source_mapping();
    let disable = disable.uuid(uuid.as_str().unwrap_or_default());
    let limit = aws_sdk_lambda::types::ScalingConfig::builder().maximum_concurrency(2);
    let disable = disable.enabled(false).scaling_config(limit.build());
    disable.send().await.unwrap();
    let stop = aws.lambda.put_function_concurrency();
    let stop = stop.function_name(&names.processing);
    stop.reserved_concurrent_executions(0).send().await.unwrap();
    let said = stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?;
    let said = said.flat();
    for changed in [
        "Changed since the plan",
        "event_source.enabled",
        "event_source.maximum_concurrency",
        "processing.reserved_concurrent_executions",
    ] {
        assert!(said.contains(changed), "{changed}: {said}");
    }
    let observed = stage.observe().await;
    assert_eq!(stage.state()?["log_retention_in_days"], json!(7));
    assert_eq!(observed["event_source"]["state"], json!("Disabled"));
    let get = aws.lambda.get_function_concurrency();
    let get = get.function_name(&names.processing).send().await.unwrap();
    assert_eq!(get.reserved_concurrent_executions, Some(0));

    // The next plan shows it, and its apply puts right what is not ignored.
    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the plan shows nothing")
    };
    assert!(said.contains("reserved_concurrent_executions"), "{said}");
    stage.terraform.apply()?;
    let observed = stage.observe().await;
    assert_eq!(observed["event_source"]["state"], json!("Disabled"));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // What is written as one is written as it should be, and told.
    let more = format!("{}  processing = {{ memory_size = 256 }}\n", lines(7));
    stage.set(&more)?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;
    let change = aws.lambda.update_function_configuration();
    let change = change.function_name(&names.processing).timeout(99);
    change.send().await.unwrap();
    let said = stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?;
    let said = said.flat();
    let (_, told) = said
        .split_once("Put back since the plan: orders/devl")
        .unwrap();
    assert!(told.contains("processing.timeout"), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// What AWS changes by a call of its own is left also where the plan changes something else of the same part: a stop, a hold, somebody's boundary.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_call_of_its_own_is_left() -> Result<(), Error> {
    let lines = |team: &str, memory: u32, batch: u32| {
        format!(
            "  tags = {{ team = \"{team}\" }}\n  integration = {{ memory_size = {memory} }}\n  event_source = {{ batch_size = {batch} }}\n"
        )
    };
    let stage = Stage::new(&lines("one", 128, 10)).await?;
    stage.terraform.apply()?;
    let uuid = stage.state()?["event_source"]["uuid"].clone();
    stage.set(&lines("two", 256, 5))?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;

    let (aws, names) = (&stage.aws, &stage.names);
    let stop = aws.lambda.put_function_concurrency();
    let stop = stop.function_name(&names.integration);
    stop.reserved_concurrent_executions(0).send().await.unwrap();
    let disable = aws.lambda.update_event_source_mapping();
    let disable = disable.uuid(uuid.as_str().unwrap_or_default());
    disable.enabled(false).send().await.unwrap();
    let group = format!("/aws/lambda/{}", names.integration);
    let keep = aws.logs.put_retention_policy().log_group_name(&group);
    keep.retention_in_days(365).send().await.unwrap();
    somebody::live(&stage, |rules| somebody::last(rules, 3650)).await;
    let document = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}"#;
    let make = aws.iam.create_policy().policy_name("quarantine");
    let answer = make.policy_document(document).send().await.unwrap();
    let bound = aws.iam.put_role_permissions_boundary();
    let bound = bound.role_name(&names.integration_role);
    let arn = answer.policy.and_then(|policy| policy.arn).unwrap();
    bound.permissions_boundary(&arn).send().await.unwrap();

    let said = stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?;
    let said = said.flat();
    for changed in [
        "integration.reserved_concurrent_executions",
        "event_source.enabled",
        "integration.log_group.retention_in_days",
        "bucket.expiration_days",
        "integration.role.permissions_boundary",
    ] {
        assert!(said.contains(changed), "{changed}: {said}");
    }
    assert!(!said.contains("Put back since the plan"), "{said}");
    let observed = stage.observe().await;
    assert_eq!(observed["integration"]["reserved_concurrency"], json!(0));
    assert_eq!(observed["integration"]["memory"], json!(256));
    assert_eq!(observed["event_source"]["state"], json!("Disabled"));
    assert_eq!(observed["event_source"]["batch_size"], json!(5));
    assert!(observed["bucket"]["lifecycle"].to_string().contains("3650"));
    let role = aws.iam.get_role().role_name(&names.integration_role);
    let role = role.send().await.unwrap().role.unwrap();
    let boundary = role.permissions_boundary().unwrap();
    assert_eq!(boundary.permissions_boundary_arn(), Some(arn.as_str()));
    let groups = aws.logs.describe_log_groups().log_group_name_prefix(&group);
    let groups = groups.send().await.unwrap();
    assert_eq!(groups.log_groups()[0].retention_in_days(), Some(365));

    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the plan shows nothing")
    };
    assert!(
        said.contains("integration.role.permissions_boundary"),
        "{said}"
    );
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// Log groups whose making was cut short say alike that nothing is set. That is nobody's wish.
#[tokio::test(flavor = "multi_thread")]
async fn a_making_that_was_cut_short_says_nothing() -> Result<(), Error> {
    let lines = "  lifecycle {\n    ignore_changes = [log_retention_in_days]\n  }\n";
    let (stage, proxy) = Stage::behind_proxy(lines).await?;
    let denied = Fault::error(
        400,
        "AccessDeniedException",
        "No, by a policy of the organization.",
    );
    let hits = proxy.inject(Rule::before(denied).on("logs:PutRetentionPolicy"));
    stage.terraform.refuse(&APPLY)?;
    assert!(hits.count() >= 3);
    proxy.clear();
    stage.terraform.expect(&["untaint", ADDRESS])?;
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    let groups = stage.aws.logs.describe_log_groups().send().await.unwrap();
    let days: Vec<_> = groups
        .log_groups()
        .iter()
        .map(LogGroup::retention_in_days)
        .collect();
    assert_eq!(days, [Some(14); 3]);
    Ok(())
}

/// What was found is taken for what it should be where it is ignored or has become the configuration's, and so is what follows from it in other parts: the first plan shows that, and the first apply writes it.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_from_what_was_found_goes_with_it() -> Result<(), Error> {
    let visible =
        |seconds: u32| format!("  queue = {{ visibility_timeout_seconds = {seconds} }}\n");
    let stage = Stage::new(&visible(400)).await?;
    stage.terraform.apply()?;
    let (aws, names) = (&stage.aws, &stage.names);
    let url = async |name: &str| {
        let get = aws.sqs.get_queue_url().queue_name(name);
        get.send().await.unwrap().queue_url.unwrap()
    };
    let seconds = async |name: &str| {
        let get = aws.sqs.get_queue_attributes().queue_url(url(name).await);
        let get = get.attribute_names(QueueAttributeName::VisibilityTimeout);
        let found = get.send().await.unwrap().attributes.unwrap();
        found[&QueueAttributeName::VisibilityTimeout].clone()
    };
    for (by_hand, lines) in [
        ("900", visible(900)),
        (
            "600",
            format!(
                "{}  lifecycle {{\n    ignore_changes = [queue]\n  }}\n",
                visible(900)
            ),
        ),
    ] {
        let set = aws
            .sqs
            .set_queue_attributes()
            .queue_url(url(&names.queue).await);
        let set = set.attributes(QueueAttributeName::VisibilityTimeout, by_hand);
        set.send().await.unwrap();
        stage.set(&lines)?;
        let Plan::Changes(said) = stage.terraform.plan()? else {
            panic!("the plan shows nothing")
        };
        let told = "undeliverable_queue.visibility_timeout_seconds";
        assert!(said.contains(told), "{said}");
        let said = stage
            .terraform
            .expect(&["apply", "-auto-approve", "-no-color"])?
            .flat();
        assert!(!said.contains("since the plan"), "{said}");
        assert_eq!(seconds(&names.undeliverable_queue).await, by_hand);
        assert_eq!(seconds(&names.queue).await, by_hand);
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

/// A rule for some objects is not the one for all, and one that was changed alone not both: no apply writes what nobody has touched.
#[tokio::test(flavor = "multi_thread")]
async fn no_rule_is_rewritten_that_nobody_touched() -> Result<(), Error> {
    let stage = Stage::new("  lifecycle {\n    ignore_changes = [bucket]\n  }\n").await?;
    stage.terraform.apply()?;
    let days = async || {
        let get = stage.aws.s3.get_bucket_lifecycle_configuration();
        let found = get.bucket(&stage.names.bucket).send().await.unwrap();
        let mut all: Vec<(String, Option<i32>)> = found
            .rules()
            .iter()
            .filter_map(|rule| {
                let days = rule.expiration().and_then(LifecycleExpiration::days);
                Some((rule.id()?.to_owned(), days))
            })
            .collect();
        all.sort();
        all.retain(|(_, days)| days.is_some());
        all
    };
    let before = days().await;
    assert_eq!(before.len(), 2, "{before:?}");
    let drafts = LifecycleRuleAndOperator::builder().prefix("inbound/");
    let draft = S3Tag::builder().key("draft").value("true").build().unwrap();
    let drafts = LifecycleRuleFilter::builder().and(drafts.tags(draft).build());
    somebody::live(&stage, |rules| {
        let rule = rules[0].clone();
        let theirs = LifecycleRule::builder()
            .id("a-drafts")
            .filter(drafts.clone().build());
        let theirs = theirs.status(ExpirationStatus::Enabled);
        let theirs = theirs.expiration(LifecycleExpiration::builder().days(1).build());
        rules[0] = theirs.build().unwrap();
        rules.push(rule);
    })
    .await;
    stage.terraform.apply()?;
    assert_eq!(days().await, before);

    somebody::live(&stage, |rules| {
        let inbound = rules
            .iter_mut()
            .find(|rule| rule.id() == Some("bellflower-expire-inbound"));
        let fewer = LifecycleExpiration::builder().days(30).build();
        inbound.unwrap().expiration = Some(fewer);
    })
    .await;
    stage.terraform.apply()?;
    assert_eq!(days().await, before);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // Both alike are what is ignored.
    somebody::live(&stage, |rules| {
        somebody::last(rules, 365);
    })
    .await;
    stage.terraform.apply()?;
    let days = days().await;
    assert!(days.iter().all(|(_, days)| *days == Some(365)), "{days:?}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// So is what has no attribute here: what somebody adds for an incident, or another team for itself. What is written along is named.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_attribute_is_left_as_well() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let (aws, names) = (&stage.aws, &stage.names);
    let display = |name: &str| format!("  topic = {{ display_name = \"{name}\" }}\n");
    stage.set(&display("one"))?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;

    let mute = aws.cloudwatch.disable_alarm_actions();
    let alarm = stage.state()?["integration"]["alarms"]["errors"]["alarm_name"].clone();
    let mute = mute.alarm_names(alarm.as_str().unwrap());
    mute.send().await.unwrap();
    let url = aws.sqs.get_queue_url().queue_name(&names.queue);
    let url = url.send().await.unwrap().queue_url.unwrap();
    let redrive = async || {
        let get = aws.sqs.get_queue_attributes().queue_url(&url);
        let get = get.attribute_names(QueueAttributeName::RedrivePolicy);
        let found = get.send().await.unwrap().attributes.unwrap();
        found[&QueueAttributeName::RedrivePolicy].clone()
    };
    let mut more: Value = serde_json::from_str(&redrive().await).unwrap();
    more["maxReceiveCount"] = json!(50);
    let set = aws.sqs.set_queue_attributes().queue_url(&url);
    let set = set.attributes(QueueAttributeName::RedrivePolicy, more.to_string());
    set.send().await.unwrap();
    their_rule(&stage, 90).await;
    let said = stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?
        .flat();
    let (_, told) = said
        .split_once("Changed since the plan: orders/devl")
        .unwrap_or_else(|| panic!("{said}"));
    let hidden = [
        "integration.alarms.errors.actions_enabled",
        "queue.redrive_policy",
        "bucket.lifecycle_rules",
    ];
    for label in hidden {
        assert!(told.contains(label), "{label}: {said}");
    }
    assert!(!said.contains("Put back since the plan"), "{said}");
    let observed = stage.observe().await;
    assert!(
        observed["bucket"]["lifecycle"]
            .to_string()
            .contains("theirs")
    );
    assert!(redrive().await.contains("50"));
    let alarms = aws.cloudwatch.describe_alarms();
    let alarms = alarms.alarm_names(alarm.as_str().unwrap());
    let alarms = alarms.send().await.unwrap().metric_alarms.unwrap();
    assert_eq!(alarms[0].actions_enabled, Some(false));

    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the plan shows nothing")
    };
    for label in hidden {
        assert!(said.contains(label), "{label}: {said}");
    }
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // All rules of a bucket are one call.
    for (lines, days, told) in [
        ("inbound_prefix = \"in/\"", 365, "bucket.expiration_days"),
        (
            "inbound_prefix = \"in/\"\n    expiration_days = 91",
            90,
            "bucket.lifecycle_rules",
        ),
    ] {
        stage.set(&format!(
            "{}  bucket = {{\n    {lines}\n  }}\n",
            display("one")
        ))?;
        stage.terraform.expect(&["plan", "-out=the.plan"])?;
        their_rule(&stage, days).await;
        let said = stage
            .terraform
            .expect(&["apply", "-no-color", "the.plan"])?
            .flat();
        let put_back = said.split_once("Put back since the plan: orders/devl");
        let (_, put_back) = put_back.unwrap_or_else(|| panic!("{said}"));
        assert!(put_back.contains(told), "{said}");
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

/// Gives the bucket a rule of somebody's, and its own these days.
async fn their_rule(stage: &Stage, days: i32) {
    somebody::live(stage, |rules| {
        somebody::last(rules, days);
        let filter = LifecycleRuleFilter::builder().prefix("theirs/").build();
        let expiration = LifecycleExpiration::builder().days(5).build();
        let theirs = LifecycleRule::builder().id("theirs").filter(filter);
        let theirs = theirs.status(ExpirationStatus::Enabled);
        rules.push(theirs.expiration(expiration).build().unwrap());
    })
    .await;
}

/// What somebody gives all log groups, or all roles, is what the argument for all of them says, so that `ignore_changes` reaches it.
#[tokio::test(flavor = "multi_thread")]
async fn what_all_of_a_kind_are_given_is_ignored_by_its_argument() -> Result<(), Error> {
    const IGNORED: &str =
        "  lifecycle {\n    ignore_changes = [log_retention_in_days, permissions_boundary]\n  }\n";
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let (aws, names) = (&stage.aws, &stage.names);
    let document = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    let create = aws.iam.create_policy().policy_name("landing-zone");
    let answer = create.policy_document(document).send().await.unwrap();
    let arn = answer.policy.and_then(|policy| policy.arn).unwrap();
    let made = stage.state()?;
    let parts = ["processing", "integration", "state_machine"];
    for part in parts {
        let role = made[part]["role"]["name"].as_str().unwrap();
        let bound = aws.iam.put_role_permissions_boundary().role_name(role);
        bound.permissions_boundary(&arn).send().await.unwrap();
        let group = made[part]["log_group"]["name"].as_str().unwrap();
        let keep = aws.logs.put_retention_policy().log_group_name(group);
        keep.retention_in_days(365).send().await.unwrap();
    }

    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the plan shows nothing")
    };
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "log_retention_in_days = 365 -> 14",
        &format!("permissions_boundary = \"{arn}\" -> null"),
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    stage.set(IGNORED)?;
    let plan = stage.terraform.plan()?;
    assert!(matches!(plan, Plan::NoChanges), "{plan:?}");

    // It stays where something else is changed, too.
    stage.set(&format!("  tags = {{ team = \"one\" }}\n{IGNORED}"))?;
    let said = stage
        .terraform
        .expect(&["apply", "-auto-approve", "-no-color"])?;
    assert!(
        !said.flat().contains("Changed since the plan"),
        "{}",
        said.flat()
    );
    let role = aws.iam.get_role().role_name(&names.integration_role);
    let role = role.send().await.unwrap().role.unwrap();
    let boundary = role.permissions_boundary().unwrap();
    assert_eq!(boundary.permissions_boundary_arn(), Some(arn.as_str()));
    let group = format!("/aws/lambda/{}", names.integration);
    let groups = aws.logs.describe_log_groups().log_group_name_prefix(&group);
    let groups = groups.send().await.unwrap();
    assert_eq!(groups.log_groups()[0].retention_in_days(), Some(365));

    stage.set("")?;
    stage.terraform.apply()?;
    let role = aws.iam.get_role().role_name(&names.integration_role);
    let role = role.send().await.unwrap().role.unwrap();
    assert!(role.permissions_boundary().is_none());
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // So is that nothing is set any more.
    stage.set(IGNORED)?;
    let groups: Vec<&str> = parts
        .iter()
        .map(|part| made[part]["log_group"]["name"].as_str().unwrap())
        .collect();
    let roles: Vec<&str> = parts
        .iter()
        .map(|part| made[part]["role"]["name"].as_str().unwrap())
        .collect();
    for role in &roles {
        let bound = aws.iam.put_role_permissions_boundary().role_name(*role);
        bound.permissions_boundary(&arn).send().await.unwrap();
    }
    stage
        .terraform
        .expect(&["apply", "-refresh-only", "-auto-approve"])?;
    assert_eq!(stage.state()?["permissions_boundary"], json!(arn));
    for (group, role) in groups.iter().zip(roles) {
        let forget = aws.logs.delete_retention_policy().log_group_name(*group);
        forget.send().await.unwrap();
        let free = aws.iam.delete_role_permissions_boundary().role_name(role);
        free.send().await.unwrap();
    }
    let plan = stage.terraform.plan()?;
    assert!(matches!(plan, Plan::NoChanges), "{plan:?}");
    stage.set("")?;
    stage.terraform.apply()?;
    stage.set(IGNORED)?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // One does not speak for the others: these are known again by being as they were made.
    for part in &parts[..2] {
        let arn = made[part]["log_group"]["arn"].as_str().unwrap();
        let untag = aws.logs.untag_resource().resource_arn(arn);
        untag.tag_keys("bellflower:pipeline").send().await.unwrap();
    }
    let keep = aws.logs.put_retention_policy().log_group_name(groups[2]);
    keep.retention_in_days(365).send().await.unwrap();
    let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
    assert!(!said.contains("was not made by this pipeline"), "{said}");
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// Terraform says that it ignores nothing of `tags_all`, and nothing is: also not a single tag, which would be all that it gives.
#[tokio::test(flavor = "multi_thread")]
async fn tags_are_not_ignored() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let write = |team: &str, ignored: &str| {
        let provider = format!(
            "  default_tags {{\n    tags = {{ owner = \"ops\", team = \"{team}\" }}\n  }}\n"
        );
        let lines = format!(
            "  tags = {{ own = \"{team}\" }}\n  lifecycle {{\n    ignore_changes = [{ignored}]\n  }}\n"
        );
        let text = Stage::text(&provider, "orders", &lines);
        stage.terraform.rewrite(&text)
    };
    write("one", "")?;
    stage.terraform.apply()?;
    for (team, ignored) in [("two", "tags_all"), ("three", "tags_all[\"team\"]")] {
        write(team, ignored)?;
        let Plan::Changes(said) = stage.terraform.plan()? else {
            panic!("{ignored}: no change is shown")
        };
        assert!(said.contains(team), "{said}");
        stage.terraform.apply()?;
        let url = stage.aws.sqs.get_queue_url();
        let url = url.queue_name(&stage.names.queue).send().await.unwrap();
        let list = stage.aws.sqs.list_queue_tags();
        let tags = list.set_queue_url(url.queue_url).send().await.unwrap();
        let tags = tags.tags.unwrap();
        assert_eq!(
            [&tags["owner"], &tags["team"], &tags["own"]],
            ["ops", team, team]
        );
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

/// What is ignored cannot follow what the rest of the pipeline changes to. Nothing but the plan that changes it can say so.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_behind_is_told() -> Result<(), Error> {
    let lines = |more: &str| {
        format!("  lifecycle {{\n    ignore_changes = [integration, drift]\n  }}\n{more}")
    };
    let stage = Stage::new(&lines("")).await?;
    stage.terraform.apply()?;
    let said = stage.terraform.expect(&["plan", "-no-color"])?.flat();
    assert!(!said.contains("Left behind"), "{said}");
    stage.set(&lines("  bucket = { inbound_prefix = \"answers/\" }\n"))?;
    let said = stage.terraform.expect(&["plan", "-no-color"])?.flat();
    assert!(said.contains("Left behind by ignore_changes"), "{said}");
    assert!(said.contains("integration.role.policy"), "{said}");

    let untag = stage.aws.s3.delete_bucket_lifecycle();
    untag.bucket(&stage.names.bucket).send().await.unwrap();
    stage.set(&lines("  queue = { delay_seconds = 1 }\n"))?;
    let said = stage.terraform.apply()?.flat();
    assert!(said.contains("Drift is not ignored"), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
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
    let refresh = ["apply", "-refresh-only", "-auto-approve", "-no-color"];
    stage.terraform.expect(&refresh)?;
    assert_eq!(state_file(&stage), written);
    stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?;
    assert_eq!(stage.state()?["queue"]["delay_seconds"], json!(3));
    Ok(())
}
