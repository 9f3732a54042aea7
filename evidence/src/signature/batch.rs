//! One signature for several messages.

use kogge_certs::key::SignError;
use kogge_proto::digest::Sha256;
use kogge_proto::limits::SIGNATURE_BATCH_MAX;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

use super::{Credential, Parts, Signed, material_of, sign, sign_subject};
use crate::hash_chain::{self, NewWay};
use crate::xades::Subject;

/// Signs the parts of several messages at once, and gives each what it needs to stand alone, in their order. A single message is signed
/// as [`sign`] does.
///
/// # Errors
/// There are no messages or more than [`SIGNATURE_BATCH_MAX`], the key cannot sign, or is not the key of the certificate. None is signed
/// then.
pub fn sign_batch(
    messages: &[Parts],
    credential: &Credential,
    now: UnixMillis,
) -> Result<Vec<Signed>, SignError> {
    if let [alone] = messages {
        return Ok(vec![sign(alone, credential, now)?]);
    }
    let leaves: Vec<Sha256> = messages.iter().take(SIGNATURE_BATCH_MAX).map(hash_chain::own_step).collect();
    let (root, ways) = hash_chain::tree(&leaves)
        .filter(|_| leaves.len() == messages.len())
        .ok_or_else(|| SignError::Token(format!("a batch has 1 to {SIGNATURE_BATCH_MAX} messages")))?;
    let signature = sign_subject(Subject::Batch { root }, credential, now)?;
    let material = material_of(credential);
    let of_one = |NewWay { siblings, left }| {
        let batch = Some(wire::BatchProof { siblings, left });
        Signed { signature: wire::Signature { batch, ..signature.clone() }, material: material.clone() }
    };
    Ok(ways.into_iter().map(of_one).collect())
}
