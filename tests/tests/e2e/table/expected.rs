//! A pipeline with nothing set but its name, as AWS should tell of it: every row of the table of what must be there.

use bellflower_tests::{Stage, by_sid};
use serde_json::{Map, Value, json};

/// What only AWS knows beforehand.
pub struct Given<'a> {
    pub key_arn: &'a str,
    pub key_id: &'a str,
    pub mapping: &'a str,
    pub undeliverable_mapping: &'a str,
    /// SHA-256 of the packages, in base64.
    pub processing_code: &'a str,
    pub integration_code: &'a str,
}

pub fn defaults(stage: &Stage, given: &Given) -> Value {
    let with = With { stage, given };
    json!({
        "key": with.key(),
        "bucket": with.bucket(),
        "queue": with.queue(),
        "undeliverable_queue": with.undeliverable_queue(),
        "dead_letter_queue": with.dead_letter_queue(),
        "topic": with.topic(),
        "processing": with.processing(),
        "integration": with.integration(),
        "event_source": with.event_source(with.given.mapping, &with.queue_arn(), None),
        "undeliverable_event_source":
            with.event_source(with.given.undeliverable_mapping, &with.undeliverable_queue_arn(), Some(2)),
        "state_machine": with.state_machine(),
        "alarms": with.pipeline_alarms(),
        "dashboard": {"error": "ResourceNotFound"},
    })
}

struct With<'a> {
    stage: &'a Stage,
    given: &'a Given<'a>,
}

fn tags() -> Value {
    json!({"bellflower:pipeline": "orders/devl/eu-west-1"})
}

fn document(statements: &Value) -> Value {
    by_sid(json!({"Version": "2012-10-17", "Statement": statements}))
}

fn tls_only(action: &str, resource: &Value) -> Value {
    json!({
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    })
}

fn trust(service: &str, condition: &Value) -> Value {
    document(&json!([{
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }]))
}

fn send_traces(more: &[&str]) -> Value {
    let mut actions = more.to_vec();
    actions.extend(["xray:PutTelemetryRecords", "xray:PutTraceSegments"]);
    json!({"Sid": "SendTraces", "Effect": "Allow", "Action": actions, "Resource": "*"})
}

