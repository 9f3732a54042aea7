use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::certificate::Certificate;
use kogge_certs::key::{PublicKey, SignatureScheme, SigningKey};
use kogge_certs::profile::{self, IssueTerms, Subject};
use kogge_evidence::signature::Credential;
use kogge_proto::digest::sha512;
use kogge_signer::{NewKeyKind, ephemeral};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_489_321_250);

/// A key that counts what it signs, and refuses from some signature on.
struct Counting {
    key: Arc<dyn SigningKey>,
    signatures: AtomicUsize,
    good_for: usize,
}

impl SigningKey for Counting {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.signatures.fetch_add(1, Ordering::Relaxed) >= self.good_for {
            return Err(SignError::Token("locked".to_owned()));
        }
        self.key.sign(scheme, message)
    }
}

struct Scene {
    queues: Arc<Queues>,
    key: Arc<Counting>,
    certificate: Certificate,
}

impl Scene {
    fn new(kind: NewKeyKind, good_for: usize) -> Self {
        let key = ephemeral(kind).unwrap();
        let subject = Subject::Service { common_name: "Test".to_owned(), organisation: "Test".to_owned() };
        let day = Duration::from_secs(86_400);
        let terms = IssueTerms {
            not_before: NOW.minus(day).floor_seconds(),
            not_after: NOW.plus(day).floor_seconds(),
            serial: [1; 16],
            ocsp_url: None,
        };
        let certificate = profile::self_signed_ca(&*key, &subject, &terms).unwrap();
        let key = Arc::new(Counting { key, signatures: AtomicUsize::new(0), good_for });
        Self { queues: Arc::new(Queues::new(Arc::new(Metrics::new()))), key, certificate }
    }

    fn credential(&self, ocsp: &'static str) -> Arc<ReadyCredential> {
        let key = Arc::clone(&self.key) as Arc<dyn SigningKey>;
        let ocsp = Bytes::from_static(ocsp.as_bytes());
        let certificate = self.certificate.clone();
        Arc::new(ReadyCredential::new(Credential { certificate, issuers: vec![], ocsp, key }))
    }

    /// A message that waits to be signed; polled by the test's runtime when that gets to it.
    fn ask(&self, peer: &str, number: usize, ocsp: &'static str) -> tokio::task::JoinHandle<Outcome> {
        let (queues, credential) = (Arc::clone(&self.queues), self.credential(ocsp));
        let peer = SecurityServerId::parse(peer).unwrap();
        tokio::spawn(async move { queues.sign(&peer, parts(number), credential, NOW).await })
    }

    /// A worker looks once more before it ends; a queue that is done is gone.
    async fn ends(&self) {
        for _ in 0..100 {
            if self.queues.lock().is_empty() {
                return;
            }
            yield_now().await;
        }
        panic!("a queue outlives its messages");
    }

    fn signatures(&self) -> usize {
        self.key.signatures.load(Ordering::Relaxed)
    }
}

type Outcome = Result<Signed, SigningError>;

const PEER: &str = "DEMO/GOV/2002/SS1";
const OTHER: &str = "DEMO/GOV/2002/SS2";

fn parts(number: usize) -> Parts {
    Parts { message: sha512(&number.to_be_bytes()), body: None }
}

fn batch_size(signed: &Signed) -> Option<u32> {
    let proof = signed.signature.batch.as_ref()?;
    Some(2_u32.pow(u32::try_from(proof.siblings.len() / 32).unwrap()))
}

async fn all(asked: Vec<tokio::task::JoinHandle<Outcome>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for asked in asked {
        outcomes.push(asked.await.unwrap());
    }
    outcomes
}

#[tokio::test]
async fn what_waits_together_is_signed_together() {
    for kind in [NewKeyKind::EcdsaP256, NewKeyKind::Rsa(2048)] {
        let scene = Scene::new(kind, usize::MAX);
        let outcomes = all((0..16).map(|number| scene.ask(PEER, number, "ocsp")).collect()).await;
        assert_eq!(scene.signatures(), 1);
        let value = &outcomes[0].as_ref().unwrap().signature.value;
        for outcome in &outcomes {
            let signed = outcome.as_ref().unwrap();
            assert_eq!((batch_size(signed), &signed.signature.value), (Some(16), value));
        }
        scene.ends().await;
    }
}

