//! The hot path: a signature is believed only if everything about it holds.

use std::time::Duration;

use kogge_certs::key::SignError;
use kogge_certs::ocsp::{Answer, OcspError};
use kogge_certs::path::PathError;
use kogge_certs::profile::{Profile, ProfileError};
use kogge_certs::trust::TrustStore;
use kogge_evidence::material::Material;
use kogge_evidence::signature::{Credential, Parts, ReadyCredential, SignatureError, Signed, sign, verify};
use kogge_evidence::xades;
use kogge_proto::digest::{sha256, sha512};
use kogge_proto::wire::evidence as wire;
use kogge_signer::NewKeyKind;
use proptest::prelude::*;
use prost::Message;

use crate::world::{DAY, HOUR, NOW, Wish, World, member};

fn parts() -> Parts {
    Parts { message: sha512(b"message"), body: Some(sha512(b"body")) }
}

fn check(world: &World, signed: &Signed) -> Result<(), SignatureError> {
    let material = Material::new(&signed.material).unwrap();
    verify(&signed.signature, &parts(), &material, &world.expected()).map(|_| ())
}

/// Signs by a credential for `wish`, changes something, and returns the refusal.
fn refusal(wish: &Wish, change: impl FnOnce(&World, &mut Signed)) -> SignatureError {
    let world = World::new();
    let mut signed = sign(&parts(), &world.credential(wish), NOW).unwrap();
    change(&world, &mut signed);
    check(&world, &signed).unwrap_err()
}

fn good(change: impl FnOnce(&World, &mut Signed)) -> SignatureError {
    refusal(&Wish::default(), change)
}

/// Signs by a credential that was changed, and returns the refusal.
fn refused_credential(wish: &Wish, change: impl FnOnce(&World, &mut Credential)) -> SignatureError {
    let world = World::new();
    let mut credential = world.credential(wish);
    change(&world, &mut credential);
    check(&world, &sign(&parts(), &credential, NOW).unwrap()).unwrap_err()
}

/// What it keeps from one message is right for the next: of another form, and of another second.
#[test]
fn a_ready_credential_signs_as_a_fresh_one_does() {
    for by_intermediate in [false, true] {
        let world = World::new();
        let credential = world.credential(&Wish { by_intermediate, ..Wish::default() });
        let ready = ReadyCredential::new(credential.clone());
        let without_body = Parts { body: None, ..parts() };
        let earlier = NOW.minus(Duration::from_secs(2));
        for (parts, at) in [(parts(), NOW), (without_body, NOW), (without_body, earlier), (parts(), NOW)] {
            let signed = ready.sign(&parts, at).unwrap();
            let material = Material::new(&signed.material).unwrap();
            assert_eq!(signed.material, sign(&parts, &credential, at).unwrap().material);
            let verified = verify(&signed.signature, &parts, &material, &world.expected()).unwrap();
            let leaf = xades::leaf(&signed.signature, &parts, &material).unwrap();
            assert_eq!((signed.leaf, verified.leaf()), (leaf, leaf));
        }
    }
}

#[test]
fn what_was_signed_is_believed() {
    for kind in [NewKeyKind::EcdsaP256, NewKeyKind::Rsa(2048), NewKeyKind::Ed25519] {
        for by_intermediate in [false, true] {
            let world = World::new();
            let wish = Wish { kind, by_intermediate, ..Wish::default() };
            let credential = world.credential(&wish);
            let signed = sign(&parts(), &credential, NOW).unwrap();
            let material = Material::new(&signed.material).unwrap();
            let verified = verify(&signed.signature, &parts(), &material, &world.expected()).unwrap();
            assert_eq!(verified.signing_time(), NOW.floor_seconds());
            assert_eq!(verified.path().leaf(), &credential.certificate);
            assert_eq!(verified.path().intermediates().len(), usize::from(by_intermediate));
        }
    }
}

