//! What could be lost on the way: what others have changed or added, what was half made or lost its mark, messages and subscriptions.

use std::time::Duration;

use aws_sdk_lambda::types::{ApplicationLogLevel, Environment, LogFormat, LoggingConfig};
use aws_sdk_s3::types::{
    BlockedEncryptionTypes, EncryptionType, EventBridgeConfiguration, NotificationConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{ADDRESS, APPLY, DESTROY, Error, Plan, Stage, eventually};
use serde_json::Value;

use super::somebody::{self, MARK, messages, put, send};

/// Somebody has made a part anew in a way that AWS does not change any more: an apply says so, and does not say that it is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_an_error() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let sfn = &stage.aws.sfn;
    let machine = &stage.names.state_machine;
    let arn = stage.arn("states", &format!("stateMachine:{machine}"));
    let was = sfn.describe_state_machine().state_machine_arn(&arn);
    let was = was.send().await.unwrap();
    let tags = sfn.list_tags_for_resource().resource_arn(&arn);
    let tags = tags.send().await.unwrap().tags;
    somebody::delete_machine(&stage).await;
    let make = sfn.create_state_machine().name(machine);
    let make = make.definition(was.definition).role_arn(was.role_arn);
    let make = make.r#type("EXPRESS".into()).set_tags(tags);
    make.send().await.unwrap();
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(
        said.contains("its type is \"EXPRESS\", should be \"STANDARD\""),
        "{said}"
    );
    somebody::delete_machine(&stage).await;
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// What is ignored is left as it is, and the state tells it as it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_is_left_alone() -> Result<(), Error> {
    let lines = |delay: u32| {
        format!(
            "  queue = {{ delay_seconds = {delay} }}\n  lifecycle {{\n    ignore_changes = [integration, topic]\n  }}\n"
        )
    };
    let stage = Stage::new(&lines(0)).await?;
    stage.terraform.apply()?;
    let role = &stage.names.integration_role;
    let iam = &stage.aws.iam;
    let policies = iam.list_role_policies().role_name(role).send().await;
    let name = policies.unwrap().policy_names.remove(0);
    let open = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}"#;
    let write = iam.put_role_policy().role_name(role).policy_name(&name);
    write.policy_document(open).send().await.unwrap();
    stage.set(&lines(7))?;
    stage.terraform.apply()?;
    let now = stage.observe().await;
    let text = now["integration"]["role"].to_string();
    assert!(text.contains("ListAllMyBuckets"), "{text}");
    let known = stage.state()?["integration"]["role"]["policy"].clone();
    assert!(known.to_string().contains("ListAllMyBuckets"), "{known}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    // Looked at again, it is the pipeline's.
    stage.set("  queue = { delay_seconds = 7 }\n")?;
    stage.terraform.apply()?;
    let text = stage.observe().await["integration"]["role"].to_string();
    assert!(!text.contains("ListAllMyBuckets"), "{text}");
    Ok(())
}

/// A dashboard says in one of its widgets whose it is, and that may go as any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_without_its_first_widget_is_mended() -> Result<(), Error> {
    let lines = "  dashboard = { dashboard_name = \"mine\" }\n";
    let stage = Stage::new(lines).await?;
    stage.terraform.apply()?;
    let cloudwatch = &stage.aws.cloudwatch;
    let get = || cloudwatch.get_dashboard().dashboard_name("mine").send();
    let body = get().await.unwrap().dashboard_body.unwrap();
    let mut changed: Value = serde_json::from_str(&body).unwrap();
    changed["widgets"].as_array_mut().unwrap().remove(0);
    let put = cloudwatch.put_dashboard().dashboard_name("mine");
    let put = put.dashboard_body(changed.to_string());
    put.send().await.unwrap();
    assert!(matches!(stage.terraform.plan()?, Plan::Changes(_)));
    stage.terraform.apply()?;
    let now = get().await.unwrap().dashboard_body.unwrap();
    assert_eq!(now, body);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// AWS's index of tags is late: what somebody has made under the name of a part that was there a moment ago is his, whatever the index says.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_index_of_tags_gives_nothing_away() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    let name = &stage.names.dead_letter_queue;
    let sqs = &stage.aws.sqs;
    let url = sqs.get_queue_url().queue_name(name).send().await;
    let url = url.unwrap().queue_url.unwrap();
    sqs.delete_queue().queue_url(&url).send().await.unwrap();
    eventually("the name is free", Duration::from_secs(90), async || {
        let made = sqs.create_queue().queue_name(name).send().await;
        Ok(made
            .map(drop)
            .map_err(|error| error.into_service_error().to_string()))
    })
    .await?;
    send(&stage, name).await;
    let late = proxy.inject(Rule::before(Fault::Stale).on("tag:GetResources"));
    let said = stage.terraform.expect(&DESTROY)?.flat();
    assert!(late.count() > 0);
    assert!(said.contains(name.as_str()), "{said}");
    assert_eq!(messages(&stage, name).await, "1");
    Ok(())
}

