//! The certificate for the DTLS handshake.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};

/// A new self-signed ECDSA P-256 certificate with its key.
///
/// Before GStreamer 1.28 webrtcbin makes an RSA certificate. That takes 125 to 450 ms
/// of the first connect, and peers that accept only ECDSA refuse it. This one takes
/// well under a millisecond, so each session has its own.
pub struct DtlsCertificate {
    pem: String,
    der: Vec<u8>,
}

impl DtlsCertificate {
    /// Makes a key and its certificate.
    ///
    /// # Errors
    /// [`CertificateError`] if the system gives no randomness.
    pub fn generate() -> Result<Self, CertificateError> {
        let error = |error: rcgen::Error| CertificateError(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(error)?;
        let mut parameters = CertificateParams::default();
        // Names neither machine nor program: the peer sees the certificate in clear.
        parameters.distinguished_name = DistinguishedName::new();
        let certificate = parameters.self_signed(&key).map_err(error)?;
        Ok(Self {
            der: certificate.der().to_vec(),
            pem: key.serialize_pem() + &certificate.pem(),
        })
    }

    /// The private key (PKCS#8) and the certificate, in PEM. A secret.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate in DER. The offer announces its fingerprint.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl fmt::Debug for DtlsCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DtlsCertificate")
    }
}

/// No certificate could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateError(String);

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no DTLS certificate could be made: {}", self.0)
    }
}

impl std::error::Error for CertificateError {}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    #[test]
    fn pem_holds_the_key_and_the_certificate() {
        let made = DtlsCertificate::generate().unwrap();
        let read = CertificateDer::from_pem_slice(made.pem().as_bytes()).unwrap();
        assert_eq!(&*read, made.der());
        assert!(PrivateKeyDer::from_pem_slice(made.pem().as_bytes()).is_ok());
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }

    #[test]
    fn every_session_has_its_own() {
        let certificates = [(); 2].map(|()| DtlsCertificate::generate().unwrap());
        assert_ne!(certificates[0].der(), certificates[1].der());
    }
}
