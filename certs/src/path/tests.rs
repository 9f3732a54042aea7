use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints};

use super::*;
use crate::key::SigningKey;
use crate::testing::{NOW, TestCa, TestKey, terms};

const DAY: Duration = Duration::from_secs(86_400);

fn trust(cas: &[&TestCa]) -> TrustStore {
    TrustStore::new(cas.iter().map(|ca| ca.approved()).collect(), Vec::new())
}

fn signing(leaf: &Certificate, given: &[Certificate], trust: &TrustStore) -> Result<VerifiedPath, PathError> {
    verify(leaf, given, trust, Profile::Signing, NOW)
}

fn unknown(leaf: &Certificate) -> PathError {
    PathError::UnknownIssuer { subject: leaf.subject(), issuer: leaf.issuer() }
}

#[test]
fn a_leaf_directly_under_an_approved_ca() {
    let (first, second) = (TestCa::root("First"), TestCa::root("Second"));
    let leaf = second.issue(&TestKey::p256(), Profile::Signing);
    let path = signing(&leaf, &[], &trust(&[&first, &second])).unwrap();
    assert_eq!(path.leaf(), &leaf);
    assert!(path.intermediates().is_empty());
    assert_eq!(path.issuer(), &second.certificate);
    assert_eq!(path.ca().certificate, second.certificate);
}

#[test]
fn intermediates_are_taken_from_both_sides_and_put_in_order() {
    let root = TestCa::root("Root");
    let middle = root.intermediate("Middle");
    let unrelated = TestCa::root("Unrelated");
    let leaf = middle.issue(&TestKey::p256(), Profile::Signing);

    assert_eq!(signing(&leaf, &[], &trust(&[&root])).unwrap_err(), unknown(&leaf));
    let given = [unrelated.certificate.clone(), middle.certificate.clone()];
    let path = signing(&leaf, &given, &trust(&[&root])).unwrap();
    assert_eq!(path.intermediates(), std::slice::from_ref(&middle.certificate));
    assert_eq!(path.issuer(), &middle.certificate);

    let mut listed = root.approved();
    listed.intermediates = vec![middle.certificate.clone()];
    let path = signing(&leaf, &[], &TrustStore::new(vec![listed], Vec::new())).unwrap();
    assert_eq!(path.intermediates(), [middle.certificate]);
}

#[test]
fn the_validity_counts_at_the_time_asked_for() {
    let root = TestCa::root("Root");
    let leaf = root.issue(&TestKey::p256(), Profile::Signing);
    let store = trust(&[&root]);
    let at = |time| verify(&leaf, &[], &store, Profile::Signing, time);
    let subject = leaf.subject();
    assert!(at(leaf.not_before()).is_ok());
    assert!(at(UnixMillis(leaf.not_after().0 + 999)).is_ok());
    let early = at(UnixMillis(leaf.not_before().0 - 1)).unwrap_err();
    assert_eq!(early, PathError::NotYetValid { subject: subject.clone(), at: leaf.not_before() });
    let late = at(UnixMillis(leaf.not_after().0 + 1000)).unwrap_err();
    assert_eq!(late, PathError::Expired { subject, at: leaf.not_after() });
}

#[test]
fn an_expired_intermediate_or_ca_is_named() {
    let root = TestCa::root("Root");
    let key = TestKey::p256();
    let name =
        crate::profile::Subject::Service { common_name: "Short".to_owned(), organisation: String::new() };
    let short =
        crate::profile::intermediate_ca(&root.certificate, &root.key, key.public_key(), &name, &terms(2, 5));
    let middle = TestCa { key, certificate: short.unwrap() };
    let leaf = middle.issue(&TestKey::p256(), Profile::Signing);
    let given = [middle.certificate.clone()];
    let later = NOW.plus(DAY * 10);
    let found = verify(&leaf, &given, &trust(&[&root]), Profile::Signing, later).unwrap_err();
    let at = middle.certificate.not_after();
    assert_eq!(found, PathError::Expired { subject: "CN=Short".to_owned(), at });

    let long = root.issue_with(&TestKey::p256(), Profile::Signing, &terms(5, 5000));
    let after_ca = NOW.plus(DAY * 4000);
    let found = verify(&long, &[], &trust(&[&root]), Profile::Signing, after_ca).unwrap_err();
    let at = root.certificate.not_after();
    assert_eq!(found, PathError::Expired { subject: root.certificate.subject(), at });
}

