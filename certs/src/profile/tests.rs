use super::*;
use crate::testing::{NOW, TestCa, TestKey, openssl, subject, terms};

const ALL: [Profile; 5] =
    [Profile::Signing, Profile::Authentication, Profile::OcspResponder, Profile::Timestamping, Profile::Tls];

/// What `openssl x509 -text` says, one trimmed line each.
fn shown(certificate: &Certificate) -> Option<Vec<String>> {
    let text = openssl(&["x509", "-noout", "-text"], certificate.to_pem().as_bytes())?;
    Some(String::from_utf8(text).unwrap().lines().map(|line| line.trim().to_owned()).collect())
}

/// The line after the one that begins so.
fn after<'a>(lines: &'a [String], start: &str) -> Option<&'a str> {
    let at = lines.iter().position(|line| line.starts_with(start))?;
    lines.get(at + 1).map(String::as_str)
}

#[test]
fn openssl_reads_each_profile_as_documented() {
    let ca = TestCa::root("Root");
    let digital = Some("Digital Signature");
    for (profile, key_usage, purposes, critical) in [
        (Profile::Signing, Some("Non Repudiation"), None, false),
        (
            Profile::Authentication,
            digital,
            Some("TLS Web Server Authentication, TLS Web Client Authentication"),
            false,
        ),
        (Profile::OcspResponder, digital, Some("OCSP Signing"), false),
        (Profile::Timestamping, digital, Some("Time Stamping"), true),
        (Profile::Tls, digital, Some("TLS Web Server Authentication"), false),
    ] {
        let certificate = ca.issue(&TestKey::p256(), profile);
        let Some(lines) = shown(&certificate) else { return };
        assert_eq!(after(&lines, "X509v3 Key Usage: critical"), key_usage, "{profile:?}");
        assert_eq!(after(&lines, "X509v3 Extended Key Usage"), purposes, "{profile:?}");
        let line = "X509v3 Extended Key Usage: critical".to_owned();
        assert_eq!(lines.contains(&line), critical, "{profile:?}");
        assert_eq!(after(&lines, "Authority Information Access"), Some("OCSP - URI:http://ocsp.example/"));
        assert!(after(&lines, "X509v3 Authority Key Identifier").is_some());
        assert!(after(&lines, "X509v3 Subject Key Identifier").is_some());
        assert_eq!(after(&lines, "X509v3 Basic Constraints: critical"), Some("CA:FALSE"));
        let no_check = lines.iter().any(|line| line.starts_with("OCSP No Check"));
        assert_eq!(no_check, profile == Profile::OcspResponder, "{profile:?}");
        let names = (profile == Profile::Tls).then_some("DNS:ss1.example, IP Address:127.0.0.1");
        assert_eq!(after(&lines, "X509v3 Subject Alternative Name"), names);
    }
    let lines = shown(&ca.certificate).unwrap();
    assert_eq!(after(&lines, "X509v3 Basic Constraints: critical"), Some("CA:TRUE, pathlen:1"));
    assert_eq!(after(&lines, "X509v3 Key Usage: critical"), Some("Certificate Sign, CRL Sign"));
    let lines = shown(&ca.intermediate("Intermediate").certificate).unwrap();
    assert_eq!(after(&lines, "X509v3 Basic Constraints: critical"), Some("CA:TRUE, pathlen:0"));
}

#[test]
fn openssl_verifies_a_path_of_every_kind_of_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for key in [TestKey::p256(), TestKey::ed25519(), TestKey::rsa(2048)] {
        let ca_subject = subject(Profile::OcspResponder);
        let root = self_signed_ca(&key, &ca_subject, &terms(1, 3650)).unwrap();
        let leaf_key = TestKey::p256();
        let middle = TestKey::p256();
        let name = Subject::Service { common_name: "Middle".to_owned(), organisation: String::new() };
        let intermediate = intermediate_ca(&root, &key, middle.public_key(), &name, &terms(2, 3650)).unwrap();
        let leaf = issue(
            &intermediate,
            &middle,
            leaf_key.public_key(),
            Profile::Authentication,
            &subject(Profile::Authentication),
            &terms(3, 365),
        )
        .unwrap();
        std::fs::write(path("root.pem"), root.to_pem()).unwrap();
        std::fs::write(path("middle.pem"), intermediate.to_pem()).unwrap();
        std::fs::write(path("leaf.pem"), leaf.to_pem()).unwrap();
        let at = NOW.seconds().to_string();
        let (root, middle, leaf) = (path("root.pem"), path("middle.pem"), path("leaf.pem"));
        let arguments = ["verify", "-x509_strict", "-attime", &at, "-purpose", "sslclient", "-CAfile", &root];
        let Some(said) = openssl(&[&arguments[..], &["-untrusted", &middle, &leaf]].concat(), b"") else {
            return;
        };
        assert_eq!(String::from_utf8(said).unwrap().trim(), format!("{leaf}: OK"));
    }
}

