//! Making the authority, and what it issues and refuses.

mod instance;

use std::time::Duration;

use kogge_certs::profile::{self, Profile, Subject};
use kogge_signer::TokenError;
use kogge_trust_services::{Serial, TrustServices, TrustServicesError, init, issue, reinstate, revoke, run};

use instance::{configure, fresh_key, now, openssl, signing_subject};
use kogge_daemon::server::ListenError;
use kogge_daemon::shutdown::Shutdown;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn openssl_accepts_every_certificate() {
    for intermediate in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let config = configure(dir.path(), &format!("intermediate = {intermediate}\n"));
        let made = init(&config, now()).unwrap();
        assert_eq!(made.issuing.is_some(), intermediate);
        let path = |name: &str| config.dir().join(name).to_str().unwrap().to_owned();
        let request = profile::request(fresh_key().as_ref(), &signing_subject()).unwrap();
        let leaf = issue(&config, &request, Profile::Signing, &signing_subject(), DAY, now()).unwrap();
        std::fs::write(path("leaf.pem"), leaf.to_pem()).unwrap();
        let (ca, issuing) = (path("ca.pem"), path(if intermediate { "issuing.pem" } else { "ca.pem" }));
        for (file, purpose) in
            [("ocsp.pem", "ocsphelper"), ("tsa.pem", "timestampsign"), ("leaf.pem", "any"), ("ca.pem", "any")]
        {
            let verify =
                ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", &ca, "-untrusted", &issuing];
            let Some((says, errors)) = openssl(&[&verify[..], &[&path(file)]].concat()) else { return };
            assert!(says.contains(": OK"), "{file}: {says}{errors}");
        }
    }
}

#[tokio::test]
async fn there_is_one_authority_to_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "");
    assert!(matches!(run(config.clone(), Shutdown::new()).await, Err(TrustServicesError::Missing(_))));
    let made = init(&config, now()).unwrap();
    assert!(matches!(init(&config, now()), Err(TrustServicesError::Exists(_))));
    assert_eq!(std::fs::read_to_string(config.dir().join("ca.pem")).unwrap(), made.ca.to_pem());

    // What a crash within `init` leaves behind is neither used nor built upon.
    std::fs::remove_file(config.dir().join("certificates.journal")).unwrap();
    assert!(matches!(init(&config, now()), Err(TrustServicesError::Exists(_))));
    assert!(matches!(TrustServices::bind(config).await.err(), Some(TrustServicesError::Missing(_))));
}

#[tokio::test]
async fn a_service_that_cannot_work_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "");
    init(&config, now()).unwrap();

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let file = dir.path().join("trust-services.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    std::fs::write(&file, text).unwrap();
    let elsewhere = kogge_trust_services::Config::load(&file).unwrap();
    let refusal = TrustServices::bind(elsewhere).await.err();
    assert!(matches!(refusal, Some(TrustServicesError::Listen(ListenError::InUse(_)))));

    let journal = config.dir().join("certificates.journal");
    let good = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, [b"x", good.as_slice()].concat()).unwrap();
    let refusal = TrustServices::bind(config.clone()).await.err();
    assert!(matches!(refusal, Some(TrustServicesError::Journal { line: 1, .. })));
    std::fs::write(&journal, good).unwrap();

    std::fs::write(config.dir().join("tsa.pem"), "junk").unwrap();
    let refusal = TrustServices::bind(config.clone()).await.err();
    assert!(matches!(refusal, Some(TrustServicesError::File { path, .. }) if path.ends_with("tsa.pem")));

    std::fs::write(dir.path().join("pin"), "another PIN of some length\n").unwrap();
    let refusal = TrustServices::bind(config).await.err();
    assert!(matches!(refusal, Some(TrustServicesError::Token(TokenError::WrongPin))));
}

#[test]
fn what_does_not_fit_is_not_issued() {
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "");
    init(&config, now()).unwrap();
    let journal = || std::fs::read(config.dir().join("certificates.journal")).unwrap();
    let before = journal();
    let request = profile::request(fresh_key().as_ref(), &signing_subject()).unwrap();
    let issue =
        |request: &[u8], profile, subject: &Subject| issue(&config, request, profile, subject, DAY, now());

    for profile in [Profile::OcspResponder, Profile::Timestamping] {
        let service = Subject::Service { common_name: "TSA".to_owned(), organisation: String::new() };
        let refusal = issue(&request, profile, &service);
        assert!(matches!(refusal, Err(TrustServicesError::ProfileNotOffered)));
    }
    assert!(matches!(
        issue(b"junk", Profile::Signing, &signing_subject()),
        Err(TrustServicesError::Profile(_))
    ));
    let mut altered = request.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(
        issue(&altered, Profile::Signing, &signing_subject()),
        Err(TrustServicesError::Profile(_))
    ));
    let refusal = issue(&request, Profile::Tls, &signing_subject());
    assert!(matches!(refusal, Err(TrustServicesError::Profile(_))));
    assert_eq!(journal(), before);
}

#[test]
fn only_what_was_issued_can_be_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "");
    let made = init(&config, now()).unwrap();
    let never = Serial::parse("4001").unwrap();
    assert!(
        matches!(revoke(&config, &never, now()), Err(TrustServicesError::NotIssued(serial)) if serial == never)
    );
    assert!(matches!(reinstate(&config, &never, now()), Err(TrustServicesError::NotIssued(_))));

    // Doing it twice changes nothing: the first time of revocation stands.
    let journal = || std::fs::read(config.dir().join("certificates.journal")).unwrap();
    let tsa = Serial::from(&made.tsa);
    let before = journal();
    reinstate(&config, &tsa, now()).unwrap();
    assert_eq!(journal(), before);
    revoke(&config, &tsa, now()).unwrap();
    let once = journal();
    assert_ne!(once, before);
    revoke(&config, &tsa, now()).unwrap();
    assert_eq!(journal(), once);
}

#[test]
fn certificates_are_of_their_profile() {
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "");
    let made = init(&config, now()).unwrap();
    profile::check(&made.ocsp, Profile::OcspResponder).unwrap();
    profile::check(&made.tsa, Profile::Timestamping).unwrap();
    let key = fresh_key();
    let tls = Subject::Tls { names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()] };
    let request = profile::request(key.as_ref(), &tls).unwrap();
    let certificate = issue(&config, &request, Profile::Tls, &tls, DAY, now()).unwrap();
    profile::check(&certificate, Profile::Tls).unwrap();
    assert_eq!(certificate.public_key(), key.public_key());
    let lifetime = certificate.not_after().since(now());
    assert!(lifetime <= DAY && certificate.not_before() <= now());
}
