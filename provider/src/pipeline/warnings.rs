//! What a change may bring that its plan does not show.

use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use super::blueprint::Node;
use super::named_by;
use super::schema::{Field, Origin, Shape, fields, subscription};
use super::validate::path;
use crate::parts::function::OTHER_CODE;
use crate::parts::subscription::discreet;
use crate::parts::tags::Ignored;

/// A warning that none of another pipeline may hide: Terraform shows one of each summary.
pub fn warning_of(whose: &str, summary: &str, detail: String) -> Diagnostic {
    Diagnostic::warning(format!("{summary}: {whose}"), detail)
}

/// Whether a state tells anything there.
fn is_there(state: &Value, at: &str) -> bool {
    state.at(&path(at)).is_some_and(|value| !value.is_null())
}

/// What a user should know of a change in place. A replacement takes everything with it, or is refused.
pub fn of_change(prior: &Value, planned: &Value) -> Diagnostics {
    let mut found = Vec::new();
    let there = |at: &str| is_there(prior, at);
    // An import may not have seen the state machine; where it is known to be missing, nobody waits.
    let may_wait = !there("made_at") || there("state_machine.arn");
    if may_wait {
        lost_callbacks(prior, planned, &mut found);
        found.extend(short_lived(prior, planned));
    }
    messages_that_age(prior, planned, &mut found);
    found.extend(unseen_answers(prior, planned));
    found.extend(gone_with(prior));
    unconfirmed(prior, planned, &mut found);
    left_pending(prior, planned, &mut found);
    found
}

/// Where the files of an exchange are, an exchange that is under way being looked for in the new place, and what opens them.
const PLACES: [(&str, &str); 4] = [
    (
        "task_token",
        "Their tokens stay where they are, and do not expire any more where that is `private/`.",
    ),
    ("bucket.inbound_prefix", KEPT),
    ("bucket.outbound_prefix", KEPT),
    (
        "kms_key_arn",
        "Messages that wait in the queue are lost as well, since the functions may then use the new key alone.",
    ),
];

/// What becomes of files in a place that is left.
const KEPT: &str = "What lies there stays, and does not expire any more.";

/// Warns of changes that would leave open callbacks behind.
fn lost_callbacks(prior: &Value, planned: &Value, found: &mut Diagnostics) {
    for (place, more) in PLACES {
        let path = path(place);
        let mut more = more.to_owned();
        let before = prior.at(&path).and_then(Value::as_str);
        // Of an object that is not known nothing in it is.
        let object = place
            .split_once('.')
            .and_then(|(object, _)| planned.get(object));
        let after = match object
            .filter(|object| object.is_unknown())
            .or(planned.at(&path))
        {
            Some(Value::String(after)) => format!("\"{after}\""),
            Some(Value::Unknown) => {
                if place == "kms_key_arn" {
                    more.push_str(" Should it come out as null, Terraform ends the apply before this pipeline is changed, and the next one replaces it.");
                }
                "something that is known only after apply".to_owned()
            }
            _ => continue,
        };
        if let Some(before) = before
            && after != format!("\"{before}\"")
        {
            let detail = format!(
                "Callbacks that are open while {path} changes from \"{before}\" to {after} are lost: their answers or their tokens are not found, or \
                 cannot be read, and their executions wait for their time-out. The data source bellflower_pending_callbacks lists them. {more}"
            );
            found.push(lost_of(prior, detail, path));
        }
    }
}

/// What is lost of a pipeline by a change at `path`.
fn lost_of(prior: &Value, detail: String, path: Path) -> Diagnostic {
    let whose = format!("{}, {path}", named_by(prior).unwrap_or_default());
    warning_of(&whose, "Open callbacks would be lost", detail).at(path)
}

/// Warns where objects are to expire before executions that wait already end: these keep the time-out that they began with.
fn short_lived(prior: &Value, planned: &Value) -> Option<Diagnostic> {
    const EXPIRATION: &str = "bucket.expiration_days";
    let number = |of: &Value, at: &str| of.at(&path(at)).and_then(Value::as_i64);
    let days = number(planned, EXPIRATION)?;
    let waits = number(prior, "state_machine.callback_timeout_seconds")?;
    let shorter = number(prior, EXPIRATION).is_none_or(|before| before <= 0 || days < before);
    if !shorter || days <= 0 {
        return None;
    }
    let wait = if days * 86_400 < waits {
        format!("Executions that wait already do so for up to {waits} s")
    } else {
        format!(
            "Executions that wait already keep the time-out they began with, which may have been longer than the {waits} s of now"
        )
    };
    let detail = format!(
        "{wait}, and what belongs to their callbacks now goes after {days} days: those that wait longer than that lose their work and their token. The \
         data source bellflower_pending_callbacks lists them."
    );
    Some(lost_of(prior, detail, path(EXPIRATION)))
}