#[test]
fn a_signing_certificate_names_its_member() {
    let ca = TestCa::root("Root");
    let key = TestKey::p256();
    for codes in [["EE", "GOV", "70000001"], ["LÜB", "com pany", "sü d+1"]] {
        let member = MemberId::new(codes[0], codes[1], codes[2]).unwrap();
        let server = SecurityServerId::new(member.clone(), "server 1").unwrap();
        let subject = Subject::Signing { member: member.clone(), name: "Wörk, Ltd".to_owned(), server };
        let made =
            issue(&ca.certificate, &ca.key, key.public_key(), Profile::Signing, &subject, &terms(9, 30))
                .unwrap();
        assert_eq!(signing_member(&made), Ok(member));
    }
}

#[test]
fn a_subject_without_the_attributes_names_nobody() {
    for (name, reason) in [
        ("/CN=70000001", "its subject does not have one serialNumber"),
        ("/serialNumber=EE\\/ss1\\/GOV", "its subject does not have one commonName"),
        ("/serialNumber=EE\\/ss1\\/GOV/CN=1/CN=2", "its subject does not have one commonName"),
        ("/serialNumber=EE\\/ss1/CN=1", "its serialNumber is not INSTANCE/SERVER/CLASS"),
        ("/serialNumber=EE\\/ss1\\/GOV\\/x/CN=1", "its serialNumber is not INSTANCE/SERVER/CLASS"),
        ("/serialNumber=EE\\/ss1\\//CN=1", "its subject names no member: an identifier has an empty code"),
    ] {
        let arguments = [
            "req",
            "-x509",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-keyout",
            "-",
            "-subj",
        ];
        let Some(made) = openssl(&[&arguments[..], &[name]].concat(), b"") else { return };
        let text = String::from_utf8(made).unwrap();
        let certificate =
            Certificate::from_pem(&text[text.find("-----BEGIN CERT").unwrap()..]).unwrap().remove(0);
        let expected = ProfileError::Unfit { profile: Profile::Signing, reason: reason.to_owned() };
        assert_eq!(signing_member(&certificate), Err(expected), "{name}");
    }
}

#[test]
fn no_certificate_fits_the_profile_of_another() {
    let ca = TestCa::root("Root");
    for made in ALL {
        let certificate = ca.issue(&TestKey::p256(), made);
        for asked in ALL {
            // A server's authentication certificate also names serverAuth.
            let fits = made == asked || (made, asked) == (Profile::Authentication, Profile::Tls);
            assert_eq!(check(&certificate, asked).is_ok(), fits, "{made:?} as {asked:?}");
        }
    }
    for profile in ALL {
        let expected = ProfileError::Unfit { profile, reason: "it is the certificate of a CA".to_owned() };
        assert_eq!(check(&ca.certificate, profile), Err(expected));
    }
}

/// Certificates as other CAs make them.
#[test]
fn usages_of_others_are_judged_one_by_one() {
    use rcgen::{ExtendedKeyUsagePurpose as Purpose, KeyUsagePurpose as Usage};
    let digital = &[Usage::DigitalSignature][..];
    let encipher = &[Usage::KeyEncipherment][..];
    let commit = &[Usage::ContentCommitment][..];
    let both = &[Usage::DigitalSignature, Usage::ContentCommitment][..];
    let lacks_digital = Err("key usage lacks digitalSignature");
    for (profile, usages, purposes, expected) in [
        (Profile::Authentication, digital, &[Purpose::ClientAuth][..], Ok(())),
        (Profile::Authentication, &[], &[Purpose::ClientAuth], Ok(())),
        (Profile::Authentication, encipher, &[Purpose::ClientAuth], lacks_digital),
        (Profile::Authentication, digital, &[Purpose::Any], Err("extended key usage lacks clientAuth")),
        (Profile::Tls, encipher, &[Purpose::ServerAuth], lacks_digital),
        (Profile::OcspResponder, commit, &[Purpose::OcspSigning], Ok(())),
        (Profile::OcspResponder, encipher, &[Purpose::OcspSigning], lacks_digital),
        (Profile::Signing, commit, &[Purpose::EmailProtection], Ok(())),
        (Profile::Signing, both, &[], Ok(())),
        (
            Profile::Signing,
            both,
            &[Purpose::ClientAuth],
            Err("extended key usage is that of a TLS certificate"),
        ),
        (
            Profile::Signing,
            commit,
            &[Purpose::ServerAuth],
            Err("extended key usage is that of a TLS certificate"),
        ),
        (Profile::Signing, &[], &[], Err("key usage lacks nonRepudiation (contentCommitment)")),
        (Profile::Timestamping, digital, &[Purpose::TimeStamping], Err("extended key usage is not critical")),
        (
            Profile::Timestamping,
            digital,
            &[Purpose::TimeStamping, Purpose::ClientAuth],
            Err("extended key usage is not timeStamping alone"),
        ),
        (Profile::Timestamping, digital, &[], Err("extended key usage is not timeStamping alone")),
    ] {
        let mut params = rcgen::CertificateParams::default();
        params.key_usages = usages.to_vec();
        params.extended_key_usages = purposes.to_vec();
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let found = check(&Certificate::from_der(made.der()).unwrap(), profile);
        let expected = expected.map_err(|reason| ProfileError::Unfit { profile, reason: reason.to_owned() });
        assert_eq!(found, expected, "{usages:?} {purposes:?}");
    }
}

