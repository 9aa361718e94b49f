//! Which operation of which service a request is, and which object it is for.

use hyper::body::Bytes;
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::wire::Wire;

/// A request, recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recognised {
    /// `lambda:CreateFunction`; `unknown:` with method and path where it is none we know.
    pub(super) operation: String,
    /// A name, ARN, id or URL's last part; empty where the operation is for none.
    pub(super) object: String,
    pub(super) wire: Wire,
}

/// Prefixes of the `x-amz-target` header.
const TARGETS: [(&str, &str, Wire); 5] = [
    ("AmazonSQS.", "sqs", Wire::Sqs),
    ("AWSStepFunctions.", "states", Wire::Json10),
    ("Logs_20140328.", "logs", Wire::Json11),
    ("TrentService.", "kms", Wire::Json11),
    ("ResourceGroupsTaggingAPI_20170126.", "tag", Wire::Json11),
];

/// Fields of a JSON request that name what it is for, the most telling first.
const JSON_NAMES: [&str; 14] = [
    "QueueName",
    "QueueUrl",
    "stateMachineArn",
    "executionArn",
    "name",
    "resourceArn",
    "logGroupName",
    "logGroupNamePrefix",
    "logGroupIdentifier",
    "AliasName",
    "KeyId",
    "TargetKeyId",
    "logStreamName",
    "Description",
];

/// Fields of a form that name what it is for.
const FORM_NAMES: [&str; 8] = [
    "RoleName",
    "SubscriptionArn",
    "TopicArn",
    "Name",
    "ResourceArn",
    "PolicyArn",
    "PolicyName",
    "InstanceProfileName",
];

/// Lambda's operations by method and path; `*` is one segment, and `>` one that names the object.
const LAMBDA: [(&str, &str, &str); 30] = [
    ("GET", "2015-03-31/functions", "ListFunctions"),
    ("POST", "2015-03-31/functions", "CreateFunction"),
    ("GET", "2015-03-31/functions/>", "GetFunction"),
    ("DELETE", "2015-03-31/functions/>", "DeleteFunction"),
    (
        "GET",
        "2015-03-31/functions/>/configuration",
        "GetFunctionConfiguration",
    ),
    (
        "PUT",
        "2015-03-31/functions/>/configuration",
        "UpdateFunctionConfiguration",
    ),
    ("PUT", "2015-03-31/functions/>/code", "UpdateFunctionCode"),
    ("POST", "2015-03-31/functions/>/invocations", "Invoke"),
    ("GET", "2015-03-31/functions/>/policy", "GetPolicy"),
    ("POST", "2015-03-31/functions/>/policy", "AddPermission"),
    (
        "DELETE",
        "2015-03-31/functions/>/policy/*",
        "RemovePermission",
    ),
    (
        "GET",
        "2015-03-31/functions/>/versions",
        "ListVersionsByFunction",
    ),
    ("POST", "2015-03-31/functions/>/versions", "PublishVersion"),
    ("GET", "2015-03-31/functions/>/aliases", "ListAliases"),
    (
        "PUT",
        "2017-10-31/functions/>/concurrency",
        "PutFunctionConcurrency",
    ),
    (
        "DELETE",
        "2017-10-31/functions/>/concurrency",
        "DeleteFunctionConcurrency",
    ),
    (
        "GET",
        "2019-09-30/functions/>/concurrency",
        "GetFunctionConcurrency",
    ),
    (
        "GET",
        "2019-09-25/functions/>/event-invoke-config",
        "GetFunctionEventInvokeConfig",
    ),
    (
        "PUT",
        "2019-09-25/functions/>/event-invoke-config",
        "PutFunctionEventInvokeConfig",
    ),
    (
        "DELETE",
        "2019-09-25/functions/>/event-invoke-config",
        "DeleteFunctionEventInvokeConfig",
    ),
    (
        "GET",
        "2015-03-31/event-source-mappings",
        "ListEventSourceMappings",
    ),
    (
        "POST",
        "2015-03-31/event-source-mappings",
        "CreateEventSourceMapping",
    ),
    (
        "GET",
        "2015-03-31/event-source-mappings/>",
        "GetEventSourceMapping",
    ),
    (
        "PUT",
        "2015-03-31/event-source-mappings/>",
        "UpdateEventSourceMapping",
    ),
    (
        "DELETE",
        "2015-03-31/event-source-mappings/>",
        "DeleteEventSourceMapping",
    ),
    ("GET", "2017-03-31/tags/>", "ListTags"),
    ("POST", "2017-03-31/tags/>", "TagResource"),
    ("DELETE", "2017-03-31/tags/>", "UntagResource"),
    ("GET", "2016-08-19/account-settings", "GetAccountSettings"),
    (
        "POST",
        "2015-03-31/functions/>/response-streaming-invocations",
        "InvokeWithResponseStream",
    ),
];

