//! What can be wrong with a configuration and seen before anything is asked or changed.

use std::collections::BTreeMap;
use std::time::Duration;

use bellflower_contract::{IllegalLayout, Layout, TaskTokenPlace};
use serde_json::{Map, Value as Json};
use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use super::schema::{Check, Field, LONGEST_PREFIX, Origin, Shape, fields};
use crate::documents::Place;
use crate::documents::names::{self, FIFO};
use crate::parts::subscription::masked;
use crate::parts::tags;

/// Looks at each value by the table of fields, then at those that must fit each other. What is unknown is left for later.
#[must_use]
pub fn validate(config: &Value) -> Diagnostics {
    let mut found = Vec::new();
    each(&fields(), config, &Path::root(), &mut found);
    let view = View { config };
    for check in TOGETHER {
        check(&view, &mut found);
    }
    timeouts(config, &mut found);
    found
}

/// Looks at what follows from the configuration and the place: names too long for their service, a key of another region.
#[must_use]
pub fn validate_planned(config: &Value, planned: &Value, place: &Place) -> Diagnostics {
    let mut found = Vec::new();
    names(config, planned, &mut found);
    twins(config, planned, &mut found);
    if let Some(all) = planned.get("tags_all").and_then(Value::as_map) {
        let none = BTreeMap::new();
        let written = config.get("tags").and_then(Value::as_map).unwrap_or(&none);
        crowd(all, written, &mut found);
    }
    elsewhere(config, place, &mut found);
    let path = Path::root().attribute("kms_key_arn");
    if let Some(arn) = planned.at(&path).and_then(Value::as_str) {
        let region = arn.split(':').nth(3).unwrap_or_default();
        if region != place.region {
            let detail = format!(
                "The key is in {region}, the pipeline in {}. S3, SQS, SNS and CloudWatch Logs take keys of their own region only: give a key of {}.",
                place.region, place.region
            );
            found.push(Diagnostic::error("Key of another region", detail).at(path));
        }
    }
    found
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

/// The queue in a subscription's redrive policy.
fn dead_letter_target(policy: &str) -> Option<String> {
    let policy: Json = serde_json::from_str(policy).ok()?;
    Some(policy.get("deadLetterTargetArn")?.as_str()?.to_owned())
}

fn each(fields: &[Field], config: &Value, at: &Path, found: &mut Diagnostics) {
    for field in fields {
        let Some(value) = config.get(field.name) else {
            continue;
        };
        let path = at.clone().attribute(field.name);
        match (&field.shape, value) {
            (_, Value::Null) if field.origin == Origin::Required => {
                let detail = format!("{} must have a value; it is null.", field.name);
                found.push(Diagnostic::error("Value missing", detail).at(path));
            }
            (_, Value::Null | Value::Unknown) => {}
            (Shape::Object(inner), value) => each(inner, value, &path, found),
            (Shape::ObjectMap(inner), Value::Map(map)) => {
                for (name, entry) in map {
                    if entry.is_null() {
                        found.push(null_entry(field, name, path.clone()));
                        continue;
                    }
                    each(inner, entry, &path.clone().key(name), found);
                }
            }
            (Shape::TextMap, Value::Map(map)) => {
                for (name, _) in map.iter().filter(|(_, value)| value.is_null()) {
                    found.push(null_entry(field, name, path.clone()));
                }
            }
            (_, value) if field.origin != Origin::Computed => {
                if let Some((summary, detail)) = complaint(field, value) {
                    found.push(Diagnostic::error(summary, detail).at(path));
                }
            }
            _ => {}
        }
    }
}

fn null_entry(field: &Field, name: &str, path: Path) -> Diagnostic {
    let detail = format!(
        "The entry \"{name}\" of {} is null: give it a value or leave it out.",
        field.name
    );
    Diagnostic::error("Value missing", detail).at(path.key(name))
}

fn complaint(field: &Field, value: &Value) -> Option<(&'static str, String)> {
    let name = field.name;
    let allowed = || field.check.allowed().unwrap_or_default();
    let text = value.as_str().unwrap_or_default();
    let whole = || value.as_i64();
    let out_of_range = |said: String| Some(("Number out of range", said));
    match &field.check {
        Check::None => None,
        Check::Whole(from, to) if whole().is_some_and(|number| (*from..=*to).contains(&number)) => {
            None
        }
        Check::OneOfWhole(list) if whole().is_some_and(|number| list.contains(&number)) => None,
        Check::Between(from, to)
            if value
                .as_f64()
                .is_some_and(|number| (*from..=*to).contains(&number)) =>
        {
            None
        }
        Check::Whole(..) | Check::OneOfWhole(_) | Check::Between(..) => {
            let shown = value.to_json().unwrap_or(Json::Null);
            out_of_range(format!("{name} is {shown}; allowed is {}.", allowed()))
        }
        Check::OneOf(list) if list.contains(&text) => None,
        Check::OneOf(_) => Some((
            "Value not allowed",
            format!("{name} is \"{text}\"; allowed is one of {}.", allowed()),
        )),
        Check::Length(..)
            if text
                .chars()
                .any(|c| c.is_control() && c != '\n' && c != '\t')
                || (name == "display_name" && text.contains(['\n', '\t'])) =>
        {
            let said = format!("{name} is {text:?}, which holds a control character.");
            Some(("Illegal character", said))
        }
        Check::Length(least, most) => {
            let count = text.chars().count();
            let what = if count > *most {
                "Text too long"
            } else {
                "Text too short"
            };
            (!(*least..=*most).contains(&count)).then(|| {
                let said = format!("{name} has {count} characters; allowed is {}.", allowed());
                (what, said)
            })
        }
        Check::Name(limit) if name == "alias" => {
            let rest = text.strip_prefix("alias/").unwrap_or_default();
            if rest.is_empty() || rest.starts_with("aws/") {
                let said = format!(
                    "The alias \"{text}\" must begin with alias/ and must not begin with alias/aws/."
                );
                return Some(("Illegal name", said));
            }
            limit.complaint(text).map(|said| ("Illegal name", said))
        }
        Check::Name(limit) => limit.complaint(text).map(|said| ("Illegal name", said)),
        Check::NamePart => {
            names::not_a_part(text).map(|said| ("Illegal name", format!("{name} {said}")))
        }
        Check::Arn(service, kind) => not_an_arn(name, text, (service, kind), &allowed()),
        Check::Path => {
            let printable = text.chars().all(|c| c.is_ascii_graphic());
            let good =
                text == "/" || (text.len() > 2 && text.starts_with('/') && text.ends_with('/'));
            let good = good && printable && text.len() <= 512 && !text.contains("//");
            (!good).then(|| {
                (
                    "Illegal path",
                    format!("{name} is \"{text}\"; allowed is {}.", allowed()),
                )
            })
        }
        Check::Json => {
            let said = match serde_json::from_str::<Json>(text) {
                Ok(Json::Object(_)) => return None,
                Ok(other) => format!("{name} is {}; needed is a JSON object.", kind(&other)),
                Err(error) => format!("{name} is not JSON: {error}. Needed is a JSON object."),
            };
            Some(("Not a JSON object", said))
        }
        Check::Prefix if text.len() > LONGEST_PREFIX => Some((
            "Prefix too long",
            format!(
                "{name} has {} characters; at most {LONGEST_PREFIX} are allowed, since a key in S3 has 1,024 at most.",
                text.len()
            ),
        )),
        Check::Prefix => match Layout::new(text, "\u{1}/") {
            Err(IllegalLayout::Prefix(prefix)) if prefix == text => {
                Some(("Illegal prefix", IllegalLayout::Prefix(prefix).to_string()))
            }
            _ => None,
        },
    }
}

/// What a JSON document is, in words.
fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "the JSON value null",
        Json::Bool(_) => "a JSON boolean",
        Json::Number(_) => "a JSON number",
        Json::String(_) => "a JSON string",
        Json::Array(_) => "a JSON array",
        Json::Object(_) => "a JSON object",
    }
}

