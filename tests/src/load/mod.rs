//! Many executions at once on a pipeline with its default configuration, answered by the business application that runs beside it; and an
//! account of each: none lost, none answered with another's answer, one message each.

mod duplicates;
mod report;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_sfn::error::ProvideErrorMetadata as _;
use aws_sdk_sfn::types::HistoryEvent;
use aws_smithy_types::DateTime;
use aws_smithy_types::timeout::TimeoutConfig;
use bellflower_contract::states::WAIT_FOR_RESPONSE;
use futures::{StreamExt as _, TryStreamExt as _};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::processes::{self, Watch};
use crate::proxy::{Fault, Hits, Proxy, Rule};
use crate::{Aws, BusinessApplication, Error, Options, Pipeline, Stage, Subscriber};
use duplicates::Duplicates;
pub use report::Report;

/// Calls of the harness under way at a time. The emulator has one thread: more would only wait for one another.
const AT_ONCE: usize = 8;

/// Where nothing is lost nothing takes longer: not the queue's visibility time-out, nor the next delivery of an event.
const PATIENCE: Duration = Duration::from_mins(4);

/// How long nothing may come after the last message was due: a second message would.
const QUIET: Duration = Duration::from_secs(5);

/// How the application is started; its calls, too, share the emulator's one thread with those of the functions.
const APPLICATION: [&str; 2] = ["--every=1", "--at-once=8"];

/// What is to be borne.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// How many executions are started at once.
    pub executions: usize,
    /// Whether one call in twenty of the functions and the application fails.
    pub faults: bool,
    /// Whether each message of the queue and each event of the bucket is delivered a second time.
    pub duplicates: bool,
}

impl Load {
    /// Bears it; what came of each execution. One that was lost is no error here: [`Report::verdict`] says so.
    ///
    /// # Errors
    /// When something does not come up, or AWS refuses the harness.
    pub async fn run(&self) -> Result<Report, Error> {
        let options = Options {
            // As on AWS: three deliveries within as many seconds would all fall into the time in which the emulator answers nobody.
            event_retry_seconds: 60,
            ..Options::default()
        };
        let (mut stage, proxy) = if self.faults || self.duplicates {
            let (stage, proxy) = Stage::with_functions_behind_proxy("", options).await?;
            (stage, Some(proxy))
        } else {
            (Stage::with("", options).await?, None)
        };
        stage.aws = patient(&stage.aws);
        stage.terraform.apply()?;
        let pipeline = stage.pipeline()?;
        let subscriber =
            Subscriber::new(stage.aws.clone(), &pipeline.topic_arn, "listener").await?;
        let duplicates = proxy
            .as_ref()
            .filter(|_| self.duplicates)
            .map(|proxy| Duplicates::of(proxy, &stage, &pipeline.bucket));
        let faults = proxy
            .as_ref()
            .filter(|_| self.faults)
            .map(faults)
            .unwrap_or_default();
        let variables = match &proxy {
            Some(proxy) => proxy.environment(),
            None => stage.emulator.environment(),
        };
        let application = BusinessApplication::start(
            &stage.emulator,
            &variables,
            &pipeline.bucket,
            &APPLICATION,
        )?;

        let group = stage.emulator.id();
        let before = processes::group_seconds(group);
        let watch = Watch::functions(group);
        let began = Instant::now();
        let (started, heard) = tokio::try_join!(
            self.start(&stage, &pipeline),
            self.hear(&subscriber, duplicates.as_ref())
        )?;
        let functions = watch.end();
        let together = processes::group_seconds(group) - before;
        let own = processes::usage(application.id()).unwrap_or_default();
        let others: f64 = functions.values().map(|usage| usage.seconds).sum();
        let mut report = Report {
            load: *self,
            // Without the quiet in which a second message was waited for.
            watched: began.elapsed().saturating_sub(QUIET),
            functions,
            application: own,
            emulator: together - others - own.seconds,
            faults: faults.iter().map(Hits::count).sum(),
            calls: proxy.as_ref().map_or(0, |proxy| proxy.calls().len()),
            duplicates: duplicates.as_ref().map(Duplicates::delivered),
            ..Report::default()
        };
        account(&stage, &pipeline, &started, &heard, &mut report).await?;
        if !application.stop(Signal::TERM)?.success() {
            report.wrong("the business application did not end well".to_owned());
        }
        Ok(report)
    }

