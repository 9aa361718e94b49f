//! From arguments to parts: everything a pipeline is made of, where each part stands in the resource, and what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use bellflower_contract::{env, metrics};
use serde_json::{Map, Value};

use super::packages::{Package, Packages};
use super::schema::{ALARMS, AlarmRow, PIPELINE_ALARMS, Subject};
use super::settings::{Alarm, Function, Settings};
use crate::documents::{self, Place, machine, messaging, names, roles, storage};
use crate::engine::Attributes;
use crate::engine::graph::Edges;
use crate::parts::tags::{MADE_AT, MARK, Tags};
use crate::parts::{self, Part};

/// Where a part stands in the resource: `["processing", "alarms", "errors"]`.
pub type Path = Vec<String>;

/// What a blueprint needs to know beside the arguments.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Where the pipeline lives.
    pub place: Place,
    /// The ARN of the key that encrypts everything.
    pub key_arn: String,
    /// The id of the pipeline's own key, where it is known.
    pub key_id: Option<String>,
    /// All tags but the mark.
    pub tags: BTreeMap<String, String>,
    /// The code of the functions.
    pub packages: Packages,
}

/// One part and its place.
#[derive(Debug)]
pub struct Node {
    /// Where it stands.
    pub path: Path,
    /// What it is.
    pub part: Box<Part>,
    /// What must be there before it.
    pub after: Vec<Path>,
    /// A property that counts as changed when the part it names was made anew: a role of the same name is another role.
    pub renewed_with: Option<(Path, &'static str)>,
    /// The part whose end is this one's, too: when both go, AWS is told of that one alone.
    pub goes_with: Option<Path>,
    /// The parts that it joins: where one of them is somebody else's, it is not taken for ours without its mark.
    pub joins: Vec<Path>,
}

/// What tells a part from all others: its kind, and its identity among those.
pub type Identity = (&'static str, String);

impl Node {
    /// What tells the part from all others.
    #[must_use]
    pub fn identity(&self) -> Identity {
        (self.part.kind(), self.part.identity().into_owned())
    }

    /// The property that names a part made anew, if `known` says by a null that it is still to be written again.
    #[must_use]
    pub fn forgotten(&self, known: &Attributes) -> Option<&'static str> {
        let (_, property) = self.renewed_with.as_ref()?;
        known.get(*property)?.is_null().then_some(*property)
    }
}

/// All parts of a pipeline.
#[derive(Debug)]
pub struct Blueprint {
    /// The parts, in no particular order.
    pub nodes: Vec<Node>,
    /// Attributes of the pipeline as a whole.
    pub outputs: Map<String, Value>,
    /// Whether what these are made from is known: the key may be yet to be made.
    pub is_settled: bool,
}

/// How often more an undeliverable message is received. Its callback is answered the first time; the others are for when that failed.
///
/// SQS counts the receives of a message [across all queues](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html), so
/// those of the queue it came from come on top.
pub const UNDELIVERABLE_RECEIVES: i64 = 3;

/// How many invocations undeliverable messages cause at once: the fewest Lambda takes for a limit.
pub const UNDELIVERABLE_CONCURRENCY: i64 = 2;

/// The levels at which a state machine logs anything.
const LOGGED: [&str; 3] = ["ALL", "ERROR", "FATAL"];

/// Where the part stands that is made last and removed first.
pub const MACHINE: &str = "state_machine";

/// The path of a place, such as `integration.role`.
#[must_use]
pub fn path(text: &str) -> Path {
    text.split('.').map(str::to_owned).collect()
}

impl Blueprint {
    /// The graph of these parts.
    #[must_use]
    pub fn edges(&self) -> Edges<Path> {
        self.nodes
            .iter()
            .map(|node| (node.path.clone(), node.after.clone()))
            .collect()
    }

    /// What tells those parts from all others that hang on no other part, whose names are theirs alone.
    #[must_use]
    pub fn alone(&self) -> BTreeSet<Identity> {
        let alone = self.nodes.iter().filter(|node| node.goes_with.is_none());
        alone.map(Node::identity).collect()
    }

    /// What tells the parts from all others.
    #[must_use]
    pub fn identities(&self) -> BTreeSet<Identity> {
        self.nodes.iter().map(Node::identity).collect()
    }

    /// The mark of the parts.
    #[must_use]
    pub fn mark(&self) -> Option<String> {
        let mark = |node: &Node| {
            let tags = node.part.desired().remove("tags")?;
            tags.get(MARK)?.as_str().map(str::to_owned)
        };
        self.nodes.iter().find_map(mark)
    }

