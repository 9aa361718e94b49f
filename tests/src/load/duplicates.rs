//! A second delivery of each message and each event, as SQS and S3 make now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use bellflower_contract::{
    DATA_FILE, DEFAULT_INBOUND_PREFIX, DEFAULT_OUTBOUND_PREFIX, TASK_TOKEN_FILE,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::proxy::{Fault, Proxy, Rule};
use crate::{Aws, Stage};

/// Every second one comes this much later: when the callback it is about is closed, as a rule.
const LATER: Duration = Duration::from_secs(4);

/// Lambda's own number for a queue that has no other.
const POLLERS: usize = 5;

/// How often a message that the function gives back is delivered.
const RECEIVES: usize = 5;

/// Delivers a second time whatever the functions and the application behind a proxy were told of, or told, by what they write.
#[derive(Debug)]
pub(super) struct Duplicates(Arc<Deliveries>);

#[derive(Debug)]
struct Deliveries {
    aws: Aws,
    function: String,
    bucket: String,
    queue_arn: String,
    region: String,
    /// Each exchange's token, as the function wrote it: the file may be gone when the data comes.
    tokens: Mutex<BTreeMap<String, String>>,
    /// What has been seen: a call that is repeated is not another message.
    seen: Mutex<BTreeSet<String>>,
    /// As many at a time as Lambda polls a queue with.
    places: Semaphore,
    begun: AtomicUsize,
    messages: AtomicUsize,
    events: AtomicUsize,
    refused: AtomicUsize,
}

/// What was delivered a second time.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    /// Messages of the queue.
    pub messages: usize,
    /// Events of the bucket.
    pub events: usize,
    /// Those the function would not take.
    pub refused: usize,
}

impl Duplicates {
    /// Begins. Nothing is asked of AWS through the proxy.
    pub(super) fn of(proxy: &Proxy, stage: &Stage, bucket: &str) -> Self {
        let deliveries = Arc::new(Deliveries {
            // Clients of its own, for they live in the proxy's threads.
            aws: stage.emulator.aws(),
            function: stage.names.integration.clone(),
            bucket: bucket.to_owned(),
            queue_arn: stage.arn("sqs", &stage.names.queue),
            region: stage.region().to_owned(),
            tokens: Mutex::default(),
            seen: Mutex::default(),
            places: Semaphore::new(POLLERS),
            begun: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            events: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let hook = deliveries.clone();
        let prefix = format!("{bucket}/");
        let fault = Fault::hook_with_body(move |call, body| {
            if let Some(key) = call.object.strip_prefix(&prefix) {
                hook.clone().written(key, body);
            }
        });
        proxy.inject(Rule::after(fault).on("s3:PutObject"));
        Self(deliveries)
    }

    /// Whether all that has begun has been delivered.
    pub(super) fn done(&self) -> bool {
        let all = self.delivered();
        all.messages + all.events + all.refused == self.0.begun.load(Ordering::SeqCst)
    }

    pub(super) fn delivered(&self) -> Delivered {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        Delivered {
            messages: count(&self.0.messages),
            events: count(&self.0.events),
            refused: count(&self.0.refused),
        }
    }
}

impl Deliveries {
    /// An object has been written.
    fn written(self: Arc<Self>, key: &str, body: &[u8]) {
        let text = String::from_utf8_lossy(body).into_owned();
        let of = |file: &str| {
            let id = key.strip_prefix(DEFAULT_OUTBOUND_PREFIX)?;
            id.strip_suffix(file)?.strip_suffix('/').map(str::to_owned)
        };
        if let Some(id) = of(TASK_TOKEN_FILE) {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            // The last, should an earlier attempt at sending have left its own.
            tokens.insert(id, text.lines().last().unwrap_or_default().to_owned());
            return;
        }
        let id = of(DATA_FILE);
        if id.is_none() && !key.starts_with(DEFAULT_INBOUND_PREFIX) {
            return;
        }
        let new = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(key.to_owned())
        };
        if !new {
            return;
        }
        let key = key.to_owned();
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            if number % 2 == 1 {
                tokio::time::sleep(LATER).await;
            }
            let _place = self.places.acquire().await;
            let (delivered, counter) = match id {
                Some(id) => (self.message(&id, &text).await, &self.messages),
                None => (self.event(&key).await, &self.events),
            };
            let counter = if delivered { counter } else { &self.refused };
            counter.fetch_add(1, Ordering::SeqCst);
        });
    }

    /// Delivers the message of an exchange until the function takes it, as SQS does.
    async fn message(&self, id: &str, data: &str) -> bool {
        let token = {
            let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.get(id).cloned()
        };
        let Some(token) = token else {
            return false;
        };
        let input: Value = serde_json::from_str(data).unwrap_or_default();
        let body = json!({"Input": input, "TaskToken": token}).to_string();
        for receive in 2..2 + RECEIVES {
            let event = json!({"Records": [{
                "messageId": format!("again-{id}"), "receiptHandle": format!("again-{id}"), "body": body,
                "attributes": {"ApproximateReceiveCount": receive.to_string()}, "messageAttributes": {},
                "eventSource": "aws:sqs", "eventSourceARN": self.queue_arn, "awsRegion": self.region,
            }]});
            let invoke = self.aws.lambda.invoke().function_name(&self.function);
            let answer = invoke.payload(Blob::new(event.to_string())).send().await;
            if let Ok(answer) = answer
                && answer.function_error.is_none()
            {
                let payload = answer.payload.unwrap_or_default().into_inner();
                let payload: Value = serde_json::from_slice(&payload).unwrap_or_default();
                let failures = payload["batchItemFailures"].as_array();
                if failures.is_none_or(Vec::is_empty) {
                    return true;
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        false
    }

    /// Delivers the event of an answer, asynchronously, as S3 does.
    async fn event(&self, key: &str) -> bool {
        let now = aws_smithy_types::DateTime::from(SystemTime::now());
        let time = now.fmt(aws_smithy_types::date_time::Format::DateTime);
        let event = json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": self.region,
            "eventTime": time.unwrap_or_default(), "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "again"}, "requestParameters": {"sourceIPAddress": "127.0.0.1"},
            "responseElements": {},
            "s3": {"s3SchemaVersion": "1.0", "configurationId": "again",
                   "bucket": {"name": self.bucket, "ownerIdentity": {"principalId": "again"}, "arn": format!("arn:aws:s3:::{}", self.bucket)},
                   "object": {"key": key, "size": 1, "eTag": "again", "sequencer": "0"}},
        }]});
        let invoke = self.aws.lambda.invoke().function_name(&self.function);
        let invoke = invoke.invocation_type(InvocationType::Event);
        let answer = invoke.payload(Blob::new(event.to_string())).send().await;
        answer.is_ok()
    }
}