#[test]
fn other_parts_were_not_signed() {
    let world = World::new();
    let signed = sign(&parts(), &world.credential(&Wish::default()), NOW).unwrap();
    let material = Material::new(&signed.material).unwrap();
    let Parts { message, body } = parts();
    for other in [
        Parts { message: sha512(b"massage"), body },
        Parts { message, body: Some(sha512(b"other")) },
        Parts { message, body: None },
        Parts { message: body.unwrap(), body: Some(message) },
    ] {
        let verdict = verify(&signed.signature, &other, &material, &world.expected());
        assert_eq!(verdict.unwrap_err(), SignatureError::Value);
    }
}

#[test]
fn an_altered_value_is_refused() {
    assert_eq!(good(|_, signed| signed.signature.value[0] ^= 1), SignatureError::Value);
    assert_eq!(good(|_, signed| signed.signature.value.fill(0)), SignatureError::Value);
    let length = SignatureError::Malformed("the signature value has a wrong length");
    assert_eq!(good(|_, signed| signed.signature.value.push(0)), length);
    assert_eq!(good(|_, signed| signed.signature.value.clear()), length);
}

#[test]
fn an_altered_method_is_refused() {
    let unknown = SignatureError::Malformed("the signature method is unknown");
    assert_eq!(good(|_, signed| signed.signature.method = 0), unknown);
    assert_eq!(good(|_, signed| signed.signature.method = 9), unknown);
    let unfit = SignatureError::Malformed("the signature method does not fit the key");
    let ed25519 = wire::SignatureMethod::Ed25519.into();
    assert_eq!(good(|_, signed| signed.signature.method = ed25519), unfit);
}

/// A value is good in the form in which it was made, and the other form of the same key is another method.
#[test]
fn rsa_signs_in_two_forms_that_are_not_mixed() {
    use wire::SignatureMethod::{EcdsaP256Sha256, RsaPssSha512, RsaSha512};
    let world = World::new();
    let parts = Parts { message: sha512(b"message"), body: None };
    for (pss, made, other) in [(false, RsaSha512, RsaPssSha512), (true, RsaPssSha512, RsaSha512)] {
        let wish = Wish { kind: NewKeyKind::Rsa(2048), pss, ..Wish::default() };
        let signed = sign(&parts, &world.credential(&wish), NOW).unwrap();
        assert_eq!(signed.signature.method(), made);
        let material = Material::new(&signed.material).unwrap();
        let verdict = |method: wire::SignatureMethod, parts: &Parts| {
            let signature = wire::Signature { method: method.into(), ..signed.signature.clone() };
            verify(&signature, parts, &material, &world.expected()).map(|verified| verified.leaf())
        };
        assert_eq!(verdict(made, &parts), Ok(signed.leaf));
        assert_eq!(verdict(other, &parts), Err(SignatureError::Value));
        let length = SignatureError::Malformed("the signature value has a wrong length");
        assert_eq!(verdict(EcdsaP256Sha256, &parts), Err(length));
        let altered = Parts { message: sha512(b"massage"), body: None };
        assert_eq!(verdict(made, &altered), Err(SignatureError::Value));
    }
}

#[test]
fn the_signing_time_is_near_now() {
    let moved = |by: i64| good(|_, signed| signed.signature.signing_time_ms += by);
    let at = |by: i64| SignatureError::Time(kogge_proto::time::UnixMillis(NOW.floor_seconds().0 + by));
    assert_eq!(moved(1000), SignatureError::Value);
    assert_eq!(moved(-1000), SignatureError::Value);
    assert_eq!(moved(60_000), SignatureError::Value);
    assert_eq!(moved(61_000), at(61_000));
    assert_eq!(moved(-60_000), SignatureError::Value);
    assert_eq!(moved(-600_000), at(-600_000));
    assert_eq!(moved(1), SignatureError::Malformed("the signing time is not a whole second"));
}

#[test]
fn everything_that_is_named_comes_along() {
    let wish = Wish { by_intermediate: true, ..Wish::default() };
    // The order in which `sign` puts them: certificate, issuers, OCSP response.
    for (index, what) in [(0, "signing certificate"), (1, "issuer certificate"), (2, "OCSP response")] {
        let error = refusal(&wish, |_, signed| drop(signed.material.items.remove(index)));
        assert_eq!(error, SignatureError::MissingMaterial(what));
    }
    let renamed = good(|_, signed| signed.signature.certificate_sha256[5] ^= 1);
    assert_eq!(renamed, SignatureError::MissingMaterial("signing certificate"));
    let renamed = good(|_, signed| signed.signature.ocsp_sha256[5] ^= 1);
    assert_eq!(renamed, SignatureError::MissingMaterial("OCSP response"));
}

