//! The processing function's executable; see the library for what it does.

use std::io::Write;

use bellflower_contract::ExecutionId;
use bellflower_contract::log::{LEVEL_VARIABLE, Level, Log};
use bellflower_processing::process;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

fn main() -> Result<(), Error> {
    let level = Level::parse(&std::env::var(LEVEL_VARIABLE).unwrap_or_default());
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(lambda_runtime::run(service_fn(
            async |event: LambdaEvent<Box<RawValue>>| handle(&event, level),
        )))
}

fn handle(event: &LambdaEvent<Box<RawValue>>, level: Level) -> Result<Box<RawValue>, Diagnostic> {
    let log = Log::new(&event.context.request_id, level, &to_stdout);
    let (id, payload) = ExecutionId::parse(Uuid::new_v4().to_string())
        .map_err(|error| Diagnostic::from(error.to_string()))
        .and_then(|id| {
            let payload = process(&event.payload, id.clone())?;
            Ok((id, payload.to_json()?))
        })
        .inspect_err(|failure| {
            log.error(
                "processing failed",
                json!({"error": failure.error_type, "cause": failure.error_message}),
            );
        })?;
    log.info(
        "input processed",
        json!({"execution_id": id, "bytes": payload.get().len()}),
    );
    Ok(payload)
}

/// A closed standard output must not fail an execution.
fn to_stdout(line: &str) {
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}