/// Warns where messages are to be kept for less time than they have waited already: SQS deletes them for that, see
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>.
fn messages_that_age(prior: &Value, planned: &Value, found: &mut Diagnostics) {
    for queue in ["queue", "dead_letter_queue"] {
        let path = path(queue).attribute("message_retention_seconds");
        let seconds = |of: &Value| of.at(&path).and_then(Value::as_i64);
        if let (Some(before), Some(after)) = (seconds(prior), seconds(planned))
            && after < before
        {
            let detail = format!(
                "Messages that are in the queue already and were sent more than {after} s ago are deleted by SQS when {path} goes down from {before} s. Look for what is still needed first."
            );
            let whose = format!("{}, {queue}", named_by(prior).unwrap_or_default());
            found.push(warning_of(&whose, "Older messages would be lost", detail).at(path));
        }
    }
}

/// Warns where nobody was told of answers, since what tells of them, or who is told, is not there or is otherwise.
fn unseen_answers(prior: &Value, planned: &Value) -> Option<Diagnostic> {
    if !has_waited(prior) || !is_there(prior, "bucket.arn") {
        return None;
    }
    let text = |at: &str| prior.at(&path(at)).and_then(Value::as_str);
    // What has an attribute of its own is in no drift.
    let missing = [
        ("integration", "integration.arn"),
        ("integration.role", "integration.role.arn"),
        (POLICY, POLICY),
    ];
    let missing = missing
        .into_iter()
        .filter(|(_, told)| text(told).is_none_or(str::is_empty));
    let missing = missing.map(|(what, _)| what);
    let drift = keys(prior, "drift").into_iter().flatten();
    let is_same = |at: &str| prior.at(&path(at)) == planned.at(&path(at));
    let other = text(CODE).filter(|package| package.starts_with(OTHER_CODE));
    // What another version of the provider makes otherwise is nobody's change.
    let is_of_now = other.is_some() || is_same(CODE);
    let drift = drift.filter(|what| is_of_now || !what.starts_with("integration."));
    let trust = (is_of_now && !is_same(TRUST)).then_some(TRUST);
    let what = missing.chain(other.map(|_| CODE)).chain(trust).chain(drift);
    unseen(&named_by(prior)?, what)
}

/// Whether there may be executions that wait. An import may not have seen all, and without a state machine nobody ever waited.
fn has_waited(prior: &Value) -> bool {
    let known = ["tags_all", "state_machine.arn"];
    known.into_iter().all(|at| is_there(prior, at))
}

/// Parts that hold what callbacks need, and what that is.
const HOLDS: [(&str, &str); 4] = [
    (
        "bucket",
        "the work, the tokens and the answers of open callbacks",
    ),
    ("queue", "messages with work that was not handed over yet"),
    (
        "undeliverable_queue",
        "messages that could not be handled, and whose callbacks were to fail for that",
    ),
    (
        "dead_letter_queue",
        "events of answers that could not be handled, beside messages whose callbacks have failed",
    ),
];

/// Warns where somebody has taken away parts with what was in them.
fn gone_with(prior: &Value) -> Option<Diagnostic> {
    let is_there = |at: &str| is_there(prior, at);
    // 0.1.0, which wrote down no such moment, made no undeliverable queue.
    let is_missing = |(part, _): &&(&str, &str)| {
        !is_there(&format!("{part}.arn")) && (*part != "undeliverable_queue" || is_there("made_at"))
    };
    let missing = HOLDS.iter().filter(is_missing);
    let missing: Vec<String> = missing
        .map(|(part, held)| format!("{part} ({held})"))
        .collect();
    if missing.is_empty() || !has_waited(prior) {
        return None;
    }
    let detail = format!(
        "These are missing, or not the pipeline's by its tag: {}. What was in a part that was deleted went with it, and is not in the one that an apply makes: executions that depend on it wait for their time-out. \
         The data source bellflower_pending_callbacks lists who waits, and `aws stepfunctions stop-execution` ends an execution that waits in vain.",
        missing.join(", ")
    );
    let summary = "Open callbacks may be lost";
    Some(warning_of(&named_by(prior)?, summary, detail))
}

