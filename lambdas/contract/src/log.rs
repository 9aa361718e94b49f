//! The form of the Lambda functions' log lines: one JSON object a line.
//!
//! ```json
//! {"timestamp":"2026-03-01T12:00:00.000Z","level":"INFO","message":"callback opened","requestId":"…","execution_id":"…"}
//! ```
//!
//! `timestamp`, `level` and `requestId` are spelt as Lambda spells them in its own JSON lines, so that one query finds both, see
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>. The messages are fixed texts, fit for a metric
//! filter; whatever varies is a field.
//!
//! [`Log`] writes to whatever it is given, so this module does no I/O either.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Environment variable in which Lambda hands over the function's application log level.
pub const LEVEL_VARIABLE: &str = "AWS_LAMBDA_LOG_LEVEL";

/// How much a line matters, in Lambda's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What happened in detail.
    Debug,
    /// What happened.
    Info,
    /// Something was left out that someone may have meant.
    Warn,
    /// Something failed.
    Error,
}

/// Writes log lines of one invocation.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    request_id: &'a str,
    threshold: Level,
    sink: &'a (dyn Fn(&str) + Sync),
}

impl Level {
    /// Reads a value of [`LEVEL_VARIABLE`]. `TRACE` is as much as `DEBUG`, `FATAL` as little as `ERROR`; anything else means `INFO`, Lambda's default.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "TRACE" | "DEBUG" => Self::Debug,
            "WARN" => Self::Warn,
            "ERROR" | "FATAL" => Self::Error,
            _ => Self::Info,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

impl<'a> Log<'a> {
    /// A log for the invocation `request_id` (empty outside one) that hands lines of at least `threshold`, without a line end, to `sink`.
    #[must_use]
    pub fn new(request_id: &'a str, threshold: Level, sink: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self {
            request_id,
            threshold,
            sink,
        }
    }

    /// Writes a line of level [`Level::Debug`]; `fields` is an object.
    pub fn debug(&self, message: &str, fields: Value) {
        self.write(Level::Debug, message, fields);
    }

    /// Writes a line of level [`Level::Info`]; `fields` is an object.
    pub fn info(&self, message: &str, fields: Value) {
        self.write(Level::Info, message, fields);
    }

    /// Writes a line of level [`Level::Warn`]; `fields` is an object.
    pub fn warn(&self, message: &str, fields: Value) {
        self.write(Level::Warn, message, fields);
    }

    /// Writes a line of level [`Level::Error`]; `fields` is an object.
    pub fn error(&self, message: &str, fields: Value) {
        self.write(Level::Error, message, fields);
    }

    /// Writes a line whatever the threshold is; `fields` is an object.
    ///
    /// Its level is `FATAL`, the highest, since Lambda itself filters by that field too, and takes a line without one for `INFO`, see
    /// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>.
    pub fn unfiltered(&self, time: SystemTime, message: &str, fields: Value) {
        (self.sink)(&line(time, "FATAL", message, self.request_id, fields));
    }

    fn write(&self, level: Level, message: &str, fields: Value) {
        if level >= self.threshold {
            (self.sink)(&line(
                SystemTime::now(),
                level.name(),
                message,
                self.request_id,
                fields,
            ));
        }
    }
}

fn line(time: SystemTime, level: &str, message: &str, request_id: &str, fields: Value) -> String {
    let member = |name: &str, value: &Value| format!("{}:{value}", Value::from(name));
    let mut members = vec![
        member("timestamp", &rfc3339(time).into()),
        member("level", &level.into()),
        member("message", &message.into()),
    ];
    if !request_id.is_empty() {
        members.push(member("requestId", &request_id.into()));
    }
    if let Value::Object(fields) = fields {
        members.extend(fields.iter().map(|(name, value)| member(name, value)));
    }
    format!("{{{}}}", members.join(","))
}

/// `time` in UTC with milliseconds, such as `2026-03-01T12:00:00.000Z`. Times before 1970 are shown as its first moment.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Howard Hinnant's civil_from_days: years are counted from March, so that the leap day comes last,
    // in eras of 400 years, which all have the same 146,097 days.
    let from_march_0000 = days + 719_468;
    let (era, day_of_era) = (from_march_0000 / 146_097, from_march_0000 % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (1_735_689_599_500, "2024-12-31T23:59:59.500Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (millis, shown) in cases {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(millis)), shown);
        }
    }

    #[test]
    fn a_line_is_one_json_object() {
        let line = line(
            UNIX_EPOCH,
            "WARN",
            "a \"quoted\"\nmessage",
            "r-1",
            json!({"key": "注文\n", "bytes": 7}),
        );
        assert!(!line.contains('\n'));
        assert_eq!(
            serde_json::from_str::<Value>(&line).unwrap(),
            json!({
                "timestamp": "1970-01-01T00:00:00.000Z", "level": "WARN", "message": "a \"quoted\"\nmessage",
                "requestId": "r-1", "key": "注文\n", "bytes": 7
            })
        );
    }

    #[test]
    fn lines_below_the_threshold_are_left_out() {
        let lines = Mutex::new(Vec::new());
        let sink = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let log = Log::new("", Level::parse("warn"), &sink);
        log.debug("one", json!({}));
        log.info("two", json!({}));
        log.warn("three", json!({}));
        log.error("four", json!({}));
        Log::new("", Level::Error, &sink).unfiltered(UNIX_EPOCH, "five", json!({}));
        let lines = lines.into_inner().unwrap();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0].ends_with(r#""level":"WARN","message":"three"}"#),
            "{}",
            lines[0]
        );
        assert!(
            lines[2].ends_with(r#""level":"FATAL","message":"five"}"#),
            "{}",
            lines[2]
        );
    }

    #[test]
    fn levels_are_lambdas() {
        let cases = [
            ("TRACE", Level::Debug),
            ("debug", Level::Debug),
            ("INFO", Level::Info),
            ("", Level::Info),
            ("WARN", Level::Warn),
            ("ERROR", Level::Error),
            ("FATAL", Level::Error),
        ];
        for (text, level) in cases {
            assert_eq!(Level::parse(text), level, "{text}");
        }
    }
}
