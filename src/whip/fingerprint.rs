//! `a=fingerprint` (RFC 8122 5): the hash of the certificate that the DTLS handshake
//! must show.

use std::fmt;
use std::str::FromStr;

use ring::digest;

/// A certificate's hash in SDP form, such as `sha-256 AB:CD:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    algorithm: Algorithm,
    digest: Vec<u8>,
}

impl Fingerprint {
    /// The SHA-256 fingerprint of a DER certificate.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self {
            algorithm: Algorithm::Sha256,
            digest: digest::digest(&digest::SHA256, der).as_ref().to_vec(),
        }
    }

    /// Whether this is the fingerprint of this DER certificate.
    pub fn matches(&self, der: &[u8]) -> bool {
        digest::digest(self.algorithm.ring(), der).as_ref() == self.digest
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let (name, bytes) = text
            .trim()
            .split_once(' ')
            .ok_or(FingerprintError::Syntax)?;
        let algorithm = Algorithm::named(name).ok_or(FingerprintError::Algorithm)?;
        let digest: Vec<u8> = bytes
            .trim()
            .split(':')
            .map(|pair| u8::from_str_radix(pair, 16))
            .collect::<Result<_, _>>()
            .map_err(|_| FingerprintError::Syntax)?;
        if digest.len() != algorithm.ring().output_len() {
            return Err(FingerprintError::Syntax);
        }
        Ok(Self { algorithm, digest })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.name())?;
        for (position, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if position == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// Why an `a=fingerprint` value can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerprintError {
    /// The value is not `algorithm AB:CD:…` with the length that the algorithm has.
    Syntax,
    /// The hash is not SHA-256, SHA-384 or SHA-512. RFC 8122 5 also lists weaker ones,
    /// which must not be trusted.
    Algorithm,
}

impl fmt::Display for FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "expected a fingerprint as 'sha-256 AB:CD:…'",
            Self::Algorithm => "expected a fingerprint by sha-256, sha-384 or sha-512",
        })
    }
}

impl std::error::Error for FingerprintError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn ring(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_again_it_matches_its_certificate_only() {
        let written = Fingerprint::of_certificate(b"a certificate").to_string();
        let read: Fingerprint = written.to_lowercase().parse().unwrap();
        assert!(read.matches(b"a certificate"));
        assert!(!read.matches(b"another certificate"));
    }

    #[test]
    fn known_value() {
        // SHA-256 of "abc", from FIPS 180-2 appendix B.1.
        let text = Fingerprint::of_certificate(b"abc").to_string();
        assert!(
            text.starts_with("sha-256 BA:78:16:BF:8F:01:CF:EA:"),
            "{text}"
        );
    }

    #[test]
    fn form() {
        for bad in ["", "sha-256", "sha-256 AB:CD", "sha-256 GG:00"] {
            assert_eq!(
                bad.parse::<Fingerprint>(),
                Err(FingerprintError::Syntax),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn algorithm() {
        assert_eq!(
            "sha-1 AB:CD".parse::<Fingerprint>(),
            Err(FingerprintError::Algorithm)
        );
    }
}
