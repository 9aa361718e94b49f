//! What real AWS does in the seconds after a change, and an emulator does not.
//!
//! Facts and words are those of `hashicorp/terraform-provider-aws`, of AWS's API references, and of messages seen in the field.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_sqs::types::QueueAttributeName;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use super::call::{self, Recognised};
use super::lock;
use super::tag_index;
use super::wire::{Answer, To};
use crate::Aws;

/// One thing AWS does. Each can be played with a time of its own; they know of nothing that happened before they were begun, and
/// of nothing that does not go through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Play {
    /// A function is `Pending` for this long after its creation. Updates and invocations are refused meanwhile.
    FunctionPending(Duration),
    /// A function's `LastUpdateStatus` is `InProgress` for this long after an update. Updates and invocations are refused meanwhile.
    FunctionUpdating(Duration),
    /// An event source mapping is `Creating` and then `Enabling`, `Updating`, or `Deleting`, for this long each. It is in use
    /// meanwhile, and its place is taken until it is gone.
    MappingTransition(Duration),
    /// A state machine is `DELETING` as long as executions are running, and for this long after, and its name is taken.
    MachineDeleting(Duration),
    /// E-mail subscriptions stay `PendingConfirmation` until they are [confirmed](super::Proxy::confirm).
    EmailPending,
    /// A queue's name is blocked for this long after its deletion (on AWS: 60 s).
    QueueDeletedRecently(Duration),
    /// A queue is not to be found for this long after its creation, and shows its old attributes for this long after a change.
    StaleQueueAttributes(Duration),
    /// A bucket is not to be found for this long after its creation.
    BucketNotFound(Duration),
    /// A role cannot be used by Lambda and Step Functions for this long after its creation; what its policy allows is not known
    /// to them for this long after the policy was written; and for this long after any role's creation, policies of queues,
    /// topics, buckets and keys are refused for a principal that nobody knows.
    RolePropagation(Duration),
    /// A bucket's notifications cannot be validated for this long after a Lambda permission was added.
    DestinationValidation(Duration),
    /// A function reads a queue by one event source mapping and no more: a second one is refused.
    OneMapping,
    /// A function's log group that is deleted before its function comes back: there is always a last invocation.
    LateLogGroup,
    /// The index of tags holds every service's objects and not only those that the emulator's does. No part of a bad day.
    TagIndex,
}

impl Play {
    fn name(self) -> &'static str {
        match self {
            Self::FunctionPending(_) => "function pending",
            Self::FunctionUpdating(_) => "function updating",
            Self::MappingTransition(_) => "mapping in transition",
            Self::MachineDeleting(_) => "state machine deleting",
            Self::EmailPending => "e-mail pending",
            Self::QueueDeletedRecently(_) => "queue deleted recently",
            Self::StaleQueueAttributes(_) => "stale queue attributes",
            Self::BucketNotFound(_) => "bucket not found",
            Self::RolePropagation(_) => "role propagation",
            Self::DestinationValidation(_) => "destination validation",
            Self::OneMapping => "one mapping",
            Self::LateLogGroup => "late log group",
            Self::TagIndex => "tag index",
        }
    }

    fn time(self) -> Duration {
        match self {
            Self::FunctionPending(time)
            | Self::FunctionUpdating(time)
            | Self::MappingTransition(time)
            | Self::MachineDeleting(time)
            | Self::QueueDeletedRecently(time)
            | Self::StaleQueueAttributes(time)
            | Self::BucketNotFound(time)
            | Self::RolePropagation(time)
            | Self::DestinationValidation(time) => time,
            Self::EmailPending | Self::OneMapping | Self::LateLogGroup | Self::TagIndex => {
                Duration::MAX
            }
        }
    }

    /// All of them, each of `time`: AWS on a bad day.
    #[must_use]
    pub fn all(time: Duration) -> [Self; 12] {
        [
            Self::FunctionPending(time),
            Self::FunctionUpdating(time),
            Self::MappingTransition(time),
            Self::MachineDeleting(time),
            Self::EmailPending,
            Self::QueueDeletedRecently(time),
            Self::StaleQueueAttributes(time),
            Self::BucketNotFound(time),
            Self::RolePropagation(time),
            Self::DestinationValidation(time),
            Self::OneMapping,
            Self::LateLogGroup,
        ]
    }
}