fn not_an_arn(
    name: &str,
    text: &str,
    (service, kind): (&str, &str),
    allowed: &str,
) -> Option<(&'static str, String)> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let place = if service == "iam" {
        ":123456789012"
    } else {
        "eu-west-1:123456789012"
    };
    let named = |resource: &str| {
        let id = resource.strip_prefix(kind)?.strip_prefix('/')?;
        (!id.is_empty()).then_some(())
    };
    let good = matches!(parts[..], ["arn", partition, of, region, _, resource]
        if partition.starts_with("aws") && of == service && named(resource).is_some()
            && (region.is_empty() || partition == names::partition_of(region)));
    let said = || {
        format!(
            "{name} is \"{text}\"; needed is {allowed}, such as arn:aws:{service}:{place}:{kind}/…."
        )
    };
    (!good).then(|| ("Not an ARN", said()))
}

/// A derived name that its service does not take.
struct Derived {
    at: Path,
    said: String,
    /// How many characters it has too many.
    excess: usize,
}

/// Names that were left out follow from `name`, where what is wrong with them is shown: too long ones together, since one shorter name mends all.
fn names(config: &Value, planned: &Value, found: &mut Diagnostics) {
    let mut derived = Vec::new();
    collect_names(&fields(), config, planned, &Path::root(), &mut derived);
    let (long, odd): (Vec<_>, Vec<_>) = derived.into_iter().partition(|one| one.excess > 0);
    let at = || Path::root().attribute("name");
    for Derived { at: path, said, .. } in odd {
        let detail = format!(
            "{said} It follows from name and environment: change these, or set {path} to a name of your own."
        );
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
    let paths: Vec<String> = long.iter().map(|one| one.at.to_string()).collect();
    let detail = format!(
        "{}\nWhat is left out follows from name and environment: {way_on}. Shorten these, or give names of your own: {}.",
        said.join("\n"),
        paths.join(", ")
    );
    found.push(Diagnostic::error("Illegal derived name", detail).at(at()));
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
                        at: path,
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
                    let name = first.unwrap_or_default();
                    let detail = format!(
                        "{one} and {other} are both \"{name}\": each needs a name of its own."
                    );
                    complain(found, at, "Two parts of one name", detail);
                }
            }
        }
    }
}

