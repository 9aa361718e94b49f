//! What AWS answers in the seconds after a change, row by row: the real parts, on the real SDK, over a connector that answers as AWS does.
//!
//! Each failure the table repeats is answered one and three times before success, and for ever; each that only looks like one is answered
//! once. The clock is tokio's and stands still but for the provider's own pauses, so that minutes pass in no time.
//!
//! Of what is known of AWS's behaviour these have no row, since they do not concern a call of ours or are no failure of a call:
//!
//! | what | why there is no row |
//! |---|---|
//! | IAM `GetRole` not found or with a unique id after create | a role is not read back; its ARN follows from its name |
//! | IAM `AttachRolePolicy`, users, instance profiles made anew | not called; roles have one inline policy |
//! | Lambda `GetFunction` not found, `Pending`, `InProgress` | polled: `Function::ready` |
//! | Lambda `PublishVersion`, `PutRuntimeManagementConfig`, `DeleteFunction` of a replica | not called |
//! | Lambda mapping `Creating` … `Deleting` | polled: `EventSource::settled` |
//! | SQS attributes not equal yet, queue absent for a moment | polled: `Queue::shows`, `Queue::read`; the latter is tested below |
//! | SQS `OverLimit`, KMS behind `SendMessage` | of messages, which the provider does not send |
//! | SNS subscription not found yet, `PendingConfirmation` | polled: `Subscription::create` |
//! | SNS feedback roles; S3 versioning, ACLs, logging, CORS, object lock, replication; KMS grants | not set |
//! | S3 `BucketNotEmpty`, `HeadBucket` after delete | looked after by `Bucket::delete` |
//! | Step Functions `DELETING`, old definition after an update | polled: `StateMachine::delete`; running executions keep theirs |
//! | KMS state, policy, tags equal N times | what is written is remembered, not read back, in the run that wrote it |
//! | `LimitExceededException`, in the SDK's own list of throttles | of KMS and `CloudWatch` Logs it is a quota |
//! | `ProvisionedThroughputExceededException`, `TransactionInProgressException` | of DynamoDB and Kinesis |

mod scripted;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use scripted::scenes::{self, Scene};
use scripted::{Counts, Fault, Reply, Script, TIME_OUT, aws};
use serde_json::json;
use terraform_provider_bellflower::engine::retry::{Class, classify};
use terraform_provider_bellflower::engine::{
    Attributes, Changes, Failure, Found, Owner, Part as _,
};
use terraform_provider_bellflower::parts::consistency::{
    BUSY, IAM_PROPAGATION, IN_DOUBT, KEY_TAGS, NAME_COOLDOWN, QUEUE_COOLDOWN, READ_AFTER_WRITE,
    SERVER, TABLE, THROTTLE,
};
use terraform_provider_bellflower::parts::execution;
use tokio::time::Instant;

/// Operation, code, message as AWS says it, HTTP status, class.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    u16,
    &'static Class,
);

