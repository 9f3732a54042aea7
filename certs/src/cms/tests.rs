//! SignedData of forms that are not accepted.

use der::asn1::{AnyRef, ObjectIdentifier, SetOfVec};
use der::{Decode, Encode};

use super::{
    Attribute, CONTENT_TYPE, CmsError, ContentInfo, MESSAGE_DIGEST, SIGNED_DATA, SignedData, SignedMessage,
    sign,
};
use crate::asn1::DigestAlgorithm;
use crate::testing::pki::{Party, Spec};

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const OTHER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// The same token with these certificates.
pub(crate) fn with_certificates(token: &[u8], certificates: &[&[u8]]) -> Vec<u8> {
    let mut info = ContentInfo::from_der(token).unwrap();
    info.content.certificates = Some(certificates.iter().map(|der| AnyRef::from_der(der).unwrap()).collect());
    info.to_der().unwrap()
}

/// What comes of a good SignedData after `change`.
fn after(change: impl FnOnce(&mut SignedData<'_>)) -> Result<(), CmsError> {
    let party = Party::root(&Spec::new("signer"));
    let bytes = sign(DATA, b"content", &[], &party.certificate, true, &party.key).unwrap();
    let mut info = ContentInfo::from_der(&bytes).unwrap();
    change(&mut info.content);
    let bytes = info.to_der().unwrap();
    let message = SignedMessage::read(&bytes, DATA)?;
    assert!(message.is_signed_in_the_name_of(&party.certificate));
    message.verify(DATA, &party.certificate)
}

fn with_attributes(data: &mut SignedData<'_>, keep: impl Fn(&Attribute<'_>) -> bool) {
    change_signer(data, |signer| {
        let kept = signer.signed_attributes.iter().flat_map(SetOfVec::iter).filter(|one| keep(one)).cloned();
        signer.signed_attributes = Some(SetOfVec::from_iter(kept).unwrap());
    });
}

fn change_signer<'a>(data: &mut SignedData<'a>, change: impl FnOnce(&mut super::SignerInfo<'a>)) {
    let mut signer = data.signers.get(0).unwrap().clone();
    change(&mut signer);
    data.signers = SetOfVec::try_from(vec![signer]).unwrap();
}

#[test]
fn what_was_signed_verifies() {
    assert_eq!(after(|_| ()), Ok(()));
}

#[test]
fn another_content_type_is_refused() {
    let party = Party::root(&Spec::new("signer"));
    let bytes = sign(DATA, b"content", &[], &party.certificate, true, &party.key).unwrap();
    assert_eq!(
        SignedMessage::read(&bytes, OTHER).err(),
        Some(CmsError::Rule("the content is of another type"))
    );
    let renamed = after(|data| data.encapsulated.content_type = OTHER);
    assert_eq!(renamed, Err(CmsError::Rule("the content is of another type")));
    let mut info = ContentInfo::from_der(&bytes).unwrap();
    assert_eq!(info.content_type, SIGNED_DATA);
    info.content_type = DATA;
    let bytes = info.to_der().unwrap();
    assert_eq!(
        SignedMessage::read(&bytes, DATA).err(),
        Some(CmsError::Rule("the content is not SignedData"))
    );
}

#[test]
fn the_number_of_signers_must_be_one() {
    let none = after(|data| data.signers = SetOfVec::new());
    assert_eq!(none, Err(CmsError::Rule("there must be exactly one signer")));
    let two = after(|data| {
        let signer = data.signers.get(0).unwrap().clone();
        let other = super::SignerInfo { version: 3, ..signer.clone() };
        data.signers = SetOfVec::try_from(vec![signer, other]).unwrap();
    });
    assert_eq!(two, Err(CmsError::Rule("there must be exactly one signer")));
}

