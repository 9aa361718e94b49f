//! A business application: looks for work in `outbound/` of a callback pipeline's bucket, or is told of it by a queue, does it, and puts its answers
//! into `inbound/`.
//!
//! It knows nothing of Step Functions, of the pipeline's code or of task tokens: files are all there is between the two.

mod application;
mod aws;
mod bucket;
mod complaints;
mod options;
mod queue;
mod work;

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use application::Application;
use bucket::Bucket;
use options::{Options, USAGE};
use queue::Queue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if std::env::args()
        .skip(1)
        .any(|one| matches!(one.as_str(), "-h" | "--help"))
    {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(complaint) => {
            eprintln!("business-application: {complaint}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let stop = match stop() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("business-application: signals cannot be heard: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shared = match aws::environment().await {
        Ok(shared) => shared,
        Err(complaint) => {
            eprintln!("business-application: {complaint}");
            return ExitCode::FAILURE;
        }
    };
    let bucket = Bucket::new(&shared, &options);
    let queue = options.queue.clone().map(|url| Queue::new(&shared, url));
    println!("looking for work in {bucket}");
    let application = Application::new(Arc::new(bucket), queue, &options, stop);
    match application.run().await {
        Ok(answered) => {
            let exchanges = if answered == 1 {
                "exchange"
            } else {
                "exchanges"
            };
            println!("stopped; {answered} {exchanges} answered");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("business-application: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes true at SIGINT or SIGTERM.
fn stop() -> std::io::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = sender.send(true);
        // Dropped, it would look like a stop of its own.
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}
