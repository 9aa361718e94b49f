//! What must fit each other, one function for each matter.

use std::time::Duration;

use bellflower_contract::{IllegalLayout, Layout, TaskTokenPlace};
use tfplugin::{Diagnostic, Diagnostics, Path, Severity, Value};

use super::planned::crowd;
use super::subscriptions::subscriptions;
use super::table::complaint;
use super::{complain, path};
use crate::parts::tags;
use crate::pipeline::blueprint::{UNDELIVERABLE_CONCURRENCY, UNDELIVERABLE_RECEIVES};
use crate::pipeline::schema::{ALL_ALARMS, Field, Origin, ROTATION_PERIOD, Shape, fields};

/// The configuration, asked for known values only.
pub struct View<'a> {
    config: &'a Value,
}

impl View<'_> {
    pub fn at(&self, dotted: &str) -> Option<&Value> {
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

    /// The number that counts: the one given, else the default; none while it is unknown, and none if the table complains of it already.
    fn number(&self, dotted: &str) -> Option<i64> {
        if self.unknown(dotted) {
            return None;
        }
        let field = field(dotted)?;
        match (self.at(dotted), &field.origin) {
            (Some(value), _) if !value.is_null() => match complaint(field, value) {
                Some(_) => None,
                None => value.as_i64(),
            },
            (_, Origin::Default(value)) => value.as_i64(),
            _ => None,
        }
    }
}

fn field(dotted: &str) -> Option<&'static Field> {
    let mut fields = fields();
    let mut steps = dotted.split('.').peekable();
    while let Some(step) = steps.next() {
        let field = fields.iter().find(|field| field.name == step)?;
        fields = match &field.shape {
            _ if steps.peek().is_none() => return Some(field),
            Shape::Object(inner) => inner,
            _ => return None,
        };
    }
    None
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
    lost_in_the_queue,
    lost_on_the_way,
    alarms,
    subscriptions,
    tags,
    variables,
];

/// Looks at what must fit each other.
pub fn look(config: &Value, found: &mut Diagnostics) {
    let view = View { config };
    for check in TOGETHER {
        check(&view, found);
    }
    timeouts(config, found);
}

/// What `ignore_changes` may bring together.
const LEFT: [Together; 4] = [time_outs, prefixes, expiry, batching];

/// The same of what is left to `ignore_changes`, of which Terraform shows a plan alone what it is. What does not fit any more after what was `before` is refused; where it did not, it is warned of, since it may be so
/// for long, and nothing is to be kept from going for it. Two keys Terraform would refuse itself, with words of its own.
pub fn look_at_left(config: &Value, before: Option<&Value>, found: &mut Diagnostics) {
    two_keys(&View { config }, found);
    let unfit = |check: Together, config: &Value| {
        let mut unfit = Vec::new();
        check(&View { config }, &mut unfit);
        unfit.retain(Diagnostic::is_error);
        unfit
    };
    for check in LEFT {
        let was_fit = before.is_some_and(|before| unfit(check, before).is_empty());
        let unfit = unfit(check, config).into_iter().map(|error| Diagnostic {
            severity: if was_fit {
                error.severity
            } else {
                Severity::Warning
            },
            detail: format!(
                "{} (With what `ignore_changes` leaves, or what is known by now.)",
                error.detail
            ),
            ..error
        });
        found.extend(unfit);
    }
}

fn key(view: &View, found: &mut Diagnostics) {
    two_keys(view, found);
    let (rotated, period) = ("key.enable_key_rotation", "key.rotation_period_in_days");
    if view.at(rotated).and_then(Value::as_bool) == Some(false)
        && view.given(period)
        // The default is what Terraform writes where it generates a configuration.
        && view.at(period).and_then(Value::as_i64) != Some(ROTATION_PERIOD)
    {
        let detail = format!(
            "A key that is not rotated has no period: take {period} out, or {rotated} = false."
        );
        complain(found, period, "Period without rotation", detail);
    }
}

