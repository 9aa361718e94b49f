//! What Terraform would destroy for want of knowing better: parts under names of one's own after an import, what a replacement would take, what lost its mark.

use std::time::Duration;

use aws_sdk_kms::types::KeyState;
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{ADDRESS, Error, Plan, Stage, eventually};
use serde_json::{Value, json};

use super::in_place;
use super::somebody::{self, messages, put, send, state_of_key};

const APPLY: [&str; 3] = ["apply", "-auto-approve", "-no-color"];
const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-no-color"];

/// A bucket that has lost its mark and more is left alone. The key that opens what is in it is not taken from it.
#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_mark_keeps_its_key() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let key = stage.state()?["key"]["arn"].clone();
    let key = key.as_str().unwrap_or_default();
    let (s3, bucket) = (&stage.aws.s3, &stage.names.bucket);
    put(&stage, bucket, "outbound/1/data.json").await;
    let untag = s3.delete_bucket_tagging().bucket(bucket);
    untag.send().await.unwrap();
    let open = s3.delete_public_access_block().bucket(bucket);
    open.send().await.unwrap();
    let run = stage.terraform.run(&DESTROY)?;
    let said = run.flat();
    assert_eq!(run.code, 1, "{said}");
    assert!(said.contains("Nothing was destroyed"), "{said}");
    assert!(said.contains("lost its tag bellflower:pipeline"), "{said}");
    assert_eq!(state_of_key(&stage, key).await, KeyState::Enabled);

    // A bucket that somebody has made in its place, and that needs nothing of the pipeline's, is his.
    s3.delete_bucket_encryption()
        .bucket(bucket)
        .send()
        .await
        .unwrap();
    stage.terraform.destroy()?;
    assert_eq!(state_of_key(&stage, key).await, KeyState::PendingDeletion);
    let get = s3.head_object().bucket(bucket).key("outbound/1/data.json");
    get.send().await.unwrap();
    Ok(())
}

/// The pipeline's own key goes with it, so it cannot be given as one that stays.
#[tokio::test(flavor = "multi_thread")]
async fn its_own_key_is_not_the_users() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let key = stage.state()?["key"]["arn"].clone();
    stage.set(&format!("  kms_key_arn = {key}\n"))?;
    let run = stage.terraform.run(&["plan", "-no-color"])?;
    assert!(
        run.flat().contains("The pipeline's own key"),
        "{}",
        run.flat()
    );
    Ok(())
}

/// A replacement destroys first. What stands against the new one is told before that.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_cannot_be_made_destroys_nothing() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    somebody::queue(&stage.aws, "parcels-queue-devl-eu-west-1").await;
    stage.terraform.rewrite(&Stage::text("", "parcels", ""))?;
    let run = stage.terraform.run(&APPLY)?;
    let said = run.flat();
    assert_eq!(run.code, 1, "{said}");
    assert!(
        said.contains("SQS queue \"parcels-queue-devl-eu-west-1\""),
        "{said}"
    );
    assert_eq!(stage.observe().await, before);

    // Nor for one that stands already.
    let url = stage.aws.sqs.get_queue_url();
    let url = url.queue_name("parcels-queue-devl-eu-west-1").send().await;
    let delete = stage.aws.sqs.delete_queue();
    let delete = delete.queue_url(url.unwrap().queue_url.unwrap());
    delete.send().await.unwrap();
    let other = Stage::text("", "parcels", "");
    let other = bellflower_tests::Terraform::configuration(&other, &stage.emulator.environment())?;
    other.apply()?;
    let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
    assert!(said.contains("Pipeline exists already"), "{said}");
    assert!(said.contains("parcels/devl"), "{said}");
    other.destroy()?;
    stage.terraform.apply()?;
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Parts under names of their own are in nobody's way when their pipeline is replaced: they go first.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_keeps_names_of_its_own() -> Result<(), Error> {
    let lines = "  bucket = { bucket = \"my-own-bucket-80\" }\n  queue = { name = \"mine\" }\n  key = { alias = \"alias/mine\" }\n";
    let stage = Stage::new(lines).await?;
    stage.terraform.apply()?;
    stage
        .terraform
        .rewrite(&Stage::text("", "parcels", lines))?;
    let said = stage.terraform.apply()?.flat();
    assert!(said.contains("1 added, 0 changed, 1 destroyed"), "{said}");
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A provider block that is not known yet hides no pipeline, and replaces none.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_default_tags_replace_nothing() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let text = |team: &str| {
        let provider = "  default_tags {\n    tags = terraform_data.tags.output\n  }\n";
        let pipeline = Stage::text(provider, "orders", "");
        format!(
            "{pipeline}resource \"terraform_data\" \"tags\" {{\n  input = {{ team = \"{team}\" }}\n}}\n"
        )
    };
    stage.terraform.rewrite(&text("one"))?;
    stage.terraform.apply()?;
    for (team, options) in [("two", &["-refresh=false"][..]), ("three", &[])] {
        stage.terraform.rewrite(&text(team))?;
        let apply = [&APPLY[..], options].concat();
        let said = stage.terraform.expect(&apply)?.flat();
        assert!(said.contains("0 added, 2 changed, 0 destroyed"), "{said}");
        assert_eq!(stage.state()?["tags_all"]["team"], json!(team));
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
    Ok(())
}

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
    let run = stage.terraform.run(&APPLY)?;
    let said = run.flat();
    assert_eq!(run.code, 1, "{said}");
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

