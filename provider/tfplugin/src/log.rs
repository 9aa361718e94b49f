//! Logs as Terraform reads them from a plugin: one JSON object a line on stderr, in the way of
//! hashicorp/go-hclog.

use std::fmt;
use std::io::Write;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Starts logging, if Terraform is asked to log.
///
/// The level comes from `TF_LOG_PROVIDER` or `TF_LOG`. Only the provider and this crate log below
/// warnings: what libraries write about the bytes that they send is nobody's business.
pub(crate) fn start(program: &str) {
    let level = level(|name| std::env::var(name).ok());
    if level == LevelFilter::OFF {
        return;
    }
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(program.replace('-', "_"), level)
        .with_target(env!("CARGO_CRATE_NAME"), level);
    let subscriber =
        tracing_subscriber::registry().with(Lines(std::io::stderr).with_filter(filter));
    // Somebody else's subscriber, in a test perhaps, is as good as ours.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn level(variable: impl Fn(&str) -> Option<String>) -> LevelFilter {
    let word = ["TF_LOG_PROVIDER", "TF_LOG"]
        .into_iter()
        .filter_map(variable)
        .find(|word| !word.is_empty());
    match word.unwrap_or_default().to_ascii_uppercase().as_str() {
        "" | "OFF" => LevelFilter::OFF,
        "ERROR" => LevelFilter::ERROR,
        "WARN" => LevelFilter::WARN,
        "INFO" => LevelFilter::INFO,
        "DEBUG" => LevelFilter::DEBUG,
        // As in Terraform: JSON, and whatever else is written there, means everything.
        _ => LevelFilter::TRACE,
    }
}

/// Writes events as lines to what the function opens.
struct Lines<F>(F);

/// The fields of a span, kept with the span.
struct SpanFields(Map<String, Value>);

impl<S, F, W> Layer<S> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: Fn() -> W + 'static,
    W: Write,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Fields(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut()
        {
            record.record(&mut Fields(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(Scope::from_root)
        {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                line.extend(fields.clone());
            }
        }
        event.record(&mut Fields(&mut line));
        let message = line.remove("message").unwrap_or_else(|| json!(""));
        let metadata = event.metadata();
        line.insert("@level".to_owned(), json!(word(*metadata.level())));
        line.insert("@message".to_owned(), message);
        line.insert(
            "@module".to_owned(),
            json!(metadata.target().replace("::", ".")),
        );
        line.insert(
            "@timestamp".to_owned(),
            json!(timestamp(OffsetDateTime::now_utc())),
        );

        let mut bytes = Value::Object(line).to_string().into_bytes();
        bytes.push(b'\n');
        // In one go, so that lines of different threads do not mix. There is no other place to
        // complain.
        let _ = (self.0)().write_all(&bytes);
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn timestamp(time: OffsetDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.microsecond(),
    )
}

/// Collects fields. Names that start with `@` belong to the line itself.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0
            .insert(field.name().trim_start_matches('@').to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_json_line_with_the_fields_of_its_spans() {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = tracing_subscriber::registry().with(Lines(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!(
                "apply",
                pipeline = "orders",
                attempts = tracing::field::Empty
            );
            let _inside = span.enter();
            span.record("attempts", 3);
            tracing::warn!(target: "some::place", code = 404, slow = true, "two\nlines");
        });
        let bytes = memory.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["@level"], "warn");
        assert_eq!(line["@message"], "two\nlines");
        assert_eq!(line["@module"], "some.place");
        assert_eq!(line["pipeline"], "orders");
        assert_eq!(line["attempts"], 3);
        assert_eq!(line["code"], 404);
        assert_eq!(line["slow"], true);
        let timestamp = line["@timestamp"].as_str().unwrap();
        assert_eq!(
            timestamp.len(),
            "2026-01-02T03:04:05.000006Z".len(),
            "{timestamp}"
        );
    }

    #[test]
    fn the_providers_own_level_goes_first() {
        let with = |own: &str, all: &str| {
            let (own, all) = (own.to_owned(), all.to_owned());
            level(move |name| {
                Some(if name == "TF_LOG" {
                    all.clone()
                } else {
                    own.clone()
                })
            })
        };
        assert_eq!(level(|_| None), LevelFilter::OFF);
        assert_eq!(with("", "info"), LevelFilter::INFO);
        assert_eq!(with("error", "TRACE"), LevelFilter::ERROR);
        assert_eq!(with("off", "TRACE"), LevelFilter::OFF);
        assert_eq!(with("", "JSON"), LevelFilter::TRACE);
    }

    #[test]
    fn times_are_written_as_terraform_parses_them() {
        let time = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        assert_eq!(timestamp(time), "2023-11-14T22:13:20.000000Z");
    }
}