/// An alarm that is switched off and there all the same: a run that had switched it on was killed, and its configuration taken back.
#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_of_a_killed_run_goes() -> Result<(), Error> {
    let off = "  alarms = { message_age = { enabled = false } }\n  integration = { alarms = { errors = { enabled = false } } }\n";
    let stage = Stage::new(off).await?;
    stage.terraform.apply()?;
    let calm = stage.left().await?;
    let file = stage.terraform.directory().join("terraform.tfstate");
    let before = std::fs::read(&file).unwrap();
    let interrupted = async || -> Result<(), Error> {
        stage.set("")?;
        stage.terraform.apply()?;
        assert_eq!(stage.left().await?.len(), calm.len() + 2);
        std::fs::write(&file, &before).unwrap();
        stage.set(off)
    };
    interrupted().await?;
    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the alarms are not seen")
    };
    assert!(said.contains("0 to add, 1 to change"), "{said}");
    assert_eq!(said.matches("enabled").count(), 2, "{said}");
    stage.terraform.apply()?;
    assert_eq!(stage.left().await?, calm);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    interrupted().await?;
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Messages and what others have subscribed are nothing that stands against a destroy. It tells how many go, before it is approved.
#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_tells_of_messages_and_of_subscriptions_of_others() -> Result<(), Error> {
    let lines = |name: &str| {
        format!(
            "  dead_letter_queue = {{ name = \"{name}\" }}\n  subscriptions = {{\n    ops = {{ protocol = \"email\", endpoint = \"ops@example.com\" }}\n  }}\n"
        )
    };
    let stage = Stage::new(&lines("dead")).await?;
    stage.terraform.apply()?;
    let planned = || stage.terraform.expect(&["plan", "-destroy", "-no-color"]);
    let said = planned()?.flat();
    assert!(!said.contains("Messages in the queues"), "{said}");
    assert!(!said.contains("Other subscriptions of the topic"), "{said}");
    somebody::queue(&stage.aws, "theirs").await;
    let theirs = stage.arn("sqs", "theirs");
    let subscribe = stage.aws.sns.subscribe().protocol("sqs").endpoint(theirs);
    let topic = stage.arn("sns", &stage.names.topic);
    subscribe.topic_arn(&topic).send().await.unwrap();
    let said = planned()?.flat();
    let others = format!("SNS topic \"{}\": 1.", stage.names.topic);
    assert!(said.contains(&others), "{said}");
    send(&stage, "dead").await;
    send(&stage, "dead").await;
    let counted = "SQS queue \"dead\": about 2.";
    let said = planned()?.flat();
    assert!(said.contains(counted), "{said}");
    let said = stage.terraform.expect(&DESTROY)?.flat();
    assert!(said.contains(counted), "{said}");
    Ok(())
}

