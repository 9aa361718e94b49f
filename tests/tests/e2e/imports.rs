//! An import learns from AWS what the name alone does not tell, and what it did not see is neither replaced nor left.

use std::collections::BTreeMap;

use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::types::{Tag, Tagging};
use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{ADDRESS, APPLY, DESTROY, Error, Plan, Stage, differences};
use serde_json::{Value, json};

use super::somebody::{self, MARK, put, state_of_key};

fn actions(stage: &Stage) -> Result<Value, Error> {
    Ok(stage.change()?["actions"].clone())
}

/// Takes the pipeline out of the state, as somebody who has lost that, and imports it; what that says.
fn imported(stage: &Stage) -> Result<String, Error> {
    stage.terraform.expect(&["state", "rm", ADDRESS])?;
    Ok(stage.terraform.import(ADDRESS, "orders")?.flat())
}

/// An import sees what has a name of its own, and has nothing to change in it.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_finds_a_pipeline_that_is_at_work() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let key = somebody::key(&stage).await;
    let lines = format!(
        "  kms_key_arn = \"{key}\"\n  iam_path = \"/team/\"\n  task_token = \"private\"\n  bucket = {{ bucket = \"my-own-bucket-77\" }}\n  \
         integration = {{ function_name = \"mine\", role = {{ name = \"my-role\" }} }}\n"
    );
    stage.set(&lines)?;
    stage.terraform.apply()?;
    put(&stage, "my-own-bucket-77", "outbound/1/data.json").await;
    imported(&stage)?;
    assert_eq!(actions(&stage)?, json!(["no-op"]));
    // Another name is another part, as without an import, and what holds something is not replaced.
    stage.set(&lines.replace("my-own-bucket-77", "my-own-bucket-78"))?;
    assert_eq!(actions(&stage)?, json!(["delete", "create"]));
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("my-own-bucket-77"), "{said}");
    let get = stage.aws.s3.head_object().bucket("my-own-bucket-77");
    get.key("outbound/1/data.json").send().await.unwrap();
    Ok(())
}

/// What has a name of its own and has lost its tag is known by what works with it, and gets the tag back: a second one would have none of its messages.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_doubles_nothing_that_lost_its_tag() -> Result<(), Error> {
    let lines = "  queue = { name = \"incoming\" }\n  state_machine = { name = \"mine\" }\n";
    let stage = Stage::new(lines).await?;
    stage.terraform.apply()?;
    let observed = stage.observe().await;
    somebody::untag_queue(&stage, "incoming").await;
    let machine = stage.arn("states", "stateMachine:mine");
    somebody::untag_machine(&stage, &machine).await;
    let uuid = stage.state()?["event_source"]["uuid"].clone();
    imported(&stage)?;
    assert_eq!(actions(&stage)?, json!(["update"]));
    stage.terraform.apply()?;
    assert_eq!(stage.state()?["event_source"]["uuid"], uuid);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    let differ = differences(&observed, &stage.observe().await);
    assert_eq!(differ, BTreeMap::new());
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A destroy after an import that did not see the bucket would leave it behind without the key that opens what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_after_an_import_leaves_no_bucket_without_its_key() -> Result<(), Error> {
    let lines = "  bucket = { bucket = \"my-own-bucket-78\" }\n";
    let stage = Stage::new(lines).await?;
    stage.terraform.apply()?;
    let key = stage.state()?["key"]["arn"].clone();
    let key = key.as_str().unwrap_or_default();
    put(&stage, "my-own-bucket-78", "outbound/1/data.json").await;
    imported(&stage)?;
    let said = stage.terraform.refuse(&DESTROY)?;
    assert!(
        said.contains("my-own-bucket-78") && said.contains("Nothing was destroyed"),
        "{said}"
    );
    assert_eq!(state_of_key(&stage, key).await, KeyState::Enabled);
    Ok(())
}

