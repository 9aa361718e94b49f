//! Bad weather: what networks and AWS do, one thing after the other and all at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bellflower_tests::chaos::{CHANGED, UNCHANGED};
use bellflower_tests::proxy::{Call, Fault, Play, Proxy, Rule};
use bellflower_tests::{APPLY, Error, Plan, Run, Stage, differences};

fn assert_no_changes(stage: &Stage) -> Result<(), Error> {
    match stage.terraform.plan()? {
        Plan::NoChanges => Ok(()),
        Plan::Changes(text) => panic!("the plan was to be empty:\n{text}"),
    }
}

async fn assert_nothing_is_left(stage: &Stage) -> Result<(), Error> {
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// What was done to the calls so far.
fn injected(calls: &[Call]) -> BTreeSet<&str> {
    calls
        .iter()
        .flat_map(|call| &call.injected)
        .map(String::as_str)
        .collect()
}

/// Everything AWS does in the seconds after a change, at once: from create through update to destroy, and create again
/// while the names are still taken.
#[tokio::test(flavor = "multi_thread")]
async fn aws_on_a_bad_day() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy(UNCHANGED).await?;
    for play in Play::all(Duration::from_secs(1)) {
        proxy.play(play);
    }
    stage.terraform.apply()?;
    assert_no_changes(&stage)?;
    stage.set(CHANGED)?;
    stage.terraform.apply()?;
    assert_no_changes(&stage)?;
    // Longer, so that names are still blocked when Terraform is up again on a busy machine.
    proxy.play(Play::QueueDeletedRecently(Duration::from_secs(15)));
    proxy.play(Play::MachineDeleting(Duration::from_secs(15)));
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await?;
    stage.terraform.apply()?;
    assert_no_changes(&stage)?;
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await?;

    let calls = proxy.calls();
    let unknown: Vec<_> = calls
        .iter()
        .filter(|call| call.operation.starts_with("unknown"))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    // The last invocation of a function comes before its log group goes, so nothing brings that back; and a queue's attributes
    // need not have been asked for in their first second.
    let mut played = injected(&calls);
    played.remove("stale queue attributes");
    let expected = BTreeSet::from([
        "bucket not found",
        "destination validation",
        "e-mail pending",
        "function pending",
        "function updating",
        "mapping in transition",
        "queue deleted recently",
        "role propagation",
        "state machine deleting",
    ]);
    assert_eq!(played, expected);
    Ok(())
}

/// A queue that shows itself, and its changes, only after some seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_lags_behind() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    proxy.play(Play::StaleQueueAttributes(Duration::from_secs(5)));
    stage.terraform.apply()?;
    assert_no_changes(&stage)?;
    stage.set("queue = { delay_seconds = 5 }")?;
    stage.terraform.apply()?;
    assert_no_changes(&stage)?;
    assert!(injected(&proxy.calls()).contains("stale queue attributes"));
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}

/// Somebody reads the mail.
#[tokio::test(flavor = "multi_thread")]
async fn an_email_is_confirmed_later() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy(UNCHANGED).await?;
    proxy.play(Play::EmailPending);
    stage.terraform.apply()?;
    assert_no_changes(&stage)?;
    let pending = "/subscriptions/operator/pending_confirmation";
    assert_eq!(
        stage.state()?.pointer(pending),
        Some(&true.into()),
        "{:#}",
        stage.state()?
    );
    proxy.confirm("operator@example.com");
    stage.terraform.apply()?;
    assert_eq!(
        stage.state()?.pointer(pending),
        Some(&false.into()),
        "{:#}",
        stage.state()?
    );
    assert_no_changes(&stage)?;
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}

