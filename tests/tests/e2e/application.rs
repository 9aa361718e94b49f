//! The program of `examples/business-application`, against a bucket as a pipeline would fill it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bellflower_tests::proxy::{Fault, Proxy, Rule};
use bellflower_tests::{Aws, BusinessApplication, Error, MiniStack, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

const BUCKET: &str = "exchange";
const LIMIT: Duration = Duration::from_secs(30);
const QUICK: &[&str] = &["--every=0.2", "--heartbeat=0.5"];

/// An emulator with a bucket.
struct Ground {
    aws: Aws,
    emulator: MiniStack,
}

impl Ground {
    async fn new() -> Result<Self, Error> {
        let emulator = MiniStack::start()?;
        let aws = emulator.aws();
        let made = aws.s3.create_bucket().bucket(BUCKET).send().await;
        made.map_err(Error::aws("creating a bucket"))?;
        Ok(Self { aws, emulator })
    }

    async fn hand_out(&self, id: &str, work: &Value) -> Result<(), Error> {
        let data = json!({"execution_id": id, "info": id, "input": {"work": work}});
        for (file, text) in [
            ("task_token.txt", "the-token"),
            ("data.json", &data.to_string()),
        ] {
            let body = ByteStream::from(text.as_bytes().to_vec());
            let put = self.aws.s3.put_object().bucket(BUCKET);
            put.key(format!("outbound/{id}/{file}"))
                .body(body)
                .send()
                .await
                .map_err(Error::aws("handing out work"))?;
        }
        Ok(())
    }

    /// The answers: key, and when it was written.
    async fn answers(&self) -> Result<BTreeMap<String, String>, Error> {
        let mut pages = self
            .aws
            .s3
            .list_objects_v2()
            .bucket(BUCKET)
            .prefix("inbound/")
            .into_paginator()
            .send();
        let mut answers = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(Error::aws("listing the answers"))?;
            for object in page.contents() {
                let key = object.key().unwrap_or_default();
                if !key.ends_with("/heartbeat.json") {
                    answers.insert(key.to_owned(), format!("{:?}", object.last_modified()));
                }
            }
        }
        Ok(answers)
    }

    async fn until_answered(&self, count: usize) -> Result<BTreeMap<String, String>, Error> {
        eventually("answers", LIMIT, async || {
            let answers = self.answers().await?;
            Ok(if answers.len() >= count {
                Ok(answers)
            } else {
                Err(format!("{answers:?}"))
            })
        })
        .await
    }

    async fn answer(&self, key: &str) -> Result<Value, Error> {
        let object = self
            .aws
            .s3
            .get_object()
            .bucket(BUCKET)
            .key(key)
            .send()
            .await;
        let object = object.map_err(Error::aws("reading an answer"))?;
        let body = object.body.collect().await;
        let body = body.map_err(Error::aws("reading an answer"))?.to_vec();
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The variables of a user who may do nothing.
    async fn nobody(&self) -> Result<Vec<(String, String)>, Error> {
        let key = self.emulator.user("nobody", None).await?;
        Ok(self
            .emulator
            .environment_as(key.access_key_id(), key.secret_access_key()))
    }

    /// What applications have said, but for what they say when all is well.
    fn complaints(&self) -> Vec<String> {
        let log = self.emulator.log();
        let log = std::fs::read_to_string(log.with_file_name("business-application.log"));
        let well = ["answered ", "looking for work in ", "stopped; "];
        let log = log.unwrap_or_default();
        let ill = log
            .lines()
            .filter(|line| !well.iter().any(|begin| line.starts_with(begin)));
        ill.map(str::to_owned).collect()
    }

    fn application(&self, variables: &[(String, String)]) -> Result<BusinessApplication, Error> {
        BusinessApplication::start(&self.emulator, variables, BUCKET, QUICK)
    }
}

/// Results, failures and signs of life; the slow keeps nobody waiting, and the token is nobody's business.
#[tokio::test(flavor = "multi_thread")]
async fn answers_each_as_it_should() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let proxy = Proxy::start(&ground.emulator)?;
    ground.hand_out("slow", &json!({"seconds": 1.8})).await?;
    ground
        .hand_out("bad", &json!({"fail": "out of stock"}))
        .await?;
    ground
        .hand_out("good", &json!({"answer": [1, "ä"]}))
        .await?;
    let application = ground.application(&proxy.environment())?;
    let answers = ground.until_answered(3).await?;
    assert_eq!(
        answers.keys().collect::<Vec<_>>(),
        [
            "inbound/bad/failure.json",
            "inbound/good/success.json",
            "inbound/slow/success.json"
        ]
    );
    assert!(answers["inbound/good/success.json"] < answers["inbound/slow/success.json"]);
    assert_eq!(
        ground.answer("inbound/bad/failure.json").await?,
        json!({"error": "BusinessApplication.WorkFailed", "cause": "out of stock"})
    );
    assert_eq!(
        ground.answer("inbound/good/success.json").await?,
        json!({"status": "done", "info": "good", "answer": [1, "ä"]})
    );
    // Later work is found, too.
    ground.hand_out("late", &Value::Null).await?;
    ground.until_answered(4).await?;
    assert!(application.stop(Signal::TERM)?.success());

    let calls = proxy.calls();
    let count = |operation: &str, key: &str| {
        let object = format!("{BUCKET}/{key}");
        calls
            .iter()
            .filter(|call| call.operation == operation && call.object == object)
            .count()
    };
    let beats = count("s3:PutObject", "inbound/slow/heartbeat.json");
    assert!((2..=3).contains(&beats), "{beats} heartbeats");
    for id in ["good", "bad", "slow", "late"] {
        let reads = count("s3:GetObject", &format!("outbound/{id}/data.json"));
        assert_eq!(reads, 1, "{id} was read more than once");
        assert_eq!(
            count("s3:GetObject", &format!("outbound/{id}/task_token.txt")),
            0
        );
    }
    Ok(())
}

