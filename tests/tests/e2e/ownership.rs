//! Whose a part is: what carries no mark or another one is left alone, what lost its mark is known again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kms::types::KeyState;
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{ADDRESS, APPLY, DESTROY, Error, Plan, REFRESH, Stage, differences};
use serde_json::{Value, json};

use super::in_place::zip;
use super::somebody::{self, MARK};

/// Roles are shared by all regions, so a pipeline of the same name in another region must not take them.
#[tokio::test(flavor = "multi_thread")]
async fn roles_of_another_region_are_left_alone() -> Result<(), Error> {
    let arguments = r#"
  processing    = { role = { name = "orders-at-work" } }
  integration   = { role = { name = "orders-between" } }
  state_machine = { role = { name = "orders-in-charge" } }
"#;
    let stage = Stage::new(arguments).await?;
    stage.terraform.apply()?;
    let before = stage.left().await?;
    let text = Stage::text("  region = \"eu-central-1\"\n", "orders", arguments);
    let elsewhere = stage.beside(&text)?;
    let said = elsewhere.refuse(&APPLY)?;
    for words in ["orders-at-work", "orders-between", "orders-in-charge"] {
        assert!(said.contains(words), "no {words} in: {said}");
    }
    assert!(
        said.contains("orders/devl/eu-west-1"),
        "whose they are: {said}"
    );
    assert_eq!(stage.left().await?, before, "nothing was made");

    let text = Stage::text("  region = \"eu-central-1\"\n", "orders", "");
    elsewhere.rewrite(&text)?;
    elsewhere.apply()?;
    stage.terraform.destroy()?;
    assert!(matches!(elsewhere.plan()?, Plan::NoChanges));
    elsewhere.destroy()?;
    Ok(())
}

/// Parts that lost their mark and are otherwise as they were made get it back; one that is changed as well is not touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_mark_is_given_back() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let (aws, names) = (&stage.aws, &stage.names);
    let url = somebody::untag_queue(&stage, &names.queue).await;
    somebody::untag_key(&stage).await;
    let call = aws.iam.untag_role().role_name(&names.processing_role);
    call.tag_keys(MARK).send().await.unwrap();
    somebody::mark_bucket(&stage, None).await;
    let Plan::Changes(plan) = stage.terraform.plan()? else {
        panic!("the plan shows nothing");
    };
    for words in [
        "queue.tags",
        "key.tags",
        "processing.role.tags",
        "bucket.tags",
    ] {
        assert!(plan.contains(words), "no {words} in the plan:\n{plan}");
    }
    stage.terraform.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    somebody::untag_queue(&stage, &names.queue).await;
    let call = aws.sqs.set_queue_attributes().queue_url(&url);
    let call = call.attributes(QueueAttributeName::DelaySeconds, "77");
    call.send().await.unwrap();
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains(&names.queue) && said.contains(MARK), "{said}");
    // The plan says how to go on, and so does the refusal.
    let refused = &said[said.find("Error:").unwrap_or_default()..];
    assert!(refused.contains("give it back its tag"), "{said}");
    let run = stage.terraform.destroy()?;
    let said = run.flat();
    assert!(said.contains(&names.queue), "{said}");
    assert!(said.contains("Parts left without their key"), "{said}");
    let left = stage.left().await?;
    assert_eq!(left, [format!("SQS queue {url}")]);
    Ok(())
}

/// Whatever the plan was told of: what is left without its key is told also where messages go with their queues, and what is known without its tag goes, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_without_its_key_is_told_without_a_refresh() -> Result<(), Error> {
    for saved in [false, true] {
        let stage = Stage::new("").await?;
        stage.terraform.apply()?;
        let group = "/aws/lambda/orders-integration-devl-eu-west-1";
        let arn = stage.arn("logs", &format!("log-group:{group}"));
        let untag = stage.aws.logs.untag_resource().resource_arn(arn);
        untag.tag_keys(MARK).send().await.unwrap();
        let days = stage.aws.logs.put_retention_policy();
        let days = days.log_group_name(group).retention_in_days(30);
        days.send().await.unwrap();
        let dead = &stage.names.dead_letter_queue;
        somebody::untag_queue(&stage, dead).await;
        somebody::untag_key(&stage).await;
        somebody::send(&stage, dead).await;
        let once = |arguments: &[&str]| {
            let said = stage.terraform.expect(arguments)?.flat();
            for told in ["Messages in the queues", "Parts left without their key"] {
                assert_eq!(said.matches(told).count(), 1, "{said}");
            }
            let (_, keyless) = said.split_once("without their key").unwrap();
            let (keyless, _) = keyless.split_once("cancel-key-deletion").unwrap();
            assert!(keyless.contains(group), "{said}");
            assert!(!keyless.contains(dead), "{said}");
            Ok::<_, Error>(())
        };
        if saved {
            // There may be more by the time it is applied, in a run of its own.
            let plan = [
                "plan",
                "-destroy",
                "-refresh=false",
                "-no-color",
                "-out=end.plan",
            ];
            once(&plan)?;
            once(&["apply", "-no-color", "end.plan"])?;
        } else {
            once(&["destroy", "-refresh=false", "-auto-approve", "-no-color"])?;
        }
        assert_eq!(stage.left().await?, [format!("log group {group}")]);
    }
    Ok(())
}

