//! CA, OCSP responder and TSA of a test instance, over HTTP, with faults on demand.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kogge_certs::certificate::Certificate;
use kogge_certs::key::{PublicKey, SigningKey};
use kogge_certs::ocsp::{self, Answer};
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::timestamp;
use kogge_daemon::server::{Bound, ResponseBody, ServerLimits, full};
use kogge_proto::time::UnixMillis;
use kogge_security_server::clock;
use kogge_signer::{NewKeyKind, ephemeral};

use super::EndOnDrop;

pub(crate) const TSA_POLICY: &str = "1.3.6.1.4.1.99999.1";

pub(crate) struct TrustServices {
    pub(crate) url: String,
    pub(crate) ca: Certificate,
    pub(crate) tsa: Certificate,
    pub(crate) faults: Arc<Faults>,
    responder: Arc<Responder>,
    ca_key: Arc<dyn SigningKey>,
    serial: AtomicU64,
    _end: EndOnDrop,
}

/// What goes wrong.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) tsa_down: AtomicBool,
    /// While the TSA is down, it still gives so many answers.
    pub(crate) tsa_answers: AtomicU64,
    /// By this much the TSA's clock is ahead.
    pub(crate) tsa_ahead_s: AtomicI64,
    pub(crate) ocsp_down: AtomicBool,
    pub(crate) revoked: Mutex<HashSet<Vec<u8>>>,
}

struct Responder {
    ca: Certificate,
    ocsp: (Certificate, Arc<dyn SigningKey>),
    tsa: (Certificate, Arc<dyn SigningKey>),
    faults: Arc<Faults>,
    serial: AtomicU64,
}

impl TrustServices {
    pub(crate) async fn start() -> Self {
        let service =
            |name: &str| Subject::Service { common_name: name.to_owned(), organisation: "Test".to_owned() };
        let [ca_key, ocsp_key, tsa_key] = [(); 3].map(|()| ephemeral(NewKeyKind::EcdsaP256).unwrap());
        let ca = profile::self_signed_ca(ca_key.as_ref(), &service("Test CA"), &terms(1)).unwrap();
        let issue = |key: &Arc<dyn SigningKey>, profile, name: &str, serial| {
            let (issuer, public) = (ca_key.as_ref(), key.public_key());
            profile::issue(&ca, issuer, public, profile, &service(name), &terms(serial)).unwrap()
        };
        let ocsp = issue(&ocsp_key, Profile::OcspResponder, "Test OCSP", 2);
        let tsa = issue(&tsa_key, Profile::Timestamping, "Test TSA", 3);
        let faults = Arc::new(Faults::default());
        let responder = Arc::new(Responder {
            ca: ca.clone(),
            ocsp: (ocsp, ocsp_key),
            tsa: (tsa.clone(), tsa_key),
            faults: Arc::clone(&faults),
            serial: AtomicU64::new(1),
        });
        let (end, shutdown) = EndOnDrop::new();
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), None, ServerLimits::default()).await.unwrap();
        let url = format!("http://{}", bound.local_addr());
        let serving = Arc::clone(&responder);
        let handler = move |request, _| {
            let responder = Arc::clone(&serving);
            async move { responder.respond(request).await }
        };
        tokio::spawn(bound.serve(handler, shutdown));
        Self { url, ca, tsa, faults, responder, ca_key, serial: AtomicU64::new(100), _end: end }
    }

    /// A certificate by the instance's CA.
    pub(crate) fn issue(&self, key: &PublicKey, profile: Profile, subject: &Subject) -> Certificate {
        let terms = terms(self.serial.fetch_add(1, Ordering::Relaxed));
        profile::issue(&self.ca, self.ca_key.as_ref(), key, profile, subject, &terms).unwrap()
    }

    /// What the responder says about a certificate.
    pub(crate) fn ocsp(&self, certificate: &Certificate) -> Vec<u8> {
        self.responder.status(&ocsp::request(certificate, &self.ca, None))
    }

    pub(crate) fn revoke(&self, certificate: &Certificate) {
        self.faults.revoked.lock().unwrap().insert(certificate.serial().to_vec());
    }
}

impl Responder {
    async fn respond(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let down = match path.as_str() {
            "/tsa" => self.faults.tsa_down.load(Ordering::Relaxed) && !self.one_more_answer(),
            _ => self.faults.ocsp_down.load(Ordering::Relaxed),
        };
        if down {
            let mut response = Response::new(full(Bytes::new()));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        }
        Response::new(full(if path == "/tsa" { self.stamp(&body) } else { self.status(&body) }))
    }

    fn one_more_answer(&self) -> bool {
        let left = &self.faults.tsa_answers;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn status(&self, request: &[u8]) -> Vec<u8> {
        let request = ocsp::parse_request(request, &self.ca).unwrap();
        let now = clock::now();
        let revoked = self.faults.revoked.lock().unwrap();
        let answer =
            |serial: &Vec<u8>| if revoked.contains(serial) { Answer::Revoked(now) } else { Answer::Good };
        let answers: Vec<Answer> =
            request.questions.iter().map(|question| answer(&question.serial)).collect();
        let (certificate, key) = &self.ocsp;
        let next = now.plus(Duration::from_secs(600));
        ocsp::respond(&request, &answers, certificate, key.as_ref(), now, next).unwrap()
    }

    fn stamp(&self, request: &[u8]) -> Vec<u8> {
        let request = timestamp::parse_request(request).unwrap();
        let (certificate, key) = &self.tsa;
        let ahead = self.faults.tsa_ahead_s.load(Ordering::Relaxed);
        let issue = timestamp::Issue {
            certificate,
            key: key.as_ref(),
            policy: TSA_POLICY,
            serial: serial(self.serial.fetch_add(1, Ordering::Relaxed)),
            now: UnixMillis(clock::now().0 + ahead * 1000),
        };
        timestamp::respond(&request, &issue).unwrap()
    }
}

fn terms(number: u64) -> IssueTerms {
    IssueTerms {
        not_before: clock::now().minus(Duration::from_secs(24 * 3600)),
        not_after: clock::now().plus(Duration::from_secs(24 * 3600)),
        serial: serial(number),
        ocsp_url: None,
    }
}

fn serial(number: u64) -> [u8; 16] {
    let mut serial = [1; 16];
    serial[8..].copy_from_slice(&number.to_be_bytes());
    serial
}