/// Throttled, cut off, killed, and beside another of its kind: each exchange is answered once.
#[tokio::test(flavor = "multi_thread")]
async fn never_answers_twice() -> Result<(), Error> {
    const MANY: usize = 40;
    let ground = Ground::new().await?;
    let proxy = Proxy::start(&ground.emulator)?;
    for (fault, seed) in [(Fault::Throttle, 1), (Fault::Status(500), 2)] {
        proxy.inject(Rule::before(fault).on("s3:*").percent(10, seed));
    }
    proxy.inject(Rule::after(Fault::Drop).on("s3:PutObject").percent(20, 3));
    for number in 0..MANY {
        let work = json!({"seconds": 0.1, "answer": number});
        ground.hand_out(&format!("e-{number}"), &work).await?;
    }
    let killed = ground.application(&proxy.environment())?;
    ground.until_answered(3).await?;
    killed.stop(Signal::KILL)?;
    let first = ground.answers().await?;

    let pair = [
        ground.application(&proxy.environment())?,
        ground.application(&proxy.environment())?,
    ];
    let answers = ground.until_answered(MANY).await?;
    for application in pair {
        assert!(application.stop(Signal::INT)?.success());
    }
    // One more, which finds nothing to do.
    let reads = proxy.count("s3:GetObject");
    let idle = ground.application(&proxy.environment())?;
    let lists = proxy.count("s3:ListObjectsV2");
    eventually("a few looks for work", LIMIT, async || {
        let more = proxy.count("s3:ListObjectsV2") - lists;
        Ok(if more > 5 {
            Ok(())
        } else {
            Err(more.to_string())
        })
    })
    .await?;
    assert!(idle.stop(Signal::TERM)?.success());
    assert_eq!(proxy.count("s3:GetObject"), reads, "work was done again");

    let last = ground.answers().await?;
    assert_eq!(last.len(), MANY);
    assert_eq!(last, answers, "an answer was written again");
    for (key, written) in &first {
        assert_eq!(last.get(key), Some(written), "{key} was written again");
    }
    for number in 0..MANY {
        let answer = ground
            .answer(&format!("inbound/e-{number}/success.json"))
            .await?;
        assert_eq!(answer["answer"], number);
    }
    Ok(())
}

