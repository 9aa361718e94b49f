//! The names of all parts, the ARNs that follow from them, and the limits of the services.

use serde::{Deserialize, Serialize};

/// Where a pipeline lives: everything an ARN needs beside a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The partition: `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    /// The region: `eu-west-1`.
    pub region: String,
    /// The account: twelve digits.
    pub account: String,
}

/// Where the pipelines of the unit tests live.
#[cfg(test)]
#[must_use]
pub fn place() -> Place {
    Place {
        partition: "aws".into(),
        region: "eu-west-1".into(),
        account: "123456789012".into(),
    }
}

impl Place {
    /// The ARN of a regional object.
    #[must_use]
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:{}:{service}:{}:{}:{resource}",
            self.partition, self.region, self.account
        )
    }

    /// The ARN of an object of IAM, which has no region.
    #[must_use]
    pub fn iam_arn(&self, resource: &str) -> String {
        format!("arn:{}:iam::{}:{resource}", self.partition, self.account)
    }

    /// The ARN of a bucket or an object in one, which has neither region nor account.
    #[must_use]
    pub fn s3_arn(&self, resource: &str) -> String {
        format!("arn:{}:s3:::{resource}", self.partition)
    }

    /// The domain that AWS's own endpoints of this partition end with.
    #[must_use]
    pub fn dns_suffix(&self) -> &'static str {
        let row = PARTITIONS.iter().find(|row| row.1 == self.partition);
        row.map_or("amazonaws.com", |row| row.2)
    }

    /// The URL under which SQS knows a queue, wherever its endpoint is.
    #[must_use]
    pub fn queue_url(&self, queue: &str) -> String {
        format!(
            "https://sqs.{}.{}/{}/{queue}",
            self.region,
            self.dns_suffix(),
            self.account
        )
    }
}

/// How the names of a partition's regions begin, the partition, and the domain of its endpoints, as the AWS SDKs have them.
const PARTITIONS: [(&str, &str, &str); 7] = [
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
];

/// The partition a region belongs to.
#[must_use]
pub fn partition_of(region: &str) -> &'static str {
    let row = PARTITIONS.iter().find(|row| region.starts_with(row.0));
    row.map_or("aws", |row| row.1)
}

/// Whether this could be a region's name: words and, as the last, a number, as in `eu-west-1` and `us-gov-east-1`.
#[must_use]
pub fn is_region(name: &str) -> bool {
    let all =
        |text: &str, legal: fn(&u8) -> bool| !text.is_empty() && text.as_bytes().iter().all(legal);
    let words: Vec<&str> = name.split('-').collect();
    let [words @ .., number] = &words[..] else {
        return false;
    };
    words.len() > 1
        && name.len() <= 32
        && words.iter().all(|word| all(word, u8::is_ascii_lowercase))
        && all(number, u8::is_ascii_digit)
}

/// What the beginnings of names may hold, in words.
pub const PART: &str =
    "small letters, digits and hyphens, beginning and ending with a letter or a digit";

/// Why names of parts cannot hold this text, if they cannot.
#[must_use]
pub fn not_a_part(text: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = !text.is_empty()
        && text.chars().all(legal)
        && !text.starts_with('-')
        && !text.ends_with('-');
    (!good).then(|| format!("is \"{text}\"; allowed are {PART}."))
}

/// The name of a part that was given none: `<name>-<part>-<environment>-<region>`.
#[must_use]
pub fn derived(name: &str, part: &str, environment: &str, region: &str) -> String {
    format!("{name}-{part}-{environment}-{region}")
}

/// The log group that Lambda writes to for a function, unless told otherwise
/// ([Lambda Developer Guide](https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html)).
#[must_use]
pub fn function_log_group(function: &str) -> String {
    format!("/aws/lambda/{function}")
}

/// The name of the bucket, which must be unique among all accounts.
#[must_use]
pub fn bucket(name: &str, place: &Place, environment: &str) -> String {
    format!(
        "{name}-integration-bucket-{}-{environment}-{}",
        place.account, place.region
    )
}