/// What has a name of its own is known by the parts that work with it, also where nobody may ask AWS's index of tags.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_forgets_no_bucket() -> Result<(), Error> {
    let own = "  bucket = { bucket = \"my-own-bucket-79\" }\n";
    let (stage, proxy) = Stage::behind_proxy(own).await?;
    stage.terraform.apply()?;
    put(&stage, "my-own-bucket-79", "outbound/1/data.json").await;
    let denied = Fault::error(400, "AccessDeniedException", "not authorized");
    proxy.inject(Rule::before(denied).on("tag:GetResources"));
    let said = imported(&stage)?;
    assert!(said.contains("Not all parts were looked for"), "{said}");
    for command in [&DESTROY, &APPLY] {
        stage.set("")?;
        let said = stage.terraform.refuse(command)?;
        assert!(said.contains("my-own-bucket-79"), "{said}");
    }
    let buckets = stage.aws.s3.list_buckets().send().await.unwrap().buckets;
    assert_eq!(buckets.map(|all| all.len()), Some(1));
    // The roles tell as well, where the function is gone.
    stage.set("")?;
    let delete = stage.aws.lambda.delete_function();
    let delete = delete.function_name(&stage.names.integration);
    delete.send().await.unwrap();
    for command in [&DESTROY, &APPLY] {
        let said = stage.terraform.refuse(command)?;
        assert!(said.contains("my-own-bucket-79"), "{said}");
    }
    stage.set(own)?;
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// An import takes arguments from what it finds, and its own key for its own, whatever the bucket is encrypted with by now.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_finds_arguments_and_the_own_key() -> Result<(), Error> {
    let lines = "  bucket = { expiration_days = 30 }\n  queue = { visibility_timeout_seconds = 100 }\n  \
                 dead_letter_queue = { message_retention_seconds = 700000 }\n  key = { deletion_window_in_days = 30 }\n";
    let stage = Stage::new(lines).await?;
    stage.terraform.apply()?;
    imported(&stage)?;
    assert_eq!(stage.state()?["drift"], json!({}));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    let theirs = somebody::encrypt_by_another(&stage).await;
    imported(&stage)?;
    assert_eq!(actions(&stage)?, json!(["update"]));
    stage.terraform.destroy()?;
    let left = stage.left().await?;
    assert!(
        left.iter()
            .all(|one| theirs.contains(one.rsplit(' ').next().unwrap_or_default())),
        "{left:?}"
    );
    Ok(())
}

