//! The timestamping authority.

use std::sync::Arc;

use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::timestamp::{Issue, parse_request, reject, respond};
use kogge_proto::time::UnixMillis;

use crate::authority::Authority;
use crate::{TrustServicesError, serial};

/// A TSA with one policy.
pub(super) struct Tsa {
    certificate: Certificate,
    key: Arc<dyn SigningKey>,
    policy: String,
}

impl Tsa {
    pub(super) fn new(authority: &Authority, policy: String) -> Result<Self, TrustServicesError> {
        Ok(Self { certificate: authority.tsa.clone(), key: authority.key_of(&authority.tsa)?, policy })
    }

    /// A DER TimeStampResp to a DER TimeStampReq. Blocks for one signature.
    pub(super) fn answer(&self, request: &[u8], now: UnixMillis) -> Vec<u8> {
        let request = match parse_request(request) {
            Ok(request) => request,
            Err(failure) => return reject(failure),
        };
        if request.policy.as_ref().is_some_and(|policy| *policy != self.policy) {
            return reject(UNACCEPTED_POLICY);
        }
        let Ok(serial) = serial::random() else { return reject(SYSTEM_FAILURE) };
        let (certificate, key) = (&self.certificate, self.key.as_ref());
        let issue = Issue { certificate, key, policy: &self.policy, serial, now };
        respond(&request, &issue).unwrap_or_else(|error| {
            tracing::error!(%error, "a timestamp cannot be made");
            reject(SYSTEM_FAILURE)
        })
    }
}

/// PKIFailureInfo (RFC 3161 section 2.4.2).
const UNACCEPTED_POLICY: u8 = 15;
const SYSTEM_FAILURE: u8 = 25;