/// Also by a destroy that finds nothing else: one of a state that was not written when the pipeline went.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_told_where_nothing_else_is() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let key = somebody::untag_key(&stage).await;
    let update = stage.aws.kms.update_key_description().key_id(&key);
    update.description("theirs").send().await.unwrap();
    let file = stage.terraform.directory().join("terraform.tfstate");
    let was = std::fs::read(&file).unwrap();
    for _ in ["whole", "left"] {
        std::fs::write(&file, &was).unwrap();
        let said = stage.terraform.destroy()?.flat();
        for words in ["KMS key", "was not made by this pipeline", "1 destroyed"] {
            assert!(said.contains(words), "no {words} in: {said}");
        }
    }
    let said = stage.terraform.destroy()?.flat();
    assert!(said.contains("0 destroyed"), "{said}");
    Ok(())
}

/// What works with a key that is left is not left without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_left_opens_what_is_left() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let key = somebody::untag_key(&stage).await;
    let (kms, s3, bucket) = (&stage.aws.kms, &stage.aws.s3, &stage.names.bucket);
    let update = kms.update_key_description().key_id(&key);
    update.description("theirs").send().await.unwrap();
    somebody::mark_bucket(&stage, None).await;
    s3.delete_public_access_block()
        .bucket(bucket)
        .send()
        .await
        .unwrap();
    somebody::put(&stage, bucket, "theirs.txt").await;
    let said = stage.terraform.destroy()?.flat();
    assert!(!said.contains("without their key"), "{said}");
    assert_eq!(
        somebody::state_of_key(&stage, &key).await,
        KeyState::Enabled
    );
    let head = s3.head_object().bucket(bucket).key("theirs.txt");
    head.send().await.unwrap();
    Ok(())
}

/// Takes the mark off two parts, and changes two others from which they would have been made otherwise.
async fn lose_marks_beside_a_change(stage: &Stage) {
    let (aws, names) = (&stage.aws, &stage.names);
    let machine = stage.arn("states", &format!("stateMachine:{}", names.state_machine));
    somebody::untag_machine(stage, &machine).await;
    somebody::untag_queue(stage, &names.undeliverable_queue).await;
    let call = aws.lambda.update_function_configuration();
    let call = call.function_name(&names.processing).timeout(45);
    call.send().await.unwrap();
    let url = somebody::url_of(stage, &names.queue).await;
    let call = aws.sqs.set_queue_attributes().queue_url(&url);
    let call = call.attributes(QueueAttributeName::VisibilityTimeout, "420");
    call.send().await.unwrap();
}

/// Also where somebody has changed another part, by which it would have been made otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_mark_is_given_back_beside_a_change_elsewhere() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    lose_marks_beside_a_change(&stage).await;
    stage.terraform.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// Also once a refresh has written that change to the state, from which those parts would have been made otherwise, or has told of another of the part itself. What somebody
/// changed since is not known by that.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_mark_that_a_refresh_has_told_of_ends_with_the_pipeline() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    lose_marks_beside_a_change(&stage).await;
    let queue = somebody::untag_queue(&stage, &stage.names.dead_letter_queue).await;
    let function = &stage.names.integration;
    let described = stage.aws.lambda.update_function_configuration();
    let described = described.function_name(function).description("by hand");
    described.send().await.unwrap();
    for _ in ["once", "more"] {
        stage.terraform.expect(&REFRESH)?;
    }
    let longer = stage.aws.sqs.set_queue_attributes().queue_url(&queue);
    let longer = longer.attributes(QueueAttributeName::MessageRetentionPeriod, "86400");
    longer.send().await.unwrap();
    let function = stage.arn("lambda", &format!("function:{function}"));
    let untag = stage.aws.lambda.untag_resource().resource(function);
    untag.tag_keys(MARK).send().await.unwrap();
    stage.terraform.destroy()?;
    let dead = format!("SQS queue {queue}");
    assert_eq!(stage.left().await?, [dead]);
    Ok(())
}

