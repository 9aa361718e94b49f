//! What is under `ignore_changes`, and what somebody gave a part whose argument is.

use aws_sdk_cloudwatchlogs::types::LogGroup;
use aws_sdk_s3::types::{
    ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleAndOperator,
    LifecycleRuleFilter, Tag as S3Tag,
};
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{ADDRESS, APPLY, Error, Plan, REFRESH, Stage};
use serde_json::json;

use super::in_place::{code, zip};
use super::somebody;

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
    stage.terraform.expect(&REFRESH)?;
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
        let url = somebody::url_of(&stage, &stage.names.queue).await;
        let list = stage.aws.sqs.list_queue_tags().queue_url(url);
        let tags = list.send().await.unwrap();
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

/// What would not fit with what is ignored is refused before anything is changed, and keeps nothing from being destroyed.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_fit_what_is_ignored_is_refused() -> Result<(), Error> {
    let ignoring = |bucket: &str| {
        format!(
            "  bucket = {{ {bucket} }}\n  lifecycle {{\n    ignore_changes = [bucket.inbound_prefix]\n  }}\n"
        )
    };
    let stage = Stage::new(&ignoring("inbound_prefix = \"in/\"")).await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    stage.set(&ignoring(
        "inbound_prefix = \"answers/\", outbound_prefix = \"in/\"",
    ))?;
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("Overlapping prefixes"), "{said}");
    assert!(said.contains("ignore_changes"), "{said}");
    assert_eq!(stage.observe().await, before);
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// What is ignored and does not fit the rest is told, and keeps nothing from being planned or destroyed.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_told_and_keeps_nothing_from_going() -> Result<(), Error> {
    let stage = Stage::new(
        "  queue = { visibility_timeout_seconds = 360 }\n  key = { rotation_period_in_days = 180 }\n  lifecycle {\n    ignore_changes = [queue, key]\n  }\n",
    )
    .await?;
    stage.terraform.apply()?;
    let set = stage.aws.sqs.set_queue_attributes();
    let set = set.queue_url(somebody::url_of(&stage, &stage.names.queue).await);
    let set = set.attributes(QueueAttributeName::VisibilityTimeout, "5");
    set.send().await.unwrap();
    let id = stage.state()?["key"]["key_id"].clone();
    let off = stage.aws.kms.disable_key_rotation();
    off.key_id(id.as_str().unwrap()).send().await.unwrap();
    let said = stage.terraform.expect(&["plan", "-no-color"])?.flat();
    assert!(said.contains("Time-out above the queue's"), "{said}");
    assert!(said.contains("ignore_changes"), "{said}");
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}
