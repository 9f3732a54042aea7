use std::io::Write;
use std::process::{Command, Stdio};

use kogge_proto::digest::sha256;

use super::*;

const CERTIFICATE: &[u8] = b"certificate";
const OCSP: &[u8] = b"OCSP response";
const ISSUERS: [&[u8]; 2] = [b"issuer of the certificate", b"issuer of the issuer"];

fn parts(body: bool) -> Parts {
    Parts { message: sha512(b"GET /r1/ HTTP/1.1"), body: body.then(|| sha512(b"{}")) }
}

fn signature(issuers: &[&[u8]]) -> wire::Signature {
    wire::Signature {
        method: wire::SignatureMethod::EcdsaP256Sha256.into(),
        signing_time_ms: 1_795_489_321_000,
        value: vec![0xAB; 64],
        certificate_sha256: sha256(CERTIFICATE).as_bytes().to_vec(),
        ocsp_sha256: sha256(OCSP).as_bytes().to_vec(),
        issuer_sha256: issuers.iter().map(|issuer| sha256(issuer).as_bytes().to_vec()).collect(),
        batch: None,
    }
}

fn material(items: &[&'static [u8]]) -> Material {
    let items = items.iter().map(|item| bytes::Bytes::from_static(item)).collect();
    Material::new(&wire::Material { items }).unwrap()
}

fn everything() -> Material {
    material(&[OCSP, ISSUERS[1], CERTIFICATE, ISSUERS[0]])
}

/// A signature is verified years after it was made: not one byte of the template may ever change.
#[test]
fn the_template_stays_as_it_is() {
    let with_body = document(&signature(&ISSUERS), &parts(true), &everything()).unwrap();
    let without_body = document(&signature(&[]), &parts(false), &everything()).unwrap();
    for (document, golden) in [
        (with_body, include_str!("golden/body-and-issuers.xml")),
        (without_body, include_str!("golden/message-alone.xml")),
    ] {
        assert_eq!(String::from_utf8(document).unwrap(), golden);
    }
}

#[test]
fn the_method_shows_in_the_signature() {
    for (method, uri) in [
        (Method::RsaSha512, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"),
        (Method::RsaPssSha512, "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1"),
        (Method::Ed25519, "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519"),
    ] {
        let mut signature = signature(&[]);
        signature.method = method.to_wire().into();
        signature.value = vec![1; if method == Method::Ed25519 { 64 } else { 256 }];
        let document = document(&signature, &parts(false), &everything()).unwrap();
        let element = format!("<ds:SignatureMethod Algorithm=\"{uri}\">");
        assert!(String::from_utf8(document).unwrap().contains(&element), "{uri}");
    }
}

/// What is hashed differs from what is written in the namespace declarations and nowhere else.
#[test]
fn the_subtrees_are_those_of_the_document() {
    let compact = signature(&ISSUERS);
    let compact = Compact::read(&compact).unwrap();
    let signed = compact.signed(&parts(true));
    let document =
        String::from_utf8(document(&signature(&ISSUERS), &parts(true), &everything()).unwrap()).unwrap();
    let declarations = [format!(" xmlns:ds=\"{DS}\""), format!(" xmlns:xades=\"{XADES}\"")];
    let plain = |text: String| declarations.iter().fold(text, |text, found| text.replace(found, ""));

    let certificate = everything().find(compact.certificate.as_bytes()).unwrap().clone();
    let validation = ValidationData::new(&certificate, &certificate, &[]);
    let rendered = validation.render(&signed);
    let signed_info = String::from_utf8(rendered.signed_bytes().to_vec()).unwrap();
    assert!(signed_info.starts_with("<ds:SignedInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">"));
    assert!(document.contains(&plain(signed_info)));
    assert!(document.contains(&plain(signed.signed_properties(Scope::Subtree).0)));
}

#[test]
fn the_document_is_its_own_canonical_form() {
    let document = document(&signature(&ISSUERS), &parts(true), &everything()).unwrap();
    let Ok(mut xmllint) = Command::new("xmllint")
        .args(["--exc-c14n", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "xmllint is missing: install libxml2-utils");
        eprintln!("SKIPPED: xmllint is missing (install libxml2-utils)");
        return;
    };
    xmllint.stdin.take().unwrap().write_all(&document).unwrap();
    let canonical = xmllint.wait_with_output().unwrap();
    assert!(canonical.status.success());
    assert_eq!(String::from_utf8(canonical.stdout).unwrap(), String::from_utf8(document).unwrap());
}

#[test]
fn material_that_is_not_there_is_named() {
    let missing =
        |items: &[&'static [u8]]| document(&signature(&ISSUERS), &parts(true), &material(items)).unwrap_err();
    let [first, second] = ISSUERS;
    assert_eq!(missing(&[OCSP, first, second]), SignatureError::MissingMaterial("signing certificate"));
    assert_eq!(missing(&[CERTIFICATE, first, second]), SignatureError::MissingMaterial("OCSP response"));
    assert_eq!(missing(&[CERTIFICATE, OCSP, first]), SignatureError::MissingMaterial("issuer certificate"));
    assert_eq!(missing(&[CERTIFICATE, OCSP, second]), SignatureError::MissingMaterial("issuer certificate"));
}

#[test]
fn a_malformed_signature_has_no_document() {
    let mut signature = signature(&[]);
    signature.signing_time_ms += 1;
    assert_eq!(
        leaf(&signature, &parts(false), &everything()),
        Err(SignatureError::Malformed("the signing time is not a whole second"))
    );
}
