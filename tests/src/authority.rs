//! A certificate authority for one run, and the emulator's certificate from it.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// PEM files of one run.
pub(crate) struct Authority {
    /// The authority's certificate: what clients trust.
    pub(crate) certificate: String,
    /// The server's certificate.
    pub(crate) server_certificate: String,
    /// The server's private key.
    pub(crate) server_key: String,
}

/// A host that is found by nobody who asks for its address.
pub const ELSEWHERE: &str = "aws.elsewhere.test";

impl Authority {
    /// Makes an authority and a server certificate for `localhost`, 127.0.0.1, and a name that nobody but a test's proxy knows.
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Bellflower tests: authority of one run");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);

        let mut params =
            CertificateParams::new(["localhost", "127.0.0.1", ELSEWHERE].map(str::to_owned))?;
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        Ok(Self {
            certificate,
            server_certificate: params.signed_by(&server_key, &issuer)?.pem(),
            server_key: server_key.serialize_pem(),
        })
    }
}