impl With<'_> {
    fn account(&self) -> &str {
        self.stage.emulator.account()
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        self.stage.arn(service, resource)
    }

    fn bucket_arn(&self) -> String {
        self.arn("s3", &self.stage.names.bucket)
    }

    fn queue_arn(&self) -> String {
        self.arn("sqs", &self.stage.names.queue)
    }

    fn undeliverable_queue_arn(&self) -> String {
        self.arn("sqs", &self.stage.names.undeliverable_queue)
    }

    fn dead_letter_queue_arn(&self) -> String {
        self.arn("sqs", &self.stage.names.dead_letter_queue)
    }

    fn topic_arn(&self) -> String {
        self.arn("sns", &self.stage.names.topic)
    }

    fn function_arn(&self, name: &str) -> String {
        self.arn("lambda", &format!("function:{name}"))
    }

    fn machine_arn(&self) -> String {
        let name = &self.stage.names.state_machine;
        self.arn("states", &format!("stateMachine:{name}"))
    }

    fn log_group_arn(&self, name: &str) -> String {
        self.arn("logs", &format!("log-group:{name}"))
    }

    fn alarms_of_this_account(&self) -> Value {
        json!({
            "StringEquals": {"aws:SourceAccount": self.account()},
            "ArnLike": {"aws:SourceArn": self.arn("cloudwatch", "alarm:*")},
        })
    }

    /// The account's own policies govern it; only logs of these groups and this account's alarms use it beside them.
    fn key(&self) -> Value {
        let names = &self.stage.names;
        let groups = [
            format!("/aws/lambda/{}", names.processing),
            format!("/aws/lambda/{}", names.integration),
            format!("/aws/vendedlogs/states/{}", names.state_machine),
        ]
        .map(|name| self.log_group_arn(&name));
        let logs = format!("logs.{}.amazonaws.com", self.stage.region());
        json!({
            "arn": self.given.key_arn,
            "key_id": self.given.key_id,
            "aliases": [names.key_alias],
            "description": "Encrypts the callback pipeline orders (devl)",
            "state": "Enabled",
            "manager": "CUSTOMER",
            "usage": "ENCRYPT_DECRYPT",
            "rotation": true,
            "rotation_days": 365,
            "tags": tags(),
            "policy": document(&json!([
                {
                    "Sid": "AccountPolicies",
                    "Effect": "Allow",
                    "Principal": {"AWS": self.arn("iam", "root")},
                    "Action": "kms:*",
                    "Resource": "*",
                },
                {
                    "Sid": "LogGroups",
                    "Effect": "Allow",
                    "Principal": {"Service": logs},
                    "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                    "Resource": "*",
                    "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": groups}},
                },
                {
                    "Sid": "AlarmNotifications",
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                    "Resource": "*",
                    "Condition": self.alarms_of_this_account(),
                },
            ])),
        })
    }

    fn bucket(&self) -> Value {
        let arn = self.bucket_arn();
        let expiry = |prefix: &str| json!({"status": "Enabled", "prefix": prefix, "larger_than": 0, "days": 90, "noncurrent_days": 90});
        json!({
            "location": self.stage.region(),
            "encryption": [{"algorithm": "aws:kms", "key": self.given.key_arn, "bucket_key": true}],
            "public_access_block": {
                "block_public_acls": true,
                "ignore_public_acls": true,
                "block_public_policy": true,
                "restrict_public_buckets": true,
            },
            "ownership": ["BucketOwnerEnforced"],
            "policy": document(&json!([tls_only("s3:*", &json!([arn, format!("{arn}/*")]))])),
            "lifecycle": {
                "bellflower-expire-inbound": expiry("inbound/"),
                "bellflower-expire-outbound": expiry("outbound/"),
                "bellflower-abort-uploads": {"status": "Enabled", "prefix": "", "larger_than": null, "days": null, "noncurrent_days": null},
            },
            "notification": {
                "functions": [{
                    "id": "bellflower-inbound",
                    "function": self.function_arn(&self.stage.names.integration),
                    "events": ["s3:ObjectCreated:*"],
                    "filter": {"prefix": "inbound/", "suffix": ".json"},
                }],
                "queues": [],
                "topics": 0,
            },
            "objects": ["inbound/", "outbound/"],
            "tags": tags(),
        })
    }

    fn any_queue(&self, arn: &str) -> Value {
        let nobody_else = json!({
            "Sid": "ThisAccountOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": arn,
            "Condition": {
                "StringNotEquals": {"aws:PrincipalAccount": self.account()},
                "Bool": {"aws:PrincipalIsAWSService": "false"},
            },
        });
        json!({
            "QueueArn": arn,
            "DelaySeconds": "0",
            "MaximumMessageSize": "1048576",
            "KmsMasterKeyId": self.given.key_arn,
            "KmsDataKeyReusePeriodSeconds": "300",
            "Policy": document(&json!([tls_only("sqs:*", &json!(arn)), nobody_else])),
            "tags": tags(),
        })
    }

    fn queue(&self) -> Value {
        let mut queue = self.any_queue(&self.queue_arn());
        queue["MessageRetentionPeriod"] = json!("345600");
        queue["ReceiveMessageWaitTimeSeconds"] = json!("20");
        queue["VisibilityTimeout"] = json!("360");
        queue["RedrivePolicy"] =
            json!({"deadLetterTargetArn": self.undeliverable_queue_arn(), "maxReceiveCount": 5});
        queue
    }

    /// Its messages come to the integration function three times more, and then to rest.
    fn undeliverable_queue(&self) -> Value {
        let mut queue = self.any_queue(&self.undeliverable_queue_arn());
        queue["MessageRetentionPeriod"] = json!("1209600");
        queue["ReceiveMessageWaitTimeSeconds"] = json!("0");
        queue["VisibilityTimeout"] = json!("360");
        queue["RedrivePolicy"] =
            json!({"deadLetterTargetArn": self.dead_letter_queue_arn(), "maxReceiveCount": 8});
        queue["RedriveAllowPolicy"] =
            json!({"redrivePermission": "byQueue", "sourceQueueArns": [self.queue_arn()]});
        queue
    }

    fn dead_letter_queue(&self) -> Value {
        let mut queue = self.any_queue(&self.dead_letter_queue_arn());
        queue["MessageRetentionPeriod"] = json!("1209600");
        queue["ReceiveMessageWaitTimeSeconds"] = json!("0");
        queue["VisibilityTimeout"] = json!("30");
        queue["RedriveAllowPolicy"] = json!({
            "redrivePermission": "byQueue",
            "sourceQueueArns": [self.undeliverable_queue_arn()],
        });
        queue
    }

    fn topic(&self) -> Value {
        let arn = self.topic_arn();
        json!({
            "arn": arn,
            "display_name": "",
            "key": self.given.key_arn,
            "subscriptions": {},
            "tags": tags(),
            "policy": document(&json!([
                {
                    "Sid": "AlarmNotifications",
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    "Action": "sns:Publish",
                    "Resource": arn,
                    "Condition": self.alarms_of_this_account(),
                },
                tls_only("sns:Publish", &json!(arn)),
            ])),
        })
    }

    fn log_group(&self, name: &str) -> Value {
        json!({"arn": self.log_group_arn(name), "retention": 14, "key": self.given.key_arn, "tags": tags()})
    }

    fn role(&self, name: &str, description: &str, trust: &Value, statements: &Value) -> Value {
        json!({
            "arn": self.arn("iam", &format!("role/{name}")),
            "path": "/",
            "description": description,
            "trust": trust,
            "boundary": null,
            "policies": {"bellflower": document(statements)},
            "attached": [],
            "tags": tags(),
        })
    }

    fn lambda_trust(&self) -> Value {
        let condition = json!({"StringEquals": {"aws:SourceAccount": self.account()}});
        trust("lambda.amazonaws.com", &condition)
    }

    fn write_log(&self, function: &str) -> Value {
        let group = self.log_group_arn(&format!("/aws/lambda/{function}"));
        json!({
            "Sid": "WriteLog",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": format!("{group}:*"),
        })
    }

    fn function(&self, name: &str, timeout: i64) -> Value {
        json!({
            "arn": self.function_arn(name),
            "runtime": "provided.al2023",
            "handler": "bootstrap",
            "memory": 128,
            "timeout": timeout,
            "architectures": ["x86_64"],
            "logging": format!("/aws/lambda/{name}"),
            "tracing": "Active",
            "key": self.given.key_arn,
            "state": "Active",
            "variables": {},
            "reserved_concurrency": null,
            "policy": {},
            "event_invoke_config": {"error": "ResourceNotFoundException"},
            "tags": tags(),
            "log_group": self.log_group(&format!("/aws/lambda/{name}")),
            "alarms": self.alarms(name, timeout),
        })
    }

    /// Metric, statistic, threshold, period, evaluation periods, datapoints, end of the name.
    fn alarms(&self, function: &str, timeout: i64) -> Value {
        let near_the_time_out = timeout * 1000 * 8 / 10;
        let rows = [
            ("Invocations", "Sum", 50_000, 900, 1, 1, "invocations"),
            ("Errors", "Sum", 10, 300, 3, 2, "errors"),
            ("Throttles", "Sum", 10, 300, 3, 2, "throttles"),
            (
                "Duration",
                "Average",
                near_the_time_out,
                300,
                3,
                3,
                "duration",
            ),
            (
                "ConcurrentExecutions",
                "Maximum",
                800,
                60,
                5,
                5,
                "concurrent-executions",
            ),
        ];
        let one = |(metric, statistic, threshold, period, periods, datapoints, ending)| {
            let name = format!("{function}-{ending}");
            let threshold: i64 = threshold;
            let description = match metric {
                "Invocations" => "Far more invocations than usual: a loop, or a flood.",
                "Errors" => "Errors that do not go away.",
                "Throttles" => "Invocations that Lambda turned away.",
                "Duration" => "Invocations that on average come near the time-out (80 %).",
                _ => "Invocations at once near the account's usual limit of 1,000.",
            };
            let alarm = json!({
                "name": name,
                "arn": self.arn("cloudwatch", &format!("alarm:{name}")),
                "description": description,
                "namespace": "AWS/Lambda",
                "dimensions": {"FunctionName": function},
                "statistic": statistic,
                "extended_statistic": null,
                "unit": null,
                "threshold": f64::from(i32::try_from(threshold).unwrap()),
                "period": period,
                "evaluation_periods": periods,
                "datapoints": datapoints,
                "operator": "GreaterThanOrEqualToThreshold",
                "missing_data": "notBreaching",
                "actions_enabled": true,
                "alarm_actions": [self.topic_arn()],
                "ok_actions": [],
                "tags": tags(),
            });
            (String::from(metric), alarm)
        };
        Value::Object(rows.into_iter().map(one).collect::<Map<_, _>>())
    }

    /// Those that watch what no function's alarm sees.
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn pipeline_alarms(&self) -> Value {
        let names = &self.stage.names;
        let queue = |name: &str| json!({ "QueueName": name });
        let pipeline = json!({"Pipeline": "orders", "Environment": "devl"});
        // Metric, namespace, dimensions, statistic, threshold, period and number of periods, name.
        let rows = [
            (
                Some("ApproximateNumberOfMessagesVisible"),
                Some("AWS/SQS"),
                queue(&names.dead_letter_queue),
                "Maximum",
                1,
                (60, 1),
                "dead_letter_depth",
            ),
            (
                Some("ApproximateAgeOfOldestMessage"),
                Some("AWS/SQS"),
                queue(&names.queue),
                "Maximum",
                900,
                (60, 5),
                "message_age",
            ),
            // A sum of three metrics: the emulator keeps nothing of it and tells its own defaults.
            (
                None,
                None,
                json!({}),
                "Average",
                1,
                (60, 1),
                "executions_failed",
            ),
            (
                Some("Rejected"),
                Some("Bellflower"),
                pipeline.clone(),
                "Sum",
                1,
                (300, 1),
                "callbacks_rejected",
            ),
            (
                Some("Undeliverable"),
                Some("Bellflower"),
                pipeline,
                "Sum",
                1,
                (60, 1),
                "callbacks_undeliverable",
            ),
        ];
        let one = |(
            metric,
            namespace,
            dimensions,
            statistic,
            threshold,
            (period, periods),
            alarm,
        )| {
            let alarm: &str = alarm;
            let name = names.alarm.replace("{}", &alarm.replace('_', "-"));
            let description = match alarm {
                "dead_letter_depth" => {
                    "Messages or events that could not be handled lie in the dead-letter queue."
                }
                "message_age" => {
                    "The oldest message has waited long for the integration function (seconds)."
                }
                "executions_failed" => "Executions that failed, timed out or were aborted.",
                "callbacks_rejected" => {
                    "Answers of the business application that could not be passed on; error.json in the exchange's folder says why."
                }
                _ => "Callbacks that failed since their message could not be handled.",
            };
            let threshold: i32 = threshold;
            let periods: i64 = periods;
            let period: i64 = period;
            let metric: Option<&str> = metric;
            let namespace: Option<&str> = namespace;
            let dimensions: Value = dimensions;
            let statistic: &str = statistic;
            let shown = json!({
                "metric": metric,
                "name": name,
                "arn": self.arn("cloudwatch", &format!("alarm:{name}")),
                "description": description,
                "namespace": namespace,
                "dimensions": dimensions,
                "statistic": statistic,
                "extended_statistic": null,
                "unit": null,
                "threshold": f64::from(threshold),
                "period": period,
                "evaluation_periods": periods,
                "datapoints": periods,
                "operator": "GreaterThanOrEqualToThreshold",
                "missing_data": "notBreaching",
                "actions_enabled": true,
                "alarm_actions": [self.topic_arn()],
                "ok_actions": [],
                "tags": tags(),
            });
            (alarm.to_owned(), shown)
        };
        Value::Object(rows.into_iter().map(one).collect::<Map<_, _>>())
    }

    fn processing(&self) -> Value {
        let names = &self.stage.names;
        let mut function = self.function(&names.processing, 30);
        function["description"] = json!("Makes the payload and the execution id");
        function["code_sha256"] = json!(self.given.processing_code);
        function["role_arn"] = json!(self.arn("iam", &format!("role/{}", names.processing_role)));
        function["role"] = self.role(
            &names.processing_role,
            "Processing function of the callback pipeline orders (devl)",
            &self.lambda_trust(),
            &json!([
                self.write_log(&names.processing),
                send_traces(&[]),
                {
                    "Sid": "OpenVariables",
                    "Effect": "Allow",
                    "Action": "kms:Decrypt",
                    "Resource": self.given.key_arn,
                    "Condition": {"StringEquals": {
                        "kms:EncryptionContext:aws:lambda:FunctionArn": self.function_arn(&names.processing),
                    }},
                },
            ]),
        );
        function
    }

    fn integration(&self) -> Value {
        let names = &self.stage.names;
        let mut function = self.function(&names.integration, 60);
        function["description"] =
            json!("Hands work out to the bucket and answers back to the state machine");
        function["code_sha256"] = json!(self.given.integration_code);
        function["variables"] = json!({
            "BELLFLOWER_BUCKET": names.bucket,
            "BELLFLOWER_INBOUND_PREFIX": "inbound/",
            "BELLFLOWER_OUTBOUND_PREFIX": "outbound/",
            "BELLFLOWER_TASK_TOKEN": "outbound",
            "BELLFLOWER_UNDELIVERABLE_QUEUE_ARN": self.undeliverable_queue_arn(),
            "BELLFLOWER_PIPELINE": "orders",
            "BELLFLOWER_ENVIRONMENT": "devl",
        });
        function["event_invoke_config"] = json!({
            "maximum_event_age": 21600,
            "maximum_retries": 2,
            "on_failure": self.dead_letter_queue_arn(),
            "on_success": null,
        });
        // Only this bucket, and only as long as it is this account's, may have S3 invoke it.
        function["policy"] = json!({"bellflower-bucket": {
            "Sid": "bellflower-bucket",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": self.function_arn(&names.integration),
            "Condition": {
                "StringEquals": {"AWS:SourceAccount": self.account()},
                "ArnLike": {"AWS:SourceArn": self.bucket_arn()},
            },
        }});
        function["role_arn"] = json!(self.arn("iam", &format!("role/{}", names.integration_role)));
        let bucket = self.bucket_arn();
        function["role"] = self.role(
            &names.integration_role,
            "Integration function of the callback pipeline orders (devl)",
            &self.lambda_trust(),
            &json!([
                self.write_log(&names.integration),
                send_traces(&[]),
                {
                    "Sid": "TakeMessages",
                    "Effect": "Allow",
                    "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
                    "Resource": [self.queue_arn(), self.undeliverable_queue_arn()],
                },
                {
                    "Sid": "KeepFailedInvocations",
                    "Effect": "Allow",
                    "Action": "sqs:SendMessage",
                    "Resource": self.dead_letter_queue_arn(),
                },
                {
                    "Sid": "ReadExchange",
                    "Effect": "Allow",
                    "Action": "s3:GetObject",
                    "Resource": [format!("{bucket}/inbound/*"), format!("{bucket}/outbound/*")],
                },
                {
                    "Sid": "WriteWork",
                    "Effect": "Allow",
                    "Action": "s3:PutObject",
                    "Resource": [format!("{bucket}/outbound/*")],
                },
                self.remove_tokens(),
                {
                    "Sid": "TellMissingFromForbidden",
                    "Effect": "Allow",
                    "Action": "s3:ListBucket",
                    "Resource": bucket,
                    "Condition": {"StringLike": {"s3:prefix": ["inbound/*", "outbound/*"]}},
                },
                self.use_key(),
                {
                    "Sid": "AnswerCallbacks",
                    "Effect": "Allow",
                    "Action": ["states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess"],
                    "Resource": "*",
                },
            ]),
        );
        function
    }

    fn remove_tokens(&self) -> Value {
        json!({
            "Sid": "RemoveTokens",
            "Effect": "Allow",
            "Action": "s3:DeleteObject",
            "Resource": format!("{}/outbound/*/task_token.txt", self.bucket_arn()),
        })
    }

    fn use_key(&self) -> Value {
        json!({
            "Sid": "UseKey",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": self.given.key_arn,
        })
    }

    fn event_source(&self, uuid: &str, queue_arn: &str, at_once: Option<i64>) -> Value {
        json!({
            "uuid": uuid,
            "function": self.function_arn(&self.stage.names.integration),
            "source": queue_arn,
            "state": "Enabled",
            "batch_size": 10,
            "batching_window": 0,
            "maximum_concurrency": at_once,
            "filters": [],
            "response_types": ["ReportBatchItemFailures"],
            "tags": tags(),
        })
    }

    /// All but the definition, which has a test of its own.
    fn state_machine(&self) -> Value {
        let names = &self.stage.names;
        let log_name = format!("/aws/vendedlogs/states/{}", names.state_machine);
        let arn = self.machine_arn();
        let mine = json!({
            "StringEquals": {"aws:SourceAccount": self.account()},
            "ArnLike": {"aws:SourceArn": arn},
        });
        let allow = |sid: &str, action: &str, resource: String| json!({"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource});
        let statements = json!([
            allow("Process", "lambda:InvokeFunction", self.function_arn(&names.processing)),
            allow("HandOut", "sqs:SendMessage", self.queue_arn()),
            allow("Notify", "sns:Publish", self.topic_arn()),
            self.remove_tokens(),
            self.use_key(),
            {
                "Sid": "DeliverLogs",
                "Effect": "Allow",
                "Action": [
                    "logs:CreateLogDelivery",
                    "logs:DeleteLogDelivery",
                    "logs:DescribeLogGroups",
                    "logs:DescribeResourcePolicies",
                    "logs:GetLogDelivery",
                    "logs:ListLogDeliveries",
                    "logs:PutResourcePolicy",
                    "logs:UpdateLogDelivery",
                ],
                "Resource": "*",
            },
            send_traces(&["xray:GetSamplingRules", "xray:GetSamplingTargets"]),
        ]);
        json!({
            "arn": arn,
            "type": "STANDARD",
            "status": "ACTIVE",
            "role_arn": self.arn("iam", &format!("role/{}", names.state_machine_role)),
            "definition": null,
            "logging": {
                "level": "ALL",
                "execution_data": false,
                "destinations": [format!("{}:*", self.log_group_arn(&log_name))],
            },
            // The emulator takes it and does not tell it.
            "tracing": null,
            "tags": tags(),
            "tells_when_it_was_made": true,
            "role": self.role(
                &names.state_machine_role,
                "State machine of the callback pipeline orders (devl)",
                &trust("states.amazonaws.com", &mine),
                &statements,
            ),
            "log_group": self.log_group(&log_name),
        })
    }
}