/// What a service takes for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What the name is of, in a person's words.
    pub what: &'static str,
    /// The longest name.
    pub length: usize,
    /// The characters beside letters and digits.
    pub extra: &'static str,
    /// Whether letters must be small.
    pub lower: bool,
    /// The page that says so.
    pub source: &'static str,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $what:literal, $length:literal, $extra:literal, $lower:literal, $source:literal;)*) => {
        $($(#[$doc])* pub const $name: Limit = Limit { what: $what, length: $length, extra: $extra, lower: $lower, source: $source };)*
    };
}

limits! {
    /// A bucket.
    BUCKET = "S3 bucket", 63, "-.", true, "AmazonS3/latest/userguide/bucketnamingrules.html";
    /// A function.
    FUNCTION = "Lambda function", 64, "-_", false, "lambda/latest/api/API_CreateFunction.html";
    /// A role.
    ROLE = "IAM role", 64, "+=,.@-_", false, "IAM/latest/APIReference/API_CreateRole.html";
    /// A queue.
    QUEUE = "SQS queue", 80, "-_", false, "AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html";
    /// A topic.
    TOPIC = "SNS topic", 256, "-_", false, "sns/latest/api/API_CreateTopic.html";
    /// A state machine.
    STATE_MACHINE = "Step Functions state machine", 80, "-_", false, "step-functions/latest/apireference/API_CreateStateMachine.html";
    /// An alias of a key, with `alias/`.
    KEY_ALIAS = "KMS key alias", 256, "/-_", false, "kms/latest/APIReference/API_CreateAlias.html";
    /// A dashboard.
    DASHBOARD = "CloudWatch dashboard", 255, "-_", false, "AmazonCloudWatch/latest/APIReference/API_PutDashboard.html";
    /// An alarm.
    ALARM = "CloudWatch alarm", 255, "-_.", false, "AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html";
}

/// How the names of FIFO queues and topics end, and no others.
pub const FIFO: &str = ".fifo";

/// How the names of general purpose buckets must not begin, and how they must not end: S3 keeps these for aliases, other kinds of
/// buckets and its own documentation. `-an` ends the names of an account's regional namespace, in which this bucket is not made.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_SUFFIXES: [&str; 6] = [
    "-s3alias",
    "--ol-s3",
    ".mrap",
    "--x-s3",
    "--table-s3",
    "-an",
];

