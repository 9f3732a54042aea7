//! Making the authority: once per directory.

use std::path::Path;
use std::time::Duration;

use kogge_certs::certificate::Certificate;
use kogge_certs::key::{PublicKey, SigningKey};
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_durable::{create_dir, write_atomic};
use kogge_proto::time::UnixMillis;
use kogge_signer::{KeyUse, NewKeyKind, SoftToken, import_chain};

use crate::authority::issued;
use crate::config::Config;
use crate::journal::Journal;
use crate::{TrustServicesError, serial};

/// The certificates of new trust services: what the registry has to approve.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// The root CA.
    pub ca: Certificate,
    /// The issuing CA below it, if there is one.
    pub issuing: Option<Certificate>,
    /// The OCSP responder, delegated by the CA that issues.
    pub ocsp: Certificate,
    /// The TSA.
    pub tsa: Certificate,
}

/// Makes token, CA, OCSP responder and TSA in the configured directory.
///
/// A crash on the way leaves a directory that [`init`] and [`crate::run`] both refuse: it has to be removed.
///
/// # Errors
/// There is something in the directory already, the PIN cannot be had, or the directory cannot be written.
pub fn init(config: &Config, now: UnixMillis) -> Result<Initialised, TrustServicesError> {
    let dir = config.dir.as_path();
    if Journal::of(dir).exists() || dir.join(TOKEN).exists() || dir.join(CA).exists() {
        return Err(TrustServicesError::Exists(dir.to_owned()));
    }
    let pin = config.pin.read_new()?;
    create_dir(dir, true)?;
    let token = SoftToken::create(&dir.join(TOKEN), &pin)?;
    let maker = Maker { dir, token, now, ocsp_url: config.ocsp_url() };

    let root_key = maker.new_key("root CA")?;
    let ca =
        profile::self_signed_ca(root_key.as_ref(), &service("Kogge Test CA"), &maker.terms(CA_LIFETIME)?)?;
    maker.keep(CA, &[&ca])?;
    let issuing = if config.intermediate { Some(maker.issuing_ca(&ca, root_key.as_ref())?) } else { None };
    let (issuer, issuer_key) = match &issuing {
        Some((certificate, key)) => (certificate, key.as_ref()),
        None => (&ca, root_key.as_ref()),
    };
    let ocsp = maker.responder(issuer, issuer_key, Profile::OcspResponder, "Kogge Test OCSP", OCSP)?;
    let tsa = maker.responder(issuer, issuer_key, Profile::Timestamping, "Kogge Test TSA", TSA)?;
    // With the journal the directory counts as finished.
    Journal::of(dir).create(&[issued(&ocsp, now), issued(&tsa, now)])?;
    Ok(Initialised { ca, issuing: issuing.map(|(certificate, _)| certificate), ocsp, tsa })
}

struct Maker<'a> {
    dir: &'a Path,
    token: SoftToken,
    now: UnixMillis,
    ocsp_url: Option<String>,
}

type Key = std::sync::Arc<dyn SigningKey>;

impl Maker<'_> {
    fn new_key(&self, label: &str) -> Result<Key, TrustServicesError> {
        let id = self.token.generate(NewKeyKind::EcdsaP256, KeyUse::Service, label)?;
        Ok(self.token.key(&id)?)
    }

    fn issuing_ca(
        &self,
        ca: &Certificate,
        ca_key: &dyn SigningKey,
    ) -> Result<(Certificate, Key), TrustServicesError> {
        let key = self.new_key("issuing CA")?;
        let (subject, terms) = (service("Kogge Test Issuing CA"), self.terms(CA_LIFETIME)?);
        let certificate = profile::intermediate_ca(ca, ca_key, key.public_key(), &subject, &terms)?;
        self.keep(ISSUING, &[&certificate, ca])?;
        Ok((certificate, key))
    }

    fn responder(
        &self,
        issuer: &Certificate,
        issuer_key: &dyn SigningKey,
        profile: Profile,
        name: &str,
        file: &str,
    ) -> Result<Certificate, TrustServicesError> {
        let key = self.new_key(name)?;
        let public_key: &PublicKey = key.public_key();
        let terms = self.terms(RESPONDER_LIFETIME)?;
        let certificate = profile::issue(issuer, issuer_key, public_key, profile, &service(name), &terms)?;
        self.keep(file, &[&certificate])?;
        Ok(certificate)
    }

    fn terms(&self, lifetime: Duration) -> Result<IssueTerms, TrustServicesError> {
        Ok(IssueTerms {
            not_before: self.now.minus(BACKDATED).floor_seconds(),
            not_after: self.now.plus(lifetime).floor_seconds(),
            serial: serial::random()?,
            ocsp_url: self.ocsp_url.clone(),
        })
    }

    /// Stores the certificate beside its key and, for everybody, as PEM.
    fn keep(&self, file: &str, chain: &[&Certificate]) -> Result<(), TrustServicesError> {
        let chain: Vec<Certificate> = chain.iter().map(|certificate| (*certificate).clone()).collect();
        import_chain(&self.dir.join(TOKEN), &chain)?;
        let pem = chain.first().map(Certificate::to_pem).unwrap_or_default();
        Ok(write_atomic(&self.dir.join(file), pem.as_bytes(), false)?)
    }
}

fn service(common_name: &str) -> Subject {
    Subject::Service { common_name: common_name.to_owned(), organisation: "Kogge test instance".to_owned() }
}

/// Names within the directory.
pub(crate) const TOKEN: &str = "token";
pub(crate) const CA: &str = "ca.pem";
pub(crate) const ISSUING: &str = "issuing.pem";
pub(crate) const OCSP: &str = "ocsp.pem";
pub(crate) const TSA: &str = "tsa.pem";

/// Certificates are valid a little earlier than they are made, for peers whose clocks are behind.
pub(crate) const BACKDATED: Duration = Duration::from_secs(300);

const DAY: u64 = 24 * 60 * 60;
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * DAY);
const RESPONDER_LIFETIME: Duration = Duration::from_secs(5 * 365 * DAY);