/// The keys of a map, where it is known.
fn keys<'a>(of: &'a Value, map: &str) -> Option<Vec<&'a str>> {
    match of.get(map) {
        Some(Value::Map(map)) => Some(map.keys().map(String::as_str).collect()),
        _ => None,
    }
}

const CODE: &str = "integration.package";
const POLICY: &str = "integration.role.policy";
const TRUST: &str = "integration.role.assume_role_policy";

/// Parts without which nobody is told of answers.
const TELL: [&str; 4] = [
    "integration",
    "integration.role",
    "notification",
    "permission",
];

/// Properties that these need for it.
const TELL_BY: [&str; 19] = [
    CODE,
    "integration.handler",
    "integration.kms_key_arn",
    TRUST,
    "integration.role.permissions_boundary",
    POLICY,
    "integration.role_arn",
    "integration.runtime",
    "integration.status",
    "integration.variables",
    "notification.events",
    "notification.filter_prefix",
    "notification.filter_suffix",
    "notification.lambda_function_arn",
    "permission.action",
    "permission.further",
    "permission.principal",
    "permission.source_account",
    "permission.source_arn",
];

/// The same of what is missing or otherwise: the first that matters.
pub fn unseen<'a>(whose: &str, mut what: impl Iterator<Item = &'a str>) -> Option<Diagnostic> {
    let what = what.find(|what| TELL.contains(what) || TELL_BY.contains(what))?;
    let how = if TELL.contains(&what) {
        format!("the part {what} is missing, or not the pipeline's by its tag")
    } else {
        format!("{what} is not as it should be")
    };
    let detail = format!(
        "While {how}, nobody may be told of answers, and S3 does not tell again. Have those that were written meanwhile written once more after the apply. The data source bellflower_pending_callbacks lists who waits."
    );
    Some(warning_of(whose, "Answers that were not seen", detail))
}

/// Warns where the pipeline's own key, whose ARN may be known, is not there any more, and what is encrypted with it is.
pub fn lost_key(prior: &Value, planned: &Value, arn: Option<&str>) -> Option<Diagnostic> {
    let there = |at: &str| is_there(prior, at);
    let own = planned
        .get("key")
        .is_some_and(|key| !key.is_null() && !key.is_unknown());
    // An import may not have seen it.
    let imported = !there("tags_all");
    if !own
        || imported
        || there("kms_key_arn")
        || there("key.arn")
        || !(there("bucket.arn") || there("queue.arn"))
    {
        return None;
    }
    let which = arn.map(|arn| format!(", {arn},")).unwrap_or_default();
    let id = arn.and_then(|arn| arn.rsplit_once('/'));
    let id = id.map_or("` with its id".to_owned(), |(_, id)| {
        format!(" --key-id {id}`")
    });
    let detail = format!(
        "The pipeline's KMS key{which} is not there, waits for its deletion, or has not the pipeline's tag, and an apply that is not refused makes another one. With that the files of open callbacks and the messages in the queues cannot be read. A key \
         that waits for its deletion can be had back: `aws kms cancel-key-deletion{id}, before the apply, which then enables it."
    );
    Some(lost_of(prior, detail, path("key")))
}

/// Warns of others that take messages from the pipeline's queues, by the part that should take them.
pub fn of_consumers(whose: &str, others: Vec<(&Node, Vec<String>)>) -> Diagnostics {
    let told = |(node, others): (&Node, Vec<String>)| {
        let detail = format!(
            "Messages of {} are given to others as well: {}. What they take does not come to the pipeline as it is configured, and executions may wait in vain until their time-out (a version of the pipeline's own function has the code and the variables of its \
             publication). Nothing of theirs is changed: delete such a \
             mapping with `aws lambda delete-event-source-mapping --uuid`, or subscribe its function to the topic.",
            node.part.name(),
            others.join(", ")
        );
        let whose = format!("{whose}, {}", node.path.join("."));
        let told = warning_of(&whose, "Messages taken by others", detail);
        (!others.is_empty()).then_some(told)
    };
    others.into_iter().filter_map(told).collect()
}