/// S3's operations by method, whether there is a key, and a parameter of the query; the first that fits counts.
const S3: [(&str, bool, &str, &str); 57] = [
    ("GET", false, "policyStatus", "GetBucketPolicyStatus"),
    ("GET", false, "policy", "GetBucketPolicy"),
    ("PUT", false, "policy", "PutBucketPolicy"),
    ("DELETE", false, "policy", "DeleteBucketPolicy"),
    ("GET", false, "tagging", "GetBucketTagging"),
    ("PUT", false, "tagging", "PutBucketTagging"),
    ("DELETE", false, "tagging", "DeleteBucketTagging"),
    ("GET", false, "encryption", "GetBucketEncryption"),
    ("PUT", false, "encryption", "PutBucketEncryption"),
    ("DELETE", false, "encryption", "DeleteBucketEncryption"),
    ("GET", false, "lifecycle", "GetBucketLifecycleConfiguration"),
    ("PUT", false, "lifecycle", "PutBucketLifecycleConfiguration"),
    ("DELETE", false, "lifecycle", "DeleteBucketLifecycle"),
    (
        "GET",
        false,
        "notification",
        "GetBucketNotificationConfiguration",
    ),
    (
        "PUT",
        false,
        "notification",
        "PutBucketNotificationConfiguration",
    ),
    (
        "GET",
        false,
        "ownershipControls",
        "GetBucketOwnershipControls",
    ),
    (
        "PUT",
        false,
        "ownershipControls",
        "PutBucketOwnershipControls",
    ),
    (
        "DELETE",
        false,
        "ownershipControls",
        "DeleteBucketOwnershipControls",
    ),
    ("GET", false, "publicAccessBlock", "GetPublicAccessBlock"),
    ("PUT", false, "publicAccessBlock", "PutPublicAccessBlock"),
    (
        "DELETE",
        false,
        "publicAccessBlock",
        "DeletePublicAccessBlock",
    ),
    ("GET", false, "versioning", "GetBucketVersioning"),
    ("PUT", false, "versioning", "PutBucketVersioning"),
    ("GET", false, "acl", "GetBucketAcl"),
    ("PUT", false, "acl", "PutBucketAcl"),
    ("GET", false, "location", "GetBucketLocation"),
    ("GET", false, "logging", "GetBucketLogging"),
    ("PUT", false, "logging", "PutBucketLogging"),
    ("GET", false, "cors", "GetBucketCors"),
    ("PUT", false, "cors", "PutBucketCors"),
    ("GET", false, "object-lock", "GetObjectLockConfiguration"),
    ("PUT", false, "object-lock", "PutObjectLockConfiguration"),
    ("GET", false, "versions", "ListObjectVersions"),
    ("GET", false, "uploads", "ListMultipartUploads"),
    ("GET", false, "list-type", "ListObjectsV2"),
    ("POST", false, "delete", "DeleteObjects"),
    ("GET", false, "", "ListObjects"),
    ("PUT", false, "", "CreateBucket"),
    ("HEAD", false, "", "HeadBucket"),
    ("DELETE", false, "", "DeleteBucket"),
    ("POST", true, "uploads", "CreateMultipartUpload"),
    ("PUT", true, "partNumber", "UploadPart"),
    ("GET", true, "uploadId", "ListParts"),
    ("POST", true, "uploadId", "CompleteMultipartUpload"),
    ("DELETE", true, "uploadId", "AbortMultipartUpload"),
    ("GET", true, "tagging", "GetObjectTagging"),
    ("PUT", true, "tagging", "PutObjectTagging"),
    ("DELETE", true, "tagging", "DeleteObjectTagging"),
    ("GET", true, "acl", "GetObjectAcl"),
    ("PUT", true, "acl", "PutObjectAcl"),
    ("GET", true, "attributes", "GetObjectAttributes"),
    ("POST", true, "restore", "RestoreObject"),
    ("GET", true, "", "GetObject"),
    ("PUT", true, "", "PutObject"),
    ("HEAD", true, "", "HeadObject"),
    ("DELETE", true, "", "DeleteObject"),
    ("POST", true, "select", "SelectObjectContent"),
];

