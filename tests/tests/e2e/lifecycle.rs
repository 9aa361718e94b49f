//! From create to destroy, and what interrupts it. What happens in between behind Terraform's back is in `drift`.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bellflower_tests::proxy::{Fault, Rule};
use bellflower_tests::{
    ADDRESS, APPLY, DESTROY, Error, Pipeline, Plan, Run, Stage, Terraform, differences, eventually,
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;

use super::somebody;

const LIMIT: Duration = Duration::from_mins(1);

fn assert_no_changes(terraform: &Terraform) -> Result<(), Error> {
    match terraform.plan()? {
        Plan::NoChanges => Ok(()),
        Plan::Changes(text) => panic!("the plan was to be empty:\n{text}"),
    }
}

async fn assert_nothing_is_left(stage: &Stage) -> Result<(), Error> {
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// A working directory with the same configuration and no state.
fn fresh(stage: &Stage, arguments: &str) -> Result<Terraform, Error> {
    stage.beside(&Stage::text("", "orders", arguments))
}

const ARGUMENTS: &str = r#"
  log_retention_in_days = 30
  iam_path              = "/pipelines/"
  tags                  = { team = "logistics" }
  key                   = { rotation_period_in_days = 180 }
  queue                 = { delay_seconds = 3 }
  bucket                = { inbound_prefix = "answers/", outbound_prefix = "work/", expiration_days = 30, outbound_queue_arn = "{work}" }
  processing = {
    memory_size = 256
    alarms      = { throttles = { enabled = false }, errors = { threshold = 3 } }
  }
  state_machine = { callback_timeout_seconds = 600, processing_retry = { backoff_rate = 1.5 } }
"#;

/// What AWS does not know: the names of subscriptions, and how long a key will be kept.
const NOT_IMPORTED: &str = r#"
  key           = { deletion_window_in_days = 7 }
  subscriptions = { operator = { protocol = "email", endpoint = "operator@example.com" } }
"#;

/// Create, no changes, import elsewhere, no changes, destroy there, nothing left.
#[tokio::test(flavor = "multi_thread")]
async fn created_imported_destroyed() -> Result<(), Error> {
    for (arguments, id) in [("", "orders"), (ARGUMENTS, "orders/devl")] {
        let stage = Stage::new("").await?;
        let work = stage.arn("sqs", "work");
        let arguments = &arguments.replace("{work}", &work);
        let url = somebody::open_queue(&stage.aws, "work").await;
        stage.set(arguments)?;
        let created = stage.terraform.apply()?;
        assert!(created.stdout.contains("1 added"), "{}", created.stdout);
        assert_no_changes(&stage.terraform)?;
        let observed = stage.observe().await;

        // Somebody else with the same configuration must not take it over unawares.
        let other = fresh(&stage, arguments)?;
        let said = other.refuse(&APPLY)?;
        assert!(
            said.contains("terraform import") && said.contains("orders/devl"),
            "{said}"
        );
        assert_eq!(
            differences(&observed, &stage.observe().await),
            BTreeMap::new()
        );

        other.import(ADDRESS, id)?;
        assert_no_changes(&other)?;
        assert_eq!(
            differences(&observed, &stage.observe().await),
            BTreeMap::new()
        );

        other.destroy()?;
        stage
            .aws
            .sqs
            .delete_queue()
            .queue_url(url)
            .send()
            .await
            .unwrap();
        assert_nothing_is_left(&stage).await?;
        let key = observed["key"]["key_id"].as_str().unwrap();
        let described = stage
            .aws
            .kms
            .describe_key()
            .key_id(key)
            .send()
            .await
            .unwrap();
        let key = described.key_metadata.unwrap();
        assert_eq!(
            key.key_state().map(aws_sdk_kms::types::KeyState::as_str),
            Some("PendingDeletion")
        );

        // What Terraform still has in the first state is gone: it says so and makes it anew.
        assert_eq!(stage.change()?["actions"], json!(["create"]));
    }
    Ok(())
}

/// What an import cannot know is in the next plan; applying it makes nothing anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_import_does_not_know_is_found_by_apply() -> Result<(), Error> {
    let stage = Stage::new(NOT_IMPORTED).await?;
    stage.terraform.apply()?;
    let observed = stage.observe().await;
    let other = fresh(&stage, NOT_IMPORTED)?;
    other.import(ADDRESS, "orders")?;
    let Plan::Changes(plan) = other.plan()? else {
        panic!("the plan shows nothing");
    };
    assert!(
        plan.contains("0 to add, 1 to change, 0 to destroy"),
        "{plan}"
    );
    other.apply()?;
    assert_no_changes(&other)?;
    assert_eq!(
        differences(&observed, &stage.observe().await),
        BTreeMap::new()
    );
    other.destroy()?;
    assert_nothing_is_left(&stage).await
}

/// An import finds what has a name of its own by AWS's index of tags and by what the parts tell of each other, also where the index may not be asked.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_finds_parts_under_names_of_their_own() -> Result<(), Error> {
    let parts = |key: &str, machine: &str, role: &str| {
        let role = |owner: &str| role.replace("OWNER", owner);
        format!(
            r#"{key}
  state_machine       = {{ {machine} }}
  integration         = {{ function_name = "one", {} }}
  processing          = {{ function_name = "two", {} }}
  bucket              = {{ bucket = "parcels-of-mine" }}
  queue               = {{ name = "incoming" }}
  dead_letter_queue   = {{ name = "failed" }}
  undeliverable_queue = {{ name = "odd" }}
  topic               = {{ name = "outgoing" }}
"#,
            role("one"),
            role("two")
        )
    };
    let role = "role = { name = \"their-OWNER\" }";
    // The index of the local AWS has no state machine, which one of the two tells.
    let (mine, theirs) = ("name = \"mine\"", role.replace("OWNER", "machine"));
    let alias = "  key = { alias = \"alias/mine\" }";
    for (key, machine, role, is_denied) in [
        (alias, mine, role, false),
        ("", mine, "", true),
        ("", &theirs, role, true),
        ("given", mine, role, false),
    ] {
        let (stage, proxy) = Stage::behind_proxy("").await?;
        let key = if key == "given" {
            format!("  kms_key_arn = \"{}\"", somebody::key(&stage).await)
        } else {
            key.to_owned()
        };
        let arguments = parts(&key, machine, role);
        stage.set(&arguments)?;
        stage.terraform.apply()?;
        let mut made = stage.state()?;
        if is_denied {
            let denied = Fault::error(400, "AccessDeniedException", "not for you");
            proxy.inject(Rule::before(denied).on("tag:GetResources"));
        }
        stage.terraform.expect(&["state", "rm", ADDRESS])?;
        let told = stage.terraform.import(ADDRESS, "orders")?.flat();
        assert!(!told.contains("Parts under names of their own"), "{told}");
        assert!(!told.contains("Parts left by an earlier run"), "{told}");
        let found = stage.state()?;
        // Of a key of its own the configuration tells the name.
        if key == alias {
            made["key"]["alias"] = found["key"]["alias"].clone();
        }
        for part in [
            "bucket",
            "dead_letter_queue",
            "drift",
            "integration",
            "key",
            "kms_key_arn",
            "processing",
            "queue",
            "state_machine",
            "topic",
            "undeliverable_queue",
        ] {
            assert_eq!(found[part], made[part], "{machine}{role} {part}");
        }
        if key == alias {
            // The same key, whatever it is called.
            stage.set(&parts("", machine, role))?;
            let said = stage.terraform.expect(&["plan", "-no-color"])?.flat();
            let is_kept = !said.contains("+ key_id") && !said.contains("must be replaced");
            assert!(is_kept, "{said}");
        } else {
            assert_no_changes(&stage.terraform)?;
        }
        // The destroy needs no apply before it.
        stage.terraform.destroy()?;
        let left = stage.left().await?;
        let is_given = |one: &String| key.contains(one.rsplit(' ').next().unwrap_or_default());
        assert!(left.iter().all(is_given), "{left:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imported_says_why() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    for (id, words) in [
        ("orders", &["orders"] as &[&str]),
        ("Not A Name", &["NAME/ENVIRONMENT"]),
        ("a/b/c", &["NAME/ENVIRONMENT"]),
    ] {
        let said = stage
            .terraform
            .refuse(&["import", "-no-color", ADDRESS, id])?;
        for word in words {
            assert!(said.contains(word), "{id}: {said}");
        }
    }
    assert_nothing_is_left(&stage).await
}

/// Objects and running executions stand against a destroy, until it is forced.
#[tokio::test(flavor = "multi_thread")]
async fn destroy_loses_nothing_unasked() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let pipeline = stage.pipeline()?;

    stage
        .aws
        .s3
        .put_object()
        .bucket(&pipeline.bucket)
        .key("inbound/somebody/notes.txt")
        .body(ByteStream::from_static(b"dear to somebody"))
        .send()
        .await
        .unwrap();
    let before = stage.observe().await;
    let said = stage.terraform.refuse(&DESTROY)?;
    for word in [
        pipeline.bucket.as_str(),
        "inbound/somebody/notes.txt",
        "force_destroy",
    ] {
        assert!(said.contains(word), "no {word} in: {said}");
    }
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    assert_no_changes(&stage.terraform)?;

    pipeline.clear().await?;
    let execution = pipeline.start("{}").await?;
    let id = pipeline.new_exchange(&[], LIMIT).await?;
    let before = stage.observe().await;
    let said = stage.terraform.refuse(&DESTROY)?;
    for word in [&stage.names.state_machine, &pipeline.bucket, &id] {
        assert!(said.contains(word.as_str()), "no {word} in: {said}");
    }
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    let running = pipeline.ended(&execution, Duration::ZERO).await;
    assert!(matches!(running, Err(Error::Timeout { .. })), "{running:?}");

    stage.set("bucket = { force_destroy = true }")?;
    assert_eq!(stage.change()?["actions"], json!(["update"]));
    stage.terraform.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}

