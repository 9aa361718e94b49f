//! A replacement destroys first: what it would take and what stands in its way is told before, also where Terraform forces it.

use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{ADDRESS, APPLY, Error, Plan, Stage};
use serde_json::json;

use super::in_place;
use super::somebody::{self, put, send};

/// A replacement destroys first. What stands against the new one is told before that.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_cannot_be_made_destroys_nothing() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    somebody::queue(&stage.aws, "parcels-queue-devl-eu-west-1").await;
    stage.terraform.rewrite(&Stage::text("", "parcels", ""))?;
    let said = stage.terraform.refuse(&APPLY)?;
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
    let other = stage.beside(&other)?;
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

/// What the old pipeline holds keeps it, of which the plan tells, also where the new one comes first.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_will_be_refused_is_told_before() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let bucket = &stage.names.bucket;
    put(&stage, bucket, "outbound/e-1/data.json").await;
    let first = "  lifecycle {\n    create_before_destroy = true\n  }\n";
    for lines in ["", first] {
        stage
            .terraform
            .rewrite(&Stage::text("", "parcels", lines))?;
        let Plan::Changes(said) = stage.terraform.plan()? else {
            panic!("the plan shows nothing")
        };
        let (_, told) = said
            .split_once("Replacement that will be refused: orders/devl")
            .unwrap_or_else(|| panic!("{said}"));
        assert!(told.contains("outbound/e-1/data.json"), "{said}");
        assert!(stage.terraform.refuse(&APPLY)?.contains("still holds 1"));
    }
    // No apply reaches what is deposed: the advice is to empty its bucket.
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("empty its bucket"), "{said}");
    let delete = stage.aws.s3.delete_object().bucket(bucket);
    let delete = delete.key("outbound/e-1/data.json").send();
    delete.await.unwrap();
    stage.terraform.apply()?;
    let Plan::NoChanges = stage.terraform.plan()? else {
        panic!("something is left to do")
    };
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// What is somebody else's is left, and keeps nothing from being replaced, whether the plan refreshes or not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_refuses_no_replacement() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let key = somebody::key(&stage).await;
    let lines = format!("  kms_key_arn = \"{key}\"\n");
    stage.set(&lines)?;
    stage.terraform.apply()?;
    let bucket = &stage.names.bucket;
    put(&stage, bucket, "outbound/e-1/data.json").await;
    somebody::mark_bucket(&stage, Some("letters/devl/eu-west-1")).await;
    stage
        .terraform
        .rewrite(&Stage::text("", "parcels", &lines))?;
    for refresh in ["-refresh=true", "-refresh=false"] {
        let said = stage.terraform.run(&["plan", "-no-color", refresh])?.flat();
        assert!(!said.contains("Replacement that will be refused"), "{said}");
    }
    stage.terraform.apply()?;
    assert_eq!(
        stage
            .aws
            .s3
            .head_bucket()
            .bucket(bucket)
            .send()
            .await
            .map(drop)
            .ok(),
        Some(())
    );
    Ok(())
}

/// What nobody may delete leaves a replacement on its way, and the error says how the old pipeline is had back.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_may_not_delete_all_is_no_dead_end() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let denied = Fault::error(400, "AccessDeniedException", "with an explicit deny");
    for operation in ["logs:DeleteLogGroup", "iam:DeleteRole"] {
        stage.set("  iam_path = \"/team/\"\n")?;
        proxy.inject(Rule::before(denied.clone()).on(operation));
        for _ in 0..2 {
            let said = stage.terraform.refuse(&APPLY)?;
            assert!(said.contains("What may not be deleted"), "{said}");
        }
        stage.set("")?;
        stage.terraform.apply()?;
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
        proxy.clear();
    }
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
    stage.terraform.refuse(&APPLY)?;
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
        let said = stage.terraform.refuse(&APPLY)?;
        assert!(said.contains(refusal), "{said}");
        stage.terraform.destroy()?;
        assert_eq!(stage.left().await?, left);
    }
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
        let said = stage.terraform.refuse(&APPLY)?;
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
    refused("boxes", "", "was not made by this pipeline")?;
    proxy.clear();

    // A part of its own that has become somebody else's.
    let url = somebody::untag_queue(&stage, &stage.names.queue).await;
    let change = stage.aws.sqs.set_queue_attributes();
    let change = change.queue_url(url);
    let change = change.attributes(QueueAttributeName::DelaySeconds, "7");
    change.send().await.unwrap();
    refused("orders", "  iam_path = \"/x/\"\n", &stage.names.queue)?;
    let after = stage.observe().await;
    assert_eq!(after["key"], before["key"]);
    assert_eq!(after["bucket"], before["bucket"]);
    Ok(())
}