static ROWS: &[Row] = &[
    // Throttles, by each service's own code.
    (
        "cloudwatch:PutMetricAlarm",
        "Throttling",
        "Rate exceeded",
        400,
        &THROTTLE,
    ),
    (
        "cloudwatch:DescribeAlarms",
        "ThrottlingException",
        "Rate exceeded",
        400,
        &THROTTLE,
    ),
    (
        "iam:CreateRole",
        "Throttling",
        "Rate exceeded",
        400,
        &THROTTLE,
    ),
    (
        "kms:CreateKey",
        "ThrottlingException",
        "You have exceeded the rate at which you may call KMS.",
        400,
        &THROTTLE,
    ),
    (
        "kms:DescribeKey",
        "LimitExceededException",
        "Rate exceeded",
        400,
        &THROTTLE,
    ),
    (
        "lambda:CreateFunction",
        "TooManyRequestsException",
        "Rate exceeded",
        429,
        &THROTTLE,
    ),
    (
        "lambda:CreateFunction",
        "EC2ThrottledException",
        "Lambda was throttled by EC2.",
        502,
        &THROTTLE,
    ),
    (
        "lambda:CreateFunction",
        "InvalidParameterValueException",
        "Lambda was not able to set up the function: your request has been throttled by EC2, please make sure you have enough API rate limit.",
        400,
        &THROTTLE,
    ),
    (
        "lambda:GetPolicy",
        "SomethingNew",
        "Slower, please.",
        429,
        &THROTTLE,
    ),
    (
        "logs:CreateLogGroup",
        "ThrottlingException",
        "Rate exceeded",
        400,
        &THROTTLE,
    ),
    (
        "s3:CreateBucket",
        "SlowDown",
        "Please reduce your request rate.",
        503,
        &THROTTLE,
    ),
    (
        "s3:PutObject",
        "KMS.ThrottlingException",
        "You have exceeded the rate at which you may call KMS.",
        400,
        &THROTTLE,
    ),
    (
        "s3:PutBucketPolicy",
        "BandwidthLimitExceeded",
        "Bandwidth limit exceeded.",
        503,
        &THROTTLE,
    ),
    (
        "sns:CreateTopic",
        "Throttled",
        "Rate exceeded",
        429,
        &THROTTLE,
    ),
    (
        "sns:CreateTopic",
        "KMSThrottling",
        "The request was denied due to request throttling.",
        400,
        &THROTTLE,
    ),
    (
        "sqs:CreateQueue",
        "RequestThrottled",
        "Request is throttled.",
        403,
        &THROTTLE,
    ),
    (
        "sqs:SetQueueAttributes",
        "RequestThrottledException",
        "Request is throttled.",
        400,
        &THROTTLE,
    ),
    (
        "sqs:TagQueue",
        "ThrottledException",
        "Request is throttled.",
        400,
        &THROTTLE,
    ),
    (
        "states:CreateStateMachine",
        "ThrottlingException",
        "Rate exceeded",
        400,
        &THROTTLE,
    ),
    (
        "states:CreateStateMachine",
        "KmsThrottlingException",
        "Received when KMS returns ThrottlingException for a KMS call.",
        400,
        &THROTTLE,
    ),
    (
        "iam:PutRolePolicy",
        "RequestLimitExceeded",
        "Request limit exceeded.",
        400,
        &THROTTLE,
    ),
    (
        "iam:TagRole",
        "PriorRequestNotComplete",
        "The prior request is not complete.",
        400,
        &THROTTLE,
    ),
    // Servers that fail.
    (
        "sqs:SetQueueAttributes",
        "InternalFailure",
        "",
        500,
        &SERVER,
    ),
    (
        "lambda:CreateFunction",
        "ServiceException",
        "An error occurred and the request cannot be processed.",
        500,
        &SERVER,
    ),
    (
        "iam:CreateRole",
        "ServiceFailure",
        "The request processing has failed because of an unknown error.",
        500,
        &SERVER,
    ),
    (
        "s3:CreateBucket",
        "InternalError",
        "We encountered an internal error. Please try again.",
        500,
        &SERVER,
    ),
    (
        "s3:PutObject",
        "ServiceUnavailable",
        "Service is unable to handle request.",
        503,
        &SERVER,
    ),
    (
        "s3:PutObject",
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout period.",
        400,
        &SERVER,
    ),
    (
        "sqs:CreateQueue",
        "RequestTimeoutException",
        "The request timed out.",
        400,
        &SERVER,
    ),
    (
        "cloudwatch:PutMetricAlarm",
        "InternalServiceFault",
        "Request processing has failed due to some unknown error.",
        500,
        &SERVER,
    ),
    ("states:CreateStateMachine", "BadGateway", "", 502, &SERVER),
    ("sns:CreateTopic", "GatewayTimeout", "", 504, &SERVER),
    (
        "kms:CreateKey",
        "DependencyTimeoutException",
        "The system timed out while trying to fulfill the request.",
        500,
        &IN_DOUBT,
    ),
    ("kms:CreateKey", "InternalFailure", "", 500, &IN_DOUBT),
    ("kms:CreateKey", "BadGateway", "", 502, &IN_DOUBT),
    ("kms:CreateKey", "ServiceUnavailable", "", 503, &IN_DOUBT),
    ("kms:CreateKey", "GatewayTimeout", "", 504, &IN_DOUBT),
    (
        "kms:CreateKey",
        "KMSInternalException",
        "The request was rejected because an internal exception occurred.",
        400,
        &IN_DOUBT,
    ),
    (
        "kms:PutKeyPolicy",
        "DependencyTimeoutException",
        "The system timed out while trying to fulfill the request.",
        400,
        &SERVER,
    ),
    (
        "kms:EnableKeyRotation",
        "KMSInternalException",
        "The request was rejected because an internal exception occurred.",
        400,
        &SERVER,
    ),
    // IAM
    (
        "iam:CreateRole",
        "MalformedPolicyDocument",
        "Invalid principal in policy: \"AWS\":\"arn:aws:iam::123456789012:role/new\"",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "iam:UpdateAssumeRolePolicy",
        "MalformedPolicyDocument",
        "Invalid principal in policy: \"AWS\":\"arn:aws:iam::123456789012:role/new\"",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "iam:CreateRole",
        "ConcurrentModification",
        "Request was rejected due to multiple concurrent modifications of the role.",
        409,
        &BUSY,
    ),
    (
        "iam:PutRolePolicy",
        "EntityTemporarilyUnmodifiable",
        "The entity is temporarily unmodifiable. Try again later.",
        409,
        &BUSY,
    ),
    (
        "iam:DeleteRole",
        "DeleteConflict",
        "Cannot delete entity, must detach all policies first.",
        409,
        &BUSY,
    ),
    (
        "iam:PutRolePolicy",
        "NoSuchEntity",
        "The role with name orders cannot be found.",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "iam:TagRole",
        "NoSuchEntity",
        "The role with name orders cannot be found.",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "iam:UntagRole",
        "NoSuchEntity",
        "The role with name orders cannot be found.",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "iam:UpdateRole",
        "NoSuchEntity",
        "The role with name orders cannot be found.",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "iam:UpdateAssumeRolePolicy",
        "NoSuchEntity",
        "The role with name orders cannot be found.",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "iam:PutRolePermissionsBoundary",
        "NoSuchEntity",
        "The role with name orders cannot be found.",
        404,
        &READ_AFTER_WRITE,
    ),
    // Lambda
    (
        "lambda:CreateFunction",
        "InvalidParameterValueException",
        "The role defined for the function cannot be assumed by Lambda.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:UpdateFunctionConfiguration",
        "InvalidParameterValueException",
        "The role defined for the function cannot be assumed by Lambda.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:UpdateFunctionCode",
        "InvalidParameterValueException",
        "The role defined for the function cannot be assumed by Lambda.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:CreateFunction",
        "InvalidParameterValueException",
        "The provided execution role does not have permissions to call SendMessage on SQS",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:CreateFunction",
        "InvalidParameterValueException",
        "Lambda was unable to configure access to your environment variables because the KMS key is invalid for CreateGrant. Please check your \
         KMS key settings. KMS Exception: InvalidArnException",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:UpdateFunctionConfiguration",
        "InvalidParameterValueException",
        "Lambda was unable to configure access to your environment variables because the KMS key is invalid for CreateGrant.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:UpdateFunctionConfiguration",
        "ResourceConflictException",
        "The operation cannot be performed at this time. An update is in progress for resource: arn:aws:lambda:eu-west-1:123456789012:function:f",
        409,
        &BUSY,
    ),
    (
        "lambda:UpdateFunctionCode",
        "ResourceConflictException",
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
        409,
        &BUSY,
    ),
    (
        "lambda:PutFunctionConcurrency",
        "InvalidParameterValueException",
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
        400,
        &BUSY,
    ),
    (
        "lambda:AddPermission",
        "ResourceConflictException",
        "The resource could not be changed because of a concurrent update operation.",
        409,
        &BUSY,
    ),
    (
        "lambda:AddPermission",
        "ResourceNotFoundException",
        "Function not found: arn:aws:lambda:eu-west-1:123456789012:function:f",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "lambda:PutFunctionEventInvokeConfig",
        "InvalidParameterValueException",
        "The function's execution role does not have permissions to call SendMessage on arn:aws:sqs:eu-west-1:123456789012:d",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:PutFunctionEventInvokeConfig",
        "InvalidParameterValueException",
        "The destination ARN arn:aws:sqs:eu-west-1:123456789012:d is invalid.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:PutFunctionEventInvokeConfig",
        "ResourceConflictException",
        "The function could not be updated due to a concurrent update operation.",
        409,
        &BUSY,
    ),
    (
        "lambda:PutFunctionEventInvokeConfig",
        "ResourceNotFoundException",
        "The function arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST doesn't exist.",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "lambda:CreateEventSourceMapping",
        "InvalidParameterValueException",
        "The provided execution role does not have permissions to call ReceiveMessage on SQS",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:UpdateEventSourceMapping",
        "InvalidParameterValueException",
        "The provided execution role does not have permissions to call ReceiveMessage on SQS",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:CreateEventSourceMapping",
        "InvalidParameterValueException",
        "The role defined for the function cannot be assumed by Lambda.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:CreateEventSourceMapping",
        "InvalidParameterValueException",
        "Cannot access stream. Please ensure the role can perform the GetRecords action on your stream in IAM.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "lambda:DeleteEventSourceMapping",
        "ResourceInUseException",
        "Cannot update the event source mapping because it is in use.",
        400,
        &BUSY,
    ),
    (
        "lambda:UpdateEventSourceMapping",
        "ResourceInUseException",
        "Cannot update the event source mapping because it is in use.",
        400,
        &BUSY,
    ),
    // SQS
    (
        "sqs:CreateQueue",
        "AWS.SimpleQueueService.QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        400,
        &QUEUE_COOLDOWN,
    ),
    (
        "sqs:CreateQueue",
        "InvalidAttributeValue",
        "Invalid value for the parameter Policy.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "sqs:SetQueueAttributes",
        "InvalidAttributeValue",
        "Invalid value for the parameter Policy.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "sqs:SetQueueAttributes",
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist.",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "sqs:TagQueue",
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist.",
        400,
        &READ_AFTER_WRITE,
    ),
    // SNS
    (
        "sns:SetTopicAttributes",
        "InvalidParameter",
        "Invalid parameter: Policy Error: PrincipalNotFound",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "sns:CreateTopic",
        "InvalidParameter",
        "Invalid parameter: Policy Error: PrincipalNotFound",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "sns:CreateTopic",
        "InvalidParameterException",
        "Invalid parameter: Policy statement: Invalid principal",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "sns:SetTopicAttributes",
        "AuthorizationError",
        "User: arn:aws:sts::123456789012:assumed-role/ci/s is not authorized to perform: SNS:SetTopicAttributes on resource: \
         arn:aws:sns:eu-west-1:123456789012:t",
        403,
        &IAM_PROPAGATION,
    ),
    (
        "sns:SetTopicAttributes",
        "AuthorizationErrorException",
        "Refused because no identity-based policy allows the SNS:SetTopicAttributes action",
        403,
        &IAM_PROPAGATION,
    ),
    (
        "sns:Subscribe",
        "NotFound",
        "Topic does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "sns:SetSubscriptionAttributes",
        "NotFoundException",
        "Subscription does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "sns:TagResource",
        "ConcurrentAccess",
        "Can't perform multiple operations on a tag simultaneously. Perform the operations sequentially.",
        400,
        &BUSY,
    ),
    (
        "sns:UntagResource",
        "ConcurrentAccessException",
        "Can't perform multiple operations on a tag simultaneously. Perform the operations sequentially.",
        400,
        &BUSY,
    ),
    // S3
    (
        "s3:CreateBucket",
        "OperationAborted",
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
        409,
        &NAME_COOLDOWN,
    ),
    (
        "s3:PutBucketEncryption",
        "OperationAborted",
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
        409,
        &BUSY,
    ),
    (
        "s3:DeleteBucket",
        "OperationAborted",
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
        409,
        &BUSY,
    ),
    (
        "s3:PutBucketEncryption",
        "NoSuchBucket",
        "The specified bucket does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "s3:PutBucketLifecycleConfiguration",
        "NoSuchBucket",
        "The specified bucket does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "s3:PutBucketNotificationConfiguration",
        "NoSuchBucket",
        "The specified bucket does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "s3:PutBucketOwnershipControls",
        "NoSuchBucket",
        "The specified bucket does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "s3:PutBucketPolicy",
        "NoSuchBucket",
        "The specified bucket does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "s3:PutBucketTagging",
        "NoSuchBucket",
        "The specified bucket does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "s3:PutObject",
        "NoSuchBucket",
        "The specified bucket does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "s3:PutPublicAccessBlock",
        "NoSuchBucket",
        "The specified bucket does not exist",
        404,
        &READ_AFTER_WRITE,
    ),
    (
        "s3:PutBucketPolicy",
        "MalformedPolicy",
        "Invalid principal in policy",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "s3:PutBucketNotificationConfiguration",
        "InvalidArgument",
        "Unable to validate the following destination configurations",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "s3:PutObject",
        "KMS.NotFoundException",
        "Key 'arn:aws:kms:eu-west-1:123456789012:key/k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    // Step Functions
    (
        "states:CreateStateMachine",
        "StateMachineDeleting",
        "State Machine is being deleted: 'arn:aws:states:eu-west-1:123456789012:stateMachine:m'",
        400,
        &NAME_COOLDOWN,
    ),
    (
        "states:CreateStateMachine",
        "AccessDeniedException",
        "The state machine IAM Role is not authorized to access the Log Destination",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "states:UpdateStateMachine",
        "AccessDeniedException",
        "The state machine IAM Role is not authorized to access the Log Destination",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "states:CreateStateMachine",
        "AccessDeniedException",
        "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the provided role.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "states:UpdateStateMachine",
        "AccessDeniedException",
        "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the provided role.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "states:UpdateStateMachine",
        "ConflictException",
        "Updating or deleting a resource can cause inconsistency. Try again.",
        400,
        &BUSY,
    ),
    // KMS
    (
        "kms:CreateKey",
        "MalformedPolicyDocumentException",
        "Policy contains a statement with one or more invalid principals.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "kms:PutKeyPolicy",
        "MalformedPolicyDocumentException",
        "Policy contains a statement with one or more invalid principals.",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "kms:CreateAlias",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:DisableKeyRotation",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:EnableKey",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:EnableKeyRotation",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:GetKeyPolicy",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:GetKeyRotationStatus",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:PutKeyPolicy",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:TagResource",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:UntagResource",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:UpdateAlias",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:UpdateKeyDescription",
        "NotFoundException",
        "Key 'k' does not exist",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "kms:EnableKeyRotation",
        "DisabledException",
        "Key 'k' is disabled.",
        400,
        &READ_AFTER_WRITE,
    ),
    // CloudWatch Logs
    (
        "logs:CreateLogGroup",
        "InvalidParameterException",
        "The specified KMS key does not exist or is not allowed to be used with Arn 'arn:aws:logs:eu-west-1:123456789012:log-group:g'",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "logs:AssociateKmsKey",
        "InvalidParameterException",
        "The specified KMS key does not exist or is not allowed to be used with Arn 'arn:aws:logs:eu-west-1:123456789012:log-group:g'",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "kms:CreateAlias",
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: kms:CreateAlias on this resource because no identity-based policy \
         allows the kms:CreateAlias action",
        400,
        &KEY_TAGS,
    ),
    (
        "kms:EnableKeyRotation",
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: kms:EnableKeyRotation on this resource because no identity-based policy \
         allows the kms:EnableKeyRotation action",
        400,
        &KEY_TAGS,
    ),
    (
        "s3:PutObject",
        "AccessDenied",
        "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: kms:GenerateDataKey on this resource because no identity-based policy \
         allows the kms:GenerateDataKey action",
        403,
        &KEY_TAGS,
    ),
    (
        "logs:PutRetentionPolicy",
        "AccessDeniedException",
        "User: arn:aws:sts::123456789012:assumed-role/ci/s is not authorized because no identity-based policy allows the \
         logs:PutRetentionPolicy action",
        400,
        &IAM_PROPAGATION,
    ),
    (
        "logs:PutRetentionPolicy",
        "ResourceNotFoundException",
        "The specified log group does not exist.",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "logs:DeleteLogGroup",
        "OperationAbortedException",
        "A conflicting operation is currently in progress against this resource. Please try again.",
        400,
        &BUSY,
    ),
];

/// SQS codes as an endpoint shows them that leaves out the header for those of old.
static PLAIN: &[Row] = &[
    (
        "sqs:CreateQueue",
        "QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        400,
        &QUEUE_COOLDOWN,
    ),
    (
        "sqs:SetQueueAttributes",
        "QueueDoesNotExist",
        "The specified queue does not exist.",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "sqs:TagQueue",
        "QueueDoesNotExist",
        "The specified queue does not exist.",
        400,
        &READ_AFTER_WRITE,
    ),
    (
        "sqs:CreateQueue",
        "RequestThrottled",
        "Request is throttled.",
        400,
        &THROTTLE,
    ),
];

/// What looks like one of those and is not: operation, code, message, HTTP status.
static LOOK_ALIKES: &[(&str, &str, &str, u16)] = &[
    // The name is taken.
    (
        "lambda:CreateFunction",
        "ResourceConflictException",
        "Function already exist: f",
        409,
    ),
    (
        "lambda:AddPermission",
        "ResourceConflictException",
        "The statement id (bucket) provided already exists. Please provide a new statement id, or remove the existing statement.",
        409,
    ),
    (
        "lambda:PutFunctionEventInvokeConfig",
        "InvalidParameterValueException",
        "The MaximumRetryAttempts 3 is invalid. It must be between 0 and 2.",
        400,
    ),
    (
        "s3:CreateBucket",
        "BucketAlreadyExists",
        "The requested bucket name is not available.",
        409,
    ),
    (
        "s3:CreateBucket",
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
        409,
    ),
    (
        "iam:CreateRole",
        "EntityAlreadyExists",
        "Role with name orders already exists.",
        409,
    ),
    (
        "logs:CreateLogGroup",
        "ResourceAlreadyExistsException",
        "The specified log group already exists",
        400,
    ),
    (
        "states:CreateStateMachine",
        "StateMachineAlreadyExists",
        "State Machine Already Exists: 'arn:aws:states:eu-west-1:123456789012:stateMachine:m'",
        400,
    ),
    (
        "sqs:CreateQueue",
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute VisibilityTimeout",
        400,
    ),
    (
        "sns:CreateTopic",
        "InvalidParameter",
        "Invalid parameter: Attributes Reason: Topic already exists with different attributes",
        400,
    ),
    // A quota is reached.
    (
        "iam:CreateRole",
        "LimitExceeded",
        "Cannot exceed quota for RolesPerAccount: 1000",
        409,
    ),
    (
        "kms:CreateKey",
        "LimitExceededException",
        "The request was rejected because a quota was exceeded.",
        400,
    ),
    (
        "logs:CreateLogGroup",
        "LimitExceededException",
        "Resource limit exceeded.",
        400,
    ),
    (
        "lambda:CreateFunction",
        "CodeStorageExceededException",
        "Code storage limit exceeded.",
        400,
    ),
    (
        "lambda:PutFunctionConcurrency",
        "InvalidParameterValueException",
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].",
        400,
    ),
    (
        "states:CreateStateMachine",
        "StateMachineLimitExceeded",
        "The maximum number of state machines has been reached.",
        400,
    ),
    (
        "s3:CreateBucket",
        "TooManyBuckets",
        "You have attempted to create more buckets than allowed",
        400,
    ),
    // No other change is under way.
    (
        "lambda:UpdateFunctionConfiguration",
        "ResourceConflictException",
        "The operation cannot be performed at this time. The function is currently in the following state: Failed",
        409,
    ),
    // A permission is really missing.
    (
        "s3:PutObject",
        "AccessDenied",
        "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: s3:PutObject because no identity-based policy allows the s3:PutObject action",
        403,
    ),
    (
        "kms:CreateAlias",
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: kms:CreateAlias with an explicit deny in a service control policy",
        400,
    ),
    // No tag gives a right to an alias.
    (
        "kms:CreateAlias",
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: kms:CreateAlias on resource: arn:aws:kms:us-east-1:123456789012:alias/orders because no \
         identity-based policy allows the kms:CreateAlias action",
        400,
    ),
    (
        "s3:CreateBucket",
        "AccessDenied",
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: s3:CreateBucket because no identity-based policy allows the s3:CreateBucket action",
        403,
    ),
    ("s3:PutBucketPolicy", "AccessDenied", "Access Denied", 403),
    (
        "sqs:CreateQueue",
        "AccessDenied",
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: sqs:createqueue on resource: q because no identity-based policy allows the sqs:createqueue action",
        403,
    ),
    (
        "iam:CreateRole",
        "AccessDenied",
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: iam:CreateRole on resource: orders because no identity-based policy allows the iam:CreateRole action",
        403,
    ),
    (
        "lambda:CreateFunction",
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/orders",
        403,
    ),
    (
        "states:CreateStateMachine",
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: states:CreateStateMachine on resource: m because no identity-based policy allows the states:CreateStateMachine action",
        400,
    ),
    (
        "kms:CreateKey",
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: kms:CreateKey because no identity-based policy allows the kms:CreateKey action",
        400,
    ),
    (
        "sns:CreateTopic",
        "AuthorizationError",
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: SNS:CreateTopic",
        403,
    ),
    (
        "logs:CreateLogGroup",
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: logs:CreateLogGroup because no identity-based policy allows the logs:CreateLogGroup action",
        400,
    ),
    // The session is over.
    (
        "sqs:CreateQueue",
        "ExpiredToken",
        "The security token included in the request is expired",
        403,
    ),
    (
        "lambda:CreateFunction",
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        403,
    ),
    // The request is wrong.
    (
        "lambda:CreateFunction",
        "ValidationException",
        "1 validation error detected: Value '1' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128",
        400,
    ),
    (
        "lambda:CreateFunction",
        "InvalidParameterValueException",
        "Unzipped size must be smaller than 262144000 bytes",
        400,
    ),
    (
        "lambda:CreateEventSourceMapping",
        "InvalidParameterValueException",
        "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds",
        400,
    ),
    (
        "cloudwatch:PutMetricAlarm",
        "ValidationError",
        "Period must be 10, 30 or a multiple of 60",
        400,
    ),
    (
        "iam:PutRolePolicy",
        "MalformedPolicyDocument",
        "Syntax errors in policy.",
        400,
    ),
    (
        "iam:CreateRole",
        "MalformedPolicyDocument",
        "This policy contains invalid Json",
        400,
    ),
    (
        "kms:PutKeyPolicy",
        "MalformedPolicyDocumentException",
        "The new key policy will not allow you to update the key policy in the future.",
        400,
    ),
    (
        "s3:PutBucketPolicy",
        "MalformedPolicy",
        "Policy has invalid resource",
        400,
    ),
    (
        "s3:PutBucketNotificationConfiguration",
        "InvalidArgument",
        "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.",
        400,
    ),
    (
        "sns:SetTopicAttributes",
        "InvalidParameter",
        "Invalid parameter: DisplayName",
        400,
    ),
    (
        "sqs:SetQueueAttributes",
        "InvalidAttributeValue",
        "Invalid value for the parameter VisibilityTimeout.",
        400,
    ),
    (
        "states:CreateStateMachine",
        "InvalidDefinition",
        "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED'",
        400,
    ),
];