/// SNS takes no change of a subscription before its receiver has agreed: the plan says so, and the apply after that makes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_an_unconfirmed_subscription_comes_after_it() -> Result<(), Error> {
    let lines = |filter: &str| {
        format!(
            "subscriptions = {{ operator = {{ protocol = \"email\", endpoint = \"operator@example.com\"{filter} }} }}"
        )
    };
    let (stage, proxy) = Stage::behind_proxy(&lines("")).await?;
    proxy.play(Play::EmailPending);
    stage.terraform.apply()?;
    stage.set(&lines(
        ", filter_policy = jsonencode({ status = [\"FAILED\"] })",
    ))?;
    let planned = stage.terraform.run(&["plan", "-no-color"])?.flat();
    assert!(
        planned.contains("Subscription not confirmed yet"),
        "{planned}"
    );
    stage.terraform.apply()?;
    assert_no_changes(&stage)?;
    // A wrong address is not to be had back.
    let elsewhere = lines("").replace("operator@example.com", "somebody@example.com");
    for without in [elsewhere.as_str(), ""] {
        stage.set(without)?;
        let planned = stage.terraform.run(&["plan", "-no-color"])?.flat();
        assert!(
            planned.contains("Subscription may still be confirmed"),
            "{planned}"
        );
    }
    stage.set(&lines(
        ", filter_policy = jsonencode({ status = [\"FAILED\"] })",
    ))?;
    let topic = stage.state()?["topic"]["arn"].as_str().unwrap().to_owned();
    let filter = async || {
        let list = stage.aws.sns.list_subscriptions_by_topic();
        let list = list.topic_arn(&topic).send().await.unwrap();
        let arn = list.subscriptions()[0].subscription_arn().unwrap();
        let get = stage.aws.sns.get_subscription_attributes();
        let have = get.subscription_arn(arn).send().await.unwrap();
        have.attributes()?.get("FilterPolicy").cloned()
    };
    assert_eq!(filter().await.filter(|text| text != "{}"), None);
    proxy.confirm("operator@example.com");
    stage.terraform.apply()?;
    assert_eq!(filter().await.as_deref(), Some(r#"{"status":["FAILED"]}"#));
    assert_no_changes(&stage)
}

/// One operation for each service that makes something, and the state of things a retry has to cope with.
const CREATES: [&str; 10] = [
    "kms:CreateKey",
    "iam:CreateRole",
    "logs:CreateLogGroup",
    "sqs:CreateQueue",
    "sns:CreateTopic",
    "s3:CreateBucket",
    "lambda:CreateFunction",
    "lambda:CreateEventSourceMapping",
    "states:CreateStateMachine",
    "cloudwatch:PutMetricAlarm",
];

/// Each create meets each fault once; apply succeeds every time, and nothing is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_on_every_create() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    // A repeated create is to be refused, as it is on AWS.
    proxy.play(Play::OneMapping);
    stage.terraform.apply()?;
    let calm = stage.left().await?;
    stage.terraform.destroy()?;
    let faults = [
        Rule::before(Fault::Status(500)),
        Rule::after(Fault::Status(503)),
        Rule::before(Fault::Throttle),
        Rule::before(Fault::Drop),
        Rule::after(Fault::Drop),
        Rule::before(Fault::Reset),
        Rule::after(Fault::Reset),
    ];
    for round in 0..faults.len() {
        let mut hits = Vec::new();
        for (number, operation) in CREATES.iter().enumerate() {
            let rule = faults[(number + round) % faults.len()].clone();
            let told = format!("{} {rule:?}", *operation);
            hits.push((told, proxy.inject(rule.on(operation).first(1))));
        }
        let run = stage.terraform.run(&APPLY)?;
        let struck: Vec<_> = hits.iter().map(|(told, _)| told).collect();
        assert!(
            run.success(),
            "round {round} with {struck:#?}: {}",
            run.flat()
        );
        for (told, hits) in &hits {
            assert_eq!(hits.count(), 1, "{told}");
        }
        proxy.clear();
        assert_no_changes(&stage)?;
        assert_eq!(
            stage.left().await?.len(),
            calm.len(),
            "round {round}: {:#?}",
            stage.left().await?
        );
        stage.terraform.destroy()?;
        assert_nothing_is_left(&stage).await?;
    }
    Ok(())
}

/// A call nobody answers is given up after a minute, and tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let hits = proxy.inject(Rule::after(Fault::Hang).on("sns:CreateTopic").first(1));
    stage.terraform.apply()?;
    assert_eq!(hits.count(), 1);
    assert_no_changes(&stage)?;
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}

/// One call of ten goes wrong, by chance.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    let faults = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Throttle,
        Fault::Drop,
        Fault::Reset,
    ];
    for (seed, fault) in (1u64..).zip(faults) {
        proxy.inject(Rule::before(fault).percent(2, seed));
    }
    stage.terraform.apply()?;
    assert_no_changes(&stage)?;
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await?;
    let struck = proxy
        .calls()
        .iter()
        .filter(|call| !call.injected.is_empty())
        .count();
    assert!(struck >= 10, "only {struck} calls went wrong");
    Ok(())
}

