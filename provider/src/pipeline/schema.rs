//! Every argument and attribute of `bellflower_callback_pipeline`, as one table: its schema, defaults, checks, what forces a replacement and
//! the documentation all come from here.

use std::sync::LazyLock;

use bellflower_contract::metrics;
use serde_json::{Map, Value, json};
use tfplugin::{Attribute, Block, Kind, Nesting, Schema, Type};

use super::blueprint::UNDELIVERABLE_RECEIVES;
use crate::documents::names::{self, Limit};

/// What a field's value looks like.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Text.
    Text,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// Texts by name.
    TextMap,
    /// A list of texts.
    TextList,
    /// Fields of its own.
    Object(Vec<Field>),
    /// Any number of these, by name.
    ObjectMap(Vec<Field>),
}

/// Who says what a field's value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// The user must.
    Required,
    /// The user may; otherwise it has none.
    Optional,
    /// The user may; otherwise this.
    Default(Value),
    /// The user may; otherwise it follows from other values.
    Derived,
    /// Bellflower or AWS.
    Computed,
}

/// What a value must be, beyond its shape.
#[derive(Debug, Clone)]
pub enum Check {
    /// Anything.
    None,
    /// A whole number from, to.
    Whole(i64, i64),
    /// One of these whole numbers.
    OneOfWhole(&'static [i64]),
    /// A number from, to.
    Between(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// So many characters from, to.
    Length(usize, usize),
    /// So many characters from, to, without a space.
    Word(usize, usize),
    /// A runtime of Lambda. Its families are fixed, their versions are not: a new one needs no new provider.
    Runtime,
    /// A name that the service takes.
    Name(Limit),
    /// The beginning of names: a letter or a digit, then letters, digits and hyphens, all small.
    NamePart,
    /// An ARN of this service, of something of this kind: `kms`, `key`.
    Arn(&'static str, &'static str),
    /// The ARN of a queue that is no FIFO queue.
    StandardQueue,
    /// A path of IAM: `/` or `/…/`.
    Path,
    /// A JSON object.
    Json,
    /// A folder in the bucket: ends in `/`, does not begin with one.
    Prefix,
}

/// The largest `maxReceiveCount` that SQS takes.
const MOST_RECEIVES: i64 = 1000;

/// What the names of runtimes look like, N being a number, by <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>.
pub const RUNTIMES: &[&str] = &[
    "dotnetN",
    "javaN",
    "javaN.alN",
    "nodejsN.x",
    "provided",
    "provided.alN",
    "pythonN.N",
    "rubyN.N",
];

/// A key of S3 has 1,024 bytes, and an execution id with the name of an answer follows the prefix.
pub const LONGEST_PREFIX: usize = 512;

/// One argument or attribute.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name, as in hashicorp/aws where the same thing is meant.
    pub name: &'static str,
    /// What it looks like.
    pub shape: Shape,
    /// Who says what it is.
    pub origin: Origin,
    /// What it must be.
    pub check: Check,
    /// Whether a change makes everything anew, since AWS cannot change it in place.
    pub replace: bool,
    /// What it means, with its unit.
    pub doc: &'static str,
}

impl Field {
    fn new(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            name,
            shape,
            origin: Origin::Optional,
            check: Check::None,
            replace: false,
            doc,
        }
    }

    fn origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    fn required(self) -> Self {
        self.origin(Origin::Required)
    }

    fn derived(self) -> Self {
        self.origin(Origin::Derived)
    }

    fn computed(self) -> Self {
        self.origin(Origin::Computed)
    }

    fn default(self, value: impl Into<Value>) -> Self {
        self.origin(Origin::Default(value.into()))
    }

    fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    fn replaces(mut self) -> Self {
        self.replace = true;
        self
    }

    fn attribute(&self) -> Attribute {
        let kind = match &self.shape {
            Shape::Text => Kind::Type(Type::String),
            Shape::Number => Kind::Type(Type::Number),
            Shape::Flag => Kind::Type(Type::Bool),
            Shape::TextMap => Kind::Type(Type::Map(Box::new(Type::String))),
            Shape::TextList => Kind::Type(Type::List(Box::new(Type::String))),
            Shape::Object(fields) => Kind::Nested {
                nesting: Nesting::Single,
                attributes: attributes(fields),
            },
            Shape::ObjectMap(fields) => Kind::Nested {
                nesting: Nesting::Map,
                attributes: attributes(fields),
            },
        };
        let attribute = Attribute::new(self.name, kind).describe(self.description());
        match self.origin {
            Origin::Required => attribute.required(),
            Origin::Optional => attribute.optional(),
            Origin::Default(_) | Origin::Derived => attribute.optional().computed(),
            Origin::Computed => attribute.computed(),
        }
    }

