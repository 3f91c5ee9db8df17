//! Verifies the server in a TLS handshake and records it. rustls reports why a certificate was
//! rejected, but not which; and the cause of an alert depends on whether the server requested a
//! client certificate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;

use super::certificate::Certificate;

/// Enough for an HTTP head and the title of an error page.
const MAX_RECORDED_BYTES: usize = 1_024;

/// The verifier of one handshake, which also provides the client certificate.
#[derive(Debug)]
pub(crate) struct RecordingVerifier {
    provider: Arc<CryptoProvider>,
    /// `None`: any server is trusted (`--insecure`).
    roots: Option<Arc<RootCertStore>>,
    identity: Option<Arc<CertifiedKey>>,
    /// The certificates of the server, its own first.
    chain: OnceLock<Vec<CertificateDer<'static>>>,
    /// Whether the certificate is valid; the proof that the server has its key follows.
    certificate_accepted: AtomicBool,
    certificate_requested: AtomicBool,
    /// The first bytes that the server sent.
    received: Mutex<Vec<u8>>,
}

impl RecordingVerifier {
    pub(crate) fn new(
        provider: Arc<CryptoProvider>,
        roots: Option<Arc<RootCertStore>>,
        identity: Option<Arc<CertifiedKey>>,
    ) -> RecordingVerifier {
        let (chain, received) = (OnceLock::new(), Mutex::default());
        RecordingVerifier {
            provider,
            roots,
            identity,
            chain,
            certificate_accepted: AtomicBool::new(false),
            certificate_requested: AtomicBool::new(false),
            received,
        }
    }

    pub(super) fn record(&self, bytes: &[u8]) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_RECORDED_BYTES - received.len();
        received.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Returns the first bytes that the server sent: rustls only reports that they are not TLS.
    pub(super) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the server's certificate, if one arrived.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        self.chain.get().and_then(|chain| Certificate::parse(chain.first()?))
    }

    /// Returns all certificates that arrived, the server's own first.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        self.chain.get().map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn has_accepted_certificate(&self) -> bool {
        self.certificate_accepted.load(Ordering::Relaxed)
    }

    /// Returns whether there is no CA to trust.
    pub(super) fn trusts_nothing(&self) -> bool {
        self.roots.as_ref().is_some_and(|roots| roots.is_empty())
    }

    /// Returns the length of the RSA key of a trusted CA with this name.
    pub(super) fn trusted_rsa_bits(&self, name: &X509Name<'_>) -> Option<usize> {
        // A trust anchor has the contents of both sequences, without their headers.
        let with_header = |contents: &[u8]| DistinguishedName::in_sequence(contents);
        let has_name =
            |anchor: &&TrustAnchor<'_>| with_header(&anchor.subject).as_ref() == name.as_raw();
        let anchor = self.roots.as_ref()?.roots.iter().find(has_name)?;
        let key = with_header(&anchor.subject_public_key_info);
        let (_, key) = SubjectPublicKeyInfo::from_der(key.as_ref()).ok()?;
        rsa_bits(&key)
    }

    /// Returns whether the key of `issuer` signed `certificate`.
    pub(super) fn is_signed_by(
        &self,
        certificate: &X509Certificate<'_>,
        issuer: &X509Certificate<'_>,
    ) -> bool {
        let key = &issuer.public_key().subject_public_key.data;
        let message = certificate.tbs_certificate.as_ref();
        let signature = &certificate.signature_value.data;
        let algorithms = self.provider.signature_verification_algorithms.all;
        algorithms.iter().any(|it| it.verify_signature(key, message, signature).is_ok())
    }

    pub(crate) fn is_certificate_requested(&self) -> bool {
        self.certificate_requested.load(Ordering::Relaxed)
    }

    /// Returns whether the server requested a client certificate and there is none.
    pub(crate) fn lacks_identity(&self) -> bool {
        self.is_certificate_requested() && !self.has_identity()
    }

    pub(crate) fn has_identity(&self) -> bool {
        self.identity.is_some()
    }
}

/// Returns the length of an RSA key.
pub(super) fn rsa_bits(key: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    match key.parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        _ => None,
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.chain.get_or_init(|| {
            let chain = std::iter::once(end_entity).chain(intermediates);
            chain.map(|der| der.clone().into_owned()).collect()
        });
        let Some(roots) = &self.roots else {
            self.certificate_accepted.store(true, Ordering::Relaxed);
            return Ok(ServerCertVerified::assertion());
        };
        // Without a root, no issuer is known.
        let provider = Arc::clone(&self.provider);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider).build();
        let verifier = verifier
            .map_err(|_no_roots| Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let accepted =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        self.certificate_accepted.store(accepted.is_ok(), Ordering::Relaxed);
        accepted
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for RecordingVerifier {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.certificate_requested.store(true, Ordering::Relaxed);
        self.identity.clone()
    }

    /// Always true, because rustls otherwise does not call `resolve`.
    fn has_certs(&self) -> bool {
        true
    }
}
