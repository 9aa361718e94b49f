//! Who may do what. Each statement, action, resource and condition of every policy must decide at least one of these rows (`main.rs` takes
//! them out one at a time), so whoever adds one adds a row for it, and for what it must not allow.

use bellflower_tests::Names;

use super::documents::{Document, Kind};
use super::evaluate::{ACCOUNT, Outcome, Row, Who};

const REGION: &str = "eu-west-1";
const OTHER: &str = "222222222222";
const LAMBDA: Who = Who::Service("lambda.amazonaws.com");
const STATES: Who = Who::Service("states.amazonaws.com");
const S3: Who = Who::Service("s3.amazonaws.com");
const SNS: Who = Who::Service("sns.amazonaws.com");
const EVENTS: Who = Who::Service("events.amazonaws.com");
const ALARMS: Who = Who::Service("cloudwatch.amazonaws.com");
const LOGS: Who = Who::Service("logs.eu-west-1.amazonaws.com");
const US: Who = Who::Administrator(ACCOUNT);
const APPLICATION: Who = Who::Bearer("business application");
const THEM: Who = Who::Administrator(OTHER);

/// The key of a token that the business application may not have.
const TOKEN: &str = "private/e/task_token.txt";

/// Makes the rows.
#[derive(Debug)]
struct Table {
    rows: Vec<Row>,
    names: Names,
    key: String,
}

type Pair<'a> = (&'static str, &'a str);

impl Table {
    fn add(&mut self, outcome: Outcome, who: &Who, actions: &[&str], on: &str, with: &[Pair]) {
        for action in actions {
            let context = with.iter().map(|(key, value)| (*key, (*value).to_owned()));
            self.rows.push(Row {
                who: who.clone(),
                action: (*action).to_owned(),
                resource: on.to_owned(),
                context: context.collect(),
                outcome,
            });
        }
    }

    fn may(&mut self, who: &Who, actions: &[&str], on: &str, with: &[Pair]) {
        self.add(Outcome::Allowed, who, actions, on, with);
    }

    fn may_not(&mut self, who: &Who, actions: &[&str], on: &str, with: &[Pair]) {
        self.add(Outcome::Denied, who, actions, on, with);
    }

    fn refused(&mut self, who: &Who, actions: &[&str], on: &str, with: &[Pair]) {
        self.add(Outcome::Refused, who, actions, on, with);
    }
}

/// For whom a service acts, and for what.
fn source<'a>(account: &'a str, arn: &'a str) -> [Pair<'a>; 2] {
    [("aws:SourceAccount", account), ("aws:SourceArn", arn)]
}

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}

fn bucket_arn(resource: &str) -> String {
    format!("arn:aws:s3:::{resource}")
}

fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

fn role(name: &str) -> Who {
    Who::Role(role_arn(name))
}

/// All rows, for the pipeline whose documents these are.
pub fn rows(documents: &[Document]) -> Vec<Row> {
    let key = documents.iter().find(|document| document.name == "key");
    let Some(Kind::Resource(key)) = key.map(|document| document.kind.clone()) else {
        panic!("there is no key policy");
    };
    let mut table = Table {
        rows: Vec::new(),
        names: Names::derived("orders", "devl", ACCOUNT, REGION),
        key,
    };
    functions_log_and_trace(&mut table);
    integration_works(&mut table);
    integration_does_no_more(&mut table);
    the_machine_works(&mut table);
    the_machine_does_no_more(&mut table);
    roles_are_for_their_service(&mut table);
    the_key_is_for_us(&mut table);
    answers_come_from_our_bucket(&mut table);
    topic_and_queues_are_for_us(&mut table);
    the_application_has_no_token(&mut table);
    nothing_goes_in_the_clear(&mut table);
    table.rows
}

