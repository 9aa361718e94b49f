//! Only what is needed, proven: the policies and the definition of a pipeline, read back from AWS, before judges that know nothing of us.
//!
//! | What | Who judges | Where |
//! |---|---|---|
//! | actions, resource types, condition keys | AWS's service authorization reference | `reference.rs`, `exceptions.rs` |
//! | who may do what | the IAM policy evaluator `iam-rs` | `evaluate.rs`, `rows.rs` |
//! | services that act for others | a walk through all statements | `deputies.rs` |
//! | what the integration function's role needs | the emulator, which enforces it | `live.rs` |
//! | the state machine's definition | cfn-lint and statelint | `definition.rs` |
//! | what the guide lets the user of Terraform do | the emulator, AWS's reference | here |

mod definition;
mod deputies;
mod documents;
mod evaluate;
mod exceptions;
mod live;
mod reference;
mod rows;

use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus;
use bellflower_tests::{Error, Options, Pipeline, Stage, environment};
use serde_json::{Value, json};

use self::documents::{Document, Kind};
use self::evaluate::{ACCOUNT, Outcome, Policies, Row, Who};
use self::exceptions::EXCEPTIONS;
use self::reference::{Finding, Reference, Rule};

const LIMIT: Duration = Duration::from_mins(1);

/// All that has statements of its own is on.
const EVERYTHING: &str = r#"
  task_token    = "private"
  bucket        = { force_destroy = true }
  processing    = { tracing_mode = "Active", timeout = 5 }
  integration   = { tracing_mode = "Active", timeout = 5 }
  queue         = { visibility_timeout_seconds = 5, receive_wait_time_seconds = 0 }
  state_machine = { tracing_enabled = true, log_level = "ALL", callback_heartbeat_seconds = 240 }
"#;

/// The policy that the guide tells the user of Terraform to have.
fn guide() -> Value {
    let path = environment::repository().join("docs/guides/permissions.md");
    let text = std::fs::read_to_string(path).unwrap();
    let policy = text
        .split_once("```json")
        .and_then(|(_, rest)| rest.split_once("```"));
    serde_json::from_str(policy.expect("the guide has a policy").0).unwrap()
}

/// What the emulator asks for on no resource at all, or without the condition's key, which no statement with these can give. AWS asks for it on the alias and the key,
/// on the function and on the state machine, and for event sources with the function's ARN, as the guide has it.
const EMULATOR: [&str; 7] = [
    "lambda:CreateEventSourceMapping",
    "lambda:DeleteEventSourceMapping",
    "lambda:UpdateEventSourceMapping",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "lambda:CreateFunction",
    "states:ListTagsForResource",
];

/// The longest policy that a user, a group or a role can be given as one: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>.
const LONGEST_POLICY: usize = 6144;

/// One pipeline for all of it, made by a user who has what the guide says and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_has_only_what_it_needs() -> Result<(), Error> {
    let options = Options {
        wait_scale: 0.05,
        ..Options::default()
    };
    let mut policy = guide();
    assert!(policy.to_string().len() <= LONGEST_POLICY);
    if let Some(statements) = policy["Statement"].as_array_mut() {
        statements.push(json!({"Effect": "Allow", "Action": EMULATOR, "Resource": "*"}));
    }
    let stage = Box::pin(Stage::by_user(EVERYTHING, options, &policy)).await?;
    stage.terraform.apply()?;
    let pipeline = stage.pipeline()?;
    let documents = Box::pin(documents::read(&stage)).await?;

    // Seconds of Python and of thought, while the emulator is at work.
    let definition = definition_of(&stage).await?;
    let linters = tokio::task::spawn_blocking(move || said_of_the_definition(&definition));
    let read = documents.clone();
    let judges = tokio::task::spawn_blocking(move || {
        [
            not_in_the_reference(&read),
            deputies::findings(&read),
            wrong_or_idle(&read, &rows::rows(&read)),
        ]
        .concat()
    });
    the_flow_works(&pipeline).await?;
    let mut wrong = Box::pin(live::each_grant_is_needed(&stage, &pipeline, &documents)).await?;
    wrong.extend(judges.await.unwrap());
    wrong.extend(linters.await.unwrap());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // What was taken from the role has left executions that wait: they are stopped.
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