/// The prefixes are known where the function is not there, so that nothing is told that is not so.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_knows_prefixes_without_the_function() -> Result<(), Error> {
    let own = "  bucket = { inbound_prefix = \"in/\", outbound_prefix = \"out/\" }\n";
    let stage = Stage::new(own).await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let delete = stage.aws.lambda.delete_function();
    let delete = delete.function_name(&stage.names.integration);
    delete.send().await.unwrap();
    imported(&stage)?;
    let said = stage.terraform.apply()?.flat();
    assert!(!said.contains("would be lost"), "{said}");
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// The own key is known by its alias without its tag, whatever the bucket is encrypted with by now, also to who may not look at it.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_knows_the_own_key_without_its_tag() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let key = somebody::untag_key(&stage).await;
    let denied = Fault::error(400, "AccessDeniedException", "not for you");
    proxy.inject(Rule::before(denied).on("kms:GetKeyPolicy"));
    somebody::encrypt_by_another(&stage).await;
    imported(&stage)?;
    assert_eq!(stage.state()?["key"]["arn"], key);
    assert_eq!(actions(&stage)?, json!(["update"]));
    proxy.clear();
    stage.terraform.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// Without tag and alias a key may have become the user's: it is left, and an import says how it is the pipeline's own.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_tells_of_a_key_that_may_be_its_own() -> Result<(), Error> {
    let own = "  key = { alias = \"alias/mine\", description = \"Mine\" }\n";
    let stage = Stage::new(own).await?;
    stage.terraform.apply()?;
    let key = &somebody::untag_key(&stage).await;
    // It is to be the user's.
    stage.set(&format!("  kms_key_arn = \"{key}\"\n"))?;
    let said = imported(&stage)?;
    assert!(said.contains("A key that may be the pipeline's"), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    // It is the pipeline's.
    somebody::mark_key(&stage, key).await;
    stage.set(own)?;
    let said = imported(&stage)?;
    assert!(!said.contains("A key that may be"), "{said}");
    stage.terraform.apply()?;
    assert_eq!(stage.state()?["key"]["arn"], *key);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// Nor is one without its tag that waits for its deletion taken for the user's without a word.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_tells_of_a_key_without_its_tag_that_goes() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let key = &somebody::untag_key(&stage).await;
    let kms = &stage.aws.kms;
    let schedule = kms.schedule_key_deletion().key_id(key);
    schedule.pending_window_in_days(7).send().await.unwrap();
    let said = imported(&stage)?;
    assert!(said.contains("A key that may be the pipeline's"), "{said}");
    assert!(said.contains("cancel-key-deletion"), "{said}");
    let said = stage
        .terraform
        .refuse(&["plan", "-no-color", "-input=false"])?;
    assert!(said.contains("which waits for its deletion"), "{said}");
    let cancel = kms.cancel_key_deletion().key_id(key);
    cancel.send().await.unwrap();
    kms.enable_key().key_id(key).send().await.unwrap();
    somebody::mark_key(&stage, key).await;
    let said = imported(&stage)?;
    assert!(!said.contains("A key that may be"), "{said}");
    stage.terraform.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// What lacks its tag and nothing else is the pipeline's to an import as to every run after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_takes_what_lacks_its_tag_alone() -> Result<(), Error> {
    let lines = "  subscriptions = { s = { protocol = \"sms\", endpoint = \"+491701234567\" } }\n";
    let stage = Stage::new(lines).await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let alarm = format!("alarm:{}-errors", stage.names.processing);
    let alarm = stage.arn("cloudwatch", &alarm);
    let untag = async || {
        somebody::untag_queue(&stage, &stage.names.queue).await;
        somebody::mark_bucket(&stage, None).await;
        let alarm = stage.aws.cloudwatch.untag_resource().resource_arn(&alarm);
        alarm.tag_keys(MARK).send().await.unwrap();
    };
    untag().await;
    let said = imported(&stage)?;
    assert!(!said.contains("counts as missing"), "{said}");
    assert!(said.contains("has subscriptions (1)"), "{said}");
    let Plan::Changes(plan) = stage.terraform.plan()? else {
        panic!("the plan shows nothing");
    };
    assert!(plan.contains("queue.tags"), "{plan}");
    // An `import` block does all of it in one run.
    stage.terraform.expect(&["state", "rm", ADDRESS])?;
    let block = format!("import {{\n  to = {ADDRESS}\n  id = \"orders\"\n}}\n");
    let other = stage.beside(&(Stage::text("", "orders", "") + &block))?;
    other.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    assert!(matches!(other.plan()?, Plan::NoChanges));
    untag().await;
    other.expect(&["state", "rm", ADDRESS])?;
    other.import(ADDRESS, "orders")?;
    other.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    // Where there is nothing, it says what was looked for, and that the environment may be another.
    let said = other.refuse(&["import", "-no-color", ADDRESS, "orders"])?;
    let looked_for = "Nothing was found of the pipeline \"orders/devl\" in region eu-west-1 of account 123456789012.";
    assert!(said.contains(looked_for), "{said}");
    assert!(said.contains("or NAME/ENVIRONMENT"), "{said}");
    Ok(())
}

