//! Connections on one side, the emulator on the other.

use std::convert::Infallible;
use std::future::pending;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Error as IoError, ErrorKind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::call::{self, Recognised};
use super::wire::{Answer, To};
use super::{Arrival, Fault, Shared, lock};
use crate::{Error, MiniStack};

/// How long the emulator may take for one call.
const PATIENCE: Duration = Duration::from_mins(2);

/// Headers that belong to one connection, not to the answer.
const HOP: [&str; 4] = [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
];

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("dropped")]
    Dropped,
    #[error("reset")]
    Reset,
    /// The emulator gave no answer.
    #[error("the emulator: {0}")]
    Unanswered(String),
}

/// The emulator's certificate for those who come, its authority for going there.
pub(super) fn tls(emulator: &MiniStack) -> Result<(TlsAcceptor, TlsConnector), Error> {
    fn unusable<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Error {
        let path = path.to_owned();
        move |reason| {
            let source = IoError::new(ErrorKind::InvalidData, reason.to_string());
            Error::file("using the certificate", &path)(source)
        }
    }
    let [certificate, key, authority] = ["server.pem", "server.key", "ca.pem"]
        .map(|name| emulator.authority_file().with_file_name(name));
    let chain = vec![CertificateDer::from_pem_file(&certificate).map_err(unusable(&certificate))?];
    let secret = PrivateKeyDer::from_pem_file(&key).map_err(unusable(&key))?;
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(&authority).map_err(unusable(&authority))?;
    roots.add(root).map_err(unusable(&authority))?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable(&certificate))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unusable(&certificate))?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable(&authority))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((
        TlsAcceptor::from(Arc::new(server)),
        TlsConnector::from(Arc::new(client)),
    ))
}

/// Takes connections for as long as the proxy lives.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    shared: Arc<Shared>,
) {
    let listening = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener));
    let Ok(listener) = listening else { return };
    let upstream = Arc::new(Upstream {
        connector,
        idle: Mutex::default(),
    });
    loop {
        if let Ok((stream, peer)) = listener.accept().await {
            let one = Connection {
                number: shared.connections.fetch_add(1, Ordering::Relaxed),
                peer: peer.port(),
                shared: shared.clone(),
                upstream: upstream.clone(),
            };
            tokio::spawn(one.run(stream, acceptor.clone()));
        }
    }
}

/// A client's connection.
#[derive(Debug, Clone)]
struct Connection {
    number: u64,
    peer: u16,
    shared: Arc<Shared>,
    upstream: Arc<Upstream>,
}