/// How a failure shows that has no row of its own, and its class.
fn weather() -> Vec<(Fault, Option<&'static Class>)> {
    vec![
        (Fault::Reset, Some(&SERVER)),
        (Fault::Cut, Some(&SERVER)),
        (
            Fault::Error("ThrottlingException", "Rate exceeded", 400),
            Some(&THROTTLE),
        ),
        (
            Fault::Error("ServiceUnavailable", "Try later.", 503),
            Some(&SERVER),
        ),
        (Fault::Error("AccessDenied", "Access denied.", 403), None),
    ]
}

fn faults() -> Vec<(&'static str, Fault, &'static Class)> {
    let rows = ROWS
        .iter()
        .map(|&(operation, code, message, status, class)| {
            (operation, Fault::Error(code, message, status), class)
        });
    let plain = PLAIN
        .iter()
        .map(|&(operation, code, message, status, class)| {
            (operation, Fault::Plain(code, message, status), class)
        });
    let silent = [
        ("sqs:CreateQueue", Fault::Reset, &SERVER as &Class),
        ("iam:CreateRole", Fault::Hang, &SERVER),
        ("kms:CreateKey", Fault::Reset, &IN_DOUBT),
        ("kms:DescribeKey", Fault::Garbled, &SERVER),
        ("iam:GetRole", Fault::Garbled, &SERVER),
        ("s3:GetBucketPolicy", Fault::Cut, &SERVER),
    ];
    rows.chain(plain).chain(silent).collect()
}