/// The configuration, asked for known values only.
struct View<'a> {
    config: &'a Value,
}

impl View<'_> {
    fn at(&self, dotted: &str) -> Option<&Value> {
        dotted
            .split('.')
            .try_fold(self.config, |here, step| here.get(step))
    }

    /// True when the user wrote a value that is known to be one.
    fn given(&self, dotted: &str) -> bool {
        self.at(dotted)
            .is_some_and(|value| !value.is_null() && !value.is_unknown())
    }

    /// True when it is certain that there is no value.
    fn missing(&self, dotted: &str) -> bool {
        !self.given(dotted) && !self.unknown(dotted)
    }

    fn unknown(&self, dotted: &str) -> bool {
        let mut here = self.config;
        for step in dotted.split('.') {
            if here.is_unknown() {
                return true;
            }
            match here.get(step) {
                Some(next) => here = next,
                None => return false,
            }
        }
        here.is_unknown()
    }

    fn text(&self, dotted: &str) -> Option<&str> {
        self.at(dotted).and_then(Value::as_str)
    }

    /// The number that counts: the one given, else the default; none while it is unknown.
    fn number(&self, dotted: &str) -> Option<i64> {
        if self.unknown(dotted) {
            return None;
        }
        if let Some(value) = self.at(dotted).filter(|value| !value.is_null()) {
            return value.as_i64();
        }
        let mut inner = fields();
        let mut default = None;
        for step in dotted.split('.') {
            let field = inner.into_iter().find(|field| field.name == step)?;
            default = match &field.origin {
                Origin::Default(value) => value.as_i64(),
                _ => None,
            };
            inner = match field.shape {
                Shape::Object(fields) => fields,
                _ => Vec::new(),
            };
        }
        default
    }
}

fn path(dotted: &str) -> Path {
    dotted.split('.').fold(Path::root(), Path::attribute)
}

type Together = fn(&View, &mut Diagnostics);

const TOGETHER: &[Together] = &[
    key,
    code,
    architectures,
    time_outs,
    prefixes,
    expiry,
    batching,
    alarms,
    subscriptions,
    tags,
    variables,
];

fn complain(found: &mut Diagnostics, dotted: &str, summary: &str, detail: String) {
    found.push(Diagnostic::error(summary, detail).at(path(dotted)));
}

fn key(view: &View, found: &mut Diagnostics) {
    if view.given("kms_key_arn") && view.given("key") {
        let detail = "key describes a key of the pipeline's own, which is not made when kms_key_arn is set: remove one of the two.";
        complain(found, "key", "Two keys", detail.to_owned());
    }
}

fn code(view: &View, found: &mut Diagnostics) {
    let at = |name: &str| format!("processing.{name}");
    let given = |name: &str| view.given(&at(name));
    if given("filename") && given("s3_bucket") {
        let detail =
            "Code comes from filename or from s3_bucket and s3_key, not from both.".to_owned();
        complain(found, &at("filename"), "Two packages", detail);
    }
    for (one, other) in [
        ("s3_bucket", "s3_key"),
        ("s3_key", "s3_bucket"),
        ("s3_object_version", "s3_key"),
    ] {
        if given(one) && view.missing(&at(other)) {
            complain(
                found,
                &at(one),
                "Incomplete package",
                format!("{one} is given without {other}."),
            );
        }
    }
    let own = !view.missing(&at("filename")) || !view.missing(&at("s3_key"));
    for name in ["runtime", "handler"] {
        let default = if name == "runtime" {
            "provided.al2023"
        } else {
            "bootstrap"
        };
        if !own && view.text(&at(name)).is_some_and(|text| text != default) {
            let detail = format!(
                "{name} belongs to code of your own: give filename, or s3_bucket and s3_key, too."
            );
            complain(found, &at(name), "No code of your own", detail);
        }
    }
}

fn architectures(view: &View, found: &mut Diagnostics) {
    for function in ["processing", "integration"] {
        let at = format!("{function}.architectures");
        let Some(list) = view.at(&at).and_then(Value::as_list) else {
            continue;
        };
        let good = match list {
            [Value::Unknown] => true,
            [one] => one
                .as_str()
                .is_some_and(|text| matches!(text, "x86_64" | "arm64")),
            _ => false,
        };
        if !good {
            complain(
                found,
                &at,
                "Value not allowed",
                "architectures takes one entry: \"x86_64\" or \"arm64\".".to_owned(),
            );
        }
    }
}

