//! A registry with two security servers in it, which fits into a few lines of text: the driver makes it and gives it to the
//! provider's process.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::certificate::Certificate;
use kogge_certs::key::{PublicKey, SignError, SignatureScheme, SigningKey};
use kogge_certs::ocsp::{self, Answer};
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::snapshot::{
    Draft, Member, Policy, SecurityServer, VerifiedSnapshot, sign_delegation, sign_snapshot,
};
use kogge_certs::trust::ApprovedCa;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;
use kogge_transport::{Identity, LocalIdentity, PeerTrust};

/// What one of the two servers needs: its own key and papers, and the registry's snapshot.
pub(crate) struct Equipment {
    pub(crate) id: SecurityServerId,
    key: Arc<FileKey>,
    certificate: Certificate,
    ocsp: Vec<u8>,
    snapshot: Arc<VerifiedSnapshot>,
    snapshot_bytes: Vec<u8>,
    anchor: Anchor,
}

/// A P-256 key that can be written down.
struct FileKey {
    pkcs8: Vec<u8>,
    public: PublicKey,
}

/// The snapshot that never changes, and the clock that never moves.
struct Trust(Arc<VerifiedSnapshot>);

impl PeerTrust for Trust {
    fn snapshot(&self) -> Option<Arc<VerifiedSnapshot>> {
        Some(Arc::clone(&self.0))
    }

    fn now(&self) -> UnixMillis {
        START
    }
}

impl Equipment {
    pub(crate) fn identity(&self) -> Arc<Identity> {
        let local = LocalIdentity {
            certificate: self.certificate.clone(),
            issuers: Vec::new(),
            key: Arc::clone(&self.key) as _,
            ocsp: self.ocsp.clone(),
        };
        Arc::new(Identity::new(local).unwrap())
    }

    pub(crate) fn trust(&self) -> Arc<dyn PeerTrust> {
        Arc::new(Trust(Arc::clone(&self.snapshot)))
    }

    /// A plain certificate and its key, for the anchors.
    pub(crate) fn plain(&self) -> (Vec<u8>, Vec<u8>) {
        (self.certificate.der().to_vec(), self.key.pkcs8.clone())
    }

    /// As the registry would have it, with this address.
    pub(crate) fn entry(&self, address: &str) -> SecurityServer {
        entry(&self.id, address, &self.certificate)
    }

    pub(crate) fn write(&self, to: &mut impl Write) {
        let anchor = self.anchor.to_toml();
        let parts: [&[u8]; 5] =
            [&self.key.pkcs8, self.certificate.der(), &self.ocsp, &self.snapshot_bytes, anchor.as_bytes()];
        writeln!(to, "{}", self.id).unwrap();
        for part in parts {
            let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(to, "{hex}").unwrap();
        }
        to.flush().unwrap();
    }

    pub(crate) fn read(from: &mut impl BufRead) -> Self {
        let mut line = || {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let id = SecurityServerId::parse(&line()).unwrap();
        let mut part = || -> Vec<u8> {
            let hex = line();
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        let key = Arc::new(FileKey::from_pkcs8(part()));
        let (certificate, ocsp, snapshot_bytes) = (Certificate::from_der(&part()).unwrap(), part(), part());
        let anchor = Anchor::parse(&String::from_utf8(part()).unwrap()).unwrap();
        let snapshot = Arc::new(VerifiedSnapshot::verify_archived(snapshot_bytes.clone(), &anchor).unwrap());
        Self { id, key, certificate, ocsp, snapshot, snapshot_bytes, anchor }
    }
}

impl FileKey {
    fn generate() -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self::from_pkcs8(document.as_ref().to_vec())
    }

    fn from_pkcs8(pkcs8: Vec<u8>) -> Self {
        use aws_lc_rs::signature::KeyPair;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
        let spki = [SPKI_OF_P256, pair.public_key().as_ref()].concat();
        Self { pkcs8, public: PublicKey::from_spki(&spki).unwrap() }
    }
}

impl SigningKey for FileKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let form = match scheme {
            SignatureScheme::EcdsaP256Sha256Fixed => &ECDSA_P256_SHA256_FIXED_SIGNING,
            _ => &ECDSA_P256_SHA256_ASN1_SIGNING,
        };
        let pair = EcdsaKeyPair::from_pkcs8(form, &self.pkcs8).unwrap();
        Ok(pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec())
    }
}