/// An alias that somebody has pointed at a key of his own is his, and the error says how to get it back.
#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_was_moved_is_left_where_it_is() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let kms = &stage.aws.kms;
    let alias = &stage.names.key_alias;
    let own = stage.state()?["key"]["key_id"].clone();
    let own = own.as_str().unwrap_or_default();
    let theirs = kms.create_key().send().await.unwrap();
    let theirs = theirs.key_metadata.unwrap();
    let point = |id: &str| kms.update_alias().alias_name(alias).target_key_id(id);
    point(&theirs.key_id).send().await.unwrap();
    let said = stage.terraform.expect(&["plan", "-no-color"])?.flat();
    assert!(said.contains("The alias of another key"), "{said}");
    let said = stage.terraform.run(&APPLY)?.flat();
    assert!(
        said.contains("aws kms update-alias") && said.contains(theirs.arn.as_deref().unwrap()),
        "{said}"
    );
    let named = kms.describe_key().key_id(alias).send().await.unwrap();
    assert_eq!(named.key_metadata.unwrap().key_id, theirs.key_id);
    // Nor does a replacement want it removed, or his key.
    let replace = ["plan", "-no-color", &format!("-replace={ADDRESS}")];
    let run = stage.terraform.run(&replace)?;
    let said = run.flat();
    assert_eq!(run.code, 1, "{said}");
    let advice = "Give `key.alias` another name";
    assert!(
        said.contains(advice) && said.contains(&theirs.key_id),
        "{said}"
    );
    assert!(!said.contains("remove the object"), "{said}");
    // The advice is taken: nothing is left to warn of.
    stage.set("  key = { alias = \"alias/mine\" }\n")?;
    for words in [&["plan", "-no-color"][..], &APPLY] {
        let said = stage.terraform.expect(words)?.flat();
        assert!(!said.contains("The alias of another key"), "{said}");
    }
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    kms.delete_alias()
        .alias_name("alias/mine")
        .send()
        .await
        .unwrap();
    stage.set("")?;
    let said = stage.terraform.expect(&["plan", "-no-color"])?.flat();
    assert!(said.contains("The alias of another key"), "{said}");
    point(own).send().await.unwrap();
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// A key of another team's may let nobody else look at it, and may have the alias by now.
#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_may_not_be_looked_at_ends_nothing() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let (kms, alias) = (&stage.aws.kms, &stage.names.key_alias);
    let theirs = kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let point = kms.update_alias().alias_name(alias);
    point.target_key_id(&theirs.key_id).send().await.unwrap();
    let denied = Fault::error(
        400,
        "AccessDeniedException",
        "no resource-based policy allows it",
    );
    proxy.inject(Rule::before(denied).on("kms:DescribeKey").object(alias));
    let said = stage.terraform.expect(&["plan", "-no-color"])?.flat();
    assert!(said.contains("a key that may not be looked at"), "{said}");
    let said = stage.terraform.run(&APPLY)?.flat();
    assert!(
        said.contains("kms:CreateAlias") && said.contains("may not be looked at"),
        "{said}"
    );
    stage.set("  key = { alias = \"alias/mine\" }\n")?;
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    stage.terraform.destroy()?;
    let named = kms.describe_key().key_id(alias).send().await.unwrap();
    assert_eq!(named.key_metadata.unwrap().key_id, theirs.key_id);
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