/// Whoever takes messages beside the pipeline takes its work, which nothing else shows: no part is otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_messages_beside_the_pipeline_is_told() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let lambda = &stage.aws.lambda;
    let role = stage.arn("iam", &format!("role/{}", stage.names.processing_role));
    somebody::function(&stage.aws, "theirs", &role).await;
    let planned = || stage.terraform.expect(&["plan", "-no-color"]);
    let mut uuids = Vec::new();
    for queue in [&stage.names.queue, &stage.names.undeliverable_queue] {
        let call = lambda.create_event_source_mapping();
        let call = call.event_source_arn(stage.arn("sqs", queue));
        let mapping = call.function_name("theirs").send().await.unwrap();
        let uuid = mapping.uuid.unwrap();
        let named = format!("theirs (event source mapping {uuid})");
        let said = planned()?.flat();
        assert!(said.contains(&stage.arn("sqs", queue)), "{said}");
        assert!(said.contains(&named), "{said}");
        assert!(said.contains("No changes."), "{said}");
        stage.terraform.apply()?;
        let call = lambda.update_event_source_mapping().uuid(&uuid);
        call.enabled(false).send().await.unwrap();
        let said = planned()?.flat();
        assert!(!said.contains("Messages taken by others"), "{said}");
        uuids.push(uuid);
    }
    let call = lambda.update_event_source_mapping().uuid(&uuids[0]);
    call.enabled(true).send().await.unwrap();
    // The pipeline's own is no other, whatever becomes of it.
    let own = stage.state()?["event_source"].clone();
    let [arn, uuid] = ["arn", "uuid"].map(|name| own[name].as_str().unwrap_or_default());
    let call = lambda.untag_resource().resource(arn).tag_keys(MARK);
    call.send().await.unwrap();
    let call = lambda.update_event_source_mapping().uuid(uuid);
    call.batch_size(7).send().await.unwrap();
    let said = planned()?.flat();
    assert!(said.contains("was not made by this pipeline"), "{said}");
    assert!(said.contains("theirs (event source mapping"), "{said}");
    let told = format!("{} (event source mapping", stage.names.integration);
    assert!(!said.contains(&told), "{said}");
    // All of them are theirs while the pipeline takes none.
    let call = lambda.delete_event_source_mapping().uuid(uuid);
    call.send().await.unwrap();
    let said = planned()?.flat();
    let whose = "Messages taken by others: orders/devl, event_source";
    assert!(said.contains(whose), "{said}");
    Ok(())
}

/// A plan that had nothing to tell keeps no apply from telling what goes by then. A tainted pipeline's own key is its own, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_plan_has_told_the_apply_tells() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let key = stage.state()?["key"]["arn"].clone();
    stage.terraform.expect(&["taint", ADDRESS])?;
    stage.set(&format!("  kms_key_arn = {key}\n"))?;
    let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
    assert!(said.contains("The pipeline's own key"), "{said}");
    stage.terraform.expect(&["untaint", ADDRESS])?;
    stage.set("")?;

    let dead = &stage.names.dead_letter_queue;
    let counted = format!("SQS queue \"{dead}\": about 1.");
    let planned = stage
        .terraform
        .expect(&["plan", "-destroy", "-no-color", "-out=p"])?;
    assert!(!planned.flat().contains("Messages in the queues"));
    send(&stage, dead).await;
    let said = stage.terraform.expect(&["apply", "-no-color", "p"])?.flat();
    assert!(said.contains(&counted), "{said}");
    Ok(())
}

/// A definition under `ignore_changes` is left as somebody has made it, also when something else of the state machine changes.
#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_definition_is_left() -> Result<(), Error> {
    let lines = |level: &str| {
        format!(
            "  state_machine = {{ log_level = \"{level}\" }}\n  lifecycle {{\n    ignore_changes = [state_machine.definition]\n  }}\n"
        )
    };
    let stage = Stage::new(&lines("ERROR")).await?;
    stage.terraform.apply()?;
    let machine = &stage.names.state_machine;
    let arn = stage.arn("states", &format!("stateMachine:{machine}"));
    let theirs = r#"{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}"#;
    let update = stage.aws.sfn.update_state_machine();
    let update = update.state_machine_arn(&arn).definition(theirs);
    update.send().await.unwrap();
    stage.set(&lines("ALL"))?;
    stage.terraform.apply()?;
    let describe = stage.aws.sfn.describe_state_machine();
    let found = describe.state_machine_arn(&arn).send().await.unwrap();
    let definition: Value = serde_json::from_str(found.definition()).unwrap();
    assert_eq!(definition["StartAt"], "Done");
    let level = found.logging_configuration.unwrap().level.unwrap();
    assert_eq!(level.as_str(), "ALL");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// AWS may deny once what is there. Nothing is left for that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_for_a_while_is_not_left() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    for (operation, status, code, times) in [
        ("iam:GetRole", 404, "NoSuchEntity", 1),
        ("lambda:GetFunction", 404, "ResourceNotFoundException", 1),
        // For three seconds.
        ("sns:GetTopicAttributes", 404, "NotFound", 3),
        ("kms:DescribeKey", 400, "NotFoundException", 6),
    ] {
        stage.terraform.apply()?;
        let gone = Fault::error(status, code, "not found");
        proxy.inject(Rule::before(gone).on(operation).first(times));
        stage.terraform.destroy()?;
        proxy.clear();
        assert_eq!(stage.left().await?, Vec::<String>::new(), "{operation}");
    }
    Ok(())
}