/// A bucket that somebody has S3 encrypt with a key of its own names none, and KMS is not asked for one without a name.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_asks_for_no_key_without_a_name() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    somebody::encrypt_by_s3(&stage).await;
    stage.terraform.expect(&["state", "rm", ADDRESS])?;
    proxy.reset();
    stage.terraform.import(ADDRESS, "orders")?;
    let calls = proxy.calls();
    let mut asked = calls
        .iter()
        .filter(|call| call.operation == "kms:DescribeKey");
    assert!(asked.clone().count() > 0);
    assert!(asked.all(|call| !call.object.is_empty()), "{calls:?}");
    stage.terraform.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    Ok(())
}

/// Nor is the user's key forgotten for that, which the queues tell of.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_asks_the_parts_that_name_a_key() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let key = somebody::key(&stage).await;
    stage.set(&format!("  kms_key_arn = \"{key}\"\n"))?;
    stage.terraform.apply()?;
    let again = || -> Result<(), Error> {
        imported(&stage)?;
        assert_eq!(stage.state()?["kms_key_arn"], json!(key));
        let said = stage.terraform.apply()?.flat();
        assert!(!said.contains("would be lost"), "{said}");
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
        Ok(())
    };
    somebody::encrypt_by_s3(&stage).await;
    again()?;
    // Most parts tell, not the first.
    somebody::encrypt_by_another(&stage).await;
    again()?;
    Ok(())
}

/// What an own name hides and what has lost its tag is told by the parts that work with it: no second one is made beside it, and no destroy leaves it without its key.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_forgets_nothing_that_its_parts_work_with() -> Result<(), Error> {
    let own =
        "  bucket = { bucket = \"my-own-bucket-90\" }\n  state_machine = { name = \"mine\" }\n";
    let stage = Stage::new(own).await?;
    stage.terraform.apply()?;
    put(&stage, "my-own-bucket-90", "outbound/1/data.json").await;
    let tag = Tag::builder().key("CostCenter").value("1").build().unwrap();
    let tags = Tagging::builder().tag_set(tag).build().unwrap();
    let tagging = stage.aws.s3.put_bucket_tagging().bucket("my-own-bucket-90");
    tagging.tagging(tags).send().await.unwrap();
    let machine = stage.arn("states", "stateMachine:mine");
    somebody::untag_machine(&stage, &machine).await;
    stage.set("")?;
    imported(&stage)?;
    for command in [&DESTROY, &APPLY] {
        let said = stage.terraform.refuse(command)?;
        assert!(said.contains("my-own-bucket-90"), "{said}");
    }
    stage.set(own)?;
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// The pipeline's own key stays its own, whatever becomes of it, and is not taken for one of the user's, for which all would be made anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_knows_its_own_key() -> Result<(), Error> {
    for alias in ["alias/mine", "alias/orders-key-devl-eu-west-1"] {
        let stage = Stage::new(&format!("  key = {{ alias = \"{alias}\" }}\n")).await?;
        stage.terraform.apply()?;
        let key = stage.state()?["key"]["key_id"].clone();
        let key = key.as_str().unwrap_or_default();
        let end = stage.aws.kms.schedule_key_deletion().key_id(key);
        end.send().await.unwrap();
        imported(&stage)?;
        assert_eq!(stage.state()?["kms_key_arn"], json!(null));
        assert_eq!(actions(&stage)?, json!(["update"]));
        let said = stage.terraform.expect(&["plan", "-no-color"])?.flat();
        assert!(said.contains("Open callbacks would be lost"), "{said}");
        let cancel = stage.aws.kms.cancel_key_deletion().key_id(key);
        cancel.send().await.unwrap();
        stage.aws.kms.enable_key().key_id(key).send().await.unwrap();
        stage.terraform.apply()?;
        assert_eq!(stage.state()?["key"]["key_id"], json!(key));
        stage.terraform.destroy()?;
        assert_eq!(stage.left().await?, Vec::<String>::new());
    }
    Ok(())
}