fn time_outs(view: &View, found: &mut Diagnostics) {
    let (function, queue) = ("integration.timeout", "queue.visibility_timeout_seconds");
    if let (Some(timeout), Some(visibility)) = (view.number(function), view.number(queue))
        && timeout > visibility
    {
        let at = if view.given(function) {
            function
        } else {
            queue
        };
        let detail = format!(
            "The integration function's time-out ({timeout} s) is above the queue's visibility time-out ({visibility} s): a message would \
             come again while it is being handled, and Lambda refuses such an event source. {function} must be at most {queue}."
        );
        complain(
            found,
            at,
            "Time-out above the queue's visibility time-out",
            detail,
        );
    }
    let (heartbeat, callback) = (
        "state_machine.callback_heartbeat_seconds",
        "state_machine.callback_timeout_seconds",
    );
    if let (Some(beat), Some(timeout)) = (view.number(heartbeat), view.number(callback))
        && beat >= timeout
    {
        let detail =
            format!("The heartbeat ({beat} s) must be below the callback time-out ({timeout} s).");
        complain(
            found,
            heartbeat,
            "Heartbeat not below the callback time-out",
            detail,
        );
    }
}

fn prefixes(view: &View, found: &mut Diagnostics) {
    let (inbound, outbound) = ("bucket.inbound_prefix", "bucket.outbound_prefix");
    if view.unknown(inbound) || view.unknown(outbound) {
        return;
    }
    let text = |at: &str, default: &str| view.text(at).unwrap_or(default).to_owned();
    let layout = Layout::new(
        text(inbound, bellflower_contract::DEFAULT_INBOUND_PREFIX),
        text(outbound, bellflower_contract::DEFAULT_OUTBOUND_PREFIX),
    );
    let place = view.text("task_token").and_then(TaskTokenPlace::parse);
    let layout = layout.and_then(|layout| layout.with_task_token(place.unwrap_or_default()));
    let at = match &layout {
        Err(IllegalLayout::Private(prefix)) if view.text(outbound) == Some(prefix) => outbound,
        Err(IllegalLayout::Overlap { .. }) if !view.given(inbound) => outbound,
        Err(IllegalLayout::Overlap { .. } | IllegalLayout::Private(_)) => inbound,
        _ => return,
    };
    if let Err(overlap) = layout {
        complain(found, at, "Overlapping prefixes", format!("{overlap}."));
    }
}

fn expiry(view: &View, found: &mut Diagnostics) {
    let (days, timeout) = (
        "bucket.expiration_days",
        "state_machine.callback_timeout_seconds",
    );
    if let (Some(number), Some(seconds)) = (view.number(days), view.number(timeout))
        && number > 0
        && number.saturating_mul(86400) <= seconds
    {
        let at = if view.given(days) { days } else { timeout };
        let detail = format!(
            "Objects expire after {number} days, but an execution waits up to {seconds} s for its answer: its work could be gone before \
             it is done. {days} must be longer than {timeout}, or 0 to keep objects."
        );
        complain(found, at, "Expiry before the callback time-out", detail);
    }
}

fn batching(view: &View, found: &mut Diagnostics) {
    let (size, window) = (
        "event_source.batch_size",
        "event_source.maximum_batching_window_in_seconds",
    );
    if let (Some(messages), Some(0)) = (view.number(size), view.number(window))
        && messages > 10
    {
        let detail =
            format!("A batch of more than 10 messages ({messages}) needs {window} of at least 1.");
        complain(found, size, "Batch without a window", detail);
    }
}

/// The longest an alarm looks back, in seconds, if its periods are an hour or longer; a day if they are shorter.
const LONGEST_ALARM: i64 = 7 * 86400;

fn alarms(view: &View, found: &mut Diagnostics) {
    for (place, rows) in super::schema::ALL_ALARMS {
        for row in rows {
            let at = |name: &str| format!("{place}.{}.{name}", row.name);
            let [period, periods, datapoints] =
                ["period", "evaluation_periods", "datapoints_to_alarm"]
                    .map(|name| view.number(&at(name)));
            if let Some(seconds) = period.filter(|seconds| seconds % 60 != 0) {
                let detail = format!("period is {seconds}; allowed is a multiple of 60.");
                complain(found, &at("period"), "Number out of range", detail);
            }
            if let (Some(of), Some(some)) = (periods, datapoints)
                && some > of
            {
                let name = if view.given(&at("datapoints_to_alarm")) {
                    "datapoints_to_alarm"
                } else {
                    "evaluation_periods"
                };
                let detail = format!(
                    "datapoints_to_alarm ({some}) must be at most evaluation_periods ({of})."
                );
                complain(found, &at(name), "Number out of range", detail);
            }
            if let (Some(seconds @ 60..=LONGEST_ALARM), Some(of @ 1..=1440)) = (period, periods) {
                let most = if seconds >= 3600 {
                    LONGEST_ALARM
                } else {
                    86400
                };
                if seconds * of > most {
                    let detail = format!(
                        "period times evaluation_periods is {} s; at most {most} s are allowed.",
                        seconds * of
                    );
                    complain(
                        found,
                        &at("evaluation_periods"),
                        "Number out of range",
                        detail,
                    );
                }
            }
        }
    }
}