async fn the_flow_works(pipeline: &Pipeline) -> Result<(), Error> {
    let (execution, id) = live::opened(pipeline).await?;
    pipeline.answer(&id, r#"{"approved": true}"#).await?;
    let ended = pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    Ok(())
}

fn excepted(finding: &Finding) -> Option<usize> {
    EXCEPTIONS
        .iter()
        .position(|(document, sid, what, rule, _)| {
            reference::glob(document, &finding.document)
                && reference::glob(sid, &finding.sid)
                && reference::glob(what, &finding.what)
                && *rule == finding.rule
        })
}

fn not_in_the_reference(documents: &[Document]) -> Vec<String> {
    let reference = Reference::read();
    let findings = reference.findings(documents);
    let mut wrong: Vec<String> = findings
        .iter()
        .filter(|finding| excepted(finding).is_none())
        .map(|finding| {
            format!(
                "mend the policy, or add an exception with its reason to exceptions.rs: {finding:?}"
            )
        })
        .collect();
    let used: Vec<usize> = findings.iter().filter_map(excepted).collect();
    for (number, exception) in EXCEPTIONS.iter().enumerate() {
        if !used.contains(&number) {
            wrong.push(format!(
                "no longer needed, take it out of exceptions.rs: {exception:?}"
            ));
        }
    }

    // A user's rights are not a role's: what the guide gives on `*` has its reasons there. But it must be what AWS knows.
    let guide = Document {
        name: "docs/guides/permissions.md".to_owned(),
        kind: Kind::Identity(None),
        policy: guide(),
    };
    let who = || Who::Bearer("docs/guides/permissions.md");
    let kept = KEPT_APART
        .iter()
        .map(|(action, resource, context, outcome)| {
            let context = context.iter();
            Row {
                who: who(),
                action: (*action).to_owned(),
                resource: (*resource).to_owned(),
                context: context
                    .map(|(key, value)| (*key, (*value).to_owned()))
                    .collect(),
                outcome: *outcome,
            }
        });
    let handed = HANDED_OVER.iter().map(|(role, service, outcome)| Row {
        who: who(),
        action: "iam:PassRole".to_owned(),
        resource: format!("arn:aws:iam::{ACCOUNT}:role/{role}"),
        context: vec![("iam:PassedToService", format!("{service}.amazonaws.com"))],
        outcome: *outcome,
    });
    let rows: Vec<Row> = kept.chain(handed).collect();
    let policies = Policies::new(std::slice::from_ref(&guide));
    wrong.extend(otherwise(&policies, &rows));
    let findings = reference.findings(&[guide]);
    wrong.extend(
        findings
            .iter()
            .filter(|one| !matches!(one.rule, Rule::NoResourceTypes | Rule::WildResource))
            .map(|finding| format!("{finding:?}")),
    );
    wrong
}

type Kept = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Outcome,
);

const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/1";
const MAPPING: &str = "arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:1";
const TAG: (&str, &str) = (
    "aws:RequestTag/bellflower:pipeline",
    "orders/devl/eu-west-1",
);

/// What the guide's user may do with keys and event sources, his own and others'.
const KEPT_APART: &[Kept] = &[
    // A key that is being made, or has lost its tag, or is to have another.
    ("kms:TagResource", KEY, &[TAG], Outcome::Allowed),
    (
        "kms:TagResource",
        KEY,
        &[TAG, ("kms:ResourceAliases", "alias/orders-key-devl")],
        Outcome::Allowed,
    ),
    (
        "kms:TagResource",
        KEY,
        &[TAG, ("kms:ResourceAliases", "alias/payroll")],
        Outcome::Refused,
    ),
    (
        "kms:TagResource",
        KEY,
        &[
            TAG,
            (
                "aws:ResourceTag/bellflower:pipeline",
                "payroll/devl/eu-west-1",
            ),
        ],
        Outcome::Denied,
    ),
    ("kms:Decrypt", KEY, &[], Outcome::Denied),
    (
        "lambda:DeleteEventSourceMapping",
        MAPPING,
        &[(
            "lambda:FunctionArn",
            "arn:aws:lambda:eu-west-1:123456789012:function:orders-integration-devl-eu-west-1",
        )],
        Outcome::Allowed,
    ),
    (
        "lambda:DeleteEventSourceMapping",
        MAPPING,
        &[(
            "lambda:FunctionArn",
            "arn:aws:lambda:eu-west-1:123456789012:function:payroll",
        )],
        Outcome::Denied,
    ),
    (
        "lambda:TagResource",
        "arn:aws:lambda:eu-west-1:123456789012:function:payroll",
        &[],
        Outcome::Denied,
    ),
];

/// To whom the guide's user may hand which role.
const HANDED_OVER: [(&str, &str, Outcome); 4] = [
    (
        "orders-processing-role-devl-eu-west-1",
        "lambda",
        Outcome::Allowed,
    ),
    (
        "orders-machine-role-devl-eu-west-1",
        "states",
        Outcome::Allowed,
    ),
    (
        "orders-processing-role-devl-eu-west-1",
        "ec2",
        Outcome::Denied,
    ),
    ("administrator", "lambda", Outcome::Denied),
];

