//! What the application is told when it starts.

use std::time::Duration;

pub const USAGE: &str = "\
usage: business-application --bucket=NAME [options]

  --bucket=NAME        the pipeline's bucket
  --outbound=PREFIX    where the work is (outbound/)
  --inbound=PREFIX     where the answers go (inbound/)
  --queue=URL          an SQS queue that S3 tells of work
  --every=SECONDS      how often to look for work (2; with a queue, in case a message is lost, 300)
  --heartbeat=SECONDS  how often to give a sign of life during slow work (20)
  --at-once=NUMBER     how much is worked on at the same time (64)
  --help               this text

Region, credentials, endpoint and AWS_CA_BUNDLE come from the environment, as for every AWS tool.";

const EVERY: Duration = Duration::from_secs(2);
const EVERY_WITH_A_QUEUE: Duration = Duration::from_mins(5);

#[derive(Debug, PartialEq)]
pub struct Options {
    pub bucket: String,
    pub outbound: String,
    pub inbound: String,
    pub queue: Option<String>,
    pub every: Duration,
    pub heartbeat: Duration,
    pub at_once: usize,
}

impl Options {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            bucket: String::new(),
            outbound: "outbound/".to_owned(),
            inbound: "inbound/".to_owned(),
            queue: None,
            every: Duration::ZERO,
            heartbeat: Duration::from_secs(20),
            at_once: 64,
        };
        for argument in arguments {
            let Some((name, value)) = argument.split_once('=').filter(|both| !both.1.is_empty())
            else {
                return Err(format!("`{argument}` is not --name=value"));
            };
            let value = value.to_owned();
            match name {
                "--bucket" => options.bucket = value,
                "--outbound" => options.outbound = folder(value)?,
                "--inbound" => options.inbound = folder(value)?,
                "--queue" if value.starts_with("http") => options.queue = Some(value),
                "--queue" => return Err(format!("`{value}` is not a queue's URL")),
                "--every" => options.every = seconds(&value)?,
                "--heartbeat" => options.heartbeat = seconds(&value)?,
                "--at-once" => {
                    options.at_once = value
                        .parse()
                        .ok()
                        .filter(|number| (1..=10_000).contains(number))
                        .ok_or_else(|| format!("`{value}` is not a number from 1 to 10000"))?;
                }
                _ => return Err(format!("there is no option `{name}`")),
            }
        }
        if options.bucket.is_empty() {
            return Err("--bucket=NAME is missing".to_owned());
        }
        if options.every.is_zero() {
            options.every = if options.queue.is_some() {
                EVERY_WITH_A_QUEUE
            } else {
                EVERY
            };
        }
        Ok(options)
    }
}

fn folder(prefix: String) -> Result<String, String> {
    if prefix.ends_with('/') {
        Ok(prefix)
    } else {
        Err(format!("the prefix `{prefix}` does not end in /"))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| format!("`{text}` is not a time in seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Options::parse(arguments.iter().map(|&one| one.to_owned()))
    }

    #[test]
    fn the_bucket_is_enough() {
        let options = parse(&["--bucket=b", "--every=0.5", "--inbound=in/"]).unwrap();
        assert_eq!(options.bucket, "b");
        assert_eq!(options.every, Duration::from_millis(500));
        assert_eq!(
            (options.outbound.as_str(), options.inbound.as_str()),
            ("outbound/", "in/")
        );
    }

    #[test]
    fn who_is_told_looks_less_often() {
        let every = |more: &[&str]| parse(&[&["--bucket=b"], more].concat()).unwrap().every;
        assert_eq!(every(&[]), EVERY);
        assert_eq!(every(&["--queue=https://q"]), EVERY_WITH_A_QUEUE);
        assert_eq!(
            every(&["--queue=https://q", "--every=1"]),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn everything_else_is_refused() {
        for arguments in [
            &[][..],
            &["--bucket="],
            &["--bucket"],
            &["bucket"],
            &["--bucket=b", "--every=0"],
            &["--bucket=b", "--every=-1"],
            &["--bucket=b", "--every=NaN"],
            &["--bucket=b", "--at-once=0"],
            &["--bucket=b", "--inbound=in"],
            &["--bucket=b", "--queue="],
            &[
                "--bucket=b",
                "--queue=arn:aws:sqs:eu-west-1:123456789012:work",
            ],
            &["--bucket=b", "--token=t"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}
