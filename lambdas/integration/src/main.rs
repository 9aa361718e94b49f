//! The integration function's executable; see the library for what it does.

use std::io::Write;
use std::process::ExitCode;

use bellflower_contract::log::{LEVEL_VARIABLE, Level, Log};
use bellflower_integration::aws;
use bellflower_integration::config::Config;
use bellflower_integration::handler::{Handler, stop_at};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::json;
use serde_json::value::RawValue;

fn main() -> ExitCode {
    let level = Level::parse(&std::env::var(LEVEL_VARIABLE).unwrap_or_default());
    std::panic::set_hook(Box::new(move |panic| {
        // Where, but not what: the message could quote anything, even a token.
        let place = panic.location().map(ToString::to_string);
        Log::new("", level, &to_stdout).error("function panicked", json!({"location": place}));
    }));
    match run(level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let log = Log::new("", level, &to_stdout);
            log.error("function cannot start", json!({"cause": error.to_string()}));
            ExitCode::FAILURE
        }
    }
}

fn run(level: Level) -> Result<(), Error> {
    let config = Config::from_env()?;
    let (store, callbacks) = aws::connect(&config);
    let handler = Handler {
        store,
        bucket: config.bucket,
        callbacks,
        layout: config.layout,
        undeliverable_queue_arn: config.undeliverable_queue_arn,
        dimensions: config.dimensions,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(lambda_runtime::run(service_fn(
            async |event: LambdaEvent<Box<RawValue>>| {
                let log = Log::new(&event.context.request_id, level, &to_stdout);
                let stop_at = stop_at(event.context.deadline);
                handler.handle(&event.payload, stop_at, &log).await
            },
        )))
}

/// A closed standard output must not fail an invocation.
fn to_stdout(line: &str) {
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}