/// The name of a play and the answer it gives.
type Given = Option<(&'static str, Answer)>;

/// The plays that are on.
pub(super) struct Plays {
    aws: Aws,
    scene: Mutex<Scene>,
}

impl fmt::Debug for Plays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plays").finish_non_exhaustive()
    }
}

/// What has happened so far.
#[derive(Default)]
struct Scene {
    on: Vec<Play>,
    /// What began when: function, mapping, queue and so on, by name.
    began: HashMap<(Event, String), Instant>,
    /// The last answer about a mapping or state machine that is being deleted, and a queue's attributes before the last change.
    shown: HashMap<(Event, String), Value>,
    /// The role of each function.
    roles: HashMap<String, String>,
    /// Pending subscriptions: ARN and endpoint.
    pending: HashMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Event {
    FunctionCreated,
    FunctionUpdated,
    MappingCreated,
    MappingUpdated,
    MappingDeleted,
    MachineDeleted,
    /// The state machine is to be deleted once its executions have ended.
    MachineHeld,
    QueueCreated,
    QueueChanged,
    QueueDeleted,
    BucketCreated,
    RoleCreated,
    PolicyWritten,
    PermissionAdded,
}

impl Scene {
    /// The time of the play of this name, if it is on.
    fn time(&self, like: Play) -> Option<Duration> {
        self.on
            .iter()
            .find(|play| play.name() == like.name())
            .map(|play| play.time())
    }

    fn begin(&mut self, event: Event, name: &str) {
        self.began.insert((event, name.to_owned()), Instant::now());
    }

    fn end(&mut self, event: Event, name: &str) {
        self.began.remove(&(event, name.to_owned()));
    }

    /// Whether the event was less than this time ago.
    fn fresh(&self, event: Event, name: &str, time: Option<Duration>) -> bool {
        let began = self.began.get(&(event, name.to_owned()));
        began
            .zip(time)
            .is_some_and(|(began, time)| began.elapsed() < time)
    }

    /// Whether the event was less than this time ago for anything.
    fn fresh_for_any(&self, event: Event, time: Option<Duration>) -> bool {
        let names = self.began.keys().filter(|key| key.0 == event);
        names.into_iter().any(|key| self.fresh(event, &key.1, time))
    }

    fn is_on(&self, like: Play) -> bool {
        self.time(like).is_some()
    }

    /// In which state a mapping is shown, if not in its own.
    fn mapping(&self, uuid: &str) -> Option<&'static str> {
        let time = self.time(MAPPING);
        if self.fresh(Event::MappingDeleted, uuid, time) {
            Some("Deleting")
        } else if self.fresh(Event::MappingCreated, uuid, time) {
            Some("Creating")
        } else if self.fresh(Event::MappingCreated, uuid, time.map(|time| time * 2)) {
            Some("Enabling")
        } else if self.fresh(Event::MappingUpdated, uuid, time) {
            Some("Updating")
        } else {
            None
        }
    }
}

// Plays without their time, to ask for them.
const PENDING: Play = Play::FunctionPending(Duration::ZERO);
const UPDATING: Play = Play::FunctionUpdating(Duration::ZERO);
const MAPPING: Play = Play::MappingTransition(Duration::ZERO);
const MACHINE: Play = Play::MachineDeleting(Duration::ZERO);
const RECENTLY: Play = Play::QueueDeletedRecently(Duration::ZERO);
const STALE: Play = Play::StaleQueueAttributes(Duration::ZERO);
const BUCKET: Play = Play::BucketNotFound(Duration::ZERO);
const ROLE: Play = Play::RolePropagation(Duration::ZERO);
const DESTINATION: Play = Play::DestinationValidation(Duration::ZERO);

impl Plays {
    pub(super) fn new(aws: Aws) -> Self {
        Self {
            aws,
            scene: Mutex::default(),
        }
    }

    pub(super) fn start(&self, play: Play) {
        let mut scene = lock(&self.scene);
        scene.on.retain(|on| on.name() != play.name());
        scene.on.push(play);
    }

    pub(super) fn stop(&self) {
        *lock(&self.scene) = Scene::default();
    }

    pub(super) fn confirm(&self, endpoint: &str) {
        lock(&self.scene)
            .pending
            .retain(|_, pending| pending != endpoint);
    }