/// What others have an alarm do beside what is the pipeline's stays when the alarm is written.
#[tokio::test(flavor = "multi_thread")]
async fn actions_of_others_stay() -> Result<(), Error> {
    let lines = |threshold: u32| {
        format!("  processing = {{ alarms = {{ errors = {{ threshold = {threshold} }} }} }}\n")
    };
    let stage = Stage::new(&lines(3)).await?;
    stage.terraform.apply()?;
    let name = format!("{}-errors", stage.names.processing);
    let described = async || {
        let describe = stage.aws.cloudwatch.describe_alarms();
        let told = describe.alarm_names(&name).send().await.unwrap();
        told.metric_alarms.unwrap().remove(0)
    };
    let alarm = described().await;
    let theirs = stage.arn("sns", "theirs");
    let put = stage.aws.cloudwatch.put_metric_alarm();
    put.alarm_name(&name)
        .set_alarm_description(alarm.alarm_description)
        .set_namespace(alarm.namespace)
        .set_metric_name(alarm.metric_name)
        .set_dimensions(alarm.dimensions)
        .set_statistic(alarm.statistic)
        .set_period(alarm.period)
        .set_evaluation_periods(alarm.evaluation_periods)
        .set_datapoints_to_alarm(alarm.datapoints_to_alarm)
        .set_threshold(alarm.threshold)
        .set_comparison_operator(alarm.comparison_operator)
        .set_treat_missing_data(alarm.treat_missing_data)
        .set_alarm_actions(alarm.alarm_actions)
        .set_ok_actions(alarm.ok_actions)
        .insufficient_data_actions(&theirs)
        .send()
        .await
        .unwrap();
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.set(&lines(20))?;
    stage.terraform.apply()?;
    let alarm = described().await;
    assert_eq!(alarm.threshold, Some(20.0));
    assert_eq!(alarm.insufficient_data_actions, Some(vec![theirs]));
    Ok(())
}

