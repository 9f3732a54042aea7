//! A small instance for the tests of this crate: as keys in memory, and as a registry in a temporary directory.

use std::sync::Arc;
use std::time::Duration;

use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::snapshot::{Policy, SignedDelegation, sign_delegation};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_signer::{NewKeyKind, PinSource, ephemeral};
use tempfile::TempDir;

use crate::state::{Change, Created};
use crate::{Config, InitOptions, init};

pub(crate) const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const PIN: &str = "correct horse";

pub(crate) fn policy() -> Policy {
    Policy {
        ocsp_freshness: Duration::from_secs(3600),
        timestamp_interval: Duration::from_secs(60),
        timestamp_failure: Duration::from_secs(14_400),
        clock_skew: Duration::from_secs(60),
    }
}

/// Root and online key of an instance that has no directory.
pub(crate) struct Keys {
    pub(crate) root: Arc<dyn SigningKey>,
    pub(crate) online: Arc<dyn SigningKey>,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let key = || ephemeral(NewKeyKind::EcdsaP256).unwrap();
        Self { root: key(), online: key() }
    }

    pub(crate) fn delegation(&self, version: u64, online: &Arc<dyn SigningKey>) -> SignedDelegation {
        let keys = [online.public_key().clone()];
        sign_delegation("EE", version, NOW.minus(DAY), NOW.plus(300 * DAY), &keys, 1, &[&*self.root]).unwrap()
    }

    pub(crate) fn created(&self) -> Created {
        Created {
            instance: "EE".to_owned(),
            environment: Environment::Test,
            policy: policy(),
            root_keys: vec![self.root.public_key().clone()],
            root_threshold: 1,
            delegation: self.delegation(1, &self.online),
        }
    }
}

/// A registry that has been brought into being, in a directory that goes with it.
pub(crate) struct Home {
    pub(crate) config: Config,
    pub(crate) anchor: Anchor,
    _dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let (dir, config) = empty();
        let options =
            InitOptions { instance: "EE".to_owned(), environment: Environment::Test, policy: policy() };
        let anchor = init(&config, &options).unwrap();
        Self { config, anchor, _dir: dir }
    }
}

/// A configuration whose directory does not exist yet.
pub(crate) fn empty() -> (TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    let pin = dir.path().join("pin");
    kogge_durable::write_atomic(&pin, PIN.as_bytes(), true).unwrap();
    let config = Config {
        dir: dir.path().join("registry"),
        listen: "127.0.0.1:0".parse().unwrap(),
        public_url: "http://registry.example".to_owned(),
        pin: PinSource::File(pin),
        snapshot_lifetime: DAY,
        tls: None,
    };
    (dir, config)
}

pub(crate) fn add_member(code: &str) -> Change {
    Change::AddMember { member: format!("EE/GOV/{code}").parse().unwrap(), name: format!("Agency {code}") }
}

pub(crate) fn digest(name: &str) -> Sha256 {
    sha256(name.as_bytes())
}

pub(crate) fn certificate(name: &str, ca: bool) -> Certificate {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    if ca {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    Certificate::from_der(params.self_signed(&key).unwrap().der()).unwrap()
}