    /// What is answered instead of asking AWS, and what has to be known before AWS is asked.
    pub(super) async fn before(&self, call: &Recognised, body: &Bytes, to: &To<'_>) -> Given {
        if lock(&self.scene).on.is_empty() {
            return None;
        }
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let (service, operation) = call.operation.split_once(':')?;
        match service {
            "lambda" => match self.lambda(operation, &call.object, &request, to) {
                None if operation == "CreateEventSourceMapping" => {
                    self.second_mapping(&call.object, &request, to).await
                }
                given => given,
            },
            "states" => self.machine(operation, &call.object, &request, to).await,
            "sqs" => self.queue(operation, &call.object, &request, to).await,
            "s3" => self.bucket(operation, &call.object, to),
            "tag" if operation == "GetResources" && lock(&self.scene).is_on(Play::TagIndex) => {
                Some((
                    Play::TagIndex.name(),
                    tag_index::resources(&self.aws, &request).await,
                ))
            }
            "kms" if matches!(operation, "CreateKey" | "PutKeyPolicy") => {
                let text = "Policy contains a statement with one or more invalid principals.";
                self.unknown_principal(to.error(400, "MalformedPolicyDocumentException", text))
            }
            "sns" => {
                let sets_policy = match operation {
                    "SetTopicAttributes" => {
                        call::form(body, "AttributeName").as_deref() == Some("Policy")
                    }
                    "CreateTopic" => String::from_utf8_lossy(body).contains(".key=Policy&"),
                    _ => false,
                };
                let scene = lock(&self.scene);
                if operation == "Unsubscribe"
                    && scene
                        .pending
                        .contains_key(&call::form(body, "SubscriptionArn")?)
                {
                    let text = "Invalid parameter: SubscriptionArn Reason: Cannot unsubscribe a subscription that is pending confirmation";
                    return Some((
                        Play::EmailPending.name(),
                        to.error(400, "InvalidParameter", text),
                    ));
                }
                drop(scene);
                let text = "Invalid parameter: Policy Error: PrincipalNotFound";
                sets_policy
                    .then(|| self.unknown_principal(to.error(400, "InvalidParameter", text)))?
            }
            _ => None,
        }
    }

    /// Policies are refused as long as a role was created just now.
    fn unknown_principal(&self, answer: Answer) -> Given {
        let scene = lock(&self.scene);
        scene
            .fresh_for_any(Event::RoleCreated, scene.time(ROLE))
            .then(|| (ROLE.name(), answer))
    }

    fn lambda(&self, operation: &str, object: &str, request: &Value, to: &To<'_>) -> Given {
        const IN_USE: &str = "because it is in use.";
        let scene = lock(&self.scene);
        let parameter = |text: &str| {
            Some((
                ROLE.name(),
                to.error(400, "InvalidParameterValueException", text),
            ))
        };
        match operation {
            "UpdateFunctionCode" | "UpdateFunctionConfiguration" | "Invoke" | "PublishVersion" => {
                if scene.fresh(Event::FunctionCreated, object, scene.time(PENDING)) {
                    let text = "The operation cannot be performed at this time. The function is currently in the following state: Pending";
                    return Some((
                        PENDING.name(),
                        to.error(409, "ResourceConflictException", text),
                    ));
                }
                if scene.fresh(Event::FunctionUpdated, object, scene.time(UPDATING)) {
                    let text = format!(
                        "The operation cannot be performed at this time. An update is in progress for resource: {object}"
                    );
                    return Some((
                        UPDATING.name(),
                        to.error(409, "ResourceConflictException", &text),
                    ));
                }
            }
            "UpdateEventSourceMapping" | "DeleteEventSourceMapping" => {
                let verb = if operation.starts_with("Update") {
                    "update"
                } else {
                    "delete"
                };
                if scene.mapping(object).is_some() {
                    let text = format!("Cannot {verb} the event source mapping {IN_USE}");
                    return Some((
                        MAPPING.name(),
                        to.error(400, "ResourceInUseException", &text),
                    ));
                }
            }
            "GetEventSourceMapping"
                if scene.fresh(Event::MappingDeleted, object, scene.time(MAPPING)) =>
            {
                let shown = scene
                    .shown
                    .get(&(Event::MappingDeleted, object.to_owned()))?;
                return Some((MAPPING.name(), Answer::json(200, shown)));
            }
            "CreateEventSourceMapping" => {
                let source = request["EventSourceArn"].as_str().unwrap_or_default();
                let other = scene.shown.iter().find(|((event, uuid), shown)| {
                    *event == Event::MappingDeleted
                        && shown["EventSourceArn"] == source
                        && scene.fresh(*event, uuid, scene.time(MAPPING))
                });
                if let Some(((_, uuid), _)) = other {
                    return Some((MAPPING.name(), taken(to, source, object, uuid)));
                }
            }
            _ => {}
        }
        let role = match operation {
            "CreateFunction" | "UpdateFunctionConfiguration" => request["Role"]
                .as_str()
                .and_then(|arn| arn.rsplit('/').next())
                .map(str::to_owned),
            "CreateEventSourceMapping" => scene.roles.get(object).cloned(),
            _ => None,
        }?;
        let time = scene.time(ROLE);
        if operation == "CreateEventSourceMapping" {
            if scene.fresh(Event::PolicyWritten, &role, time) {
                return parameter(
                    "The function execution role does not have permissions to call ReceiveMessage on SQS",
                );
            }
        } else if scene.fresh(Event::RoleCreated, &role, time) {
            return parameter("The role defined for the function cannot be assumed by Lambda.");
        }
        None
    }

