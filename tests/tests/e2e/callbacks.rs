//! Every way a callback can end that needs more than one AWS service to show; what a function alone does is shown with its executable, in
//! `lambdas/integration/tests`.

use std::time::Duration;

use aws_sdk_cloudwatch::types::{Dimension, MetricAlarm, MetricDatum, StateValue};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEventType};
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::proxy::Proxy;
use bellflower_tests::{
    BusinessApplication, Error, Execution, Options, Pipeline, Stage, Subscriber, eventually,
};
use rustix::process::Signal;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(2);

/// What makes ways that take minutes take seconds.
const QUICK: &str = "
  queue               = { visibility_timeout_seconds = 5 }
  dead_letter_queue   = { max_receive_count = 1 }
  integration         = { timeout = 5 }
  event_invoke_config = { maximum_retry_attempts = 0 }
  state_machine       = { callback_heartbeat_seconds = 20 }
";

struct Ground {
    stage: Stage,
    pipeline: Pipeline,
    queue: String,
    dead_letter_queue: String,
    subscriber: Subscriber,
}

impl Ground {
    async fn new(arguments: &str) -> Result<Self, Error> {
        let options = Options {
            wait_scale: 0.05,
            ..Options::default()
        };
        let stage = Stage::with(&format!("{QUICK}{arguments}"), options).await?;
        stage.terraform.apply()?;
        let attributes = stage.state()?;
        let url = |queue: &str| {
            attributes[queue]["url"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let pipeline = stage.pipeline()?;
        let topic = &pipeline.topic_arn;
        Ok(Self {
            queue: url("queue"),
            dead_letter_queue: url("dead_letter_queue"),
            subscriber: Subscriber::new(stage.aws.clone(), topic, "listener").await?,
            pipeline,
            stage,
        })
    }

    /// Starts an execution and waits until its work is there; its ARN and the execution id.
    async fn open(&self) -> Result<(String, String), Error> {
        let before = self.work().await?;
        let execution = self.pipeline.start("{}").await?;
        let id = eventually("new work", LIMIT, async || {
            let mut all = self.work().await?;
            all.retain(|id| !before.contains(id));
            Ok(all.pop().ok_or_else(|| format!("{before:?}")))
        })
        .await?;
        Ok((execution, id))
    }

    /// The execution ids whose data is there.
    async fn work(&self) -> Result<Vec<String>, Error> {
        let keys = self.pipeline.keys("outbound/").await?;
        let id = |key: &String| {
            let id = key.strip_prefix("outbound/")?.strip_suffix("/data.json")?;
            Some(id.to_owned())
        };
        Ok(keys.iter().filter_map(id).collect())
    }

    async fn put(&self, key: &str, body: &str) {
        let put = self.stage.aws.s3.put_object();
        let put = put.bucket(&self.pipeline.bucket).key(key);
        let body = ByteStream::from(body.as_bytes().to_vec());
        put.body(body).send().await.unwrap();
    }

    /// Waits until the execution has failed, and the topic's message has told so in the same words.
    async fn failed(&self, execution: &str) -> Result<Execution, Error> {
        let ended = self.pipeline.ended(execution, LIMIT).await?;
        assert_eq!(ended.status, ExecutionStatus::Failed, "{ended:?}");
        let body = self.told("execution_arn", execution).await?;
        assert_eq!(body["status"], "FAILED", "{body:#}");
        assert_eq!(body["error"], json!(ended.error), "{body:#}");
        assert_eq!(body["cause"], json!(ended.cause), "{body:#}");
        Ok(ended)
    }

    /// The topic's next message in which this field has this value.
    async fn told(&self, field: &str, value: &str) -> Result<Value, Error> {
        loop {
            let message = self.subscriber.next(LIMIT).await?;
            let text = message["Message"].as_str().unwrap_or_default();
            let body: Value = serde_json::from_str(text).unwrap_or_default();
            if body[field] == value {
                return Ok(body);
            }
        }
    }

    /// Tells CloudWatch of a metric, as AWS would: then the alarm that watches it goes off, and its message is on the topic. The emulator takes
    /// metrics from neither logs nor queues.
    async fn sets_off(
        &self,
        metric: &str,
        namespace: &str,
        dimensions: &[(&str, &str)],
    ) -> Result<(), Error> {
        let cloudwatch = &self.stage.aws.cloudwatch;
        let alarm = async || {
            let all = cloudwatch.describe_alarms().send().await;
            let all = all.map_err(Error::aws("reading the alarms"))?;
            let mut found = all.metric_alarms.unwrap_or_default();
            found.retain(|alarm| {
                alarm.metric_name.as_deref() == Some(metric)
                    && alarm.namespace.as_deref() == Some(namespace)
                    && watches(alarm, dimensions)
            });
            assert_eq!(found.len(), 1, "{metric}: {found:#?}");
            Ok::<_, Error>(found.remove(0))
        };
        assert_ne!(
            alarm().await?.state_value,
            Some(StateValue::Alarm),
            "{metric}"
        );
        let of =
            |(name, value): &(&str, &str)| Dimension::builder().name(*name).value(*value).build();
        let datum = MetricDatum::builder().metric_name(metric).value(1.0);
        let datum = datum
            .set_dimensions(Some(dimensions.iter().map(of).collect()))
            .build();
        let put = cloudwatch
            .put_metric_data()
            .namespace(namespace)
            .metric_data(datum);
        put.send().await.map_err(Error::aws("counting"))?;
        let alarm = alarm().await?;
        assert_eq!(alarm.state_value, Some(StateValue::Alarm), "{alarm:#?}");
        self.told("AlarmName", alarm.alarm_name().unwrap_or_default())
            .await?;
        Ok(())
    }

    /// The next message of the dead-letter queue, which is taken out.
    async fn dead_letter(&self) -> Result<Value, Error> {
        let sqs = &self.stage.aws.sqs;
        let message = eventually("a dead letter", LIMIT, async || {
            let receive = sqs.receive_message().queue_url(&self.dead_letter_queue);
            let answer = receive.send().await.map_err(Error::aws("receiving"))?;
            Ok(answer
                .messages
                .unwrap_or_default()
                .pop()
                .ok_or_else(|| "nothing".to_owned()))
        })
        .await?;
        let taken = sqs.delete_message().queue_url(&self.dead_letter_queue);
        let taken = taken.set_receipt_handle(message.receipt_handle).send();
        taken.await.unwrap();
        let body = message.body.unwrap_or_default();
        Ok(serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// The integration function's log lines that contain a text, once there is one.
    async fn logged(&self, text: &str) -> Result<Vec<String>, Error> {
        let group = format!("/aws/lambda/{}", self.stage.names.integration);
        eventually(text, LIMIT, async || {
            let filter = self.stage.aws.logs.filter_log_events();
            let events = filter.log_group_name(&group).send().await;
            let events = events.map_err(Error::aws("reading the log"))?;
            let lines: Vec<String> = events
                .events()
                .iter()
                .filter_map(|event| event.message().map(str::to_owned))
                .filter(|line| line.contains(text))
                .collect();
            Ok(if lines.is_empty() {
                Err("no such line".to_owned())
            } else {
                Ok(lines)
            })
        })
        .await
    }
}

/// Whether an alarm watches the metric of these dimensions and no others.
fn watches(alarm: &MetricAlarm, dimensions: &[(&str, &str)]) -> bool {
    let mut watched: Vec<(&str, &str)> = alarm
        .dimensions()
        .iter()
        .map(|one| {
            (
                one.name().unwrap_or_default(),
                one.value().unwrap_or_default(),
            )
        })
        .collect();
    watched.sort_unstable();
    let mut wanted = dimensions.to_vec();
    wanted.sort_unstable();
    watched == wanted
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_end_and_say_how() -> Result<(), Error> {
    let ground = Ground::new("").await?;
    a_failure_is_the_executions(&ground).await?;
    a_heartbeat_leaves_it_open(&ground).await?;
    without_a_heartbeat_it_fails(&ground).await?;
    an_application_needs_its_policy_alone(&ground, "outbound").await?;
    an_answer_of_another_name_is_told_of(&ground).await?;
    what_cannot_be_handed_out_fails_now(&ground).await?;
    an_event_that_fails_for_good_is_kept(&ground).await?;
    // Last, since it takes the topic away.
    a_message_that_cannot_be_told_loses_nothing(&ground).await?;
    Ok(())
}

async fn a_failure_is_the_executions(ground: &Ground) -> Result<(), Error> {
    let told = json!({"error": "Orders.OutOfStock", "cause": "Article 4711 is not in stock."});
    for (body, error, cause) in [
        (
            told.to_string(),
            "Orders.OutOfStock",
            "Article 4711 is not in stock.",
        ),
        (
            String::new(),
            "Bellflower.ApplicationFailure",
            "failure.json",
        ),
    ] {
        let (execution, id) = ground.open().await?;
        ground
            .put(&format!("inbound/{id}/failure.json"), &body)
            .await;
        let ended = ground.failed(&execution).await?;
        assert_eq!(ended.error.as_deref(), Some(error));
        let said = ended.cause.unwrap_or_default();
        assert!(said.contains(cause), "{said}");
        assert_eq!(ground.tokens(&id).await?, Vec::<String>::new());
    }
    Ok(())
}

async fn a_heartbeat_leaves_it_open(ground: &Ground) -> Result<(), Error> {
    let (execution, id) = ground.open().await?;
    ground
        .put(&format!("inbound/{id}/heartbeat.json"), "")
        .await;
    let metrics = ground.logged("\"Heartbeats\":1").await?;
    assert!(
        metrics[0].contains("\"Pipeline\":\"orders\""),
        "{metrics:?}"
    );
    ground.pipeline.answer(&id, "{}").await?;
    let ended = ground.pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    // What comes afterwards has no effect, and is counted.
    ground
        .put(&format!("inbound/{id}/success.json"), "{}")
        .await;
    ground.logged("\"Late\":1").await?;
    Ok(())
}

/// The emulator does not look at the clock of heartbeats. What Step Functions does when their time is over is done here in its place: the state
/// ends with the error that is kept for it.
async fn without_a_heartbeat_it_fails(ground: &Ground) -> Result<(), Error> {
    let sfn = &ground.stage.aws.sfn;
    let machine = ground.stage.arn(
        "states",
        &format!("stateMachine:{}", ground.stage.names.state_machine),
    );
    let shown = sfn.describe_state_machine().state_machine_arn(machine);
    let shown = shown
        .send()
        .await
        .map_err(Error::aws("reading the machine"))?;
    let definition: Value = serde_json::from_str(&shown.definition).unwrap();
    let waiting = &definition["States"][bellflower_contract::states::WAIT_FOR_RESPONSE];
    assert_eq!(waiting["HeartbeatSeconds"], 20, "{waiting:#}");

    let (execution, id) = ground.open().await?;
    let token = format!("outbound/{id}/task_token.txt");
    let token = ground.pipeline.object(&token).await?;
    let end = sfn.send_task_failure().task_token(token.trim());
    let end = end.error("States.HeartbeatTimeout").send().await;
    end.map_err(Error::aws("ending the wait"))?;
    let ended = ground.failed(&execution).await?;
    assert_eq!(ended.error.as_deref(), Some("States.HeartbeatTimeout"));
    let cause = ended.cause.unwrap_or_default();
    assert!(cause.contains(&id), "{cause}");
    assert_eq!(ground.tokens(&id).await?, Vec::<String>::new());
    Ok(())
}

/// The program of `examples/business-application`, run by a user who has `business_application_policy_json` and nothing else. The token is where
/// `tokens` says, which that policy opens only where the application may see it anyway.
async fn an_application_needs_its_policy_alone(ground: &Ground, tokens: &str) -> Result<(), Error> {
    let policy = ground.stage.state()?["business_application_policy_json"].clone();
    let policy = serde_json::from_str(policy.as_str().unwrap_or_default()).unwrap();
    let emulator = &ground.stage.emulator;
    let user = emulator.user("application", Some(&policy)).await?;
    let (id_of_key, secret) = (user.access_key_id(), user.secret_access_key());
    let bucket = &ground.pipeline.bucket;
    let (execution, id) = ground.open().await?;
    let s3 = emulator.aws_as(id_of_key, secret).s3;
    let token = format!("{tokens}/{id}/task_token.txt");
    let token = s3.get_object().bucket(bucket).key(token).send().await;
    assert_eq!(token.is_ok(), tokens == "outbound");
    for key in [
        format!("outbound/{id}/data.json"),
        format!("outbound/{id}/task_token.txt"),
        format!("private/{id}/task_token.txt"),
    ] {
        let put = s3.put_object().bucket(bucket).key(&key).send().await;
        assert!(put.is_err(), "it can write {key}");
        let delete = s3.delete_object().bucket(bucket).key(&key).send().await;
        assert!(delete.is_err(), "it can remove {key}");
    }
    let policy = s3.get_bucket_policy().bucket(bucket).send().await;
    assert!(policy.is_err(), "it can read the bucket's policy");

    let options = ["--every=0.2"];
    let environment = emulator.environment_as(id_of_key, secret);
    let application = BusinessApplication::start(emulator, &environment, bucket, &options)?;
    let ended = ground.pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert!(application.stop(Signal::TERM)?.success());
    Ok(())
}

/// S3 tells a queue of the application's of work, which is then not looked for.
async fn an_application_can_be_told(ground: &Ground, arguments: &str) -> Result<(), Error> {
    let stage = &ground.stage;
    let arn = stage.arn("sqs", "work");
    let bucket = stage.arn("s3", &ground.pipeline.bucket);
    let from_s3 = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {
            "ArnLike": {"aws:SourceArn": bucket},
            "StringEquals": {"aws:SourceAccount": stage.emulator.account()},
        },
    }]});
    let queue = stage.aws.sqs.create_queue().queue_name("work");
    let queue = queue.attributes(QueueAttributeName::Policy, from_s3.to_string());
    let url = queue.send().await.unwrap().queue_url.unwrap();
    let told = format!("  bucket = {{ outbound_queue_arn = \"{arn}\" }}\n");
    stage.set(&format!("{QUICK}{arguments}{told}"))?;
    stage.terraform.apply()?;

    let queue = format!("--queue={url}");
    let options = [queue.as_str(), "--every=3600"];
    let proxy = Proxy::start(&stage.emulator)?;
    let application = BusinessApplication::start(
        &stage.emulator,
        &proxy.environment(),
        &ground.pipeline.bucket,
        &options,
    )?;
    // What it finds by looking when it starts is not what it is to show.
    let looks = || proxy.count("s3:ListObjectsV2");
    eventually("the application's first look", LIMIT, async || {
        Ok(if looks() == 2 {
            Ok(())
        } else {
            Err(looks().to_string())
        })
    })
    .await?;
    let executions = [
        ground.pipeline.start("{}").await?,
        ground.pipeline.start("{}").await?,
    ];
    for execution in executions {
        let ended = ground.pipeline.ended(&execution, LIMIT).await?;
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    }
    assert!(application.stop(Signal::TERM)?.success());
    assert_eq!(looks(), 2, "it looked for work");
    let deleted = stage.aws.sqs.delete_queue().queue_url(url).send().await;
    assert!(deleted.is_ok(), "{deleted:?}");
    Ok(())
}

/// The token of an open callback in a message that no function can handle.
async fn what_cannot_be_handed_out_fails_now(ground: &Ground) -> Result<(), Error> {
    let (execution, id) = ground.open().await?;
    let token = format!("outbound/{id}/task_token.txt");
    let token = ground.pipeline.object(&token).await?;
    let poison = json!({"Input": {"execution_id": "../no id"}, "TaskToken": token.trim()});
    let send = ground.stage.aws.sqs.send_message().queue_url(&ground.queue);
    send.message_body(poison.to_string()).send().await.unwrap();
    // What shares its batch is handled.
    let (other, beside) = ground.open().await?;
    ground.pipeline.answer(&beside, "{}").await?;
    let other = ground.pipeline.ended(&other, LIMIT).await?;
    assert_eq!(other.status, ExecutionStatus::Succeeded, "{other:?}");

    let ended = ground.failed(&execution).await?;
    assert_eq!(ended.error.as_deref(), Some("Bellflower.Undeliverable"));
    let lines = ground.logged("\"Undeliverable\":1").await?;
    let line: Value = serde_json::from_str(lines[0].trim()).unwrap();
    let told = &line["_aws"]["CloudWatchMetrics"][0];
    let names = told["Dimensions"][0].as_array().unwrap().iter();
    let dimensions: Vec<(&str, &str)> = names
        .map(|name| name.as_str().unwrap())
        .map(|name| (name, line[name].as_str().unwrap()))
        .collect();
    let namespace = told["Namespace"].as_str().unwrap();
    ground
        .sets_off("Undeliverable", namespace, &dimensions)
        .await?;
    assert_eq!(ground.dead_letter().await?, poison, "it is kept as it was");
    Ok(())
}

/// Whatever S3 makes of its key in the event.
async fn an_answer_of_another_name_is_told_of(ground: &Ground) -> Result<(), Error> {
    let (execution, id) = ground.open().await?;
    let error = format!("outbound/{id}/error.json");
    for name in ["my answer.json", "100%.json", "a+b.json", "注文.json"] {
        let key = format!("inbound/{id}/{name}");
        ground.put(&key, "{}").await;
        eventually(name, LIMIT, async || {
            let noted = ground.pipeline.keys(&error).await?;
            let noted = match noted.first() {
                Some(error) => ground.pipeline.object(error).await?,
                None => String::new(),
            };
            let noted: Value = serde_json::from_str(&noted).unwrap_or_default();
            Ok(if noted["key"] == json!(key) {
                Ok(())
            } else {
                Err(noted.to_string())
            })
        })
        .await?;
    }
    ground.pipeline.answer(&id, "{}").await?;
    let ended = ground.pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    Ok(())
}

/// An answer beside a token that is none: nobody can pass it on, and the operator can see the event and why.
async fn an_event_that_fails_for_good_is_kept(ground: &Ground) -> Result<(), Error> {
    let (execution, id) = ground.open().await?;
    let key = format!("outbound/{id}/task_token.txt");
    let token = ground.pipeline.object(&key).await?;
    ground.put(&key, "two words").await;
    let answer = ground.pipeline.answer(&id, "{}").await?;
    let kept = ground.dead_letter().await?;
    let record = &kept["requestPayload"]["Records"][0];
    assert_eq!(record["s3"]["object"]["key"], json!(answer), "{kept}");
    assert!(
        kept.to_string().contains("Bellflower.RecordsFailed"),
        "{kept}"
    );
    let queue = &ground.stage.names.dead_letter_queue;
    let depth = "ApproximateNumberOfMessagesVisible";
    let dimensions = [("QueueName", queue.as_str())];
    ground.sets_off(depth, "AWS/SQS", &dimensions).await?;
    // The callback is as open as before.
    ground.put(&key, &token).await;
    ground.pipeline.answer(&id, "{}").await?;
    let ended = ground.pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    Ok(())
}

/// The execution ends as it would have ended, with its result.
async fn a_message_that_cannot_be_told_loses_nothing(ground: &Ground) -> Result<(), Error> {
    let topic = ground.stage.aws.sns.delete_topic();
    let topic = topic.topic_arn(&ground.pipeline.topic_arn);
    topic.send().await.unwrap();
    let (execution, id) = ground.open().await?;
    ground.pipeline.answer(&id, r#"{"n": 1}"#).await?;
    let ended = ground.pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    let output: Value = serde_json::from_str(&ended.output.unwrap_or_default()).unwrap();
    assert_eq!(output["result"], json!({"n": 1}));
    let history = ground.pipeline.history(&execution).await?;
    let attempts = history
        .iter()
        .filter(|event| event.r#type() == &HistoryEventType::TaskFailed);
    assert_eq!(attempts.count(), 6, "one and five more");

    let execution = ground.pipeline.start(r#"{"simulate_failure": true}"#);
    let ended = ground.pipeline.ended(&execution.await?, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Failed, "{ended:?}");
    assert_eq!(ended.error.as_deref(), Some("Bellflower.SimulatedFailure"));
    Ok(())
}

impl Ground {
    /// The token files of an exchange that are left, once none is.
    async fn tokens(&self, id: &str) -> Result<Vec<String>, Error> {
        eventually("no token", LIMIT, async || {
            let mut keys = self.pipeline.keys("").await?;
            keys.retain(|key| key.ends_with(&format!("{id}/task_token.txt")));
            Ok(if keys.is_empty() {
                Ok(keys)
            } else {
                Err(format!("{keys:?}"))
            })
        })
        .await
    }
}

/// With a token that the application does not see, everything works as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_token_is_not_beside_the_data() -> Result<(), Error> {
    let ground = Ground::new("  task_token = \"private\"\n").await?;
    let (execution, id) = ground.open().await?;
    let keys = ground.pipeline.keys("").await?;
    let tokens: Vec<&String> = keys.iter().filter(|key| key.contains("token")).collect();
    assert_eq!(
        tokens,
        [&format!("private/{id}/task_token.txt")],
        "{keys:?}"
    );
    let policy = ground.stage.state()?["business_application_policy_json"].clone();
    let policy = policy.as_str().unwrap_or_default().to_owned();
    assert!(
        policy.contains("outbound/*") && !policy.contains("private"),
        "{policy}"
    );
    ground.pipeline.answer(&id, "{}").await?;
    let ended = ground.pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(ground.tokens(&id).await?, Vec::<String>::new());
    an_application_needs_its_policy_alone(&ground, "private").await?;
    an_application_can_be_told(&ground, "  task_token = \"private\"\n").await?;
    ground.subscriber.remove().await?;
    ground.pipeline.clear().await?;
    ground.stage.terraform.destroy()?;
    let mut left = ground.stage.left().await?;
    left.retain(|one| one != "IAM policy application");
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}