    /// The text of the documentation: what it means, what is allowed, the default, whether it replaces.
    #[must_use]
    pub fn description(&self) -> String {
        let mut text = self.doc.to_owned();
        if let Some(allowed) = self.check.allowed() {
            text.extend([" Allowed: ", &allowed, "."]);
        }
        match &self.origin {
            Origin::Default(Value::Object(_)) => {}
            Origin::Default(value) => text.extend([" Default: `", &value.to_string(), "`."]),
            _ => {}
        }
        if self.replace {
            text.push_str(" A change replaces the whole pipeline.");
        }
        text
    }
}

impl Check {
    /// What is allowed, in words; nothing for names, whose rules are the service's.
    #[must_use]
    pub fn allowed(&self) -> Option<String> {
        Some(match self {
            Self::None => return None,
            Self::Name(limit) => format!(
                "at most {} characters: {}, digits and `{}`",
                limit.length,
                limit.letters(),
                limit.signs()
            ),
            Self::Whole(from, to) => format!("a whole number from {from} to {to}"),
            Self::OneOfWhole(list) => list
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
            Self::Between(from, to) => format!("a number from {from} to {to}"),
            Self::OneOf(list) => list
                .iter()
                .map(|text| format!("`{text}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Self::Length(0, most) => format!("at most {most} characters"),
            Self::Length(least, most) => format!("{least} to {most} characters"),
            Self::Runtime => format!(
                "one of {}, N being a number, such as `python3.13` or `provided.al2023`",
                RUNTIMES.join(", ")
            ),
            Self::Word(least, most) => format!("{least} to {most} characters, no spaces"),
            Self::NamePart => names::PART.to_owned(),
            Self::Arn(service, kind) => format!("the ARN of a {kind} of {service}"),
            Self::StandardQueue => "the ARN of a standard SQS queue".to_owned(),
            Self::Path => "`/`, or a path of letters, digits and `_ + = , . @ - /` that begins and ends with `/`, of 512 characters at most and without `//`".to_owned(),
            Self::Json => "a JSON object".to_owned(),
            Self::Prefix => format!(
                "at most {LONGEST_PREFIX} characters: a folder, or folders within each other, each of letters, digits and `! - _ . ' ( )` and ended by `/`"
            ),
        })
    }
}

fn attributes(fields: &[Field]) -> Vec<Attribute> {
    fields.iter().map(Field::attribute).collect()
}

fn text(name: &'static str, doc: &'static str) -> Field {
    Field::new(name, Shape::Text, doc)
}

fn number(name: &'static str, doc: &'static str) -> Field {
    Field::new(name, Shape::Number, doc)
}

fn flag(name: &'static str, default: bool, doc: &'static str) -> Field {
    Field::new(name, Shape::Flag, doc).default(default)
}

fn whole(name: &'static str, default: i64, (from, to): (i64, i64), doc: &'static str) -> Field {
    number(name, doc)
        .default(default)
        .check(Check::Whole(from, to))
}

fn named(name: &'static str, limit: Limit, doc: &'static str) -> Field {
    text(name, doc)
        .derived()
        .check(Check::Name(limit))
        .replaces()
}

fn arn(doc: &'static str) -> Field {
    text("arn", doc).computed()
}

fn object(name: &'static str, doc: &'static str, fields: Vec<Field>) -> Field {
    Field::new(name, Shape::Object(fields), doc).default(json!({}))
}

/// The schema as Terraform takes it.
#[must_use]
pub fn schema() -> Schema {
    let timeouts = ["create", "read", "update", "delete"].map(|name| {
        let doc = if name == "read" {
            "How long this may take, as in `30s`, `20m` or `1h`; at least `1s`. Default: `5m`."
        } else {
            "How long this may take, as in `30s`, `20m` or `1h`; at least `1s`. Default: `20m`."
        };
        Attribute::new(name, Kind::Type(Type::String))
            .optional()
            .describe(doc)
    });
    Schema {
        version: super::upgrade::VERSION,
        description: "A complete AWS Step Functions callback pipeline: KMS key, S3 bucket, SQS queues, SNS topic, IAM roles, log groups, two \
                      Lambda functions, state machine and CloudWatch alarms."
            .to_owned(),
        attributes: attributes(fields()),
        blocks: vec![Block {
            name: "timeouts".to_owned(),
            nesting: Nesting::Single,
            attributes: timeouts.to_vec(),
            blocks: Vec::new(),
            description: "How long operations may take.".to_owned(),
        }],
    }
}

/// Days between rotations of the key where none are given.
pub const ROTATION_PERIOD: i64 = 365;
/// The days CloudWatch Logs can keep events; 0 is for ever.
const RETENTIONS: &[i64] = &[
    0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];

/// The `task_token` that lies beside the work.
pub const OUTBOUND: &str = "outbound";

/// The `task_token` that the business application cannot read.
pub const PRIVATE: &str = "private";

/// Every field of the resource.
#[must_use]
pub fn fields() -> &'static [Field] {
    static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(table);
    &FIELDS
}

fn table() -> Vec<Field> {
    vec![
        text("name", "The pipeline's name, with which the names of all parts begin. Unless `bucket.bucket` is set, `name` and `environment` together may have 29 characters less those of the region's name: 20 in us-east-1, 17 in eu-central-1.").required().check(Check::NamePart).replaces(),
        text("environment", "The environment, which the names of all parts contain.").default("devl").check(Check::NamePart).replaces(),
        text("task_token", "Where the task token of an exchange is kept: beside the work in the folder of work handed out (`outbound`), where the business application can read it, too, or in the folder `private/`, which `business_application_policy_json` leaves out (`private`). Whoever has a token can answer its callback. Change it while no callback is open: those that are would no longer be found.")
            .default(OUTBOUND)
            .check(Check::OneOf(&[OUTBOUND, PRIVATE])),
        text("kms_key_arn", "The ARN of a KMS key of yours in this region, to be used instead of a key of the pipeline's own. Its policy must let CloudWatch Logs and CloudWatch alarms use it. Giving or taking away a key of yours makes the whole pipeline anew; one of yours for another does not, but do that while no callback is open: what was encrypted with the former key cannot be read any more. Not the own key of another pipeline, with which it goes. A plan warns where KMS says that the key cannot be used, and refuses a replacement for it.")
            .check(Check::Arn("kms", "key")),
        number("log_retention_in_days", "How many days the log groups keep events; 0 keeps them for ever.")
            .default(14)
            .check(Check::OneOfWhole(RETENTIONS)),
        text("iam_path", "The path of the IAM roles.").default("/").check(Check::Path).replaces(),
        text("permissions_boundary", "The ARN of the IAM policy that bounds the IAM roles.").check(Check::Arn("iam", "policy")),
        Field::new("tags", Shape::TextMap, "Tags of every part that takes tags, over those of the provider's `default_tags`; at most 48 of both together. Allowed: letters, digits, spaces and `_ . : / = + - @`, in keys of up to 128 and values of up to 256 characters."),
        Field::new("made_at", Shape::Text, "When the making of this pipeline began. The tag `bellflower:made-at` of the state machine says the same, and tells this pipeline from another one of its name: an object of the state whose pipeline was made anew by somebody else is neither changed nor destroyed with it.").computed(),
        Field::new("tags_all", Shape::TextMap, "All tags, those of the provider's `default_tags` among them.").computed(),
        object("key", "The customer-managed KMS key that encrypts the bucket, the queues, the topic, the log groups and the functions' variables. None is made when `kms_key_arn` is set.", key()),
        object("bucket", "The S3 bucket that work and answers go through.", bucket()),
        object("queue", "The SQS queue between the state machine and the integration function.", queue()),
        object("undeliverable_queue", "The SQS queue for messages that the integration function could not handle: it fails the callbacks of these, and then they go to the dead-letter queue.", undeliverable_queue()),
        object("dead_letter_queue", "The SQS queue that keeps messages and events that could not be handled, for a person to look at.", dead_letter_queue()),
        object("topic", "The SNS topic for messages of success and failure and for alarms. The first two are JSON with `status` (`SUCCEEDED` or `FAILED`, also a message attribute for filter policies), `pipeline`, `environment`, `execution_id`, `execution_arn`, `name`, and `result`, or `error` and `cause`. Where a message would be more than SNS takes, it has `result_omitted` and, in `result_key`, the key of the answer, or a `cause` cut short and `cause_truncated`.", topic()),
        Field::new("subscriptions", Shape::ObjectMap(subscription()), "Subscriptions to the topic, each under a name of your choice."),
        object("processing", "The Lambda function that makes the payload and the execution id.", processing()),
        object("integration", "The Lambda function between queue, bucket and state machine.", integration()),
        object("event_source", "How Lambda takes messages from the queue for the integration function.", event_source()),
        Field::new("undeliverable_event_source", Shape::Object(mapping()), "How Lambda takes messages from the undeliverable queue for the integration function.").computed(),
        object("event_invoke_config", "What Lambda does with events of the bucket that the integration function cannot handle. Those given up go to the dead-letter queue, with the reason.", event_invoke_config()),
        object("state_machine", "The Step Functions state machine.", state_machine()),
        object("alarms", "CloudWatch alarms on the pipeline as a whole; they notify the topic.", alarms(PIPELINE_ALARMS)),
        Field::new("dashboard", Shape::Object(dashboard()), "A CloudWatch dashboard with the funnel from executions started to callbacks answered. None is made unless this is given: `dashboard = {}`. AWS charges for dashboards beyond the first three of an account."),
        text("business_application_policy_json", "The IAM policy with just what the business application needs, JSON: it lists and reads work, puts answers and uses the key for these.").computed(),
        Field::new(
            "drift",
            Shape::TextMap,
            "What was found changed in AWS among properties that have no attribute here, by part and property. Empty after apply.",
        )
        .computed(),
    ]
}

fn dashboard() -> Vec<Field> {
    vec![
        text("dashboard_name", "The dashboard's name.")
            .derived()
            .check(Check::Name(names::DASHBOARD)),
        text("dashboard_body", "What it shows, JSON.").computed(),
        arn("The dashboard's ARN."),
    ]
}

fn key() -> Vec<Field> {
    vec![
        named(
            "alias",
            names::KEY_ALIAS,
            "The key's alias, beginning with `alias/`.",
        ),
        text("description", "The key's description.")
            .derived()
            .check(Check::Length(0, 8192)),
        whole(
            "deletion_window_in_days",
            30,
            (7, 30),
            "Days between destroy and the end of the key.",
        ),
        flag(
            "enable_key_rotation",
            true,
            "Whether KMS rotates the key material by itself.",
        ),
        whole(
            "rotation_period_in_days",
            ROTATION_PERIOD,
            (90, 2560),
            "Days between rotations. Refused beside `enable_key_rotation = false`, unless it is the default.",
        ),
        text("policy", "The key policy, JSON.").computed(),
        arn("The key's ARN."),
        text("key_id", "The key's id.").computed(),
    ]
}

fn bucket() -> Vec<Field> {
    let prefix = |name, default: &str, doc| text(name, doc).default(default).check(Check::Prefix);
    vec![
        named("bucket", names::BUCKET, "The bucket's name."),
        flag(
            "force_destroy",
            false,
            "Whether destroy deletes the objects in the bucket and stops running executions. Without it, destroy refuses while there are any.",
        ),
        flag("block_public_acls", true, "Whether S3 refuses public ACLs."),
        flag(
            "block_public_policy",
            true,
            "Whether S3 refuses public bucket policies.",
        ),
        flag(
            "ignore_public_acls",
            true,
            "Whether S3 ignores public ACLs.",
        ),
        flag(
            "restrict_public_buckets",
            true,
            "Whether S3 restricts a bucket with a public policy to this account and AWS services.",
        ),
        flag(
            "bucket_key_enabled",
            true,
            "Whether the bucket uses an S3 Bucket Key, so that far fewer KMS calls are made.",
        ),
        prefix(
            "inbound_prefix",
            "inbound/",
            "The folder of answers. Change it while no callback is open: the answers to those that are would no longer be seen.",
        ),
        prefix(
            "outbound_prefix",
            "outbound/",
            "The folder of work handed out. Change it while no callback is open: those that are would no longer be found.",
        ),
        text(
            "outbound_queue_arn",
            "The ARN of an SQS queue of yours in this region that S3 is to tell of work, so that the business application need not look for it: of each `data.json`, as an S3 event. The queue's policy must let `s3.amazonaws.com` send to it before it is given here.",
        )
        .check(Check::StandardQueue),
        whole(
            "expiration_days",
            90,
            (0, 36500),
            "Days after which objects of an exchange expire, and after that as many for their old versions where somebody switches versioning on; 0 keeps them. Empty files stay. It must be longer than the callback time-out.",
        ),
        text("policy", "The bucket policy, JSON.").computed(),
        arn("The bucket's ARN."),
    ]
}

fn queue() -> Vec<Field> {
    vec![
        named("name", names::QUEUE, "The queue's name."),
        whole(
            "delay_seconds",
            0,
            (0, 900),
            "Seconds for which a message is held back.",
        ),
        whole(
            "max_message_size",
            1_048_576,
            (1024, 1_048_576),
            "The largest message, in bytes: what the processing function answers, the task token and when it was sent. An execution whose message is larger fails.",
        ),
        whole(
            "message_retention_seconds",
            345_600,
            (60, 1_209_600),
            "Seconds for which a message is kept.",
        ),
        whole(
            "receive_wait_time_seconds",
            20,
            (0, 20),
            "Seconds for which a receive call waits for a message.",
        ),
        whole(
            "visibility_timeout_seconds",
            360,
            (0, 43200),
            "Seconds for which a received message stays hidden: at least the integration function's time-out; AWS advises six times as much.",
        ),
        whole(
            "kms_data_key_reuse_period_seconds",
            300,
            (60, 86400),
            "Seconds for which SQS uses a data key again.",
        ),
        text("policy", "The queue policy, JSON.").computed(),
        arn("The queue's ARN."),
        text("url", "The queue's URL.").computed(),
    ]
}

fn undeliverable_queue() -> Vec<Field> {
    vec![
        named("name", names::QUEUE, "The queue's name."),
        text("policy", "The queue policy, JSON.").computed(),
        arn("The queue's ARN."),
        text("url", "The queue's URL.").computed(),
    ]
}

fn dead_letter_queue() -> Vec<Field> {
    vec![
        named("name", names::QUEUE, "The queue's name."),
        whole(
            "max_receive_count",
            5,
            (1, MOST_RECEIVES - UNDELIVERABLE_RECEIVES),
            "How often a message is received before it counts as undeliverable: its callback fails and it goes here.",
        ),
        whole(
            "message_retention_seconds",
            1_209_600,
            (60, 1_209_600),
            "Seconds for which a message is kept, counted from when it was first sent.",
        ),
        text("policy", "The queue policy, JSON.").computed(),
        arn("The queue's ARN."),
        text("url", "The queue's URL.").computed(),
    ]
}

fn topic() -> Vec<Field> {
    vec![
        named("name", names::TOPIC, "The topic's name."),
        text("display_name", "The name shown as the sender of e-mails.")
            .check(Check::Length(1, 100)),
        text("policy", "The topic policy, JSON.").computed(),
        arn("The topic's ARN."),
    ]
}

/// The protocols SNS delivers by.
pub const PROTOCOLS: &[&str] = &[
    "application",
    "email",
    "email-json",
    "firehose",
    "http",
    "https",
    "lambda",
    "sms",
    "sqs",
];

/// The fields of a subscription.
pub(super) fn subscription() -> Vec<Field> {
    vec![
        text("protocol", "How messages are delivered.")
            .required()
            .check(Check::OneOf(PROTOCOLS)),
        text(
            "endpoint",
            "Where to: an address, a URL, a phone number or an ARN, as the protocol says. A queue's own policy has to let the topic send to it: SNS drops what it may not deliver.",
        )
        .required(),
        flag(
            "raw_message_delivery",
            false,
            "Whether the message comes without SNS's envelope; for sqs, http, https and firehose.",
        ),
        text(
            "filter_policy",
            "Which messages are delivered: up to 5 keys, each with an array of the values it may have.",
        )
        .check(Check::Json),
        text("filter_policy_scope", "What the filter policy looks at.")
            .check(Check::OneOf(&["MessageAttributes", "MessageBody"])),
        text(
            "redrive_policy",
            "Where messages go that cannot be delivered: `deadLetterTargetArn` is the ARN of a standard queue in this account and region.",
        )
        .check(Check::Json),
        text(
            "subscription_role_arn",
            "The ARN of the role that delivers to Firehose.",
        )
        .check(Check::Arn("iam", "role")),
        arn("The subscription's ARN."),
        Field::new(
            "pending_confirmation",
            Shape::Flag,
            "Whether the receiver has still to confirm.",
        )
        .computed(),
    ]
}

fn function(part: &[(&'static str, i64)], more: Vec<Field>) -> Vec<Field> {
    let default = |name: &str| part.iter().find(|row| row.0 == name).map_or(0, |row| row.1);
    let architectures = Field::new(
        "architectures",
        Shape::TextList,
        "The instruction set, one entry: `x86_64` or `arm64`.",
    );
    let mut fields = vec![
        named("function_name", names::FUNCTION, "The function's name."),
        whole("memory_size", default("memory_size"), (128, 10240), "Memory, in MB."),
        whole("timeout", default("timeout"), (1, 900), "Time-out, in seconds."),
        architectures.default(json!(["x86_64"])),
        whole("reserved_concurrent_executions", -1, (-1, 1_000_000), "Invocations reserved for this function, which is also the most it runs at once; -1 reserves none, 0 stops it."),
        text("tracing_mode", "Whether AWS X-Ray traces every sampled invocation (`Active`) or only those its caller traces.").default("Active").check(Check::OneOf(&["Active", "PassThrough"])),
        text("package", "The code in words: which package, of which version.").computed(),
        text("code_sha256", "The base64 SHA-256 of the package.").computed(),
        arn("The function's ARN."),
        object("role", "The function's IAM role.", role()),
        Field::new("log_group", Shape::Object(log_group()), "The function's CloudWatch log group.").computed(),
        object("alarms", "CloudWatch alarms on the function; they notify the topic.", alarms(ALARMS)),
    ];
    fields.extend(more);
    fields
}

fn processing() -> Vec<Field> {
    function(
        &[("memory_size", 128), ("timeout", 30)],
        vec![
            text(
                "filename",
                "The path of a zip with code of your own. It must stay there: an apply reads it anew, though a destroy does not need it.",
            ),
            text(
                "s3_bucket",
                "The bucket of a zip with code of your own, in this region.",
            )
            .check(Check::Word(3, 63)),
            text("s3_key", "The key of that zip.").check(Check::Length(1, 1024)),
            text("s3_object_version", "The version of that zip.").check(Check::Length(1, 1024)),
            text("runtime", "The runtime's name.")
                .default("provided.al2023")
                .check(Check::Runtime),
            text("handler", "The entry point.")
                .default("bootstrap")
                .check(Check::Word(1, 128)),
            Field::new("variables", Shape::TextMap, "Environment variables.").default(json!({})),
        ],
    )
}

fn integration() -> Vec<Field> {
    function(&[("memory_size", 128), ("timeout", 60)], Vec::new())
}

fn role() -> Vec<Field> {
    vec![
        named("name", names::ROLE, "The role's name."),
        arn("The role's ARN."),
        text("assume_role_policy", "Who may assume it, JSON.").computed(),
        text("policy", "What it may do, JSON.").computed(),
        text(
            "unique_id",
            "The role's unique id. A role made anew has another, and to AWS is another one: what was made with the former is written again.",
        )
        .computed(),
    ]
}

fn log_group() -> Vec<Field> {
    vec![
        text("name", "The log group's name.").computed(),
        arn("The log group's ARN."),
        number(
            "retention_in_days",
            "How many days events are kept; 0 keeps them for ever.",
        )
        .computed(),
    ]
}

fn event_source() -> Vec<Field> {
    let mut fields = vec![
        whole(
            "batch_size",
            10,
            (1, 10000),
            "The most messages one invocation gets; more than 10 need a batching window. The function handles ten at a time; those that `integration.timeout` leaves no room for are given back and have used up an attempt.",
        ),
        whole(
            "maximum_batching_window_in_seconds",
            0,
            (0, 300),
            "Seconds for which Lambda collects messages.",
        ),
        number(
            "maximum_concurrency",
            "The most invocations the queue causes at once. The undeliverable queue causes 2 at most: where the function reserves concurrency, it should have room for both, since a message whose invocation is turned away counts as received.",
        )
        .check(Check::Whole(2, 1000)),
        flag(
            "enabled",
            true,
            "Whether messages are handed to the function.",
        ),
    ];
    fields.extend(mapping());
    fields
}

fn mapping() -> Vec<Field> {
    vec![
        text("uuid", "The event source mapping's id.").computed(),
        arn("The event source mapping's ARN."),
    ]
}

fn event_invoke_config() -> Vec<Field> {
    vec![
        whole(
            "maximum_event_age_in_seconds",
            21600,
            (60, 21600),
            "Seconds for which Lambda keeps an event that it cannot hand over, or whose handling failed: below some 200 that end comes before the second retry, with what fewer `maximum_retry_attempts` mean.",
        ),
        whole(
            "maximum_retry_attempts",
            2,
            (0, 2),
            "How often Lambda tries again after an error of the function. Below 2, an answer that comes with no callback of its id goes to the dead-letter queue instead of being dropped, and so does one that may not be read, without an `error.json`.",
        ),
    ]
}

fn state_machine() -> Vec<Field> {
    vec![
        named("name", names::STATE_MACHINE, "The state machine's name."),
        whole(
            "callback_timeout_seconds",
            86400,
            (1, 31_536_000),
            "Seconds for which an execution waits for its answer.",
        ),
        number(
            "callback_heartbeat_seconds",
            "Seconds for which the application may stay silent, from when the message was sent to the queue. Below the callback time-out.",
        )
        .check(Check::Whole(1, 31_536_000)),
        object(
            "processing_retry",
            "How a failed processing is tried again.",
            vec![
                whole("max_attempts", 3, (0, 99_999_999), "How often."),
                whole(
                    "interval_seconds",
                    5,
                    (1, 99_999_999),
                    "Seconds before the first retry.",
                ),
                number(
                    "backoff_rate",
                    "By how much each pause is longer than the one before.",
                )
                .default(2)
                .check(Check::Between(1.0, 1000.0)),
            ],
        ),
        text("log_level", "Which events are logged.")
            .default("ALL")
            .check(Check::OneOf(&["ALL", "ERROR", "FATAL", "OFF"])),
        flag(
            "include_execution_data",
            false,
            "Whether log events hold input and output. These hold task tokens: who reads the log could answer callbacks.",
        ),
        flag(
            "tracing_enabled",
            true,
            "Whether AWS X-Ray traces executions.",
        ),
        text(
            "definition",
            "The definition in Amazon States Language, JSON.",
        )
        .computed(),
        arn("The state machine's ARN."),
        object("role", "The state machine's IAM role.", role()),
        Field::new(
            "log_group",
            Shape::Object(log_group()),
            "The state machine's CloudWatch log group.",
        )
        .computed(),
    ]
}

/// What an alarm's metrics are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The function it stands with.
    Function,
    /// The queue between state machine and integration function.
    Queue,
    /// The dead-letter queue.
    DeadLetterQueue,
    /// The state machine.
    StateMachine,
    /// The pipeline, of which the integration function counts.
    Pipeline,
}

/// One alarm: its name here, what it watches, and defaults an operator would keep.
#[derive(Debug)]
pub struct AlarmRow {
    /// The attribute's name, which also ends the alarm's name.
    pub name: &'static str,
    /// The namespace of the metrics.
    pub namespace: &'static str,
    /// The metric, or those whose sum is watched.
    pub metrics: &'static [&'static str],
    /// What the metrics are of.
    pub of: Subject,
    /// The metrics' statistic.
    pub statistic: &'static str,
    /// The threshold; none where it follows from the function's settings.
    pub threshold: Option<i64>,
    /// Period in seconds, evaluation periods, datapoints to alarm.
    pub periods: (i64, i64, i64),
    /// What it tells.
    pub doc: &'static str,
}

impl AlarmRow {
    /// What its threshold is, with the unit of its metrics.
    fn threshold_doc(&self) -> &'static str {
        match self.metrics {
            ["Duration"] => {
                "The threshold, in milliseconds. Default: 80 % of the function's `timeout`."
            }
            ["ApproximateAgeOfOldestMessage"] => "The threshold, in seconds.",
            _ => "The threshold: a number, as the metric counts.",
        }
    }
}

