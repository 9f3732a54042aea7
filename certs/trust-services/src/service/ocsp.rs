//! The OCSP responder: what the journal says, signed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::ocsp::{Answer, ParsedRequest, error_response, parse_request, respond};
use kogge_proto::time::UnixMillis;

use crate::TrustServicesError;
use crate::authority::Authority;
use crate::journal::{Certificates, Journal, Status};
use crate::serial::Serial;

/// A responder that the issuing CA has delegated.
pub(super) struct Responder {
    issuer: Certificate,
    certificate: Certificate,
    key: Arc<dyn SigningKey>,
    validity: Duration,
    journal: Journal,
    /// The journal as of the last request. Only this file locks it, and never across a wait.
    certificates: Mutex<Certificates>,
}

impl Responder {
    pub(super) fn new(authority: &Authority, validity: Duration) -> Result<Self, TrustServicesError> {
        let journal = authority.journal.clone();
        Ok(Self {
            issuer: authority.issuer.clone(),
            certificate: authority.ocsp.clone(),
            key: authority.key_of(&authority.ocsp)?,
            validity,
            certificates: Mutex::new(journal.read()?),
            journal,
        })
    }

    /// A DER OCSPResponse to a DER OCSPRequest. Blocks for a look at the journal and one signature.
    pub(super) fn answer(&self, request: &[u8], now: UnixMillis) -> Vec<u8> {
        let request = match parse_request(request, &self.issuer) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%error, "an OCSP request cannot be read");
                return error_response(MALFORMED_REQUEST);
            }
        };
        if request.questions.iter().all(|question| !question.of_this_issuer) {
            return error_response(UNAUTHORIZED);
        }
        let signed = self.answers(&request).and_then(|answers| {
            let next_update = now.plus(self.validity);
            respond(&request, &answers, &self.certificate, self.key.as_ref(), now, next_update)
                .map_err(|error| kogge_signer::TokenError::Crypto(error.to_string()).into())
        });
        signed.unwrap_or_else(|error| {
            tracing::error!(%error, "an OCSP request cannot be answered");
            error_response(INTERNAL_ERROR)
        })
    }

    /// How many certificates were issued; fails if the journal cannot be read.
    pub(super) fn count(&self) -> Result<usize, TrustServicesError> {
        self.with_certificates(Certificates::count)
    }

    fn answers(&self, request: &ParsedRequest) -> Result<Vec<Answer>, TrustServicesError> {
        self.with_certificates(|certificates| {
            let answer = |question: &kogge_certs::ocsp::Question| {
                let status = certificates.status(&Serial::from_content(&question.serial));
                match status.filter(|_| question.of_this_issuer) {
                    Some(Status::Good) => Answer::Good,
                    Some(Status::Revoked(at)) => Answer::Revoked(at),
                    None => Answer::Unknown,
                }
            };
            request.questions.iter().map(answer).collect()
        })
    }

    /// Reads the journal again if it has grown, so that a revocation counts at once.
    fn with_certificates<T>(&self, look: impl FnOnce(&Certificates) -> T) -> Result<T, TrustServicesError> {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if self.journal.len()? != certificates.bytes() {
            *certificates = self.journal.read()?;
        }
        Ok(look(&certificates))
    }
}

/// OCSPResponseStatus (RFC 6960 section 4.2.1).
const MALFORMED_REQUEST: u8 = 1;
const INTERNAL_ERROR: u8 = 2;
const UNAUTHORIZED: u8 = 6;