#[test]
fn what_a_ca_must_not_issue_is_refused() {
    let ca = TestCa::root("Root");
    let other = TestCa::root("Other");
    let key = TestKey::p256();
    let leaf = ca.issue(&key, Profile::Signing);
    let public = key.public_key();
    let signing = subject(Profile::Signing);
    let refused = |result: Result<Certificate, ProfileError>| match result {
        Err(ProfileError::Issue(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let foreign = "the issuer's certificate is no CA's, or the key is not its own";
    let good = terms(1, 30);
    assert_eq!(
        refused(issue(&ca.certificate, &other.key, public, Profile::Signing, &signing, &good)),
        foreign
    );
    assert_eq!(refused(issue(&leaf, &key, public, Profile::Signing, &signing, &good)), foreign);
    assert_eq!(
        refused(issue(&ca.certificate, &ca.key, public, Profile::Authentication, &signing, &good)),
        "the subject is not one of the profile Authentication"
    );
    assert_eq!(refused(self_signed_ca(&key, &signing, &good)), "a CA is named by Subject::Service");
    let zero = IssueTerms { serial: [0; 16], ..good.clone() };
    assert_eq!(
        refused(issue(&ca.certificate, &ca.key, public, Profile::Signing, &signing, &zero)),
        "the serial number is zero"
    );
    let backwards =
        IssueTerms { not_after: NOW.minus(std::time::Duration::from_secs(999_999)), ..good.clone() };
    assert_eq!(
        refused(issue(&ca.certificate, &ca.key, public, Profile::Signing, &signing, &backwards)),
        "the validity ends before it begins"
    );
    let nameless = Subject::Tls { names: Vec::new() };
    assert_eq!(
        refused(issue(&ca.certificate, &ca.key, public, Profile::Tls, &nameless, &good)),
        "there is no name"
    );
}

#[test]
fn a_serial_number_stays_positive() {
    let ca = TestCa::root("Root");
    let mut terms = terms(1, 30);
    terms.serial = [0xff; 16];
    let certificate = ca.issue_with(&TestKey::p256(), Profile::Signing, &terms);
    assert_eq!(certificate.serial(), [&[0x00][..], &[0xff; 16]].concat());
}

#[test]
fn requests_read_back_and_satisfy_openssl() {
    for key in [TestKey::p256(), TestKey::ed25519(), TestKey::rsa(2048)] {
        for profile in ALL {
            let der = request(&key, &subject(profile)).unwrap();
            assert_eq!(&read_request(&der).unwrap().public_key, key.public_key());
            let Some(pem) = openssl(&["req", "-inform", "DER", "-verify"], &der) else { return };
            assert_eq!(&read_request(&pem).unwrap().public_key, key.public_key());
        }
    }
}

#[test]
fn a_request_of_openssl_is_read() {
    let arguments =
        ["req", "-new", "-nodes", "-newkey", "rsa:2048", "-keyout", "/dev/null", "-subj", "/CN=x"];
    let Some(pem) = openssl(&arguments, b"") else { return };
    assert_eq!(read_request(&pem).unwrap().public_key.kind(), crate::key::KeyKind::Rsa(2048));
    let sha1 = openssl(&[&arguments[..], &["-sha1"]].concat(), b"").unwrap();
    let expected = ProfileError::Request("its signature algorithm is not accepted".to_owned());
    assert_eq!(read_request(&sha1).unwrap_err(), expected);
}

#[test]
fn no_altered_request_passes() {
    let der = request(&TestKey::p256(), &subject(Profile::Signing)).unwrap();
    for at in 0..der.len() {
        let mut altered = der.clone();
        altered[at] ^= 0x01;
        assert!(matches!(read_request(&altered), Err(ProfileError::Request(_))), "byte {at}");
    }
    for wrong in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"words"] {
        assert!(matches!(read_request(wrong), Err(ProfileError::Request(_))));
    }
    let mut longer = der;
    longer.push(0);
    let expected = ProfileError::Request("it is not in DER".to_owned());
    assert_eq!(read_request(&longer).unwrap_err(), expected);
}