#[test]
fn a_ca_that_is_not_approved_is_none() {
    let (approved, other) = (TestCa::root("Root"), TestCa::root("Other"));
    let leaf = other.issue(&TestKey::p256(), Profile::Signing);
    assert_eq!(signing(&leaf, &[], &trust(&[&approved])).unwrap_err(), unknown(&leaf));
    // Sending the CA along does not approve it.
    let given = [other.certificate.clone()];
    assert_eq!(signing(&leaf, &given, &trust(&[&approved])).unwrap_err(), unknown(&leaf));
    assert_eq!(signing(&leaf, &given, &TrustStore::default()).unwrap_err(), unknown(&leaf));
}

#[test]
fn a_rogue_ca_of_the_same_name_is_refused() {
    let (approved, rogue) = (TestCa::root("Root"), TestCa::root("Root"));
    let leaf = rogue.issue(&TestKey::p256(), Profile::Signing);
    let wrong = PathError::Invalid("a certificate is not signed by the issuer that it names".to_owned());
    assert_eq!(signing(&leaf, &[], &trust(&[&approved])).unwrap_err(), wrong);
    assert!(signing(&leaf, std::slice::from_ref(&rogue.certificate), &trust(&[&approved])).is_err());
    // And the right one of two approved CAs with one name is found, whatever the order.
    assert!(signing(&leaf, &[], &trust(&[&approved, &rogue])).is_ok());
    assert!(signing(&leaf, &[], &trust(&[&rogue, &approved])).is_ok());
}

#[test]
fn an_altered_leaf_is_refused() {
    let root = TestCa::root("Root");
    let leaf = root.issue(&TestKey::p256(), Profile::Signing);
    let store = trust(&[&root]);
    let mut passed = 0;
    for at in 0..leaf.der().len() {
        let mut altered = leaf.der().to_vec();
        altered[at] ^= 0x01;
        let Ok(altered) = Certificate::from_der(&altered) else { continue };
        assert!(signing(&altered, &[], &store).is_err(), "byte {at}");
        passed += 1;
    }
    assert!(passed > 100, "most altered certificates still parse: {passed}");
}

#[test]
fn the_leaf_must_be_of_the_profile() {
    let root = TestCa::root("Root");
    let signer = root.issue(&TestKey::p256(), Profile::Signing);
    let server = root.issue(&TestKey::p256(), Profile::Authentication);
    let store = trust(&[&root]);
    let unfit = |profile, reason: &str| {
        PathError::Profile(ProfileError::Unfit { profile, reason: reason.to_owned() })
    };
    assert_eq!(
        verify(&server, &[], &store, Profile::Signing, NOW).unwrap_err(),
        unfit(Profile::Signing, "key usage lacks nonRepudiation (contentCommitment)")
    );
    // A signing certificate has no extended key usage, and having none is not having clientAuth.
    assert_eq!(
        verify(&signer, &[], &store, Profile::Authentication, NOW).unwrap_err(),
        unfit(Profile::Authentication, "extended key usage lacks clientAuth")
    );
    assert_eq!(
        verify(&root.certificate, &[], &store, Profile::Signing, NOW).unwrap_err(),
        unfit(Profile::Signing, "it is the certificate of a CA")
    );
    assert!(verify(&server, &[], &store, Profile::Authentication, NOW).is_ok());
}

#[test]
fn an_end_entity_is_no_issuer() {
    let root = TestCa::root("Root");
    let pair = KeyPair::generate().unwrap();
    let member = certificate_of(&pair, &root);
    // Our own function refuses to issue under a member; rcgen does not.
    let issuer = Issuer::from_ca_cert_der(&member.der().into(), &pair).unwrap();
    let leaf = foreign_leaf().signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    let leaf = Certificate::from_der(leaf.der()).unwrap();
    let found = signing(&leaf, &[member], &trust(&[&root])).unwrap_err();
    assert_eq!(found, PathError::Invalid("a certificate is used as a CA's that is none".to_owned()));
}

#[test]
fn a_self_signed_leaf_is_refused() {
    let root = TestCa::root("Root");
    let pair = KeyPair::generate().unwrap();
    let leaf = foreign_leaf().self_signed(&pair).unwrap();
    let leaf = Certificate::from_der(leaf.der()).unwrap();
    let given = [leaf.clone()];
    assert_eq!(signing(&leaf, &given, &trust(&[&root])).unwrap_err(), unknown(&leaf));
}

