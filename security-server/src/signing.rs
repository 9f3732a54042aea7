//! Evidence for messages: a member's seal, and what carries its impression.

use std::sync::Arc;

use kogge_certs::key::{KeyKind, SignError};
use kogge_evidence::signature::{self, Credential, Parts};
use kogge_proto::id::MemberId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

use crate::exchange::sealed::Sealed;
use crate::trust::{OwnKeys, Unusable};

/// Signs messages with the members' keys in this server's token.
pub struct Signing {
    keys: Arc<OwnKeys>,
}

/// A stage that may be signed: a message whose content is settled.
pub trait Signable: Sealed {
    /// The member in whose name it is signed.
    fn signer(&self) -> &MemberId;
    /// Digests of its parts.
    fn parts(&self) -> Parts;
}

/// A member's certificate and key, known to be good a moment ago.
pub struct Seal {
    member: MemberId,
    credential: Credential,
}

/// A message with its signature. Only [`Seal::sign`] makes one.
#[derive(Debug)]
pub struct Signed<T> {
    message: T,
    signature: wire::Signature,
    material: wire::Material,
}

/// Why a message is not signed. The fault is this server's.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The member has no usable certificate here.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The token does not sign.
    #[error(transparent)]
    Token(#[from] SignError),
    /// The message is another member's.
    #[error("a message of {message} is not signed with the key of {seal}")]
    OtherMember {
        /// Whose key.
        seal: MemberId,
        /// Whose message.
        message: MemberId,
    },
    /// The runtime is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Signing {
    /// With the keys of this server's token.
    pub(crate) fn new(keys: Arc<OwnKeys>) -> Self {
        Self { keys }
    }

    /// The seal of a member, if it can be used at `now`. A provider takes it in hand before it calls the register: an answer that
    /// cannot be signed must not have had an effect.
    ///
    /// # Errors
    /// The member has no certificate here that is valid and whose OCSP response is good and fresh.
    pub fn seal(&self, member: &MemberId, now: UnixMillis) -> Result<Seal, SigningError> {
        Ok(Seal { member: member.clone(), credential: self.keys.credential(member, now)? })
    }
}

impl Seal {
    /// Signs a message. RSA takes a millisecond and more and goes to a thread of its own; the other kinds take microseconds.
    ///
    /// # Errors
    /// The message is another member's, or the token does not sign.
    pub async fn sign<T: Signable>(self, message: T, now: UnixMillis) -> Result<Signed<T>, SigningError> {
        if *message.signer() != self.member {
            return Err(SigningError::OtherMember { seal: self.member, message: message.signer().clone() });
        }
        let (parts, credential) = (message.parts(), self.credential);
        let signed = if matches!(credential.certificate.public_key().kind(), KeyKind::Rsa(_)) {
            let work = tokio::task::spawn_blocking(move || signature::sign(&parts, &credential, now));
            work.await.map_err(|_| SigningError::ShuttingDown)??
        } else {
            signature::sign(&parts, &credential, now)?
        };
        Ok(Signed { message, signature: signed.signature, material: signed.material })
    }
}

impl<T> Signed<T> {
    /// What was signed.
    #[must_use]
    pub fn message(&self) -> &T {
        &self.message
    }

    pub(crate) fn signature(&self) -> &wire::Signature {
        &self.signature
    }

    pub(crate) fn material(&self) -> &wire::Material {
        &self.material
    }
}