/// Told by a queue, it works on what it is told of, once, and looks for the rest by itself only when it starts.
#[tokio::test(flavor = "multi_thread")]
async fn is_told_of_work() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let queue = ground.aws.sqs.create_queue().queue_name("work");
    let made = queue.send().await.map_err(Error::aws("creating a queue"))?;
    let url = made.queue_url.unwrap_or_default();
    let tell = async |body: String| {
        let call = ground.aws.sqs.send_message().queue_url(&url);
        let answer = call.message_body(body).send().await;
        answer.map_err(Error::aws("telling of work"))
    };
    let event = |ids: &[&str]| {
        let record = |id: &&str| json!({"s3": {"bucket": {"name": BUCKET}, "object": {"key": format!("outbound/{id}/data.json")}}});
        json!({"Records": ids.iter().map(record).collect::<Vec<_>>()}).to_string()
    };
    let proxy = Proxy::start(&ground.emulator)?;
    ground.hand_out("before", &Value::Null).await?;
    let queue = format!("--queue={url}");
    let options = [queue.as_str(), "--every=3600"];
    let environment = proxy.environment();
    let application = BusinessApplication::start(&ground.emulator, &environment, BUCKET, &options)?;
    ground.until_answered(1).await?;
    for id in ["one", "two"] {
        ground.hand_out(id, &Value::Null).await?;
    }
    tell(json!({"Event": "s3:TestEvent", "Bucket": BUCKET}).to_string()).await?;
    tell("no JSON".to_owned()).await?;
    tell(event(&["one", "two"])).await?;
    tell(event(&["two", "before"])).await?;
    ground.until_answered(3).await?;
    eventually("an empty queue", LIMIT, async || {
        let taken = proxy.count("sqs:DeleteMessageBatch");
        let calls = ground.aws.sqs.get_queue_attributes().queue_url(&url);
        let found = calls.attribute_names("All".into()).send().await;
        let found = found.map_err(Error::aws("counting messages"))?;
        let left: i32 = found
            .attributes()
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.as_str().starts_with("ApproximateNumberOfMessages"))
            .filter_map(|(_, count)| count.parse::<i32>().ok())
            .sum();
        Ok(if left == 0 && taken > 0 {
            Ok(())
        } else {
            Err(format!("{left} messages, {taken} deletions"))
        })
    })
    .await?;
    assert_eq!(proxy.count("s3:GetObject"), 3, "each was read once");
    assert_eq!(proxy.count("s3:ListObjectsV2"), 2, "work and answers, once");
    assert_eq!(ground.complaints(), Vec::<String>::new());
    assert!(application.stop(Signal::TERM)?.success());
    Ok(())
}

/// What is slow is left for the next run when it is told to end.
#[tokio::test(flavor = "multi_thread")]
async fn stops_in_the_middle_of_work() -> Result<(), Error> {
    let ground = Ground::new().await?;
    ground.hand_out("slow", &json!({"seconds": 600})).await?;
    ground.hand_out("quick", &Value::Null).await?;
    let application = ground.application(&ground.emulator.environment())?;
    ground.until_answered(1).await?;
    assert!(application.stop(Signal::TERM)?.success());
    let answers = ground.answers().await?;
    assert_eq!(
        answers.keys().collect::<Vec<_>>(),
        ["inbound/quick/success.json"]
    );
    Ok(())
}

