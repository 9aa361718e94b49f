//! The mark that says whose a part is, with another value on every part at once.

use std::collections::BTreeMap;

use bellflower_tests::{APPLY, DESTROY, Error, Plan, differences};

use super::ground::{Ground, tag};
use super::{assert_no_changes, listed};

/// Gives all parts that have tags these.
async fn tag_all(ground: &Ground, tags: &[(&str, &str)]) {
    let parts = listed().into_iter();
    for (path, _) in parts.filter(|(_, properties)| properties.contains(&"tags")) {
        tag(ground, path, tags, &[]).await;
    }
}

/// Gives all parts that have tags another mark.
async fn mark_all(ground: &Ground, mark: &str) {
    tag_all(ground, &[("bellflower:pipeline", mark)]).await;
}

/// Of what the ground holds besides, the queues and policies of others, nothing has the pipeline's name.
async fn assert_nothing_is_left(ground: &Ground) -> Result<(), Error> {
    let mut left = ground.stage.left().await?;
    left.retain(|one| one.contains("orders"));
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}

/// Version 0.1.0 left the region out of the mark. What is in the state and carries that is the pipeline's, and gets today's.
#[tokio::test(flavor = "multi_thread")]
async fn the_mark_of_the_first_release_is_its_own() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let terraform = &ground.stage.terraform;
    mark_all(&ground, "orders/devl").await;
    let Plan::Changes(plan) = terraform.plan()? else {
        panic!("the plan shows nothing");
    };
    assert!(
        plan.contains("0 to add, 1 to change, 0 to destroy"),
        "{plan}"
    );
    terraform.apply()?;
    let now = ground.stage.observe().await;
    assert_eq!(differences(&ground.before, &now), BTreeMap::new());
    assert_no_changes(&ground.stage)?;
    // Nor does a destroy need an apply before it.
    mark_all(&ground, "orders/devl").await;
    terraform.destroy()?;
    assert_nothing_is_left(&ground).await
}

/// A state whose parts all stand and are somebody else's by their marks is not emptied for that: nothing is destroyed, and nothing is called so.
#[tokio::test(flavor = "multi_thread")]
async fn what_bears_another_mark_is_not_called_destroyed() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let terraform = &ground.stage.terraform;
    mark_all(&ground, "Orders/Devl").await;
    let marked = ground.stage.observe().await;
    let commands = [
        vec!["plan", "-no-color"],
        vec!["plan", "-refresh-only", "-no-color"],
        APPLY.to_vec(),
        DESTROY.to_vec(),
        [&DESTROY[..], &["-refresh=false"]].concat(),
    ];
    for command in commands {
        let said = terraform.refuse(&command)?;
        assert!(
            said.contains("bellflower:pipeline = orders/devl/eu-west-1"),
            "{command:?}: {said}"
        );
    }
    let now = ground.stage.observe().await;
    assert_eq!(differences(&marked, &now), BTreeMap::new());
    mark_all(&ground, "orders/devl/eu-west-1").await;
    assert_no_changes(&ground.stage)?;
    terraform.destroy()?;
    assert_nothing_is_left(&ground).await
}

/// Where others are let to tag, no plan tells of what they do, and no apply takes it away, whatever else of the tags it puts right.
#[tokio::test(flavor = "multi_thread")]
async fn tags_that_are_ignored_are_left() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let terraform = &ground.stage.terraform;
    tag_all(&ground, &[("CreatedBy", "somebody"), ("audit:at", "noon")]).await;
    assert!(matches!(terraform.plan()?, Plan::Changes(_)));

    let file = terraform.directory().join("main.tf");
    let text = std::fs::read_to_string(file).unwrap();
    // The prefix is also that of the tags by which a part is known, which it does not hide.
    let block = "provider \"bellflower\" {\n  ignore_tags {\n    keys = [\"CreatedBy\"]\n    key_prefixes = [\"audit:\", \"bell\"]\n  }\n";
    assert_eq!(text.matches("provider \"bellflower\" {\n").count(), 1);
    terraform.rewrite(&text.replace("provider \"bellflower\" {\n", block))?;
    assert_no_changes(&ground.stage)?;

    let count = async |tag: &str| {
        ground
            .stage
            .observe()
            .await
            .to_string()
            .matches(tag)
            .count()
    };
    let before = (count("CreatedBy").await, count("audit:at").await);
    assert!(before.0 > 30 && before.1 == before.0, "{before:?}");
    tag_all(&ground, &[("stranger", "here")]).await;
    assert!(matches!(terraform.plan()?, Plan::Changes(_)));
    terraform.apply()?;
    assert_eq!((count("CreatedBy").await, count("audit:at").await), before);
    assert_eq!(count("stranger").await, 0);
    terraform.destroy()?;
    assert_nothing_is_left(&ground).await
}