/// So do what uploads to the bucket S3 refuses, the switch for `EventBridge`, and how a function writes its log, when what is the pipeline's is written
/// beside them.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_set_beside_it_stays() -> Result<(), Error> {
    let stage = Stage::new("").await.unwrap();
    stage.terraform.apply()?;
    let (lambda, function) = (&stage.aws.lambda, &stage.names.integration);
    let elsewhere = LoggingConfig::builder()
        .log_format(LogFormat::Json)
        .application_log_level(ApplicationLogLevel::Fatal)
        .log_group("/somewhere/else");
    let update = lambda
        .update_function_configuration()
        .function_name(function);
    update
        .logging_config(elsewhere.build())
        .send()
        .await
        .unwrap();
    let (s3, bucket) = (&stage.aws.s3, &stage.names.bucket);
    let by = ServerSideEncryptionByDefault::builder().sse_algorithm(ServerSideEncryption::Aes256);
    let refused = BlockedEncryptionTypes::builder().encryption_type(EncryptionType::SseC);
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by.build().unwrap())
        .blocked_encryption_types(refused.build());
    let rules = ServerSideEncryptionConfiguration::builder().rules(rule.build());
    let put = s3.put_bucket_encryption().bucket(bucket);
    put.server_side_encryption_configuration(rules.build().unwrap())
        .send()
        .await
        .unwrap();
    let bridge = EventBridgeConfiguration::builder().build();
    let alone = NotificationConfiguration::builder().event_bridge_configuration(bridge);
    let put = s3.put_bucket_notification_configuration().bucket(bucket);
    put.notification_configuration(alone.build())
        .send()
        .await
        .unwrap();

    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    let have = s3
        .get_bucket_encryption()
        .bucket(bucket)
        .send()
        .await
        .unwrap();
    let have = have.server_side_encryption_configuration.unwrap();
    let rule = &have.rules()[0];
    let by = rule.apply_server_side_encryption_by_default().unwrap();
    assert_eq!(by.sse_algorithm(), &ServerSideEncryption::AwsKms);
    let refused = rule.blocked_encryption_types().unwrap();
    assert_eq!(refused.encryption_type(), [EncryptionType::SseC]);
    let have = s3.get_bucket_notification_configuration().bucket(bucket);
    let have = have.send().await.unwrap();
    assert_eq!(have.lambda_function_configurations().len(), 1);
    assert!(have.event_bridge_configuration().is_some());
    let have = lambda.get_function_configuration().function_name(function);
    let have = have.send().await.unwrap().logging_config.unwrap();
    assert_eq!(
        have.log_group(),
        Some(format!("/aws/lambda/{function}").as_str())
    );
    assert_eq!(have.log_format(), Some(&LogFormat::Json));
    assert_eq!(
        have.application_log_level(),
        Some(&ApplicationLogLevel::Fatal)
    );
    Ok(())
}

/// A dashboard that somebody has emptied is filled again.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_dashboard_is_filled() -> Result<(), Error> {
    let stage = Stage::new("  dashboard = {}\n").await?;
    stage.terraform.apply()?;
    let name = stage.state()?["dashboard"]["dashboard_name"].clone();
    let put = stage.aws.cloudwatch.put_dashboard();
    let put = put.dashboard_name(name.as_str().unwrap_or_default());
    put.dashboard_body("{\"widgets\":[]}").send().await.unwrap();
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// However many pipelines are made at once, calls wait for their turn: no more are under way than AWS and a machine's connections bear.
#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_their_turn() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let text = Stage::text("", "orders", "").replace(
        "name = \"orders\"",
        "for_each = toset([\"a1\", \"b2\", \"c3\", \"d4\"])\n  name     = each.key",
    );
    stage.terraform.rewrite(&text)?;
    proxy.latency(Duration::from_millis(200));
    stage.terraform.apply()?;
    let calls = proxy.calls();
    let under_way = |moment| {
        let is_open = |call: &&bellflower_tests::proxy::Call| {
            call.start <= moment && call.end.is_none_or(|end| end > moment)
        };
        calls.iter().filter(is_open).count()
    };
    let most = calls.iter().map(|call| under_way(call.start)).max();
    assert!(
        most.is_some_and(|most| (30..=70).contains(&most)),
        "{most:?}"
    );
    Ok(())
}

