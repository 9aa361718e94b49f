//! What SNS takes as a subscription.

use serde_json::{Map, Value as Json};
use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use super::table::{is_arn, kind};
use super::together::View;
use crate::documents::names::FIFO;
use crate::parts::subscription::{discreet, masked};

pub fn subscriptions(view: &View, found: &mut Diagnostics) {
    let Some(map) = view.at("subscriptions").and_then(Value::as_map) else {
        return;
    };
    let mut seen = Vec::new();
    for (name, entry) in map {
        let at = |argument: &str| {
            Path::root()
                .attribute("subscriptions")
                .key(name)
                .attribute(argument)
        };
        let text = |argument: &str| entry.get(argument).and_then(Value::as_str);
        if name.trim().is_empty() {
            let detail = "A subscription needs a label, by which plans and errors name it: this one is empty or blank.";
            let path = Path::root().attribute("subscriptions").key(name);
            found.push(Diagnostic::error("No label", detail).at(path));
        }
        let (Some(protocol), Some(endpoint)) = (text("protocol"), text("endpoint")) else {
            continue;
        };
        // SNS shows no passwords: those that differ in them alone could not be told apart.
        let shown = discreet(endpoint);
        if seen.contains(&(protocol, masked(endpoint))) {
            let detail = format!(
                "Another subscription delivers to \"{shown}\" by {protocol} already; SNS keeps one of them."
            );
            found.push(Diagnostic::error("Subscription twice", detail).at(at("endpoint")));
        }
        if let Some(needed) = misfit(protocol, endpoint) {
            let detail = format!(
                "The endpoint \"{shown}\" does not fit the protocol {protocol}: needed is {needed}."
            );
            found.push(
                Diagnostic::error("Endpoint does not fit the protocol", detail).at(at("endpoint")),
            );
        }
        seen.push((protocol, masked(endpoint)));
        let raw = entry.get("raw_message_delivery").and_then(Value::as_bool) == Some(true);
        if raw && !matches!(protocol, "sqs" | "http" | "https" | "firehose") {
            let detail = format!(
                "raw_message_delivery is for sqs, http, https and firehose, not for {protocol}."
            );
            found.push(
                Diagnostic::error("Value not allowed", detail).at(at("raw_message_delivery")),
            );
        }
        if protocol == "firehose"
            && entry
                .get("subscription_role_arn")
                .is_none_or(Value::is_null)
        {
            let detail = "The protocol firehose needs subscription_role_arn.";
            found.push(Diagnostic::error("No role", detail).at(at("protocol")));
        }
        if protocol != "firehose" && text("subscription_role_arn").is_some() {
            let detail = format!("subscription_role_arn is for firehose, not for {protocol}.");
            found.push(
                Diagnostic::error("Value not allowed", detail).at(at("subscription_role_arn")),
            );
        }
        if text("filter_policy_scope").is_some()
            && entry.get("filter_policy").is_none_or(Value::is_null)
        {
            let detail =
                "filter_policy_scope says what filter_policy looks at: give filter_policy too.";
            found.push(Diagnostic::error("No filter policy", detail).at(at("filter_policy_scope")));
        }
        let object =
            |argument: &str| serde_json::from_str::<Map<String, Json>>(text(argument)?).ok();
        let nested = text("filter_policy_scope") == Some("MessageBody");
        let scope_known = entry
            .get("filter_policy_scope")
            .is_none_or(|scope| !scope.is_unknown());
        if let Some(policy) = object("filter_policy").filter(|_| scope_known)
            && let Some(detail) = unfit_filter(&policy, nested)
        {
            found.push(
                Diagnostic::error("Filter policy not allowed", detail).at(at("filter_policy")),
            );
        }
        if let Some(policy) = object("redrive_policy") {
            let target = text("redrive_policy").and_then(dead_letter_target);
            let good = policy.len() == 1 && target.is_some_and(|arn| misfit("sqs", &arn).is_none());
            if !good {
                let detail = "redrive_policy must hold deadLetterTargetArn, the ARN of a standard SQS queue, and nothing else, as in \
                              {\"deadLetterTargetArn\": \"arn:aws:sqs:eu-west-1:123456789012:undelivered\"}.";
                found.push(
                    Diagnostic::error("Redrive policy without a queue", detail)
                        .at(at("redrive_policy")),
                );
            }
        }
    }
}

