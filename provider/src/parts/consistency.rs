//! What AWS answers in the seconds after a change, as data.
//!
//! Real AWS is eventually consistent: a role made a moment ago cannot be assumed yet, a deleted queue blocks its name for a minute.
//! Each row names an operation, the wire code and just enough of the message, and the class says how long and in which steps
//! to try again. What fits no row is final. Wire codes are those of the services' APIs, not the names of SDK types.

use std::time::Duration;

use crate::engine::retry::{Class, Rule};

/// A role, policy or key made a moment ago is not known everywhere yet.
pub static IAM_PROPAGATION: Class = Class {
    name: "IAM propagation",
    budget: Duration::from_mins(2),
    cadence: &[0.25, 0.5, 1.0, 2.0],
    jitter: true,
    transient: false,
    in_turn: false,
};
/// Rights that rest on the tags of a key made a moment ago are not known everywhere yet.
pub static KEY_TAGS: Class = Class {
    name: "rights by a key's tags",
    budget: Duration::from_mins(5),
    cadence: &[0.25, 0.5, 1.0, 2.0, 4.0],
    jitter: true,
    transient: false,
    in_turn: false,
};
/// The name of something deleted is not free yet: at most a minute for a queue.
pub static QUEUE_COOLDOWN: Class = Class {
    name: "queue name cooldown",
    budget: Duration::from_secs(90),
    cadence: &[2.0, 4.0, 8.0, 10.0],
    jitter: false,
    transient: false,
    in_turn: false,
};
/// The name of something deleted is not free yet: minutes for a state machine or a bucket.
pub static NAME_COOLDOWN: Class = Class {
    name: "name cooldown",
    budget: Duration::from_mins(5),
    cadence: &[2.0, 4.0, 8.0, 10.0],
    jitter: false,
    transient: false,
    in_turn: false,
};
/// Another change of the same object is under way.
pub static BUSY: Class = Class {
    name: "busy",
    budget: Duration::from_mins(5),
    cadence: &[1.0, 2.0, 4.0, 8.0],
    jitter: true,
    transient: false,
    in_turn: false,
};
/// Too many calls.
pub static THROTTLE: Class = Class {
    name: "throttle",
    budget: Duration::from_mins(2),
    cadence: &[0.5, 1.0, 2.0, 4.0, 8.0],
    jitter: true,
    transient: true,
    in_turn: true,
};
/// The server failed.
pub static SERVER: Class = Class {
    name: "server error",
    budget: Duration::from_mins(2),
    cadence: &[0.5, 1.0, 2.0, 4.0, 8.0],
    jitter: true,
    transient: true,
    in_turn: false,
};
/// No token tells a repeated request from a second one, and AWS may not list for seconds what the first has made.
pub static IN_DOUBT: Class = Class {
    name: "made in doubt",
    budget: Duration::from_mins(2),
    cadence: &[5.0, 10.0],
    jitter: false,
    transient: true,
    in_turn: false,
};
/// Something made a moment ago cannot be read yet.
pub static READ_AFTER_WRITE: Class = Class {
    name: "read after write",
    budget: Duration::from_mins(2),
    cadence: &[0.1, 0.2, 0.5, 1.0, 2.0],
    jitter: true,
    transient: false,
    in_turn: false,
};

const WRITE_FUNCTION: &[&str] = &[
    "lambda:CreateFunction",
    "lambda:UpdateFunctionConfiguration",
    "lambda:UpdateFunctionCode",
];
const WRITE_MAPPING: &[&str] = &[
    "lambda:CreateEventSourceMapping",
    "lambda:UpdateEventSourceMapping",
];
const WRITE_MACHINE: &[&str] = &["states:CreateStateMachine", "states:UpdateStateMachine"];