/// Work that waits for its turn is not given up for want of a sign of life.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_gives_signs_of_life() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let slow = json!({"seconds": 600});
    for id in ["one", "two"] {
        ground.hand_out(id, &slow).await?;
    }
    let options = [QUICK, &["--at-once=1"]].concat();
    let variables = ground.emulator.environment();
    let application = BusinessApplication::start(&ground.emulator, &variables, BUCKET, &options)?;
    eventually("signs of life of both", LIMIT, async || {
        for id in ["one", "two"] {
            let key = format!("inbound/{id}/heartbeat.json");
            let head = ground.aws.s3.head_object().bucket(BUCKET).key(key);
            if head.send().await.is_err() {
                return Ok(Err(id.to_owned()));
            }
        }
        Ok(Ok(()))
    })
    .await?;
    assert!(application.stop(Signal::TERM)?.success());
    Ok(())
}

/// What nobody mends by waiting ends the program, with one line that names it; what S3 may get over does not.
#[tokio::test(flavor = "multi_thread")]
async fn ends_at_the_first_look_where_waiting_does_not_help() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let own = ground.emulator.environment();
    let without = |names: &[&str]| {
        let mut rest = own.clone();
        rest.retain(|(name, _)| !names.contains(&name.as_str()));
        rest
    };
    let with = |name: &str, value: &str| {
        let mut changed = without(&[name]);
        changed.push((name.to_owned(), value.to_owned()));
        changed
    };
    let nobody = ground.nobody().await?;
    let cases = [
        (
            "elsewhere",
            own.clone(),
            "listing s3://elsewhere/outbound/: ",
            "(NoSuchBucket)",
        ),
        (
            BUCKET,
            nobody,
            "listing s3://exchange/outbound/: ",
            "(AccessDenied)",
        ),
        (
            BUCKET,
            without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
            "listing s3://exchange/outbound/: no credentials: set ",
            "",
        ),
        (BUCKET, without(&["AWS_REGION"]), "there is no region: ", ""),
        (
            BUCKET,
            with("AWS_CA_BUNDLE", "/nowhere/ca.pem"),
            "AWS_CA_BUNDLE /nowhere/ca.pem: ",
            "",
        ),
    ];
    for (bucket, variables, begin, end) in cases {
        let before = ground.complaints().len();
        let application = BusinessApplication::start(&ground.emulator, &variables, bucket, QUICK)?;
        let status = application.ended()?;
        let said = ground.complaints().split_off(before);
        assert_eq!(status.code(), Some(1), "{said:?}");
        let [line] = said.as_slice() else {
            panic!("not one line: {said:#?}");
        };
        let text = line.strip_prefix("business-application: ");
        let text = text.unwrap_or_else(|| panic!("{line}"));
        assert!(text.starts_with(begin) && text.ends_with(end), "{line}");
        assert!(line.len() < 250 && !line.contains('{'), "{line}");
    }
    Ok(())
}

/// A bucket that cannot be had for a while, when it was had before: said once, and worked on afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn goes_on_once_what_was_wrong_is_mended() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let proxy = Proxy::start(&ground.emulator)?;
    let application = ground.application(&proxy.environment())?;
    ground.hand_out("first", &Value::Null).await?;
    ground.until_answered(1).await?;
    let denied = Fault::error(403, "AccessDenied", "Access Denied");
    proxy.inject(Rule::before(denied).on("s3:ListObjectsV2"));
    ground.hand_out("second", &Value::Null).await?;
    let looks = proxy.count("s3:ListObjectsV2");
    eventually("looks in vain", LIMIT, async || {
        let more = proxy.count("s3:ListObjectsV2") - looks;
        Ok(if more > 8 {
            Ok(())
        } else {
            Err(more.to_string())
        })
    })
    .await?;
    let said = ground.complaints();
    assert!(
        matches!(said.as_slice(), [line] if line.ends_with("(AccessDenied)")),
        "{said:#?}"
    );
    proxy.clear();
    ground.until_answered(2).await?;
    assert!(
        application
            .said()
            .contains("work can be looked for again\n")
    );
    assert!(application.stop(Signal::TERM)?.success());
    Ok(())
}

#[test]
fn tells_its_options() {
    let program = bellflower_tests::environment::business_application();
    let output = std::process::Command::new(program).arg("--help").output();
    let output = output.unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("--bucket=NAME"), "{text}");
}
