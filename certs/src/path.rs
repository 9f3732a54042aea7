//! Certification paths to the approved CAs of a snapshot, and to nothing else.

mod search;

use std::sync::Arc;

use kogge_proto::limits::{MATERIAL_ITEMS_MAX, PATH_DEPTH_MAX};
use kogge_proto::time::UnixMillis;

use crate::certificate::Certificate;
use crate::profile::{self, Profile, ProfileError};
use crate::trust::{ApprovedCa, TrustStore};

/// A path that was valid at the time asked for. Only [`verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedPath {
    leaf: Certificate,
    issuers: Vec<Certificate>,
    ca: Arc<ApprovedCa>,
}

/// Why there is no valid path.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathError {
    /// No approved CA issued it, directly or through the given or registered intermediates.
    #[error("the certificate {subject} was not issued under an approved CA (issuer: {issuer})")]
    UnknownIssuer {
        /// Whose.
        subject: String,
        /// By whom.
        issuer: String,
    },
    /// Not valid any more.
    #[error("the certificate {subject} expired at {at}")]
    Expired {
        /// Whose.
        subject: String,
        /// When.
        at: UnixMillis,
    },
    /// Not valid yet.
    #[error("the certificate {subject} is not valid before {at}")]
    NotYetValid {
        /// Whose.
        subject: String,
        /// From when.
        at: UnixMillis,
    },
    /// Longer than [`kogge_proto::limits::PATH_DEPTH_MAX`].
    #[error("the certification path is too long")]
    TooLong,
    /// A certificate of the path is otherwise not valid: signature, constraints, usage.
    #[error("the certification path is not valid: {0}")]
    Invalid(String),
    /// The leaf is not of the profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// Finds and checks a path from `leaf` to an approved CA at time `at` (RFC 5280 section 6, by rustls-webpki), and that the leaf is of
/// `profile`. `intermediates` are what the party sent along; those that the snapshot lists for a CA are tried as well.
///
/// # Errors
/// There is none; see [`PathError`].
pub fn verify(
    leaf: &Certificate,
    intermediates: &[Certificate],
    trust: &TrustStore,
    profile: Profile,
    at: UnixMillis,
) -> Result<VerifiedPath, PathError> {
    check_validity(leaf, at)?;
    profile::check(leaf, profile)?;
    if intermediates.len() > MATERIAL_ITEMS_MAX {
        return Err(PathError::TooLong);
    }
    let mut reason = unknown_issuer(leaf);
    for ca in trust.cas() {
        match search::to_ca(leaf, intermediates, ca, profile, at) {
            Ok(issuers) if issuers.len() >= PATH_DEPTH_MAX => reason = PathError::TooLong,
            Ok(issuers) => return Ok(VerifiedPath { leaf: leaf.clone(), issuers, ca: Arc::clone(ca) }),
            // That one CA has nothing to do with the leaf explains less than what is wrong with the path to another.
            Err(PathError::UnknownIssuer { .. }) => {}
            Err(found) => reason = found,
        }
    }
    Err(reason)
}

fn check_validity(certificate: &Certificate, at: UnixMillis) -> Result<(), PathError> {
    if at < certificate.not_before() {
        return Err(PathError::NotYetValid { subject: certificate.subject(), at: certificate.not_before() });
    }
    if !certificate.is_valid_at(at) {
        return Err(PathError::Expired { subject: certificate.subject(), at: certificate.not_after() });
    }
    Ok(())
}

fn unknown_issuer(leaf: &Certificate) -> PathError {
    PathError::UnknownIssuer { subject: leaf.subject(), issuer: leaf.issuer() }
}

impl VerifiedPath {
    /// The certificate asked about.
    #[must_use]
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// Intermediate CA certificates between leaf and approved CA, the leaf's issuer first; often empty.
    #[must_use]
    pub fn intermediates(&self) -> &[Certificate] {
        &self.issuers
    }

    /// The certificate of the leaf's direct issuer: an intermediate or the approved CA itself.
    #[must_use]
    pub fn issuer(&self) -> &Certificate {
        self.issuers.first().unwrap_or(&self.ca.certificate)
    }

    /// The path of the leaf's issuer, if that is an intermediate CA: whoever wants to know whether that one was revoked asks about it.
    #[must_use]
    pub fn above(&self) -> Option<Self> {
        let (leaf, issuers) = self.issuers.split_first()?;
        Some(Self { leaf: leaf.clone(), issuers: issuers.to_vec(), ca: Arc::clone(&self.ca) })
    }

    /// Checks that every certificate of the path, the approved CA's with it, is within its validity at another time as well.
    ///
    /// # Errors
    /// [`PathError::Expired`] or [`PathError::NotYetValid`].
    pub fn check_validity(&self, at: UnixMillis) -> Result<(), PathError> {
        let below = [&self.leaf].into_iter().chain(&self.issuers);
        below.chain([&self.ca.certificate]).try_for_each(|certificate| check_validity(certificate, at))
    }

    /// Whether it is the same path under the very same approval of its CA: another snapshot's approval is another one, even if it
    /// reads the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ca, &other.ca) && self.leaf == other.leaf && self.issuers == other.issuers
    }

    /// The approved CA at the end.
    #[must_use]
    pub fn ca(&self) -> &Arc<ApprovedCa> {
        &self.ca
    }
}

#[cfg(test)]
mod tests;
