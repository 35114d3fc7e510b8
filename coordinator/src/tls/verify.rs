//! Whom to believe: what Java's PKIX trust manager accepts, and nothing beyond it.
//!
//! rustls-webpki judges chains. It refuses three things that people have and Java takes: an X.509 v1
//! certificate signed by an anchor (what `openssl x509 -req` makes without extensions), a peer's own
//! certificate that stands in the trust store, and one of a CA used as a peer's. It takes one thing
//! that Java refuses: a certificate without CA:TRUE as an issuer, because it stands in the trust store.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::certificate::Certificate;
use super::hostname::covers;

/// `id-kp-serverAuth` and `id-kp-clientAuth`
const SERVER: u8 = 1;
const CLIENT: u8 = 2;

/// Whether a server's name must stand in its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Checked,
    Ignored,
}

/// Judges the certificates of peers by a trust store.
#[derive(Debug)]
pub struct Verifier {
    /// Everything in the trust store.
    anchors: Vec<CertificateDer<'static>>,
    /// Those that may sign others' certificates.
    issuers: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    hints: Vec<DistinguishedName>,
    mandatory: bool,
    names: Names,
}

impl Verifier {
    /// `mandatory`: clients must show a certificate. Certificates that cannot be read are left out.
    pub fn new(
        anchors: Vec<CertificateDer<'static>>,
        crypto: &Arc<CryptoProvider>,
        mandatory: bool,
        names: Names,
    ) -> Verifier {
        let mut issuers = RootCertStore::empty();
        let mut hints = Vec::new();
        for anchor in &anchors {
            let Some(parsed) = Certificate::parse(anchor) else { continue };
            hints.push(DistinguishedName::from(parsed.subject.to_vec()));
            if parsed.may_issue() {
                issuers.add_parsable_certificates([anchor.clone()]);
            }
        }
        let issuers = Arc::new(issuers);
        // Without issuers there is nothing for it to accept.
        let clients = (!issuers.is_empty()).then(|| {
            let builder =
                WebPkiClientVerifier::builder_with_provider(issuers.clone(), crypto.clone());
            builder.build().expect("there are anchors, and no revocation lists")
        });
        let algorithms = crypto.signature_verification_algorithms;
        Verifier { anchors, issuers, algorithms, clients, hints, mandatory, names }
    }

    fn accept(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: u8,
    ) -> Result<(), Error> {
        let parsed = Certificate::parse(leaf).ok_or_else(|| bad(CertificateError::BadEncoding))?;
        if now.as_secs() < parsed.not_before {
            return Err(bad(CertificateError::NotValidYet));
        }
        if !parsed.valid_at(now.as_secs()) {
            return Err(bad(CertificateError::Expired));
        }
        if !parsed.may_sign() || !parsed.may_be_used_for(purpose) || !parsed.understood() {
            return Err(bad(CertificateError::InvalidPurpose));
        }
        if self.anchors.iter().any(|anchor| anchor.as_ref() == leaf.as_ref()) {
            return Ok(());
        }
        let refused = match self.chain(leaf, between, now, purpose) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        // Only what webpki does not judge at all is judged here.
        let authority = refused_for_being_authority(&refused);
        if parsed.version >= 3 && !authority {
            return Err(refused);
        }
        let signed_by_issuer = self.anchors.iter().any(|anchor| {
            Certificate::parse(anchor).is_some_and(|issuer| {
                issuer.may_issue()
                    && issuer.subject == parsed.issuer
                    && self.algorithms.all.iter().any(|algorithm| {
                        algorithm.signature_alg_id().as_ref() == parsed.algorithm
                            && signed_by(*algorithm, &issuer, parsed.signed, parsed.signature)
                    })
            })
        });
        if signed_by_issuer { Ok(()) } else { Err(bad(CertificateError::UnknownIssuer)) }
    }

    fn chain(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: u8,
    ) -> Result<(), Error> {
        if purpose == SERVER {
            let leaf = ParsedCertificate::try_from(leaf)?;
            let all = self.algorithms.all;
            return verify_server_cert_signed_by_trust_anchor(
                &leaf,
                &self.issuers,
                between,
                now,
                all,
            );
        }
        let clients = self.clients.as_ref();
        let clients = clients.ok_or_else(|| bad(CertificateError::UnknownIssuer))?;
        clients.verify_client_cert(leaf, between, now).map(|_| ())
    }

    /// rustls's own check reads the certificate by webpki, which reads no v1.
    fn signature(
        &self,
        message: &[u8],
        leaf: &Certificate<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let candidates: &[&dyn SignatureVerificationAlgorithm] = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signed.scheme)
            .map_or(&[], |(_, candidates)| *candidates);
        let right = candidates.iter().any(|one| signed_by(*one, leaf, message, signed.signature()));
        if right {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad(CertificateError::BadSignature))
        }
    }

    /// A v1 certificate is judged here, any other by rustls's check for this version of TLS.
    fn handshake_signature(
        &self,
        check: Check,
        refused: &[SignatureScheme],
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let parsed = Certificate::parse(leaf).ok_or_else(|| bad(CertificateError::BadEncoding))?;
        if parsed.version >= 3 {
            return check(message, leaf, signed, &self.algorithms);
        }
        if refused.contains(&signed.scheme) {
            return Err(bad(CertificateError::BadSignature));
        }
        self.signature(message, &parsed, signed)
    }
}

/// rustls's own check of a signature, for one version of TLS.
type Check = fn(
    &[u8],
    &CertificateDer<'_>,
    &DigitallySignedStruct,
    &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error>;

/// TLS 1.3 knows no PKCS#1 signatures of handshakes (RFC 8446, section 4.2.3).
const NOT_IN_13: [SignatureScheme; 4] = [
    SignatureScheme::RSA_PKCS1_SHA1,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// What rustls's traits of both sides ask for in the same words: that a peer has the key it shows.
macro_rules! proofs_of_keys {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            leaf: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.handshake_signature(verify_tls12_signature, &[], message, leaf, signed)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            leaf: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.handshake_signature(verify_tls13_signature, &NOT_IN_13, message, leaf, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

fn bad(error: CertificateError) -> Error {
    Error::InvalidCertificate(error)
}

/// webpki's `CaUsedAsEndEntity` comes wrapped, and only as text.
fn refused_for_being_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(other))
        if format!("{other:?}").contains("CaUsedAsEndEntity"))
}

fn signed_by(
    algorithm: &dyn SignatureVerificationAlgorithm,
    signer: &Certificate<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    algorithm.public_key_alg_id().as_ref() == signer.key_algorithm
        && algorithm.verify_signature(signer.key, message, signature).is_ok()
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.accept(leaf, between, now, CLIENT).map(|()| ClientCertVerified::assertion())
    }

    proofs_of_keys!();
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.accept(leaf, between, now, SERVER)?;
        if self.names == Names::Checked && !covers(leaf, &name.to_str()) {
            return Err(bad(CertificateError::NotValidForName));
        }
        Ok(ServerCertVerified::assertion())
    }

    proofs_of_keys!();
}