/// The alarms of a function. None of them goes off in ordinary use: a single error is retried, a burst is queued.
pub const ALARMS: &[AlarmRow] = &[
    AlarmRow {
        name: "invocations",
        namespace: "AWS/Lambda",
        metrics: &["Invocations"],
        of: Subject::Function,
        statistic: "Sum",
        threshold: Some(50_000),
        periods: (900, 1, 1),
        doc: "Far more invocations than usual: a loop, or a flood.",
    },
    AlarmRow {
        name: "errors",
        namespace: "AWS/Lambda",
        metrics: &["Errors"],
        of: Subject::Function,
        statistic: "Sum",
        threshold: Some(10),
        periods: (300, 3, 2),
        doc: "Errors that do not go away.",
    },
    AlarmRow {
        name: "throttles",
        namespace: "AWS/Lambda",
        metrics: &["Throttles"],
        of: Subject::Function,
        statistic: "Sum",
        threshold: Some(10),
        periods: (300, 3, 2),
        doc: "Invocations that Lambda turned away.",
    },
    AlarmRow {
        name: "duration",
        namespace: "AWS/Lambda",
        metrics: &["Duration"],
        of: Subject::Function,
        statistic: "Average",
        threshold: None,
        periods: (300, 3, 3),
        doc: "Invocations that on average come near the time-out (80 %).",
    },
    AlarmRow {
        name: "concurrent_executions",
        namespace: "AWS/Lambda",
        metrics: &["ConcurrentExecutions"],
        of: Subject::Function,
        statistic: "Maximum",
        threshold: Some(800),
        periods: (60, 5, 5),
        doc: "Invocations at once near the account's usual limit of 1,000.",
    },
];

