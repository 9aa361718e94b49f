//! What can be wrong with a configuration and seen before anything is asked or changed.

mod planned;
mod subscriptions;
mod table;
mod together;

use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use super::schema::fields;
pub use planned::validate_planned;

/// Looks at each value by the table of fields, then at those that must fit each other. What is unknown is left for later.
#[must_use]
pub fn validate(config: &Value) -> Diagnostics {
    let mut found = Vec::new();
    table::each(fields(), config, &Path::root(), &mut found);
    together::look(config, &mut found);
    found
}

/// The path of `bucket.inbound_prefix`.
pub(super) fn path(dotted: &str) -> Path {
    dotted.split('.').fold(Path::root(), Path::attribute)
}

fn complain(found: &mut Diagnostics, dotted: &str, summary: &str, detail: String) {
    found.push(Diagnostic::error(summary, detail).at(path(dotted)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Place;
    use crate::documents::names::place;
    use crate::pipeline::schema::Origin;
    use serde_json::{Value as Json, json};

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
                json!({"processing": {"filename": "a.zip", "runtime": "pyhton3.13"}}),
                "processing.runtime",
                "python3.13",
            ),
            (
                json!({"processing": {"filename": "a.zip", "runtime": "provided.2023"}}),
                "processing.runtime",
                "provided",
            ),
            (
                json!({"subscriptions": {"": {"protocol": "sms", "endpoint": "+491701234567"}}}),
                "subscriptions[\"\"]",
                "label",
            ),
            (
                json!({"bucket": {"arn": "arn:aws:s3:::b"}}),
                "bucket.arn",
                "read-only",
            ),
            (json!({"drift": {"a": "b"}}), "drift", "read-only"),
            (
                json!({"alarms": {"message_age": {"alarm_name": "a"}}}),
                "alarms.message_age.alarm_name",
                "read-only",
            ),
            (
                json!({"processing": {"filename": "a.zip", "runtime": "python3.13"}}),
                "processing.runtime",
                "bootstrap",
            ),
            (
                json!({"processing": {"s3_bucket": "code-of-mine", "runtime": "python3.13", "handler": "a.b"}}),
                "processing.s3_bucket",
                "s3_key",
            ),
            (
                json!({"queue": {"message_retention_seconds": 1800}}),
                "queue.message_retention_seconds",
                "undeliverable",
            ),
            (
                json!({"queue": {"delay_seconds": 60}, "state_machine": {"callback_timeout_seconds": 60}}),
                "queue.delay_seconds",
                "answer",
            ),
            (
                json!({"queue": {"delay_seconds": 120}, "state_machine": {"callback_heartbeat_seconds": 60}}),
                "queue.delay_seconds",
                "sign of life",
            ),
            (
                json!({"event_source": {"maximum_batching_window_in_seconds": 300}, "state_machine": {"callback_timeout_seconds": 300}}),
                "event_source.maximum_batching_window_in_seconds",
                "up to 300 s",
            ),
            (
                json!({"event_source": {"enabled": false}, "state_machine": {"callback_heartbeat_seconds": 60}}),
                "event_source.enabled",
                "States.HeartbeatTimeout",
            ),
            (
                json!({"event_source": {"maximum_concurrency": 11}, "integration": {"reserved_concurrent_executions": 10}}),
                "event_source.maximum_concurrency",
                "turns batches away",
            ),
            (
                json!({"integration": {"reserved_concurrent_executions": 3}}),
                "integration.reserved_concurrent_executions",
                "event_source.maximum_concurrency",
            ),
            (
                json!({"event_source": {"maximum_concurrency": 2}, "integration": {"reserved_concurrent_executions": 0}}),
                "integration.reserved_concurrent_executions",
                "event_source.enabled = false",
            ),
            (
                json!({"processing": {"reserved_concurrent_executions": 0}}),
                "processing.reserved_concurrent_executions",
                "fails then",
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
                json!({"kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/x", "key": {}}),
                "key",
                "kms_key_arn",
            ),
            (json!({"iam_path": "x"}), "iam_path", "begins and ends"),
            (json!({"iam_path": "/team(a)!/"}), "iam_path", "letters"),
            (
                json!({"permissions_boundary": "arn:aws:iam:eu-west-1:123456789012:policy/p"}),
                "permissions_boundary",
                "ARN",
            ),
            (
                json!({"bucket": {"outbound_queue_arn": "arn:aws:sqs::123456789012:q"}}),
                "bucket.outbound_queue_arn",
                "ARN",
            ),
            (
                json!({"processing": {"filename": "a.zip", "handler": "a b"}}),
                "processing.handler",
                "no spaces",
            ),
            (
                json!({"processing": {"variables": {"LONG": "\"".repeat(2043)}}}),
                "processing.variables",
                "4097 bytes",
            ),
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
                json!({"key": {"enable_key_rotation": false, "rotation_period_in_days": 90}}),
                "key.rotation_period_in_days",
                "no period",
            ),
            (
                json!({"bucket": {"outbound_queue_arn": "arn:aws:sqs:eu-west-1:123456789012:work.fifo"}}),
                "bucket.outbound_queue_arn",
                "standard",
            ),
            (
                json!({"bucket": {"outbound_queue_arn": "https://sqs.eu-west-1.amazonaws.com/123456789012/work"}}),
                "bucket.outbound_queue_arn",
                "arn:aws:sqs:eu-west-1:123456789012:…",
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
                json!({"subscriptions": {"q": {"protocol": "sqs", "endpoint": "arn:aws:sqs:eu-west-1:1:work"}}}),
                "subscriptions[\"q\"].endpoint",
                "arn:aws:sqs:eu-west-1:123456789012:NAME",
            ),
            (
                json!({"subscriptions": {"q": {"protocol": "lambda", "endpoint": "arn:aws:lambda:eu-west-1:123456789012:work"}}}),
                "subscriptions[\"q\"].endpoint",
                "function:NAME",
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
                json!({"tags": {crate::parts::tags::MARK: "y"}}),
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
            ("filter_policy", r#"{"a": []}"#, "at least one value"),
            ("filter_policy", r#"{"a": [["b"]]}"#, "at least one value"),
            ("filter_policy", &many(6), "at most 5"),
            ("filter_policy", &product, "156 combinations"),
            ("redrive_policy", "1", "a JSON number"),
            ("redrive_policy", "{}", "deadLetterTargetArn"),
            (
                "redrive_policy",
                r#"{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:q.fifo"}"#,
                "standard SQS queue",
            ),
            (
                "redrive_policy",
                r#"{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:q", "maxReceiveCount": 3}"#,
                "nothing else",
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
                r#"{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:q"}"#.to_owned(),
                Json::Null,
            ),
        ];
        for (argument, value, scope) in good {
            assert_eq!(with(argument, &value, scope), [], "{argument} = {value}");
        }
    }

    #[test]
    fn what_is_ignored_has_to_fit_as_well() {
        // As Terraform puts it together of the configuration and what is ignored.
        for (ignored, at) in [
            (
                json!({"kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/1", "key": {"key_id": "2"}}),
                "key",
            ),
            (
                json!({"bucket": {"inbound_prefix": "inbound/", "outbound_prefix": "inbound/x/"}}),
                "bucket.inbound_prefix",
            ),
            (
                json!({"bucket": {"expiration_days": 2}, "state_machine": {"callback_timeout_seconds": 1_000_000}}),
                "bucket.expiration_days",
            ),
            (
                json!({"state_machine": {"callback_timeout_seconds": 200, "callback_heartbeat_seconds": 300}}),
                "state_machine.callback_heartbeat_seconds",
            ),
            (
                json!({"event_source": {"batch_size": 11, "maximum_batching_window_in_seconds": 0}}),
                "event_source.batch_size",
            ),
        ] {
            let config = super::super::schema::schema().conform(Value::from_json(&ignored));
            let told = validate_planned(&config, &config, None, &place());
            let told: Vec<_> = told.iter().filter_map(|one| one.path.clone()).collect();
            let told: Vec<_> = told.iter().map(ToString::to_string).collect();
            assert_eq!(told, [at], "{ignored}");
            // What was so before is told, and what comes to be so is refused.
            let fit = super::super::schema::schema().conform(Value::from_json(&json!({})));
            for (before, refused) in [(&config, at == "key"), (&fit, true)] {
                let told = validate_planned(&config, &config, Some(before), &place());
                assert_eq!(told[0].is_error(), refused, "{ignored}");
            }
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
            validate_planned(&config, &planned, None, &place)
        };
        assert!(told(tags(0..48), tags(0..48)).is_empty());
        let many = told(tags(0..10), tags(0..49));
        assert!(
            many.len() == 1 && many[0].detail.contains("39 of which"),
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
            validate_planned(&config, &config, None, &place())
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

    #[test]
    fn runtimes_of_every_family_and_of_later_versions_are_taken() {
        for runtime in [
            "dotnet10",
            "java8.al2",
            "java25",
            "nodejs24.x",
            "provided",
            "provided.al2",
            "provided.al2023",
            "python3.19",
            "ruby3.4",
        ] {
            let given = json!({"name": "orders", "processing": {"filename": "a.zip", "handler": "h", "runtime": runtime}});
            assert_eq!(found(&given), [], "{runtime}");
        }
        for runtime in [
            "nodejs22",
            "python3",
            "python313",
            "dotnet8.0",
            "rubyN.N",
            "provided.al",
        ] {
            let given = json!({"name": "orders", "processing": {"filename": "a.zip", "handler": "h", "runtime": runtime}});
            let found = found(&given);
            assert!(
                found.len() == 1 && found[0].0 == "processing.runtime",
                "{found:?}"
            );
        }
    }

    /// What is out of its own range is not held against others.
    #[test]
    fn one_slip_is_told_once() {
        for (given, at) in [
            (
                json!({"integration": {"timeout": 901}}),
                "integration.timeout",
            ),
            (
                json!({"event_source": {"batch_size": 10_001}}),
                "event_source.batch_size",
            ),
            (
                json!({"processing": {"alarms": {"errors": {"period": 30}}}}),
                "processing.alarms.errors.period",
            ),
            (
                json!({"state_machine": {"callback_timeout_seconds": 99_999_999}}),
                "state_machine.callback_timeout_seconds",
            ),
        ] {
            let mut given = given;
            given["name"] = json!("orders");
            let told = found(&given);
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0].0, at);
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
            for field in fields() {
                if field.origin != Origin::Computed {
                    map.insert(field.name.to_owned(), Value::Unknown);
                }
            }
        }
        assert!(validate(&config).is_empty());
    }

    #[test]
    fn derived_names_are_measured() {
        let place = place();
        let config = super::super::schema::schema()
            .conform(Value::from_json(&json!({"name": "a-name-too-long-for-s3"})));
        let planned = Value::from_json(&json!({
            "bucket": {"bucket": names_of("a-name-too-long-for-s3", &place)},
            "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/1",
        }));
        let told = validate_planned(&config, &planned, None, &place);
        assert!(
            told[0].detail.contains("S3 bucket") && told[0].detail.contains("63"),
            "{told:?}"
        );
        assert!(told[1].detail.contains("us-east-1"), "{told:?}");
    }

    /// An alarm is given no name: nothing but these two mends it.
    #[test]
    fn names_of_alarms_are_measured() {
        let told = |length: usize, enabled: bool| {
            let config = json!({
                "name": "n".repeat(length),
                "environment": "e".repeat(50),
                "alarms": {"executions_failed": {"enabled": enabled}},
            });
            let config = Value::from_json(&config);
            validate_planned(&config, &config, None, &place())
        };
        // n-executions-failed-e-eu-west-1
        let most = 255 - "-executions-failed-".len() - 50 - "-eu-west-1".len();
        assert_eq!(told(most, true), []);
        assert_eq!(told(most + 3, false), []);
        let long = told(most + 3, true);
        let may = format!("name may have {most} characters. Shorten these.");
        assert!(long.len() == 1 && long[0].detail.contains(&may), "{long:?}");
        // The tag that every part carries: n/e/eu-west-1.
        let most = 256 - 50 - "//eu-west-1".len();
        assert_eq!(told(most, false), []);
        let long = told(most + 1, false);
        let may = format!("name may have {most} characters");
        assert!(long.len() == 1 && long[0].detail.contains(&may), "{long:?}");
    }

    #[test]
    fn dead_letters_are_kept_longer_than_their_way() {
        let told = |kept: i64| {
            let given =
                json!({"name": "orders", "dead_letter_queue": {"message_retention_seconds": kept}});
            found(&given)
        };
        // 360 s, 5 and 3 times.
        assert_eq!(told(2881), []);
        let short = told(2880);
        assert!(
            short.len() == 1 && short[0].0 == "dead_letter_queue.message_retention_seconds",
            "{short:?}"
        );
    }

    #[test]
    fn a_message_has_room_for_more_than_its_token() {
        let told = |bytes: i64| {
            let given = json!({"name": "orders", "queue": {"max_message_size": bytes}});
            found(&given)
        };
        assert_eq!(told(4096), []);
        let small = told(4095);
        assert!(
            small.len() == 1 && small[0].0 == "queue.max_message_size",
            "{small:?}"
        );
    }

    #[test]
    fn two_parts_of_one_name_are_told() {
        let given =
            json!({"name": "orders", "queue": {"name": "q"}, "dead_letter_queue": {"name": "q"}});
        let config = super::super::schema::schema().conform(Value::from_json(&given));
        let place = place();
        let told = validate_planned(&config, &config, None, &place);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].detail.contains("queue.name"), "{told:?}");
    }

    #[test]
    fn the_path_leaves_room_in_the_roles_arn() {
        let told = |length: usize| {
            let arn = format!(
                "arn:aws:iam::123456789012:role/{}/orders",
                "p".repeat(length - 2)
            );
            let given = json!({
                "name": "orders",
                "iam_path": format!("/{}/", "p".repeat(length - 2)),
                "state_machine": {"role": {"arn": arn}},
            });
            let config = super::super::schema::schema().conform(Value::from_json(&given));
            validate_planned(&config, &config, None, &place())
        };
        // arn:aws:iam::123456789012:role and orders
        let most = 256 - 30 - 6;
        assert_eq!(told(most), []);
        let long = told(most + 1);
        let may = format!("iam_path may have {most} with");
        assert!(long.len() == 1 && long[0].detail.contains(&may), "{long:?}");
    }

    fn names_of(name: &str, place: &Place) -> String {
        crate::documents::names::bucket(name, place, "devl")
    }
}