/// Which operation this is.
pub(super) fn recognise(head: &Parts, body: &Bytes) -> Recognised {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let path = head.uri.path().trim_start_matches('/');
    let found = |service: &str, operation: &str, object: String, wire| Recognised {
        operation: format!("{service}:{operation}"),
        object,
        wire,
    };

    if let Some(target) = header("x-amz-target") {
        for (prefix, service, wire) in TARGETS {
            if let Some(operation) = target.strip_prefix(prefix) {
                return found(service, operation, named_in_json(body, &JSON_NAMES), wire);
            }
        }
    }
    if let Some(rest) = path.strip_prefix("service/GraniteServiceVersion20100801/operation/") {
        return found("cloudwatch", rest, named_in_cbor(body), Wire::Cbor);
    }
    let service = scope(header("authorization")).unwrap_or_default();
    if header("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
        && let Some(action) = form(body, "Action")
    {
        let object = FORM_NAMES.iter().find_map(|name| form(body, name));
        let object = object
            .map(|text| short(&text).to_owned())
            .unwrap_or_default();
        return found(service, &action, object, Wire::Query);
    }
    if service == "lambda"
        && let Some((operation, object)) = lambda(head.method.as_str(), path)
    {
        let object = if object.is_empty() {
            let from_body = named_in_json(body, &["FunctionName"]);
            let from_query =
                || query(head, "FunctionName").or_else(|| query(head, "EventSourceArn"));
            Some(from_body)
                .filter(|text| !text.is_empty())
                .or_else(from_query)
                .unwrap_or_default()
        } else {
            object
        };
        return found(
            service,
            operation,
            short(&object).to_owned(),
            Wire::RestJson,
        );
    }
    if service == "s3" || (service.is_empty() && !path.is_empty()) {
        let (operation, object) = s3(head, path);
        return found("s3", operation, object, Wire::S3);
    }
    found(
        "unknown",
        &format!("{} /{path}", head.method),
        String::new(),
        Wire::Json11,
    )
}

/// The service a request was signed for: `…/region/service/aws4_request`.
fn scope(authorization: Option<&str>) -> Option<&str> {
    let (_, rest) = authorization?.split_once("Credential=")?;
    rest.split([',', ' ']).next()?.split('/').nth(3)
}

fn lambda(method: &str, path: &str) -> Option<(&'static str, String)> {
    let given: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    LAMBDA.iter().find_map(|(wanted, template, operation)| {
        let template: Vec<&str> = template.split('/').collect();
        let fits = *wanted == method
            && template.len() == given.len()
            && template
                .iter()
                .zip(&given)
                .all(|(want, have)| matches!(*want, "*" | ">") || want == have);
        let named = template.iter().position(|segment| *segment == ">");
        fits.then(|| {
            (
                *operation,
                named.map(|at| decoded(given[at])).unwrap_or_default(),
            )
        })
    })
}

fn s3(head: &Parts, path: &str) -> (&'static str, String) {
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    if bucket.is_empty() {
        return ("ListBuckets", String::new());
    }
    let object = decoded(path.trim_end_matches(|c| key.is_empty() && c == '/'));
    if !key.is_empty() && head.headers.contains_key("x-amz-copy-source") {
        return ("CopyObject", object);
    }
    let asked = |name: &str| name.is_empty() || query(head, name).is_some();
    let row = S3.iter().find(|(method, with_key, parameter, _)| {
        *method == head.method.as_str() && *with_key != key.is_empty() && asked(parameter)
    });
    (row.map_or("Unknown", |row| row.3), object)
}

/// A parameter of the query, decoded; empty where it has no value.
pub(super) fn query(head: &Parts, name: &str) -> Option<String> {
    pairs(head.uri.query().unwrap_or_default(), name)
}

/// A field of a form.
pub(super) fn form(body: &[u8], name: &str) -> Option<String> {
    pairs(std::str::from_utf8(body).ok()?, name)
}

fn pairs(text: &str, name: &str) -> Option<String> {
    text.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(&value.replace('+', " ")))
    })
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn named_in_json(body: &[u8], fields: &[&str]) -> String {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = fields.iter().find_map(|field| request[*field].as_str());
    short(name.unwrap_or_default()).to_owned()
}

/// Alarms are named by the text after the key `AlarmName`, or the first in the list after `AlarmNames`. That much of CBOR is
/// no more than a byte that tells the text's length.
fn named_in_cbor(body: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        let (length, rest) = match *bytes {
            [byte @ 0x60..=0x77, ref rest @ ..] => (usize::from(byte - 0x60), rest),
            [0x78, length, ref rest @ ..] => (usize::from(length), rest),
            [0x79, high, low, ref rest @ ..] => {
                (usize::from(u16::from_be_bytes([high, low])), rest)
            }
            _ => return None,
        };
        std::str::from_utf8(rest.get(..length)?)
            .ok()
            .map(str::to_owned)
    };
    let after = |key: &str| {
        let at = body
            .windows(key.len())
            .position(|window| window == key.as_bytes())?;
        body.get(at + key.len()..)
    };
    let first = |list: &[u8]| list.split_first().and_then(|(_, rest)| text(rest));
    let found = after("\u{6a}AlarmNames").and_then(first);
    let found = found.or_else(|| after("\u{69}AlarmName").and_then(text));
    let found = found.or_else(|| after("\u{6b}ResourceARN").and_then(text));
    short(&found.unwrap_or_default()).to_owned()
}