/// The rows; the first that fits counts.
pub static TABLE: &[Rule] = &[
    // Calls that come too fast, whatever the service.
    Rule {
        codes: &[
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "KMS.ThrottlingException",
            "KMSThrottling",
            "KmsThrottlingException",
            "PriorRequestNotComplete",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "Throttled",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ],
        ..Rule::any(&THROTTLE)
    },
    Rule {
        messages: &["Rate exceeded", "throttled by EC2"],
        ..Rule::any(&THROTTLE)
    },
    Rule {
        statuses: &[429],
        ..Rule::any(&THROTTLE)
    },
    // IAM
    Rule {
        operations: &["iam:CreateRole", "iam:UpdateAssumeRolePolicy"],
        codes: &["MalformedPolicyDocument"],
        messages: &["Invalid principal in policy"],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["iam:*"],
        codes: &["ConcurrentModification", "EntityTemporarilyUnmodifiable"],
        ..Rule::any(&BUSY)
    },
    Rule {
        operations: &["iam:DeleteRole"],
        codes: &["DeleteConflict"],
        ..Rule::any(&BUSY)
    },
    Rule {
        operations: &[
            "iam:PutRolePermissionsBoundary",
            "iam:PutRolePolicy",
            "iam:TagRole",
            "iam:UntagRole",
            "iam:UpdateAssumeRolePolicy",
            "iam:UpdateRole",
        ],
        codes: &["NoSuchEntity"],
        ..Rule::any(&READ_AFTER_WRITE)
    },
    // Lambda
    Rule {
        operations: WRITE_FUNCTION,
        codes: &["InvalidParameterValueException"],
        messages: &[
            "cannot be assumed by Lambda",
            "execution role does not have permissions",
            "KMS key is invalid for CreateGrant",
        ],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: WRITE_MAPPING,
        codes: &["InvalidParameterValueException"],
        messages: &[
            "cannot be assumed by Lambda",
            "execution role does not have permissions",
            "ensure the role can perform",
        ],
        ..Rule::any(&IAM_PROPAGATION)
    },
    // The role's right to the destination, or the destination itself, is not known everywhere yet.
    Rule {
        operations: &["lambda:PutFunctionEventInvokeConfig"],
        codes: &["InvalidParameterValueException"],
        messages: &[
            "execution role does not have permissions",
            "destination ARN",
        ],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["lambda:*"],
        codes: &["ResourceConflictException", "ResourceInUseException"],
        but_not: &["already exist", "currently in the following state: Failed"],
        ..Rule::any(&BUSY)
    },
    Rule {
        operations: &[
            "lambda:AddPermission",
            "lambda:PutFunctionEventInvokeConfig",
        ],
        codes: &["ResourceNotFoundException"],
        ..Rule::any(&READ_AFTER_WRITE)
    },
    Rule {
        operations: &["lambda:*"],
        messages: &["currently in the following state: Pending"],
        ..Rule::any(&BUSY)
    },
    // SQS; an endpoint without the query-compatible header shows the names of the shapes instead.
    Rule {
        operations: &["sqs:CreateQueue"],
        codes: &[
            "AWS.SimpleQueueService.QueueDeletedRecently",
            "QueueDeletedRecently",
        ],
        ..Rule::any(&QUEUE_COOLDOWN)
    },
    Rule {
        operations: &["sqs:CreateQueue", "sqs:SetQueueAttributes"],
        codes: &["InvalidAttributeValue"],
        messages: &["Invalid value for the parameter Policy"],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["sqs:SetQueueAttributes", "sqs:TagQueue"],
        codes: &[
            "AWS.SimpleQueueService.NonExistentQueue",
            "QueueDoesNotExist",
        ],
        ..Rule::any(&READ_AFTER_WRITE)
    },
    // SNS
    Rule {
        operations: &["sns:SetTopicAttributes", "sns:CreateTopic"],
        codes: &["InvalidParameter", "InvalidParameterException"],
        messages: &["PrincipalNotFound", "Invalid principal"],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["sns:SetTopicAttributes"],
        codes: &["AuthorizationError", "AuthorizationErrorException"],
        messages: &[
            "no identity-based policy allows",
            "is not authorized to perform",
        ],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["sns:Subscribe", "sns:SetSubscriptionAttributes"],
        codes: &["NotFound", "NotFoundException"],
        ..Rule::any(&READ_AFTER_WRITE)
    },
    Rule {
        operations: &["sns:*"],
        codes: &["ConcurrentAccess", "ConcurrentAccessException"],
        ..Rule::any(&BUSY)
    },
    // S3
    Rule {
        operations: &["s3:CreateBucket"],
        codes: &["OperationAborted"],
        ..Rule::any(&NAME_COOLDOWN)
    },
    Rule {
        operations: &["s3:*"],
        codes: &["OperationAborted"],
        ..Rule::any(&BUSY)
    },
    Rule {
        operations: &[
            "s3:PutBucketEncryption",
            "s3:PutBucketLifecycleConfiguration",
            "s3:PutBucketNotificationConfiguration",
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPolicy",
            "s3:PutBucketTagging",
            "s3:PutObject",
            "s3:PutPublicAccessBlock",
        ],
        codes: &["NoSuchBucket"],
        ..Rule::any(&READ_AFTER_WRITE)
    },
    Rule {
        operations: &["s3:PutBucketPolicy"],
        codes: &["MalformedPolicy"],
        messages: &["principal"],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["s3:PutBucketNotificationConfiguration"],
        codes: &["InvalidArgument"],
        messages: &["Unable to validate the following destination configurations"],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["s3:PutObject"],
        codes: &["KMS.NotFoundException"],
        ..Rule::any(&READ_AFTER_WRITE)
    },
    // Step Functions
    Rule {
        operations: &["states:CreateStateMachine"],
        codes: &["StateMachineDeleting"],
        ..Rule::any(&NAME_COOLDOWN)
    },
    Rule {
        operations: WRITE_MACHINE,
        codes: &["AccessDeniedException"],
        messages: &[
            "is not authorized to access the Log Destination",
            "authorized to assume the provided role",
        ],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["states:UpdateStateMachine"],
        codes: &["ConflictException"],
        ..Rule::any(&BUSY)
    },
    // KMS
    Rule {
        operations: &["kms:CreateKey", "kms:PutKeyPolicy"],
        codes: &["MalformedPolicyDocumentException"],
        messages: &["principal"],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &[
            "kms:CreateAlias",
            "kms:DisableKeyRotation",
            "kms:EnableKey",
            "kms:EnableKeyRotation",
            "kms:GetKeyPolicy",
            "kms:GetKeyRotationStatus",
            "kms:PutKeyPolicy",
            "kms:TagResource",
            "kms:UntagResource",
            "kms:UpdateAlias",
            "kms:UpdateKeyDescription",
        ],
        codes: &["NotFoundException"],
        ..Rule::any(&READ_AFTER_WRITE)
    },
    Rule {
        operations: &["kms:EnableKeyRotation"],
        codes: &["DisabledException"],
        ..Rule::any(&READ_AFTER_WRITE)
    },
    Rule {
        operations: &["kms:CreateKey"],
        codes: &["DependencyTimeoutException", "KMSInternalException"],
        ..Rule::any(&IN_DOUBT)
    },
    Rule {
        operations: &["kms:CreateKey"],
        statuses: &[500, 502, 503, 504],
        ..Rule::any(&IN_DOUBT)
    },
    Rule {
        operations: &["kms:CreateKey"],
        unanswered: true,
        ..Rule::any(&IN_DOUBT)
    },
    Rule {
        operations: &["kms:*"],
        codes: &["DependencyTimeoutException", "KMSInternalException"],
        ..Rule::any(&SERVER)
    },
    // Rights that rest on a key's tags, up to five minutes after it got them.
    Rule {
        operations: &["kms:CreateAlias", "kms:EnableKeyRotation"],
        codes: &["AccessDeniedException"],
        messages: &["no identity-based policy allows"],
        // An alias has no tags.
        but_not: &[":alias/"],
        ..Rule::any(&KEY_TAGS)
    },
    Rule {
        operations: &["s3:PutObject"],
        codes: &["AccessDenied"],
        messages: &["no identity-based policy allows the kms:"],
        ..Rule::any(&KEY_TAGS)
    },
    // CloudWatch Logs
    Rule {
        operations: &["logs:CreateLogGroup", "logs:AssociateKmsKey"],
        codes: &["InvalidParameterException"],
        messages: &["does not exist or is not allowed to be used"],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["logs:PutRetentionPolicy"],
        codes: &["AccessDeniedException"],
        messages: &["no identity-based policy allows"],
        ..Rule::any(&IAM_PROPAGATION)
    },
    Rule {
        operations: &["logs:PutRetentionPolicy"],
        codes: &["ResourceNotFoundException"],
        ..Rule::any(&READ_AFTER_WRITE)
    },
    Rule {
        operations: &["logs:*"],
        codes: &["OperationAbortedException"],
        ..Rule::any(&BUSY)
    },
    // Servers that fail, and answers that never came, whatever the service.
    Rule {
        statuses: &[500, 502, 503, 504],
        ..Rule::any(&SERVER)
    },
    Rule {
        codes: &["RequestTimeout", "RequestTimeoutException"],
        ..Rule::any(&SERVER)
    },
    Rule {
        unanswered: true,
        ..Rule::any(&SERVER)
    },
];
