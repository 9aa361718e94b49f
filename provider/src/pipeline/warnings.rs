//! What a change may bring that its plan does not show.

use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use super::validate::path;

/// What a user should know of a change of a pipeline that exists, be it in place or by a replacement.
pub fn of_change(prior: &Value, planned: &Value, in_place: bool) -> Diagnostics {
    let mut found = Vec::new();
    lost_callbacks(prior, planned, &mut found);
    if in_place {
        unconfirmed(prior, planned, &mut found);
    }
    found
}

/// Where the files of an exchange are; an exchange that is under way is looked for in the new place.
const PLACES: [&str; 3] = [
    "task_token",
    "bucket.inbound_prefix",
    "bucket.outbound_prefix",
];

/// Warns of changes that would leave open callbacks behind.
fn lost_callbacks(prior: &Value, planned: &Value, found: &mut Diagnostics) {
    for place in PLACES {
        let path = path(place);
        let [before, after] = [prior, planned].map(|value| value.at(&path).and_then(Value::as_str));
        let (Some(before), Some(after)) = (before, after) else {
            continue;
        };
        if before != after {
            let detail = format!(
                "Callbacks that are open while {path} changes from \"{before}\" to \"{after}\" are lost: their answers are not seen, or their tokens not \
                 found, and their executions wait for their time-out. The data source bellflower_pending_callbacks lists them."
            );
            found.push(Diagnostic::warning("Open callbacks would be lost", detail).at(path));
        }
    }
}

/// What says which subscription it is.
const IDENTITY: [&str; 2] = ["protocol", "endpoint"];

/// What SNS takes for a subscription once it is confirmed.
const ATTRIBUTES: [&str; 5] = [
    "raw_message_delivery",
    "filter_policy",
    "filter_policy_scope",
    "redrive_policy",
    "subscription_role_arn",
];

/// Warns of changes of subscriptions that wait for their receiver: SNS takes none until then.
fn unconfirmed(prior: &Value, planned: &Value, found: &mut Diagnostics) {
    let all = |value| Value::get(value, "subscriptions").and_then(Value::as_map);
    let (Some(before), Some(after)) = (all(prior), all(planned)) else {
        return;
    };
    for (name, after) in after {
        let Some(before) = before.get(name) else {
            continue;
        };
        let pending = before.get("pending_confirmation").and_then(Value::as_bool) == Some(true);
        let differs = |attribute: &&str| before.get(attribute) != after.get(attribute);
        if !pending || IDENTITY.iter().any(differs) {
            continue;
        }
        for attribute in ATTRIBUTES.into_iter().filter(differs) {
            let path = Path::root()
                .attribute("subscriptions")
                .key(name)
                .attribute(attribute);
            let detail = "The receiver has not confirmed this subscription yet, and SNS takes no change before. Until the first apply after the confirmation it is \
                          as it was when it was made.";
            found.push(Diagnostic::warning("Subscription not confirmed yet", detail).at(path));
        }
    }
}
