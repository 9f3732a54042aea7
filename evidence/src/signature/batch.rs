//! One signature for several messages.

use kogge_certs::key::SignError;
use kogge_proto::digest::Sha256;
use kogge_proto::limits::SIGNATURE_BATCH_MAX;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

use super::{Credential, Parts, ReadyCredential, Signed};
use crate::hash_chain::{self, NewWay};
use crate::xades::Subject;

/// Signs the parts of several messages at once, and gives each what it needs to stand alone, in their order. A single message is signed
/// as [`super::sign`] does.
///
/// # Errors
/// There are no messages or more than [`SIGNATURE_BATCH_MAX`], the key cannot sign, or is not the key of the certificate. None is signed
/// then.
pub fn sign_batch(
    messages: &[Parts],
    credential: &Credential,
    now: UnixMillis,
) -> Result<Vec<Signed>, SignError> {
    ReadyCredential::new(credential.clone()).sign_batch(messages, now)
}

impl ReadyCredential {
    /// [`sign_batch`].
    ///
    /// # Errors
    /// As there.
    pub fn sign_batch(&self, messages: &[Parts], now: UnixMillis) -> Result<Vec<Signed>, SignError> {
        if let [alone] = messages {
            return Ok(vec![self.sign(alone, now)?]);
        }
        let leaves: Vec<Sha256> =
            messages.iter().take(SIGNATURE_BATCH_MAX).map(hash_chain::own_step).collect();
        let (root, ways) = hash_chain::tree(&leaves)
            .filter(|_| leaves.len() == messages.len())
            .ok_or_else(|| SignError::Token(format!("a batch has 1 to {SIGNATURE_BATCH_MAX} messages")))?;
        // The document is about the root: it is the same for all.
        let (signature, leaf) = self.sign_subject(Subject::Batch { root }, now)?;
        let of_one = |NewWay { siblings, left }| {
            let batch = Some(wire::BatchProof { siblings, left });
            let signature = wire::Signature { batch, ..signature.clone() };
            Signed { signature, material: self.material().clone(), leaf }
        };
        Ok(ways.into_iter().map(of_one).collect())
    }
}
