//! What was found out about peers' certificates and OCSP responses, so that it is not found out anew for every message.
//!
//! What is remembered holds nothing of a message: its signature is checked each time, by the key that is remembered. A verdict is taken
//! only while everything that it hangs on is the same: the bytes, the snapshot, and all dates, which are looked at each time. Who takes
//! part in the exchange at all (members, servers, registrations) is not part of a verdict; the snapshot is asked for each exchange.

mod recall;

use std::sync::Arc;

use kogge_certs::ocsp::{Freshness, KnownAnswer, OcspError};
use kogge_certs::path::VerifiedPath;
use kogge_evidence::material::Material;
use kogge_evidence::signature::{self, Expected, Names, Parts, SignatureError, Signer, VerifiedSignature};
use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

use self::recall::Recall;

/// Verdicts about signers and about peers' authentication certificates. Lost with the process and with every new snapshot.
pub(crate) struct Verdicts {
    signers: Recall<Names, Signer>,
    /// By the peer's authentication certificate: each connection shows one response at a time.
    peers: Recall<Sha256, KnownAnswer>,
}

/// A message's signature as it came.
pub(crate) struct Shown<'a> {
    pub(crate) signature: &'a wire::Signature,
    pub(crate) parts: &'a Parts,
    pub(crate) material: &'a Material,
}

impl Verdicts {
    pub(crate) fn new() -> Self {
        Self { signers: Recall::new(VERDICTS_MAX), peers: Recall::new(VERDICTS_MAX) }
    }

    /// [`signature::verify`], by what is known of the signer if it still holds under the snapshot with this digest, whose trust is
    /// in `expected`.
    ///
    /// A signer is remembered only after a message of his was found to be signed by him: who merely shows the certificates of others
    /// fills no place here.
    pub(crate) fn verify_signature(
        &self,
        shown: &Shown<'_>,
        expected: &Expected<'_>,
        snapshot: Sha256,
    ) -> Result<VerifiedSignature, SignatureError> {
        let mut known = None;
        let find = |names: &Names| {
            known = self.signers.find(&snapshot, names);
            known.clone()
        };
        let Shown { signature, parts, material } = *shown;
        let verified = signature::verify_with(signature, parts, material, expected, find)?;
        if !known.is_some_and(|known| Arc::ptr_eq(&known, verified.signer())) {
            let signer = verified.signer();
            self.signers.remember(snapshot, signer.names(), signer);
        }
        Ok(verified)
    }

    /// [`kogge_certs::ocsp::verify`] of the response that a peer sent along for its authentication certificate, the leaf of `path`; by
    /// what is known of it if that still holds under the snapshot with this digest.
    pub(crate) fn verify_peer(
        &self,
        response: &[u8],
        path: &VerifiedPath,
        freshness: Freshness,
        snapshot: Sha256,
        now: UnixMillis,
    ) -> Result<(), OcspError> {
        let certificate = path.leaf().sha256();
        let known = self.peers.find(&snapshot, &certificate);
        if known.is_some_and(|known| known.is_about(response, path) && known.holds_at(freshness, now)) {
            return Ok(());
        }
        let answer = KnownAnswer::verify(response, path, freshness, now)?;
        self.peers.remember(snapshot, &certificate, &Arc::new(answer));
        Ok(())
    }
}

/// About 6 KiB each. More peers than this in one period of OCSP freshness cost a verification now and then, no more.
const VERDICTS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
