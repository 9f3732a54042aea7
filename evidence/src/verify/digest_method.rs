//! The digest methods that are accepted, by their URIs (RFC 9231 section 2.1, XML Encryption 1.1 section 5.7).

use kogge_proto::digest::{Sha256Hasher, Sha384Hasher, Sha512Hasher, sha256, sha384, sha512};

/// A digest method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DigestMethod {
    Sha256,
    Sha384,
    Sha512,
}

impl DigestMethod {
    /// `None` if it is not accepted.
    pub(super) fn from_uri(uri: &str) -> Option<Self> {
        match uri {
            "http://www.w3.org/2001/04/xmlenc#sha256" => Some(Self::Sha256),
            "http://www.w3.org/2001/04/xmldsig-more#sha384" => Some(Self::Sha384),
            "http://www.w3.org/2001/04/xmlenc#sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The digest of `bytes`.
    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => sha256(bytes).as_bytes().to_vec(),
            Self::Sha384 => sha384(bytes).as_bytes().to_vec(),
            Self::Sha512 => sha512(bytes).as_bytes().to_vec(),
        }
    }
}

/// The digests of something that is read once, before it is known which of them was signed.
#[derive(Clone)]
pub(super) struct Digests {
    sha256: Vec<u8>,
    sha384: Vec<u8>,
    sha512: Vec<u8>,
}

/// Makes [`Digests`] of pieces.
pub(super) struct DigestsHasher(Sha256Hasher, Sha384Hasher, Sha512Hasher);

impl Digests {
    /// The one by this method.
    pub(super) fn by(&self, method: DigestMethod) -> &[u8] {
        match method {
            DigestMethod::Sha256 => &self.sha256,
            DigestMethod::Sha384 => &self.sha384,
            DigestMethod::Sha512 => &self.sha512,
        }
    }
}

impl DigestsHasher {
    /// Of no bytes yet.
    pub(super) fn new() -> Self {
        Self(Sha256Hasher::new(), Sha384Hasher::new(), Sha512Hasher::new())
    }

    /// Adds the next piece.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
        self.1.update(piece);
        self.2.update(piece);
    }

    /// The digests of all pieces.
    pub(super) fn finish(self) -> Digests {
        Digests {
            sha256: self.0.finish().as_bytes().to_vec(),
            sha384: self.1.finish().as_bytes().to_vec(),
            sha512: self.2.finish().as_bytes().to_vec(),
        }
    }
}