/// The alarms of a pipeline as a whole: they go off when a callback is lost, late or refused, which no function's alarm sees.
pub const PIPELINE_ALARMS: &[AlarmRow] = &[
    AlarmRow {
        name: "dead_letter_depth",
        namespace: "AWS/SQS",
        metrics: &["ApproximateNumberOfMessagesVisible"],
        of: Subject::DeadLetterQueue,
        statistic: "Maximum",
        threshold: Some(1),
        periods: (60, 1, 1),
        doc: "Messages or events that could not be handled lie in the dead-letter queue.",
    },
    AlarmRow {
        name: "message_age",
        namespace: "AWS/SQS",
        metrics: &["ApproximateAgeOfOldestMessage"],
        of: Subject::Queue,
        statistic: "Maximum",
        threshold: Some(900),
        periods: (60, 5, 5),
        doc: "The oldest message has waited long for the integration function (seconds).",
    },
    AlarmRow {
        name: "executions_failed",
        namespace: "AWS/States",
        metrics: &[
            "ExecutionsFailed",
            "ExecutionsTimedOut",
            "ExecutionsAborted",
        ],
        of: Subject::StateMachine,
        statistic: "Sum",
        threshold: Some(1),
        periods: (300, 1, 1),
        doc: "Executions that failed, timed out or were aborted.",
    },
    AlarmRow {
        name: "callbacks_rejected",
        namespace: metrics::NAMESPACE,
        metrics: &[metrics::REJECTED],
        of: Subject::Pipeline,
        statistic: "Sum",
        threshold: Some(1),
        periods: (300, 1, 1),
        doc: "Answers of the business application that could not be passed on; error.json in the exchange's folder says why.",
    },
    AlarmRow {
        name: "callbacks_undeliverable",
        namespace: metrics::NAMESPACE,
        metrics: &[metrics::UNDELIVERABLE],
        of: Subject::Pipeline,
        statistic: "Sum",
        threshold: Some(1),
        periods: (60, 1, 1),
        doc: "Callbacks that failed since their message could not be handled.",
    },
];