/// Terraform replaces for reasons of its own, too, and plans that as something new: what would be lost or stands in the way is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_of_terraforms_own_is_foreseen() -> Result<(), Error> {
    let text = |revision: u8, lines: &str| {
        let trigger =
            format!("resource \"terraform_data\" \"revision\" {{\n  input = {revision}\n}}\n");
        let lifecycle =
            "  lifecycle {\n    replace_triggered_by = [terraform_data.revision]\n  }\n";
        format!(
            "{trigger}{}",
            Stage::text("", "orders", &format!("{lines}{lifecycle}"))
        )
    };
    let stage = Stage::new("").await?;
    stage.terraform.rewrite(&text(1, ""))?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let dead = &stage.names.dead_letter_queue;
    send(&stage, dead).await;
    let counted = format!("SQS queue \"{dead}\": about 1.");
    let replace = format!("-replace={ADDRESS}");
    let forced = |tainted: bool| -> Result<Vec<String>, Error> {
        let plan = |more: &[&str]| {
            let words = [&["plan", "-no-color"][..], more].concat();
            Ok::<_, Error>(stage.terraform.run(&words)?.flat())
        };
        if tainted {
            stage.terraform.expect(&["taint", ADDRESS])?;
            let said = plan(&[])?;
            stage.terraform.expect(&["untaint", ADDRESS])?;
            return Ok(vec![said]);
        }
        Ok(vec![
            plan(&[&replace])?,
            plan(&[&replace, "-refresh=false"])?,
        ])
    };
    let all = |lines: &str| -> Result<Vec<String>, Error> {
        stage.terraform.rewrite(&text(2, lines))?;
        let mut said = vec![stage.terraform.run(&["plan", "-no-color"])?.flat()];
        stage.terraform.rewrite(&text(1, lines))?;
        said.extend(forced(false)?);
        said.extend(forced(true)?);
        Ok(said)
    };
    let plain = all("")?;
    for said in &plain {
        assert!(said.contains("1 to destroy"), "{said}");
        assert!(!said.contains("cannot be made"), "{said}");
    }
    // Of the plans that it forces Terraform tells errors alone.
    let tainted = plain.last().unwrap();
    assert!(tainted.contains(&counted), "{tainted}");
    let body = r#"{"widgets": []}"#;
    let theirs = stage.aws.cloudwatch.put_dashboard().dashboard_name("team");
    theirs.dashboard_body(body).send().await.unwrap();
    for said in all("  dashboard = { dashboard_name = \"team\" }\n")? {
        assert!(said.contains("A replacement that cannot be made"), "{said}");
        assert!(said.contains("CloudWatch dashboard \"team\""), "{said}");
    }
    stage.terraform.expect(&["taint", ADDRESS])?;
    let run = stage.terraform.run(&APPLY)?;
    assert_eq!(run.code, 1, "{}", run.flat());
    assert_eq!(stage.observe().await, before);

    // Where nothing is in its way it is made. What no plan has told the apply does, once.
    stage.terraform.rewrite(&text(1, ""))?;
    let said = stage.terraform.expect(&APPLY)?.flat();
    assert_eq!(said.matches(&counted).count(), 1, "{said}");
    send(&stage, dead).await;
    let words = [&APPLY[..], &[&replace]].concat();
    let said = stage.terraform.expect(&words)?.flat();
    assert_eq!(said.matches(&counted).count(), 1, "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    send(&stage, dead).await;
    let text = Stage::text("", "orders", "");
    let without = text.split_once("resource ").map(|(without, _)| without);
    stage.terraform.rewrite(without.unwrap_or_default())?;
    let said = stage.terraform.expect(&["plan", "-no-color"])?.flat();
    assert!(said.contains(&counted), "{said}");
    Ok(())
}