/// Also where the same plan changes the part in what is read by what it is to be.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_mark_is_given_back_with_a_change() -> Result<(), Error> {
    let stage = Stage::new("  key = { enable_key_rotation = false }\n").await?;
    stage.terraform.apply()?;
    let (aws, names) = (&stage.aws, &stage.names);
    let machine = stage.arn("states", &format!("stateMachine:{}", names.state_machine));
    let function = stage.arn("lambda", &format!("function:{}", names.processing));
    somebody::untag_key(&stage).await;
    let call = aws.lambda.untag_resource().resource(&function);
    call.tag_keys(MARK).send().await.unwrap();
    somebody::untag_machine(&stage, &machine).await;
    somebody::mark_bucket(&stage, None).await;
    let code = stage.terraform.directory().join("code.zip");
    std::fs::write(code, zip("mine").0).unwrap();
    stage.set(
        "  key = { rotation_period_in_days = 96 }\n  bucket = { inbound_prefix = \"in/\", expiration_days = 30 }\n  \
         processing = { filename = \"code.zip\", runtime = \"python3.13\", handler = \"main.handler\" }\n  \
         state_machine = { log_level = \"ALL\", tracing = false }\n",
    )?;
    let said = stage.terraform.apply()?.flat();
    assert!(!said.contains("since the plan"), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    let observed = stage.observe().await;
    for part in ["key", "bucket", "processing", "state_machine"] {
        assert!(observed[part]["tags"][MARK].is_string(), "{part}");
    }
    Ok(())
}

/// Terraform makes resources side by side: two of one name must not take each other's parts for what an earlier run left.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_one_name_in_one_configuration_are_refused() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let twins = format!(
        "{}resource \"bellflower_callback_pipeline\" \"other\" {{\n  name = \"orders\"\n}}\n",
        Stage::text("", "orders", "")
    );
    stage.terraform.rewrite(&twins)?;
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(
        said.contains("Pipeline twice") || said.contains("Pipeline exists already"),
        "{said}"
    );
    let listed = stage.terraform.run(&["state", "list"])?;
    assert_eq!(listed.stdout.lines().count(), 1, "{}", listed.stdout);
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Both would be destroyed before it shows that one alone can be made.
#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_that_are_to_be_one_both_stay() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let both = |name: [&str; 2], lines: [&str; 2]| {
        let other = Stage::text("", name[1], lines[1]);
        let (_, other) = other.split_once("resource ").unwrap_or_default();
        let other = other.replacen("\"this\"", "\"other\"", 1);
        format!("{}resource {other}", Stage::text("", name[0], lines[0]))
    };
    let refused = |text: &str, told: &str| -> Result<(), Error> {
        stage.terraform.rewrite(text)?;
        let said = stage.terraform.refuse(&APPLY)?;
        assert!(
            said.contains(told) && !said.contains("Destroying"),
            "{said}"
        );
        Ok(())
    };
    stage.terraform.rewrite(&both(["one", "two"], ["", ""]))?;
    stage.terraform.apply()?;
    let topic = "  topic = { name = \"alerts\" }\n";
    // Of the first alone, and of something new.
    let destroy = [
        "destroy",
        "-auto-approve",
        "-no-color",
        "-target=bellflower_callback_pipeline.other",
    ];
    stage.terraform.expect(&destroy)?;
    let queue = "  queue = { name = \"work\" }\n";
    for (text, told) in [
        (
            both(["same", "same"], ["", ""]),
            "makes the pipeline \"same/devl\"",
        ),
        (
            both(["one", "two"], [queue, queue]),
            "makes the SQS queue \"work\"",
        ),
    ] {
        refused(&text, told)?;
    }
    stage.terraform.rewrite(&both(["one", "two"], ["", ""]))?;
    stage.terraform.apply()?;
    for (text, told) in [
        (
            both(["same", "same"], ["", ""]),
            "makes the pipeline \"same/devl\"",
        ),
        (
            both(["one", "two"], [topic, topic]),
            "makes the SNS topic \"alerts\"",
        ),
    ] {
        refused(&text, told)?;
    }
    stage.terraform.rewrite(&both(["one", "two"], ["", ""]))?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A dashboard has no tags, and a second one of its name would be written over the first. Nobody's parts are tagged yet while both are made.