    async fn second_mapping(&self, function: &str, request: &Value, to: &To<'_>) -> Given {
        if !lock(&self.scene).is_on(Play::OneMapping) {
            return None;
        }
        let source = request["EventSourceArn"].as_str()?;
        let list = self
            .aws
            .lambda
            .list_event_source_mappings()
            .function_name(function)
            .event_source_arn(source);
        let found = list.send().await.ok()?;
        let uuid = found.event_source_mappings().first()?.uuid()?;
        Some((Play::OneMapping.name(), taken(to, source, function, uuid)))
    }

    /// Whether executions of a state machine are running.
    async fn is_busy(&self, arn: &str) -> bool {
        let list = self.aws.sfn.list_executions().state_machine_arn(arn);
        let list = list.status_filter(ExecutionStatus::Running).send().await;
        list.is_ok_and(|list| !list.executions().is_empty())
    }

    /// A state machine that is to be deleted, as it is shown; it is deleted once none of its executions is running.
    async fn held(&self, object: &str) -> Option<Value> {
        let key = (Event::MachineHeld, object.to_owned());
        let shown = lock(&self.scene).shown.get(&key).cloned()?;
        let arn = shown["stateMachineArn"].as_str()?;
        if self.is_busy(arn).await {
            return Some(shown);
        }
        let delete = self.aws.sfn.delete_state_machine().state_machine_arn(arn);
        delete.send().await.ok()?;
        let mut scene = lock(&self.scene);
        scene.shown.remove(&key);
        scene.begin(Event::MachineDeleted, object);
        scene
            .shown
            .insert((Event::MachineDeleted, object.to_owned()), shown);
        None
    }

    async fn machine(&self, operation: &str, object: &str, request: &Value, to: &To<'_>) -> Given {
        let held = self.held(object).await;
        let deleting = held.or_else(|| {
            let scene = lock(&self.scene);
            scene
                .fresh(Event::MachineDeleted, object, scene.time(MACHINE))
                .then(|| {
                    scene
                        .shown
                        .get(&(Event::MachineDeleted, object.to_owned()))
                        .cloned()
                        .unwrap_or_default()
                })
        });
        match (operation, deleting) {
            ("DescribeStateMachine", Some(shown)) => {
                Some((MACHINE.name(), Answer::json(200, &shown)))
            }
            ("DeleteStateMachine", Some(_)) => {
                Some((MACHINE.name(), Answer::json(200, &json!({}))))
            }
            ("CreateStateMachine" | "UpdateStateMachine" | "StartExecution", Some(shown)) => {
                let text = format!(
                    "State Machine is being deleted: '{}'",
                    shown["stateMachineArn"].as_str().unwrap_or(object)
                );
                Some((MACHINE.name(), to.error(400, "StateMachineDeleting", &text)))
            }
            ("DeleteStateMachine", None) => {
                if lock(&self.scene).is_on(MACHINE) {
                    let arn = request["stateMachineArn"].as_str()?;
                    let found = self
                        .aws
                        .sfn
                        .describe_state_machine()
                        .state_machine_arn(arn)
                        .send()
                        .await
                        .ok()?;
                    let shown = json!({
                        "stateMachineArn": arn,
                        "name": found.name(),
                        "status": "DELETING",
                        "type": found.r#type().as_str(),
                        "roleArn": found.role_arn(),
                        "definition": found.definition(),
                        "creationDate": found.creation_date().as_secs_f64(),
                    });
                    let busy = self.is_busy(arn).await;
                    let event = if busy {
                        Event::MachineHeld
                    } else {
                        Event::MachineDeleted
                    };
                    let mut scene = lock(&self.scene);
                    scene.shown.insert((event, object.to_owned()), shown);
                    if busy {
                        return Some((MACHINE.name(), Answer::json(200, &json!({}))));
                    }
                }
                None
            }
            ("CreateStateMachine" | "UpdateStateMachine", None) => {
                let role = request["roleArn"].as_str()?.rsplit('/').next()?;
                let scene = lock(&self.scene);
                let time = scene.time(ROLE);
                let text = if scene.fresh(Event::RoleCreated, role, time) {
                    "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the \
                     provided role."
                } else if scene.fresh(Event::PolicyWritten, role, time) {
                    "The state machine IAM Role is not authorized to access the Log Destination"
                } else {
                    return None;
                };
                Some((ROLE.name(), to.error(400, "AccessDeniedException", text)))
            }
            _ => None,
        }
    }