/// Rows that come out otherwise.
fn otherwise(policies: &Policies, rows: &[Row]) -> Vec<String> {
    let told = |row: &Row| {
        let outcome = policies.outcome(row);
        (outcome != row.outcome).then(|| format!("{outcome:?}, which it must not be: {row:?}"))
    };
    rows.iter().filter_map(told).collect()
}

/// The same, and what no row needs.
fn wrong_or_idle(documents: &[Document], rows: &[Row]) -> Vec<String> {
    let policies = Policies::new(documents);
    let mut wrong = otherwise(&policies, rows);
    for document in documents {
        let mut changed = policies.clone();
        for (what, without) in evaluate::without_one_thing(document) {
            changed.set(&without);
            if rows.iter().all(|row| changed.outcome(row) == row.outcome) {
                wrong.push(format!(
                    "no row in rows.rs needs this: add one that does, or take it out of the policy: {what}"
                ));
            }
        }
    }
    wrong
}

async fn definition_of(stage: &Stage) -> Result<Value, Error> {
    let arn = stage.arn(
        "states",
        &format!("stateMachine:{}", stage.names.state_machine),
    );
    let shown = stage.aws.sfn.describe_state_machine();
    let shown = shown.state_machine_arn(arn).send().await;
    let shown = shown.map_err(Error::aws("reading the state machine"))?;
    Ok(serde_json::from_str(&shown.definition).unwrap())
}

/// The linters have nothing to say, and would have if something were wrong.
fn said_of_the_definition(definition: &Value) -> Vec<String> {
    use bellflower_contract::states::WAIT_FOR_RESPONSE;
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut broken = definition.clone();
        let state = &mut broken["States"][WAIT_FOR_RESPONSE];
        assert!(state.is_object(), "{definition:#}");
        change(state);
        broken
    };
    let dangling = broken(&|state| state["Next"] = json!("Nowhere"));
    let field = broken(&|state| state["TimeoutInSeconds"] = json!(1));
    let path = broken(&|state| state["ResultPath"] = json!("$.result"));
    let findings = definition::findings(&[
        ("ours", definition),
        ("dangling", &dangling),
        ("field", &field),
        ("path", &path),
    ]);
    for (broken, expected) in [
        ("dangling", "Nowhere"),
        ("field", "TimeoutInSeconds"),
        ("path", "ResultPath"),
    ] {
        assert!(
            findings
                .iter()
                .any(|(name, said)| name == broken && said.contains(expected)),
            "nobody saw what is wrong with {broken}: {findings:#?}"
        );
    }
    let ours = findings.into_iter().filter(|(name, _)| name == "ours");
    ours.map(|(_, said)| said).collect()
}

fn document(kind: Kind, statement: &Value) -> Document {
    Document {
        name: "sample".to_owned(),
        kind,
        policy: json!({"Version": "2012-10-17", "Statement": [statement]}),
    }
}

/// What is wrong is found, by the rule that is for it, and what is right is not.
#[test]
fn the_reference_can_refuse() {
    let reference = Reference::read();
    let queue = "arn:aws:sqs:eu-west-1:123456789012:q";
    for (action, resource, condition, expected) in [
        ("sqs:ReceiveMessage", queue, json!({}), vec![]),
        (
            "sqs:RecieveMessage",
            queue,
            json!({}),
            vec![Rule::NoSuchAction, Rule::UselessResource],
        ),
        (
            "sqs:ReceiveMessage",
            "*",
            json!({}),
            vec![Rule::WildResource],
        ),
        ("sqs:*", queue, json!({}), vec![Rule::WildAction]),
        (
            "states:SendTaskSuccess",
            "*",
            json!({}),
            vec![Rule::NoResourceTypes],
        ),
        (
            "s3:GetObject",
            "arn:aws:s3:::bucket",
            json!({}),
            vec![Rule::WrongType, Rule::UselessResource],
        ),
        (
            "s3:ListBucket",
            "arn:aws:s3:::bucket",
            json!({"StringLike": {"s3:prefix": "in/*"}}),
            vec![],
        ),
        (
            "s3:ListBucket",
            "arn:aws:s3:::bucket",
            json!({"StringLike": {"s3:perfix": "in/*"}}),
            vec![Rule::NoSuchKey],
        ),
    ] {
        let statement = json!({
            "Sid": "A", "Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition,
        });
        let found = reference.findings(&[document(Kind::Identity(None), &statement)]);
        let rules: Vec<Rule> = found.iter().map(|finding| finding.rule).collect();
        assert_eq!(
            rules.len(),
            expected.len(),
            "{action} {resource}: {found:?}"
        );
        assert!(
            expected.iter().all(|rule| rules.contains(rule)),
            "{action} {resource}: {found:?}"
        );
    }
}

