//! What is wrong with a configuration in its place: an account, a region, the provider's tags.

use std::collections::BTreeMap;

use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use super::subscriptions::dead_letter_target;
use super::together::look_at_left;
use super::{complain, path};
use crate::documents::{Place, names};
use crate::parts::tags;
use crate::pipeline::blueprint::{mark_of, pipeline_alarm};
use crate::pipeline::schema::{AlarmRow, Check, Field, PIPELINE_ALARMS, Shape, fields};

/// Looks at what follows from the configuration, the place and what was `before`: names too long for their service, a key of another region.
#[must_use]
pub fn validate_planned(
    config: &Value,
    planned: &Value,
    before: Option<&Value>,
    place: &Place,
) -> Diagnostics {
    let mut found = Vec::new();
    look_at_left(config, before, &mut found);
    names(config, planned, place, &mut found);
    twins(config, planned, &mut found);
    own_queue(config, planned, &mut found);
    if let Some(all) = planned.get("tags_all").and_then(Value::as_map) {
        let none = BTreeMap::new();
        let written = config.get("tags").and_then(Value::as_map).unwrap_or(&none);
        crowd(all, written, &mut found);
    }
    elsewhere(config, place, &mut found);
    own_subscriber(config, planned, &mut found);
    of_iam(config, place, &mut found);
    path_of_roles(config, planned, &mut found);
    for (at, summary, what, who) in ABROAD {
        let arn = planned.at(&path(at)).and_then(Value::as_str);
        let region = arn.and_then(|arn| arn.split(':').nth(3));
        if let Some(region) = region.filter(|region| *region != place.region) {
            let detail = format!(
                "The {what} is in {region}, the pipeline in {here}. {who} of their own region only: give a {what} of {here}.",
                here = place.region
            );
            complain(&mut found, at, summary, detail);
        }
    }
    found
}

/// What is given by its ARN and has to be in the pipeline's region.
const ABROAD: [(&str, &str, &str, &str); 2] = [
    (
        "kms_key_arn",
        "Key of another region",
        "key",
        "S3, SQS, SNS and CloudWatch Logs take keys",
    ),
    (
        "bucket.outbound_queue_arn",
        "Queue of another region",
        "queue",
        "The notifications of S3 buckets take queues",
    ),
];

/// Work that S3 tells the pipeline's own queues of would come to its functions as messages that nobody sent; their policies do not let S3 in either.
fn own_queue(config: &Value, planned: &Value, found: &mut Diagnostics) {
    const AT: &str = "bucket.outbound_queue_arn";
    let Some(arn) = config.at(&path(AT)).and_then(Value::as_str) else {
        return;
    };
    for queue in ["queue", "undeliverable_queue", "dead_letter_queue"] {
        let own = planned.at(&path(&format!("{queue}.arn")));
        if own.and_then(Value::as_str) == Some(arn) {
            let detail = format!(
                "\"{arn}\" is {queue} of this pipeline, which is not for the business application: give a queue of your own."
            );
            complain(found, AT, "A queue of the pipeline's own", detail);
        }
    }
}

/// What the pipeline works with itself lets SNS in neither, and takes no notices for messages of its own.
fn own_subscriber(config: &Value, planned: &Value, found: &mut Diagnostics) {
    let map = config.get("subscriptions").and_then(Value::as_map);
    for (name, entry) in map.into_iter().flatten() {
        let endpoint = entry.get("endpoint").and_then(Value::as_str);
        for part in [
            "queue",
            "undeliverable_queue",
            "dead_letter_queue",
            "integration",
        ] {
            let own = planned
                .at(&path(&format!("{part}.arn")))
                .and_then(Value::as_str);
            if own.is_some() && own == endpoint {
                let detail = format!(
                    "This is {part} of this pipeline, which takes no messages of its topic: give an endpoint of your own."
                );
                let path = path("subscriptions").key(name).attribute("endpoint");
                found.push(Diagnostic::error("A part of the pipeline's own", detail).at(path));
            }
        }
    }
}

/// IAM takes a boundary that is AWS's own or of the role's account, and lets nobody pass on a role of another.
fn of_iam(config: &Value, place: &Place, found: &mut Diagnostics) {
    let mut look = |at: Path, what: &str, takes: &str| {
        let arn = config.at(&at).and_then(Value::as_str);
        let fields: Vec<&str> = arn.unwrap_or_default().split(':').collect();
        let [_, partition, _, _, account, ..] = fields[..] else {
            return;
        };
        let is_here = account == place.account || what == "policy" && account == "aws";
        let [of, theirs, here] = if partition != place.partition {
            ["partition", partition, &place.partition]
        } else if is_here {
            return;
        } else {
            ["account", account, &place.account]
        };
        let detail = format!(
            "The {what} is in {of} {theirs}, the pipeline in {here}. {takes}: give one of {here}."
        );
        found.push(Diagnostic::error(format!("A {what} of another {of}"), detail).at(at));
    };
    let takes = "IAM takes policies of the role's own account, and AWS's own";
    look(path("permissions_boundary"), "policy", takes);
    let map = config.get("subscriptions").and_then(Value::as_map);
    for name in map.into_iter().flat_map(BTreeMap::keys) {
        let at = path("subscriptions").key(name);
        let takes = "SNS takes roles of the topic's own account";
        look(at.attribute("subscription_role_arn"), "role", takes);
    }
}