#[test]
fn another_certificate_of_the_same_key_is_refused() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let wish = Wish { not_after: NOW.plus(DAY * 2), ..Wish::default() };
    let other = world.certify(&wish, &world.member, &*credential.key);
    let mut signed = sign(&parts(), &credential, NOW).unwrap();
    signed.signature.certificate_sha256 = other.sha256().as_bytes().to_vec();
    signed.material.items.push(other.der().to_vec().into());
    assert_eq!(check(&world, &signed), Err(SignatureError::Value));
}

#[test]
fn garbage_in_place_of_material_is_refused() {
    let error = good(|_, signed| {
        signed.signature.certificate_sha256 = sha256(b"garbage").as_bytes().to_vec();
        signed.material.items.push("garbage".into());
    });
    assert!(matches!(error, SignatureError::Certificate(_)), "{error:?}");
    let error = good(|_, signed| {
        signed.signature.ocsp_sha256 = sha256(b"garbage").as_bytes().to_vec();
        signed.material.items.push("garbage".into());
    });
    assert!(matches!(error, SignatureError::Ocsp(OcspError::Malformed(_))), "{error:?}");
}

#[test]
fn the_path_leads_to_an_approved_ca_now() {
    let wish = Wish::default();
    let world = World::new();
    let signed = sign(&parts(), &world.credential(&wish), NOW).unwrap();
    let material = Material::new(&signed.material).unwrap();
    let nobody = TrustStore::default();
    let expected = kogge_evidence::signature::Expected { trust: &nobody, ..world.expected() };
    let error = verify(&signed.signature, &parts(), &material, &expected).unwrap_err();
    assert!(matches!(error, SignatureError::Path(PathError::UnknownIssuer { .. })), "{error:?}");

    let by_intermediate = Wish { by_intermediate: true, ..Wish::default() };
    let error = refused_credential(&by_intermediate, |_, credential| credential.issuers.clear());
    assert!(matches!(error, SignatureError::Path(PathError::UnknownIssuer { .. })), "{error:?}");

    let expired = Wish { not_after: NOW.minus(HOUR), ..Wish::default() };
    let error = refused_credential(&expired, |_, _| ());
    assert!(matches!(error, SignatureError::Path(PathError::Expired { .. })), "{error:?}");

    let authentication = Wish { profile: Profile::Authentication, ..Wish::default() };
    let error = refused_credential(&authentication, |_, _| ());
    let SignatureError::Path(PathError::Profile(ProfileError::Unfit { profile, .. })) = error else {
        panic!("{error:?}");
    };
    assert_eq!(profile, Profile::Signing);
}

/// The verifier judges the OCSP response at the signing time, so one from later is worth nothing then.
#[test]
fn an_ocsp_response_from_after_the_signature_is_refused() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let error = check(&world, &sign(&parts(), &credential, NOW.minus(Duration::from_secs(61))).unwrap());
    let this_update = NOW.floor_seconds();
    assert_eq!(error, Err(SignatureError::Ocsp(OcspError::NotYetValid { this_update })));
    assert_eq!(
        check(&world, &sign(&parts(), &credential, NOW.minus(Duration::from_secs(60))).unwrap()),
        Ok(())
    );
}

/// Fresh when the signature was made, by half a minute, and stale now.
#[test]
fn an_ocsp_response_that_went_stale_on_the_way_is_refused() {
    let world = World::new();
    let mut credential = world.credential(&Wish::default());
    let this_update = NOW.floor_seconds().minus(HOUR + Duration::from_secs(30));
    credential.ocsp = world.ocsp(&Wish::default(), &credential.certificate, Answer::Good, this_update);
    let error = check(&world, &sign(&parts(), &credential, NOW.minus(Duration::from_secs(59))).unwrap());
    assert_eq!(error, Err(SignatureError::Ocsp(OcspError::Stale { this_update })));
}

