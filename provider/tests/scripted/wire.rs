//! Answers in the wire form of each service.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;
use http_body_util::{Full, Limited};
use serde_json::{Value, json};

use super::REQUEST_ID;

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An error of the service: code, message, HTTP status.
    Error(&'static str, &'static str, u16),
    /// The same from an SQS endpoint without the header for the codes of old.
    Plain(&'static str, &'static str, u16),
    /// An answer that is none.
    Garbled,
    /// The connection breaks in the middle of the answer.
    Cut,
    /// The connection breaks before an answer came.
    Reset,
    /// No answer comes, and the connection stands.
    Hang,
}

/// One answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// JSON, for services that speak it or CBOR.
    Json(Value),
    /// XML: for services of the query protocol what is inside the result, for S3 all of it.
    Xml(&'static str),
    /// Success without content.
    Empty,
    Fault(Fault),
}

fn cbor_head(major: u8, length: usize, out: &mut Vec<u8>) {
    out.push((major << 5) | 0x19);
    out.extend(u16::try_from(length).unwrap().to_be_bytes());
}

fn cbor(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            cbor_head(5, map.len(), out);
            for (key, value) in map {
                cbor(&json!(key), out);
                cbor(value, out);
            }
        }
        Value::Array(list) => {
            cbor_head(4, list.len(), out);
            for value in list {
                cbor(value, out);
            }
        }
        Value::String(text) => {
            cbor_head(3, text.len(), out);
            out.extend(text.as_bytes());
        }
        other => panic!("{other} has no CBOR form here"),
    }
}

/// The answer to a request of `operation`, which is `service:Name`.
pub fn response(operation: &str, reply: &Reply) -> HttpResponse {
    let (service, name) = operation.split_once(':').unwrap();
    let mut headers = vec![match service {
        "s3" => ("x-amz-request-id", REQUEST_ID.to_owned()),
        _ => ("x-amzn-requestid", REQUEST_ID.to_owned()),
    }];
    if service == "cloudwatch" {
        headers.push(("smithy-protocol", "rpc-v2-cbor".to_owned()));
    }
    let query = matches!(service, "iam" | "sns");
    let (status, body) = match reply {
        Reply::Fault(Fault::Error(code, message, status)) => {
            match service {
                "lambda" => headers.push(("x-amzn-errortype", (*code).to_owned())),
                "sqs" => headers.push(("x-amzn-query-error", format!("{code};Sender"))),
                _ => {}
            }
            (*status, error(service, code, message))
        }
        Reply::Fault(Fault::Plain(code, message, status)) => {
            (*status, error(service, code, message))
        }
        Reply::Fault(Fault::Garbled | Fault::Cut) => (200, b"<html>Welcome to this hotel".to_vec()),
        Reply::Fault(fault) => panic!("{fault:?} has no answer"),
        Reply::Xml(inner) if query => (
            200,
            format!("<{name}Response><{name}Result>{inner}</{name}Result></{name}Response>")
                .into_bytes(),
        ),
        Reply::Xml(whole) => (200, whole.as_bytes().to_vec()),
        Reply::Json(value) if service == "cloudwatch" => {
            let mut bytes = Vec::new();
            cbor(value, &mut bytes);
            (200, bytes)
        }
        Reply::Json(value) => (200, value.to_string().into_bytes()),
        Reply::Empty if query => (
            200,
            format!("<{name}Response><{name}Result/></{name}Response>").into_bytes(),
        ),
        Reply::Empty if service == "cloudwatch" => {
            let mut bytes = Vec::new();
            cbor(&json!({}), &mut bytes);
            (200, bytes)
        }
        Reply::Empty if service == "s3" => (200, Vec::new()),
        Reply::Empty => (200, b"{}".to_vec()),
    };
    let body = match reply {
        // An answer to HEAD has no content, so that its status is all it says.
        _ if name == "HeadBucket" => SdkBody::empty(),
        Reply::Fault(Fault::Cut) => cut(),
        _ => SdkBody::from(body),
    };
    let mut response = Response::new(StatusCode::try_from(status).unwrap(), body);
    for (name, value) in headers {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A body that ends before its end.
fn cut() -> SdkBody {
    SdkBody::from_body_1_x(Limited::new(Full::from("{\"Half"), 1))
}

/// The content of an error answer.
fn error(service: &str, code: &str, message: &str) -> Vec<u8> {
    match service {
        "s3" => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message>\
             <RequestId>{REQUEST_ID}</RequestId></Error>"
        )
        .into_bytes(),
        "iam" | "sns" => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
        )
        .into_bytes(),
        "lambda" => json!({ "Type": "User", "message": message }).to_string().into_bytes(),
        "cloudwatch" => {
            let mut bytes = Vec::new();
            cbor(&json!({ "__type": code, "message": message }), &mut bytes);
            bytes
        }
        "sqs" => {
            // The shape has another name than the code of old.
            let shape = match code {
                "AWS.SimpleQueueService.NonExistentQueue" => "QueueDoesNotExist",
                other => other.rsplit('.').next().unwrap_or(other),
            };
            json!({ "__type": format!("com.amazonaws.sqs#{shape}"), "message": message }).to_string().into_bytes()
        }
        _ => json!({ "__type": code, "message": message }).to_string().into_bytes(),
    }
}
