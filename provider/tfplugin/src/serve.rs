//! Runs a provider as a plugin.

use std::io::Write;
use std::os::unix::process::parent_id;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::guard;
use crate::handshake::{self, HandshakeError, Place};
use crate::log;
use crate::plugin::Plugin;
use crate::provider::Provider;
use crate::service::{STOP_GRACE, Service};
use crate::tls::{self, ServerTls, TlsError};
use crate::wire::plugin::grpc_broker_server::GrpcBrokerServer;
use crate::wire::plugin::grpc_controller_server::GrpcControllerServer;
use crate::wire::plugin::grpc_stdio_server::GrpcStdioServer;
use crate::wire::tfplugin6::provider_server::ProviderServer;

/// The largest message in either direction; what Terraform takes at most.
const LARGEST_MESSAGE: usize = 256 << 20;

/// How much of a message may be on its way before the other side has taken it.
const WINDOW: u32 = 4 << 20;

/// How long a peer may take to prove who it is.
const TLS_PATIENCE: Duration = Duration::from_secs(10);

/// How often to see whether Terraform still lives.
const PARENT_INTERVAL: Duration = Duration::from_secs(2);

/// How long to wait before the next attempt when no connection can be accepted, for want of file
/// handles perhaps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait for connections to close after Terraform said that it is done. It kills after
/// two seconds.
const FAREWELL: Duration = Duration::from_millis(1_500);

/// Which provider this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the program, `terraform-provider-NAME`. The level of `TF_LOG_PROVIDER` goes for
    /// the crate of this name.
    pub name: &'static str,
    /// The address in the registry, `registry.terraform.io/NAMESPACE/NAME`.
    pub address: &'static str,
    /// The version.
    pub version: &'static str,
    /// One sentence on what it is for.
    pub about: &'static str,
}

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the provider crashed while describing itself: {0}")]
    Description(String),
    #[error("listening to signals: {0}")]
    Signals(std::io::Error),
    #[error("telling Terraform where to connect: {0}")]
    Announcement(std::io::Error),
    #[error("serving: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves a provider to Terraform until Terraform is done with it.
///
/// Run by hand, it says what this program is for; with `--version`, its version. It returns when
/// Terraform asks it to end, when Terraform itself is gone, or on SIGTERM. SIGINT is ignored: a
/// terminal sends it to Terraform as well, which then asks for an orderly end. Return what it
/// returns from `main`.
pub async fn serve(provider: impl Provider, identity: Identity) -> ExitCode {
    if !handshake::started_as_plugin() {
        return introduce(&identity);
    }
    guard::install_hook();
    log::start(identity.name);
    match run(provider, identity).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the provider cannot be served");
            // Terraform shows what it finds on stderr of a plugin that ends before the handshake.
            eprintln!("{}: {error}", identity.name);
            ExitCode::FAILURE
        }
    }
}

/// Talks to a person.
fn introduce(identity: &Identity) -> ExitCode {
    let Identity {
        name,
        address,
        version,
        about,
    } = identity;
    if std::env::args()
        .skip(1)
        .any(|argument| argument == "--version" || argument == "-V")
    {
        println!("{name} {version}");
        return ExitCode::SUCCESS;
    }
    let source = address
        .strip_prefix("registry.terraform.io/")
        .unwrap_or(address);
    let local = source.rsplit('/').next().unwrap_or(source);
    eprintln!(
        "{name} {version}\n{about}\n\n\
         This is a plugin: Terraform starts it, and it does nothing by itself. Name it in a configuration\n\n  \
         terraform {{\n    required_providers {{\n      {local} = {{\n        source = \"{source}\"\n      }}\n    }}\n  }}\n\n\
         and run `terraform init` and `terraform apply`."
    );
    ExitCode::FAILURE
}

async fn run(provider: impl Provider, identity: Identity) -> Result<(), ServeError> {
    handshake::negotiate()?;
    let ServerTls {
        config,
        certificate,
    } = tls::server_for(&handshake::client_certificate()?)?;
    let stop = CancellationToken::new();
    let service = guard::guarded_call(|| Service::new(Arc::new(provider), stop.clone()))
        .map_err(|guard::Panic(text)| ServeError::Description(text))?;

    let ended = CancellationToken::new();
    watch_signals(&ended).map_err(ServeError::Signals)?;
    watch_parent(ended.clone());

    let (listener, place) = Place::open()?;
    let connections = connections(listener, TlsAcceptor::from(config));
    let plugin = Plugin {
        ended: ended.clone(),
    };
    let applies = service.applies();
    let server = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .add_service(
            ProviderServer::new(service)
                .max_decoding_message_size(LARGEST_MESSAGE)
                .max_encoding_message_size(LARGEST_MESSAGE),
        )
        .add_service(GrpcControllerServer::new(plugin.clone()))
        .add_service(GrpcStdioServer::new(plugin.clone()))
        .add_service(GrpcBrokerServer::new(plugin))
        .serve_with_incoming_shutdown(connections, ended.clone().cancelled_owned());
    tokio::pin!(server);

    announce(&place.announcement(&certificate)).map_err(ServeError::Announcement)?;
    tracing::debug!(
        version = identity.version,
        pid = std::process::id(),
        "serving"
    );
    tokio::select! {
        biased;
        () = ended.cancelled() => {}
        result = &mut server => return Ok(result?),
    }

    // What still runs gets the time to come to a state that it can leave behind.
    stop.cancel();
    applies.close();
    let _ = timeout(STOP_GRACE + FAREWELL, applies.wait()).await;
    match timeout(FAREWELL, server).await {
        Ok(result) => Ok(result?),
        Err(_) => Ok(()),
    }
}

/// The only thing that this process ever prints.
fn announce(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Ends on the signals that ask for an end, and swallows the one that is meant for Terraform.
fn watch_signals(ended: &CancellationToken) -> std::io::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut hangups = signal(SignalKind::hangup())?;
    let ended = ended.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupts.recv() => tracing::debug!("an interrupt is left to Terraform"),
                _ = terminations.recv() => ended.cancel(),
                _ = hangups.recv() => ended.cancel(),
                () = ended.cancelled() => break,
            }
        }
        // The handlers stay in place until the process is gone.
        std::future::pending::<()>().await;
    });
    Ok(())
}

/// Ends when the process that started this one is gone: a killed Terraform cannot ask for an end.
fn watch_parent(ended: CancellationToken) {
    let parent = parent_id();
    tokio::spawn(async move {
        while parent_id() == parent {
            tokio::time::sleep(PARENT_INTERVAL).await;
        }
        tracing::warn!("Terraform is gone");
        ended.cancel();
    });
}

/// Those who connect and prove that they are Terraform. Each may take its time without keeping
/// others waiting.
fn connections(
    listener: UnixListener,
    acceptor: TlsAcceptor,
) -> impl Stream<Item = std::io::Result<TlsStream<UnixStream>>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                match timeout(TLS_PATIENCE, acceptor.accept(stream)).await {
                    // Nobody receives only when the end has come.
                    Ok(Ok(stream)) => drop(sender.send(Ok(stream)).await),
                    Ok(Err(error)) => tracing::warn!(%error, "a connection was refused"),
                    Err(_) => tracing::warn!(
                        "a connection was refused: it did not prove who it is in time"
                    ),
                }
            });
        }
    });
    stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|stream| (stream, receiver))
    })
}