    async fn queue(&self, operation: &str, object: &str, request: &Value, to: &To<'_>) -> Given {
        if operation == "CreateQueue" {
            let scene = lock(&self.scene);
            if scene.fresh(Event::QueueDeleted, object, scene.time(RECENTLY)) {
                let code = "AWS.SimpleQueueService.QueueDeletedRecently";
                let text = "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
                return Some((RECENTLY.name(), to.error(400, code, text)));
            }
        }
        let sets_policy = request["Attributes"].get("Policy").is_some();
        if matches!(operation, "CreateQueue" | "SetQueueAttributes") && sets_policy {
            let text = "Invalid value for the parameter Policy.";
            let refused = self.unknown_principal(to.error(400, "InvalidAttributeValue", text));
            if refused.is_some() {
                return refused;
            }
        }
        let stale = lock(&self.scene).is_on(STALE);
        match operation {
            "CreateQueue" if stale => {
                let known = self
                    .aws
                    .sqs
                    .get_queue_url()
                    .queue_name(object)
                    .send()
                    .await
                    .is_ok();
                if !known {
                    lock(&self.scene).begin(Event::QueueCreated, object);
                }
                None
            }
            "SetQueueAttributes" if stale => {
                let url = request["QueueUrl"].as_str()?;
                let all = self
                    .aws
                    .sqs
                    .get_queue_attributes()
                    .queue_url(url)
                    .attribute_names(QueueAttributeName::All);
                let answer = all.send().await.ok()?;
                let attributes = answer.attributes().into_iter().flatten();
                let shown: Map<String, Value> = attributes
                    .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
                    .collect();
                let mut scene = lock(&self.scene);
                // A second change at once hides the first one, too.
                if !scene.fresh(Event::QueueChanged, object, scene.time(STALE)) {
                    scene.shown.insert(
                        (Event::QueueChanged, object.to_owned()),
                        Value::Object(shown),
                    );
                }
                None
            }
            "GetQueueUrl" | "GetQueueAttributes" | "ListQueueTags" => {
                let scene = lock(&self.scene);
                let time = scene.time(STALE);
                if scene.fresh(Event::QueueCreated, object, time) {
                    let code = "AWS.SimpleQueueService.NonExistentQueue";
                    let text = "The specified queue does not exist.";
                    return Some((STALE.name(), to.error(400, code, text)));
                }
                if operation == "GetQueueAttributes"
                    && scene.fresh(Event::QueueChanged, object, time)
                {
                    let shown = scene.shown.get(&(Event::QueueChanged, object.to_owned()))?;
                    let wanted: Vec<&str> = request["AttributeNames"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .collect();
                    let wanted = |name: &str| wanted.contains(&"All") || wanted.contains(&name);
                    let shown: Map<String, Value> = shown
                        .as_object()
                        .into_iter()
                        .flatten()
                        .filter(|(name, _)| wanted(name))
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect();
                    return Some((
                        STALE.name(),
                        Answer::json(200, &json!({"Attributes": shown})),
                    ));
                }
                None
            }
            _ => None,
        }
    }

    fn bucket(&self, operation: &str, object: &str, to: &To<'_>) -> Given {
        let bucket = object.split('/').next().unwrap_or_default();
        let scene = lock(&self.scene);
        if operation != "CreateBucket"
            && scene.fresh(Event::BucketCreated, bucket, scene.time(BUCKET))
        {
            return Some((
                BUCKET.name(),
                to.error(404, "NoSuchBucket", "The specified bucket does not exist"),
            ));
        }
        if operation == "PutBucketNotificationConfiguration"
            && scene.fresh_for_any(Event::PermissionAdded, scene.time(DESTINATION))
        {
            let text = "Unable to validate the following destination configurations";
            return Some((DESTINATION.name(), to.error(400, "InvalidArgument", text)));
        }
        drop(scene);
        if operation == "PutBucketPolicy" {
            return self.unknown_principal(to.error(
                400,
                "MalformedPolicy",
                "Invalid principal in policy",
            ));
        }
        None
    }

    /// What AWS's answer begins, and how it is told. The name of the play that changed the answer.
    pub(super) async fn after(
        &self,
        call: &Recognised,
        body: &Bytes,
        answer: &mut Answer,
    ) -> Option<&'static str> {
        if lock(&self.scene).on.is_empty() || !answer.success() {
            if call.operation == "sqs:CreateQueue" {
                lock(&self.scene).end(Event::QueueCreated, &call.object);
            }
            return None;
        }
        let object = call.object.as_str();
        let (service, operation) = call.operation.split_once(':')?;
        if service == "logs" {
            return self.late_log_group(operation, object).await;
        }
        let mut scene = lock(&self.scene);
        match (service, operation) {
            ("lambda", _) => return told_of_functions(&mut scene, operation, object, answer),
            ("states", "DeleteStateMachine") => scene.begin(Event::MachineDeleted, object),
            ("sqs", "DeleteQueue") => scene.begin(Event::QueueDeleted, object),
            ("sqs", "SetQueueAttributes") => scene.begin(Event::QueueChanged, object),
            ("s3", "CreateBucket") => scene.begin(Event::BucketCreated, object),
            ("s3", "DeleteBucket") => scene.end(Event::BucketCreated, object),
            ("iam", "CreateRole") => scene.begin(Event::RoleCreated, object),
            ("iam", "PutRolePolicy") => scene.begin(Event::PolicyWritten, object),
            ("sns", _) if scene.is_on(Play::EmailPending) => {
                return told_of_subscriptions(&mut scene, operation, body, answer);
            }
            _ => {}
        }
        None
    }