fn functions_log_and_trace(table: &mut Table) {
    let names = table.names.clone();
    let stream = |function: &str| {
        arn(
            "logs",
            &format!("log-group:/aws/lambda/{function}:log-stream:2026/11/25/a"),
        )
    };
    let write = ["logs:CreateLogStream", "logs:PutLogEvents"];
    for (own, function, others) in [
        (
            &names.processing_role,
            &names.processing,
            &names.integration,
        ),
        (
            &names.integration_role,
            &names.integration,
            &names.processing,
        ),
    ] {
        table.may(&role(own), &write, &stream(function), &[]);
        table.may_not(&role(own), &write, &stream(others), &[]);
        let trace = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"];
        table.may(&role(own), &trace, &arn("xray", "*"), &[]);
        // AWS Lambda makes no log group for us: it is a part with retention and key.
        let group = arn("logs", &format!("log-group:/aws/lambda/{function}"));
        table.may_not(
            &role(own),
            &["logs:CreateLogGroup", "logs:DeleteLogGroup"],
            &group,
            &[],
        );
    }
    let other_work = [
        (
            "s3:GetObject",
            bucket_arn(&format!("{}/outbound/e/data.json", names.bucket)),
        ),
        ("sqs:ReceiveMessage", arn("sqs", &names.queue)),
        ("sns:Publish", arn("sns", &names.topic)),
        (
            "states:SendTaskSuccess",
            arn("states", &format!("stateMachine:{}", names.state_machine)),
        ),
        ("kms:Decrypt", table.key.clone()),
    ];
    for (action, on) in other_work {
        table.may_not(&role(&names.processing_role), &[action], &on, &[]);
    }
    // Its own variables alone.
    let key = table.key.clone();
    for (outcome, function, action) in [
        (Outcome::Allowed, &names.processing, "kms:Decrypt"),
        (Outcome::Denied, &names.processing, "kms:GenerateDataKey"),
        (Outcome::Denied, &names.integration, "kms:Decrypt"),
    ] {
        let function = arn("lambda", &format!("function:{function}"));
        let context = "kms:EncryptionContext:aws:lambda:FunctionArn";
        let who = role(&names.processing_role);
        table.add(outcome, &who, &[action], &key, &[(context, &function)]);
    }
}

fn integration_works(table: &mut Table) {
    let names = table.names.clone();
    let who = role(&names.integration_role);
    let take = [
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    ];
    table.may(&who, &take, &arn("sqs", &names.queue), &[]);
    table.may(&who, &take, &arn("sqs", &names.undeliverable_queue), &[]);
    let dead_letters = arn("sqs", &names.dead_letter_queue);
    table.may(&who, &["sqs:SendMessage"], &dead_letters, &[]);
    let object = |key: &str| bucket_arn(&format!("{}/{key}", names.bucket));
    for key in ["inbound/e/success.json", "outbound/e/data.json", TOKEN] {
        table.may(&who, &["s3:GetObject"], &object(key), &[]);
        let prefix = [("s3:prefix", key)];
        table.may(
            &who,
            &["s3:ListBucket"],
            &bucket_arn(&names.bucket),
            &prefix,
        );
    }
    for key in ["outbound/e/data.json", TOKEN] {
        table.may(&who, &["s3:PutObject"], &object(key), &[]);
    }
    table.may(&who, &["s3:DeleteObject"], &object(TOKEN), &[]);
    let key = table.key.clone();
    table.may(&who, &["kms:Decrypt", "kms:GenerateDataKey"], &key, &[]);
    let answer = [
        "states:SendTaskFailure",
        "states:SendTaskHeartbeat",
        "states:SendTaskSuccess",
    ];
    let machine = arn("states", &format!("stateMachine:{}", names.state_machine));
    table.may(&who, &answer, &machine, &[]);
}

