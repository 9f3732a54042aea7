//! Evidence for messages: a member's seal, and what carries its impression.

mod queue;

use std::collections::HashMap;
use std::sync::Arc;

use kogge_certs::key::{KeyKind, SignError};
use kogge_evidence::signature::{self, Parts, ReadyCredential};
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

use self::queue::Queues;
use crate::exchange::sealed::Sealed;
use crate::metrics::Metrics;
use crate::trust::{OwnKeys, Unusable};

/// Signs messages with the members' keys in this server's token.
pub struct Signing {
    keys: Arc<OwnKeys>,
    /// Of the members whose messages are signed in batches.
    batching: HashMap<MemberId, Arc<Queues>>,
}

/// A stage that may be signed: a message whose content is settled.
pub trait Signable: Sealed {
    /// The member in whose name it is signed.
    fn signer(&self) -> &MemberId;
    /// The peer that will verify it, if it is known already.
    fn peer(&self) -> Option<&SecurityServerId>;
    /// Digests of its parts.
    fn parts(&self) -> Parts;
}

/// A member's certificate and key, known to be good a moment ago.
pub struct Seal {
    member: MemberId,
    credential: Arc<ReadyCredential>,
    queues: Option<Arc<Queues>>,
}

/// A message with its signature. Only [`Seal::sign`] makes one.
#[derive(Debug)]
pub struct Signed<T> {
    message: T,
    parts: Parts,
    signature: wire::Signature,
    material: wire::Material,
    leaf: Sha256,
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
    /// With the keys of this server's token. The messages of the members `in_batches` are signed together where several wait.
    pub(crate) fn new(
        keys: Arc<OwnKeys>,
        in_batches: impl IntoIterator<Item = MemberId>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let queues = |member| (member, Arc::new(Queues::new(Arc::clone(metrics))));
        Self { keys, batching: in_batches.into_iter().map(queues).collect() }
    }

    /// The seal of a member, if it can be used at `now`. A provider takes it in hand before it calls the register: an answer that
    /// cannot be signed must not have had an effect.
    ///
    /// # Errors
    /// The member has no certificate here that is valid and whose OCSP response is good and fresh.
    pub fn seal(&self, member: &MemberId, now: UnixMillis) -> Result<Seal, SigningError> {
        let credential = self.keys.credential(member, now)?;
        Ok(Seal { member: member.clone(), credential, queues: self.batching.get(member).cloned() })
    }
}

impl Seal {
    /// Signs a message: by itself, or together with others of the same member for the same peer that wait at this moment.
    ///
    /// # Errors
    /// The message is another member's, or the token does not sign.
    pub async fn sign<T: Signable>(self, message: T, now: UnixMillis) -> Result<Signed<T>, SigningError> {
        if *message.signer() != self.member {
            return Err(SigningError::OtherMember { seal: self.member, message: message.signer().clone() });
        }
        let parts = message.parts();
        let signed = match (&self.queues, message.peer()) {
            (Some(queues), Some(peer)) => queues.sign(peer, parts, self.credential, now).await?,
            _ => sign_alone(parts, self.credential, now).await?,
        };
        let signature::Signed { signature, material, leaf } = signed;
        Ok(Signed { message, parts, signature, material, leaf })
    }
}

/// RSA takes a millisecond and more and goes to a thread of its own; the other kinds take microseconds.
async fn sign_alone(
    parts: Parts,
    credential: Arc<ReadyCredential>,
    now: UnixMillis,
) -> Result<signature::Signed, SigningError> {
    if matches!(credential.kind(), KeyKind::Rsa(_)) {
        let work = tokio::task::spawn_blocking(move || credential.sign(&parts, now));
        Ok(work.await.map_err(|_| SigningError::ShuttingDown)??)
    } else {
        Ok(credential.sign(&parts, now)?)
    }
}

impl<T> Signed<T> {
    /// What was signed.
    #[must_use]
    pub fn message(&self) -> &T {
        &self.message
    }

    /// Digests of the parts that were signed.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) fn signature(&self) -> &wire::Signature {
        &self.signature
    }

    pub(crate) fn material(&self) -> &wire::Material {
        &self.material
    }

    /// Of its record in a batch's hash tree.
    pub(crate) fn leaf(&self) -> Sha256 {
        self.leaf
    }
}
