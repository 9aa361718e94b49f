//! What AWS's own reference says it may answer, and no emulator does: fields that say why others are missing, listings that leave things out, settings
//! that shut one another out, refusals with a way out.

use std::sync::{Arc, Mutex};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::Environment;
use aws_sdk_s3::types::{
    NotificationConfiguration, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    QueueConfiguration,
};
use bellflower_tests::proxy::{Fault, Proxy, Rule};
use bellflower_tests::{APPLY, DESTROY, Error, Plan, Stage};
use serde_json::{Value, json};

use super::in_place::zip;
use super::somebody::{self, open_queue, put};

/// Of many objects S3 may leave one for the moment, in an answer that tells of success: it is asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_many_is_deleted_again() -> Result<(), Error> {
    let lines = "  bucket = { force_destroy = true }\n";
    let (stage, proxy) = Stage::behind_proxy(lines).await?;
    stage.terraform.apply()?;
    let key = "outbound/1/data.json";
    put(&stage, &stage.names.bucket, key).await;
    let slow = format!(
        "<DeleteResult><Error><Key>{key}</Key><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error></DeleteResult>"
    );
    let hits = proxy.inject(
        Rule::after(Fault::rewritten(move |_| slow.clone()))
            .on("s3:DeleteObjects")
            .first(1),
    );
    let slow = Fault::error(503, "SlowDown", "Reduce your request rate.");
    let again = proxy.inject(Rule::before(slow).on("s3:DeleteObject").first(2));
    stage.terraform.destroy()?;
    assert_eq!((hits.count(), again.count()), (1, 2));
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// What Lambda answers without, since the caller may not see it, is not taken for nothing: no variable is removed, no function left behind.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_seen_of_a_function_is_not_overwritten() -> Result<(), Error> {
    let arguments = |memory: u32| {
        format!(
            "  processing = {{ memory_size = {memory}, variables = {{ STAGE = \"one\" }} }}\n  lifecycle {{\n    ignore_changes = [processing.variables]\n  }}\n"
        )
    };
    let (stage, proxy) = Stage::behind_proxy(&arguments(128)).await?;
    stage.terraform.apply()?;
    let function = &stage.names.processing;
    let variables = async || {
        let get = stage.aws.lambda.get_function_configuration();
        let answer = get.function_name(function).send().await.unwrap();
        answer.environment.unwrap().variables.unwrap()
    };
    let mut more = variables().await;
    more.insert("FEATURE".to_owned(), "on".to_owned());
    let environment = Environment::builder().set_variables(Some(more.clone()));
    let add = stage.aws.lambda.update_function_configuration();
    let add = add.function_name(function).environment(environment.build());
    add.send().await.unwrap();
    stage.set(&arguments(256))?;

    let hide = |pointer: &'static str, field: &'static str, code: &'static str| {
        move |body: &str| {
            let mut value: Value = serde_json::from_str(body).unwrap();
            let at = value.pointer_mut(pointer).unwrap();
            let hidden =
                json!({ "ErrorCode": code, "Message": "User: somebody is not authorized" });
            if field == "Environment" {
                at[field] = json!({ "Error": hidden });
            } else {
                at["Tags"] = Value::Null;
                at[field] = hidden;
            }
            value.to_string()
        }
    };
    let rows = [
        ("/Configuration", "Environment", "kms:Decrypt"),
        ("", "TagsError", "lambda:ListTags"),
    ];
    for (pointer, field, right) in rows {
        let hidden = Fault::rewritten(hide(pointer, field, "AccessDeniedException"));
        proxy.inject(Rule::after(hidden).on("lambda:GetFunction"));
        for command in [APPLY, DESTROY] {
            let said = stage.terraform.refuse(&command)?;
            assert!(said.contains(right), "{field}: {said}");
        }
        proxy.clear();
        assert_eq!(variables().await, more, "{field}");
    }

    // Where the key is in trouble that is what is told, and the rest of the function is written without its variables.
    let hidden = Fault::rewritten(hide(
        "/Configuration",
        "Environment",
        "KMSDisabledException",
    ));
    proxy.inject(Rule::after(hidden).on("lambda:GetFunction"));
    stage.terraform.apply()?;
    proxy.clear();
    assert_eq!(variables().await, more);
    let get = stage.aws.lambda.get_function_configuration();
    let answer = get.function_name(function).send().await.unwrap();
    assert_eq!(answer.memory_size, Some(256));
    Ok(())
}