/// Warns of tags that the plan shows to go and that `ignore_tags` has: whoever sets them now keeps them.
pub fn of_tags_that_stay(prior: &Value, planned: &Value, ignored: &Ignored) -> Option<Diagnostic> {
    let mut stay = keys(prior, "tags_all")?;
    let after = keys(planned, "tags_all")?;
    stay.retain(|key| ignored.has(key) && !after.contains(key));
    let detail = format!(
        "The provider block's ignore_tags has these, which are taken out of the configuration, so that they stay on the parts as they are: {}. To have them removed, take them out of ignore_tags.",
        stay.join(", ")
    );
    (!stay.is_empty()).then(|| Diagnostic::warning("Tags that stay", detail).at(path("tags_all")))
}

/// Warns of whole objects that are not known yet and may hold another name, which is no change but a replacement.
pub fn of_unknown_names(config: &Value, prior: &Value) -> Diagnostics {
    let may_rename = |field: &&Field| {
        let Shape::Object(inner) = &field.shape else {
            return false;
        };
        let before = prior.get(field.name);
        let named = |field: &Field| {
            let name = before.and_then(|before| before.get(field.name));
            field.replace && name.is_some_and(|name| !name.is_null())
        };
        config.get(field.name).is_some_and(Value::is_unknown) && inner.iter().any(named)
    };
    let told = |field: &Field| {
        let detail = "It is known only after apply. Should it hold another name then, Terraform ends the apply before this pipeline is changed, and calls it an inconsistent plan: the next plan \
                      shows the replacement. Give names that are known, and let what is unknown stand in single arguments.";
        Diagnostic::warning("A name that may change", detail).at(path(field.name))
    };
    fields().iter().filter(may_rename).map(told).collect()
}

/// What says which subscription it is.
const IDENTITY: [&str; 2] = ["protocol", "endpoint"];

/// The subscriptions that waited for their receiver, by their labels.
fn pending(prior: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let all = prior.get("subscriptions").and_then(Value::as_map);
    let pending = |(_, one): &(&String, &Value)| {
        one.get("pending_confirmation").and_then(Value::as_bool) == Some(true)
    };
    all.into_iter().flatten().filter(pending)
}

/// Warns of subscriptions that are taken away while they wait for their receiver: nobody but he, or the end of the topic, can end them.
fn left_pending(prior: &Value, planned: &Value, found: &mut Diagnostics) {
    let after = planned.get("subscriptions");
    if after.is_some_and(Value::is_unknown) {
        return;
    }
    for (name, before) in pending(prior) {
        let same = |now: &Value| {
            IDENTITY.iter().all(|attribute| {
                let now = now.get(attribute);
                now.is_some_and(Value::is_unknown) || now == before.get(attribute)
            })
        };
        // Under whichever label: that is Terraform's alone.
        let mut all = after.and_then(Value::as_map).into_iter().flatten();
        if all.any(|(_, now)| same(now)) {
            continue;
        }
        let [protocol, endpoint] = IDENTITY.map(|attribute| {
            before
                .get(attribute)
                .and_then(Value::as_str)
                .unwrap_or_default()
        });
        let detail = format!(
            "The subscription of \"{}\" by {protocol} waits for its receiver's confirmation, and SNS lets nobody take it away before that. Who has the link can still confirm it \
             for some days and then gets the messages: look at the topic's subscriptions then, and remove it there.",
            discreet(endpoint)
        );
        let path = path("subscriptions").key(name);
        found.push(Diagnostic::warning("Subscription may still be confirmed", detail).at(path));
    }
}

/// Warns of changes of subscriptions that wait for their receiver: SNS takes none until then.
fn unconfirmed(prior: &Value, planned: &Value, found: &mut Diagnostics) {
    let after = planned.get("subscriptions").and_then(Value::as_map);
    for (name, before) in pending(prior) {
        let Some(after) = after.and_then(|all| all.get(name)) else {
            continue;
        };
        let differs = |attribute: &&str| before.get(attribute) != after.get(attribute);
        if IDENTITY.iter().any(differs) {
            continue;
        }
        let settable = |field: &Field| !matches!(field.origin, Origin::Required | Origin::Computed);
        for field in subscription().into_iter().filter(settable) {
            let attribute = field.name;
            if !differs(&attribute) {
                continue;
            }
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