fn subscriptions(view: &View, found: &mut Diagnostics) {
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
        let (Some(protocol), Some(endpoint)) = (text("protocol"), text("endpoint")) else {
            continue;
        };
        // SNS shows no passwords: those that differ in them alone could not be told apart.
        let shown = masked(endpoint);
        if seen.contains(&(protocol, shown.clone())) {
            let detail = format!(
                "Another subscription delivers to \"{shown}\" by {protocol} already; SNS keeps one of them."
            );
            found.push(Diagnostic::error("Subscription twice", detail).at(at("endpoint")));
        }
        seen.push((protocol, shown));
        if let Some(needed) = misfit(protocol, endpoint) {
            let detail = format!(
                "The endpoint \"{endpoint}\" does not fit the protocol {protocol}: needed is {needed}."
            );
            found.push(
                Diagnostic::error("Endpoint does not fit the protocol", detail).at(at("endpoint")),
            );
        }
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
        if object("redrive_policy").is_some() {
            let target = text("redrive_policy").and_then(dead_letter_target);
            let good = target
                .as_deref()
                .is_some_and(|arn| misfit("sqs", arn).is_none());
            if !good {
                let detail = "redrive_policy must hold deadLetterTargetArn, the ARN of a standard SQS queue, as in \
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
                keys += 1;
                combinations = combinations.saturating_mul(values.len().max(1));
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
    let arn =
        |service: &str| endpoint.starts_with("arn:") && endpoint.split(':').nth(2) == Some(service);
    let (good, needed) = match protocol {
        "email" | "email-json" => {
            let good = endpoint
                .split_once('@')
                .is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'));
            (
                good && !endpoint.contains(char::is_whitespace),
                "an e-mail address",
            )
        }
        "http" => (
            endpoint.starts_with("http://") && endpoint.len() > 7,
            "a URL that begins with http://",
        ),
        "https" => (
            endpoint.starts_with("https://") && endpoint.len() > 8,
            "a URL that begins with https://",
        ),
        "sqs" if endpoint.ends_with(FIFO) => (
            false,
            "the ARN of an SQS queue that is no FIFO queue, since a standard topic cannot deliver to these",
        ),
        "sqs" => (arn("sqs"), "the ARN of an SQS queue"),
        "lambda" => (arn("lambda"), "the ARN of a Lambda function"),
        "firehose" => (arn("firehose"), "the ARN of a Firehose delivery stream"),
        "application" => (arn("sns"), "the ARN of an SNS platform endpoint"),
        "sms" => {
            let digits = endpoint.strip_prefix('+').unwrap_or(endpoint);
            let good = (4..=15).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            (good, "a phone number such as +491701234567")
        }
        _ => (true, ""),
    };
    (!good).then_some(needed)
}

fn tags(view: &View, found: &mut Diagnostics) {
    let Some(map) = view.at("tags").and_then(Value::as_map) else {
        return;
    };
    for (key, value) in map {
        if let Some(detail) = tags::complaint(key, value.as_str().unwrap_or_default()) {
            let path = Path::root().attribute("tags").key(key);
            found.push(Diagnostic::error("Illegal tag", detail).at(path));
        }
    }
    crowd(map, map, found);
}

/// Looks at tags as a set, told on `tags` as the user wrote them: how many there are, and keys that IAM takes for one.
fn crowd(
    all: &BTreeMap<String, Value>,
    written: &BTreeMap<String, Value>,
    found: &mut Diagnostics,
) {
    let path = Path::root().attribute("tags");
    let count = all.keys().filter(|key| *key != tags::MARK).count();
    if count >= tags::MOST {
        let inherited = all.keys().filter(|key| !written.contains_key(*key)).count();
        let from = match inherited {
            0 => String::new(),
            number => format!(", {number} of which come from the provider's default_tags,"),
        };
        let detail = format!(
            "{count} tags{from} are too many: AWS takes {}, of which Bellflower needs one.",
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

/// The names that Lambda keeps for its runtimes and that begin as a name may, in
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>.
const RESERVED_VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

fn variables(view: &View, found: &mut Diagnostics) {
    let Some(map) = view.at("processing.variables").and_then(Value::as_map) else {
        return;
    };
    for name in map.keys() {
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let legal =
            name.len() > 1 && first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let reserved = RESERVED_VARIABLES.contains(&name.as_str());
        if !legal || reserved {
            let detail = if reserved {
                format!("Lambda sets {name} itself: choose another name.")
            } else {
                format!(
                    "\"{name}\" is no name Lambda takes: a letter, then letters, digits and underscores, at least two in all."
                )
            };
            let path = path("processing.variables").key(name);
            found.push(Diagnostic::error("Illegal environment variable", detail).at(path));
        }
    }
    let size: usize = map
        .iter()
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size > 4096 {
        let detail =
            format!("The environment variables have {size} bytes; Lambda takes at most 4,096.");
        complain(
            found,
            "processing.variables",
            "Environment too large",
            detail,
        );
    }
}

/// The shortest time-out; less than that is a slip of the pen.
const SHORTEST: Duration = Duration::from_secs(1);

fn timeouts(config: &Value, found: &mut Diagnostics) {
    let Some(map) = config.get("timeouts").and_then(Value::as_map) else {
        return;
    };
    for (name, value) in map {
        let Some(text) = value.as_str() else {
            continue;
        };
        let path = Path::root().attribute("timeouts").attribute(name);
        match humantime::parse_duration(text) {
            Ok(limit) if limit >= SHORTEST => {}
            Ok(_) => {
                let detail = format!(
                    "\"{text}\" leaves no time to do anything: allowed is 1s and more, such as 30s, 20m or 1h."
                );
                found.push(Diagnostic::error("Time-out too short", detail).at(path));
            }
            Err(_) => {
                let detail = format!("\"{text}\" is not a duration such as 30s, 20m or 1h.");
                found.push(Diagnostic::error("Not a duration", detail).at(path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(given: &Json) -> Vec<(String, String)> {
        let config = super::super::schema::schema().conform(Value::from_json(given));
        let told = |said: Diagnostic| {
            (
                said.path.map(|path| path.to_string()).unwrap_or_default(),
                said.detail,
            )
        };
        validate(&config).into_iter().map(told).collect()
    }

    /// Each row: the arguments beside the name, where the fault is told, and what the message holds.
    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn each_fault_is_told_where_it_is() {
        let rows: &[(Json, &str, &str)] = &[
            (json!({"name": "Orders"}), "name", "small letters"),
            (
                json!({"environment": "-x"}),
                "environment",
                "beginning and ending",
            ),
            (
                json!({"queue": {"delay_seconds": 901}}),
                "queue.delay_seconds",
                "0 to 900",
            ),
            (
                json!({"queue": {"delay_seconds": 1.5}}),
                "queue.delay_seconds",
                "whole number",
            ),
            (
                json!({"queue": {"name": "a.fifo"}}),
                "queue.name",
                "standard",
            ),
            (
                json!({"bucket": {"bucket": "xn--orders"}}),
                "bucket.bucket",
                "xn--",
            ),
            (json!({"tags": {"a": "<b>"}}), "tags[\"a\"]", "'<'"),
            (
                json!({"tags": {"Stage": "a", "stage": "b"}}),
                "tags[\"stage\"]",
                "case",
            ),
            (
                json!({"processing": {"variables": {"AWS_REGION": "y"}}}),
                "processing.variables[\"AWS_REGION\"]",
                "itself",
            ),
            (
                json!({"timeouts": {"create": "0s"}}),
                "timeouts.create",
                "1s and more",
            ),
            (
                json!({"timeouts": {"delete": "-5m"}}),
                "timeouts.delete",
                "duration",
            ),
            (
                json!({"log_retention_in_days": 2}),
                "log_retention_in_days",
                "365",
            ),
            (json!({"kms_key_arn": "alias/x"}), "kms_key_arn", "ARN"),
            (
                json!({"kms_key_arn": "arn:aws:kms:eu-west-1:1:key/x", "key": {}}),
                "key",
                "kms_key_arn",
            ),
            (json!({"iam_path": "x"}), "iam_path", "begins and ends"),
            (
                json!({"key": {"alias": "alias/aws/x"}}),
                "key.alias",
                "alias/aws/",
            ),
            (
                json!({"key": {"deletion_window_in_days": 6}}),
                "key.deletion_window_in_days",
                "7 to 30",
            ),
            (
                json!({"integration": {"timeout": 400}}),
                "integration.timeout",
                "visibility",
            ),
            (
                json!({"queue": {"visibility_timeout_seconds": 10}}),
                "queue.visibility_timeout_seconds",
                "at most",
            ),
            (
                json!({"state_machine": {"callback_timeout_seconds": 60, "callback_heartbeat_seconds": 60}}),
                "state_machine.callback_heartbeat_seconds",
                "below",
            ),
            (
                json!({"bucket": {"inbound_prefix": "/in/"}}),
                "bucket.inbound_prefix",
                "/",
            ),
            (
                json!({"bucket": {"inbound_prefix": "outbound/in/"}}),
                "bucket.inbound_prefix",
                "overlap",
            ),
            (
                json!({"task_token": "private", "bucket": {"outbound_prefix": "private/work/"}}),
                "bucket.outbound_prefix",
                "private/",
            ),
            (json!({"task_token": "nowhere"}), "task_token", "private"),
            (
                json!({"alarms": {"message_age": {"period": 90}}}),
                "alarms.message_age.period",
                "multiple of 60",
            ),
            (
                json!({"event_invoke_config": {"maximum_retry_attempts": 3}}),
                "event_invoke_config.maximum_retry_attempts",
                "0 to 2",
            ),
            (
                json!({"bucket": {"expiration_days": 1}}),
                "bucket.expiration_days",
                "longer",
            ),
            (
                json!({"event_source": {"batch_size": 11}}),
                "event_source.batch_size",
                "window",
            ),
            (
                json!({"processing": {"architectures": ["x86_64", "arm64"]}}),
                "processing.architectures",
                "one entry",
            ),
            (
                json!({"processing": {"runtime": "python3.13"}}),
                "processing.runtime",
                "filename",
            ),
            (
                json!({"processing": {"filename": "a.zip", "s3_bucket": "b", "s3_key": "k"}}),
                "processing.filename",
                "not from both",
            ),
            (
                json!({"processing": {"s3_bucket": "b"}}),
                "processing.s3_bucket",
                "s3_key",
            ),
            (
                json!({"processing": {"variables": {"1x": "y"}}}),
                "processing.variables[\"1x\"]",
                "letter",
            ),
            (
                json!({"processing": {"alarms": {"errors": {"period": 90}}}}),
                "processing.alarms.errors.period",
                "multiple of 60",
            ),
            (
                json!({"processing": {"alarms": {"errors": {"datapoints_to_alarm": 4}}}}),
                "processing.alarms.errors.datapoints_to_alarm",
                "evaluation_periods",
            ),
            (
                json!({"subscriptions": {"ops": {"protocol": "email", "endpoint": "nobody"}}}),
                "subscriptions[\"ops\"].endpoint",
                "e-mail",
            ),
            (
                json!({"subscriptions": {"ops": {"protocol": "fax", "endpoint": "1"}}}),
                "subscriptions[\"ops\"].protocol",
                "`email`",
            ),
            (
                json!({"subscriptions": {"q": {"protocol": "sqs", "endpoint": "https://x"}}}),
                "subscriptions[\"q\"].endpoint",
                "ARN of an SQS queue",
            ),
            (json!({"tags": {"a": null}}), "tags[\"a\"]", "is null"),
            (
                json!({"subscriptions": {"a": null}}),
                "subscriptions[\"a\"]",
                "is null",
            ),
            (
                json!({"subscriptions": {
                    "a": {"protocol": "email", "endpoint": "a@b.cd"},
                    "b": {"protocol": "email", "endpoint": "a@b.cd"},
                }}),
                "subscriptions[\"b\"].endpoint",
                "already",
            ),
            (
                json!({"tags": {"aws:x": "y"}}),
                "tags[\"aws:x\"]",
                "AWS keeps",
            ),
            (
                json!({"tags": {tags::MARK: "y"}}),
                "tags[\"bellflower:pipeline\"]",
                "own",
            ),
            (
                json!({"timeouts": {"create": "soon"}}),
                "timeouts.create",
                "duration",
            ),
        ];
        for (given, path, part) in rows {
            let mut given = given.clone();
            if given.get("name").is_none() {
                given["name"] = json!("orders");
            }
            let found = found(&given);
            assert!(
                found
                    .iter()
                    .any(|(at, said)| at == path && said.contains(part)),
                "{given}: wanted {part:?} at {path}, found {found:?}"
            );
        }
    }

    /// Each row: an argument of a subscription, its value, and what the message holds.
    #[test]
    fn policies_of_subscriptions_are_looked_into() {
        let many = |count: usize| {
            let keys = (0..count).map(|number| (format!("k{number}"), json!(["v"])));
            Json::Object(keys.collect()).to_string()
        };
        let product = json!({"a": vec!["v"; 13], "b": vec!["v"; 12]}).to_string();
        let rows = [
            ("filter_policy", "[]", "a JSON array"),
            ("filter_policy", "{", "JSON object"),
            ("filter_policy", r#"{"a": "b"}"#, "an array of values"),
            ("filter_policy", r#"{"a": {"b": ["c"]}}"#, "MessageBody"),
            ("filter_policy", &many(6), "at most 5"),
            ("filter_policy", &product, "156 combinations"),
            ("redrive_policy", "1", "a JSON number"),
            ("redrive_policy", "{}", "deadLetterTargetArn"),
            (
                "redrive_policy",
                r#"{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:1:q.fifo"}"#,
                "standard SQS queue",
            ),
        ];
        let with = |argument: &str, value: &str, scope: Json| {
            found(&json!({"name": "orders", "subscriptions": {"ops": {
                "protocol": "email", "endpoint": "a@b.cd", argument: value, "filter_policy_scope": scope,
            }}}))
        };
        for (argument, value, part) in rows {
            let found = with(argument, value, Json::Null);
            assert!(
                found.len() == 1
                    && found[0].0 == format!("subscriptions[\"ops\"].{argument}")
                    && found[0].1.contains(part),
                "{argument} = {value}: wanted {part:?}, found {found:?}"
            );
        }
        let good = [
            ("filter_policy", "{}".to_owned(), Json::Null),
            ("filter_policy", many(5), json!("MessageAttributes")),
            (
                "filter_policy",
                r#"{"a": {"b": ["c", {"prefix": "d"}]}}"#.to_owned(),
                json!("MessageBody"),
            ),
            (
                "filter_policy",
                r#"{"$or": [{"a": ["b"]}, {"c": ["d"]}]}"#.to_owned(),
                Json::Null,
            ),
            (
                "redrive_policy",
                r#"{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:1:q"}"#.to_owned(),
                Json::Null,
            ),
        ];
        for (argument, value, scope) in good {
            assert_eq!(with(argument, &value, scope), [], "{argument} = {value}");
        }
    }

    #[test]
    fn tags_are_counted_with_those_of_the_provider() {
        let tags = |range: std::ops::Range<usize>| {
            let each = range.map(|number| (format!("k{number:02}"), json!("v")));
            Json::Object(each.collect())
        };
        let place = place();
        let told = |written: Json, all: Json| {
            let given = json!({"name": "orders", "tags": written});
            let config = super::super::schema::schema().conform(Value::from_json(&given));
            let planned = Value::from_json(&json!({"name": "orders", "tags_all": all}));
            validate_planned(&config, &planned, &place)
        };
        assert!(told(tags(0..49), tags(0..49)).is_empty());
        let many = told(tags(0..10), tags(0..50));
        assert!(
            many.len() == 1 && many[0].detail.contains("40 of which"),
            "{many:?}"
        );
        let twice = told(json!({"Stage": "a"}), json!({"Stage": "a", "stage": "b"}));
        let at = twice[0].path.as_ref().map(ToString::to_string);
        assert_eq!(at.as_deref(), Some("tags[\"Stage\"]"), "{twice:?}");
    }

    #[test]
    fn undelivered_messages_stay_in_account_and_region() {
        let arn = |region: &str, account: &str| format!("arn:aws:sqs:{region}:{account}:q");
        let told = |arn: String| {
            let policy = json!({"deadLetterTargetArn": arn}).to_string();
            let given = json!({"name": "orders", "subscriptions": {"ops": {
                "protocol": "email", "endpoint": "a@b.cd", "redrive_policy": policy,
            }}});
            let config = super::super::schema::schema().conform(Value::from_json(&given));
            validate_planned(&config, &config, &place())
        };
        assert!(told(arn("eu-west-1", "123456789012")).is_empty());
        for elsewhere in [
            arn("us-east-1", "123456789012"),
            arn("eu-west-1", "210987654321"),
        ] {
            let told = told(elsewhere.clone());
            assert!(
                told.len() == 1 && told[0].detail.contains(&elsewhere),
                "{told:?}"
            );
        }
    }

    fn place() -> Place {
        Place {
            partition: "aws".into(),
            region: "eu-west-1".into(),
            account: "123456789012".into(),
        }
    }

    #[test]
    fn a_name_must_be_given() {
        let found = found(&json!({"name": null}));
        assert!(
            found[0].0 == "name" && found[0].1.contains("must have a value"),
            "{found:?}"
        );
    }

    #[test]
    fn the_shortest_configuration_has_no_fault() {
        assert_eq!(found(&json!({"name": "orders"})), []);
    }

    #[test]
    fn what_is_unknown_is_left_for_later() {
        let mut config = super::super::schema::schema().empty();
        if let Value::Map(map) = &mut config {
            for value in map.values_mut() {
                *value = Value::Unknown;
            }
        }
        assert!(validate(&config).is_empty());
    }

    #[test]
    fn derived_names_are_measured() {
        let place = Place {
            partition: "aws".into(),
            region: "eu-west-1".into(),
            account: "123456789012".into(),
        };
        let config = super::super::schema::schema()
            .conform(Value::from_json(&json!({"name": "a-name-too-long-for-s3"})));
        let planned = Value::from_json(&json!({
            "bucket": {"bucket": names_of("a-name-too-long-for-s3", &place)},
            "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/1",
        }));
        let told = validate_planned(&config, &planned, &place);
        assert!(
            told[0].detail.contains("S3 bucket") && told[0].detail.contains("63"),
            "{told:?}"
        );
        assert!(told[1].detail.contains("us-east-1"), "{told:?}");
    }

    #[test]
    fn two_parts_of_one_name_are_told() {
        let given =
            json!({"name": "orders", "queue": {"name": "q"}, "dead_letter_queue": {"name": "q"}});
        let config = super::super::schema::schema().conform(Value::from_json(&given));
        let place = Place {
            partition: "aws".into(),
            region: "eu-west-1".into(),
            account: "123456789012".into(),
        };
        let told = validate_planned(&config, &config, &place);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].detail.contains("queue.name"), "{told:?}");
    }

    fn names_of(name: &str, place: &Place) -> String {
        crate::documents::names::bucket(name, place, "devl")
    }
}
