//! Roots of signature batches that were found to be signed, so that the messages of a batch cost one verification together.

use std::sync::{Mutex, PoisonError};

use kogge_proto::digest::{Sha256, Sha256Hasher};
use kogge_proto::time::UnixMillis;

/// The last few roots that one signer is known to have signed. What is remembered is a fact about bytes, for ever true: whether the signer
/// is to be believed is judged for each message, and so is the way from the message to the root.
#[derive(Debug, Default)]
pub(super) struct VerifiedRoots(Mutex<Recent>);

#[derive(Debug)]
struct Recent {
    /// With the leaf that all messages of the batch share.
    roots: [Option<(Sha256, Sha256)>; ROOTS_MAX],
    /// The place of the one learnt longest ago.
    oldest: usize,
}

/// Everything that a signature of this signer depends on, and its value: one digest.
pub(super) fn digest(root: Sha256, method: i32, signing_time: UnixMillis, value: &[u8]) -> Sha256 {
    let mut all = Sha256Hasher::new();
    all.update(root.as_bytes());
    all.update(&method.to_be_bytes());
    all.update(&signing_time.0.to_be_bytes());
    all.update(value);
    all.finish()
}

impl VerifiedRoots {
    /// The batch's leaf: known if this [`digest`] was verified lately, else what `verify` returns. A failure is not remembered.
    pub(super) fn check<E>(
        &self,
        digest: Sha256,
        verify: impl FnOnce() -> Result<Sha256, E>,
    ) -> Result<Sha256, E> {
        if let Some(leaf) = self.with(|recent| recent.leaf(digest)) {
            return Ok(leaf);
        }
        let leaf = verify()?;
        self.with(|recent| recent.learn(digest, leaf));
        Ok(leaf)
    }

    /// Holds the lock for the time of a few comparisons, never for a verification.
    fn with<T>(&self, look: impl FnOnce(&mut Recent) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Recent {
    fn leaf(&self, digest: Sha256) -> Option<Sha256> {
        self.roots.iter().flatten().find(|(known, _)| *known == digest).map(|(_, leaf)| *leaf)
    }

    fn learn(&mut self, digest: Sha256, leaf: Sha256) {
        if self.leaf(digest).is_some() {
            return; // two messages of a batch came at once
        }
        if let Some(place) = self.roots.get_mut(self.oldest) {
            *place = Some((digest, leaf));
        }
        self.oldest = (self.oldest + 1) % ROOTS_MAX;
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self { roots: [None; ROOTS_MAX], oldest: 0 }
    }
}

/// Batches of one signer whose messages are on their way at the same time: one per connection and a few that overtook each other.
const ROOTS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it had to be verified.
    fn verified(roots: &VerifiedRoots, digest: u8) -> bool {
        let mut asked = false;
        let verify = || {
            asked = true;
            Ok::<_, ()>(Sha256([!digest; 32]))
        };
        assert_eq!(roots.check(Sha256([digest; 32]), verify), Ok(Sha256([!digest; 32])));
        asked
    }

    #[test]
    fn a_root_is_verified_once_until_others_took_its_place() {
        let roots = VerifiedRoots::default();
        let all = 0..u8::try_from(ROOTS_MAX).unwrap();
        assert!(all.clone().all(|root| verified(&roots, root)));
        assert!(!all.clone().any(|root| verified(&roots, root)));
        assert!(verified(&roots, 200));
        assert!(!all.skip(1).any(|root| verified(&roots, root)));
        assert!(verified(&roots, 0));
        assert!(verified(&roots, 1));
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let roots = VerifiedRoots::default();
        assert_eq!(roots.check(Sha256([0; 32]), || Err("wrong")), Err("wrong"));
        assert!(verified(&roots, 0));
    }

    #[test]
    fn everything_that_was_signed_counts() {
        let root = Sha256([1; 32]);
        let all = [
            digest(root, 1, UnixMillis(1000), &[7; 64]),
            digest(Sha256([2; 32]), 1, UnixMillis(1000), &[7; 64]),
            digest(root, 3, UnixMillis(1000), &[7; 64]),
            digest(root, 1, UnixMillis(2000), &[7; 64]),
            digest(root, 1, UnixMillis(1000), &[8; 64]),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all.iter().skip(place + 1).any(|other| other == one), "{place}");
        }
    }
}
