//! S3 and Step Functions over https, with a certificate of a private authority, as the function sees them.

use std::collections::BTreeMap;
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
    objects: BTreeMap<String, Vec<u8>>,
    writes: Vec<Written>,
    answers: Vec<(String, String)>,
    faults: Vec<Fault>,
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
        self.state().objects.insert(key.to_owned(), body.into());
    }

    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub fn object(&self, key: &str) -> Option<String> {
        let body = self.state().objects.get(key).cloned();
        body.map(|body| String::from_utf8(body).unwrap())
    }

    /// What the function has written, in order.
    pub fn writes(&self) -> Vec<Written> {
        self.state().writes.clone()
    }

    /// Tokens and results that Step Functions has taken, in order.
    pub fn answers(&self) -> Vec<(String, String)> {
        self.state().answers.clone()
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
    if let Some(fault) = fault {
        fault.times -= 1;
        return match fault.answer {
            Answer::S3(status, code) => Some(s3_error(status, code)),
            Answer::StepFunctions(code, message) => Some(Response::new(
                400,
                json!({"__type": code, "message": message}).to_string(),
            )),
            Answer::Hang => {
                drop(state);
                thread::sleep(Duration::from_mins(1));
                None
            }
        };
    }
    if target == Some("AWSStepFunctions.SendTaskSuccess") {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        state.answers.push((text("taskToken"), text("output")));
        return Some(Response::new(200, "{}"));
    }
    let path = request.path.split('?').next().unwrap();
    let key =
        bellflower_contract::decode_object_key(path.strip_prefix("/bucket/").unwrap()).unwrap();
    Some(match request.method.as_str() {
        "PUT" => {
            let header = |name| request.header(name).map(str::to_owned);
            state.writes.push(Written {
                key: key.clone(),
                content_type: header("content-type").unwrap(),
                kms_key: header("x-amz-server-side-encryption-aws-kms-key-id"),
            });
            state.objects.insert(key, request.body.clone());
            Response::new(200, "")
        }
        "GET" => match state.objects.get(&key) {
            Some(body) => Response::new(200, body.clone()),
            None => s3_error(404, "NoSuchKey"),
        },
        method => panic!("{method} {path}"),
    })
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