/// What came of a run: its result, how often the operation was asked for, and the time that passed.
struct Outcome {
    result: Result<(), Failure>,
    counts: Counts,
    elapsed: Duration,
}

impl Outcome {
    fn count(&self, operation: &str) -> usize {
        self.counts.get(operation).copied().unwrap_or_default()
    }
}

async fn run(scene: &Scene, operation: &'static str, fault: Fault, times: usize) -> Outcome {
    let script = Script {
        operation,
        fault,
        times,
        scene: scene.answers,
    };
    let (aws, stage) = aws(script, None);
    let begin = Instant::now();
    let result = scene.run(&aws).await;
    Outcome {
        result,
        counts: stage.counts(),
        elapsed: begin.elapsed(),
    }
}

async fn undisturbed(scene: &Scene) -> Outcome {
    run(scene, "", Fault::Reset, 0).await
}

/// The first scene of each operation, with what comes of it when nothing is wrong.
struct Repertoire {
    scenes: Vec<(Scene, Outcome)>,
    first: BTreeMap<String, usize>,
}

impl Repertoire {
    async fn rehearsed() -> Self {
        let (mut scenes, mut first) = (Vec::new(), BTreeMap::new());
        for (index, scene) in scenes::all().into_iter().enumerate() {
            let outcome = undisturbed(&scene).await;
            if let Err(failure) = &outcome.result {
                panic!("{:?} of {}: {failure}", scene.verb, scene.part.title());
            }
            for operation in outcome.counts.keys() {
                first.entry(operation.clone()).or_insert(index);
            }
            scenes.push((scene, outcome));
        }
        Self { scenes, first }
    }