#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_with_one_dashboard_are_refused() -> Result<(), Error> {
    let lines = "  dashboard = { dashboard_name = \"both\" }\n";
    let stage = Stage::new(lines).await?;
    let other = "resource \"bellflower_callback_pipeline\" \"other\" {\n  name      = \"parcels\"\n  dashboard = { dashboard_name = \"both\" }\n}\n";
    let both = format!("{}{other}", Stage::text("", "orders", lines));
    stage.terraform.rewrite(&both)?;
    let told = stage.terraform.refuse(&APPLY)?;
    assert!(
        told.contains("makes the CloudWatch dashboard \"both\""),
        "{told}"
    );
    let listed = stage.terraform.run(&["state", "list"])?;
    assert_eq!(listed.stdout.lines().count(), 1, "{}", listed.stdout);
    // Later it carries the mark of the first.
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("belongs to the pipeline"), "{said}");
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// The pipeline's mark is on the parts of both: a state machine of another name does not make it another pipeline.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_state_machine_is_no_second_pipeline() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("  dashboard = {}\n").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let second = stage.beside(&Stage::text("", "orders", ""))?;
    // By what the role trusts, and where that is another's by what the dashboard shows.
    for lines in [
        "  state_machine = { name = \"second\" }\n",
        "  state_machine = { name = \"second\", role = { name = \"second-role\" } }\n  dashboard = {}\n",
    ] {
        second.rewrite(&Stage::text("", "orders", lines))?;
        let said = second.refuse(&APPLY)?;
        assert!(
            said.contains("Pipeline exists already") && said.contains(&stage.names.state_machine),
            "{said}"
        );
        assert_eq!(
            differences(&before, &stage.observe().await),
            BTreeMap::new()
        );
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }

    // What a run left behind that did not get as far as a state machine may get one of any name.
    stage.terraform.destroy()?;
    let denied = Fault::error(403, "AccessDeniedException", "denied");
    proxy.inject(Rule::before(denied).on("lambda:CreateFunction"));
    stage.terraform.refuse(&APPLY)?;
    second.apply()?;
    second.destroy()?;
    // The log group of the first name is in the first state.
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Step Functions says "made" of a state machine that is there and is the same. Who comes second is told so.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_first_applies_at_once_one_is_refused() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let other = Arc::new(stage.beside(&Stage::text("", "orders", ""))?);
    let first = Arc::clone(&other);
    let hook = Fault::hook(move |_| {
        first.apply().unwrap();
        std::thread::sleep(Duration::from_secs(2));
    });
    let policy = Rule::before(hook).on("iam:PutRolePolicy");
    proxy.inject(policy.object(&stage.names.state_machine_role).first(1));
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("another run has made it"), "{said}");
    assert!(matches!(other.plan()?, Plan::NoChanges));
    // What it says helps.
    stage.terraform.expect(&["state", "rm", ADDRESS])?;
    assert!(matches!(other.plan()?, Plan::NoChanges));
    other.destroy()?;
    // AWS makes no second one for the same queue and function, as the local one does.
    let mut left = stage.left().await?;
    left.retain(|one| !one.starts_with("event source mapping"));
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}

/// A resource under another address is to Terraform one to destroy and one to make, and it does both at once: what is made is made of nothing that goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_destroyed_under_one_address_is_made_anew_under_another() -> Result<(), Error> {
    for whole in [true, false] {
        let stage = Stage::new("").await?;
        stage.terraform.apply()?;
        let before = stage.observe().await;
        if !whole {
            somebody::delete_machine(&stage).await;
        }
        let renamed = Stage::text("", "orders", "").replace("\"this\"", "\"other\"");
        stage.terraform.rewrite(&renamed)?;
        let run = stage.terraform.apply()?;
        assert!(
            run.stdout.contains("1 added, 0 changed, 1 destroyed"),
            "{}",
            run.stdout
        );
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
        let after = stage.observe().await;
        let others = differences(&before, &after);
        assert!(
            others.keys().all(|path| {
                let path = path.to_lowercase();
                path.contains("key") || path.contains("openvariables") || path.ends_with("uuid")
            }),
            "but for the ids it is as it was: {others:#?}"
        );
        stage.terraform.destroy()?;
        assert_eq!(stage.left().await?, Vec::<String>::new());
    }
    Ok(())
}