/// Every alarm there is, with the path of the object it is in.
pub const ALL_ALARMS: [(&str, &[AlarmRow]); 3] = [
    ("processing.alarms", ALARMS),
    ("integration.alarms", ALARMS),
    ("alarms", PIPELINE_ALARMS),
];

const OPERATORS: &[&str] = &[
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanOrEqualToThreshold",
    "LessThanThreshold",
];

fn alarms(rows: &'static [AlarmRow]) -> Vec<Field> {
    rows.iter()
        .map(|row| {
            let (period, evaluation, datapoints) = row.periods;
            let threshold = number("threshold", row.threshold_doc());
            let fields = vec![
                flag("enabled", true, "Whether there is such an alarm."),
                match row.threshold {
                    Some(value) => threshold.default(value),
                    None => threshold.derived(),
                }
                .check(Check::Between(0.0, 1e15)),
                whole(
                    "period",
                    period,
                    (60, 604_800),
                    "Seconds each datapoint covers: a multiple of 60.",
                ),
                whole(
                    "evaluation_periods",
                    evaluation,
                    (1, 1440),
                    "How many datapoints are looked at.",
                ),
                whole(
                    "datapoints_to_alarm",
                    datapoints,
                    (1, 1440),
                    "How many of these must breach.",
                ),
                text(
                    "comparison_operator",
                    "How datapoints are compared with the threshold.",
                )
                .default("GreaterThanOrEqualToThreshold")
                .check(Check::OneOf(OPERATORS)),
                text("alarm_name", "The alarm's name.").computed(),
                arn("The alarm's ARN."),
            ];
            object(row.name, row.doc, fields)
        })
        .collect()
}

/// `given` with every default filled in; what is derived or computed stays null.
#[must_use]
pub fn with_defaults(fields: &[Field], given: &Map<String, Value>) -> Map<String, Value> {
    let fill = |field: &Field| {
        let value = match (given.get(field.name), &field.origin) {
            (Some(value), _) if !value.is_null() => value.clone(),
            (_, Origin::Default(value)) => value.clone(),
            _ => Value::Null,
        };
        let value = match (&field.shape, value) {
            (Shape::Object(inner), Value::Object(map)) => Value::Object(with_defaults(inner, &map)),
            (Shape::ObjectMap(inner), Value::Object(map)) => {
                let each = |(name, value): (String, Value)| match value {
                    Value::Object(map) => (name, Value::Object(with_defaults(inner, &map))),
                    other => (name, other),
                };
                Value::Object(map.into_iter().map(each).collect())
            }
            (_, value) => value,
        };
        (field.name.to_owned(), value)
    };
    fields.iter().map(fill).collect()
}