/// The consumer's equipment and the provider's.
pub(crate) fn make() -> (Equipment, Equipment) {
    let (root, online, ca_key) = (FileKey::generate(), FileKey::generate(), FileKey::generate());
    let service =
        |name: &str| Subject::Service { common_name: name.to_owned(), organisation: "Load".to_owned() };
    let ca = profile::self_signed_ca(&ca_key, &service("CA"), &terms(1)).unwrap();
    let responder_key = FileKey::generate();
    let responder = profile::issue(
        &ca,
        &ca_key,
        responder_key.public_key(),
        Profile::OcspResponder,
        &service("OCSP"),
        &terms(2),
    )
    .unwrap();
    let equip = |id: &str, serial: u64| {
        let id = SecurityServerId::parse(id).unwrap();
        let key = FileKey::generate();
        let subject = Subject::Authentication { server: id.clone(), name: "Load".to_owned() };
        let certificate =
            profile::issue(&ca, &ca_key, key.public_key(), Profile::Authentication, &subject, &terms(serial))
                .unwrap();
        let request = ocsp::parse_request(&ocsp::request(&certificate, &ca, None), &ca).unwrap();
        let ocsp =
            ocsp::respond(&request, &[Answer::Good], &responder, &responder_key, START, START.plus(DAY))
                .unwrap();
        (id, Arc::new(key), certificate, ocsp)
    };
    let servers = [equip("T/GOV/1/cs", 3), equip("T/GOV/2/ps", 4)];
    let delegation = sign_delegation(
        "T",
        1,
        START.minus(DAY),
        START.plus(DAY),
        &[online.public_key().clone()],
        1,
        &[&root],
    )
    .unwrap();
    let mut draft = draft(&ca);
    draft.security_servers =
        servers.iter().map(|(id, _, certificate, _)| entry(id, "127.0.0.1:1", certificate)).collect();
    let snapshot_bytes = sign_snapshot(&draft, &delegation, &[&online]).unwrap();
    let urls = vec!["http://127.0.0.1:1/".to_owned()];
    let anchor = Anchor::new("T", Environment::Test, urls, vec![root.public_key().clone()], 1).unwrap();
    let snapshot = Arc::new(VerifiedSnapshot::verify_archived(snapshot_bytes.clone(), &anchor).unwrap());
    let [consumer, provider] = servers.map(|(id, key, certificate, ocsp)| Equipment {
        id,
        key,
        certificate,
        ocsp,
        snapshot: Arc::clone(&snapshot),
        snapshot_bytes: snapshot_bytes.clone(),
        anchor: anchor.clone(),
    });
    (consumer, provider)
}

fn draft(ca: &Certificate) -> Draft {
    let member = |code: &str| Member {
        id: MemberId::new("T", "GOV", code).unwrap(),
        name: code.to_owned(),
        suspended: false,
    };
    Draft {
        instance: "T".to_owned(),
        environment: Environment::Test,
        version: 1,
        issued: START.minus(Duration::from_secs(60)),
        expires: START.plus(DAY),
        policy: Policy {
            ocsp_freshness: DAY,
            timestamp_interval: Duration::from_secs(60),
            timestamp_failure: DAY,
            clock_skew: Duration::from_secs(30),
        },
        members: vec![member("1"), member("2")],
        subsystems: Vec::new(),
        security_servers: Vec::new(),
        registrations: Default::default(),
        cas: vec![ApprovedCa {
            name: "Load".to_owned(),
            certificate: ca.clone(),
            intermediates: Vec::new(),
            ocsp_urls: vec!["http://127.0.0.1:1/".to_owned()],
            ocsp_responders: Vec::new(),
        }],
        tsas: Vec::new(),
        services: Vec::new(),
    }
}

fn entry(id: &SecurityServerId, address: &str, certificate: &Certificate) -> SecurityServer {
    SecurityServer {
        id: id.clone(),
        addresses: vec![address.to_owned()],
        auth_certificates: vec![certificate.sha256()],
        suspended: false,
    }
}

fn terms(serial: u64) -> IssueTerms {
    let mut bytes = [0; 16];
    bytes[0] = 1;
    bytes[8..].copy_from_slice(&serial.to_be_bytes());
    IssueTerms { not_before: START.minus(DAY), not_after: START.plus(DAY), serial: bytes, ocsp_url: None }
}

/// The time of everything here. No clock is read.
const START: UnixMillis = UnixMillis(1_800_000_000_000);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What stands before the point in a `SubjectPublicKeyInfo` of a P-256 key (RFC 5480).
const SPKI_OF_P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