/// An answer about log groups, each changed by `change`; that to a request for a prefix is left alone if `but_by_prefix`.
fn log_groups(but_by_prefix: bool, change: fn(&mut Value)) -> Rule {
    let rewriting = move |request: &str, answer: &str| {
        let mut told: Value = serde_json::from_str(answer).unwrap();
        if !(but_by_prefix && request.contains("logGroupNamePrefix")) {
            let groups = told["logGroups"].as_array_mut().unwrap();
            groups.iter_mut().for_each(change);
        }
        told.to_string()
    };
    Rule::after(Fault::rewritten_to(rewriting)).on("logs:DescribeLogGroups")
}

/// Some listings of log groups tell names alone (AWS says so of `logGroupNamePattern`), a policy of the account tells another retention, and somebody
/// protects a group: none of it is taken for a difference, and what AWS will not delete is told before anything is.
#[tokio::test(flavor = "multi_thread")]
async fn log_groups_are_what_aws_tells_of_them() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let bare = |group: &mut Value| {
        let fields = group.as_object_mut().unwrap();
        fields.retain(|name, _| ["arn", "creationTime", "logGroupName"].contains(&name.as_str()));
    };
    proxy.inject(log_groups(true, bare));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    proxy.clear();

    let refused = Fault::error(400, "InvalidParameterException", "No such log group.");
    let hits = proxy.inject(Rule::before(refused).on("logs:DescribeLogGroups").first(1));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    assert_eq!(hits.count(), 1);
    proxy.clear();

    proxy.inject(log_groups(false, |group| {
        group["retentionInDays"] = json!(30);
        group["retentionPolicyName"] = json!("the-account's");
    }));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    proxy.clear();

    proxy.inject(log_groups(false, |group| {
        group["deletionProtectionEnabled"] = json!(true);
    }));
    let said = stage.terraform.refuse(&DESTROY)?;
    assert!(said.contains("protected it from deletion"), "{said}");
    proxy.clear();
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // One alarm that a composite alarm needs, or that may not be deleted, does not keep the others.
    let needed = "Cannot delete one as there are composite alarm(s) depending on it";
    let denied = "User: ci is not authorized to perform: cloudwatch:DeleteAlarms on resource: one";
    for (code, message) in [("ValidationError", needed), ("AccessDenied", denied)] {
        stage.terraform.apply()?;
        let refused = Fault::error(400, code, message);
        let hits = proxy.inject(Rule::before(refused).on("cloudwatch:DeleteAlarms").first(1));
        stage.terraform.destroy()?;
        assert_eq!(hits.count(), 1);
        assert_eq!(stage.left().await?, Vec::<String>::new());
    }
    Ok(())
}

