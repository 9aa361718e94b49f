//! What somebody has changed since the plan that an apply goes by: left where the plan does not change it, and told.

use aws_sdk_s3::types::{
    ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::{Error, Plan, Stage};
use serde_json::{Value, json};

use super::somebody;

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

/// A definition, a policy or a function's variables are written as a whole, of which a plan tells what it changes itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_back_within_a_whole_is_named() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    stage.set(
        "  state_machine = { callback_heartbeat_seconds = 100 }\n  bucket = { inbound_prefix = \"in/\" }\n  processing = { variables = { OURS = \"1\" } }\n",
    )?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;
    let (aws, names) = (&stage.aws, &stage.names);
    let machine = stage.arn("states", &format!("stateMachine:{}", names.state_machine));
    let described = aws.sfn.describe_state_machine().state_machine_arn(&machine);
    let definition = described.send().await.unwrap().definition;
    let longer = definition.replace("86400", "4444");
    assert_ne!(longer, definition);
    let update = aws.sfn.update_state_machine().state_machine_arn(&machine);
    update.definition(longer).send().await.unwrap();
    let role = &names.integration_role;
    let listed = aws.iam.list_role_policies().role_name(role);
    let policies = listed.send().await.unwrap().policy_names;
    let deny = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}"#;
    let put = aws.iam.put_role_policy().role_name(role);
    let put = put.policy_name(&policies[0]).policy_document(deny);
    put.send().await.unwrap();
    let theirs = aws_sdk_lambda::types::Environment::builder().variables("THEIRS", "1");
    let update = aws.lambda.update_function_configuration();
    let update = update.function_name(&names.processing);
    update.environment(theirs.build()).send().await.unwrap();
    let said = stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?;
    let said = said.flat();
    let (_, told) = said
        .split_once("Put back since the plan: orders/devl")
        .unwrap_or_else(|| panic!("{said}"));
    for put_back in [
        "integration.role.policy",
        "processing.variables",
        "state_machine.definition",
    ] {
        assert!(told.contains(put_back), "{put_back}: {said}");
    }
    assert!(!told.contains("folders"), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// A tag that was ignored until the configuration has it, a filter that let all through, and what a plan tells of, were there before, and nobody has changed them since.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_seen_otherwise_is_nobodys_change() -> Result<(), Error> {
    let ignoring = "  ignore_tags {\n    keys = [\"audit\"]\n  }\n";
    let stage = Stage::new("").await?;
    somebody::open_queue(&stage.aws, "listener").await;
    let listener = stage.arn("sqs", "listener");
    let lines = |tags: &str, filter: &str| {
        let subscription = format!(
            "protocol = \"sqs\", endpoint = \"{listener}\", filter_policy = jsonencode({filter})"
        );
        let lines =
            format!("  tags = {{ {tags} }}\n  subscriptions = {{ s = {{ {subscription} }} }}\n");
        Stage::text(ignoring, "orders", &lines)
    };
    stage.terraform.rewrite(&lines("a = 1", "{}"))?;
    stage.terraform.apply()?;
    let tag = stage.aws.sqs.tag_queue().tags("audit", "theirs");
    let tag = tag.queue_url(somebody::url_of(&stage, &stage.names.queue).await);
    tag.send().await.unwrap();
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    let changed = lines("a = 1, audit = \"ours\"", "{ status = [\"FAILED\"] }");
    stage.terraform.rewrite(&changed)?;
    let said = stage.terraform.apply()?.flat();
    assert!(!said.contains("since the plan"), "{said}");
    let observed = stage.observe().await;
    assert_eq!(observed["queue"]["tags"]["audit"], json!("ours"));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // Nor when it is ignored again, and the rest goes.
    let again = lines("", "{ status = [\"FAILED\"] }");
    stage.terraform.rewrite(&again)?;
    let said = stage.terraform.apply()?.flat();
    assert!(!said.contains("since the plan"), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // The same days by rules of somebody's.
    somebody::live(&stage, |rules| {
        for rule in rules {
            rule.id = rule.id.take().map(|id| format!("theirs-{id}"));
        }
    })
    .await;
    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the plan shows nothing")
    };
    assert!(said.contains("bucket.lifecycle_rules"), "{said}");
    stage.set("  bucket = { inbound_prefix = \"in/\", outbound_prefix = \"out/\" }\n")?;
    let said = stage.terraform.apply()?.flat();
    assert!(!said.contains("since the plan"), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}
