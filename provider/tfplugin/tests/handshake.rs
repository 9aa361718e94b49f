//! What the example provider says to those who start it, and to those who are not the one who did.

mod note;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use tempfile::TempDir;

const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

fn provider() -> Command {
    let mut command = Command::new(note::program());
    command
        .env_remove("PLUGIN_CLIENT_CERT")
        .env_remove("PLUGIN_PROTOCOL_VERSIONS")
        .env_remove("TF_PLUGIN_MAGIC_COOKIE");
    command
}

/// A key and the certificate that goes with it.
struct Holder {
    certificate: CertificateDer<'static>,
    pem: String,
    key: Vec<u8>,
}

impl Holder {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let encoded = base64::engine::general_purpose::STANDARD.encode(certificate.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
        Self {
            certificate: certificate.der().clone(),
            pem,
            key: key.serialize_der(),
        }
    }

    /// Not checked for whether the two go together, since a thief does not check either.
    fn identity(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let key = ring::default_provider()
            .key_provider
            .load_private_key(key)
            .unwrap();
        Arc::new(CertifiedKey::new(vec![self.certificate.clone()], key))
    }
}

/// Shows a certificate to whoever asks for one.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A running provider and what it said.
struct Running {
    child: Child,
    socket: PathBuf,
    certificate: Vec<u8>,
    _directory: TempDir,
}

impl Running {
    fn for_holder(holder: &Holder) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = provider()
            .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
            .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
            .env("PLUGIN_CLIENT_CERT", &holder.pem)
            .env("PLUGIN_UNIX_SOCKET_DIR", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let parts: Vec<_> = line.trim_end().split('|').collect();
        assert_eq!((&parts[..3], parts[4]), (&["1", "6", "unix"][..], "grpc"));
        Self {
            socket: PathBuf::from(parts[3]),
            certificate: base64::engine::general_purpose::STANDARD_NO_PAD
                .decode(parts[5])
                .unwrap(),
            child,
            _directory: directory,
        }
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// Opens a TLS connection, says hello in HTTP/2, and returns the first bytes of the answer.
    fn hello(&self, holder: Option<&Holder>) -> std::io::Result<[u8; 9]> {
        let verifier = Arc::new(Announced(self.certificate.clone()));
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match holder {
            None => builder.with_no_client_auth(),
            Some(holder) => builder.with_client_cert_resolver(Arc::new(Always(holder.identity()))),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, self.connect());
        // The preface and an empty SETTINGS frame.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
        let mut answer = [0; 9];
        stream.read_exact(&mut answer)?;
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
        Ok(answer)
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes the certificate that the handshake line announced.
#[derive(Debug)]
struct Announced(Vec<u8>);

impl ServerCertVerifier for Announced {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        assert_eq!(end_entity.as_ref(), self.0);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{what} did not come"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn only_the_holder_of_the_key_is_served() {
    let terraform = Holder::new();
    let running = Running::for_holder(&terraform);

    let answer = running.hello(Some(&terraform)).unwrap();
    assert_eq!(answer[3], 4, "the answer is a SETTINGS frame: {answer:?}");

    let stranger = Holder::new();
    running.hello(Some(&stranger)).unwrap_err();
    running.hello(None).unwrap_err();

    // The right certificate does not help without its key.
    let thief = Holder {
        key: stranger.key,
        certificate: terraform.certificate.clone(),
        pem: String::new(),
    };
    running.hello(Some(&thief)).unwrap_err();

    // No TLS at all.
    let mut plain = running.connect();
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    // Whatever comes is a TLS alert, not a frame.
    assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");

    // Someone who connects and says nothing does not keep Terraform waiting.
    let _silent = running.connect();
    running.hello(Some(&terraform)).unwrap();
}

#[test]
fn the_socket_is_for_this_user_alone() {
    let running = Running::for_holder(&Holder::new());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&running.socket), 0o600);
    assert_eq!(mode(running.socket.parent().unwrap()), 0o700);
}

#[test]
fn an_interrupt_is_left_to_terraform_and_a_termination_ends_it() {
    let mut running = Running::for_holder(&Holder::new());
    running.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.child.try_wait().unwrap().is_none());
    running.signal("TERM");
    let mut status = None;
    wait_for("the end", || {
        status = running.child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success());
    assert!(!running.socket.parent().unwrap().exists());
}

#[test]
fn a_person_is_told_what_this_is() {
    let output = provider().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("Keeps notes in text files."), "{text}");
    assert!(text.contains(r#"source = "example/note""#), "{text}");

    let output = provider().arg("--version").output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("terraform-provider-note {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn what_stands_against_a_start_is_said_in_a_sentence() {
    let start = |variables: &[(&str, &str)]| {
        let output = provider()
            .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(start(&[]).contains("PLUGIN_CLIENT_CERT"));
    assert!(start(&[("PLUGIN_CLIENT_CERT", "nonsense")]).contains("holds no certificate"));
    assert!(start(&[("PLUGIN_PROTOCOL_VERSIONS", "4,5")]).contains("asks for 4,5"));
}