    /// The part at a place.
    #[must_use]
    pub fn node(&self, path: &[String]) -> Option<&Node> {
        self.nodes.iter().find(|node| node.path == path)
    }

    /// Everything a pipeline with these arguments is made of.
    #[must_use]
    pub fn of(settings: &Settings, facts: &Facts) -> Self {
        Builder {
            settings,
            facts,
            tags: tags(settings, facts),
            nodes: Vec::new(),
        }
        .build()
    }
}

/// Puts attributes into a tree, beside those that are there already.
pub fn graft(tree: &mut Map<String, Value>, path: &[String], attributes: Map<String, Value>) {
    let mut here = tree;
    for step in path {
        let next = here
            .entry(step.clone())
            .or_insert_with(|| Value::Object(Map::new()));
        if !next.is_object() {
            *next = Value::Object(Map::new());
        }
        match next {
            Value::Object(map) => here = map,
            _ => return,
        }
    }
    here.extend(attributes);
}

/// What a pipeline is imported by.
#[must_use]
pub fn id(settings: &Settings) -> String {
    format!("{}/{}", settings.name, settings.environment)
}

/// The value of the mark: which pipeline. It holds the region, since roles are shared by all of them.
pub(super) fn mark(settings: &Settings, place: &Place) -> String {
    mark_of(&settings.name, &settings.environment, place)
}

/// The same of a name and an environment.
pub(super) fn mark_of(name: &str, environment: &str, place: &Place) -> String {
    format!("{name}/{environment}/{}", place.region)
}

fn tags(settings: &Settings, facts: &Facts) -> Tags {
    let mut tags = facts.tags.clone();
    tags.insert(MARK.to_owned(), mark(settings, &facts.place));
    Tags(tags)
}

/// The names of all parts, given or derived.
struct Names {
    bucket: String,
    queue: String,
    undeliverable_queue: String,
    dead_letter_queue: String,
    topic: String,
    processing: String,
    integration: String,
    machine: String,
}

/// The ARNs that parts know of each other; they follow from the names.
struct Arns {
    bucket: String,
    queue: String,
    undeliverable_queue: String,
    dead_letter_queue: String,
    topic: String,
    processing: String,
    integration: String,
    machine: String,
}

impl Arns {
    fn of(names: &Names, place: &Place) -> Self {
        let function = |name: &str| place.arn("lambda", &format!("function:{name}"));
        Self {
            bucket: place.s3_arn(&names.bucket),
            queue: place.arn("sqs", &names.queue),
            undeliverable_queue: place.arn("sqs", &names.undeliverable_queue),
            dead_letter_queue: place.arn("sqs", &names.dead_letter_queue),
            topic: place.arn("sns", &names.topic),
            processing: function(&names.processing),
            integration: function(&names.integration),
            machine: place.arn("states", &format!("stateMachine:{}", names.machine)),
        }
    }
}

/// Attributes of the pipeline as a whole that follow from the arguments.
fn outputs(settings: &Settings, facts: &Facts, bucket_arn: &str) -> Map<String, Value> {
    let policy = roles::business_application(&roles::Application {
        place: &facts.place,
        bucket_arn,
        inbound_prefix: &settings.bucket.inbound_prefix,
        outbound_prefix: &settings.bucket.outbound_prefix,
        key_arn: &facts.key_arn,
    });
    [(
        "business_application_policy_json".to_owned(),
        Value::String(policy),
    )]
    .into_iter()
    .collect()
}

/// Where an alarm stands, what it is called, and what it is of.
struct Watch {
    at: String,
    name: String,
    dimensions: BTreeMap<String, String>,
    /// The threshold where none is given.
    threshold: f64,
}

/// The name of an alarm on the pipeline as a whole.
#[must_use]
pub fn pipeline_alarm(row: &AlarmRow, name: &str, environment: &str, region: &str) -> String {
    names::derived(name, &row.name.replace('_', "-"), environment, region)
}

fn of(dimension: &str, value: &str) -> BTreeMap<String, String> {
    [(dimension.to_owned(), value.to_owned())].into()
}

struct Builder<'a> {
    settings: &'a Settings,
    facts: &'a Facts,
    tags: Tags,
    nodes: Vec<Node>,
}