/// Step Functions takes shorter ARNs of roles than IAM makes, see
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html>.
fn path_of_roles(config: &Value, planned: &Value, found: &mut Diagnostics) {
    const AT: &str = "iam_path";
    const LONGEST: usize = 256;
    let arn = planned.at(&path("state_machine.role.arn"));
    let length = arn.and_then(Value::as_str).map_or(0, str::len);
    let given = config.get(AT).and_then(Value::as_str).map(str::len);
    if let Some(given) = given.filter(|_| length > LONGEST) {
        let detail = format!(
            "The ARN of the state machine's role would have {length} characters; Step Functions takes {LONGEST}. {AT} may have {} with this name.",
            (given + LONGEST).saturating_sub(length).max(1)
        );
        complain(found, AT, "Path too long", detail);
    }
}

/// SNS puts what it cannot deliver only into queues of the topic's own account and region.
fn elsewhere(config: &Value, place: &Place, found: &mut Diagnostics) {
    let map = config.get("subscriptions").and_then(Value::as_map);
    for (name, entry) in map.into_iter().flatten() {
        let policy = entry.get("redrive_policy").and_then(Value::as_str);
        let Some(arn) = policy.and_then(dead_letter_target) else {
            continue;
        };
        let mut parts = arn.split(':').skip(3);
        let (region, account) = (parts.next(), parts.next());
        if (region, account) != (Some(&place.region), Some(&place.account)) {
            let detail = format!(
                "deadLetterTargetArn is \"{arn}\"; SNS takes queues of the topic's own account and region only: {} and {}.",
                place.account, place.region
            );
            let path = path("subscriptions").key(name).attribute("redrive_policy");
            found.push(Diagnostic::error("Dead-letter queue elsewhere", detail).at(path));
        }
    }
}

/// A derived name that its service does not take.
struct Derived {
    /// Where another can be given, if it can.
    at: Option<Path>,
    said: String,
    /// How many characters it has too many.
    excess: usize,
}

/// Names that were left out follow from `name`, where what is wrong with them is shown: too long ones together, since one shorter name mends all.
fn names(config: &Value, planned: &Value, place: &Place, found: &mut Diagnostics) {
    let mut derived = Vec::new();
    collect_names(fields(), config, planned, &Path::root(), &mut derived);
    derived.extend(alarm_name(planned, place));
    derived.extend(mark(planned, place));
    let (long, odd): (Vec<_>, Vec<_>) = derived.into_iter().partition(|one| one.excess > 0);
    let at = || Path::root().attribute("name");
    for Derived { at: path, said, .. } in odd {
        let or = path.map(|path| format!(", or set {path} to a name of your own"));
        let or = or.unwrap_or_default();
        let detail = format!("{said} It follows from name and environment: change these{or}.");
        found.push(Diagnostic::error("Illegal derived name", detail).at(at()));
    }
    let Some(excess) = long.iter().map(|one| one.excess).max() else {
        return;
    };
    let given = config.get("name").and_then(Value::as_str);
    let room = given.map(|name| name.chars().count().saturating_sub(excess));
    let way_on = match room {
        Some(room) if room > 0 => {
            format!("with this environment, in this region, name may have {room} characters")
        }
        _ => "even the shortest name would be too long with this environment".to_owned(),
    };
    let said: Vec<&str> = long.iter().map(|one| one.said.as_str()).collect();
    let paths: Vec<String> = long
        .iter()
        .filter_map(|one| one.at.as_ref().map(Path::to_string))
        .collect();
    let or = match paths.join(", ") {
        none if none.is_empty() => none,
        paths => format!(", or give names of your own: {paths}"),
    };
    let detail = format!(
        "{}\nWhat is left out follows from name and environment: {way_on}. Shorten these{or}.",
        said.join("\n")
    );
    let at = match room {
        Some(0) => Path::root().attribute("environment"),
        _ => at(),
    };
    found.push(Diagnostic::error("Illegal derived name", detail).at(at));
}