/// Before a destroy Terraform asks for an ordinary plan, of what is tainted or to be replaced as of something new: that needs code and room, and the destroy does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_of_what_is_tainted_or_replaced_needs_neither_code_nor_room() -> Result<(), Error>
{
    let stage = Stage::new("").await?;
    let zip = stage.terraform.directory().join("f.zip");
    let code = "  processing = { filename = \"f.zip\", handler = \"h.handler\", runtime = \"python3.12\" }\n";
    let theirs = stage.aws.cloudwatch.put_dashboard().dashboard_name("team");
    let theirs = theirs.dashboard_body(r#"{"widgets": []}"#);
    theirs.send().await.unwrap();
    let room = "  dashboard = { dashboard_name = \"team\" }\n";
    let left = stage.left().await?;
    for (name, lines, refusal) in [
        ("orders", code, "Error: No code for the function"),
        ("parcels", code, "Error: No code for the function"),
        ("orders", room, "Error: A replacement that cannot be made"),
        ("parcels", room, "Error: A replacement that cannot be made"),
    ] {
        std::fs::write(&zip, in_place::zip("one").0).unwrap();
        stage.set(if lines == code { code } else { "" })?;
        stage.terraform.apply()?;
        std::fs::remove_file(&zip).unwrap();
        if name == "orders" {
            stage.terraform.expect(&["taint", ADDRESS])?;
        }
        stage.terraform.rewrite(&Stage::text("", name, lines))?;
        let said = stage.terraform.run(&APPLY)?.flat();
        assert!(said.contains(refusal), "{said}");
        stage.terraform.destroy()?;
        assert_eq!(stage.left().await?, left);
    }
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

/// What takes the place of a pipeline is looked at before that one is taken down for it, whatever stands in its way.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_in_the_way_of_a_replacement_is_told_before() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let refused = |name: &str, lines: &str, reason: &str| -> Result<(), Error> {
        stage.terraform.rewrite(&Stage::text("", name, lines))?;
        let run = stage.terraform.run(&APPLY)?;
        let said = run.flat();
        assert_eq!(run.code, 1, "{reason}: {said}");
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(said.contains("replacement that cannot be made"), "{said}");
        Ok(())
    };
    // The alias of somebody's key, be it that of the pipeline itself.
    let (kms, name) = (&stage.aws.kms, "alias/parcels-key-devl-eu-west-1");
    let key = kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let own = &stage.names.key_alias;
    let point = async |target: &str| {
        let update = kms.update_alias().alias_name(own);
        update.target_key_id(target).send().await.unwrap();
    };
    point(&key.key_id).await;
    refused("orders", "  queue = { name = \"another\" }\n", own)?;
    point(before["key"]["key_id"].as_str().unwrap()).await;
    let alias = kms.create_alias().alias_name(name);
    alias.target_key_id(key.key_id).send().await.unwrap();
    refused("parcels", "", name)?;
    kms.delete_alias().alias_name(name).send().await.unwrap();

    // A pipeline whose state machine has a name of its own.
    let environment = proxy.environment();
    let text = Stage::text("", "letters", "  state_machine = { name = \"mine\" }\n");
    let other = bellflower_tests::Terraform::configuration(&text, &environment)?;
    other.apply()?;
    refused("letters", "", "Pipeline exists already")?;
    // Work in a bucket of which the state machine is missing.
    let arn = stage.arn("states", "stateMachine:mine");
    let delete = stage.aws.sfn.delete_state_machine();
    delete.state_machine_arn(arn).send().await.unwrap();
    let bucket = stage.names.bucket.replace("orders", "letters");
    put(&stage, &bucket, "inbound/1/success.json").await;
    refused("letters", "", "Pipeline in use")?;

    // A bucket of another account.
    let denied = Fault::error(403, "AccessDenied", "Access Denied");
    let rule = Rule::before(denied).on("s3:GetBucketTagging");
    proxy.inject(rule.object("boxes"));
    refused("boxes", "", "AccessDenied")?;
    proxy.clear();

    // A part of its own that has become somebody else's.
    let url = stage.aws.sqs.get_queue_url();
    let url = url.queue_name(&stage.names.queue).send().await.unwrap();
    let untag = stage.aws.sqs.untag_queue().set_queue_url(url.queue_url);
    untag.tag_keys("bellflower:pipeline").send().await.unwrap();
    let url = stage.aws.sqs.get_queue_url();
    let url = url.queue_name(&stage.names.queue).send().await.unwrap();
    let change = stage.aws.sqs.set_queue_attributes();
    let change = change.set_queue_url(url.queue_url);
    let change = change.attributes(QueueAttributeName::DelaySeconds, "7");
    change.send().await.unwrap();
    refused("orders", "  iam_path = \"/x/\"\n", &stage.names.queue)?;
    let after = stage.observe().await;
    assert_eq!(after["key"], before["key"]);
    assert_eq!(after["bucket"], before["bucket"]);
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

/// Whether to go on with another key is for a plan to ask: it opens nothing of what is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_went_since_the_plan_is_not_made_anew() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let made = stage.observe().await;
    let key = stage.state()?["key"]["key_id"].clone();
    let key = key.as_str().unwrap_or_default();
    stage.set("  queue = { delay_seconds = 3 }\n")?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;
    let end = stage.aws.kms.schedule_key_deletion().key_id(key);
    end.send().await.unwrap();
    let run = stage.terraform.run(&["apply", "-no-color", "the.plan"])?;
    let said = run.flat();
    assert_eq!(run.code, 1, "{said}");
    assert!(said.contains("Key removed since the plan"), "{said}");
    assert!(
        said.contains(&format!("cancel-key-deletion --key-id {key}")),
        "{said}"
    );
    let cancel = stage.aws.kms.cancel_key_deletion().key_id(key);
    cancel.send().await.unwrap();
    stage.aws.kms.enable_key().key_id(key).send().await.unwrap();
    assert_eq!(stage.observe().await, made);
    stage.terraform.apply()?;
    assert_eq!(stage.state()?["key"]["key_id"], json!(key));
    // A new plan asks, and goes on with another one.
    let end = stage.aws.kms.schedule_key_deletion().key_id(key);
    end.send().await.unwrap();
    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the plan shows nothing")
    };
    assert!(said.contains("Open callbacks would be lost"), "{said}");
    Ok(())
}

