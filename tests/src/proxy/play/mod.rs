//! What real AWS does in the seconds after a change, and an emulator does not.
//!
//! Facts and words are those of `hashicorp/terraform-provider-aws`, of AWS's API references, and of messages seen in the field.

mod lambda;
mod sns;
mod sqs;
mod states;

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde_json::Value;

use super::call::{self, Recognised};
use super::lock;
use super::tag_index;
use super::wire::{Answer, To};
use crate::Aws;

use lambda::told_of_functions;
use sns::told_of_subscriptions;

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
