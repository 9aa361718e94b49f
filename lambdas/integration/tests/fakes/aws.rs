//! S3 and Step Functions over https, with a certificate of a private authority, as the function sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::http::{self, Request, Response};

pub struct Aws {
    state: Arc<Mutex<State>>,
    pub endpoint: String,
    /// The authority's certificate.
    pub authority: NamedTempFile,
}

#[derive(Default)]
struct State {
    /// Bodies and version numbers.
    objects: BTreeMap<String, (Vec<u8>, usize)>,
    version: usize,
    writes: Vec<Written>,
    deletes: Vec<String>,
    answers: Vec<(String, String)>,
    closed: BTreeSet<String>,
    faults: Vec<Fault>,
    connections: usize,
}

/// An object that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub key: String,
    pub content_type: String,
    pub kms_key: Option<String>,
}

/// Something that goes wrong with calls whose `METHOD /bucket/key` or target contains `call`, so many `times`.
pub struct Fault {
    pub call: &'static str,
    pub times: usize,
    pub answer: Answer,
}

pub enum Answer {
    /// An error of S3.
    S3(u16, &'static str),
    /// An error of Step Functions, with its message.
    StepFunctions(&'static str, &'static str),
    /// An error of either: status 500.
    Broken,
    /// The call is done, but its answer is a status 500.
    DoneButBroken,
    /// The answer's body ends half-way: the connection is closed after this time.
    CutOff(Duration),
    /// No answer at all.
    Hang,
}

impl Aws {
    pub fn start() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let mut authority = NamedTempFile::new().unwrap();
        authority.write_all(issuer.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // A name, since with an address the SDK would use path style in any case.
        let endpoint = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let state = Arc::clone(&shared);
                state.lock().unwrap().connections += 1;
                thread::spawn(move || {
                    http::serve(StreamOwned::new(connection, stream), |request| {
                        answer(&state, &request)
                    });
                });
            }
        });
        Self {
            state,
            endpoint,
            authority,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts an object there, as someone else would.
    pub fn put(&self, key: &str, body: &str) {
        self.state().put(key, body.into());
    }

    /// Closes the callback of a token, as its time-out would.
    pub fn time_out(&self, token: &str) {
        self.state().closed.insert(token.to_owned());
    }

    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub fn object(&self, key: &str) -> Option<String> {
        let object = self.state().objects.get(key).cloned();
        object.map(|(body, _)| String::from_utf8(body).unwrap())
    }

    /// Keys that the function has deleted, in order.
    pub fn deletes(&self) -> Vec<String> {
        self.state().deletes.clone()
    }

    /// What the function has written, in order.
    pub fn writes(&self) -> Vec<Written> {
        self.state().writes.clone()
    }

    /// Tokens and what was told of them, in order: a result, or `error: cause`, or `alive`.
    pub fn answers(&self) -> Vec<(String, String)> {
        let mut answers = self.state().answers.clone();
        answers.retain(|(_, told)| told != "alive");
        answers
    }

    /// How many connections have been made.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// How many heartbeats Step Functions took.
    pub fn heartbeats(&self) -> usize {
        let answers = &self.state().answers;
        answers.iter().filter(|(_, told)| told == "alive").count()
    }
}

