//! A Lambda execution environment: starts a function's executable and speaks the runtime API to it.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::http::{self, Response};

/// A function that is running.
pub struct Lambda {
    child: Child,
    events: Sender<(String, Duration)>,
    outcomes: Receiver<Outcome>,
    output: thread::JoinHandle<String>,
    errors: thread::JoinHandle<String>,
}

/// How an invocation ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Response(Value),
    Error { kind: String, message: String },
}

impl Lambda {
    /// Starts `executable` with nothing but Lambda's own variables and `environment`.
    pub fn start(executable: &str, environment: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, next) = channel::<(String, Duration)>();
        let (report, outcomes) = channel();
        let next = Arc::new(Mutex::new(next));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (next, report) = (Arc::clone(&next), report.clone());
                thread::spawn(move || {
                    http::serve(stream.unwrap(), |request| {
                        if request.method == "GET" {
                            assert_eq!(request.path, "/2018-06-01/runtime/invocation/next");
                            let (event, time) = next.lock().unwrap().recv().ok()?;
                            return Some(invocation(event, time));
                        }
                        let body: Value = serde_json::from_slice(&request.body).unwrap();
                        let text = |name: &str| body[name].as_str().unwrap().to_owned();
                        let outcome = if request.path.ends_with("/request-1/response") {
                            Outcome::Response(body)
                        } else {
                            assert!(
                                request.path.ends_with("/request-1/error"),
                                "{}",
                                request.path
                            );
                            Outcome::Error {
                                kind: text("errorType"),
                                message: text("errorMessage"),
                            }
                        };
                        report.send(outcome).ok()?;
                        Some(Response::new(202, ""))
                    });
                });
            }
        });
        let mut child = Command::new(executable)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "function"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = read_to_end(child.stdout.take().unwrap());
        let errors = read_to_end(child.stderr.take().unwrap());
        Self {
            child,
            events,
            outcomes,
            output,
            errors,
        }
    }

    /// Invokes the function with ten seconds to go.
    pub fn invoke(&self, event: &str) -> Outcome {
        self.invoke_within(event, Duration::from_secs(10))
    }

    /// Invokes the function, which has to be done within `time`.
    pub fn invoke_within(&self, event: &str, time: Duration) -> Outcome {
        self.events.send((event.to_owned(), time)).unwrap();
        self.outcomes
            .recv_timeout(time)
            .expect("the function has to answer before its time-out")
    }

    /// Stops the function and returns its log lines.
    pub fn stop(mut self) -> Vec<Value> {
        self.child.kill().unwrap();
        self.finish().1
    }

    /// Waits until the function ends by itself, and returns its exit status and log lines.
    pub fn finish(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.child.wait().unwrap();
        let output = self.output.join().unwrap();
        let errors = self.errors.join().unwrap();
        assert_eq!(
            errors, "",
            "nothing but log lines, and those on standard output"
        );
        let lines = output
            .lines()
            .map(|line| serde_json::from_str(line).expect(line));
        (status, lines.collect())
    }
}

fn invocation(event: String, time: Duration) -> Response {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
    let headers = vec![
        ("lambda-runtime-aws-request-id", "request-1".to_owned()),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-west-1:123456789012:function:function".to_owned(),
        ),
        ("content-type", "application/json".to_owned()),
    ];
    Response {
        status: 200,
        headers,
        body: event.into_bytes(),
        cut_off: None,
    }
}

fn read_to_end(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}