/// A key that somebody has taken the name from is still the pipeline's, whatever it was called.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_its_alias_stays() -> Result<(), Error> {
    for alias in ["alias/mine", "alias/orders-key-devl-eu-west-1"] {
        let stage = Stage::new(&format!("  key = {{ alias = \"{alias}\" }}\n")).await?;
        stage.terraform.apply()?;
        let made = stage.observe().await;
        let key = stage.state()?["key"]["key_id"].clone();
        let delete = stage.aws.kms.delete_alias().alias_name(alias);
        delete.send().await.unwrap();
        let Plan::Changes(said) = stage.terraform.plan()? else {
            panic!("the plan shows nothing")
        };
        assert!(
            said.contains("+ alias") && !said.contains("after apply"),
            "{said}"
        );
        stage.terraform.apply()?;
        assert_eq!(stage.state()?["key"]["key_id"], key);
        assert_eq!(stage.observe().await, made);
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    }
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

/// A key of the user's own is no part of the pipeline, which is of no use without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_users_that_is_of_no_use_is_told() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let key = stage.aws.kms.create_key().send().await.unwrap();
        keys.push(key.key_metadata.unwrap().arn.unwrap());
    }
    let use_key = |key: &str| stage.set(&format!("  kms_key_arn = \"{key}\"\n"));
    let plan = || -> Result<String, Error> {
        let run = stage.terraform.expect(&["plan", "-no-color"])?;
        Ok(run.flat())
    };
    let disable = stage.aws.kms.disable_key().key_id(&keys[0]);
    disable.send().await.unwrap();
    use_key(&keys[0])?;
    let said = plan()?;
    assert!(
        said.contains("The key cannot be used") && said.contains("is disabled"),
        "{said}"
    );
    use_key(&keys[1])?;
    assert!(!plan()?.contains("cannot be used"));
    stage.terraform.apply()?;
    assert!(!plan()?.contains("cannot be used"));
    let end = stage.aws.kms.schedule_key_deletion().key_id(&keys[1]);
    end.send().await.unwrap();
    let said = plan()?;
    assert!(said.contains("The key cannot be used"), "{said}");
    assert!(said.contains("waits for its deletion"), "{said}");
    let enable = stage.aws.kms.enable_key().key_id(&keys[0]);
    enable.send().await.unwrap();
    use_key(&keys[0])?;
    assert!(!plan()?.contains("cannot be used"));
    Ok(())
}