/// `import {}` blocks do what `terraform import` does.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_block_takes_it_over() -> Result<(), Error> {
    for (arguments, id) in [
        ("", "orders"),
        ("  environment = \"prod\"\n", "orders/prod"),
    ] {
        let stage = Stage::new(arguments).await?;
        stage.terraform.apply()?;
        let block = format!("import {{\n  to = {ADDRESS}\n  id = \"{id}\"\n}}\n");
        let text = Stage::text("", "orders", arguments) + &block;
        let other = stage.beside(&text)?;
        let applied = other.apply()?;
        let words = "1 imported, 0 added, 0 changed, 0 destroyed";
        assert!(applied.stdout.contains(words), "{}", applied.stdout);
        assert!(matches!(other.plan()?, Plan::NoChanges));
        let imported = other.resource("bellflower_callback_pipeline")?;
        assert_eq!(imported["name"], json!("orders"));
        other.destroy()?;
        assert_eq!(stage.left().await?, Vec::<String>::new());
    }
    Ok(())
}

/// The file of the state.
pub fn state_file(stage: &Stage) -> Value {
    let path = stage.terraform.directory().join("terraform.tfstate");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Puts another state in its place.
pub fn put_state(stage: &Stage, written: &Value) {
    let path = stage.terraform.directory().join("terraform.tfstate");
    std::fs::write(path, written.to_string()).unwrap();
}

/// What an interrupted `create_before_destroy` leaves to destroy, and a state out of a backup, tell of a pipeline that was made anew since: all parts have the same
/// names and the same mark, and are the new one's.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_anew_is_not_destroyed_by_an_older_state() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let old = state_file(&stage);
    let machine = somebody::delete_machine(&stage).await;
    stage.terraform.expect(&["state", "rm", ADDRESS])?;
    stage.terraform.apply()?;
    let made = stage.observe().await;

    let mut both = state_file(&stage);
    let mut deposed = old["resources"][0]["instances"][0].clone();
    deposed["deposed"] = json!("0badcafe");
    let instances = both["resources"][0]["instances"].as_array_mut().unwrap();
    instances.push(deposed);
    for options in [&["-refresh=false"][..], &[]] {
        put_state(&stage, &both);
        let apply = [&APPLY, options].concat();
        let said = stage.terraform.expect(&apply)?.flat();
        assert!(said.contains("Pipeline made anew"), "{said}");
        assert_eq!(stage.observe().await, made);
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    let new = state_file(&stage);

    for options in [&["-refresh=false"][..], &[]] {
        put_state(&stage, &old);
        let destroy = [&DESTROY, options].concat();
        let said = stage.terraform.expect(&destroy)?.flat();
        assert!(said.contains("Pipeline made anew"), "{said}");
        assert_eq!(stage.observe().await, made);
    }
    put_state(&stage, &old);
    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the plan is empty, though the pipeline is another")
    };
    assert!(said.contains("made_at"), "{said}");
    stage.terraform.expect(&["plan", "-out=the.plan"])?;
    let said = stage
        .terraform
        .refuse(&["apply", "-no-color", "the.plan"])?;
    assert!(said.contains("terraform state rm"), "{said}");
    for options in [&["-refresh=false"][..], &[]] {
        stage.set("  queue = { delay_seconds = 7 }\n")?;
        let apply = [&APPLY, options].concat();
        let said = stage.terraform.refuse(&apply)?;
        assert!(said.contains("terraform state rm"), "{said}");
        assert!(said.contains("terraform import"), "{said}");
        assert_eq!(stage.observe().await, made);
    }

    stage.set("")?;
    put_state(&stage, &new);
    // The tag that tells them apart is repaired as any other, and where it is missing the pipeline is the one that the state tells of.
    let untag = stage.aws.sfn.untag_resource().resource_arn(&machine);
    let untag = untag.tag_keys("bellflower:made-at");
    untag.send().await.unwrap();
    let said = stage.terraform.apply()?.flat();
    assert!(said.contains("0 added, 1 changed, 0 destroyed"), "{said}");
    assert_eq!(stage.observe().await, made);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // An import takes it as it is.
    stage.terraform.expect(&["state", "rm", ADDRESS])?;
    stage.terraform.import(ADDRESS, "orders")?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A tainted object is to be destroyed, and Terraform hands over nothing but its state then. Where the pipeline was made whole by somebody else meanwhile, that is not it.
#[tokio::test(flavor = "multi_thread")]
async fn a_tainted_object_destroys_nothing_that_was_made_since() -> Result<(), Error> {
    let denied = || Fault::error(403, "AccessDeniedException", "denied");
    for options in [&["-refresh=false"][..], &[]] {
        let (stage, proxy) = Stage::behind_proxy("").await?;
        proxy.inject(Rule::before(denied()).on("states:CreateStateMachine"));
        proxy.inject(Rule::before(denied()).on("sns:DeleteTopic"));
        // The second of them would destroy, and cannot.
        for _ in 0..2 {
            stage.terraform.refuse(&APPLY)?;
        }
        proxy.clear();
        let text = Stage::text("", "orders", "");
        let other = stage.beside(&text)?;
        other.apply()?;
        let made = stage.observe().await;
        let said = stage.terraform.refuse(&[&APPLY, options].concat())?;
        assert!(said.contains("Pipeline exists already"), "{said}");
        assert_eq!(stage.observe().await, made);
        assert!(matches!(other.plan()?, Plan::NoChanges));
        other.destroy()?;
        stage.terraform.apply()?;
        stage.terraform.destroy()?;
        assert_eq!(stage.left().await?, Vec::<String>::new());
    }
    Ok(())
}

/// What a destroy that was killed has left goes with the next one, whoever has taken the bucket's name since.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_destroy_left_goes() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    somebody::delete_machine(&stage).await;
    let bucket = &stage.names.bucket;
    somebody::delete_bucket(&stage, bucket).await;
    somebody::bucket(&stage, bucket).await;
    let said = stage.terraform.destroy()?.flat();
    assert!(said.contains(bucket), "{said}");
    let left = stage.left().await?;
    assert!(left.len() == 1 && left[0].contains(bucket), "{left:?}");
    Ok(())
}