    /// Starts all executions, as fast as the emulator takes them; name and ARN of each.
    async fn start(
        &self,
        stage: &Stage,
        pipeline: &Pipeline,
    ) -> Result<Vec<(usize, String)>, Error> {
        futures::stream::iter(0..self.executions)
            .map(async |number| {
                let name = format!("load-{number}");
                let started = stage
                    .aws
                    .sfn
                    .start_execution()
                    .state_machine_arn(&pipeline.state_machine_arn)
                    .name(&name)
                    .input(json!({"Comment": name, "work": {"answer": number}}).to_string())
                    .send()
                    .await;
                match started {
                    Ok(_) => {}
                    // The emulator has started it, though its first answer did not come.
                    Err(error) if error.code() == Some("ExecutionAlreadyExists") => {}
                    Err(error) => return Err(Error::aws("starting an execution")(error)),
                }
                let arn = pipeline
                    .state_machine_arn
                    .replace(":stateMachine:", ":execution:");
                Ok((number, format!("{arn}:{name}")))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Listens until each execution has told of its end, and then for a while; how often each has.
    async fn hear(
        &self,
        subscriber: &Subscriber,
        duplicates: Option<&Duplicates>,
    ) -> Result<BTreeMap<String, usize>, Error> {
        let mut heard: BTreeMap<String, usize> = BTreeMap::new();
        let mut last = Instant::now();
        loop {
            let messages = subscriber.take().await?;
            if !messages.is_empty() {
                last = Instant::now();
            }
            for message in &messages {
                let text = message["Message"].as_str().unwrap_or_default();
                let body: Value = serde_json::from_str(text).unwrap_or_default();
                let arn = body["execution_arn"].as_str().unwrap_or(text);
                *heard.entry(arn.to_owned()).or_default() += 1;
            }
            let all = heard.len() >= self.executions;
            let done = duplicates.is_none_or(Duplicates::done);
            let limit = if all && done { QUIET } else { PATIENCE };
            if last.elapsed() > limit {
                return Ok(heard);
            }
        }
    }
}

/// Clients that wait for an emulator with much to do.
fn patient(aws: &Aws) -> Aws {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(PATIENCE)
        .operation_attempt_timeout(PATIENCE)
        .build();
    Aws::from(aws.config.to_builder().timeout_config(timeouts).build())
}

/// One call in twenty goes wrong, in each of the ways in which AWS and networks do.
fn faults(proxy: &Proxy) -> Vec<Hits> {
    [
        Rule::before(Fault::Status(500)),
        Rule::before(Fault::Throttle),
        Rule::before(Fault::Reset),
        Rule::after(Fault::Drop),
        Rule::after(Fault::Status(503)),
    ]
    .into_iter()
    .zip(1..)
    .map(|(rule, seed)| {
        let rule = rule.percent(1, seed);
        proxy.inject(rule.on("s3:*").on("states:*"))
    })
    .collect()
}

fn seconds(time: &DateTime) -> f64 {
    time.as_secs_f64()
}

/// When each object below a prefix was written.
async fn written(
    stage: &Stage,
    bucket: &str,
    prefix: &str,
) -> Result<BTreeMap<String, f64>, Error> {
    let mut times = BTreeMap::new();
    let mut pages = stage
        .aws
        .s3
        .list_objects_v2()
        .bucket(bucket)
        .prefix(prefix)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(Error::aws("listing the bucket"))?;
        for object in page.contents() {
            if let Some((key, time)) = object.key().zip(object.last_modified()) {
                times.insert(key.to_owned(), seconds(time));
            }
        }
    }
    Ok(times)
}

/// Holds what was started against what came of it.
async fn account(
    stage: &Stage,
    pipeline: &Pipeline,
    started: &[(usize, String)],
    heard: &BTreeMap<String, usize>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut written_at = written(stage, &pipeline.bucket, "outbound/").await?;
    written_at.extend(written(stage, &pipeline.bucket, "inbound/").await?);
    let histories: Vec<(usize, &String, Vec<HistoryEvent>)> = futures::stream::iter(started)
        .map(async |(number, arn)| Ok::<_, Error>((*number, arn, pipeline.history(arn).await?)))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
    for (number, arn, events) in &histories {
        let messages = heard.get(*arn).copied().unwrap_or_default();
        if messages != 1 {
            report.wrong(format!("load-{number}: {messages} messages of its end"));
        }
        let end = events.last();
        let output = end.and_then(|end| end.execution_succeeded_event_details());
        let Some(output) = output.and_then(|details| details.output()) else {
            let failed = end.and_then(|end| end.execution_failed_event_details());
            let why = failed.map_or("it still runs".to_owned(), |details| {
                let [error, cause] =
                    [details.error(), details.cause()].map(Option::unwrap_or_default);
                format!("{error}: {cause}")
            });
            report.wrong(format!("load-{number} is lost: {why}"));
            continue;
        };
        report.succeeded += 1;
        let output: Value = serde_json::from_str(output).unwrap_or_default();
        if output["result"]["answer"] != *number {
            report.wrong(format!("load-{number} was answered {}", output["result"]));
        }
        first = first.min(
            events
                .first()
                .map_or(first, |event| seconds(&event.timestamp)),
        );
        last = last.max(end.map_or(last, |event| seconds(&event.timestamp)));
        let id = output["execution_id"].as_str().unwrap_or_default();
        let at = |key: String| written_at.get(&key).copied();
        let handed_out = at(format!("outbound/{id}/data.json"));
        let answered = at(format!("inbound/{id}/success.json"));
        let resumed = events.iter().find(|event| {
            let left = event.state_exited_event_details();
            left.is_some_and(|left| left.name() == WAIT_FOR_RESPONSE)
        });
        let resumed = resumed.map(|event| seconds(&event.timestamp));
        if let (Some(handed_out), Some(answered), Some(resumed)) = (handed_out, answered, resumed) {
            report.waits.push(resumed - handed_out);
            report.passing.push(resumed - answered);
        } else {
            report.wrong(format!(
                "load-{number} succeeded, but not through the bucket"
            ));
        }
    }
    report.seconds = last - first;
    let known: Vec<&String> = histories.iter().map(|(_, arn, _)| *arn).collect();
    for stranger in heard.keys().filter(|arn| !known.contains(arn)) {
        report.wrong(format!("a message of nobody's end: {stranger}"));
    }
    Ok(())
}