/// What was in them is gone, and no plan has said so.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_removed_since_the_plan_is_told() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    stage.set("  log_retention_in_days = 30\n")?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;
    let queue = &stage.names.dead_letter_queue;
    let url = stage.aws.sqs.get_queue_url().queue_name(queue);
    let url = url.send().await.unwrap().queue_url.unwrap();
    let delete = stage.aws.sqs.delete_queue().queue_url(url);
    delete.send().await.unwrap();
    let said = stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?;
    let said = said.flat();
    let (_, told) = said
        .split_once("Removed since the plan")
        .unwrap_or_default();
    assert!(told.contains(&format!("SQS queue \"{queue}\"")), "{said}");
    assert!(!told.contains(&stage.names.queue), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// A destroy goes by the limit in the state, and each goes on from where the last one ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_that_was_too_slow_is_run_again() -> Result<(), Error> {
    let limit = "  timeouts {\n    delete = \"2s\"\n  }\n";
    let (stage, proxy) = Stage::behind_proxy(limit).await?;
    stage.terraform.apply()?;
    proxy.inject(Rule::before(Fault::Hang).on("states:DeleteStateMachine"));
    let said = stage.terraform.refuse(&DESTROY)?;
    assert!(
        said.contains("A destroy that is run again goes on from where this one ended"),
        "{said}"
    );
    proxy.clear();
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A key may hold what XML does not, as the emulator's cannot: what S3 does not delete with others is deleted for itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_deleted_together_goes_one_by_one() -> Result<(), Error> {
    let lines = "  bucket = { force_destroy = true }\n";
    let (stage, proxy) = Stage::behind_proxy(lines).await?;
    stage.terraform.apply()?;
    for key in ["outbound/1/data.json", "outbound/ü ?&#/data.json"] {
        put(&stage, &stage.names.bucket, key).await;
    }
    let malformed = Fault::error(400, "MalformedXML", "not well-formed");
    proxy.inject(Rule::before(malformed).on("s3:DeleteObjects"));
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Objects keep the key that they were written with, also where the bucket has lost its tag and encrypts otherwise by now: it is not left without that key, whatever way the
/// destroy comes.
#[tokio::test(flavor = "multi_thread")]
async fn no_bucket_is_left_without_its_key() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("  bucket = { force_destroy = true }\n").await?;
    stage.terraform.apply()?;
    let bucket = &stage.names.bucket;
    somebody::put(&stage, bucket, "outbound/1/data.json").await;
    let refused = |arguments: &[&str], why: &str| {
        let said = stage.terraform.refuse(arguments)?;
        assert!(said.contains(why), "{said}");
        assert!(said.contains("Nothing was destroyed"), "{said}");
        Ok::<_, Error>(())
    };
    let saved = ["plan", "-destroy", "-out=end.plan"];
    let apply = ["apply", "-no-color", "end.plan"];

    // Somebody has given it the tag of another pipeline.
    somebody::mark_bucket(&stage, Some("parcels/devl/eu-west-1")).await;
    let another = "carries the tag bellflower:pipeline = parcels/devl/eu-west-1";
    refused(&DESTROY, another)?;
    stage.terraform.expect(&saved)?;
    refused(&apply, another)?;

    // With all but its tag it would be the pipeline's.
    somebody::mark_bucket(&stage, None).await;
    somebody::encrypt_by_s3(&stage).await;
    let none = "does not carry the tag";
    refused(&DESTROY, none)?;
    // What may not be looked at is not taken for somebody's.
    stage.terraform.expect(&saved)?;
    let denied = Fault::error(403, "AccessDenied", "not for you");
    proxy.inject(Rule::before(denied).on("s3:GetBucketPolicy"));
    refused(&apply, none)?;
    proxy.clear();
    // Its folders tell, too.
    let s3 = &stage.aws.s3;
    let open = s3.delete_bucket_policy().bucket(bucket);
    open.send().await.unwrap();
    let lasting = s3.delete_bucket_lifecycle().bucket(bucket);
    lasting.send().await.unwrap();
    refused(&DESTROY, none)?;

    // Nor is it by a replacement, whose plan says so. What becomes of callbacks where a prefix changes in place is not said of it.
    let other = Stage::text("", "letters", "  bucket = { inbound_prefix = \"in/\" }\n");
    stage.terraform.rewrite(&other)?;
    for refresh in ["-refresh=true", "-refresh=false"] {
        let said = stage.terraform.run(&["plan", "-no-color", refresh])?.flat();
        let (_, held) = said
            .split_once("Replacement that will be refused")
            .unwrap_or_else(|| panic!("{said}"));
        assert!(held.contains(bucket) && held.contains(none), "{said}");
        // That is set already.
        assert!(!held.contains("force_destroy"), "{said}");
        assert!(!said.contains("Open callbacks would be lost"), "{said}");
    }
    Ok(())
}