/// A key that a killed run has left is not the pipeline's, which works with one of the user's.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_knows_the_users_key() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let left = stage.aws.kms.create_key();
    let left = left.tags(somebody::mark_of_key(&stage));
    left.send().await.unwrap();
    let given = somebody::key(&stage).await;
    stage.set(&format!("  kms_key_arn = \"{given}\"\n"))?;
    stage.terraform.apply()?;
    let said = imported(&stage)?;
    assert!(said.contains("Parts left by an earlier run"), "{said}");
    assert_eq!(stage.state()?["kms_key_arn"], json!(given));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// What one may not see of a key of the user's, or it does not have, keeps it from being imported as little as it makes it the pipeline's.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_needs_to_see_nothing_of_the_users_key() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let given = somebody::key(&stage).await;
    stage.set(&format!("  kms_key_arn = \"{given}\"\n"))?;
    stage.terraform.apply()?;
    let denied = Fault::error(400, "AccessDeniedException", "not for you");
    let unsupported = Fault::error(400, "UnsupportedOperationException", "not of this origin");
    for (fault, operation) in [
        (&unsupported, "kms:GetKeyRotationStatus"),
        (&denied, "kms:GetKeyRotationStatus"),
        (&denied, "kms:GetKeyPolicy"),
        (&denied, "kms:ListResourceTags"),
        (&denied, "kms:DescribeKey"),
    ] {
        let id = given.rsplit('/').next().unwrap_or_default();
        proxy.inject(Rule::before(fault.clone()).on(operation).object(id));
        let said = imported(&stage)?;
        assert!(!said.contains("Warning"), "{operation}: {said}");
        assert_eq!(stage.state()?["kms_key_arn"], json!(given));
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
        proxy.clear();
    }
    Ok(())
}

/// Nor is one of another account asked for what AWS shows to that account alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_leaves_a_key_of_another_account_to_it() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let given = somebody::key(&stage).await;
    let given = given.replace(stage.emulator.account(), "210987654321");
    stage.set(&format!("  kms_key_arn = \"{given}\"\n"))?;
    stage.terraform.apply()?;
    let denied = Fault::error(400, "AccessDeniedException", "not for you");
    let id = given.rsplit('/').next().unwrap_or_default();
    proxy.inject(Rule::before(denied).on("kms:*").object(id));
    let said = imported(&stage)?;
    assert!(!said.contains("Warning"), "{said}");
    assert_eq!(stage.state()?["kms_key_arn"], json!(given));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// An alias of another name than the pipeline's may be somebody's: none is taken for its own, nor from whoever made it.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_takes_no_alias_of_somebodys() -> Result<(), Error> {
    for (lines, own) in [
        ("  key = { alias = \"alias/zz-mine\" }\n", "alias/zz-mine"),
        ("", "alias/orders-key-devl-eu-west-1"),
    ] {
        let stage = Stage::new(lines).await?;
        stage.terraform.apply()?;
        let key = stage.state()?["key"]["key_id"].clone();
        let key = key.as_str().unwrap_or_default();
        let kms = &stage.aws.kms;
        let alias = kms.create_alias().alias_name("alias/a-team");
        alias.target_key_id(key).send().await.unwrap();
        kms.delete_alias().alias_name(own).send().await.unwrap();
        imported(&stage)?;
        assert_eq!(actions(&stage)?, json!(["update"]));
        stage.terraform.apply()?;
        assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
        assert_eq!(stage.state()?["key"]["key_id"], json!(key));
        assert_eq!(stage.state()?["key"]["alias"], json!(own));
        stage.terraform.destroy()?;
        let aliases = kms.list_aliases().key_id(key).send().await.unwrap().aliases;
        let names = aliases.unwrap_or_default().into_iter();
        let names: Vec<_> = names.filter_map(|alias| alias.alias_name).collect();
        assert_eq!(names, ["alias/a-team"]);
    }
    Ok(())
}