/// A service that may act for anybody is found, in whichever disguise.
#[test]
fn a_confused_deputy_is_found() {
    let account = json!("123456789012");
    for (condition, fine) in [
        (
            json!({"StringEquals": {"aws:SourceAccount": account}}),
            true,
        ),
        (
            json!({"ArnLike": {"AWS:SourceArn": "arn:aws:states:eu-west-1:123456789012:stateMachine:m"}}),
            true,
        ),
        (json!({}), false),
        (
            json!({"StringEqualsIfExists": {"aws:SourceAccount": account}}),
            false,
        ),
        (
            json!({"StringNotEquals": {"aws:SourceAccount": account}}),
            false,
        ),
        (
            json!({"ArnLike": {"aws:SourceArn": "arn:aws:states:*:*:stateMachine:m"}}),
            false,
        ),
        (
            json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket"}}),
            false,
        ),
        (json!({"Bool": {"aws:SecureTransport": "true"}}), false),
    ] {
        let statement = json!({
            "Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole",
            "Condition": condition,
        });
        let document = document(
            Kind::Trust("arn:aws:iam::123456789012:role/r".to_owned()),
            &statement,
        );
        assert_eq!(
            deputies::findings(&[document]).is_empty(),
            fine,
            "{condition}"
        );
    }
    let statement =
        json!({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sqs:SendMessage"});
    let document = document(
        Kind::Resource("arn:aws:sqs:eu-west-1:123456789012:q".to_owned()),
        &statement,
    );
    assert_eq!(deputies::findings(&[document]).len(), 1);
}

/// A queue whose policy lets a service and another account in, and refuses what is in the clear.
fn queue_policy() -> Document {
    let queue = "arn:aws:sqs:eu-west-1:123456789012:q";
    Document {
        name: "sample".to_owned(),
        kind: Kind::Resource(queue.to_owned()),
        policy: json!({"Version": "2012-10-17", "Statement": [
            {
                "Sid": "Topic", "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage", "Resource": queue,
                "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
            },
            {
                "Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
                "Action": "sqs:*", "Resource": queue,
            },
            {
                "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": queue,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ]}),
    }
}

fn row(who: Who, action: &str, context: &[(&'static str, &str)], outcome: Outcome) -> Row {
    let context = context
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()));
    Row {
        who,
        action: action.to_owned(),
        resource: "arn:aws:sqs:eu-west-1:123456789012:q".to_owned(),
        context: context.collect(),
        outcome,
    }
}

/// The evaluator decides as AWS documents it, and what no row needs is told of.
#[test]
fn rows_can_fail_and_find_what_is_idle() {
    let documents = [queue_policy()];
    let clear = [("aws:SecureTransport", "false")];
    let sns = Who::Service("sns.amazonaws.com");
    let partner = Who::Administrator("222222222222");
    let nobody = Who::Role("arn:aws:iam::123456789012:role/nothing".to_owned());
    let send = "sqs:SendMessage";
    let rows = [
        row(
            sns.clone(),
            send,
            &[("aws:SourceAccount", ACCOUNT)],
            Outcome::Allowed,
        ),
        row(
            sns.clone(),
            send,
            &[("aws:SourceAccount", "222222222222")],
            Outcome::Denied,
        ),
        row(sns, send, &[], Outcome::Denied),
        row(partner.clone(), "sqs:PurgeQueue", &[], Outcome::Allowed),
        row(
            Who::Administrator("333333333333"),
            send,
            &[],
            Outcome::Denied,
        ),
        // The account's own are not asked whether the queue's policy names them, but then their own policies must.
        row(Who::Administrator(ACCOUNT), send, &[], Outcome::Allowed),
        row(nobody, send, &[], Outcome::Denied),
        row(Who::Administrator(ACCOUNT), send, &clear, Outcome::Refused),
        row(partner, send, &clear, Outcome::Refused),
    ];
    assert_eq!(wrong_or_idle(&documents, &rows), Vec::<String>::new());

    let told = wrong_or_idle(&documents, &rows[4..]);
    assert!(
        told.iter()
            .all(|one| one.contains("no row in rows.rs needs this")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|one| one.ends_with("statement Topic: the whole")),
        "{told:?}"
    );
    let mut other = rows.to_vec();
    other[0].outcome = Outcome::Denied;
    assert!(wrong_or_idle(&documents, &other)[0].starts_with("Allowed, which it must not be"));
}
