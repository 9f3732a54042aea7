use super::*;

/// The template's own example, with certificates and an OCSP response that nobody decodes here.
const GOOD: &str = include_str!("../../xades/golden/body-and-issuers.xml");

#[track_caller]
fn refused(xml: &str) -> String {
    match read(xml.as_bytes()) {
        Err(reason) => reason,
        Ok(_) => panic!("accepted: {xml}"),
    }
}

/// Changes one place of the good document.
#[track_caller]
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

#[test]
fn the_fields_are_read() {
    let document = read(GOOD.as_bytes()).unwrap_or_else(|reason| panic!("{reason}"));
    let uris: Vec<_> = document.references.iter().map(|reference| reference.uri.as_str()).collect();
    assert_eq!(uris, ["/message.xml", "/attachment1", "#signed-properties"]);
    assert_eq!(document.value, [0xab; 64]);
    assert_eq!(document.certificate, b"certificate");
    assert_eq!(document.ocsp, b"OCSP response");
    assert_eq!(document.issuers, [&b"issuer of the certificate"[..], b"issuer of the issuer"]);
    assert_eq!(document.signing_time, UnixMillis(1_795_489_321_000));
    assert_eq!(document.formats, ["reference-message", "reference-attachment1"]);
    let info = String::from_utf8(document.signed_info).unwrap();
    assert!(info.starts_with("<ds:SignedInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">"), "{info}");
    let properties = String::from_utf8(document.signed_properties).unwrap();
    assert!(properties.starts_with("<xades:SignedProperties xmlns:xades="), "{properties}");
}

#[test]
fn no_dtd_no_entities_no_other_encoding() {
    let dtd = format!("<!DOCTYPE x [<!ENTITY e \"x\">]>{GOOD}");
    assert!(refused(&dtd).contains("not acceptable XML"));
    let external = format!("<!DOCTYPE x SYSTEM \"file:///etc/passwd\">{GOOD}");
    assert!(refused(&external).contains("not acceptable XML"));
    assert!(refused(&with("text/plain", "&e;")).contains("not acceptable XML"));
    assert!(read(&[0xff, 0xfe, b'<']).is_err_and(|reason| reason == "the document is not UTF-8"));
    let large = format!("{GOOD}{}", " ".repeat(XML_BYTES_MAX));
    assert!(refused(&large).contains("is larger than"));
    let many = with("<ds:SignedInfo>", &format!("<ds:SignedInfo>{}", "<x></x>".repeat(500)));
    assert!(refused(&many).contains("not acceptable XML"));
}

#[test]
fn there_is_one_signature_and_nothing_around_it() {
    let start = GOOD.find("<ds:Signature ").unwrap();
    let end = GOOD.find("</asic:XAdESSignatures>").unwrap();
    let signature = &GOOD[start..end];
    let second = signature.replace("Id=\"", "Id=\"second-").replace("#signature", "#second-signature");
    assert_eq!(
        refused(&GOOD.replace(signature, &format!("{signature}{second}"))),
        "XAdESSignatures must not have Signature here"
    );
    assert_eq!(refused(&GOOD.replace(signature, &signature.repeat(2))), "the Id \"signature\" stands twice");
    assert_eq!(refused(signature), "the document is not one XAdESSignatures");
    assert_eq!(refused(&format!("<!-- x -->{GOOD}")), "the document is not one XAdESSignatures");
    assert_eq!(refused(&format!("{GOOD}<?x?>")), "the document is not one XAdESSignatures");
    assert_eq!(
        refused(&GOOD.replace("02918/v1.2.1", "02918/v1.2.2")),
        "the document is not one XAdESSignatures"
    );
}

/// Signature wrapping: what is signed moves to a place where this reader does not look, and something else takes its place.
#[test]
fn nothing_can_be_wrapped() {
    let start = GOOD.find("<xades:SignedProperties ").unwrap();
    let end = GOOD.find("<xades:UnsignedProperties>").unwrap();
    let signed = &GOOD[start..end];
    let forged = signed.replace("2026-11-24", "2020-01-01");

    let declared = format!("<xades:SignedProperties xmlns:xades=\"{XADES}\"");
    let moved = signed.replacen("<xades:SignedProperties", &declared, 1);
    let beside = format!("</ds:Object><ds:Object>{moved}</ds:Object></ds:Signature>");
    let wrapped = GOOD.replacen(signed, &forged, 1).replacen("</ds:Object></ds:Signature>", &beside, 1);
    assert_eq!(refused(&wrapped), "the Id \"signed-properties\" stands twice");
    let renamed = forged.replace("Id=\"signed-properties\"", "Id=\"other\"");
    let wrapped = GOOD.replacen(signed, &renamed, 1).replacen("</ds:Object></ds:Signature>", &beside, 1);
    assert_eq!(refused(&wrapped), "Signature must not have Object here");
    let inside = GOOD.replacen(signed, &format!("{renamed}{signed}"), 1);
    assert_eq!(refused(&inside), "QualifyingProperties lacks UnsignedProperties at its place");
    let attribute = with("<ds:Object>", "<ds:Object xml:id=\"signed-properties\">");
    assert_eq!(refused(&attribute), "the Id \"signed-properties\" stands twice");
    let target = with("Target=\"#signature\"", "Target=\"#signature-value\"");
    assert_eq!(refused(&target), "the qualifying properties are about another signature");
}

#[test]
fn algorithms_have_no_parameters() {
    let prefixes = "<ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"ds\"></ec:InclusiveNamespaces>";
    let method = "xml-exc-c14n#\"></ds:CanonicalizationMethod>";
    let parameters = format!("xml-exc-c14n#\">{prefixes}</ds:CanonicalizationMethod>");
    assert_eq!(
        refused(&with(method, &parameters)),
        "CanonicalizationMethod must not have InclusiveNamespaces here"
    );
    let parameters = format!("xml-exc-c14n#\">{prefixes}</ds:Transform>");
    assert_eq!(
        refused(&with("xml-exc-c14n#\"></ds:Transform>", &parameters)),
        "Transform must not have InclusiveNamespaces here"
    );
    let inclusive =
        with("http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315");
    assert_eq!(
        refused(&inclusive),
        "the canonicalisation http://www.w3.org/TR/2001/REC-xml-c14n-20010315 is not accepted"
    );
    let empty =
        with("<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"></ds:Transform>", "");
    assert_eq!(refused(&empty), "a list of transforms is empty");
}

#[test]
fn every_element_and_attribute_is_an_expected_one() {
    for (from, to, reason) in [
        ("<ds:SignedInfo>", "<ds:SignedInfo Id=\"x\">", "SignedInfo must not have the attribute Id"),
        (
            "<ds:SignedInfo>",
            "<ds:SignedInfo> ",
            "SignedInfo has text, a comment or an instruction between its elements",
        ),
        (
            "<ds:SignedInfo>",
            "<ds:SignedInfo><!-- -->",
            "SignedInfo has text, a comment or an instruction between its elements",
        ),
        ("<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName>x</ds:KeyName>", "KeyInfo lacks X509Data at its place"),
        ("<ds:KeyInfo>", "<ds:Object></ds:Object><ds:KeyInfo>", "Signature lacks KeyInfo at its place"),
        (" Id=\"signature\"", "", "Signature lacks its Id"),
        (" URI=\"/message.xml\"", "", "Reference lacks its URI"),
        ("text/plain", "text<!-- -->/plain", "MimeType is not plain text"),
        ("text/plain", "", "MimeType is not plain text"),
        (
            "<xades:RevocationValues>",
            "<xades:SignatureTimeStamp></xades:SignatureTimeStamp><xades:RevocationValues>",
            "UnsignedSignatureProperties lacks RevocationValues at its place",
        ),
        (
            "</xades:OCSPValues>",
            "<xades:EncapsulatedOCSPValue>AA==</xades:EncapsulatedOCSPValue></xades:OCSPValues>",
            "OCSPValues must not have EncapsulatedOCSPValue here",
        ),
        ("ObjectReference=\"#", "ObjectReference=\"", "a DataObjectFormat is about something outside"),
    ] {
        assert_eq!(refused(&with(from, to)), reason, "{to}");
    }
}

#[test]
fn values_have_one_encoding() {
    for (from, to) in [
        ("q6urq6ur", "q6urq6u"),
        ("q6urq6ur", "q6urq6ur\n"),
        ("q6urqw==", "q6urqx=="),
        ("q6urqw==", "q6urqw"),
    ] {
        assert!(refused(&with(from, to)).starts_with("SignatureValue is not base64"), "{to}");
    }
    for time in [
        "2026-11-24T03:02:01.000Z",
        "2026-11-24T03:02:01+00:00",
        "2026-11-24t03:02:01z",
        "2026-13-24T03:02:01Z",
        " 2026-11-24T03:02:01Z",
        "now",
    ] {
        let reason = refused(&with("2026-11-24T03:02:01Z", time));
        assert!(reason.contains("is not of the form"), "{reason}");
    }
}
