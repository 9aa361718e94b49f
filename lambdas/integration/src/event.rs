//! Which event is it?

use aws_lambda_events::event::s3::S3EventRecord;
use aws_lambda_events::event::sqs::SqsMessage;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An event the function understands.
#[derive(Debug)]
pub enum Event {
    /// A batch of messages from a queue. One that could not be read has its id and no body: it must not keep the others from being handled.
    Sqs(Vec<SqsMessage>),
    /// Things that happened to objects. A record that could not be read is `None`: it must not keep the others from being handled.
    S3(Vec<Option<S3EventRecord>>),
    /// S3 tried out a new notification.
    S3Test,
}

/// The event is none that this function understands.
///
/// The message does not quote the event: a token may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownEvent {
    /// Neither a test event nor an object with records.
    #[error("the event is neither an SQS batch nor an S3 event: it has no Records")]
    NoRecords,
    /// Its records are not all of SQS or all of S3.
    #[error(
        "the event is neither an SQS batch nor an S3 event: its records are not all from aws:sqs or all from aws:s3"
    )]
    Source,
    /// A message of which not even the id can be read, so that SQS cannot be told which it is.
    #[error("the SQS batch has a record that is no SQS message")]
    Message,
}

/// Tells what an event is by what is in it.
///
/// See <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html> and
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>.
///
/// # Errors
///
/// [`UnknownEvent`] if it is neither an SQS batch nor one of S3.
pub fn parse(event: &RawValue) -> Result<Event, UnknownEvent> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(rename = "Event")]
        test: Option<String>,
        #[serde(borrow, rename = "Records")]
        records: Option<Vec<&'a RawValue>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Source {
        event_source: String,
    }

    // serde would fill a struct from an array too.
    if !event.get().trim_start().starts_with('{') {
        return Err(UnknownEvent::NoRecords);
    }
    let envelope: Envelope<'_> =
        serde_json::from_str(event.get()).map_err(|_| UnknownEvent::NoRecords)?;
    if envelope.test.as_deref() == Some("s3:TestEvent") {
        return Ok(Event::S3Test);
    }
    let records = envelope.records.unwrap_or_default();
    if records.is_empty() {
        return Err(UnknownEvent::NoRecords);
    }
    let all_from = |source: &str| {
        records.iter().all(|record| {
            serde_json::from_str::<Source>(record.get())
                .is_ok_and(|record| record.event_source == source)
        })
    };
    if all_from("aws:sqs") {
        records
            .iter()
            .map(|record| {
                let record = record.get();
                serde_json::from_str(record).or_else(|_| unreadable(record))
            })
            .collect::<Result<_, _>>()
            .map(Event::Sqs)
    } else if all_from("aws:s3") {
        Ok(Event::S3(
            records
                .iter()
                .map(|record| serde_json::from_str(record.get()).ok())
                .collect(),
        ))
    } else {
        Err(UnknownEvent::Source)
    }
}

/// A message that cannot be read, so that it can be given back.
fn unreadable(record: &str) -> Result<SqsMessage, UnknownEvent> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Known {
        message_id: String,
        #[serde(rename = "eventSourceARN")]
        queue: Option<serde_json::Value>,
    }

    let known: Known = serde_json::from_str(record).map_err(|_| UnknownEvent::Message)?;
    let mut message = SqsMessage::default();
    message.message_id = Some(known.message_id);
    message.event_source_arn = known
        .queue
        .and_then(|queue| Some(queue.as_str()?.to_owned()));
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Event, UnknownEvent> {
        parse(serde_json::from_str(text).unwrap())
    }

    const S3_RECORD: &str = r#"{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1", "eventTime": "2026-03-01T12:00:00.000Z",
        "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "A"}, "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "1"},
        "s3": {"s3SchemaVersion": "1.0", "configurationId": "c", "bucket": {"name": "b", "ownerIdentity": {"principalId": "A"},
               "arn": "arn:aws:s3:::b"}, "object": {"key": "inbound/e/success.json", "size": 2, "eTag": "e", "sequencer": "0A"}}
    }"#;

    #[test]
    fn an_sqs_batch() {
        let event = read(
            r#"{"Records": [{"messageId": "1", "body": "x", "eventSource": "aws:sqs"},
                            {"messageId": "2", "body": "y", "eventSource": "aws:sqs", "attributes": null}]}"#,
        );
        let Ok(Event::Sqs(messages)) = event else {
            panic!("{event:?}");
        };
        assert_eq!(messages[1].message_id.as_deref(), Some("2"));
        assert_eq!(messages[1].body.as_deref(), Some("y"));
    }

    #[test]
    fn an_sqs_batch_whose_second_message_cannot_be_read() {
        let event = read(
            r#"{"Records": [{"messageId": "1", "body": "x", "eventSource": "aws:sqs"},
                            {"messageId": "2", "body": 7, "eventSource": "aws:sqs", "eventSourceARN": "arn:q"}]}"#,
        );
        let Ok(Event::Sqs(messages)) = event else {
            panic!("{event:?}");
        };
        assert_eq!(messages[0].body.as_deref(), Some("x"));
        assert_eq!(messages[1].message_id.as_deref(), Some("2"));
        assert_eq!(messages[1].event_source_arn.as_deref(), Some("arn:q"));
        assert_eq!(messages[1].body, None);
    }

    #[test]
    fn an_s3_event_whose_second_record_cannot_be_read() {
        let event = read(&format!(
            r#"{{"Records": [{S3_RECORD}, {{"eventSource": "aws:s3", "s3": 7}}]}}"#
        ));
        let Ok(Event::S3(records)) = event else {
            panic!("{event:?}");
        };
        let first = records[0].as_ref().unwrap();
        assert_eq!(
            first.s3.object.key.as_deref(),
            Some("inbound/e/success.json")
        );
        assert!(records[1].is_none());
    }

    #[test]
    fn the_test_event() {
        let event = r#"{"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-03-01T12:00:00.000Z", "Bucket": "b",
                        "RequestId": "1", "HostId": "2"}"#;
        assert!(matches!(read(event), Ok(Event::S3Test)));
    }

    #[test]
    fn everything_else_is_refused() {
        let cases = [
            ("{}", UnknownEvent::NoRecords),
            ("[]", UnknownEvent::NoRecords),
            (r#"["s3:TestEvent", []]"#, UnknownEvent::NoRecords),
            ("null", UnknownEvent::NoRecords),
            (r#""s3:TestEvent""#, UnknownEvent::NoRecords),
            (r#"{"Records": []}"#, UnknownEvent::NoRecords),
            (r#"{"Records": {}}"#, UnknownEvent::NoRecords),
            (r#"{"Event": "s3:Other"}"#, UnknownEvent::NoRecords),
            (
                r#"{"Records": [{"EventSource": "aws:sns"}]}"#,
                UnknownEvent::Source,
            ),
            (
                r#"{"Records": [{"eventSource": "aws:kinesis"}]}"#,
                UnknownEvent::Source,
            ),
            (
                r#"{"Records": [{"eventSource": "aws:sqs"}, {"eventSource": "aws:s3"}]}"#,
                UnknownEvent::Source,
            ),
            (
                r#"{"Records": [{"eventSource": "aws:sqs", "body": 7}]}"#,
                UnknownEvent::Message,
            ),
            (
                r#"{"Records": [{"eventSource": "aws:sqs", "messageId": 1, "body": "x"}]}"#,
                UnknownEvent::Message,
            ),
            (r#"{"Records": [7]}"#, UnknownEvent::Source),
        ];
        for (event, expected) in cases {
            assert_eq!(read(event).unwrap_err(), expected, "{event}");
        }
    }
}
