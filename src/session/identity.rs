//! The certificate that we show in the DTLS handshake.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::whip::Fingerprint;

/// A fresh self-signed ECDSA P-256 certificate with its key.
///
/// Before GStreamer 1.28 webrtcbin makes an RSA one, which takes 125 to 450 ms
/// of the first connect and is refused by peers that take only ECDSA. This one
/// takes well under a millisecond, so each session has its own.
pub struct Identity {
    pem: String,
    fingerprint: Fingerprint,
}

impl Identity {
    /// Makes a certificate.
    ///
    /// # Errors
    /// [`IdentityError`] when the system gives no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        let error = |error: rcgen::Error| IdentityError(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(error)?;
        let mut parameters = CertificateParams::default();
        // Nothing about the machine or the program: the peer sees it in clear.
        parameters.distinguished_name = DistinguishedName::new();
        let certificate = parameters.self_signed(&key).map_err(error)?;
        Ok(Self {
            fingerprint: Fingerprint::of_certificate(certificate.der()),
            pem: pem_block("PRIVATE KEY", key.serialized_der())
                + &pem_block("CERTIFICATE", certificate.der()),
        })
    }

    /// The private key (PKCS#8) and the certificate. A secret.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What the offer's `a=fingerprint` has to say.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint)
    }
}

/// No certificate could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityError(String);

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no DTLS certificate could be made: {}", self.0)
    }
}

impl std::error::Error for IdentityError {}

/// RFC 7468 2: base64 in lines of 64 characters between two labels.
fn pem_block(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;

    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut block = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        block.push_str(line);
        block.push('\n');
        rest = after;
    }
    block + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    #[test]
    fn pem_holds_a_key_and_the_certificate_of_the_fingerprint() {
        let identity = Identity::generate().unwrap();
        let certificate = CertificateDer::from_pem_slice(identity.pem().as_bytes()).unwrap();
        assert!(identity.fingerprint().matches(&certificate));
        assert!(PrivateKeyDer::from_pem_slice(identity.pem().as_bytes()).is_ok());
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }

    #[test]
    fn every_session_has_its_own() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}