fn two_keys(view: &View, found: &mut Diagnostics) {
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
    let own = ["filename", "s3_bucket", "s3_key"]
        .iter()
        .any(|name| !view.missing(&at(name)));
    let provided = view
        .text(&at("runtime"))
        .is_none_or(|runtime| runtime.starts_with("provided"));
    if own && !provided && view.missing(&at("handler")) {
        let detail = "The default handler, bootstrap, is that of the runtimes provided and provided.al…: say what this runtime is to call.";
        complain(found, &at("runtime"), "No handler", detail.to_owned());
    }
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
            break;
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
        let unit = if number == 1 { "day" } else { "days" };
        let detail = format!(
            "Objects expire after {number} {unit}, but an execution waits up to {seconds} s for its answer: its work could be gone before \
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

/// The queue of what could not be handled keeps messages as long as the dead-letter queue does, counted from when they were sent.
fn lost_on_the_way(view: &View, found: &mut Diagnostics) {
    let at = "dead_letter_queue.message_retention_seconds";
    let (Some(kept), Some(hidden), Some(times)) = (
        view.number(at),
        view.number("queue.visibility_timeout_seconds"),
        view.number("dead_letter_queue.max_receive_count"),
    ) else {
        return;
    };
    let times = times.saturating_add(UNDELIVERABLE_RECEIVES);
    if kept > hidden.saturating_mul(times) {
        return;
    }
    let detail = format!(
        "A message that cannot be handled is received up to {times} times, {hidden} s apart, before it is in the dead-letter queue for inspection, and is gone {kept} s after it was sent. Its execution may then wait for its \
         time-out, and no alarm goes off. {at} should be more than {hidden} times {times}, better days."
    );
    let summary = "Messages end before they are dead letters";
    found.push(Diagnostic::warning(summary, detail).at(path(at)));
}

/// The longest task token, in characters, see <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html>.
const LONGEST_TOKEN: i64 = 2048;

/// A message below this, in bytes, has less room for the work than for the task token.
const SMALL_MESSAGE: i64 = 2 * LONGEST_TOKEN;

/// Warns of settings by which work would be gone before anybody hears of it, or be turned away.
fn lost_in_the_queue(view: &View, found: &mut Diagnostics) {
    let mut warn = |at: &str, summary: &str, detail: String| {
        found.push(Diagnostic::warning(summary, detail).at(path(at)));
    };
    let (retention, visibility, receives) = (
        "queue.message_retention_seconds",
        "queue.visibility_timeout_seconds",
        "dead_letter_queue.max_receive_count",
    );
    if let (Some(kept), Some(hidden), Some(times)) = (
        view.number(retention),
        view.number(visibility),
        view.number(receives),
    ) && kept <= hidden.saturating_mul(times)
    {
        let detail = format!(
            "A message that cannot be handled is received {times} times, {hidden} s apart, and is gone after {kept} s: before it counts as undeliverable. Its \
             execution then waits for its time-out. {retention} should be more than {visibility} times {receives}."
        );
        warn(
            retention,
            "Messages end before they count as undeliverable",
            detail,
        );
    }
    let size = "queue.max_message_size";
    if let Some(bytes) = view.number(size).filter(|bytes| *bytes < SMALL_MESSAGE) {
        let detail = format!(
            "A message has what the processing function answers and a task token of up to {LONGEST_TOKEN} characters: at {bytes} bytes little or nothing is left for the answer, and each execution with more fails. \
             {size} should be at least {SMALL_MESSAGE}, better what the largest answer takes and {LONGEST_TOKEN}."
        );
        warn(size, "Messages may be too large", detail);
    }
    held_back(view, &mut warn);
    let processing = "processing.reserved_concurrent_executions";
    if view.number(processing) == Some(0) {
        let detail = "Lambda turns every call away: each execution tries again for some ten minutes, and fails then.";
        warn(processing, "Nothing is processed", detail.to_owned());
    }
    let (most, reserved) = (
        "event_source.maximum_concurrency",
        "integration.reserved_concurrent_executions",
    );
    let Some(room) = view.number(reserved).filter(|room| *room >= 0) else {
        return;
    };
    let turned_away = format!(
        "Lambda turns batches away that are more than {room} at once, and each counts as an attempt of its messages"
    );
    match view.number(most) {
        _ if room == 0 => {
            let detail = "Lambda turns everything away: messages of the queue use up their attempts and become dead letters, and answers are given up \
                          after their time. event_source.enabled = false holds work back, for as long as its executions wait, and loses none.";
            warn(reserved, "Nothing gets through", detail.to_owned());
        }
        Some(batches) if room < batches + UNDELIVERABLE_CONCURRENCY => {
            let needed = batches + UNDELIVERABLE_CONCURRENCY;
            let detail = format!(
                "{turned_away}. {most} ({batches}) and {UNDELIVERABLE_CONCURRENCY} for the undeliverable queue are {needed}: {reserved} should be at least that, or {most} smaller."
            );
            warn(most, "More at once than is reserved", detail);
        }
        None if view.missing(most) => {
            let detail = format!(
                "{turned_away}. {most} leaves the rest in the queue: it may be 2 or more, and {reserved} should be {UNDELIVERABLE_CONCURRENCY} more than that, for the undeliverable queue."
            );
            warn(reserved, "Batches may be turned away", detail);
        }
        _ => {}
    }
}

/// Warns where work comes to the application when its execution has ended: AWS counts from when the message was sent.
fn held_back(view: &View, warn: &mut impl FnMut(&str, &str, String)) {
    let (delay, window) = (
        "queue.delay_seconds",
        "event_source.maximum_batching_window_in_seconds",
    );
    let heartbeat = "state_machine.callback_heartbeat_seconds";
    if let (Some(delayed), Some(gathered)) = (view.number(delay), view.number(window)) {
        let way = delayed.saturating_add(gathered);
        let at = if gathered > delayed { window } else { delay };
        for (limit, waits) in [
            (
                "state_machine.callback_timeout_seconds",
                "waits for the answer",
            ),
            (heartbeat, "waits for a sign of life"),
        ] {
            if let Some(patience) = view.number(limit).filter(|patience| way >= *patience) {
                let detail = format!(
                    "Work is handed out up to {way} s after it was sent ({delay} and {window}), and its execution {waits} for {patience} s from then: together they should be less than {limit}."
                );
                warn(at, "Work comes after its time-out", detail);
            }
        }
    }
    let enabled = "event_source.enabled";
    let is_off = view.at(enabled).and_then(Value::as_bool) == Some(false);
    if let Some(patience) = view.number(heartbeat).filter(|_| is_off) {
        let detail = format!(
            "What is held back gives no sign of life: each execution ends {patience} s after its message was sent, with States.HeartbeatTimeout. Leave out {heartbeat} meanwhile."
        );
        warn(enabled, "What is held back ends", detail);
    }
}

/// The longest an alarm looks back, in seconds, if its periods are an hour or longer; a day if they are shorter.
const LONGEST_ALARM: i64 = 7 * 86400;

fn alarms(view: &View, found: &mut Diagnostics) {
    for (place, rows) in ALL_ALARMS {
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
            if let (Some(seconds), Some(of)) = (period, periods) {
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
    // Lambda measures them as it writes them.
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let written: serde_json::Map<String, serde_json::Value> = (map
        .iter()
        .map(|(name, value)| (name.clone(), text(value).into())))
    .collect();
    let size = serde_json::Value::Object(written).to_string().len();
    if size > 4096 {
        let detail = format!(
            "The environment variables have {size} bytes as JSON; Lambda takes at most 4,096."
        );
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
/// The longest: more than that is one, too, since `M` is a month.
const LONGEST: Duration = Duration::from_hours(7 * 24);

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
            Ok(limit) if (SHORTEST..=LONGEST).contains(&limit) => {}
            Ok(limit) if limit > LONGEST => {
                let detail = format!(
                    "\"{text}\" is {}: allowed is 7d and less, such as 30s, 20m or 1h. An `M` is a month.",
                    humantime::format_duration(limit)
                );
                found.push(Diagnostic::error("Time-out too long", detail).at(path));
            }
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