/// A key is paid for until somebody removes it. One that could not get its alias, and that the next run may not be let to find, is removed at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_named_is_not_left() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let denied = || Fault::error(400, "AccessDeniedException", "not authorized");
    proxy.inject(Rule::before(denied()).on("kms:CreateAlias"));
    proxy.inject(Rule::before(denied()).on("kms:ListResourceTags"));
    for _ in 0..2 {
        let run = stage.terraform.run(&APPLY)?;
        assert_eq!(run.code, 1, "{}", run.flat());
        assert!(run.flat().contains("kms:CreateAlias"), "{}", run.flat());
    }
    let keys = stage.aws.kms.list_keys().send().await.unwrap().keys;
    let keys = keys.unwrap_or_default();
    assert_eq!(keys.len(), 2);
    for key in keys {
        let id = key.key_id.unwrap_or_default();
        assert_eq!(state_of_key(&stage, &id).await, KeyState::PendingDeletion);
    }
    proxy.clear();
    // One that has its alias stays, whatever else fails.
    proxy.inject(Rule::before(denied()).on("kms:EnableKeyRotation"));
    let run = stage.terraform.run(&APPLY)?;
    assert!(
        run.flat().contains("kms:EnableKeyRotation"),
        "{}",
        run.flat()
    );
    let key = stage.state()?["key"]["key_id"].clone();
    let key = key.as_str().unwrap_or_default();
    assert_eq!(state_of_key(&stage, key).await, KeyState::Enabled);
    proxy.clear();
    stage.terraform.apply()?;
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A run that was killed has made a key, and the next one is given another.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_killed_run_is_told() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let mark = aws_sdk_kms::types::Tag::builder()
        .tag_key("bellflower:pipeline")
        .tag_value(format!("orders/devl/{}", stage.region()));
    let left = stage.aws.kms.create_key().tags(mark.build().unwrap());
    let left = left
        .send()
        .await
        .unwrap()
        .key_metadata
        .unwrap()
        .arn
        .unwrap();
    let given = stage.aws.kms.create_key().send().await.unwrap();
    let given = given.key_metadata.unwrap().arn.unwrap();
    stage.set(&format!("  kms_key_arn = \"{given}\"\n"))?;
    let said = stage.terraform.apply()?.flat();
    let (_, told) = said
        .split_once("Parts left by an earlier run")
        .unwrap_or_default();
    assert!(told.contains(&left) && !told.contains(&given), "{said}");
    stage.terraform.destroy()?;
    let end = stage.aws.kms.schedule_key_deletion().key_id(&left);
    end.send().await.unwrap();
    let said = stage.terraform.apply()?.flat();
    assert!(!said.contains("Parts left by an earlier run"), "{said}");
    Ok(())
}

/// A destroy goes by the limit in the state, and each goes on from where the last one ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_that_was_too_slow_is_run_again() -> Result<(), Error> {
    let limit = "  timeouts {\n    delete = \"2s\"\n  }\n";
    let (stage, proxy) = Stage::behind_proxy(limit).await?;
    stage.terraform.apply()?;
    proxy.inject(Rule::before(Fault::Hang).on("states:DeleteStateMachine"));
    let said = stage.terraform.run(&DESTROY)?.flat();
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
