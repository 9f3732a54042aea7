//! What an operator does with the CA: issuing, revoking, and taking a revocation back. Works with and without a running service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_proto::time::UnixMillis;
use kogge_signer::SoftToken;

use crate::TrustServicesError;
use crate::config::Config;
use crate::init::{BACKDATED, CA, ISSUING, OCSP, TOKEN, TSA};
use crate::journal::{Event, Journal, Status};
use crate::serial::{self, Serial};

/// Certifies the key of a PKCS#10 request (DER or PEM) for `subject`; what the request says about its subject does not count.
/// `profile` is Signing, Authentication or Tls.
///
/// # Errors
/// The request is none or its proof of possession is wrong, the subject does not fit the profile, or the directory cannot be used.
pub fn issue(
    config: &Config,
    request: &[u8],
    profile: Profile,
    subject: &Subject,
    lifetime: Duration,
    now: UnixMillis,
) -> Result<Certificate, TrustServicesError> {
    if !matches!(profile, Profile::Signing | Profile::Authentication | Profile::Tls) {
        return Err(TrustServicesError::ProfileNotOffered);
    }
    let public_key = profile::read_request(request)?.public_key;
    let authority = Authority::open(config)?;
    let terms = IssueTerms {
        not_before: now.minus(BACKDATED).floor_seconds(),
        not_after: now.plus(lifetime).floor_seconds(),
        serial: serial::random()?,
        ocsp_url: config.ocsp_url(),
    };
    let (issuer, key) = (&authority.issuer, authority.issuer_key()?);
    let certificate = profile::issue(issuer, key.as_ref(), &public_key, profile, subject, &terms)?;
    // A crash before this is done loses a certificate that nobody has seen.
    authority.journal.append(|_| Ok(Some(issued(&certificate, now))))?;
    Ok(certificate)
}

/// Revokes a certificate from `now` on; one that is revoked already stays revoked since then.
///
/// # Errors
/// It was never issued here, or the journal cannot be written.
pub fn revoke(config: &Config, serial: &Serial, now: UnixMillis) -> Result<(), TrustServicesError> {
    Journal::of(&config.dir).append(|certificates| match certificates.status(serial) {
        None => Err(TrustServicesError::NotIssued(serial.clone())),
        Some(Status::Revoked(_)) => Ok(None),
        Some(Status::Good) => Ok(Some(Event::Revoked { serial: serial.to_string(), at: now.0 })),
    })
}

/// Takes a revocation back; a certificate that is good stays good.
///
/// # Errors
/// It was never issued here, or the journal cannot be written.
pub fn reinstate(config: &Config, serial: &Serial, now: UnixMillis) -> Result<(), TrustServicesError> {
    Journal::of(&config.dir).append(|certificates| match certificates.status(serial) {
        None => Err(TrustServicesError::NotIssued(serial.clone())),
        Some(Status::Good) => Ok(None),
        Some(Status::Revoked(_)) => Ok(Some(Event::Reinstated { serial: serial.to_string(), at: now.0 })),
    })
}

/// The finished directory with its token unlocked.
pub(crate) struct Authority {
    pub(crate) ca: Certificate,
    /// The CA that issues: the issuing CA, or the root CA where there is none.
    pub(crate) issuer: Certificate,
    pub(crate) ocsp: Certificate,
    pub(crate) tsa: Certificate,
    pub(crate) journal: Journal,
    token: SoftToken,
}

impl Authority {
    pub(crate) fn open(config: &Config) -> Result<Self, TrustServicesError> {
        let dir = config.dir.as_path();
        let journal = Journal::of(dir);
        if !journal.exists() {
            return Err(TrustServicesError::Missing(dir.to_owned()));
        }
        let ca = read_certificate(&dir.join(CA))?;
        let issuing = dir.join(ISSUING);
        let issuer = if issuing.exists() { read_certificate(&issuing)? } else { ca.clone() };
        let token = SoftToken::open(&dir.join(TOKEN), &config.pin.read()?)?;
        let (ocsp, tsa) = (read_certificate(&dir.join(OCSP))?, read_certificate(&dir.join(TSA))?);
        Ok(Self { ca, issuer, ocsp, tsa, journal, token })
    }

    pub(crate) fn issuer_key(&self) -> Result<Arc<dyn SigningKey>, TrustServicesError> {
        self.key_of(&self.issuer)
    }

    /// The private key that belongs to a certificate.
    pub(crate) fn key_of(
        &self,
        certificate: &Certificate,
    ) -> Result<Arc<dyn SigningKey>, TrustServicesError> {
        Ok(self.token.key(&certificate.public_key().key_id())?)
    }
}

/// The journal's line for a new certificate.
pub(crate) fn issued(certificate: &Certificate, now: UnixMillis) -> Event {
    Event::Issued {
        serial: Serial::from(certificate).to_string(),
        at: now.0,
        subject: certificate.subject(),
        sha256: certificate.sha256().to_string(),
    }
}

fn read_certificate(path: &Path) -> Result<Certificate, TrustServicesError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| TrustServicesError::File { path: path.to_owned(), reason: error.to_string() })?;
    let certificates = Certificate::from_pem(&text)
        .map_err(|error| TrustServicesError::certificate(path.to_owned(), &error))?;
    certificates.into_iter().next().ok_or_else(|| TrustServicesError::File {
        path: path.to_owned(),
        reason: "no certificate in it".to_owned(),
    })
}