    async fn late_log_group(&self, operation: &str, object: &str) -> Option<&'static str> {
        let function = object.strip_prefix("/aws/lambda/")?;
        if operation != "DeleteLogGroup" || !lock(&self.scene).is_on(Play::LateLogGroup) {
            return None;
        }
        self.aws
            .lambda
            .get_function()
            .function_name(function)
            .send()
            .await
            .ok()?;
        self.aws
            .logs
            .create_log_group()
            .log_group_name(object)
            .send()
            .await
            .ok()?;
        Some(Play::LateLogGroup.name())
    }
}

/// A mapping's place is taken.
fn taken(to: &To<'_>, source: &str, function: &str, uuid: &str) -> Answer {
    let text = format!(
        "An event source mapping with SQS arn (\" {source} \") and function (\" {function} \") already exists. \
         Please update or delete the existing mapping with UUID {uuid}"
    );
    to.error(409, "ResourceConflictException", &text)
}

fn told_of_functions(
    scene: &mut Scene,
    operation: &str,
    object: &str,
    answer: &mut Answer,
) -> Option<&'static str> {
    let mut value = answer.value();
    match operation {
        "CreateFunction" => {
            scene.begin(Event::FunctionCreated, object);
            let role = value["Role"]
                .as_str()
                .and_then(|arn| arn.rsplit('/').next())
                .unwrap_or_default()
                .to_owned();
            scene.roles.insert(object.to_owned(), role);
        }
        "UpdateFunctionCode" | "UpdateFunctionConfiguration" => {
            scene.begin(Event::FunctionUpdated, object);
        }
        "DeleteFunction" => {
            scene.end(Event::FunctionCreated, object);
            scene.end(Event::FunctionUpdated, object);
        }
        "AddPermission" => scene.begin(Event::PermissionAdded, object),
        _ => {}
    }
    let uuid = value["UUID"].as_str().unwrap_or_default().to_owned();
    match operation {
        "CreateEventSourceMapping" => scene.begin(Event::MappingCreated, &uuid),
        "UpdateEventSourceMapping" => scene.begin(Event::MappingUpdated, &uuid),
        "DeleteEventSourceMapping" => {
            scene.begin(Event::MappingDeleted, &uuid);
            value["State"] = json!("Deleting");
            scene
                .shown
                .insert((Event::MappingDeleted, uuid.clone()), value.clone());
        }
        _ => {}
    }
    if operation == "ListEventSourceMappings" {
        let deleting: Vec<Value> = scene
            .shown
            .iter()
            .filter(|((event, uuid), shown)| {
                let function = shown["FunctionArn"].as_str().unwrap_or_default();
                scene.fresh(*event, uuid, scene.time(MAPPING))
                    && *event == Event::MappingDeleted
                    && (function.ends_with(object)
                        || shown["EventSourceArn"]
                            .as_str()
                            .is_some_and(|arn| arn.ends_with(object)))
            })
            .map(|(_, shown)| shown.clone())
            .collect();
        let all = value["EventSourceMappings"].as_array_mut()?;
        let mut changed = !deleting.is_empty();
        for mapping in all.iter_mut() {
            let state = scene.mapping(mapping["UUID"].as_str().unwrap_or_default());
            if let Some(state) = state {
                mapping["State"] = json!(state);
                changed = true;
            }
        }
        all.extend(deleting);
        answer.replace(&value);
        return changed.then(|| MAPPING.name());
    }
    if let Some(state) = scene.mapping(&uuid) {
        value["State"] = json!(state);
        answer.replace(&value);
        return Some(MAPPING.name());
    }
    let function = if value["Configuration"].is_object() {
        &mut value["Configuration"]
    } else {
        &mut value
    };
    if function["FunctionName"].as_str() != Some(object) || !function["FunctionArn"].is_string() {
        return None;
    }
    if scene.fresh(Event::FunctionCreated, object, scene.time(PENDING)) {
        function["State"] = json!("Pending");
        function["StateReason"] = json!("The function is being created.");
        function["StateReasonCode"] = json!("Creating");
        function["LastUpdateStatus"] = Value::Null;
        answer.replace(&value);
        return Some(PENDING.name());
    }
    if scene.fresh(Event::FunctionUpdated, object, scene.time(UPDATING)) {
        function["LastUpdateStatus"] = json!("InProgress");
        function["LastUpdateStatusReason"] = json!("The function is being created.");
        function["LastUpdateStatusReasonCode"] = json!("Creating");
        answer.replace(&value);
        return Some(UPDATING.name());
    }
    None
}