/// The most keys of a filter policy, and the most combinations of its values.
const FILTER_KEYS: usize = 5;
const FILTER_COMBINATIONS: usize = 150;

/// What SNS does not take in a filter policy, by
/// <https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html>.
fn unfit_filter(policy: &Map<String, Json>, nested: bool) -> Option<String> {
    let mut keys = 0;
    let mut combinations: usize = 1;
    let mut open: Vec<(&String, &Json)> = policy.iter().collect();
    while let Some((key, value)) = open.pop() {
        match value {
            // Its alternatives are policies themselves; SNS alone counts these rightly.
            Json::Array(_) if key == "$or" => {}
            Json::Array(values) => {
                if values.is_empty() || values.iter().any(Json::is_array) {
                    return Some(format!(
                        "\"{key}\" of the filter policy is {value}; needed is at least one value, none of them an array."
                    ));
                }
                keys += 1;
                combinations = combinations.saturating_mul(values.len());
            }
            Json::Object(inner) if nested => open.extend(inner),
            _ => {
                let (needed, hint) = if nested {
                    ("an array of values, or an object of such", "")
                } else {
                    (
                        "an array of values",
                        " Nested objects need filter_policy_scope = \"MessageBody\".",
                    )
                };
                return Some(format!(
                    "\"{key}\" of the filter policy is {}; needed is {needed}.{hint}",
                    kind(value)
                ));
            }
        }
    }
    if keys > FILTER_KEYS {
        return Some(format!(
            "The filter policy has {keys} keys; at most {FILTER_KEYS} are allowed."
        ));
    }
    (combinations > FILTER_COMBINATIONS).then(|| {
        format!(
            "The filter policy has {combinations} combinations of values (the product of how many each key has); at most \
             {FILTER_COMBINATIONS} are allowed."
        )
    })
}

/// What an endpoint of this protocol looks like, if `endpoint` does not.
fn misfit(protocol: &str, endpoint: &str) -> Option<&'static str> {
    let arn = |service: &str, kind: &str| {
        let named = |resource: &str| {
            resource
                .strip_prefix(kind)
                .is_some_and(|name| !name.is_empty())
        };
        is_arn(endpoint, service, named)
    };
    let spaced = endpoint.contains(char::is_whitespace);
    let (good, needed) = match protocol {
        "email" | "email-json" => {
            let good = endpoint
                .split_once('@')
                .is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'));
            (good && !spaced, "an e-mail address")
        }
        "http" => (
            endpoint.starts_with("http://") && endpoint.len() > 7 && !spaced,
            "a URL that begins with http://",
        ),
        "https" => (
            endpoint.starts_with("https://") && endpoint.len() > 8 && !spaced,
            "a URL that begins with https://",
        ),
        "sqs" if endpoint.ends_with(FIFO) => (
            false,
            "the ARN of an SQS queue that is no FIFO queue, since a standard topic cannot deliver to these",
        ),
        "sqs" => (
            arn("sqs", ""),
            "the ARN of an SQS queue, such as arn:aws:sqs:eu-west-1:123456789012:NAME",
        ),
        "lambda" => (
            arn("lambda", "function:"),
            "the ARN of a Lambda function, such as arn:aws:lambda:eu-west-1:123456789012:function:NAME",
        ),
        "firehose" => (
            arn("firehose", "deliverystream/"),
            "the ARN of a Firehose delivery stream, such as arn:aws:firehose:eu-west-1:123456789012:deliverystream/NAME",
        ),
        "application" => (
            arn("sns", "endpoint/"),
            "the ARN of an SNS platform endpoint, such as arn:aws:sns:eu-west-1:123456789012:endpoint/GCM/NAME/ID",
        ),
        "sms" => {
            // SNS would add the sign itself, and tell of a number that was never asked for.
            let good = endpoint.strip_prefix('+').is_some_and(|digits| {
                (4..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
            });
            (
                good,
                "a phone number with + and the country's code, such as +491701234567",
            )
        }
        _ => (true, ""),
    };
    (!good).then_some(needed)
}

/// The queue in a subscription's redrive policy.
pub fn dead_letter_target(policy: &str) -> Option<String> {
    let policy: Json = serde_json::from_str(policy).ok()?;
    Some(policy.get("deadLetterTargetArn")?.as_str()?.to_owned())
}