impl Limit {
    /// The letters, in words.
    #[must_use]
    pub fn letters(&self) -> &'static str {
        if self.lower {
            "small letters"
        } else {
            "letters"
        }
    }

    /// The characters beside letters and digits, told apart.
    #[must_use]
    pub fn signs(&self) -> String {
        let signs: Vec<String> = self.extra.chars().map(String::from).collect();
        signs.join(" ")
    }

    /// How many characters a name has too many.
    #[must_use]
    pub fn excess(&self, name: &str) -> usize {
        name.chars().count().saturating_sub(self.length)
    }

    /// Says what is wrong with a name: its length or its first illegal character.
    #[must_use]
    pub fn complaint(&self, name: &str) -> Option<String> {
        let Self {
            what,
            length,
            extra,
            lower,
            ..
        } = self;
        let count = name.chars().count();
        if count == 0 {
            return Some(format!("The name of the {what} is empty."));
        }
        if count > *length {
            return Some(format!(
                "The name of the {what}, \"{name}\", has {count} characters; at most {length} are allowed."
            ));
        }
        if *lower && count < 3 {
            return Some(format!(
                "The name of the {what}, \"{name}\", has {count} characters; at least 3 are needed."
            ));
        }
        if *lower && name.parse::<std::net::Ipv4Addr>().is_ok() {
            return Some(format!(
                "The name of the {what}, \"{name}\", must not look like an IP address."
            ));
        }
        if (*self == QUEUE || *self == TOPIC) && name.ends_with(FIFO) {
            return Some(format!(
                "The name of the {what}, \"{name}\", ends with .fifo as those of FIFO queues and topics do; a pipeline's are standard ones. \
                 Allowed are letters, digits and the characters {}",
                self.signs()
            ));
        }
        let legal = |c: char| {
            (c.is_ascii_alphanumeric() && !(*lower && c.is_ascii_uppercase())) || extra.contains(c)
        };
        if let Some(bad) = name.chars().find(|c| !legal(*c)) {
            return Some(format!(
                "The name of the {what}, \"{name}\", contains {bad:?}; allowed are {}, digits and the characters {}",
                self.letters(),
                self.signs()
            ));
        }
        if *lower
            && name.starts_with(|c: char| extra.contains(c))
                | name.ends_with(|c: char| extra.contains(c))
        {
            return Some(format!(
                "The name of the {what}, \"{name}\", must begin and end with a letter or a digit."
            ));
        }
        if *lower && (name.contains("..") || name.contains(".-") || name.contains("-.")) {
            return Some(format!(
                "The name of the {what}, \"{name}\", must not hold a point beside another point or a hyphen."
            ));
        }
        if *lower {
            let begins = RESERVED_PREFIXES
                .iter()
                .find(|prefix| name.starts_with(**prefix));
            let ends = RESERVED_SUFFIXES
                .iter()
                .find(|suffix| name.ends_with(**suffix));
            let reserved = begins
                .map(|part| ("begins", part))
                .or(ends.map(|part| ("ends", part)));
            if let Some((how, part)) = reserved {
                return Some(format!(
                    "The name of the {what}, \"{name}\", {how} with {part}, which AWS keeps for itself."
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_original_scheme() {
        assert_eq!(
            derived("orders", "queue", "devl", "eu-west-1"),
            "orders-queue-devl-eu-west-1"
        );
        assert_eq!(
            bucket("orders", &place(), "devl"),
            "orders-integration-bucket-123456789012-devl-eu-west-1"
        );
    }

    #[test]
    fn arns_have_the_fields_their_service_has() {
        assert_eq!(
            place().arn("sqs", "q"),
            "arn:aws:sqs:eu-west-1:123456789012:q"
        );
        assert_eq!(
            place().iam_arn("role/r"),
            "arn:aws:iam::123456789012:role/r"
        );
        assert_eq!(place().s3_arn("b/*"), "arn:aws:s3:::b/*");
        assert_eq!(
            place().queue_url("q"),
            "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
        );
        assert_eq!(partition_of("cn-north-1"), "aws-cn");
        for (region, domain) in [
            ("cn-north-1", "amazonaws.com.cn"),
            ("us-gov-west-1", "amazonaws.com"),
            ("eusc-de-east-1", "amazonaws.eu"),
        ] {
            let place = Place {
                partition: partition_of(region).into(),
                region: region.into(),
                ..place()
            };
            assert_eq!(place.dns_suffix(), domain);
        }
    }

    #[test]
    fn complaints_name_the_part_the_length_and_the_limit() {
        let long = "x".repeat(70);
        let said = FUNCTION.complaint(&long).unwrap_or_default();
        assert!(
            said.contains("Lambda function") && said.contains("70") && said.contains("64"),
            "{said}"
        );
        assert!(
            BUCKET
                .complaint("Orders")
                .is_some_and(|said| said.contains("'O'"))
        );
        assert!(BUCKET.complaint("-orders").is_some());
        assert!(BUCKET.complaint("a..b").is_some());
        assert!(BUCKET.complaint("ab").is_some());
        assert!(BUCKET.complaint("192.168.5.4").is_some());
        assert_eq!(BUCKET.complaint("orders-1"), None);
        assert_eq!(QUEUE.complaint("Orders_1"), None);
    }

    #[test]
    fn fifo_queues_and_topics_are_told_apart() {
        for limit in [QUEUE, TOPIC] {
            let said = limit.complaint("a.fifo").unwrap_or_default();
            assert!(said.contains("standard"), "{said}");
        }
        let said = FUNCTION.complaint("a.fifo").unwrap_or_default();
        assert!(said.contains("'.'"), "{said}");
    }

    #[test]
    fn what_s3_keeps_for_itself_is_no_bucket() {
        for prefix in RESERVED_PREFIXES {
            let said = BUCKET.complaint(&format!("{prefix}orders"));
            assert!(said.is_some_and(|said| said.contains(prefix)), "{prefix}");
        }
        for suffix in RESERVED_SUFFIXES {
            let said = BUCKET.complaint(&format!("orders{suffix}"));
            assert!(said.is_some_and(|said| said.contains(suffix)), "{suffix}");
        }
        // Only where the part stands at its end of the name.
        assert_eq!(BUCKET.complaint("orders-xn--s3alias-1"), None);
        assert_eq!(BUCKET.complaint("or.der-s"), None);
        assert_eq!(ROLE.complaint("xn--orders-an"), None);
    }
}