/// A failure that looks like one that passes, and does not.
struct LookAlike {
    operation: &'static str,
    status: u16,
    code: &'static str,
    message: &'static str,
    /// How many objects are made by this operation, and so how often it is called at most.
    calls: usize,
}

const LOOK_ALIKES: [LookAlike; 9] = [
    LookAlike {
        operation: "iam:CreateRole",
        status: 409,
        code: "LimitExceeded",
        message: "Cannot exceed quota for RolesPerAccount: 1000",
        calls: 3,
    },
    LookAlike {
        operation: "iam:CreateRole",
        status: 403,
        code: "AccessDenied",
        message: "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: iam:CreateRole on resource: x",
        calls: 3,
    },
    LookAlike {
        operation: "lambda:CreateFunction",
        status: 409,
        code: "ResourceConflictException",
        message: "Function already exist: somebody-elses",
        calls: 2,
    },
    LookAlike {
        operation: "lambda:CreateFunction",
        status: 400,
        code: "InvalidParameterValueException",
        message: "Unzipped size must be smaller than 262144000 bytes",
        calls: 2,
    },
    LookAlike {
        operation: "lambda:CreateFunction",
        status: 400,
        code: "CodeStorageExceededException",
        message: "Code storage limit exceeded.",
        calls: 2,
    },
    LookAlike {
        operation: "s3:CreateBucket",
        status: 409,
        code: "BucketAlreadyExists",
        message: "The requested bucket name is not available.",
        calls: 1,
    },
    LookAlike {
        operation: "s3:PutBucketNotificationConfiguration",
        status: 400,
        code: "InvalidArgument",
        message: "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules.",
        calls: 1,
    },
    LookAlike {
        operation: "sqs:CreateQueue",
        status: 400,
        code: "QueueAlreadyExists",
        message: "A queue already exists with the same name and a different value for attribute DelaySeconds",
        calls: 2,
    },
    LookAlike {
        operation: "states:CreateStateMachine",
        status: 400,
        code: "AccessDeniedException",
        message: "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: states:CreateStateMachine",
        calls: 1,
    },
];

/// Name collisions, quotas and missing rights end an apply at once, and are told with the service's own code.
#[tokio::test(flavor = "multi_thread")]
async fn look_alikes_are_not_tried_again() -> Result<(), Error> {
    let (stage, proxy) = Stage::behind_proxy("").await?;
    for one in &LOOK_ALIKES {
        let what = format!("{} {}", one.operation, one.code);
        proxy.reset();
        let error = Fault::error(one.status, one.code, one.message);
        let hits = proxy.inject(Rule::before(error).on(one.operation));
        let begin = Instant::now();
        let run = stage.terraform.run(&APPLY)?;
        let took = begin.elapsed();
        let said = run.flat();
        assert_eq!(run.code, 1, "{what}: {said}");
        for word in [one.operation, one.code, "request id"] {
            assert!(said.contains(word), "{what}: no {word} in: {said}");
        }
        let called = proxy.count(one.operation);
        assert!(called <= one.calls, "{what}: {called} calls");
        assert!(
            hits.count() > 0 && tried_once(&proxy, one),
            "{what}: {:#?}",
            tries(&proxy, one)
        );
        assert!(took < Duration::from_secs(30), "{what}: {took:?}");
        proxy.clear();
        let destroyed: Run = stage.terraform.destroy()?;
        assert!(destroyed.success());
        assert_nothing_is_left(&stage).await?;
    }
    // What was refused so often still works.
    stage.terraform.apply()?;
    let before = stage.observe().await;
    stage.terraform.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        std::collections::BTreeMap::new()
    );
    stage.terraform.destroy()?;
    assert_nothing_is_left(&stage).await
}

fn tries(proxy: &Proxy, one: &LookAlike) -> Vec<String> {
    let calls = proxy.calls();
    calls
        .into_iter()
        .filter(|call| call.operation == one.operation)
        .map(|call| call.object)
        .collect()
}

/// Whether no object was tried twice.
fn tried_once(proxy: &Proxy, one: &LookAlike) -> bool {
    let tries = tries(proxy, one);
    tries.iter().collect::<BTreeSet<_>>().len() == tries.len()
}