fn integration_does_no_more(table: &mut Table) {
    let names = table.names.clone();
    let who = role(&names.integration_role);
    table.may_not(
        &who,
        &["sqs:PurgeQueue", "sqs:SendMessage"],
        &arn("sqs", &names.queue),
        &[],
    );
    table.may_not(
        &who,
        &["sqs:ReceiveMessage"],
        &arn("sqs", &names.dead_letter_queue),
        &[],
    );
    let object = |key: &str| bucket_arn(&format!("{}/{key}", names.bucket));
    table.may_not(
        &who,
        &["s3:GetObject", "s3:PutObject"],
        &object("elsewhere/e/data.json"),
        &[],
    );
    table.may_not(
        &who,
        &["s3:DeleteObject", "s3:PutObject"],
        &object("inbound/e/success.json"),
        &[],
    );
    for key in [
        "outbound/e/data.json",
        "private/e/other.txt",
        "private/task_token.txt",
    ] {
        table.may_not(&who, &["s3:DeleteObject"], &object(key), &[]);
    }
    let other_bucket = bucket_arn("other/outbound/e/data.json");
    table.may_not(&who, &["s3:GetObject", "s3:PutObject"], &other_bucket, &[]);
    let bucket = bucket_arn(&names.bucket);
    table.may_not(&who, &["s3:ListBucket"], &bucket, &[]);
    table.may_not(
        &who,
        &["s3:ListBucket"],
        &bucket,
        &[("s3:prefix", "elsewhere/")],
    );
    table.may_not(
        &who,
        &["s3:DeleteBucket", "s3:PutBucketPolicy"],
        &bucket,
        &[],
    );
    let other_key = arn("kms", "key/00000000-0000-0000-0000-000000000000");
    table.may_not(
        &who,
        &["kms:Decrypt", "kms:GenerateDataKey"],
        &other_key,
        &[],
    );
    let key = table.key.clone();
    table.may_not(
        &who,
        &["kms:Encrypt", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"],
        &key,
        &[],
    );
    let machine = arn("states", &format!("stateMachine:{}", names.state_machine));
    table.may_not(
        &who,
        &["states:DeleteStateMachine", "states:StartExecution"],
        &machine,
        &[],
    );
    table.may_not(&who, &["sns:Publish"], &arn("sns", &names.topic), &[]);
}

fn the_machine_works(table: &mut Table) {
    let names = table.names.clone();
    let who = role(&names.state_machine_role);
    let function = arn("lambda", &format!("function:{}", names.processing));
    table.may(&who, &["lambda:InvokeFunction"], &function, &[]);
    table.may(&who, &["sqs:SendMessage"], &arn("sqs", &names.queue), &[]);
    table.may(&who, &["sns:Publish"], &arn("sns", &names.topic), &[]);
    let key = table.key.clone();
    table.may(&who, &["kms:Decrypt", "kms:GenerateDataKey"], &key, &[]);
    let token = bucket_arn(&format!("{}/{TOKEN}", names.bucket));
    table.may(&who, &["s3:DeleteObject"], &token, &[]);
    let deliver = [
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:GetLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
    ];
    table.may(&who, &deliver, &arn("logs", "*"), &[]);
    let trace = [
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    ];
    table.may(&who, &trace, &arn("xray", "*"), &[]);
}

fn the_machine_does_no_more(table: &mut Table) {
    let names = table.names.clone();
    let who = role(&names.state_machine_role);
    let integration = arn("lambda", &format!("function:{}", names.integration));
    table.may_not(&who, &["lambda:InvokeFunction"], &integration, &[]);
    table.may_not(
        &who,
        &["sqs:ReceiveMessage"],
        &arn("sqs", &names.queue),
        &[],
    );
    table.may_not(
        &who,
        &["sqs:SendMessage"],
        &arn("sqs", &names.dead_letter_queue),
        &[],
    );
    table.may_not(&who, &["sns:Publish"], &arn("sns", "other"), &[]);
    table.may_not(&who, &["sns:Subscribe"], &arn("sns", &names.topic), &[]);
    let object = bucket_arn(&format!("{}/outbound/e/data.json", names.bucket));
    table.may_not(
        &who,
        &["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
        &object,
        &[],
    );
    let token = bucket_arn(&format!("{}/{TOKEN}", names.bucket));
    table.may_not(&who, &["s3:GetObject", "s3:PutObject"], &token, &[]);
    let key = table.key.clone();
    table.may_not(
        &who,
        &["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"],
        &key,
        &[],
    );
    table.may_not(
        &who,
        &["logs:DeleteLogGroup"],
        &arn("logs", "log-group:any"),
        &[],
    );
}

fn roles_are_for_their_service(table: &mut Table) {
    let names = table.names.clone();
    let assume = ["sts:AssumeRole"];
    let machine = arn("states", &format!("stateMachine:{}", names.state_machine));
    let ours = ("aws:SourceAccount", ACCOUNT);
    let theirs = ("aws:SourceAccount", OTHER);
    let roles = [
        &names.processing_role,
        &names.integration_role,
        &names.state_machine_role,
    ];
    for name in roles {
        let (own, other) = if name == &names.state_machine_role {
            (&STATES, &LAMBDA)
        } else {
            (&LAMBDA, &STATES)
        };
        let on = role_arn(name);
        let from = ("aws:SourceArn", machine.as_str());
        table.may(own, &assume, &on, &[ours, from]);
        table.may_not(own, &assume, &on, &[theirs, from]);
        table.may_not(own, &assume, &on, &[]);
        table.may_not(other, &assume, &on, &[ours, from]);
        table.may_not(&EVENTS, &assume, &on, &[ours, from]);
        for who in [&US, &THEM] {
            table.may_not(who, &assume, &on, &[]);
        }
        // No role of ours takes on another, hands one on, or changes who may do what.
        for who in roles {
            let more = [
                "iam:PassRole",
                "iam:PutRolePolicy",
                "iam:UpdateAssumeRolePolicy",
                "sts:AssumeRole",
            ];
            table.may_not(&role(who), &more, &on, &[]);
        }
    }
    let on = role_arn(&names.state_machine_role);
    let other = arn("states", "stateMachine:other");
    table.may_not(&STATES, &assume, &on, &[ours, ("aws:SourceArn", &other)]);
    table.may_not(&STATES, &assume, &on, &[ours]);
}

fn the_key_is_for_us(table: &mut Table) {
    let names = table.names.clone();
    let key = table.key.clone();
    let administer = ["kms:Decrypt", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"];
    table.may(&US, &administer, &key, &[]);
    table.may_not(&THEM, &administer, &key, &[]);

    // Through the services that encrypt with it, on behalf of the roles.
    for (name, via) in [
        (&names.integration_role, "s3.eu-west-1.amazonaws.com"),
        (&names.integration_role, "sqs.eu-west-1.amazonaws.com"),
        (&names.state_machine_role, "sns.eu-west-1.amazonaws.com"),
        (&names.state_machine_role, "sqs.eu-west-1.amazonaws.com"),
    ] {
        let use_it = ["kms:Decrypt", "kms:GenerateDataKey"];
        let via = [("kms:ViaService", via)];
        table.may(&role(name), &use_it, &key, &via);
        table.may_not(&role(&names.processing_role), &use_it, &key, &via);
    }

    // What CloudWatch Logs does with a log group's key.
    let logs = [
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ];
    let context = "kms:EncryptionContext:aws:logs:arn";
    for group in [
        format!("/aws/lambda/{}", names.processing),
        format!("/aws/lambda/{}", names.integration),
        format!("/aws/vendedlogs/states/{}", names.state_machine),
    ] {
        let group = arn("logs", &format!("log-group:{group}"));
        table.may(&LOGS, &logs, &key, &[(context, &group)]);
        table.may_not(&EVENTS, &logs, &key, &[(context, &group)]);
        table.may_not(
            &LOGS,
            &logs,
            &key,
            &[(context, &group.replace(ACCOUNT, OTHER))],
        );
    }
    let other = arn("logs", "log-group:/aws/lambda/other");
    table.may_not(&LOGS, &logs, &key, &[(context, &other)]);
    table.may_not(&LOGS, &logs, &key, &[]);
    table.may_not(
        &LOGS,
        &["kms:CreateGrant", "kms:PutKeyPolicy"],
        &key,
        &[(context, &other)],
    );

    // What an alarm does to publish to the encrypted topic.
    alarms(table, &["kms:Decrypt", "kms:GenerateDataKey"], &key);
    table.may_not(
        &SNS,
        &["kms:Decrypt"],
        &key,
        &[("aws:SourceAccount", ACCOUNT)],
    );
    table.may_not(
        &S3,
        &["kms:GenerateDataKey"],
        &key,
        &[("aws:SourceAccount", ACCOUNT)],
    );
}

/// What the alarms of this account may do, and those of others may not.
fn alarms(table: &mut Table, actions: &[&str], on: &str) {
    let alarm = arn("cloudwatch", "alarm:orders-processing-errors");
    table.may(&ALARMS, actions, on, &source(ACCOUNT, &alarm));
    table.may_not(&ALARMS, actions, on, &source(OTHER, &alarm));
    table.may_not(
        &ALARMS,
        actions,
        on,
        &source(ACCOUNT, &alarm.replace(ACCOUNT, OTHER)),
    );
    table.may_not(
        &ALARMS,
        actions,
        on,
        &source(ACCOUNT, &arn("cloudwatch", "dashboard/d")),
    );
    table.may_not(&ALARMS, actions, on, &[]);
    table.may_not(&EVENTS, actions, on, &source(ACCOUNT, &alarm));
}

fn answers_come_from_our_bucket(table: &mut Table) {
    let names = table.names.clone();
    let on = arn("lambda", &format!("function:{}", names.integration));
    let invoke = ["lambda:InvokeFunction"];
    let bucket = bucket_arn(&names.bucket);
    table.may(&S3, &invoke, &on, &source(ACCOUNT, &bucket));
    // Somebody else's bucket of that name, after ours was deleted.
    table.may_not(&S3, &invoke, &on, &source(OTHER, &bucket));
    table.may_not(&S3, &invoke, &on, &source(ACCOUNT, &bucket_arn("other")));
    table.may_not(&S3, &invoke, &on, &[]);
    table.may_not(&SNS, &invoke, &on, &source(ACCOUNT, &bucket));
    table.may_not(
        &S3,
        &["lambda:UpdateFunctionCode"],
        &on,
        &source(ACCOUNT, &bucket),
    );
    table.may_not(&THEM, &invoke, &on, &[]);
    let processing = arn("lambda", &format!("function:{}", names.processing));
    table.may_not(&S3, &invoke, &processing, &source(ACCOUNT, &bucket));
    table.may_not(&THEM, &invoke, &processing, &[]);
}

fn topic_and_queues_are_for_us(table: &mut Table) {
    let names = table.names.clone();
    let topic = arn("sns", &names.topic);
    alarms(table, &["sns:Publish"], &topic);
    let alarm = arn("cloudwatch", "alarm:orders-processing-errors");
    let from = [
        ("aws:SourceAccount", ACCOUNT),
        ("aws:SourceArn", alarm.as_str()),
    ];
    table.may_not(&ALARMS, &["sns:Subscribe"], &topic, &from);
    table.may(
        &US,
        &["sns:Publish", "sns:Subscribe", "sns:SetTopicAttributes"],
        &topic,
        &[],
    );
    table.may_not(
        &THEM,
        &["sns:Publish", "sns:Subscribe", "sns:SetTopicAttributes"],
        &topic,
        &[],
    );
    for queue in [
        &names.queue,
        &names.undeliverable_queue,
        &names.dead_letter_queue,
    ] {
        let queue = arn("sqs", queue);
        let all = [
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
            "sqs:SetQueueAttributes",
        ];
        table.may(&US, &all, &queue, &[]);
        table.refused(&THEM, &all, &queue, &[]);
        // A service has no account: what lets one in one day must not be undone by the refusal of other accounts.
        table.may_not(
            &SNS,
            &["sqs:SendMessage"],
            &queue,
            &[("aws:SourceAccount", ACCOUNT)],
        );
    }
    let object = bucket_arn(&format!("{}/outbound/e/task_token.txt", names.bucket));
    table.may(&US, &["s3:GetObject"], &object, &[]);
    table.may_not(&THEM, &["s3:GetObject", "s3:PutObject"], &object, &[]);
    table.may_not(&THEM, &["s3:ListBucket"], &bucket_arn(&names.bucket), &[]);
}

fn the_application_has_no_token(table: &mut Table) {
    let names = table.names.clone();
    let object = |key: &str| bucket_arn(&format!("{}/{key}", names.bucket));
    let bucket = bucket_arn(&names.bucket);
    let who = APPLICATION;
    let list = ["s3:ListBucket"];
    table.may(&who, &list, &bucket, &[("s3:prefix", "outbound/")]);
    for prefix in ["", "inbound/", "private/"] {
        table.may_not(&who, &list, &bucket, &[("s3:prefix", prefix)]);
    }
    table.may_not(&who, &list, &bucket, &[]);
    let (work, answer) = (
        object("outbound/e/data.json"),
        object("inbound/e/success.json"),
    );
    table.may(&who, &["s3:GetObject"], &work, &[]);
    table.may(&who, &["s3:PutObject"], &answer, &[]);
    table.may_not(&who, &["s3:DeleteObject", "s3:PutObject"], &work, &[]);
    table.may_not(&who, &["s3:DeleteObject", "s3:GetObject"], &answer, &[]);
    let all = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"];
    table.may_not(&who, &all, &object(TOKEN), &[]);
    let key = table.key.clone();
    let use_it = ["kms:Decrypt", "kms:GenerateDataKey"];
    table.may(
        &who,
        &use_it,
        &key,
        &[("kms:ViaService", "s3.eu-west-1.amazonaws.com")],
    );
    table.may_not(
        &who,
        &use_it,
        &key,
        &[("kms:ViaService", "sqs.eu-west-1.amazonaws.com")],
    );
    table.may_not(&who, &use_it, &key, &[]);
    let machine = arn("states", &format!("stateMachine:{}", names.state_machine));
    table.may_not(&who, &["states:SendTaskSuccess"], &machine, &[]);
    table.may_not(
        &who,
        &["sqs:ReceiveMessage"],
        &arn("sqs", &names.queue),
        &[],
    );
}

fn nothing_goes_in_the_clear(table: &mut Table) {
    let names = table.names.clone();
    let clear = [("aws:SecureTransport", "false")];
    let object = bucket_arn(&format!("{}/outbound/e/data.json", names.bucket));
    for who in [&US, &role(&names.integration_role)] {
        table.refused(who, &["s3:GetObject", "s3:PutObject"], &object, &clear);
        table.refused(who, &["s3:ListBucket"], &bucket_arn(&names.bucket), &clear);
        table.refused(
            who,
            &["sqs:ReceiveMessage"],
            &arn("sqs", &names.queue),
            &clear,
        );
    }
    for queue in [&names.undeliverable_queue, &names.dead_letter_queue] {
        table.refused(&US, &["sqs:ReceiveMessage"], &arn("sqs", queue), &clear);
    }
    table.refused(&APPLICATION, &["s3:GetObject"], &object, &clear);
    for who in [&US, &role(&names.state_machine_role)] {
        table.refused(who, &["sns:Publish"], &arn("sns", &names.topic), &clear);
        table.refused(who, &["sqs:SendMessage"], &arn("sqs", &names.queue), &clear);
    }
}
