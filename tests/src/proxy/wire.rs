//! Errors in the words and the form of each service, and the code in an answer of one.

use hyper::body::Bytes;
use hyper::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

/// How a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// awsJson 1.0: Step Functions.
    Json10,
    /// awsJson 1.1: KMS, CloudWatch Logs.
    Json11,
    /// awsJson 1.0 with the codes of the query protocol in a header: SQS.
    Sqs,
    /// awsQuery: IAM, SNS, STS.
    Query,
    /// restJson: Lambda.
    RestJson,
    /// RPC v2 with CBOR: CloudWatch.
    Cbor,
    /// restXml: S3.
    S3,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    fn new(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(kind));
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// A JSON answer that says that all went well.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(super) fn success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; null where it is none.
    pub(super) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Another JSON body.
    pub(super) fn replace(&mut self, value: &Value) {
        self.body = value.to_string().into();
    }

    /// A body made of this one.
    pub(super) fn rewrite(&mut self, rewriting: impl Fn(&str) -> String) {
        self.body = rewriting(&String::from_utf8_lossy(&self.body)).into();
    }

    fn header(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
    }

    /// The error code in it, if it is an error.
    pub(super) fn code(&self) -> Option<String> {
        if self.status < 400 {
            return None;
        }
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let plain = |text: &str| {
            let text = text.split([':', ';']).next().unwrap_or(text);
            text.rsplit('#').next().unwrap_or(text).to_owned()
        };
        if let Some(text) = header("x-amzn-query-error").or_else(|| header("x-amzn-errortype")) {
            return Some(plain(text));
        }
        let value = self.value();
        if let Some(text) = value["__type"].as_str().or_else(|| value["code"].as_str()) {
            return Some(plain(text));
        }
        let text = String::from_utf8_lossy(&self.body);
        let between =
            |from: &str, to: &str| Some(text.split_once(from)?.1.split_once(to)?.0.to_owned());
        between("<Code>", "</Code>").or_else(|| {
            let rest = text.split_once("__type")?.1;
            let code: String = rest
                .chars()
                .skip(1)
                .take_while(char::is_ascii_graphic)
                .collect();
            Some(plain(&code)).filter(|code| !code.is_empty())
        })
    }
}

/// What an error answer is for.
#[derive(Debug, Clone)]
pub(super) struct To<'a> {
    pub(super) operation: &'a str,
    pub(super) wire: Wire,
    /// Whether the client wants the codes of the query protocol.
    pub(super) query_mode: bool,
    pub(super) request_id: &'a str,
}

/// Shapes of SQS whose wire code is another.
const SQS_SHAPES: [(&str, &str); 6] = [
    (
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
    ),
    (
        "AWS.SimpleQueueService.QueueDeletedRecently",
        "QueueDeletedRecently",
    ),
    (
        "AWS.SimpleQueueService.UnsupportedOperation",
        "UnsupportedOperation",
    ),
    ("QueueAlreadyExists", "QueueNameExists"),
    ("KMS.AccessDeniedException", "KmsAccessDenied"),
    ("KMS.ThrottlingException", "KmsThrottled"),
];