/// What holds work or answers is no remains of a run that was killed, also where its state machine is missing. What such a run did leave under other names is named.
#[tokio::test(flavor = "multi_thread")]
async fn only_remains_are_taken_up() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    somebody::delete_machine(&stage).await;
    let bucket = &stage.names.bucket;
    let put = stage.aws.s3.put_object().bucket(bucket);
    let put = put.key("inbound/1/success.json");
    put.send().await.unwrap();
    let lines = "  queue = { name = \"second\" }\n  bucket = { force_destroy = true }\n";
    let text = Stage::text("", "orders", lines);
    let other = stage.beside(&text)?;
    let said = other.refuse(&APPLY)?;
    assert!(said.contains("Pipeline in use"), "{said}");
    let delete = stage.aws.s3.delete_object().bucket(bucket);
    let delete = delete.key("inbound/1/success.json");
    delete.send().await.unwrap();
    let said = other.apply()?.flat();
    assert!(
        said.contains("Parts left by an earlier run") && said.contains(&stage.names.queue),
        "{said}"
    );
    Ok(())
}

/// What a killed run has left is taken up, and told. What it left beside that under names that the next configuration does not have goes where it carries the pipeline's
/// mark, and is told where it cannot.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_up_is_told() -> Result<(), Error> {
    let stage = Stage::new("  dashboard = {}\n").await?;
    stage.terraform.apply()?;
    somebody::delete_machine(&stage).await;
    let off = "  alarms = { message_age = { enabled = false } }\n";
    let text = Stage::text("", "orders", off);
    let other = stage.beside(&text)?;
    let said = other.apply()?.flat();
    assert!(said.contains("Parts taken up"), "{said}");
    let (_, removed) = said.split_once("were removed: ").unwrap_or_default();
    for gone in [
        "CloudWatch alarm \"orders-message-age",
        "CloudWatch dashboard",
    ] {
        assert!(removed.contains(gone), "{said}");
    }
    assert!(said.contains(&stage.names.queue), "{said}");
    let dashboards = stage.aws.cloudwatch.list_dashboards();
    let dashboards = dashboards.send().await.unwrap().dashboard_entries;
    assert!(dashboards.is_none_or(|all| all.is_empty()));
    assert!(matches!(other.plan()?, Plan::NoChanges));
    other.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A pipeline that has lost its tags is not there for an import, which says why.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_tells_of_tags_that_are_lost() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    somebody::queue(&stage.aws, &stage.names.queue).await;
    let run = stage.terraform.run(&["import", ADDRESS, "orders"])?;
    let said = run.flat();
    assert_ne!(run.code, 0, "{said}");
    assert!(said.contains(&stage.names.queue), "{said}");
    assert!(
        said.contains("bellflower:pipeline = orders/devl/"),
        "{said}"
    );
    Ok(())
}