impl Builder<'_> {
    fn derived(&self, part: &str) -> String {
        let Settings {
            name, environment, ..
        } = self.settings;
        names::derived(name, part, environment, &self.facts.place.region)
    }

    fn given(&self, given: Option<&String>, part: &str) -> String {
        given.cloned().unwrap_or_else(|| self.derived(part))
    }

    fn names(&self) -> Names {
        let s = self.settings;
        let bucket = || names::bucket(&s.name, &self.facts.place, &s.environment);
        Names {
            bucket: s.bucket.bucket.clone().unwrap_or_else(bucket),
            queue: self.given(s.queue.name.as_ref(), "queue"),
            undeliverable_queue: self
                .given(s.undeliverable_queue.name.as_ref(), "undeliverable-queue"),
            dead_letter_queue: self.given(s.dead_letter_queue.name.as_ref(), "dead-letter-queue"),
            topic: self.given(s.topic.name.as_ref(), "topic"),
            processing: self.given(s.processing.function.function_name.as_ref(), "processing"),
            integration: self.given(s.integration.function_name.as_ref(), "integration"),
            machine: self.given(s.state_machine.name.as_ref(), "state-machine"),
        }
    }

    fn add(
        &mut self,
        at: &str,
        after: &[&str],
        part: impl crate::engine::Part<parts::Aws> + 'static,
    ) {
        let after = after.iter().map(|text| path(text)).collect();
        self.nodes.push(Node {
            path: path(at),
            part: Box::new(part),
            after,
            renewed_with: None,
            goes_with: None,
            joins: Vec::new(),
        });
    }

    /// Says of the part added last that it goes with another one.
    fn goes_with(&mut self, host: &str) {
        if let Some(node) = self.nodes.last_mut() {
            node.goes_with = Some(path(host));
        }
    }

    /// Says of the part added last that it joins these.
    fn joins(&mut self, ends: &[&str]) {
        if let Some(node) = self.nodes.last_mut() {
            node.joins = ends.iter().map(|end| path(end)).collect();
        }
    }

    fn renewed_with(&mut self, dependency: &str, property: &'static str) {
        if let Some(node) = self.nodes.last_mut() {
            node.renewed_with = Some((path(dependency), property));
        }
    }

    fn build(mut self) -> Blueprint {
        let names = self.names();
        let arns = Arns::of(&names, &self.facts.place);

        let processing_log =
            self.log_group("processing", &names::function_log_group(&names.processing));
        let integration_log = self.log_group(
            "integration",
            &names::function_log_group(&names.integration),
        );
        // The prefix spares the account's resource policy for log delivery, whose size is limited.
        let machine_log = self.log_group(
            "state_machine",
            &format!("/aws/vendedlogs/states/{}", names.machine),
        );
        self.key([&processing_log, &integration_log, &machine_log]);
        self.storage(&names);
        self.queues(&names, &arns);
        self.topic(&names.topic);
        self.subscriptions(&arns.topic);
        self.processing(&names, &processing_log, &arns.topic);
        self.integration(&names, &integration_log, &arns);
        self.entrances(&names, &arns);
        self.alarms(&names, &arns);
        self.dashboard(&names, &arns);
        self.machine(&names, &arns, &machine_log);
        Blueprint {
            outputs: outputs(self.settings, self.facts, &arns.bucket),
            is_settled: self.facts.key_arn.starts_with("arn:"),
            nodes: self.nodes,
        }
    }

    fn key(&mut self, log_groups: [&str; 3]) {
        let s = self.settings;
        if s.kms_key_arn.is_some() {
            return;
        }
        let key = parts::key::Key {
            alias: s
                .key
                .alias
                .clone()
                .unwrap_or_else(|| format!("alias/{}", self.derived("key"))),
            description: s.key.description.clone().unwrap_or_else(|| {
                format!(
                    "Encrypts the callback pipeline {} ({})",
                    s.name, s.environment
                )
            }),
            policy: documents::key::policy(&self.facts.place, &log_groups),
            is_enabled: true,
            enable_key_rotation: s.key.enable_key_rotation,
            rotation_period_in_days: s.key.rotation_period_in_days,
            deletion_window_in_days: s.key.deletion_window_in_days,
            key_id: self.facts.key_id.clone(),
            arn: Some(self.facts.key_arn.clone()).filter(|arn| arn.starts_with("arn:")),
            tags: self.tags.clone(),
        };
        self.add("key", &[], key);
    }

    /// Adds a log group and answers with its ARN.
    fn log_group(&mut self, owner: &str, name: &str) -> String {
        let arn = self.facts.place.arn("logs", &format!("log-group:{name}"));
        let group = parts::log_group::LogGroup {
            name: name.to_owned(),
            arn: arn.clone(),
            retention_in_days: self.settings.log_retention_in_days,
            kms_key_id: self.facts.key_arn.clone(),
            tags: self.tags.clone(),
        };
        self.add(&format!("{owner}.log_group"), &["key"], group);
        arn
    }

    fn storage(&mut self, names: &Names) {
        let s = &self.settings.bucket;
        let place = &self.facts.place;
        let bucket = parts::bucket::Bucket {
            bucket: names.bucket.clone(),
            arn: place.s3_arn(&names.bucket),
            region: place.region.clone(),
            block_public_acls: s.block_public_acls,
            block_public_policy: s.block_public_policy,
            ignore_public_acls: s.ignore_public_acls,
            restrict_public_buckets: s.restrict_public_buckets,
            object_ownership: "BucketOwnerEnforced".to_owned(),
            kms_master_key_id: self.facts.key_arn.clone(),
            bucket_key_enabled: s.bucket_key_enabled,
            sse_algorithm: "aws:kms".to_owned(),
            policy: storage::policy(place, &names.bucket),
            inbound_prefix: s.inbound_prefix.clone(),
            outbound_prefix: s.outbound_prefix.clone(),
            private_prefix: self.settings.private_prefix().map(str::to_owned),
            expiration_days: s.expiration_days,
            force_destroy: s.force_destroy,
            folders: vec![s.inbound_prefix.clone(), s.outbound_prefix.clone()],
            tags: self.tags.clone(),
        };
        self.add("bucket", &["key"], bucket);
    }

    fn queues(&mut self, names: &Names, arns: &Arns) {
        let Settings {
            queue: q,
            undeliverable_queue: u,
            dead_letter_queue: d,
            ..
        } = self.settings;
        let place = &self.facts.place;
        let queue = parts::queue::Queue {
            name: names.queue.clone(),
            address: place.queue_url(&names.queue),
            url: q.url.clone(),
            arn: arns.queue.clone(),
            delay_seconds: q.delay_seconds,
            max_message_size: q.max_message_size,
            message_retention_seconds: q.message_retention_seconds,
            receive_wait_time_seconds: q.receive_wait_time_seconds,
            visibility_timeout_seconds: q.visibility_timeout_seconds,
            kms_master_key_id: self.facts.key_arn.clone(),
            kms_data_key_reuse_period_seconds: q.kms_data_key_reuse_period_seconds,
            policy: messaging::queue_policy(place, &arns.queue),
            redrive_policy: Some(messaging::redrive_policy(
                &arns.undeliverable_queue,
                d.max_receive_count,
            )),
            redrive_allow_policy: None,
            tags: self.tags.clone(),
        };
        let undeliverable_queue = parts::queue::Queue {
            name: names.undeliverable_queue.clone(),
            address: place.queue_url(&names.undeliverable_queue),
            url: u.url.clone(),
            arn: arns.undeliverable_queue.clone(),
            delay_seconds: 0,
            message_retention_seconds: d.message_retention_seconds,
            receive_wait_time_seconds: 0,
            policy: messaging::queue_policy(place, &arns.undeliverable_queue),
            redrive_policy: Some(messaging::redrive_policy(
                &arns.dead_letter_queue,
                d.max_receive_count + UNDELIVERABLE_RECEIVES,
            )),
            redrive_allow_policy: Some(messaging::redrive_allow_policy(&arns.queue)),
            ..queue.clone()
        };
        let dead_letter_queue = parts::queue::Queue {
            name: names.dead_letter_queue.clone(),
            address: place.queue_url(&names.dead_letter_queue),
            url: d.url.clone(),
            arn: arns.dead_letter_queue.clone(),
            delay_seconds: 0,
            message_retention_seconds: d.message_retention_seconds,
            receive_wait_time_seconds: 0,
            visibility_timeout_seconds: 30,
            policy: messaging::queue_policy(place, &arns.dead_letter_queue),
            redrive_policy: None,
            redrive_allow_policy: Some(messaging::redrive_allow_policy(&arns.undeliverable_queue)),
            ..queue.clone()
        };
        // SQS takes no redrive policy that names a queue which is not there.
        self.add("dead_letter_queue", &["key"], dead_letter_queue);
        self.add(
            "undeliverable_queue",
            &["key", "dead_letter_queue"],
            undeliverable_queue,
        );
        self.add("queue", &["key", "undeliverable_queue"], queue);
    }

    fn topic(&mut self, name: &str) {
        let place = &self.facts.place;
        let arn = place.arn("sns", name);
        let topic = parts::topic::Topic {
            name: name.to_owned(),
            policy: messaging::topic_policy(place, &arn),
            arn,
            display_name: self.settings.topic.display_name.clone(),
            kms_master_key_id: self.facts.key_arn.clone(),
            tags: self.tags.clone(),
        };
        self.add("topic", &["key"], topic);
    }

    fn subscriptions(&mut self, topic_arn: &str) {
        for (label, s) in self.settings.subscriptions.iter().flatten() {
            let shown = parts::subscription::discreet(&s.endpoint);
            let which = if shown == s.endpoint.as_str() {
                String::new()
            } else {
                format!(" ({label})")
            };
            let part = parts::subscription::Subscription {
                topic_arn: topic_arn.to_owned(),
                protocol: s.protocol.clone(),
                endpoint: s.endpoint.clone(),
                raw_message_delivery: s.raw_message_delivery,
                filter_policy: s.filter_policy.clone(),
                filter_policy_scope: s.filter_policy_scope.clone(),
                redrive_policy: s.redrive_policy.clone(),
                subscription_role_arn: s.subscription_role_arn.clone(),
                label: format!("{} {shown}{which}", s.protocol),
            };
            self.nodes.push(Node {
                path: vec!["subscriptions".to_owned(), label.clone()],
                part: Box::new(part),
                after: vec![path("topic")],
                renewed_with: None,
                goes_with: Some(path("topic")),
                joins: Vec::new(),
            });
        }
    }

    /// Adds a role and answers with its ARN.
    fn role(
        &mut self,
        owner: &str,
        given: Option<&String>,
        what: &str,
        trust: String,
        policy: String,
    ) -> String {
        let name = self.given(given, &format!("{}-role", owner.replace('_', "-")));
        let s = self.settings;
        let arn = self
            .facts
            .place
            .iam_arn(&format!("role{}{name}", s.iam_path));
        let role = parts::role::Role {
            arn: arn.clone(),
            path: s.iam_path.clone(),
            description: format!(
                "{what} of the callback pipeline {} ({})",
                s.name, s.environment
            ),
            assume_role_policy: trust,
            permissions_boundary: s.permissions_boundary.clone(),
            policy,
            tags: self.tags.clone(),
            name,
        };
        self.add(&format!("{owner}.role"), &["key"], role);
        arn
    }

    fn processing(&mut self, names: &Names, log_group: &str, topic_arn: &str) {
        let s = &self.settings.processing;
        let function = format!("function:{}", names.processing);
        let policy = roles::processing(
            log_group,
            s.function.tracing_mode == "Active",
            &self.facts.place.arn("lambda", &function),
            &self.facts.key_arn,
        );
        let code = &self.facts.packages.processing;
        self.function(
            "processing",
            &names.processing,
            &s.function,
            policy,
            code,
            topic_arn,
            |function| {
                "Makes the payload and the execution id".clone_into(&mut function.description);
                function.runtime.clone_from(&s.runtime);
                function.handler.clone_from(&s.handler);
                function.variables.clone_from(&s.variables);
            },
        );
    }

    fn integration(&mut self, names: &Names, log_group: &str, arns: &Arns) {
        let s = self.settings;
        let policy = roles::integration(&roles::Integration {
            log_group_arn: log_group,
            tracing: s.integration.tracing_mode == "Active",
            queue_arn: &arns.queue,
            undeliverable_queue_arn: &arns.undeliverable_queue,
            dead_letter_queue_arn: &arns.dead_letter_queue,
            bucket_arn: &arns.bucket,
            inbound_prefix: &s.bucket.inbound_prefix,
            outbound_prefix: &s.bucket.outbound_prefix,
            token_prefix: s.token_prefix(),
            key_arn: &self.facts.key_arn,
        });
        let code = &self.facts.packages.integration;
        self.function(
            "integration",
            &names.integration,
            &s.integration,
            policy,
            code,
            &arns.topic,
            |function| {
                "Hands work out to the bucket and answers back to the state machine"
                    .clone_into(&mut function.description);
                let variables = [
                    (env::BUCKET, &names.bucket),
                    (env::INBOUND_PREFIX, &s.bucket.inbound_prefix),
                    (env::OUTBOUND_PREFIX, &s.bucket.outbound_prefix),
                    (env::TASK_TOKEN, &s.task_token),
                    (env::UNDELIVERABLE_QUEUE_ARN, &arns.undeliverable_queue),
                    (env::PIPELINE, &s.name),
                    (env::ENVIRONMENT, &s.environment),
                ];
                function.variables = variables
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.clone()))
                    .collect();
            },
        );
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one function, its role and its alarms hang together"
    )]
    fn function(
        &mut self,
        owner: &'static str,
        name: &str,
        s: &Function,
        policy: String,
        code: &Package,
        topic_arn: &str,
        finish: impl FnOnce(&mut parts::function::Function),
    ) {
        let place = &self.facts.place;
        let trust = roles::trust(place, "lambda.amazonaws.com", None);
        let arn = place.arn("lambda", &format!("function:{name}"));
        let what = if owner == "processing" {
            "Processing function"
        } else {
            "Integration function"
        };
        let role = self.role(owner, s.role.name.as_ref(), what, trust, policy);
        let mut function = parts::function::Function {
            function_name: name.to_owned(),
            arn,
            description: String::new(),
            role,
            runtime: "provided.al2023".to_owned(),
            handler: "bootstrap".to_owned(),
            memory_size: s.memory_size,
            timeout: s.timeout,
            architectures: s.architectures.clone(),
            variables: BTreeMap::new(),
            tracing_mode: s.tracing_mode.clone(),
            kms_key_arn: self.facts.key_arn.clone(),
            reserved_concurrent_executions: s.reserved_concurrent_executions,
            package: code.label.clone(),
            code_sha256: code.sha256.clone(),
            code: code.code.clone(),
            tags: self.tags.clone(),
        };
        finish(&mut function);
        let (role_at, log_at) = (format!("{owner}.role"), format!("{owner}.log_group"));
        let mut after = vec![role_at.as_str(), &log_at, "key"];
        // Lambda refuses a time-out above the queue's visibility time-out, so a raised one finds the queue raised already. Where there is no
        // queue yet, nothing ties the two together before their event source does.
        if self.settings.queue.url.is_some() {
            after.push("queue");
        }
        self.add(owner, &after, function);
        self.renewed_with(&role_at, "role_arn");
        // 80 % of it, in milliseconds.
        let near_time_out = f64::from(i32::try_from(s.timeout).unwrap_or(i32::MAX)) * 800.0;
        for row in ALARMS {
            if let Some(alarm) = s.alarms.get(row.name).filter(|alarm| alarm.enabled) {
                let watched = Watch {
                    at: format!("{owner}.alarms.{}", row.name),
                    name: format!("{name}-{}", row.name.replace('_', "-")),
                    dimensions: of("FunctionName", name),
                    threshold: near_time_out,
                };
                self.alarm(row, alarm, watched, topic_arn);
            }
        }
    }

    /// Alarms on the pipeline as a whole.
    fn alarms(&mut self, names: &Names, arns: &Arns) {
        let s = self.settings;
        for row in PIPELINE_ALARMS {
            let dimensions = match row.of {
                Subject::Function => of("FunctionName", &names.integration),
                Subject::Queue => of("QueueName", &names.queue),
                Subject::DeadLetterQueue => of("QueueName", &names.dead_letter_queue),
                Subject::StateMachine => of("StateMachineArn", &arns.machine),
                Subject::Pipeline => [
                    (metrics::PIPELINE.to_owned(), s.name.clone()),
                    (metrics::ENVIRONMENT.to_owned(), s.environment.clone()),
                ]
                .into(),
            };
            if let Some(alarm) = s.alarms.get(row.name).filter(|alarm| alarm.enabled) {
                let watched = Watch {
                    at: format!("alarms.{}", row.name),
                    name: pipeline_alarm(row, &s.name, &s.environment, &self.facts.place.region),
                    dimensions,
                    threshold: 1.0,
                };
                self.alarm(row, alarm, watched, &arns.topic);
            }
        }
    }

    fn dashboard(&mut self, names: &Names, arns: &Arns) {
        let s = self.settings;
        let Some(given) = &s.dashboard else { return };
        let place = &self.facts.place;
        let name = self.given(given.dashboard_name.as_ref(), "dashboard");
        let dashboard_body = documents::dashboard::body(&documents::dashboard::Shown {
            pipeline: &s.name,
            environment: &s.environment,
            region: &place.region,
            mark: &mark(s, place),
            machine_arn: &arns.machine,
            queues: [
                &names.queue,
                &names.undeliverable_queue,
                &names.dead_letter_queue,
            ],
            functions: [&names.processing, &names.integration],
        });
        let part = parts::dashboard::Dashboard {
            // A dashboard is the account's, in no region.
            arn: format!(
                "arn:{}:cloudwatch::{}:dashboard/{name}",
                place.partition, place.account
            ),
            dashboard_name: name,
            dashboard_body,
        };
        self.add("dashboard", &[], part);
    }

    fn alarm(&mut self, row: &AlarmRow, alarm: &Alarm, watched: Watch, topic_arn: &str) {
        let Watch {
            at,
            name,
            dimensions,
            threshold,
        } = watched;
        let part = parts::alarm::Alarm {
            arn: self.facts.place.arn("cloudwatch", &format!("alarm:{name}")),
            alarm_name: name,
            alarm_description: row.doc.to_owned(),
            watched: parts::alarm::Watched::sum(
                row.namespace,
                row.metrics,
                &dimensions,
                row.statistic,
                alarm.period,
            ),
            evaluation_periods: alarm.evaluation_periods,
            datapoints_to_alarm: alarm.datapoints_to_alarm,
            threshold: alarm.threshold.unwrap_or(threshold),
            comparison_operator: alarm.comparison_operator.clone(),
            treat_missing_data: "notBreaching".to_owned(),
            actions_enabled: true,
            alarm_actions: vec![topic_arn.to_owned()],
            ok_actions: Vec::new(),
            tags: self.tags.clone(),
        };
        self.add(&at, &[], part);
    }

    /// What invokes the integration function: the queues and the bucket.
    fn entrances(&mut self, names: &Names, arns: &Arns) {
        let s = self.settings;
        let place = &self.facts.place;
        let mapping = parts::event_source::EventSource {
            function_name: names.integration.clone(),
            event_source_arn: arns.queue.clone(),
            batch_size: s.event_source.batch_size,
            maximum_batching_window_in_seconds: s.event_source.maximum_batching_window_in_seconds,
            maximum_concurrency: s.event_source.maximum_concurrency,
            function_response_types: vec!["ReportBatchItemFailures".to_owned()],
            enabled: s.event_source.enabled,
            arn_prefix: place.arn("lambda", "event-source-mapping:"),
            arn: s.event_source.arn.clone(),
            tags: self.tags.clone(),
        };
        let undeliverable = parts::event_source::EventSource {
            event_source_arn: arns.undeliverable_queue.clone(),
            batch_size: 10,
            maximum_batching_window_in_seconds: 0,
            // An invocation that is throttled counts as a receive, and few of these messages come.
            maximum_concurrency: Some(UNDELIVERABLE_CONCURRENCY),
            enabled: true,
            arn: s
                .undeliverable_event_source
                .as_ref()
                .and_then(|known| known.arn.clone()),
            ..mapping.clone()
        };
        let invoke_config = parts::event_invoke_config::EventInvokeConfig {
            function_name: names.integration.clone(),
            maximum_event_age_in_seconds: s.event_invoke_config.maximum_event_age_in_seconds,
            maximum_retry_attempts: s.event_invoke_config.maximum_retry_attempts,
            on_failure: arns.dead_letter_queue.clone(),
            on_success: String::new(),
        };
        let permission = parts::permission::Permission {
            function_name: names.integration.clone(),
            statement_id: "bellflower-bucket".to_owned(),
            action: "lambda:InvokeFunction".to_owned(),
            principal: "s3.amazonaws.com".to_owned(),
            source_arn: arns.bucket.clone(),
            source_account: place.account.clone(),
        };
        let notification = parts::notification::Notification {
            bucket: names.bucket.clone(),
            lambda_function_arn: arns.integration.clone(),
            events: vec!["s3:ObjectCreated:*".to_owned()],
            filter_prefix: s.bucket.inbound_prefix.clone(),
            filter_suffix: bellflower_contract::ANSWER_SUFFIX.to_owned(),
            id: "bellflower-inbound".to_owned(),
            outbound_queue_arn: s.bucket.outbound_queue_arn.clone(),
            outbound_filter_prefix: s
                .bucket
                .outbound_queue_arn
                .as_ref()
                .map(|_| s.bucket.outbound_prefix.clone()),
            outbound_suffix: format!("/{}", bellflower_contract::DATA_FILE),
        };
        for (at, queue, part) in [
            ("event_source", "queue", mapping),
            (
                "undeliverable_event_source",
                "undeliverable_queue",
                undeliverable,
            ),
        ] {
            self.add(at, &["integration", queue], part);
            self.joins(&["integration", queue]);
        }
        self.add(
            "event_invoke_config",
            &["integration", "dead_letter_queue"],
            invoke_config,
        );
        self.goes_with("integration");
        self.add("permission", &["integration"], permission);
        self.goes_with("integration");
        self.add("notification", &["bucket", "permission"], notification);
        self.goes_with("bucket");
    }

    fn machine(&mut self, names: &Names, arns: &Arns, log_group: &str) {
        let s = &self.settings.state_machine;
        let place = &self.facts.place;
        let arn = arns.machine.clone();
        let policy = roles::machine(&roles::Machine {
            function_arn: &arns.processing,
            queue_arn: &arns.queue,
            topic_arn: &arns.topic,
            bucket_arn: &arns.bucket,
            token_prefix: self.settings.token_prefix(),
            key_arn: &self.facts.key_arn,
            // Of a level that is not known yet nothing is said in the plan.
            logging: LOGGED.contains(&s.log_level.as_str()),
            tracing: s.tracing_enabled,
        });
        let definition = machine::definition(&machine::Definition {
            pipeline: &self.settings.name,
            environment: &self.settings.environment,
            partition: &place.partition,
            function_arn: &arns.processing,
            function_timeout: self.settings.processing.function.timeout,
            max_attempts: s.processing_retry.max_attempts,
            interval_seconds: s.processing_retry.interval_seconds,
            backoff_rate: s.processing_retry.backoff_rate,
            queue_url: &place.queue_url(&names.queue),
            callback_timeout: s.callback_timeout_seconds,
            callback_heartbeat: s.callback_heartbeat_seconds,
            topic_arn: &arns.topic,
            bucket: &names.bucket,
            inbound_prefix: &self.settings.bucket.inbound_prefix,
            token_prefix: self.settings.token_prefix(),
        });
        let trust = roles::trust(place, "states.amazonaws.com", Some(&arn));
        let role_arn = self.role(
            "state_machine",
            s.role.name.as_ref(),
            "State machine",
            trust,
            policy,
        );
        // One pipeline tells itself by that from the next of its name. It is made last, so the next one finds none where an earlier is taken up.
        let mut tags = self.tags.clone();
        let made_at = self.settings.made_at.iter();
        tags.0
            .extend(made_at.map(|at| (MADE_AT.to_owned(), at.clone())));
        let part = parts::state_machine::StateMachine {
            name: names.machine.clone(),
            arn,
            definition,
            role_arn,
            kind: "STANDARD".to_owned(),
            log_level: s.log_level.clone(),
            include_execution_data: s.include_execution_data,
            log_destination: format!("{log_group}:*"),
            tracing_enabled: s.tracing_enabled,
            force_destroy: self.settings.bucket.force_destroy,
            tags,
        };
        // It comes last: nothing starts before it can be carried through, and where it is, the pipeline stands complete.
        let after = self.nodes.iter().map(|node| node.path.clone()).collect();
        self.nodes.push(Node {
            path: path(MACHINE),
            part: Box::new(part),
            after,
            renewed_with: None,
            goes_with: None,
            joins: Vec::new(),
        });
        self.renewed_with("state_machine.role", "role_arn");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::documents::names::place;
    use crate::pipeline::schema::{fields, with_defaults};

    /// What follows from a name alone.
    pub fn orders() -> Blueprint {
        orders_with(&json!({})).1
    }

    /// What follows from a name and these arguments: all of them, and the parts.
    pub fn orders_with(given: &Json) -> (Map<String, Json>, Blueprint) {
        let mut all = Map::from_iter([("name".to_owned(), json!("orders"))]);
        all.extend(given.as_object().cloned().unwrap_or_default());
        let all = with_defaults(fields(), &all);
        let settings = Settings::read(&all).unwrap();
        let facts = Facts {
            place: place(),
            key_arn: "arn:aws:kms:eu-west-1:123456789012:key/1".into(),
            key_id: None,
            tags: settings.tags_all.clone().unwrap_or_default(),
            packages: Packages::recorded(&settings),
        };
        (all, Blueprint::of(&settings, &facts))
    }

    #[test]
    fn the_readme_counts_the_parts() {
        let told = format!("The {} parts this takes", orders().nodes.len());
        assert!(include_str!("../../../README.md").contains(&told), "{told}");
    }

    /// The emulator keeps no metric math, so nothing but this sees what the alarm adds up.
    #[test]
    fn executions_that_failed_timed_out_or_were_aborted_are_one_alarm() {
        let blueprint = orders();
        let path = ["alarms", "executions_failed"].map(str::to_owned);
        let desired = blueprint.node(&path).unwrap().part.desired();
        let queries = desired["metric_query"].as_array().unwrap();
        let machine = blueprint
            .node(&[MACHINE.to_owned()])
            .unwrap()
            .part
            .desired()["arn"]
            .clone();
        let mut counted = Vec::new();
        for query in &queries[1..] {
            let metric = &query["metric"];
            assert_eq!(metric["namespace"], "AWS/States");
            assert_eq!(metric["dimensions"], json!({"StateMachineArn": machine}));
            counted.push(metric["metric_name"].as_str().unwrap());
        }
        assert_eq!(
            counted,
            [
                "ExecutionsFailed",
                "ExecutionsTimedOut",
                "ExecutionsAborted"
            ]
        );
        let sum = "FILL(m1, 0) + FILL(m2, 0) + FILL(m3, 0)";
        assert_eq!(queries[0]["expression"], sum);
    }
}
