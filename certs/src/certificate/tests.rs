use super::*;
use crate::testing::openssl;

/// A self-signed certificate that OpenSSL made, as PEM.
fn made_by_openssl(arguments: &[&str]) -> Option<String> {
    let common =
        ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "-"];
    let made = openssl(&[&common[..], arguments].concat(), b"")?;
    let text = String::from_utf8(made).unwrap();
    let start = text.find("-----BEGIN CERTIFICATE-----").unwrap();
    Some(text[start..].to_owned())
}

fn subject(arguments: &[&str]) -> Option<Certificate> {
    let text = made_by_openssl(arguments)?;
    Some(Certificate::from_pem(&text).unwrap().remove(0))
}

#[test]
fn what_openssl_made_reads_as_openssl_reads_it() {
    let arguments = ["-subj", "/C=EE/O=Example, Ltd/CN=70000001", "-set_serial", "0x80FF", "-days", "1"];
    let Some(certificate) = subject(&arguments) else { return };
    assert_eq!(certificate.serial(), [0x00, 0x80, 0xff]);
    assert_eq!(certificate.subject(), "CN=70000001,O=Example\\, Ltd,C=EE");
    assert_eq!(certificate.issuer_der(), certificate.subject_der());
    assert!(certificate.is_ca());
    assert_eq!(certificate.not_after().since(certificate.not_before()).as_secs(), 86_400);

    let shown = openssl(
        &["x509", "-noout", "-startdate", "-enddate", "-dateopt", "iso_8601", "-fingerprint", "-sha256"],
        certificate.to_pem().as_bytes(),
    );
    let shown = String::from_utf8(shown.unwrap()).unwrap();
    let iso = |time: UnixMillis| time.to_xml().replace('T', " ");
    assert!(shown.contains(&format!("notBefore={}", iso(certificate.not_before()))), "{shown}");
    assert!(shown.contains(&format!("notAfter={}", iso(certificate.not_after()))), "{shown}");
    let fingerprint = shown.lines().find_map(|line| line.split_once("Fingerprint=")).unwrap().1;
    assert_eq!(fingerprint.replace(':', "").to_lowercase(), certificate.sha256().to_string());
}

#[test]
fn pem_reads_back_with_text_around_it() {
    let Some(first) = subject(&["-subj", "/CN=first"]) else { return };
    let second = subject(&["-subj", "/CN=second"]).unwrap();
    let text =
        format!("Some words\n{}\nMore words\r\n{}", first.to_pem(), second.to_pem().replace('\n', "\r\n"));
    assert_eq!(Certificate::from_pem(&text).unwrap(), [first, second]);
}

#[test]
fn what_is_not_pem_of_certificates_is_refused() {
    let Some(text) = made_by_openssl(&["-subj", "/CN=x"]) else { return };
    for wrong in [
        String::new(),
        "words".to_owned(),
        text.replace("CERTIFICATE", "PRIVATE KEY"),
        text.replace("-----END CERTIFICATE-----", ""),
        format!("{text}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        text.replacen("\nM", "\nM*", 1),
        format!("-----BEGIN CERTIFICATE-----\n{text}"),
    ] {
        assert_eq!(Certificate::from_pem(&wrong), Err(CertificateError::Pem), "{wrong}");
    }
}

#[test]
fn no_second_encoding_of_a_certificate_is_read() {
    let Some(certificate) = subject(&["-subj", "/CN=x"]) else { return };
    let der = certificate.der();
    let mut longer = der.to_vec();
    longer.push(0);
    assert!(matches!(Certificate::from_der(&longer), Err(CertificateError::Malformed(_))));
    for cut in 0..der.len() {
        assert!(matches!(Certificate::from_der(&der[..cut]), Err(CertificateError::Malformed(_))), "{cut}");
    }
    // The outer length in three bytes where two suffice: BER, not DER.
    assert_eq!(der[1], 0x82);
    let ber = [&[0x30, 0x83, 0x00], &der[2..]].concat();
    assert!(matches!(Certificate::from_der(&ber), Err(CertificateError::Malformed(_))));
    assert_eq!(Certificate::from_der(&vec![0x30; 20_000]), Err(CertificateError::TooLarge));
}

#[test]
fn only_version_3_with_an_accepted_key() {
    let Some(v3) = subject(&["-subj", "/CN=x"]) else { return };
    // Version [0] { INTEGER 2 } stands right behind the two outer headers.
    let mut v2 = v3.der().to_vec();
    let at = v2.windows(5).position(|window| window == [0xa0, 0x03, 0x02, 0x01, 0x02]).unwrap();
    v2[at + 4] = 1;
    assert!(matches!(Certificate::from_der(&v2), Err(CertificateError::Malformed(_))));

    let arguments = ["req", "-x509", "-nodes", "-newkey", "rsa:1024", "-keyout", "-", "-subj", "/CN=weak"];
    let made = String::from_utf8(openssl(&arguments, b"").unwrap()).unwrap();
    let start = made.find("-----BEGIN CERTIFICATE-----").unwrap();
    let refused = Certificate::from_pem(&made[start..]);
    assert_eq!(refused, Err(CertificateError::Key(crate::key::KeyError::Kind)));
}

#[test]
fn differing_signature_algorithms_are_refused() {
    let Some(certificate) = subject(&["-subj", "/CN=x"]) else { return };
    let mut der = certificate.der().to_vec();
    // ecdsa-with-SHA256 is 1.2.840.10045.4.3.2; the last byte 3 makes it ecdsa-with-SHA384.
    let oid = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let at = der.windows(oid.len()).rposition(|window| window == oid).unwrap();
    der[at + oid.len() - 1] = 3;
    let expected = CertificateError::Malformed("its two signature algorithms differ".to_owned());
    assert_eq!(Certificate::from_der(&der), Err(expected));
}