fn answer(state: &Mutex<State>, request: &Request) -> Option<Response> {
    assert!(
        request.header("authorization").is_some(),
        "every call is signed"
    );
    assert_eq!(request.header("x-amz-security-token"), Some("session"));
    let target = request.header("x-amz-target");
    let call = target.map_or_else(
        || format!("{} {}", request.method, request.path),
        str::to_owned,
    );
    let mut state = state.lock().unwrap();
    let fault = state
        .faults
        .iter_mut()
        .find(|fault| call.contains(fault.call) && fault.times > 0);
    let (mut broken, mut cut_off) = (false, None);
    if let Some(fault) = fault {
        fault.times -= 1;
        match fault.answer {
            Answer::S3(status, code) => return Some(s3_error(status, code)),
            Answer::StepFunctions(code, message) => return Some(sfn_error(400, code, message)),
            Answer::Broken => return Some(Response::new(500, "")),
            Answer::DoneButBroken => broken = true,
            Answer::CutOff(time) => cut_off = Some(time),
            Answer::Hang => {
                drop(state);
                thread::sleep(Duration::from_mins(1));
                return None;
            }
        }
    }
    let mut response = match target {
        Some(target) => state.step_functions(target, &request.body),
        None => state.s3(request),
    };
    response.cut_off = cut_off;
    Some(if broken {
        Response::new(500, "")
    } else {
        response
    })
}

impl State {
    fn step_functions(&mut self, target: &str, body: &[u8]) -> Response {
        let body: Value = serde_json::from_slice(body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let token = text("taskToken");
        if self.closed.contains(&token) {
            let quoting =
                format!("Task Timed Out: 'Provided task does not exist anymore: {token}'");
            return sfn_error(400, "TaskTimedOut", &quoting);
        }
        let told = match target {
            "AWSStepFunctions.SendTaskSuccess" => text("output"),
            "AWSStepFunctions.SendTaskFailure" => format!("{}: {}", text("error"), text("cause")),
            "AWSStepFunctions.SendTaskHeartbeat" => "alive".to_owned(),
            other => panic!("{other}"),
        };
        if told != "alive" {
            self.closed.insert(token.clone());
        }
        self.answers.push((token, told));
        Response::new(200, "{}")
    }

    fn s3(&mut self, request: &Request) -> Response {
        let path = request.path.split('?').next().unwrap();
        let key =
            bellflower_contract::decode_object_key(path.strip_prefix("/bucket/").unwrap()).unwrap();
        let header = |name| request.header(name).map(str::to_owned);
        let version = self.objects.get(&key).map(|(_, version)| etag(*version));
        if request.method != "GET" {
            if header("if-none-match").is_some() && version.is_some() {
                return s3_error(412, "PreconditionFailed");
            }
            match header("if-match") {
                Some(_) if version.is_none() => return s3_error(404, "NoSuchKey"),
                expected if expected.is_some() && expected != version => {
                    return s3_error(412, "PreconditionFailed");
                }
                _ => {}
            }
        }
        match request.method.as_str() {
            "PUT" => {
                self.writes.push(Written {
                    key: key.clone(),
                    content_type: header("content-type").unwrap(),
                    kms_key: header("x-amz-server-side-encryption-aws-kms-key-id"),
                });
                self.put(&key, request.body.clone());
                Response::new(200, "")
            }
            "GET" => match self.objects.get(&key) {
                Some((body, version)) => {
                    let mut response = Response::new(200, body.clone());
                    let written = "Wed, 01 Jan 2020 00:00:00 GMT".to_owned();
                    response.headers.push(("last-modified", written));
                    response.headers.push(("etag", etag(*version)));
                    response
                }
                None => s3_error(404, "NoSuchKey"),
            },
            "DELETE" => {
                self.objects.remove(&key);
                self.deletes.push(key);
                Response::new(204, "")
            }
            method => panic!("{method} {path}"),
        }
    }

    fn put(&mut self, key: &str, body: Vec<u8>) {
        self.version += 1;
        self.objects.insert(key.to_owned(), (body, self.version));
    }
}

fn etag(version: usize) -> String {
    format!("\"{version}\"")
}

fn sfn_error(status: u16, code: &str, message: &str) -> Response {
    Response::new(
        status,
        json!({"__type": code, "message": message}).to_string(),
    )
}

fn s3_error(status: u16, code: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>of the fake</Message>\
         <RequestId>S3REQUEST</RequestId></Error>"
    );
    let mut response = Response::new(status, body);
    response
        .headers
        .push(("x-amz-request-id", "S3REQUEST".to_owned()));
    response
}