impl To<'_> {
    fn service(&self) -> &str {
        self.operation.split(':').next().unwrap_or_default()
    }

    /// An error with this code and message.
    pub(super) fn error(&self, status: u16, code: &str, message: &str) -> Answer {
        let sender = if status < 500 { "Sender" } else { "Receiver" };
        let mut answer = match self.wire {
            Wire::Json10 => {
                let body = json!({"__type": format!("com.amazonaws.{}#{code}", self.service()), "message": message});
                Answer::new(status, "application/x-amz-json-1.0", body.to_string())
            }
            Wire::Json11 => {
                let body = json!({"__type": code, "message": message});
                Answer::new(status, "application/x-amz-json-1.1", body.to_string())
            }
            Wire::Sqs => {
                let shape = SQS_SHAPES
                    .iter()
                    .find(|row| row.0 == code)
                    .map_or(code, |row| row.1);
                let body =
                    json!({"__type": format!("com.amazonaws.sqs#{shape}"), "message": message});
                Answer::new(status, "application/x-amz-json-1.0", body.to_string())
            }
            Wire::RestJson => {
                let kind = if status < 500 { "User" } else { "Service" };
                let mut answer = Answer::new(
                    status,
                    "application/json",
                    json!({"Type": kind, "message": message}).to_string(),
                );
                answer.header("x-amzn-errortype", code);
                answer
            }
            Wire::Query => {
                let (code, message) = (escaped(code), escaped(message));
                let body = format!(
                    "<ErrorResponse xmlns=\"http://{}.amazonaws.com/doc/2010-03-31/\"><Error><Type>{sender}</Type><Code>{code}</Code>\
                     <Message>{message}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
                    self.service(),
                    self.request_id
                );
                Answer::new(status, "text/xml", body)
            }
            Wire::S3 => {
                let (code, message) = (escaped(code), escaped(message));
                let body = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
                     <RequestId>{}</RequestId><HostId>bellflower</HostId></Error>",
                    self.request_id
                );
                let mut answer = Answer::new(status, "application/xml", body);
                answer.header("x-amz-request-id", self.request_id);
                answer.header("x-amz-id-2", "bellflower");
                answer
            }
            Wire::Cbor => {
                let mut body = vec![0xa2];
                for text in ["__type", code, "message", message] {
                    cbor_text(&mut body, text);
                }
                let mut answer = Answer::new(status, "application/cbor", body);
                answer.header("smithy-protocol", "rpc-v2-cbor");
                answer
            }
        };
        if self.wire != Wire::S3 {
            answer.header("x-amzn-requestid", self.request_id);
        }
        if self.query_mode && matches!(self.wire, Wire::Sqs | Wire::Cbor) {
            answer.header("x-amzn-query-error", &format!("{code};{sender}"));
        }
        answer
    }

    /// The server failed with this status.
    pub(super) fn failed(&self, status: u16) -> Answer {
        let (code, message) = match (status, self.service()) {
            (500, "s3") => (
                "InternalError",
                "We encountered an internal error. Please try again.",
            ),
            (500, "lambda") => ("ServiceException", "Internal server error"),
            (500, "kms") => ("KMSInternalException", "An internal error occurred"),
            // Seen with an empty message.
            (500, "sqs") => ("InternalFailure", ""),
            (500, _) => (
                "InternalFailure",
                "The request processing has failed because of an unknown error.",
            ),
            (_, "s3") => ("ServiceUnavailable", "Service is unable to handle request."),
            (_, "logs") => (
                "ServiceUnavailableException",
                "The service cannot complete the request.",
            ),
            _ => (
                "ServiceUnavailable",
                "The request has failed due to a temporary failure of the server.",
            ),
        };
        self.error(status, code, message)
    }

    /// Too many calls.
    pub(super) fn throttled(&self) -> Answer {
        let (status, code, message) = match self.service() {
            "s3" => (503, "SlowDown", "Please reduce your request rate."),
            "lambda" => (429, "TooManyRequestsException", "Rate exceeded"),
            "sqs" => (403, "RequestThrottled", "Request is throttled."),
            "kms" | "logs" | "states" | "tag" => (400, "ThrottlingException", "Rate exceeded"),
            _ => (400, "Throttling", "Rate exceeded"),
        };
        self.error(status, code, message)
    }
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn cbor_text(body: &mut Vec<u8>, text: &str) {
    let [high, low] = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
    match (high, low) {
        (0, 0..=23) => body.push(0x60 + low),
        (0, _) => body.extend([0x78, low]),
        _ => body.extend([0x79, high, low]),
    }
    body.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_read_in_every_form() {
        for (operation, wire) in [
            ("states:CreateStateMachine", Wire::Json10),
            ("kms:CreateKey", Wire::Json11),
            ("sqs:CreateQueue", Wire::Sqs),
            ("iam:CreateRole", Wire::Query),
            ("lambda:CreateFunction", Wire::RestJson),
            ("cloudwatch:PutMetricAlarm", Wire::Cbor),
            ("s3:CreateBucket", Wire::S3),
        ] {
            let to = To {
                operation,
                wire,
                query_mode: true,
                request_id: "r",
            };
            let answer = to.error(400, "SomethingWrong", "a message of some length & more");
            assert_eq!(
                answer.code().as_deref(),
                Some("SomethingWrong"),
                "{operation}"
            );
        }
    }
}