#[test]
fn what_no_signature_covers_must_have_its_one_value() {
    assert_eq!(after(|data| data.version = 1), Err(CmsError::Rule("SignedData must have version 3")));
    assert_eq!(
        after(|data| data.crls = Some(Vec::new())),
        Err(CmsError::Rule("SignedData carries revocation lists"))
    );
    assert_eq!(after(|data| data.encapsulated.content = None), Err(CmsError::Rule("there is no content")));
    let digests = Err(CmsError::Rule("the digest algorithms are not exactly the signer's"));
    assert_eq!(after(|data| data.digest_algorithms = SetOfVec::new()), digests);
    let other = || SetOfVec::try_from(vec![DigestAlgorithm::Sha512.identifier()]).unwrap();
    assert_eq!(after(|data| data.digest_algorithms = other()), digests);
    assert_eq!(
        after(|data| change_signer(data, |signer| signer.version = 3)),
        Err(CmsError::Rule("the signer must be named by issuer and serial number"))
    );
    assert_eq!(
        after(|data| change_signer(data, |signer| signer.unsigned_attributes = Some(SetOfVec::new()))),
        Err(CmsError::Rule("there are unsigned attributes"))
    );
    let algorithm = DigestAlgorithm::Sha256.identifier();
    assert_eq!(
        after(|data| change_signer(data, |signer| signer.signature_algorithm = algorithm)),
        Err(CmsError::Rule("the signature algorithm does not go with the signer's key and digest"))
    );
    let sha384 = DigestAlgorithm::Sha384.identifier();
    assert_eq!(
        after(|data| {
            data.digest_algorithms = SetOfVec::try_from(vec![sha384]).unwrap();
            change_signer(data, |signer| signer.digest_algorithm = sha384);
        }),
        Err(CmsError::Rule("the digest algorithm does not go with the signer's key"))
    );
}

#[test]
fn signed_attributes_must_be_there_and_right() {
    assert_eq!(
        after(|data| change_signer(data, |signer| signer.signed_attributes = None)),
        Err(CmsError::Rule("there are no signed attributes"))
    );
    assert_eq!(
        after(|data| with_attributes(data, |attribute| attribute.id != CONTENT_TYPE)),
        Err(CmsError::Rule("the attribute content-type is missing"))
    );
    assert_eq!(
        after(|data| with_attributes(data, |attribute| attribute.id != MESSAGE_DIGEST)),
        Err(CmsError::Rule("the attribute message-digest is missing"))
    );
}

/// Attributes of another message of the same signer do not fit this content, and altered ones not the signature.
#[test]
fn replaced_attributes_are_refused() {
    let party = Party::root(&Spec::new("signer"));
    let sign = |content: &[u8]| sign(DATA, content, &[], &party.certificate, false, &party.key).unwrap();
    let (one, other) = (sign(b"one"), sign(b"other"));
    let other = ContentInfo::from_der(&other).unwrap();

    let mut info = ContentInfo::from_der(&one).unwrap();
    info.content.signers = other.content.signers.clone();
    let bytes = info.to_der().unwrap();
    let message = SignedMessage::read(&bytes, DATA).unwrap();
    assert_eq!(message.verify(DATA, &party.certificate), Err(CmsError::BadSignature));

    let mut info = ContentInfo::from_der(&one).unwrap();
    let attributes = other.content.signers.get(0).unwrap().signed_attributes.clone();
    change_signer(&mut info.content, |signer| signer.signed_attributes = attributes);
    let bytes = info.to_der().unwrap();
    let message = SignedMessage::read(&bytes, DATA).unwrap();
    assert_eq!(message.verify(DATA, &party.certificate), Err(CmsError::BadSignature));
}

/// The signature is over the sorted SET, so a second order would be a second token with the same signature.
#[test]
fn attributes_in_another_order_are_refused() {
    let party = Party::root(&Spec::new("signer"));
    let bytes = sign(DATA, b"content", &[], &party.certificate, false, &party.key).unwrap();
    let info = ContentInfo::from_der(&bytes).unwrap();
    let attributes = info.content.signers.get(0).unwrap().signed_attributes.as_ref().unwrap();
    let attributes: Vec<Vec<u8>> = attributes.iter().map(|attribute| attribute.to_der().unwrap()).collect();
    let sorted = attributes.concat();
    let at = bytes.windows(sorted.len()).position(|window| window == sorted).unwrap();
    let swapped = [attributes[1].as_slice(), &attributes[0]].concat();
    let swapped = [&bytes[..at], &swapped, &bytes[at + sorted.len()..]].concat();
    assert!(matches!(SignedMessage::read(&swapped, DATA), Err(CmsError::Malformed(_))));
}