#[test]
fn lengths_of_paths_are_limited() {
    // Path length 1 of the root allows one intermediate, not two.
    let root = TestCa::root("Root");
    let middle = root.intermediate("Middle");
    let low = middle.intermediate("Low");
    let leaf = low.issue(&TestKey::p256(), Profile::Signing);
    let given = [middle.certificate.clone(), low.certificate.clone()];
    let found = signing(&leaf, &given, &trust(&[&root])).unwrap_err();
    assert_eq!(found, PathError::Invalid("a CA allows fewer CAs below it".to_owned()));

    // Without such constraints our own limit holds: three intermediates pass, four do not.
    for (count, good) in [(3, true), (4, false)] {
        let (store, given, leaf) = chain_of(count);
        let found = signing(&leaf, &given, &store);
        match good {
            true => {
                let path = found.unwrap();
                let expected: Vec<_> = given.iter().rev().cloned().collect();
                assert_eq!(path.intermediates(), expected);
            }
            false => assert_eq!(found.unwrap_err(), PathError::TooLong),
        }
    }

    let many = vec![middle.certificate.clone(); MATERIAL_ITEMS_MAX + 1];
    assert_eq!(signing(&leaf, &many, &trust(&[&root])).unwrap_err(), PathError::TooLong);
}

#[test]
fn name_constraints_of_a_ca_hold() {
    let pair = KeyPair::generate().unwrap();
    let mut params = foreign_ca("Constrained");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("good.example".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    let certificate = Certificate::from_der(params.self_signed(&pair).unwrap().der()).unwrap();
    let issuer = Issuer::from_params(&params, &pair);
    let store = TrustStore::new(vec![approved(&certificate)], Vec::new());
    for (name, good) in [("ss1.good.example", true), ("ss1.bad.example", false)] {
        let mut leaf = foreign_leaf();
        leaf.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().unwrap())];
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let found = signing(&Certificate::from_der(leaf.der()).unwrap(), &[], &store);
        match good {
            true => assert!(found.is_ok()),
            false => {
                assert_eq!(found.unwrap_err(), PathError::Invalid("a CA does not allow the name".to_owned()));
            }
        }
    }
}

/// A signing certificate of `ca` for a key of rcgen's.
fn certificate_of(pair: &KeyPair, ca: &TestCa) -> Certificate {
    use rcgen::PublicKeyData;
    let public = crate::key::PublicKey::from_spki(&pair.subject_public_key_info()).unwrap();
    let subject = crate::testing::subject(Profile::Signing);
    profile::issue(&ca.certificate, &ca.key, &public, Profile::Signing, &subject, &terms(7, 300)).unwrap()
}

/// A signing certificate as another CA's software would make it.
fn foreign_leaf() -> CertificateParams {
    let mut params = dated(CertificateParams::default());
    params.key_usages = vec![rcgen::KeyUsagePurpose::ContentCommitment];
    params
}

fn foreign_ca(name: &str) -> CertificateParams {
    let mut params = dated(CertificateParams::default());
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    let date = |at: UnixMillis| time::OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap();
    params.not_before = date(NOW.minus(DAY));
    params.not_after = date(NOW.plus(DAY * 300));
    params
}

/// A leaf below so many intermediates, highest first, below an approved CA.
fn chain_of(count: usize) -> (TrustStore, Vec<Certificate>, Certificate) {
    let mut pair = KeyPair::generate().unwrap();
    let mut params = foreign_ca("Root");
    let root = Certificate::from_der(params.self_signed(&pair).unwrap().der()).unwrap();
    let mut chain = Vec::new();
    for step in 0..count {
        let next = KeyPair::generate().unwrap();
        let below = foreign_ca(&format!("Level {step}"));
        let made = below.signed_by(&next, &Issuer::from_params(&params, &pair)).unwrap();
        chain.push(Certificate::from_der(made.der()).unwrap());
        (params, pair) = (below, next);
    }
    let leaf = foreign_leaf()
        .signed_by(&KeyPair::generate().unwrap(), &Issuer::from_params(&params, &pair))
        .unwrap();
    (TrustStore::new(vec![approved(&root)], Vec::new()), chain, Certificate::from_der(leaf.der()).unwrap())
}

fn approved(certificate: &Certificate) -> ApprovedCa {
    ApprovedCa {
        name: String::new(),
        certificate: certificate.clone(),
        intermediates: Vec::new(),
        ocsp_urls: Vec::new(),
        ocsp_responders: Vec::new(),
    }
}
