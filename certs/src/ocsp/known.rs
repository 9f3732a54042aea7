//! Answers that were verified once and need not be again while nothing has changed that their verdict hangs on.

use kogge_proto::time::UnixMillis;

use super::verify::verify_with_responder;
use super::{Freshness, OcspError, OcspStatus};
use crate::certificate::Certificate;
use crate::path::VerifiedPath;

/// A good answer about the leaf of a path, with all that decides how long it may be believed.
#[derive(Clone, Debug)]
pub struct KnownAnswer {
    response: Vec<u8>,
    path: VerifiedPath,
    responder: Certificate,
    status: OcspStatus,
}

impl KnownAnswer {
    /// Verifies a response that nobody has asked for with a nonce: [`super::verify`].
    ///
    /// # Errors
    /// It does not say good at `at`; see [`OcspError`].
    pub fn verify(
        response: &[u8],
        path: &VerifiedPath,
        freshness: Freshness,
        at: UnixMillis,
    ) -> Result<Self, OcspError> {
        let (status, responder) = verify_with_responder(response, path, freshness, None, at)?;
        Ok(Self { response: response.to_vec(), path: path.clone(), responder, status })
    }

    /// Whether this is the answer in `response` about the leaf of `path`: the same bytes, the same certificates, the very same
    /// approval of the CA. Everything that the signatures say follows from these alone.
    #[must_use]
    pub fn is_about(&self, response: &[u8], path: &VerifiedPath) -> bool {
        self.path.is_same(path) && self.response == response
    }

    /// Whether [`super::verify`] would believe it at `at` as well: only the dates have to be looked at again.
    #[must_use]
    pub fn holds_at(&self, freshness: Freshness, at: UnixMillis) -> bool {
        // The issuer's own dates belong to the path, whose validity is asked for there.
        let responder_holds = self.responder == *self.path.issuer() || self.responder.is_valid_at(at);
        responder_holds && self.status.check_freshness(freshness, at).is_ok()
    }

    /// What it says.
    #[must_use]
    pub fn status(&self) -> &OcspStatus {
        &self.status
    }
}