/// The longest name of an alarm of the pipeline as a whole, where it is too long: alarms are given no names.
fn alarm_name(planned: &Value, place: &Place) -> Option<Derived> {
    let text = |name: &str| planned.get(name).and_then(Value::as_str);
    let (name, environment) = (text("name")?, text("environment")?);
    let is_on = |row: &&AlarmRow| {
        let enabled = planned.at(&path("alarms").attribute(row.name).attribute("enabled"));
        enabled.and_then(Value::as_bool) == Some(true)
    };
    let of = |row: &AlarmRow| pipeline_alarm(row, name, environment, &place.region);
    let names = PIPELINE_ALARMS.iter().filter(is_on).map(of);
    let longest = names.max_by_key(String::len)?;
    Some(Derived {
        at: None,
        said: names::ALARM.complaint(&longest)?,
        excess: names::ALARM.excess(&longest),
    })
}

/// The value of the tag that all parts carry, where it is too long.
fn mark(planned: &Value, place: &Place) -> Option<Derived> {
    let text = |name: &str| planned.get(name).and_then(Value::as_str);
    let mark = mark_of(text("name")?, text("environment")?, place);
    let length = mark.chars().count();
    let excess = length
        .checked_sub(tags::LONGEST.1)
        .filter(|excess| *excess > 0)?;
    let said = format!(
        "The tag \"{mark}\" has {length} characters; AWS takes {}.",
        tags::LONGEST.1
    );
    Some(Derived {
        at: None,
        said,
        excess,
    })
}

fn collect_names(
    fields: &[Field],
    config: &Value,
    planned: &Value,
    at: &Path,
    found: &mut Vec<Derived>,
) {
    for field in fields {
        let path = at.clone().attribute(field.name);
        let Some(value) = planned.get(field.name) else {
            continue;
        };
        match (&field.shape, &field.check) {
            (Shape::Object(inner), _) => collect_names(inner, config, value, &path, found),
            (Shape::Text, Check::Name(limit)) => {
                let written = config.at(&path).is_some_and(|value| !value.is_null());
                let name = value.as_str().filter(|_| !written);
                if let Some((name, said)) =
                    name.and_then(|name| Some((name, limit.complaint(name)?)))
                {
                    found.push(Derived {
                        at: Some(path),
                        said,
                        excess: limit.excess(name),
                    });
                }
            }
            _ => {}
        }
    }
}

/// Names of which no two may be alike, since they are of one kind of part.
const APART: &[&[&str]] = &[
    &[
        "queue.name",
        "undeliverable_queue.name",
        "dead_letter_queue.name",
    ],
    &["processing.function_name", "integration.function_name"],
    &[
        "processing.role.name",
        "integration.role.name",
        "state_machine.role.name",
    ],
];

fn twins(config: &Value, planned: &Value, found: &mut Diagnostics) {
    for group in APART {
        for (index, one) in group.iter().enumerate() {
            for other in &group[index + 1..] {
                let [first, second] =
                    [one, other].map(|at| planned.at(&path(at)).and_then(Value::as_str));
                let alike = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
                if first.zip(second).is_some_and(|(a, b)| alike(a, b)) {
                    let written = config
                        .at(&path(other))
                        .is_some_and(|value| !value.is_null());
                    let at = if written { other } else { one };
                    let [first, second] = [first, second].map(Option::unwrap_or_default);
                    let detail = format!(
                        "{one} (\"{first}\") and {other} (\"{second}\") are one name: each needs its own, that differs in more than its case."
                    );
                    complain(found, at, "Two parts of one name", detail);
                }
            }
        }
    }
}

/// Looks at tags as a set, told on `tags` as the user wrote them: how many there are, and keys that IAM takes for one.
pub fn crowd(
    all: &BTreeMap<String, Value>,
    written: &BTreeMap<String, Value>,
    found: &mut Diagnostics,
) {
    let path = Path::root().attribute("tags");
    let count = all.len();
    if count > tags::MOST - 2 {
        let inherited = all.keys().filter(|key| !written.contains_key(*key)).count();
        let from = match inherited {
            0 => String::new(),
            number => format!(", {number} of which come from the provider's default_tags,"),
        };
        let detail = format!(
            "{count} tags{from} are too many: AWS takes {}, of which Bellflower needs two.",
            tags::MOST
        );
        found.push(Diagnostic::error("Too many tags", detail).at(path.clone()));
    }
    if let Some((one, other)) = tags::alike(all.keys()) {
        let detail = format!(
            "The tags \"{one}\" and \"{other}\" differ in their case alone, and IAM, whose roles carry them too, takes them for one."
        );
        let at = [other, one]
            .into_iter()
            .find(|key| written.contains_key(*key));
        let path = at.map_or(path.clone(), |key| path.key(key));
        found.push(Diagnostic::error("Tag twice", detail).at(path));
    }
}
