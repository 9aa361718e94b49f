//! What the demo does, in order.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use bellflower_contract::SIMULATE_FAILURE_FIELD;
use bellflower_tests::{
    APPLY, Aws, BusinessApplication, DESTROY, Error, Execution, MiniStack, Options, Pipeline, Run,
    Subscriber, Terraform, eventually, inventory,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::telling::{Telling, detail};
use crate::{by_hand, leftover};

const EXAMPLE: &str = "basic";
pub const RESOURCE: &str = "bellflower_callback_pipeline";
/// The work takes long enough for the execution to be seen waiting.
const INPUT: &str = r#"{"Comment": "Bellflower - Callback Pattern Example (Amazon SQS, Amazon SNS, Lambda)", "work": {"seconds": 3, "answer": "approved"}}"#;
const FAILURE: &str = "the demo asked for this failure";

/// What a step that needs no human may take; the retries of the failing execution are 35 s of it.
const LIMIT: Duration = Duration::from_secs(90);

/// Runs the demo in `folder`, which is made anew.
pub async fn tell(telling: &Telling, folder: &Path, keep: bool) -> Result<(), Error> {
    if leftover::end(folder) {
        telling.line(
            "local AWS",
            "ended the one that an earlier --keep left running",
        );
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(file("removing", folder))?;
    }
    std::fs::create_dir_all(folder).map_err(file("creating", folder))?;

    let emulator = MiniStack::start_with(Options {
        folder: Some(folder.to_owned()),
        ..Options::default()
    })?;
    telling.line(
        "local AWS",
        &format!(
            "MiniStack listens on {} (account {}, {})",
            emulator.endpoint(),
            emulator.account(),
            emulator.region()
        ),
    );
    let aws = emulator.aws();
    let told = tell_with(telling, folder, keep, &emulator).await;
    if told.is_err() {
        // Best effort: the story's own error is what counts.
        let _ = save_function_logs(&aws, folder).await;
        return told;
    }
    if keep {
        leftover::remember(folder, emulator.id()).map_err(file("writing to", folder))?;
        emulator.leave_running()?;
    }
    Ok(())
}

async fn tell_with(
    telling: &Telling,
    folder: &Path,
    keep: bool,
    emulator: &MiniStack,
) -> Result<(), Error> {
    let aws = emulator.aws();
    let before = inventory(&aws).await?;
    let terraform = Workspace::new(folder, emulator)?;

    terraform.init(telling)?;
    let pipeline = terraform.apply(telling, &aws)?;
    let mut made = inventory(&aws).await?;
    made.retain(|one| !before.contains(one));
    telling.line(
        "AWS API",
        &format!(
            "the account now lists {} objects: {}",
            made.len(),
            census(&made)
        ),
    );
    let subscriber = Subscriber::new(
        aws.clone(),
        &pipeline.topic_arn,
        "bellflower-demo-subscriber",
    )
    .await?;
    telling.line("SNS", "an SQS queue of the demo's own listens to the topic");

    let application =
        BusinessApplication::start(emulator, &emulator.environment(), &pipeline.bucket, &[])?;
    telling.line(
        "application",
        "examples/business-application looks for work in outbound/",
    );

    let success = succeed(telling, &pipeline, &subscriber).await?;
    let failure = fail(telling, &pipeline, &subscriber).await?;

    subscriber.remove().await?;
    let stopped = application.stop(Signal::TERM)?;
    telling.line("application", &format!("stopped ({stopped})"));
    terraform.plan(telling)?;
    let mut summary = vec![
        success,
        failure,
        "plan     no changes after apply".to_owned(),
    ];
    if keep {
        summary.push("kept     everything is still running".to_owned());
    } else {
        let removed = pipeline.clear().await?.len();
        telling.line("S3", &format!("removed the {removed} objects of the exchange: a bucket with data in it is not destroyed"));
        detail("(with force_destroy = true it would be, data and all)");
        terraform.destroy(telling)?;
        let left: Vec<String> = inventory(&aws)
            .await?
            .into_iter()
            .filter(|one| !before.contains(one))
            .collect();
        if !left.is_empty() {
            return Err(Error::Missing(format!(
                "terraform destroy has left something behind:\n{}",
                left.join("\n")
            )));
        }
        telling.line(
            "AWS API",
            "nothing is left in the account but the KMS key, which AWS deletes after 30 days",
        );
        summary.push("destroy  nothing is left in the account but the KMS key, which AWS deletes after 30 days".to_owned());
    }

    println!("\nSummary");
    for line in &summary {
        println!("  {line}");
    }
    println!("  done in {:.0} s", telling.elapsed().as_secs_f64());
    if keep {
        by_hand::tell(folder, &terraform.terraform, emulator, &pipeline)?;
    }
    Ok(())
}

/// The path everyone hopes for; a line for the summary.
async fn succeed(
    telling: &Telling,
    pipeline: &Pipeline,
    subscriber: &Subscriber,
) -> Result<String, Error> {
    let began = Instant::now();
    let before = pipeline.exchanges().await?;
    let execution = pipeline.start(INPUT).await?;
    telling.line("execution", &format!("started {}", name(&execution)));
    detail(&format!("input {INPUT}"));

    let id = pipeline.new_exchange(&before, LIMIT).await?;
    telling.line(
        "S3",
        &format!("outbound/{id}/ has task_token.txt and data.json"),
    );
    detail(&pipeline.object(&format!("outbound/{id}/data.json")).await?);
    telling.line("execution", "waits for the callback");

    let key = format!("inbound/{id}/success.json");
    eventually(&key, LIMIT, async || {
        let keys = pipeline.keys(&key).await?;
        Ok(if keys.is_empty() {
            Err("nothing".to_owned())
        } else {
            Ok(())
        })
    })
    .await?;
    telling.line("application", &format!("has done the work and put {key}"));
    detail(&pipeline.object(&key).await?);

    let ended = pipeline.ended(&execution, LIMIT).await?;
    expect(&ended, &ExecutionStatus::Succeeded)?;
    let took = began.elapsed().as_secs_f64();
    telling.line("execution", &format!("{} after {took:.1} s", ended.status));
    detail(&format!("output {}", ended.output.unwrap_or_default()));

    let message = subscriber.next(LIMIT).await?;
    telling.line("SNS", "the subscriber received");
    detail(&message_text(&message));
    Ok(format!(
        "success  {} SUCCEEDED in {took:.1} s, answered through s3://{}/{key}",
        name(&execution),
        pipeline.bucket
    ))
}

/// The path an operator wants to have seen before 3 a.m.; a line for the summary.
async fn fail(
    telling: &Telling,
    pipeline: &Pipeline,
    subscriber: &Subscriber,
) -> Result<String, Error> {
    let input = json!({SIMULATE_FAILURE_FIELD: FAILURE}).to_string();
    let execution = pipeline.start(&input).await?;
    telling.line(
        "execution",
        &format!("started {}, whose processing fails", name(&execution)),
    );
    detail(&format!("input {input}"));
    detail("Step Functions tries again after 5, 10 and 20 seconds");

    let mut shown = 0;
    let began = Instant::now();
    let ended = loop {
        let attempts: Vec<HistoryEvent> = pipeline
            .history(&execution)
            .await?
            .into_iter()
            .filter(|event| failure(event).is_some())
            .collect();
        for (number, event) in attempts.iter().enumerate().skip(shown) {
            let text = failure(event).unwrap_or_default();
            telling.line(
                "execution",
                &format!("attempt {} of the processing failed: {text}", number + 1),
            );
        }
        shown = attempts.len();
        match pipeline.ended(&execution, Duration::ZERO).await {
            Err(Error::Timeout { .. }) if began.elapsed() < LIMIT => {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            other => break other?,
        }
    };
    expect(&ended, &ExecutionStatus::Failed)?;
    // The last attempt and the end may have come between two looks.
    let attempts = pipeline
        .history(&execution)
        .await?
        .iter()
        .filter(|event| failure(event).is_some())
        .count();
    if attempts < 2 {
        return Err(Error::Missing(format!(
            "the failing execution was to be retried, but its history has {attempts} failed attempt(s)"
        )));
    }
    telling.line(
        "execution",
        &format!(
            "{} after {attempts} attempts: {}",
            ended.status,
            ended.error.as_deref().unwrap_or("no error name")
        ),
    );
    if let Some(cause) = &ended.cause {
        detail(cause);
    }
    let message = subscriber.next(LIMIT).await?;
    telling.line("SNS", "the subscriber received");
    detail(&message_text(&message));
    Ok(format!(
        "failure  {} FAILED after {attempts} attempts, and the topic says so",
        name(&execution)
    ))
}

/// The error of a failed attempt, whichever way the state machine calls its function.
fn failure(event: &HistoryEvent) -> Option<String> {
    let (error, cause) = if let Some(details) = event.task_failed_event_details() {
        (details.error(), details.cause())
    } else if let Some(details) = event.lambda_function_failed_event_details() {
        (details.error(), details.cause())
    } else {
        return None;
    };
    let cause = cause.unwrap_or_default();
    // A function's error is JSON with its message among other things.
    let message = serde_json::from_str::<Value>(cause)
        .ok()
        .and_then(|value| value["errorMessage"].as_str().map(str::to_owned))
        .unwrap_or_else(|| cause.to_owned());
    Some(format!("{}: {message}", error.unwrap_or("no error name")))
}

fn expect(ended: &Execution, status: &ExecutionStatus) -> Result<(), Error> {
    if ended.status == *status {
        return Ok(());
    }
    Err(Error::Missing(format!(
        "the execution was to end as {status}, but it is {}: {} {}",
        ended.status,
        ended.error.as_deref().unwrap_or_default(),
        ended.cause.as_deref().unwrap_or_default()
    )))
}

/// How many of each kind: `1 state machine, 2 Lambda functions`.
fn census(inventory: &[String]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for line in inventory {
        // A line is the kind and then the name, which has no spaces.
        let kind = line
            .rsplit_once(' ')
            .map_or(line.as_str(), |(kind, _)| kind);
        match counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    let words: Vec<String> = counts
        .into_iter()
        .map(|(kind, count)| match (count, kind.strip_suffix('s')) {
            (1, _) => format!("1 {kind}"),
            (_, Some(stem)) => format!("{count} {stem}ses"),
            (_, None) => format!("{count} {kind}s"),
        })
        .collect();
    words.join(", ")
}

fn message_text(message: &Value) -> String {
    let mut text = String::new();
    if let Some(subject) = message["Subject"].as_str() {
        let _ = writeln!(text, "Subject: {subject}");
    }
    match message["Message"].as_str() {
        Some(body) => text.push_str(body),
        None => text.push_str(&message.to_string()),
    }
    text
}

/// The last part of an ARN.
fn name(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

/// Terraform in the demo's folder, with everything it prints in a log.
struct Workspace {
    terraform: Terraform,
    log: std::path::PathBuf,
}

impl Workspace {
    fn new(folder: &Path, emulator: &MiniStack) -> Result<Self, Error> {
        let mut terraform =
            Terraform::example_in(&folder.join("workspace"), EXAMPLE, &emulator.environment())?;
        let provider_log = folder.join("provider.log");
        terraform.set("TF_LOG", Some("DEBUG"));
        terraform.set("TF_LOG_PATH", Some(&provider_log.display().to_string()));
        Ok(Self {
            terraform,
            log: folder.join("terraform.log"),
        })
    }

    /// Runs a command and shows the lines that tell of progress; any exit code but `good` is an error.
    fn run(&self, arguments: &[&str], good: i32) -> Result<Run, Error> {
        let run = self.terraform.watch(arguments, |line| {
            if is_progress(line) {
                detail(line);
            }
        })?;
        let text = format!(
            "$ terraform {}\n{}{}\n",
            arguments.join(" "),
            run.stdout,
            run.stderr
        );
        append(&self.log, &text)?;
        if run.code == good {
            return Ok(run);
        }
        Err(Error::Terraform {
            command: arguments.join(" "),
            code: run.code,
            output: format!("{}{}", run.stdout, run.stderr),
        })
    }

    fn init(&self, telling: &Telling) -> Result<(), Error> {
        let version = self.terraform.expect(&["version"])?.stdout;
        let version = version.lines().next().unwrap_or_default().to_owned();
        self.run(&["init", "-no-color"], 0)?;
        telling.line(
            "terraform",
            &format!("init: {version} has found the provider that was just built"),
        );
        Ok(())
    }

    fn apply(&self, telling: &Telling, aws: &Aws) -> Result<Pipeline, Error> {
        telling.line("terraform", &format!("apply examples/{EXAMPLE}"));
        self.run(&APPLY, 0)?;
        let pipeline = Pipeline::new(aws.clone(), &self.terraform.resource(RESOURCE)?)?;
        telling.line("terraform", "applied");
        detail(&format!("state machine  {}", pipeline.state_machine_arn));
        detail(&format!("bucket         {}", pipeline.bucket));
        detail(&format!("topic          {}", pipeline.topic_arn));
        Ok(pipeline)
    }

    fn plan(&self, telling: &Telling) -> Result<(), Error> {
        match self.run(&["plan", "-detailed-exitcode", "-no-color"], 0) {
            Ok(_) => {
                telling.line("terraform", "plan: no changes");
                Ok(())
            }
            Err(Error::Terraform {
                code: 2, output, ..
            }) => Err(Error::Missing(format!(
                "terraform plan after apply was to find no changes, but found these:\n{output}"
            ))),
            Err(error) => Err(error),
        }
    }

    fn destroy(&self, telling: &Telling) -> Result<(), Error> {
        telling.line("terraform", "destroy");
        self.run(&DESTROY, 0)?;
        telling.line("terraform", "destroyed");
        Ok(())
    }
}

/// Whether a line of Terraform's tells what is going on: `bellflower_callback_pipeline.orders: Creating...`.
fn is_progress(line: &str) -> bool {
    line.starts_with(RESOURCE)
        || line.starts_with("Apply complete")
        || line.starts_with("Destroy complete")
}

fn append(path: &Path, text: &str) -> Result<(), Error> {
    use std::io::Write as _;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut log| log.write_all(text.as_bytes()))
        .map_err(file("writing", path))
}

/// What the functions have logged, for a person who looks for the reason of a failure.
async fn save_function_logs(aws: &Aws, folder: &Path) -> Result<(), Error> {
    let groups = aws
        .logs
        .describe_log_groups()
        .send()
        .await
        .map_err(Error::aws("listing log groups"))?;
    let mut text = String::new();
    for group in groups
        .log_groups()
        .iter()
        .filter_map(|group| group.log_group_name())
    {
        let events = aws
            .logs
            .filter_log_events()
            .log_group_name(group)
            .send()
            .await
            .map_err(Error::aws("reading a log group"))?;
        for event in events.events() {
            let _ = writeln!(text, "{group}: {}", event.message().unwrap_or_default());
        }
    }
    append(&folder.join("lambda.log"), &text)
}

/// A closure for `map_err` on file operations.
pub fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}