/// One execution from start to end.
async fn assert_works(stage: &Stage) -> Result<(), Error> {
    let pipeline: Pipeline = stage.pipeline()?;
    let before = pipeline.exchanges().await?;
    let execution = pipeline.start("{}").await?;
    let id = pipeline.new_exchange(&before, LIMIT).await?;
    pipeline.answer(&id, "{}").await?;
    let ended = pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status.as_str(), "SUCCEEDED", "{ended:?}");
    pipeline.clear().await?;
    Ok(())
}

/// Terraform and provider killed in the middle of a create: the next apply goes on with what is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_apply_is_taken_up_again() -> Result<(), Error> {
    use std::os::unix::process::CommandExt as _;
    let stage = Stage::new("").await?;
    let mut apply = stage.terraform.command(&APPLY);
    let apply = apply.process_group(0).stdout(std::process::Stdio::null());
    let mut child = apply.spawn().expect("Terraform starts");
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let begun = eventually("the first parts", LIMIT, async || {
        let found = stage.left().await?;
        Ok(if found.len() > 3 {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        })
    })
    .await;
    // The provider runs in a group of its own and ends with Terraform.
    kill_process_group(group, Signal::KILL).unwrap();
    child.wait().unwrap();
    begun?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    std::fs::remove_file(
        stage
            .terraform
            .directory()
            .join(".terraform.tfstate.lock.info"),
    )
    .ok();

    stage.terraform.apply()?;
    assert_no_changes(&stage.terraform)?;
    assert_works(&stage).await?;
    let keys = stage
        .left()
        .await?
        .iter()
        .filter(|one| one.starts_with("KMS key"))
        .count();
    assert_eq!(keys, 1, "no second key");
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}

/// Ctrl-C in the middle of a create: the state has what exists, and the next apply goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_apply_loses_nothing() -> Result<(), Error> {
    use std::os::unix::process::CommandExt as _;
    let stage = Stage::new("").await?;
    let mut apply = stage.terraform.command(&APPLY);
    let child = apply
        .process_group(0)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("Terraform starts");
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let begun = eventually("the first parts", LIMIT, async || {
        let found = stage.left().await?;
        Ok(if found.is_empty() {
            Err("nothing".to_owned())
        } else {
            Ok(())
        })
    })
    .await;
    // As a terminal does it: to the whole group.
    kill_process_group(group, Signal::INT).unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    begun?;
    let said = run.flat();
    assert!(!said.contains("panicked"), "{said}");
    if run.success() {
        // It was quicker than the signal; nothing to take up.
        return assert_no_changes(&stage.terraform);
    }
    stage.state()?;
    stage.terraform.expect(&["untaint", "-no-color", ADDRESS])?;
    stage.terraform.apply()?;
    assert_no_changes(&stage.terraform)?;
    assert_works(&stage).await?;
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}