    fn of(&self, operation: &str) -> &(Scene, Outcome) {
        let index = self.first.get(operation);
        &self.scenes[*index.unwrap_or_else(|| panic!("no scene calls {operation}"))]
    }
}

/// The longest and the shortest time that `count` pauses of a class take.
fn pauses(class: &Class, count: usize) -> (Duration, Duration) {
    let last = class.cadence.len() - 1;
    let sum: f64 = (0..count).map(|step| class.cadence[step.min(last)]).sum();
    let share = if class.jitter { 0.5 } else { 1.0 };
    (
        Duration::from_secs_f64(sum),
        Duration::from_secs_f64(sum * share),
    )
}

/// What passes besides the pauses: a millisecond a timer, and the moment in which questions are gathered.
const SLACK: Duration = Duration::from_millis(200);

fn report(complaints: &str) {
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[tokio::test(start_paused = true)]
async fn a_few_faults_are_waited_out() {
    let repertoire = Repertoire::rehearsed().await;
    let mut complaints = String::new();
    for (operation, fault, class) in faults() {
        let (scene, usual) = repertoire.of(operation);
        for times in [1, 3] {
            let outcome = run(scene, operation, fault.clone(), times).await;
            // A role is first asked to go without more ado.
            let waits = times - usize::from(operation == "iam:DeleteRole");
            let (mut longest, mut shortest) = (pauses(class, times).0, pauses(class, waits).1);
            if matches!(fault, Fault::Hang) {
                let hung = TIME_OUT * u32::try_from(times).unwrap();
                if hung > class.budget {
                    continue;
                }
                (longest, shortest) = (longest + hung, shortest + hung);
            }
            let passed = outcome.elapsed.saturating_sub(usual.elapsed);
            if outcome.result.is_err()
                || outcome.count(operation) != usual.count(operation) + times
                || passed > longest + SLACK
                || passed + SLACK < shortest
            {
                let _ = writeln!(
                    complaints,
                    "{operation}, {times} times {fault:?}: {:?} after {} calls in {passed:?}, where {} take {shortest:?} to {longest:?}",
                    outcome.result,
                    outcome.count(operation),
                    class.name,
                );
            }
        }
    }
    report(&complaints);
}

#[tokio::test(start_paused = true)]
async fn a_fault_for_ever_ends_with_the_budget_and_is_told_whole() {
    let repertoire = Repertoire::rehearsed().await;
    let mut complaints = String::new();
    for (operation, fault, class) in faults() {
        let (scene, usual) = repertoire.of(operation);
        let outcome = run(scene, operation, fault.clone(), usize::MAX).await;
        let passed = outcome.elapsed.saturating_sub(usual.elapsed);
        let mut complain = |what: &str| {
            let _ = writeln!(
                complaints,
                "{operation}, {fault:?}: {what}: {:?} in {passed:?}",
                outcome.result
            );
        };
        let Err(failure) = &outcome.result else {
            complain("it does not fail");
            continue;
        };
        let step = class.cadence.iter().copied().fold(0.0, f64::max);
        let mut latest = class.budget + SLACK;
        let mut step = Duration::from_secs_f64(step);
        if matches!(fault, Fault::Hang) {
            // The budget counts from the first failure, and one more may hang.
            latest += TIME_OUT * 2;
            step += TIME_OUT;
        }
        if passed > latest || passed + step + SLACK < class.budget {
            complain("that is not the budget");
        }
        let text = failure.to_string();
        let attempts = format!(
            "{} attempts in {:.0} s",
            failure.attempts,
            failure.elapsed.as_secs_f64()
        );
        let mut facts = vec![
            operation.to_owned(),
            format!("of \"{}\"", failure.object),
            attempts,
        ];
        if let Fault::Error(code, message, _) | Fault::Plain(code, message, _) = &fault {
            facts.push((*code).to_owned());
            facts.push((*message).to_owned());
            facts.push(format!("request id {}", scripted::REQUEST_ID));
        }
        if failure.object.is_empty() || failure.attempts < 2 {
            complain("no object or no attempts");
        }
        for fact in facts {
            if !text.contains(&fact) {
                complain(&format!("nothing is said of {fact}"));
            }
        }
    }
    report(&complaints);
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_like_it_is_final() {
    let repertoire = Repertoire::rehearsed().await;
    let mut complaints = String::new();
    for &(operation, code, message, status) in LOOK_ALIKES {
        let (scene, usual) = repertoire.of(operation);
        let fault = Fault::Error(code, message, status);
        let outcome = run(scene, operation, fault, usize::MAX).await;
        let failed = outcome.result.as_ref().is_err_and(|failure| {
            failure.operation == operation && failure.is(&[code]) && failure.attempts == 1
        });
        let passed = outcome.elapsed.saturating_sub(usual.elapsed);
        if !failed || outcome.count(operation) != 1 || passed > SLACK {
            let calls = outcome.count(operation);
            let _ = writeln!(
                complaints,
                "{operation}, {code} {message}: {:?} after {calls} calls in {passed:?}",
                outcome.result
            );
        }
    }
    report(&complaints);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_never_empty_says_why() {
    let repertoire = Repertoire::rehearsed().await;
    let (scene, _) = repertoire.of("s3:DeleteBucket");
    let full = Fault::Error("BucketNotEmpty", "The bucket is not empty.", 409);
    let outcome = run(scene, "s3:DeleteBucket", full, usize::MAX).await;
    let failure = outcome.result.expect_err("it cannot be deleted");
    let advice = failure.advice.unwrap_or_default();
    assert!(advice.contains("end what writes"), "{advice}");
}

#[tokio::test(start_paused = true)]
async fn every_call_weathers_what_every_call_can_meet() {
    let repertoire = Repertoire::rehearsed().await;
    let mut complaints = String::new();
    for operation in repertoire.first.keys() {
        let operation: &'static str = operation.clone().leak();
        let (scene, usual) = repertoire.of(operation);
        for (fault, class) in weather() {
            let outcome = run(scene, operation, fault.clone(), 1).await;
            let (calls, passed) = (
                outcome.count(operation),
                outcome.elapsed.saturating_sub(usual.elapsed),
            );
            let class = match class {
                // A second key would be made beside one that is not listed yet.
                Some(class) if operation == "kms:CreateKey" && *class == SERVER => Some(&IN_DOUBT),
                other => other,
            };
            let right = match class {
                // S3 throttles with 503, and an answer to HEAD says no more than that.
                Some(_)
                    if operation == "s3:HeadBucket" && matches!(fault, Fault::Error(_, _, 400)) =>
                {
                    true
                }
                Some(class) => {
                    outcome.result.is_ok()
                        && passed <= pauses(class, 1).0 + SLACK
                        && calls == usual.count(operation) + 1
                }
                // A role that cannot be deleted is told by the second try, keys that cannot be looked at are not ours, queues that cannot be listed are asked for
                // themselves, buckets that cannot be listed may be ours, and each alarm is deleted for itself.
                None if matches!(
                    operation,
                    "cloudwatch:DeleteAlarms"
                        | "iam:DeleteRole"
                        | "kms:ListResourceTags"
                        | "s3:ListBuckets"
                        | "sqs:ListQueues"
                ) =>
                {
                    true
                }
                None => {
                    outcome.result.as_ref().is_err_and(|failure| {
                        failure.operation == operation && failure.attempts == 1
                    }) && passed <= SLACK
                }
            };
            if !right {
                let _ = writeln!(
                    complaints,
                    "{operation}, {fault:?}: {:?} after {calls} calls in {passed:?}",
                    outcome.result
                );
            }
        }
    }
    report(&complaints);
}

#[tokio::test(start_paused = true)]
async fn the_weather_alone_is_limited_by_the_users_number() {
    let scene = scenes::all()
        .into_iter()
        .find(|scene| scene.part.kind() == "SQS queue")
        .unwrap();
    for (fault, most, calls) in [
        (Fault::Error("InternalFailure", "", 500), 0, 1),
        (Fault::Reset, 2, 3),
        (
            Fault::Error("RequestThrottled", "Request is throttled.", 403),
            1,
            2,
        ),
        (
            Fault::Error("AWS.SimpleQueueService.QueueDeletedRecently", "Wait.", 400),
            0,
            11,
        ),
    ] {
        let script = Script {
            operation: "sqs:CreateQueue",
            fault: fault.clone(),
            times: usize::MAX,
            scene: scene.answers,
        };
        let (aws, stage) = aws(script, Some(most));
        let failure = scene.run(&aws).await.unwrap_err();
        assert_eq!(failure.attempts, calls, "{fault:?}: {failure}");
        assert_eq!(
            stage.counts()["sqs:CreateQueue"],
            calls as usize,
            "{fault:?}"
        );
    }
}

fn played(scene: scenes::Answers) -> Script {
    Script {
        operation: "",
        fault: Fault::Reset,
        times: 0,
        scene,
    }
}

/// It says which execution keeps the state machine, if it may not end it; and it neither counts as gone nor as well.
#[tokio::test(start_paused = true)]
async fn a_state_machine_that_waits_for_an_execution_says_so() {
    let (client, stage) = aws(played(scenes::held), None);
    let machine = scenes::machine(false);
    let nothing = Found {
        attributes: Attributes::new(),
        owner: Owner::Us,
    };
    machine.in_use(&client, false).await.unwrap();
    let failure = machine.delete(&client, &nothing).await.unwrap_err();
    let said = failure.to_string();
    assert!(said.contains("an execution is running, arn:e"), "{said}");
    assert!(!stage.counts().contains_key("states:StopExecution"));

    let found = machine.read(&client).await.unwrap().unwrap();
    let changes = Changes::between(&machine.desired(), &found.attributes);
    assert!(changes.any(&["status"]));
    let failure = machine.update(&client, &found, &changes).await.unwrap_err();
    assert!(
        failure.to_string().contains("it is being deleted"),
        "{failure}"
    );
    assert!(!stage.counts().contains_key("states:UpdateStateMachine"));

    let (client, stage) = aws(played(scenes::held), None);
    let failure = scenes::machine(true)
        .delete(&client, &nothing)
        .await
        .unwrap_err();
    assert!(failure.to_string().contains("still not gone"), "{failure}");
    assert!(stage.counts()["states:StopExecution"] > 1);
}

/// AWS may answer with fewer events than it was asked for.
#[tokio::test(start_paused = true)]
async fn a_wait_is_read_page_by_page() {
    fn history(operation: &str, counts: &Counts) -> Option<Reply> {
        let events = [
            json!({"type": "TaskSubmitted", "id": 4, "timestamp": 4}),
            json!({"type": "TaskScheduled", "id": 3, "timestamp": 3, "taskScheduledEventDetails": {
                "resourceType": "sqs", "resource": "sendMessage.waitForTaskToken", "region": "eu-west-1", "parameters": "{}", "timeoutInSeconds": 60
            }}),
            json!({"type": "TaskStateEntered", "id": 2, "timestamp": 2, "stateEnteredEventDetails": {"name": "Wait", "input": "{}"}}),
        ];
        let page = counts.get(operation).copied()? - 1;
        let more = (page < 2).then_some("more");
        Some(Reply::Json(
            json!({"events": [events[page]], "nextToken": more}),
        ))
    }
    let (client, stage) = aws(played(history), None);
    let found = execution::waiting("arn:e", "Wait", &client).await.unwrap();
    assert_eq!(found.map(|wait| wait.timeout), Some(Some(60)));
    assert_eq!(stage.counts()["states:GetExecutionHistory"], 3);
}

/// The queue is the user's, and so is its policy.
#[tokio::test(start_paused = true)]
async fn a_queue_that_s3_may_not_tell_is_named() {
    let mut notification = scenes::notification();
    notification.outbound_queue_arn = Some("arn:q".into());
    let script = Script {
        operation: "s3:PutBucketNotificationConfiguration",
        fault: Fault::Error(
            "InvalidArgument",
            "Unable to validate the following destination configurations",
            400,
        ),
        times: usize::MAX,
        scene: |_, _| None,
    };
    let (client, _) = aws(script, None);
    let failure = notification.create(&client).await.unwrap_err();
    let advice = failure.advice.unwrap_or_default();
    assert!(
        advice.contains("outbound_queue_arn") && advice.contains("arn:q"),
        "{advice}"
    );
}

/// What was seen a moment ago is there until it is denied twice.
#[tokio::test(start_paused = true)]
async fn one_denial_of_what_is_to_be_removed_is_none() {
    let repertoire = Repertoire::rehearsed().await;
    let mut complaints = String::new();
    for (operation, code) in [
        ("cloudwatch:DeleteDashboards", "ResourceNotFound"),
        ("kms:DeleteAlias", "NotFoundException"),
        ("kms:ScheduleKeyDeletion", "NotFoundException"),
        ("logs:DeleteLogGroup", "ResourceNotFoundException"),
        ("sns:DeleteTopic", "NotFound"),
    ] {
        let (scene, usual) = repertoire.of(operation);
        for times in [1, usize::MAX] {
            let fault = Fault::Error(code, "There is no such thing.", 404);
            let outcome = run(scene, operation, fault, times).await;
            let calls = outcome.count(operation);
            if outcome.result.is_err() || calls != usual.count(operation) + 1 {
                let result = outcome.result;
                let _ = writeln!(
                    complaints,
                    "{operation}, {times} times: {result:?} after {calls} calls"
                );
            }
        }
    }
    report(&complaints);
}

/// A queue that is known to be there is not given up at the first denial, one that is not known is not waited for.
#[tokio::test(start_paused = true)]
async fn a_queue_may_be_absent_for_a_moment() {
    async fn look(known: bool, times: usize) -> (bool, Duration) {
        let mut queue = scenes::queue();
        queue.url = known.then(|| queue.address.clone());
        let fault = Fault::Error(
            "AWS.SimpleQueueService.NonExistentQueue",
            "The specified queue does not exist.",
            400,
        );
        let script = Script {
            operation: "sqs:GetQueueAttributes",
            fault,
            times,
            scene: |_, _| None,
        };
        let (aws, _) = aws(script, None);
        let begin = Instant::now();
        let found = queue.read(&aws).await.unwrap();
        (found.is_some(), begin.elapsed())
    }
    let (found, elapsed) = look(true, 3).await;
    assert!(found && elapsed < Duration::from_secs(1), "{elapsed:?}");
    let (found, elapsed) = look(true, usize::MAX).await;
    assert!(
        !found && elapsed > Duration::from_secs(17) && elapsed <= Duration::from_secs(20),
        "{elapsed:?}"
    );
    let (found, elapsed) = look(false, usize::MAX).await;
    assert!(!found && elapsed < SLACK, "{elapsed:?}");
}

/// A queue that is listed no more is gone. One that is listed still, or that nobody may list, is asked for itself.
#[tokio::test(start_paused = true)]
async fn a_queue_is_gone_when_the_listing_or_sqs_itself_says_so() {
    const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/";
    async fn looks(fault: Option<(&'static str, usize)>, listed: bool) -> (Counts, Duration) {
        let script = Script {
            operation: fault.map_or("none", |fault| fault.0),
            fault: Fault::Error("AccessDenied", "is not authorized to perform", 403),
            times: fault.map_or(0, |fault| fault.1),
            scene: if listed {
                |operation, counts| match operation {
                    "sqs:ListQueues" => {
                        let urls =
                            json!({ "QueueUrls": [format!("{URL}{}", scenes::queue().name)] });
                        Some(Reply::Json(urls))
                    }
                    "sqs:GetQueueAttributes" if counts["sqs:GetQueueAttributes"] > 2 => {
                        Some(Reply::Fault(Fault::Error(
                            "AWS.SimpleQueueService.NonExistentQueue",
                            "The specified queue does not exist.",
                            400,
                        )))
                    }
                    _ => None,
                }
            } else {
                |operation, _| (operation == "sqs:ListQueues").then_some(Reply::Empty)
            },
        };
        let (aws, stage) = aws(script, None);
        let begin = Instant::now();
        let found = Found {
            attributes: Attributes::new(),
            owner: Owner::Us,
        };
        scenes::queue().gone(&aws, &found).await.unwrap();
        (stage.counts(), begin.elapsed())
    }
    let (calls, _) = looks(None, false).await;
    assert_eq!(calls, Counts::from([("sqs:ListQueues".to_owned(), 1)]));
    for fault in [None, Some(("sqs:ListQueues", usize::MAX))] {
        let (calls, elapsed) = looks(fault, true).await;
        assert_eq!(calls["sqs:GetQueueAttributes"], 3, "{calls:?}");
        assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    }
}

fn failure(operation: &'static str, fault: &Fault) -> Failure {
    let bare = Failure {
        operation,
        ..Failure::default()
    };
    match fault {
        Fault::Error(code, message, status) | Fault::Plain(code, message, status) => Failure {
            code: Some((*code).to_owned()),
            message: (*message).to_owned(),
            status: Some(*status),
            ambiguous: *status >= 500,
            ..bare
        },
        Fault::Garbled | Fault::Cut => Failure {
            status: Some(200),
            ambiguous: true,
            ..bare
        },
        Fault::Reset | Fault::Hang => Failure {
            ambiguous: true,
            ..bare
        },
    }
}

#[test]
fn no_rule_no_operation_and_no_word_of_one_is_dead() {
    let failures: Vec<(Failure, &Class)> = faults()
        .into_iter()
        .map(|(operation, fault, class)| (failure(operation, &fault), class))
        .collect();
    let mut complaints = String::new();
    for (failure, class) in &failures {
        let found = classify(TABLE, failure);
        if found != Some(*class) {
            let _ = writeln!(
                complaints,
                "{failure} is {:?}",
                found.map(|class| class.name)
            );
        }
    }
    for (index, rule) in TABLE.iter().enumerate() {
        let first = |failure: &&Failure| {
            let fits = |rule| classify(std::slice::from_ref(rule), failure).is_some();
            TABLE.iter().position(fits) == Some(index)
        };
        let fitting: Vec<&Failure> = failures
            .iter()
            .map(|(failure, _)| failure)
            .filter(first)
            .collect();
        let mut dead = |what: &str, word: &str| {
            let _ = writeln!(
                complaints,
                "no row for the {what} \"{word}\" of the rule {rule:?}"
            );
        };
        if fitting.is_empty() {
            dead("rule", "itself");
        }
        for operation in rule.operations {
            if !operation.ends_with('*')
                && !fitting
                    .iter()
                    .any(|failure| failure.operation == *operation)
            {
                dead("operation", operation);
            }
        }
        for code in rule.codes {
            if !fitting.iter().any(|failure| failure.is(&[code])) {
                dead("code", code);
            }
        }
        for message in rule.messages {
            if !fitting.iter().any(|failure| failure.says(message)) {
                dead("message", message);
            }
        }
        for status in rule.statuses {
            if !fitting
                .iter()
                .any(|failure| failure.status == Some(*status))
            {
                dead("status", &status.to_string());
            }
        }
    }
    report(&complaints);
}

#[test]
fn our_own_words_are_never_taken_for_those_of_aws() {
    let words = TABLE
        .iter()
        .flat_map(|rule| rule.messages.iter().chain(rule.codes));
    for word in words {
        let refusal = Failure::refusal(
            "Lambda function \"f\"",
            format!("{word}: ResourceConflictException, Rate exceeded"),
        );
        assert_eq!(classify(TABLE, &refusal), None, "{refusal}");
    }
}

/// A refusal of the provider's own, made of AWS's words, ends the work at once.
#[tokio::test(start_paused = true)]
async fn a_refusal_in_words_of_aws_is_final() {
    fn failed(operation: &str, _: &Counts) -> Option<Reply> {
        let told = serde_json::json!({ "State": "Failed", "StateReasonCode": "EniLimitExceeded", "StateReason": "Rate exceeded: throttled by EC2" });
        operation
            .starts_with("lambda:")
            .then_some(Reply::Json(told))
    }
    let scene = scenes::all()
        .into_iter()
        .find(|scene| scene.part.kind() == "Lambda function")
        .unwrap();
    let scene = Scene {
        answers: failed,
        ..scene
    };
    let outcome = undisturbed(&scene).await;
    let failure = outcome.result.unwrap_err();
    assert!(
        failure.says("throttled by EC2") && failure.operation.is_empty(),
        "{failure}"
    );
    assert_eq!(outcome.counts["lambda:CreateFunction"], 1);
    assert_eq!(outcome.counts["lambda:GetFunctionConfiguration"], 1);
}

/// A function that Lambda calls failed invokes nothing: that is a difference, which an update of its configuration mends.
#[tokio::test(start_paused = true)]
async fn a_function_in_trouble_differs() {
    fn told(own: &str, update: &str) -> serde_json::Value {
        json!({
            "FunctionName": "f", "State": own, "StateReasonCode": "InvalidConfiguration", "StateReason": "the key is gone",
            "LastUpdateStatus": update, "LastUpdateStatusReasonCode": "DisabledKMSKey", "LastUpdateStatusReason": "the key is disabled",
        })
    }
    type Answers = fn(&str, &Counts) -> Option<Reply>;
    let rows: [(Answers, Option<&str>); 3] = [
        (
            |operation, _| {
                let answer = json!({ "Configuration": told("Failed", "Successful") });
                (operation == "lambda:GetFunction").then_some(Reply::Json(answer))
            },
            Some("failed: InvalidConfiguration: the key is gone"),
        ),
        (
            |operation, _| {
                let answer = json!({ "Configuration": told("Active", "Failed") });
                (operation == "lambda:GetFunction").then_some(Reply::Json(answer))
            },
            Some("the last update failed: DisabledKMSKey: the key is disabled"),
        ),
        (
            |operation, _| {
                let answer = json!({ "Configuration": told("Pending", "InProgress") });
                (operation == "lambda:GetFunction").then_some(Reply::Json(answer))
            },
            None,
        ),
    ];
    for (answers, trouble) in rows {
        let (client, stage) = aws(played(answers), None);
        let function = scenes::function();
        let found = function.read(&client).await.unwrap().unwrap();
        let changes = Changes::between(&function.desired(), &found.attributes);
        assert_eq!(changes.any(&["status"]), trouble.is_some(), "{found:?}");
        assert_eq!(found.text("status"), trouble.unwrap_or("ready"));
        function.update(&client, &found, &changes).await.unwrap();
        assert_eq!(stage.counts()["lambda:UpdateFunctionConfiguration"], 1);
    }
}

/// For a minute SQS may show a queue that was deleted: who has deleted it does not take it for one that is there.
#[tokio::test(start_paused = true)]
async fn a_queue_that_was_deleted_does_not_come_back() {
    let (client, _) = aws(played(|_, _| None), None);
    let queue = scenes::queue();
    let found = queue.read(&client).await.unwrap().unwrap();
    queue.delete(&client, &found).await.unwrap();
    assert!(queue.read(&client).await.unwrap().is_none());
    queue.create(&client).await.unwrap();
    assert!(queue.read(&client).await.unwrap().is_some());
    queue.delete(&client, &found).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(queue.read(&client).await.unwrap().is_some());
}

/// The scenes make every call that there is in the parts, and the table knows no others.
#[tokio::test(start_paused = true)]
async fn every_operation_is_in_a_scene() {
    let repertoire = Repertoire::rehearsed().await;
    let mut named: Vec<String> = Vec::new();
    let mut open = vec![PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/parts"
    ))];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let literals = text.split('"');
        let operations = literals.filter(|text| is_operation(text));
        if path
            .file_name()
            .is_some_and(|name| name != "consistency.rs")
        {
            named.extend(operations.map(str::to_owned));
        }
    }
    assert!(named.len() > 100, "{named:?}");
    named.extend(
        TABLE
            .iter()
            .flat_map(|rule| rule.operations)
            .filter(|name| !name.ends_with('*'))
            .map(|name| (*name).to_owned()),
    );
    // An action in a policy, not a call; and calls that are no part's: the pipeline's when a prefix changes, the data source's.
    let others = [
        "lambda:InvokeFunction",
        "s3:DeleteObject",
        "states:GetExecutionHistory",
    ];
    named.retain(|name| !others.contains(&name.as_str()) && !repertoire.first.contains_key(name));
    assert!(named.is_empty(), "no scene calls {named:?}");
}

fn is_operation(text: &str) -> bool {
    const SERVICES: &[&str] = &[
        "cloudwatch",
        "iam",
        "kms",
        "lambda",
        "logs",
        "s3",
        "sns",
        "sqs",
        "states",
    ];
    text.split_once(':').is_some_and(|(service, name)| {
        SERVICES.contains(&service)
            && name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.chars().all(|other| other.is_ascii_alphanumeric())
            && !name.starts_with("ObjectCreated")
    })
}

/// A request that could not be made, for want of credentials, is not sent again and again.
#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_final() {
    let script = Script {
        operation: "",
        fault: Fault::Reset,
        times: 0,
        scene: |_, _| None,
    };
    let (mut aws, stage) = aws(script, None);
    let config = aws.clients.sqs.config().to_builder();
    aws.clients.sqs = aws_sdk_sqs::Client::from_conf(config.credentials_provider(Nobody).build());
    let begin = Instant::now();
    let failure = scenes::queue().create(&aws).await.unwrap_err();
    assert!(failure.says("has expired"), "{failure}");
    assert_eq!((failure.attempts, begin.elapsed()), (1, Duration::ZERO));
    assert!(!failure.ambiguous && stage.counts().is_empty());
}

/// Where no credentials come from.
#[derive(Debug)]
struct Nobody;

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error = CredentialsError::provider_error("the session of the profile has expired");
        future::ProvideCredentials::ready(Err(error))
    }
}