#[tokio::test]
async fn a_message_alone_is_signed_directly() {
    let scene = Scene::new(NewKeyKind::EcdsaP256, usize::MAX);
    for number in 0..3 {
        let signed = scene.ask(PEER, number, "ocsp").await.unwrap().unwrap();
        assert_eq!(batch_size(&signed), None);
    }
    assert_eq!(scene.signatures(), 3);
}

#[tokio::test]
async fn batches_are_bounded_and_of_one_peer_and_one_credential() {
    let scene = Scene::new(NewKeyKind::EcdsaP256, usize::MAX);
    let many = SIGNATURE_BATCH_MAX + 1;
    let outcomes = all((0..many).map(|number| scene.ask(PEER, number, "ocsp")).collect()).await;
    assert_eq!(scene.signatures(), 2);
    let alone = outcomes.iter().filter(|outcome| batch_size(outcome.as_ref().unwrap()).is_none());
    assert_eq!(alone.count(), 1);

    let asked = [(PEER, "a"), (OTHER, "a"), (PEER, "a"), (OTHER, "a"), (PEER, "b"), (PEER, "a")];
    let asked =
        asked.iter().enumerate().map(|(number, (peer, ocsp))| scene.ask(peer, number, ocsp)).collect();
    let sizes: Vec<_> =
        all(asked).await.iter().map(|outcome| batch_size(outcome.as_ref().unwrap())).collect();
    assert_eq!(sizes, [Some(2), Some(2), Some(2), Some(2), None, None]);
}

#[tokio::test]
async fn a_key_that_fails_fails_for_all_of_the_batch_and_not_for_ever() {
    let scene = Scene::new(NewKeyKind::EcdsaP256, 0);
    let outcomes = all((0..5).map(|number| scene.ask(PEER, number, "ocsp")).collect()).await;
    assert_eq!(scene.signatures(), 1);
    for outcome in outcomes {
        let SigningError::Token(error) = outcome.unwrap_err() else { panic!("another error") };
        assert_eq!(error, SignError::Token("locked".to_owned()));
    }
    scene.ends().await;
    assert!(scene.ask(PEER, 1, "ocsp").await.unwrap().is_err());
    assert_eq!(scene.signatures(), 2);
}

#[tokio::test]
async fn who_goes_away_is_not_signed_for() {
    let scene = Scene::new(NewKeyKind::EcdsaP256, usize::MAX);
    let peer = SecurityServerId::parse(PEER).unwrap();
    let mut gone = Box::pin(scene.queues.sign(&peer, parts(0), scene.credential("ocsp"), NOW));
    assert!(futures_util::poll!(&mut gone).is_pending());
    drop(gone);
    assert_eq!(batch_size(&scene.ask(PEER, 1, "ocsp").await.unwrap().unwrap()), None);
    assert_eq!(scene.signatures(), 1);

    let mut gone = Box::pin(scene.queues.sign(&peer, parts(0), scene.credential("ocsp"), NOW));
    assert!(futures_util::poll!(&mut gone).is_pending());
    drop(gone);
    scene.ends().await;
    assert_eq!(scene.signatures(), 1, "nobody is left to sign for");
}

/// A worker that is dropped in the middle, as a runtime does that ends.
#[tokio::test]
async fn a_worker_that_is_stopped_leaves_nobody_waiting() {
    let scene = Scene::new(NewKeyKind::EcdsaP256, usize::MAX);
    let peer = SecurityServerId::parse(PEER).unwrap();
    let message = || {
        let (tell, told) = oneshot::channel();
        (Waiting { parts: parts(0), credential: scene.credential("ocsp"), now: NOW, tell }, told)
    };
    let ((first, told_first), (second, told_second)) = (message(), message());
    let worker = scene.queues.add(&peer, first).unwrap();
    assert!(scene.queues.add(&peer, second).is_none());
    drop(worker);
    assert!(told_first.await.is_err() && told_second.await.is_err());
    assert!(scene.ask(PEER, 1, "ocsp").await.unwrap().is_ok(), "the next message has a worker of its own");
}