fn told_of_subscriptions(
    scene: &mut Scene,
    operation: &str,
    body: &[u8],
    answer: &mut Answer,
) -> Option<&'static str> {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let mut told = text.clone();
    match operation {
        "Subscribe" => {
            let arn = text
                .split_once("<SubscriptionArn>")?
                .1
                .split_once("</SubscriptionArn>")?
                .0;
            if !call::form(body, "Protocol")?.starts_with("email") {
                return None;
            }
            let endpoint = call::form(body, "Endpoint")?;
            scene.pending.entry(arn.to_owned()).or_insert(endpoint);
            if call::form(body, "ReturnSubscriptionArn").as_deref() != Some("true") {
                told = text.replace(arn, "pending confirmation");
            }
        }
        "ListSubscriptions" | "ListSubscriptionsByTopic" => {
            for arn in scene.pending.keys() {
                told = told.replace(
                    &format!("<SubscriptionArn>{arn}</SubscriptionArn>"),
                    "<SubscriptionArn>PendingConfirmation</SubscriptionArn>",
                );
            }
        }
        "GetSubscriptionAttributes"
            if scene
                .pending
                .contains_key(&call::form(body, "SubscriptionArn")?) =>
        {
            let says =
                |value: &str| format!("<key>PendingConfirmation</key><value>{value}</value>");
            told = told.replace(&says("false"), &says("true"));
        }
        _ => return None,
    }
    let changed = told != text;
    answer.body = told.into();
    changed.then(|| Play::EmailPending.name())
}