/// The name at the end of an ARN or a queue's URL.
fn short(text: &str) -> &str {
    if text.starts_with("https://") || text.starts_with("http://") {
        return text.rsplit('/').next().unwrap_or(text);
    }
    if !text.starts_with("arn:") {
        return text;
    }
    let resource = text.splitn(6, ':').nth(5).unwrap_or(text);
    let kinds = [
        "function:",
        "event-source-mapping:",
        "stateMachine:",
        "execution:",
        "alarm:",
        "log-group:",
        "key/",
        "role/",
    ];
    let name = kinds
        .iter()
        .find_map(|kind| resource.strip_prefix(kind))
        .unwrap_or(resource);
    name.trim_end_matches(":*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn seen(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> (String, String) {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = request
            .body(Bytes::from(body.to_owned()))
            .unwrap()
            .into_parts();
        let found = recognise(&head, &body);
        (found.operation, found.object)
    }

    fn signed(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=1/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "one row for each form")]
    fn operations_and_objects() {
        let (lambda, s3, iam) = (signed("lambda"), signed("s3"), signed("iam"));
        let lambda = [("authorization", lambda.as_str())];
        let s3 = [("authorization", s3.as_str())];
        let iam = [
            ("authorization", iam.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        for (found, operation, object) in [
            (
                seen(
                    "POST",
                    "/",
                    &[("x-amz-target", "AmazonSQS.CreateQueue")],
                    r#"{"QueueName":"q"}"#,
                ),
                "sqs:CreateQueue",
                "q",
            ),
            (
                seen(
                    "POST",
                    "/",
                    &[("x-amz-target", "TrentService.PutKeyPolicy")],
                    r#"{"KeyId":"arn:aws:kms:r:1:key/k"}"#,
                ),
                "kms:PutKeyPolicy",
                "k",
            ),
            (
                seen(
                    "POST",
                    "/",
                    &iam,
                    "Action=PutRolePolicy&Version=2010-05-08&RoleName=a+b%2Fc&PolicyName=p",
                ),
                "iam:PutRolePolicy",
                "a b/c",
            ),
            (
                seen(
                    "POST",
                    "/2015-03-31/functions",
                    &lambda,
                    r#"{"FunctionName":"f"}"#,
                ),
                "lambda:CreateFunction",
                "f",
            ),
            (
                seen(
                    "DELETE",
                    "/2015-03-31/functions/arn%3Aaws%3Alambda%3Ar%3A1%3Afunction%3Af/policy/s",
                    &lambda,
                    "",
                ),
                "lambda:RemovePermission",
                "f",
            ),
            (
                seen(
                    "GET",
                    "/2015-03-31/event-source-mappings?FunctionName=f",
                    &lambda,
                    "",
                ),
                "lambda:ListEventSourceMappings",
                "f",
            ),
            (
                seen("PUT", "/b/?notification", &s3, ""),
                "s3:PutBucketNotificationConfiguration",
                "b",
            ),
            (seen("PUT", "/b", &s3, ""), "s3:CreateBucket", "b"),
            (
                seen("PUT", "/b/inbound/?x-id=PutObject", &s3, ""),
                "s3:PutObject",
                "b/inbound/",
            ),
            (
                seen("GET", "/b?list-type=2&prefix=x", &s3, ""),
                "s3:ListObjectsV2",
                "b",
            ),
            (
                seen("GET", "/?x-id=ListBuckets", &s3, ""),
                "s3:ListBuckets",
                "",
            ),
            (
                seen(
                    "POST",
                    "/service/GraniteServiceVersion20100801/operation/DeleteAlarms",
                    &[],
                    "\u{1}\u{6a}AlarmNames\u{1}\u{63}one",
                ),
                "cloudwatch:DeleteAlarms",
                "one",
            ),
        ] {
            assert_eq!(found, (operation.to_owned(), object.to_owned()));
        }
    }

    #[test]
    fn names_are_short() {
        assert_eq!(short("https://127.0.0.1:1/123456789012/q"), "q");
        assert_eq!(short("arn:aws:states:r:1:stateMachine:m"), "m");
        assert_eq!(
            short("arn:aws:logs:r:1:log-group:/aws/lambda/f:*"),
            "/aws/lambda/f"
        );
        assert_eq!(short("arn:aws:sns:r:1:t"), "t");
        assert_eq!(short("alias/k"), "alias/k");
    }
}