/// Pollers that somebody keeps for an event source cost money while nothing comes, and shut out a limit on concurrency: they are told, and go with it in
/// one call, since AWS takes neither beside the other.
#[tokio::test(flavor = "multi_thread")]
async fn pollers_of_somebody_go() -> Result<(), Error> {
    let lines = "  event_source = { maximum_concurrency = 5 }\n";
    let (stage, proxy) = Stage::behind_proxy(lines).await?;
    stage.terraform.apply()?;
    let queue = stage.arn("sqs", &stage.names.queue);
    let keep = move |answer: &str| {
        let mut told: Value = serde_json::from_str(answer).unwrap();
        let mappings = told["EventSourceMappings"].as_array_mut().unwrap();
        for mapping in mappings
            .iter_mut()
            .filter(|one| one["EventSourceArn"] == queue.as_str())
        {
            mapping["ProvisionedPollerConfig"] =
                json!({"MinimumPollers": 20, "MaximumPollers": 200});
            mapping["ScalingConfig"] = Value::Null;
        }
        told.to_string()
    };
    proxy.inject(Rule::after(Fault::rewritten(keep)).on("lambda:ListEventSourceMappings"));
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sent);
    let look = Fault::hook_with_body(move |_, body| {
        seen.lock()
            .unwrap()
            .push(serde_json::from_slice::<Value>(body).unwrap());
    });
    proxy.inject(Rule::before(look).on("lambda:UpdateEventSourceMapping"));
    let change = stage.change()?;
    let said = change.to_string();
    assert!(said.contains("maximum_concurrency"), "{said}");
    assert!(said.contains("minimum_pollers"), "{said}");
    // What the proxy tells after the apply as well is no difference of AWS's.
    stage.terraform.run(&APPLY)?;
    let sent = sent.lock().unwrap();
    assert_eq!(sent[0]["ProvisionedPollerConfig"], json!({}), "{sent:?}");
    assert_eq!(sent[0]["ScalingConfig"], json!({"MaximumConcurrency": 5}));
    drop(sent);
    proxy.clear();
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// Who may do with the key only what its tag allows is denied all of it once the tag is gone, but for its tags. The pipeline's own gets it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_shows_its_tags_alone_is_told_by_them() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let kms = &stage.aws.kms;
    let key = &somebody::untag_key(&stage).await;
    let deny = |proxy: &Proxy| {
        for operation in ["kms:GetKeyPolicy", "kms:GetKeyRotationStatus"] {
            let denied = Fault::error(400, "AccessDeniedException", "not authorized");
            proxy.inject(Rule::before(denied).on(operation));
        }
    };
    deny(&proxy);
    stage.terraform.apply()?;
    let tags = kms.list_resource_tags().key_id(key).send().await.unwrap();
    assert!(tags.tags().contains(&somebody::mark_of_key(&stage)));
    proxy.clear();
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // Somebody else's key is called so, though no more than its tags may be seen.
    stage.terraform.destroy()?;
    let theirs = kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let name = kms.create_alias().alias_name(&stage.names.key_alias);
    name.target_key_id(theirs.key_id).send().await.unwrap();
    deny(&proxy);
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(said.contains("was not made by this pipeline"), "{said}");
    Ok(())
}

/// Refusals that last until a person does something say what.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_with_a_way_out_tells_it() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let (s3, bucket) = (&stage.aws.s3, &stage.names.bucket);
    let s3_rows = [
        (
            "s3:PutBucketOwnershipControls",
            (
                400,
                "InvalidBucketAclWithObjectOwnership",
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
            ),
            format!("aws s3api put-bucket-acl --bucket {bucket} --acl private"),
        ),
        (
            "s3:PutBucketTagging",
            (
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            ),
            format!("aws s3api put-bucket-abac --bucket {bucket} --abac-status Status=Disabled"),
        ),
    ];
    let rule = OwnershipControlsRule::builder().object_ownership(ObjectOwnership::ObjectWriter);
    let controls = OwnershipControls::builder().rules(rule.build().unwrap());
    let put = s3.put_bucket_ownership_controls().bucket(bucket);
    let put = put.ownership_controls(controls.build().unwrap());
    put.send().await.unwrap();
    for (operation, (status, code, message), way) in s3_rows {
        proxy.inject(Rule::before(Fault::error(status, code, message)).on(operation));
        let said = stage.terraform.refuse(&APPLY)?;
        assert!(said.contains(code) && said.contains(&way), "{said}");
        proxy.clear();
        // Not before: where one of a part's settings is refused, others may be written all the same.
        stage.set("  tags = { team = \"orders\" }\n")?;
    }

    // A function that has failed, and that Lambda changes no more.
    let failed = |answer: &str| {
        let mut told: Value = serde_json::from_str(answer).unwrap();
        let function = &mut told["Configuration"];
        function["State"] = json!("Failed");
        function["StateReasonCode"] = json!("EniLimitExceeded");
        told.to_string()
    };
    let name = &stage.names.integration;
    proxy.inject(
        Rule::after(Fault::rewritten(failed))
            .on("lambda:GetFunction")
            .object(name),
    );
    let message = "The operation cannot be performed at this time. The function is currently in the following state: Failed";
    let refused = Fault::error(409, "ResourceConflictException", message);
    let hits = proxy.inject(Rule::before(refused).on("lambda:UpdateFunctionConfiguration"));
    let said = stage.terraform.refuse(&APPLY)?;
    assert!(
        said.contains(&format!(
            "aws lambda delete-function --function-name {name}"
        )),
        "{said}"
    );
    assert_eq!(hits.count(), 1);
    proxy.clear();
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// Somebody whose right to change a role rests on its boundary can do so from the moment the boundary is there, until it goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_boundary_comes_first_and_goes_last() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    stage.terraform.apply()?;
    let role = &stage.names.state_machine_role;
    let document = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    let make = stage.aws.iam.create_policy().policy_name("bounds");
    let answer = make.policy_document(document).send().await.unwrap();
    let arn = answer.policy.and_then(|policy| policy.arn).unwrap();
    let bounded = format!(
        "  permissions_boundary = \"{arn}\"\n  state_machine = {{ tracing_enabled = false }}\n"
    );
    for (arguments, operations) in [
        (
            bounded.as_str(),
            ["PutRolePermissionsBoundary", "PutRolePolicy"],
        ),
        ("", ["PutRolePolicy", "DeleteRolePermissionsBoundary"]),
    ] {
        stage.set(arguments)?;
        let before = proxy.calls().len();
        stage.terraform.apply()?;
        let calls = proxy.calls().split_off(before);
        let of_it = calls.iter().filter(|call| call.object.contains(role));
        let written = of_it.filter_map(|call| call.operation.strip_prefix("iam:"));
        let written: Vec<&str> = written.filter(|name| !name.starts_with("Get")).collect();
        assert_eq!(written, operations);
    }
    Ok(())
}

