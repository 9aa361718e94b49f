//! Mutual TLS with exactly one peer: the Terraform process that started this one.
//!
//! Terraform makes a key for each run and hands its certificate over in the environment. That
//! certificate signs itself, says that it is an authority, and is on the curve P-521, so no
//! ordinary verifier takes it. Here its bytes are compared, and the signature that proves
//! possession of the key is checked with the pure Rust implementation of that curve.

use std::sync::Arc;

use p521::ecdsa::signature::Verifier;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, PrivateKeyDer, PrivatePkcs8KeyDer,
    SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    ServerConfig, SignatureScheme,
};

/// Why there can be no private connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("PLUGIN_CLIENT_CERT holds no certificate: {0}")]
    ClientCertificate(rustls::pki_types::pem::Error),
    #[error("making the certificate of this process: {0}")]
    OwnCertificate(#[from] rcgen::Error),
    #[error("setting up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// A TLS server for one client, and the certificate that this client has to be told.
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) certificate: CertificateDer<'static>,
}

/// Makes a fresh key, and a server that talks to nobody but the holder of the given certificate.
pub(crate) fn server_for(client_certificate_pem: &str) -> Result<ServerTls, TlsError> {
    let client = CertificateDer::from_pem_slice(client_certificate_pem.as_bytes())
        .map_err(TlsError::ClientCertificate)?;

    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(["localhost".to_owned()])?;
    // Terraform takes this certificate as its only authority, so it must be one.
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
    ];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = parameters.self_signed(&key)?.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));

    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(OnlyThis {
        client,
        others: provider.signature_verification_algorithms,
    });
    let mut config = server_config(provider)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // There is one connection; nothing is ever resumed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(ServerTls {
        config: Arc::new(config),
        certificate,
    })
}

fn server_config(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, Error> {
    ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])
}

/// Takes one certificate and no other.
#[derive(Debug)]
struct OnlyThis {
    client: CertificateDer<'static>,
    others: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for OnlyThis {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if *end_entity == self.client {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = match signature.scheme {
            SignatureScheme::ECDSA_NISTP521_SHA512 => &P521_ONLY,
            _ => &self.others,
        };
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = P521_ONLY.supported_schemes();
        schemes.extend(self.others.supported_schemes());
        schemes
    }
}

const P521_ONLY: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&P521],
    mapping: &[(SignatureScheme::ECDSA_NISTP521_SHA512, &[&P521])],
};

/// ECDSA on the curve P-521 with SHA-512, which ring does not know.
#[derive(Debug)]
struct P521;

impl SignatureVerificationAlgorithm for P521 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key =
            p521::ecdsa::VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature =
            p521::ecdsa::DerSignature::from_bytes(signature).map_err(|_| InvalidSignature)?;
        let signature = signature.try_into().map_err(|_| InvalidSignature)?;
        key.verify(message, &signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA512
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A signature by a P-521 key over "terraform", made with OpenSSL.
    const KEY: &str = "\
        040195490404101d243ada507fcb2c7c3b8952535496269a79725db67c9fc5d58c14f13d29b16609cacc\
        70260ab74cdf3d01ceae2d78c31928e12235f29e8d99ea2bde018c270e5fa82584167b4a6402844daeb4\
        4f627bb6a3f7dbcb9096b85b11fa0c014fbfc46a6469fed0c23b54d2a541f92af124c62ea1571b40225d\
        663755c267d571";
    const SIGNATURE: &str = "\
        3081860241218600c9d398c3f3d4130c1e0a7f01edfd9db31d5b368a0722c241a002372edae7004a32d2\
        7c2dc3be104044350f9b5992c6d4613b82d2cfcebfbd382f38e0c72d024119f271943d52282285b40219\
        65d8fd3d0e20c0f4c9145ba2d07687398798fac8000ec4045e22b4f7ca6c26ce774b881fbf43b88cd1e2\
        86082582ad9b0446a625a1";

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits = hexadecimal.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn signatures_of_the_curve_are_checked() {
        let (key, signature) = (bytes(KEY), bytes(SIGNATURE));
        assert!(
            P521.verify_signature(&key, b"terraform", &signature)
                .is_ok()
        );
        assert!(
            P521.verify_signature(&key, b"Terraform", &signature)
                .is_err()
        );
        let mut other = signature.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(P521.verify_signature(&key, b"terraform", &other).is_err());
        assert!(P521.verify_signature(&key, b"terraform", &[]).is_err());
        assert!(
            P521.verify_signature(&[], b"terraform", &signature)
                .is_err()
        );
        assert!(
            P521.verify_signature(&key[..66], b"terraform", &signature)
                .is_err()
        );
    }

    #[test]
    fn only_the_pinned_certificate_is_taken() {
        let make = || {
            let key = KeyPair::generate().unwrap();
            CertificateParams::new(["localhost".to_owned()])
                .unwrap()
                .self_signed(&key)
                .unwrap()
                .der()
                .clone()
        };
        let (ours, other) = (make(), make());
        let others = ring::default_provider().signature_verification_algorithms;
        let verifier = OnlyThis {
            client: ours.clone(),
            others,
        };
        assert!(
            verifier
                .verify_client_cert(&ours, &[], UnixTime::now())
                .is_ok()
        );
        assert!(
            verifier
                .verify_client_cert(&other, &[], UnixTime::now())
                .is_err()
        );
        assert!(
            verifier
                .verify_client_cert(&other, &[ours], UnixTime::now())
                .is_err()
        );
        assert!(verifier.client_auth_mandatory());
        assert!(
            verifier
                .supported_verify_schemes()
                .contains(&SignatureScheme::ECDSA_NISTP521_SHA512)
        );
    }
}
