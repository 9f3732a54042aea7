//! The approved trust services of a snapshot.

use std::sync::Arc;

use crate::certificate::Certificate;

/// An approved certification authority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApprovedCa {
    /// Its name, for people.
    pub name: String,
    /// The trust anchor.
    pub certificate: Certificate,
    /// Intermediate CA certificates that are known beforehand.
    pub intermediates: Vec<Certificate>,
    /// Where its OCSP responders answer.
    pub ocsp_urls: Vec<String>,
    /// OCSP responder certificates that are approved by being listed.
    pub ocsp_responders: Vec<Certificate>,
}

/// An approved timestamping authority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApprovedTsa {
    /// Its name, for people.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// Its signing certificate: trusted because it is listed, whoever issued it.
    pub certificate: Certificate,
    /// Accepted policies as dotted object identifiers; at least one. Lists that name none (X-Road's) leave it empty, and then only
    /// [`crate::timestamp::verify_content`] under [`crate::timestamp::Policies::Any`] accepts its tokens.
    pub policies: Vec<String>,
}

/// All approved trust services. Immutable.
#[derive(Clone, Debug, Default)]
pub struct TrustStore {
    cas: Vec<Arc<ApprovedCa>>,
    tsas: Vec<Arc<ApprovedTsa>>,
}

impl TrustStore {
    /// From lists; a verified snapshot has one, tests make their own.
    #[must_use]
    pub fn new(cas: Vec<ApprovedCa>, tsas: Vec<ApprovedTsa>) -> Self {
        Self { cas: cas.into_iter().map(Arc::new).collect(), tsas: tsas.into_iter().map(Arc::new).collect() }
    }

    /// The approved CAs.
    #[must_use]
    pub fn cas(&self) -> &[Arc<ApprovedCa>] {
        &self.cas
    }

    /// The approved TSAs.
    #[must_use]
    pub fn tsas(&self) -> &[Arc<ApprovedTsa>] {
        &self.tsas
    }
}