/// The plan says that answers were not seen, and why; the apply puts that right.
fn unseen_and_mended(stage: &Stage, told: &str) -> Result<(), Error> {
    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the plan shows nothing")
    };
    let warning = said.split_once("Answers that were not seen: orders/devl");
    let (_, warning) = warning.unwrap_or_else(|| panic!("{told}: {said}"));
    assert!(warning.contains(told), "{said}");
    stage.terraform.apply()?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// The same of what the function needs to take them.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_could_take_are_warned_of() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let integration = &stage.names.integration;
    let (lambda, iam) = (&stage.aws.lambda, &stage.aws.iam);
    let role = stage.state()?["integration"]["role"]["name"].clone();
    let role = role.as_str().unwrap_or_default();
    for (what, told) in [
        ("variables", "integration.variables is not as it should be"),
        ("code", "integration.package is not as it should be"),
        ("policy", "integration.role.policy is not as it should be"),
        (
            "trust",
            "integration.role.assume_role_policy is not as it should be",
        ),
        ("role", "the part integration.role is missing"),
    ] {
        match what {
            "variables" => {
                let update = lambda.update_function_configuration();
                let update = update.function_name(integration);
                let theirs = Environment::builder().variables("DEBUG", "1").build();
                update.environment(theirs).send().await.unwrap();
            }
            "code" => {
                let update = lambda.update_function_code().function_name(integration);
                let theirs = Blob::new(zip("theirs").0);
                update.zip_file(theirs).send().await.unwrap();
            }
            "trust" => {
                let theirs = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}]}"#;
                let update = iam.update_assume_role_policy().role_name(role);
                update.policy_document(theirs).send().await.unwrap();
            }
            _ => {
                let off = iam.delete_role_policy().role_name(role);
                off.policy_name("bellflower").send().await.unwrap();
                if what == "role" {
                    iam.delete_role().role_name(role).send().await.unwrap();
                }
            }
        }
        unseen_and_mended(&stage, told)?;
    }
    Ok(())
}

