//! The running service as others see it: over HTTP, with `openssl` as judge where it is installed.

mod instance;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_certs::ocsp::{self, Freshness, OcspError};
use kogge_certs::path;
use kogge_certs::profile::Profile;
use kogge_certs::timestamp::{self, Imprint, TimestampError};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa, TrustStore};
use kogge_proto::digest::{sha256, sha512};
use kogge_trust_services::{Serial, reinstate, revoke};

use instance::{Instance, now, openssl};

const FRESHNESS: Freshness =
    Freshness { age_max: Duration::from_secs(60), skew_max: Duration::from_secs(60) };
const OCSP: &str = "application/ocsp-request";
const TSA: &str = "application/timestamp-query";

fn trust(instance: &Instance) -> TrustStore {
    let made = &instance.made;
    let ca = ApprovedCa {
        name: "Test CA".to_owned(),
        certificate: made.ca.clone(),
        intermediates: made.issuing.iter().cloned().collect(),
        ocsp_urls: Vec::new(),
        ocsp_responders: Vec::new(),
    };
    let tsa = ApprovedTsa {
        name: "Test TSA".to_owned(),
        url: instance.url("/tsa"),
        certificate: made.tsa.clone(),
        policies: vec![instance.config.tsa_policy().to_owned()],
    };
    TrustStore::new(vec![ca], vec![tsa])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_counts_at_once_and_can_be_taken_back() {
    for intermediate in [false, true] {
        let instance = Instance::start(intermediate).await;
        let leaf = instance.issue_signing();
        let issuer = instance.made.issuing.as_ref().unwrap_or(&instance.made.ca);
        let path = path::verify(&leaf, &[], &trust(&instance), Profile::Signing, now()).unwrap();
        let ask = || async {
            let nonce = *b"0123456789abcdef";
            let question = ocsp::request(&leaf, issuer, Some(&nonce));
            let (status, response) = instance.post("/ocsp", Some(OCSP), &question).await;
            assert_eq!(status, 200);
            ocsp::verify(&response, &path, FRESHNESS, Some(&nonce), now())
        };
        ask().await.unwrap();
        let at = now();
        revoke(&instance.config, &Serial::from(&leaf), at).unwrap();
        assert_eq!(ask().await, Err(OcspError::Revoked { at: at.floor_seconds() }));
        reinstate(&instance.config, &Serial::from(&leaf), now()).unwrap();
        let status = ask().await.unwrap();
        let validity = status.next_update.unwrap().since(status.this_update);
        assert_eq!(validity, Duration::from_secs(600));
        instance.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openssl_client_accepts_the_responder() {
    for intermediate in [false, true] {
        let instance = Instance::start(intermediate).await;
        let leaf = instance.issue_signing();
        let (ca, file) = (instance.path("trust/ca.pem"), instance.path("leaf.pem"));
        std::fs::write(&file, leaf.to_pem()).unwrap();
        let issuer = if intermediate { instance.path("trust/issuing.pem") } else { ca.clone() };
        let url = instance.url("/ocsp");
        let common = ["ocsp", "-url", &url, "-issuer", &issuer, "-CAfile", &ca, "-verify_other", &issuer];
        let ask = |which: [&str; 2]| openssl(&[&common[..], &which[..]].concat());
        let Some((says, verdict)) = ask(["-cert", &file]) else { return };
        assert!(says.contains("leaf.pem: good"), "{says}");
        assert!(verdict.contains("Response verify OK"), "{verdict}");
        revoke(&instance.config, &Serial::from(&leaf), now()).unwrap();
        let (says, verdict) = ask(["-cert", &file]).unwrap();
        assert!(says.contains("leaf.pem: revoked"), "{says}");
        assert!(verdict.contains("Response verify OK"), "{verdict}");
        let (says, verdict) = ask(["-serial", "0x1234567890"]).unwrap();
        assert!(says.contains("0x1234567890: unknown"), "{says}");
        assert!(verdict.contains("Response verify OK"), "{verdict}");

        // Another CA may have given the same serial number to somebody else.
        let foreign = instance.path("foreign.pem");
        let other = Instance::start(false).await;
        std::fs::write(&foreign, other.made.ca.to_pem()).unwrap();
        let serial = format!("0x{}", Serial::from(&leaf));
        let both = ["-cert", &file, "-issuer", &foreign, "-serial", &serial];
        let (says, _) = openssl(&[&common[..], &both].concat()).unwrap();
        assert!(says.contains("leaf.pem: revoked") && says.contains(&format!("{serial}: unknown")), "{says}");
        other.stop().await;
        instance.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_may_come_by_get() {
    let instance = Instance::start(false).await;
    let leaf = instance.issue_signing();
    let path = path::verify(&leaf, &[], &trust(&instance), Profile::Signing, now()).unwrap();
    let question = STANDARD.encode(ocsp::request(&leaf, &instance.made.ca, None));
    let encoded = question.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
    for question in [question, encoded] {
        let (status, response) = instance.get(&format!("/ocsp/{question}")).await;
        assert_eq!(status, 200);
        ocsp::verify(&response, &path, FRESHNESS, None, now()).unwrap();
    }
    assert_eq!(instance.get("/ocsp/*").await.0, 400);
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_cannot_be_answered_get_their_status() {
    let (instance, other) = (Instance::start(false).await, Instance::start(false).await);
    let ask = |question: Vec<u8>| {
        let instance = &instance;
        async move { instance.post("/ocsp", Some(OCSP), &question).await }
    };
    assert_eq!(ask(b"junk".to_vec()).await, (200, ocsp::error_response(1)));
    let foreign = ocsp::request(&other.issue_signing(), &other.made.ca, None);
    assert_eq!(ask(foreign).await, (200, ocsp::error_response(6)));

    let leaf = instance.issue_signing();
    let question = ocsp::request(&leaf, &instance.made.ca, None);
    let journal = instance.path("trust/certificates.journal");
    let mut damaged = std::fs::read(&journal).unwrap();
    damaged[0] ^= 1;
    damaged.push(b'\n');
    std::fs::write(&journal, damaged).unwrap();
    assert_eq!(ask(question).await, (200, ocsp::error_response(2)));
    assert_eq!(instance.get("/health").await.0, 503);
    instance.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_verify() {
    let instance = Instance::start(true).await;
    let imprint = Imprint::Sha256(sha256(b"root"));
    let (status, response) = instance.post("/tsa", Some(TSA), &timestamp::request(&imprint, Some(7))).await;
    assert_eq!(status, 200);
    let token = timestamp::token_of_response(&response).unwrap();
    let verified = timestamp::verify(&token, &imprint, Some(7), &trust(&instance)).unwrap();
    assert!(verified.gen_time() <= now());
    let (_, again) = instance.post("/tsa", Some(TSA), &timestamp::request(&imprint, Some(7))).await;
    let again = timestamp::token_of_response(&again).unwrap();
    let again = timestamp::verify(&again, &imprint, Some(7), &trust(&instance)).unwrap();
    assert_ne!(verified.serial(), again.serial());
    let other = Imprint::Sha512(sha512(b"root"));
    let refusal = timestamp::verify(&token, &other, Some(7), &trust(&instance)).unwrap_err();
    assert_eq!(refusal, TimestampError::Imprint);
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_accepts_tokens_and_is_refused_other_policies() {
    let instance = Instance::start(false).await;
    let (data, query, reply) = (instance.path("data"), instance.path("query"), instance.path("reply"));
    let ca = instance.path("trust/ca.pem");
    std::fs::write(&data, b"what was sent").unwrap();
    let stamp = |extra: &'static [&'static str]| {
        let instance = &instance;
        let (data, query, reply) = (&data, &query, &reply);
        async move {
            let asked = ["ts", "-query", "-data", data, "-cert", "-out", query];
            openssl(&[&asked[..], extra].concat())?;
            let (status, response) = instance.post("/tsa", Some(TSA), &std::fs::read(query).unwrap()).await;
            assert_eq!(status, 200);
            std::fs::write(reply, &response).unwrap();
            Some(response)
        }
    };
    for extra in
        [&["-sha256"][..], &["-sha512", "-no_nonce"], &["-sha384", "-tspolicy", "1.3.6.1.4.1.99999.1"]]
    {
        if stamp(extra).await.is_none() {
            return;
        }
        for about in [["-queryfile", &query], ["-data", &data]] {
            let (says, errors) =
                openssl(&[&["ts", "-verify", "-in", &reply, "-CAfile", &ca][..], &about].concat()).unwrap();
            assert!(
                says.contains("Verification: OK") || errors.contains("Verification: OK"),
                "{says}{errors}"
            );
        }
    }
    for (extra, reason) in [
        (&["-sha512", "-tspolicy", "1.3.6.1.4.1.99999.2"][..], "rejection, unacceptedPolicy"),
        (&["-sha1"], "rejection, badAlg"),
    ] {
        let response = stamp(extra).await.unwrap();
        let refusal = timestamp::token_of_response(&response).unwrap_err();
        assert_eq!(refusal, TimestampError::NotGranted(reason.to_owned()));
    }
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_used_as_the_protocols_say() {
    let instance = Instance::start(false).await;
    for path in ["/ocsp", "/tsa"] {
        assert_eq!(instance.post(path, None, b"").await.0, 415);
        assert_eq!(instance.post(path, Some("application/json"), b"").await.0, 415);
        assert_eq!(instance.get(path).await.0, 405);
    }
    assert_eq!(instance.post("/ocsp", Some(TSA), b"").await.0, 415);
    assert_eq!(instance.post("/ocsp", Some("Application/OCSP-Request; v=1"), b"").await.0, 200);
    assert_eq!(instance.post("/ocsp", Some(OCSP), &[0x30; 8193]).await.0, 413);
    assert_eq!(instance.post("/tsa", Some(TSA), &[0x30; 8193]).await.0, 413);
    assert_eq!(instance.post("/health", Some(OCSP), b"").await.0, 405);
    assert_eq!(instance.get("/").await.0, 404);
    assert_eq!(instance.get("/ca.pem").await, (200, instance.made.ca.to_pem().into_bytes()));
    assert_eq!(instance.get("/health").await, (200, b"{\"status\":\"ok\",\"issued\":2}\n".to_vec()));
    instance.stop().await;
}
