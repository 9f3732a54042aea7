//! What was verified once and need not be again: the signatures of others over certificates and OCSP responses, which thousands of records share.
//!
//! What a verdict hangs on beside the bytes is the time. It is looked at again on every use, and where it does not fit, everything is verified anew: a verdict never comes
//! out of here that would not come out of the full check.

use std::collections::HashMap;

use kogge_certs::certificate::{Certificate, CertificateError};
use kogge_certs::ocsp::{Freshness, KnownAnswer, OcspError, OcspStatus};
use kogge_certs::path::{self, PathError, VerifiedPath};
use kogge_certs::profile::{self, Profile, ProfileError};
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::digest::Sha256;
use kogge_proto::id::MemberId;
use kogge_proto::time::UnixMillis;

/// Of one snapshot. Bounded: what is full is emptied.
#[derive(Default)]
pub(super) struct Known {
    certificates: HashMap<Vec<u8>, Certificate>,
    /// What certificates say of their owners.
    owners: HashMap<Sha256, Owner>,
    /// By the signing certificate.
    paths: HashMap<Sha256, Vec<KnownPath>>,
    /// By the response and the certificate that it is about.
    answers: HashMap<(Vec<u8>, Sha256), KnownAnswer>,
}

/// Whose a certificate is.
pub(super) struct Owner {
    /// Its subject, for people.
    pub(super) subject: String,
    /// The member that may sign with it.
    pub(super) member: Result<MemberId, ProfileError>,
}

/// A path that was found with these intermediates at hand.
struct KnownPath {
    intermediates: Vec<Certificate>,
    path: VerifiedPath,
}

impl Known {
    /// The certificate with this DER.
    pub(super) fn certificate(&mut self, der: &[u8]) -> Result<Certificate, CertificateError> {
        if let Some(known) = self.certificates.get(der) {
            return Ok(known.clone());
        }
        let certificate = Certificate::from_der(der)?;
        make_room(&mut self.certificates);
        self.certificates.insert(der.to_vec(), certificate.clone());
        Ok(certificate)
    }

    /// Whose the certificate is.
    pub(super) fn owner(&mut self, certificate: &Certificate) -> &Owner {
        if !self.owners.contains_key(&certificate.sha256()) {
            make_room(&mut self.owners);
        }
        self.owners.entry(certificate.sha256()).or_insert_with(|| Owner {
            subject: certificate.subject(),
            member: profile::signing_member(certificate),
        })
    }

    /// A path of a signing certificate: [`path::verify`].
    pub(super) fn path(
        &mut self,
        leaf: &Certificate,
        intermediates: &[Certificate],
        snapshot: &VerifiedSnapshot,
        at: UnixMillis,
    ) -> Result<VerifiedPath, PathError> {
        let known = self.paths.get(&leaf.sha256()).into_iter().flatten();
        let fits = |known: &&KnownPath| {
            known.intermediates == intermediates
                && known.path.leaf() == leaf
                && known.path.check_validity(at).is_ok()
        };
        if let Some(known) = known.into_iter().find(fits) {
            return Ok(known.path.clone());
        }
        let path = path::verify(leaf, intermediates, snapshot.trust(), Profile::Signing, at)?;
        make_room(&mut self.paths);
        let paths = self.paths.entry(leaf.sha256()).or_default();
        paths.truncate(PATHS_MAX - 1);
        paths.insert(0, KnownPath { intermediates: intermediates.to_vec(), path: path.clone() });
        Ok(path)
    }

    /// What an OCSP response says about the leaf of a path: [`kogge_certs::ocsp::verify`].
    pub(super) fn answer(
        &mut self,
        response: &[u8],
        path: &VerifiedPath,
        freshness: Freshness,
        at: UnixMillis,
    ) -> Result<OcspStatus, OcspError> {
        let key = (response.to_vec(), path.leaf().sha256());
        let known = self.answers.get(&key);
        if let Some(known) =
            known.filter(|known| known.is_about(response, path) && known.holds_at(freshness, at))
        {
            return Ok(*known.status());
        }
        let answer = KnownAnswer::verify(response, path, freshness, at)?;
        let status = *answer.status();
        make_room(&mut self.answers);
        self.answers.insert(key, answer);
        Ok(status)
    }
}

fn make_room<K, V>(known: &mut HashMap<K, V>) {
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
}

/// Of each kind: more than sign within the same minutes, and with the largest that are accepted some MiB.
const KNOWN_MAX: usize = 256;
/// Ways to lead one certificate to its CA: one before and one after an intermediate was renewed, and two for good measure.
const PATHS_MAX: usize = 4;