/// Valid since ten seconds ago, and the signature claims to be a minute old.
#[test]
fn a_signature_from_before_the_certificate_is_refused() {
    let world = World::new();
    let wish = Wish { not_before: NOW.minus(Duration::from_secs(10)).floor_seconds(), ..Wish::default() };
    let credential = world.credential(&wish);
    let signed = sign(&parts(), &credential, NOW.minus(Duration::from_secs(60))).unwrap();
    let error = check(&world, &signed).unwrap_err();
    let SignatureError::Path(PathError::NotYetValid { at, .. }) = error else { panic!("{error:?}") };
    assert_eq!(at, wish.not_before);
}

/// Valid for ten more seconds, and the signature claims to come from a clock that is half a minute ahead.
#[test]
fn a_signature_from_after_the_certificate_is_refused() {
    let world = World::new();
    let wish = Wish { not_after: NOW.plus(Duration::from_secs(10)).floor_seconds(), ..Wish::default() };
    let credential = world.credential(&wish);
    let signed = sign(&parts(), &credential, NOW.plus(Duration::from_secs(30))).unwrap();
    let error = check(&world, &signed).unwrap_err();
    let SignatureError::Path(PathError::Expired { at, .. }) = error else { panic!("{error:?}") };
    assert_eq!(at, wish.not_after);
}

#[test]
fn only_the_expected_member_can_have_signed() {
    let error = refused_credential(&Wish::default(), |world, credential| {
        let other = world.issue(&Wish::default(), &member("70000002"));
        credential.ocsp = world.ocsp(&Wish::default(), &other.certificate, Answer::Good, NOW);
        credential.certificate = other.certificate;
        credential.key = other.key;
    });
    let expected = SignatureError::OtherMember { expected: member("70000001"), found: member("70000002") };
    assert_eq!(error, expected);
}

#[test]
fn the_ocsp_response_says_good_and_is_fresh() {
    let ocsp_error = |answer: Answer, at| {
        let error = refused_credential(&Wish::default(), |world, credential| {
            credential.ocsp = world.ocsp(&Wish::default(), &credential.certificate, answer, at);
        });
        let SignatureError::Ocsp(error) = error else { panic!("{error:?}") };
        error
    };
    let revoked = NOW.minus(HOUR).floor_seconds();
    assert_eq!(ocsp_error(Answer::Revoked(revoked), NOW), OcspError::Revoked { at: revoked });
    assert_eq!(ocsp_error(Answer::Unknown, NOW), OcspError::Unknown);
    let old = NOW.minus(HOUR * 2).floor_seconds();
    assert_eq!(ocsp_error(Answer::Good, old), OcspError::Stale { this_update: old });
    let ahead = NOW.plus(HOUR).floor_seconds();
    assert_eq!(ocsp_error(Answer::Good, ahead), OcspError::NotYetValid { this_update: ahead });

    let of_another = refused_credential(&Wish::default(), |world, credential| {
        let other = world.issue(&Wish::default(), &world.member);
        credential.ocsp = world.ocsp(&Wish::default(), &other.certificate, Answer::Good, NOW);
    });
    assert_eq!(of_another, SignatureError::Ocsp(OcspError::OtherCertificate));
}

#[test]
fn a_key_signs_only_with_its_own_certificate() {
    let world = World::new();
    let mut credential = world.credential(&Wish::default());
    credential.certificate = world.issue(&Wish::default(), &world.member).certificate;
    assert_eq!(
        sign(&parts(), &credential, NOW).unwrap_err(),
        SignError::Token("the signing certificate belongs to another key".to_owned())
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever single bit changes on the way, the signature is refused.
    #[test]
    fn no_bit_of_the_compact_form_can_change(position in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let world = World::new();
        let mut signed = sign(&parts(), &world.credential(&Wish::default()), NOW).unwrap();
        let mut bytes = signed.signature.encode_to_vec();
        let position = position.index(bytes.len());
        bytes[position] ^= 1 << bit;
        if let Ok(altered) = wire::Signature::decode(bytes.as_slice()) {
            prop_assert_ne!(&altered, &signed.signature);
            signed.signature = altered;
            prop_assert!(check(&world, &signed).is_err());
        }
    }
}