impl Connection {
    async fn run(self, stream: TcpStream, acceptor: TlsAcceptor) -> Option<Infallible> {
        stream.set_nodelay(true).ok()?;
        // A second handle, since a reset has to be asked for when the first is deep inside of TLS.
        let stream = stream.into_std().ok()?;
        let handle = stream.try_clone().ok()?;
        let stream = TcpStream::from_std(stream).ok()?;
        let stream = acceptor.accept(stream).await.ok()?;
        let service = service_fn(|request| {
            let this = self.clone();
            // A task of its own: a call that is on its way to AWS gets there, though the client be gone meanwhile.
            let work = tokio::spawn(async move { this.answer(request).await });
            async { work.await.unwrap_or(Err(Broken::Dropped)) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
            if matches!(cause, Some(Broken::Reset)) {
                let _ = rustix::net::sockopt::set_socket_linger(&handle, Some(Duration::ZERO));
            }
        }
        None
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Broken> {
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|_| Broken::Dropped)?
            .to_bytes();
        let recognised = call::recognise(&head, &body);
        let read = read_key(&recognised, &head, &body);
        let arrival = self
            .shared
            .arrive(&recognised, self.number, self.peer, read, begun);
        let answer = self.decide(&arrival, &recognised, &head, &body, read).await;
        self.shared.note(&arrival, |call, now| {
            call.end = Some(now);
            match &answer {
                Ok(answer) => {
                    call.status = Some(answer.status);
                    call.code = answer.code();
                }
                Err(broken @ Broken::Unanswered(_)) => call.injected.push(broken.to_string()),
                Err(_) => {}
            }
        });
        answer.map(|answer| respond(answer, &head.method))
    }

    /// From the call to its answer, through everything that may go wrong.
    async fn decide(
        &self,
        arrival: &Arrival,
        recognised: &Recognised,
        head: &Parts,
        body: &Bytes,
        read: Option<u64>,
    ) -> Result<Answer, Broken> {
        let request_id = format!("00000000-0000-4000-8000-{:012}", arrival.call.index);
        let to = To {
            operation: &recognised.operation,
            wire: recognised.wire,
            query_mode: head
                .headers
                .get("x-amzn-query-mode")
                .is_some_and(|value| value == "true"),
            request_id: &request_id,
        };
        let latency = self.shared.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if let Some(answer) = strike(&arrival.before, arrival, body, &to).await? {
            return Ok(answer);
        }
        let plays = &self.shared.plays;
        let mut answer = if let Some((name, answer)) = plays.before(recognised, body, &to).await {
            self.shared
                .note(arrival, |call, _| call.injected.push(name.to_owned()));
            answer
        } else {
            self.shared.note(arrival, |call, _| call.took_effect = true);
            let mut answer = self
                .upstream
                .forward(&self.shared.upstream, head, body)
                .await?;
            if let Some(name) = plays.after(recognised, body, &mut answer).await {
                self.shared
                    .note(arrival, |call, _| call.injected.push(name.to_owned()));
            }
            answer
        };
        self.shared.remember(read, &answer);
        if let Some(injected) = strike(&arrival.after, arrival, body, &to).await? {
            answer = injected;
        }
        for fault in &arrival.after {
            if let Fault::Rewritten(rewriting) = fault {
                answer.rewrite(|answer| rewriting(&String::from_utf8_lossy(body), answer));
            }
        }
        Ok(answer)
    }
}

/// What the faults of one side make of a call.
async fn strike(
    faults: &[Fault],
    arrival: &Arrival,
    body: &Bytes,
    to: &To<'_>,
) -> Result<Option<Answer>, Broken> {
    for fault in faults {
        if let Fault::Hook(hook) = fault {
            hook(&arrival.call, body);
        }
    }
    let strikes = |fault: &&Fault| !matches!(fault, Fault::Hook(_) | Fault::Rewritten(_));
    let Some(fault) = faults.iter().find(strikes) else {
        return Ok(None);
    };
    match fault {
        Fault::Status(status) => Ok(Some(to.failed(*status))),
        Fault::Throttle => Ok(Some(to.throttled())),
        Fault::Error {
            status,
            code,
            message,
        } => Ok(Some(to.error(*status, code, message))),
        Fault::Drop => Err(Broken::Dropped),
        Fault::Reset => Err(Broken::Reset),
        Fault::Hang => pending().await,
        Fault::Stale => Ok(arrival.stale.clone()),
        Fault::Hook(_) | Fault::Rewritten(_) => Ok(None),
    }
}

/// What makes two reads the same; nothing for what is no read.
fn read_key(recognised: &Recognised, head: &Parts, body: &Bytes) -> Option<u64> {
    let (_, operation) = recognised.operation.split_once(':')?;
    if !["Get", "List", "Describe", "Head"]
        .iter()
        .any(|verb| operation.starts_with(verb))
    {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    (&recognised.operation, head.uri.path_and_query(), body).hash(&mut hasher);
    Some(hasher.finish())
}

fn respond(answer: Answer, method: &Method) -> Response<Full<Bytes>> {
    // An answer to HEAD tells the length of what it leaves out.
    let length = answer.headers.get("content-length").cloned();
    let body = if *method == Method::HEAD {
        Bytes::new()
    } else {
        answer.body
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = hyper::StatusCode::from_u16(answer.status).unwrap_or_default();
    *response.headers_mut() = answer.headers;
    for name in HOP {
        response.headers_mut().remove(name);
    }
    if *method == Method::HEAD
        && let Some(length) = length
    {
        response.headers_mut().insert("content-length", length);
    }
    response
}

/// Connections to the emulator.
struct Upstream {
    connector: TlsConnector,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

impl Upstream {
    /// Passes a call on. A connection that the emulator has closed meanwhile is no reason to fail.
    async fn forward(&self, address: &str, head: &Parts, body: &Bytes) -> Result<Answer, Broken> {
        loop {
            let idle = lock(&self.idle).pop();
            let fresh = idle.is_none();
            let mut sender = match idle {
                Some(sender) => sender,
                None => self.connect(address).await.map_err(unanswered)?,
            };
            if let Err(error) = sender.ready().await {
                if fresh {
                    return Err(unanswered(error));
                }
                continue;
            }
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = head.method.clone();
            // Only path and query: the host is in a header, as it was signed.
            let target = head
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str());
            *request.uri_mut() = target.parse().map_err(unanswered)?;
            *request.headers_mut() = head.headers.clone();
            for name in &HOP[..3] {
                request.headers_mut().remove(*name);
            }
            let sent = tokio::time::timeout(PATIENCE, sender.try_send_request(request)).await;
            let response = match sent.map_err(unanswered)? {
                Ok(response) => response,
                Err(mut error) => {
                    // It was never sent: the connection was closed first.
                    if error.take_message().is_some() && !fresh {
                        continue;
                    }
                    return Err(unanswered(error.into_error()));
                }
            };
            let (head, incoming) = response.into_parts();
            let body = incoming.collect().await.map_err(unanswered)?.to_bytes();
            lock(&self.idle).push(sender);
            return Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            });
        }
    }

    async fn connect(&self, address: &str) -> Result<SendRequest<Full<Bytes>>, IoError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1").map_err(IoError::other)?;
        let stream = self.connector.connect(name, stream).await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(IoError::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn unanswered<E: std::error::Error>(error: E) -> Broken {
    let cause = error.source().map(|cause| format!(": {cause}"));
    Broken::Unanswered(format!("{error}{}", cause.unwrap_or_default()))
}
