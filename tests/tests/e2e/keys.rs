//! The key opens all that is in the bucket: whose it is, what becomes of it and of its alias, and when none is made in its place.

use std::collections::BTreeMap;

use aws_sdk_kms::types::KeyState;
use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{ADDRESS, APPLY, DESTROY, Error, Plan, Stage, differences};
use serde_json::json;

use super::somebody::{self, put, state_of_key};

/// A bucket that has lost its mark and more is left alone. The key that opens what is in it is not taken from it.
#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_mark_keeps_its_key() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let key = stage.state()?["key"]["arn"].clone();
    let key = key.as_str().unwrap_or_default();
    let (s3, bucket) = (&stage.aws.s3, &stage.names.bucket);
    put(&stage, bucket, "outbound/1/data.json").await;
    somebody::mark_bucket(&stage, None).await;
    let open = s3.delete_public_access_block().bucket(bucket);
    open.send().await.unwrap();
    let said = stage.terraform.refuse(&DESTROY)?;
    assert!(said.contains("Nothing was destroyed"), "{said}");
    assert!(
        said.contains("does not carry the tag bellflower:pipeline"),
        "{said}"
    );
    assert_eq!(state_of_key(&stage, key).await, KeyState::Enabled);

    // A bucket that somebody has made in its place, and that needs nothing of the pipeline's, is his.
    let plain = s3.delete_bucket_encryption().bucket(bucket);
    plain.send().await.unwrap();
    let open = s3.delete_bucket_policy().bucket(bucket);
    open.send().await.unwrap();
    let lasting = s3.delete_bucket_lifecycle().bucket(bucket);
    lasting.send().await.unwrap();
    for folder in ["inbound/", "outbound/"] {
        let remove = s3.delete_object().bucket(bucket).key(folder);
        remove.send().await.unwrap();
    }
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
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(
        said.contains("aws kms update-alias") && said.contains(theirs.arn.as_deref().unwrap()),
        "{said}"
    );
    let named = kms.describe_key().key_id(alias).send().await.unwrap();
    assert_eq!(named.key_metadata.unwrap().key_id, theirs.key_id);
    // Nor does a replacement want it removed, or his key.
    let replace = ["plan", "-no-color", &format!("-replace={ADDRESS}")];
    let said = stage.terraform.refuse(&replace)?;
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
    let said = stage.terraform.refuse(&APPLY)?;
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
    let said = stage
        .terraform
        .refuse(&["apply", "-no-color", "the.plan"])?;
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
    // What was encrypted with the old one is nobody's change. The emulator gives no log group another key, so that it does not get to its end.
    // What has lost its tag is known as what it was made with the old one.
    somebody::untag_queue(&stage, &stage.names.dead_letter_queue).await;
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("logs:AssociateKmsKey"), "{said}");
    assert!(!said.contains("since the plan"), "{said}");
    assert!(!said.contains("was not made by"), "{said}");
    Ok(())
}

/// An apply that is refused makes no other key, and forgets none.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_remembered_by_an_apply_that_is_refused() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let key = stage.state()?["key"]["key_id"].clone();
    let key = key.as_str().unwrap_or_default();
    let end = stage.aws.kms.schedule_key_deletion().key_id(key);
    end.send().await.unwrap();
    somebody::untag_queue(&stage, &stage.names.dead_letter_queue).await;
    let tags = stage
        .aws
        .s3
        .get_bucket_tagging()
        .bucket(&stage.names.bucket);
    let tags = tags.send().await.unwrap().tag_set;
    let mark = tags
        .iter()
        .find(|tag| tag.key == somebody::MARK)
        .map(|tag| tag.value.as_str());
    somebody::mark_bucket(&stage, None).await;
    somebody::live(&stage, |rules| rules.truncate(1)).await;
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(
        said.contains(&format!("S3 bucket \"{}\"", stage.names.bucket)),
        "{said}"
    );
    somebody::mark_bucket(&stage, mark).await;
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(
        said.contains(&format!("cancel-key-deletion --key-id {key}")),
        "{said}"
    );
    // The emulator gives no log group another key.
    assert!(said.contains("logs:AssociateKmsKey"), "{said}");
    assert!(!said.contains("was not made by"), "{said}");
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

/// A key of the user's own is no part of the pipeline, which is of no use without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_users_that_is_of_no_use_is_told() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let mut keys = Vec::new();
    for _ in 0..2 {
        keys.push(somebody::key(&stage).await);
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

/// No pipeline is taken down for one that could not be made.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_replaced_for_a_key_that_is_of_no_use() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let key = somebody::key(&stage).await;
    let disable = stage.aws.kms.disable_key().key_id(&key);
    disable.send().await.unwrap();
    stage.set(&format!("  kms_key_arn = \"{key}\"\n"))?;
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("The key cannot be used"), "{said}");
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    // Which keeps nobody from destroying it.
    stage.terraform.destroy()?;
    assert!(stage.state().is_err());
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
        let said = stage.terraform.refuse(&APPLY)?;
        assert!(said.contains("kms:CreateAlias"), "{said}");
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

/// Where it cannot be removed either, the next apply takes it up, and nobody is told to delete what that works with.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_can_be_neither_named_nor_removed_is_taken_up() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let denied = || Fault::error(400, "AccessDeniedException", "not authorized");
    proxy.inject(Rule::before(denied()).on("kms:CreateAlias"));
    proxy.inject(Rule::before(denied()).on("kms:ScheduleKeyDeletion"));
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("The next run finds it by its tag"), "{said}");
    proxy.clear();
    stage.terraform.run(&["untaint", ADDRESS])?;
    stage.terraform.apply()?;
    let keys = stage.aws.kms.list_keys().send().await.unwrap().keys;
    assert_eq!(keys.unwrap_or_default().len(), 1);
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Where nobody may have a key deleted, what is left and what to do is told; with its tag it is taken up again.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_may_delete_is_no_dead_end() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let key = stage.state()?["key"]["key_id"].clone();
    let id = key.as_str().unwrap_or_default();
    let denied = Fault::error(400, "AccessDeniedException", "with an explicit deny");
    proxy.inject(Rule::before(denied).on("kms:ScheduleKeyDeletion"));
    for _ in 0..2 {
        let said = stage.terraform.refuse(&DESTROY)?;
        assert!(said.contains(&format!("The key is {id}")), "{said}");
        assert!(said.contains("`terraform state rm`"), "{said}");
    }
    stage.terraform.expect(&["state", "rm", ADDRESS])?;
    stage.terraform.apply()?;
    assert_eq!(stage.state()?["key"]["key_id"], key);
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    proxy.clear();
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A run that was killed has made a key, and the next one is given another.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_killed_run_is_told() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let left = stage.aws.kms.create_key();
    let left = left.tags(somebody::mark_of_key(&stage));
    let left = left
        .send()
        .await
        .unwrap()
        .key_metadata
        .unwrap()
        .arn
        .unwrap();
    let given = somebody::key(&stage).await;
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