/// One that somebody has made anew under its name holds nothing of the pipeline's: it is left, and the rest goes.
#[tokio::test(flavor = "multi_thread")]
async fn somebodys_bucket_keeps_nothing_from_going() -> Result<(), Error> {
    for mark in [None, Some("parcels/devl/eu-west-1")] {
        let stage = Stage::new("").await?;
        stage.terraform.apply()?;
        let (s3, bucket) = (&stage.aws.s3, &stage.names.bucket);
        somebody::delete_bucket(&stage, bucket).await;
        somebody::bucket(&stage, bucket).await;
        somebody::mark_bucket(&stage, mark).await;
        put(&stage, bucket, "theirs.txt").await;
        // Nor does a name that is none.
        let emptied = Environment::builder().variables("BELLFLOWER_BUCKET", "");
        let update = stage.aws.lambda.update_function_configuration();
        let update = update.function_name(&stage.names.integration);
        let update = update.environment(emptied.build());
        update.send().await.unwrap();
        stage.terraform.destroy()?;
        let head = s3.head_object().bucket(bucket).key("theirs.txt");
        head.send().await.unwrap();
        assert_eq!(stage.left().await?, [format!("S3 bucket {bucket}")]);
    }
    Ok(())
}

/// What the processing function or a dashboard is told of is not the pipeline's for that.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_are_told_of_keeps_nothing_from_going() -> Result<(), Error> {
    let theirs = "  processing = { variables = { BELLFLOWER_BUCKET = \"their-bucket\" } }\n  dashboard = {}\n";
    let stage = Stage::new(theirs).await?;
    stage.terraform.apply()?;
    somebody::bucket(&stage, "their-bucket").await;
    let role = somebody::role(&stage.aws, "theirs").await;
    let machine = somebody::machine(&stage.aws, "theirs", &role).await;
    let cloudwatch = &stage.aws.cloudwatch;
    let name = stage.state()?["dashboard"]["dashboard_name"].clone();
    let name = name.as_str().unwrap_or_default();
    let body = cloudwatch.get_dashboard().dashboard_name(name);
    let body = body.send().await.unwrap().dashboard_body.unwrap();
    let mut body: Value = serde_json::from_str(&body).unwrap();
    let more = format!("see {machine} \"{machine}\"");
    let widget = serde_json::json!({"type": "text", "x": 0, "y": 50, "width": 6, "height": 2, "properties": {"markdown": more}});
    body["widgets"].as_array_mut().unwrap().push(widget);
    let put = cloudwatch.put_dashboard().dashboard_name(name);
    let put = put.dashboard_body(body.to_string());
    put.send().await.unwrap();
    somebody::delete_machine(&stage).await;
    somebody::delete_bucket(&stage, &stage.names.bucket).await;
    stage.terraform.destroy()?;
    assert_eq!(machines(&stage).await, [machine]);
    Ok(())
}

async fn machines(stage: &Stage) -> Vec<String> {
    let list = stage.aws.sfn.list_state_machines().send().await.unwrap();
    let machines = list.state_machines.into_iter();
    machines.map(|machine| machine.state_machine_arn).collect()
}

/// Another account may take the name of a bucket that was deleted: nothing of that is seen, and the pipeline gets another one, or goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_account_took_is_no_dead_end() -> Result<(), Error> {
    let named = |name: &str| format!("  bucket = {{ bucket = \"{name}\" }}\n");
    let (stage, proxy) = Stage::behind_proxy(&named("exchange-one")).await?;
    stage.terraform.apply()?;
    somebody::delete_bucket(&stage, "exchange-one").await;
    let denied = || Fault::error(403, "AccessDenied", "Access Denied");
    let theirs = || Rule::before(denied()).object("exchange-one");
    proxy.inject(theirs());
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("exchange-one"), "{said}");
    assert!(said.contains("give this part"), "{said}");
    stage.set(&named("exchange-two"))?;
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Where no state machine was ever made, nobody waits, and nothing is lost by a change of where files are.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_where_no_state_machine_was_made() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let denied = Fault::error(403, "AccessDeniedException", "not today");
    proxy.inject(Rule::before(denied).on("states:CreateStateMachine"));
    stage.terraform.refuse(&APPLY)?;
    proxy.clear();
    stage.terraform.expect(&["untaint", ADDRESS])?;
    stage.set("  bucket = { inbound_prefix = \"in/\" }\n  task_token = \"private\"\n")?;
    let said = stage.terraform.apply()?.flat();
    assert!(!said.contains("would be lost"), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}