/// S3 tells of an object once. What was written while nobody was there to be told is said to be written again.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_saw_are_warned_of() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let integration = &stage.names.integration;
    let notify = async |entries: Option<QueueConfiguration>| {
        let ours = NotificationConfiguration::builder();
        let ours = ours.set_queue_configurations(entries.map(|entry| vec![entry]));
        let put = stage.aws.s3.put_bucket_notification_configuration();
        let put = put.bucket(&stage.names.bucket);
        let put = put.notification_configuration(ours.build());
        put.send().await.unwrap();
    };
    let lambda = &stage.aws.lambda;
    let arn = stage.arn("sqs", "theirs");
    let account = arn.split(':').nth(4).unwrap_or_default();
    for (what, told) in [
        ("none", "the part notification is missing"),
        ("others", "notification.events is not as it should be"),
        ("permission", "permission.source_arn is not as it should be"),
        ("function", "the part integration is missing"),
    ] {
        match what {
            "none" => notify(None).await,
            "others" => {
                open_queue(&stage.aws, "theirs").await;
                let theirs = QueueConfiguration::builder();
                let theirs = theirs.queue_arn(stage.arn("sqs", "theirs"));
                let theirs = theirs.events("s3:ObjectRemoved:*".into());
                notify(Some(theirs.build().unwrap())).await;
            }
            "permission" => {
                let policy = lambda.get_policy().function_name(integration);
                let policy = policy.send().await.unwrap().policy.unwrap();
                let policy: Value = serde_json::from_str(&policy).unwrap();
                let id = policy["Statement"][0]["Sid"].as_str().unwrap();
                let remove = lambda.remove_permission().function_name(integration);
                remove.statement_id(id).send().await.unwrap();
                let add = lambda.add_permission().function_name(integration);
                let add = add.statement_id(id).action("lambda:InvokeFunction");
                let add = add.principal("s3.amazonaws.com");
                let add = add.source_account(account);
                let add = add.source_arn("arn:aws:s3:::another");
                add.send().await.unwrap();
            }
            _ => {
                let delete = lambda.delete_function().function_name(integration);
                delete.send().await.unwrap();
            }
        }
        unseen_and_mended(&stage, told)?;
    }

    // What went since the plan is told by the apply.
    stage.set("  topic = { display_name = \"one\" }\n")?;
    stage.terraform.expect(&["plan", "-out=the.plan"])?;
    notify(None).await;
    let said = stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?
        .flat();
    assert!(
        said.contains("Removed since the plan: orders/devl"),
        "{said}"
    );
    assert!(said.contains("Answers that were not seen"), "{said}");
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // Nobody waits where there is no state machine.
    let delete = stage.aws.sfn.delete_state_machine();
    let machine = stage.state()?["state_machine"]["arn"].clone();
    let delete = delete.state_machine_arn(machine.as_str().unwrap());
    delete.send().await.unwrap();
    notify(None).await;
    let Plan::Changes(said) = stage.terraform.plan()? else {
        panic!("the plan shows nothing")
    };
    assert!(!said.contains("Answers that were not seen"), "{said}");
    Ok(())
}

/// What somebody deleted with all that was in it comes back empty: who waits for what was in it waits in vain, and is told so.
#[tokio::test(flavor = "multi_thread")]
async fn what_went_with_a_part_is_warned_of() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let names = &stage.names;
    for (part, held) in [
        ("bucket", "bucket (the work, the tokens"),
        ("queue", "queue (messages with work"),
        ("undeliverable_queue", "undeliverable_queue (messages that"),
        ("dead_letter_queue", "dead_letter_queue (events of"),
    ] {
        if part == "bucket" {
            somebody::delete_bucket(&stage, &names.bucket).await;
        } else {
            let queue = stage.state()?[part]["name"].clone();
            let queue = queue.as_str().unwrap_or_default();
            let url = somebody::url_of(&stage, queue).await;
            let delete = stage.aws.sqs.delete_queue().queue_url(url);
            delete.send().await.unwrap();
        }
        let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
        let warning = said.split_once("Open callbacks may be lost: orders/devl");
        let (_, warning) = warning.unwrap_or_else(|| panic!("{part}: {said}"));
        assert!(warning.contains(&format!("by its tag: {held}")), "{said}");
        stage.terraform.apply()?;
        let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
        assert!(said.contains("No changes"), "{said}");
        assert!(!said.contains("Open callbacks"), "{said}");
    }

    // Nobody waits where there is no state machine.
    somebody::delete_bucket(&stage, &names.bucket).await;
    somebody::delete_machine(&stage).await;
    let said = stage.terraform.run(&["plan", "-no-color"])?.flat();
    assert!(!said.contains("Open callbacks"), "{said}");
    Ok(())
}
