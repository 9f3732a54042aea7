//! A signer that is known: never believed where verification from scratch would refuse, never established anew where it would not.

use std::sync::Arc;
use std::time::Duration;

use kogge_certs::ocsp::{Answer, OcspError};
use kogge_certs::path::PathError;
use kogge_certs::trust::TrustStore;
use kogge_evidence::material::Material;
use kogge_evidence::signature::{
    Credential, Expected, Parts, SignatureError, Signed, Signer, VerifiedSignature, sign, verify, verify_with,
};
use kogge_proto::digest::sha512;
use kogge_proto::time::UnixMillis;

use crate::world::{DAY, HOUR, NOW, Wish, World, member};

const MILLI: Duration = Duration::from_millis(1);
const SKEW: Duration = Duration::from_secs(60);
/// The signing time and the certificates' dates are whole seconds.
const T: UnixMillis = UnixMillis(NOW.0 - NOW.0 % 1000);

fn parts(text: &str) -> Parts {
    Parts { message: sha512(text.as_bytes()), body: None }
}

fn signed(credential: &Credential, at: UnixMillis) -> Signed {
    sign(&parts("another message"), credential, at).unwrap()
}

/// Establishes the signer by one message.
fn established(world: &World, credential: &Credential) -> Arc<Signer> {
    let first = sign(&parts("a message"), credential, T).unwrap();
    let material = Material::new(&first.material).unwrap();
    let verified = verify(&first.signature, &parts("a message"), &material, &world.expected()).unwrap();
    Arc::clone(verified.signer())
}

fn verify_by(
    known: &Arc<Signer>,
    signed: &Signed,
    expected: &Expected<'_>,
) -> Result<VerifiedSignature, SignatureError> {
    let material = Material::new(&signed.material).unwrap();
    let shown = |_: &_| Some(Arc::clone(known));
    verify_with(&signed.signature, &parts("another message"), &material, expected, shown)
}

/// The verdict on another message, which must be that from scratch; whether what was known served.
fn verdict(known: &Arc<Signer>, signed: &Signed, expected: &Expected<'_>) -> Result<bool, SignatureError> {
    let material = Material::new(&signed.material).unwrap();
    let from_scratch = verify(&signed.signature, &parts("another message"), &material, expected);
    let verified = verify_by(known, signed, expected);
    assert_eq!(verified.as_ref().err(), from_scratch.as_ref().err());
    verified.map(|verified| Arc::ptr_eq(verified.signer(), known))
}

#[test]
fn a_known_signer_serves_again_with_what_it_names() {
    for by_intermediate in [false, true] {
        let world = World::new();
        let credential = world.credential(&Wish { by_intermediate, ..Wish::default() });
        let known = established(&world, &credential);
        let signed = signed(&credential, T.plus(SKEW));
        assert_eq!(verdict(&known, &signed, &world.expected()), Ok(true));
        let items: Vec<&[u8]> =
            known.material().items.iter().map(|item| item.to_vec().leak() as &[u8]).collect();
        let mut expected = vec![credential.certificate.der(), &credential.ocsp];
        expected.extend(credential.issuers.iter().map(|issuer| issuer.der()));
        assert_eq!(items, expected, "in the order of the names");
    }
}

#[test]
fn the_value_is_checked_whoever_signed() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let known = established(&world, &credential);
    let mut altered = signed(&credential, T);
    altered.signature.value[7] ^= 1;
    assert_eq!(verdict(&known, &altered, &world.expected()), Err(SignatureError::Value));
    let mut moved = signed(&credential, T);
    moved.signature.signing_time_ms += 1000;
    assert_eq!(verdict(&known, &moved, &world.expected()), Err(SignatureError::Value));
    let other = sign(&parts("a third message"), &credential, T).unwrap();
    assert_eq!(verdict(&known, &other, &world.expected()), Err(SignatureError::Value));
}

#[test]
fn it_must_be_the_expected_member() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let known = established(&world, &credential);
    let other = member("70000002");
    let expected = Expected { member: &other, ..world.expected() };
    let refused = SignatureError::OtherMember { expected: other.clone(), found: world.member.clone() };
    assert_eq!(verdict(&known, &signed(&credential, T), &expected), Err(refused));
}

#[test]
fn what_is_named_must_come_along_although_it_is_known() {
    let wish = Wish { by_intermediate: true, ..Wish::default() };
    let world = World::new();
    let credential = world.credential(&wish);
    let known = established(&world, &credential);
    for (index, what) in [(0, "signing certificate"), (1, "issuer certificate"), (2, "OCSP response")] {
        let mut signed = signed(&credential, T);
        drop(signed.material.items.remove(index));
        let refused = SignatureError::MissingMaterial(what);
        assert_eq!(verdict(&known, &signed, &world.expected()), Err(refused));
    }
}

/// A peer that shows a known certificate with something else beside it gets a verdict on that, and the known signer is not used.
#[test]
fn other_names_are_another_signer() {
    let wish = Wish { by_intermediate: true, ..Wish::default() };
    let world = World::new();
    let credential = world.credential(&wish);
    let known = established(&world, &credential);
    let with = |change: &dyn Fn(&mut Credential)| {
        let mut credential = credential.clone();
        change(&mut credential);
        verdict(&known, &signed(&credential, T), &world.expected())
    };
    let ocsp = |answer, at| world.ocsp(&wish, &credential.certificate, answer, at);
    let newer = ocsp(Answer::Good, NOW.minus(SKEW));
    assert_eq!(with(&|credential| credential.ocsp = newer.clone()), Ok(false));
    let revoked = ocsp(Answer::Revoked(T.minus(HOUR)), T);
    let refused = Err(OcspError::Revoked { at: T.minus(HOUR) }.into());
    assert_eq!(with(&|credential| credential.ocsp = revoked.clone()), refused);
    let unknown = ocsp(Answer::Unknown, T);
    assert_eq!(with(&|credential| credential.ocsp = unknown.clone()), Err(OcspError::Unknown.into()));
    let stale = ocsp(Answer::Good, T.minus(HOUR + MILLI * 1000));
    let refused = Err(OcspError::Stale { this_update: T.minus(HOUR + MILLI * 1000) }.into());
    assert_eq!(with(&|credential| credential.ocsp = stale.clone()), refused);
    let others = world.credential(&wish);
    let refused = Err(OcspError::OtherCertificate.into());
    assert_eq!(with(&|credential| credential.ocsp = others.ocsp.clone()), refused);
    let refused = with(&|credential| credential.issuers.clear()).unwrap_err();
    assert!(matches!(refused, SignatureError::Path(PathError::UnknownIssuer { .. })), "{refused:?}");
    let more = |credential: &mut Credential| credential.issuers.push(world.ca.certificate.clone());
    assert_eq!(with(&more), Ok(false));
    let certificate =
        world.certify(&Wish { not_after: T.plus(DAY * 2), ..wish }, &world.member, &*credential.key);
    // Of the same serial number, so that the response is about it too.
    assert_eq!(with(&|credential| credential.certificate = certificate.clone()), Ok(false));
    assert_eq!(with(&|credential| *credential = others.clone()), Ok(false), "another key of the same member");
}

/// Approvals of another snapshot are others, even where they read the same.
#[test]
fn another_trust_store_is_asked_itself() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let known = established(&world, &credential);
    let signed = signed(&credential, T);
    let same = TrustStore::new(world.trust.cas().iter().map(|ca| (**ca).clone()).collect(), vec![]);
    assert_eq!(verdict(&known, &signed, &Expected { trust: &same, ..world.expected() }), Ok(false));
    let nobody = TrustStore::default();
    let refused = verdict(&known, &signed, &Expected { trust: &nobody, ..world.expected() }).unwrap_err();
    assert!(matches!(refused, SignatureError::Path(PathError::UnknownIssuer { .. })), "{refused:?}");
    let mut shared = TrustStore::default();
    assert!(verdict(&known, &signed, &Expected { trust: &shared, ..world.expected() }).is_err());
    shared = world.trust.clone();
    assert_eq!(verdict(&known, &signed, &Expected { trust: &shared, ..world.expected() }), Ok(true));
}

/// Every edge in time, a millisecond on either side of it: what is known ends exactly where verification from scratch ends.
#[test]
fn what_is_known_ends_with_its_dates() {
    let week = Duration::from_secs(7 * 24 * 3600);
    // Each has one edge that is reached before all others.
    let cases = [
        (
            "expiry",
            Wish { not_after: T.plus(HOUR / 4), ..Wish::default() },
            T.minus(SKEW),
            T.plus(HOUR / 4 + MILLI * 999),
        ),
        ("OCSP response", Wish::default(), T.minus(SKEW), T.plus(HOUR)),
        (
            "not yet valid",
            Wish { not_before: T.minus(SKEW / 2), ..Wish::default() },
            T.minus(SKEW / 2),
            T.plus(HOUR),
        ),
    ];
    for (name, wish, first, last) in cases {
        let world = World::new();
        let mut credential = world.credential(&wish);
        credential.ocsp = world.ocsp(&wish, &credential.certificate, Answer::Good, T);
        let known = established(&world, &credential);
        // The signing time stays within the age limit of each `now`; its own edges follow below.
        let at = |signing: UnixMillis, now: UnixMillis| {
            let expected = Expected { age_max: week, now, ..world.expected() };
            verdict(&known, &signed(&credential, signing), &expected)
        };
        assert_eq!(at(T, last), Ok(true), "{name}: the last moment");
        assert!(at(T, last.plus(MILLI)).is_err(), "{name}: a moment after");
        assert_eq!(at(first, T), Ok(true), "{name}: signed at the first moment");
        assert!(at(first.minus(MILLI * 1000), T).is_err(), "{name}: signed a second before");
        assert_eq!(at(first, first), Ok(true), "{name}: received at the first moment");
        assert!(at(first, first.minus(MILLI)).is_err(), "{name}: received a moment before");
    }
}

/// `nextUpdate` is an hour after `thisUpdate` here and ends before a policy of two hours does.
#[test]
fn next_update_ends_it_as_well() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let known = established(&world, &credential);
    let mut expected = world.expected();
    expected.freshness.age_max = HOUR * 2;
    expected.age_max = HOUR * 2;
    let next_update = T.plus(HOUR);
    let mut at = |signing, now| {
        expected.now = now;
        verdict(&known, &signed(&credential, signing), &expected)
    };
    assert_eq!(at(T, next_update.plus(SKEW)), Ok(true));
    let stale = Err(OcspError::Stale { this_update: T }.into());
    assert_eq!(at(T, next_update.plus(SKEW + MILLI)), stale);
    assert_eq!(at(next_update.plus(SKEW), next_update.plus(SKEW)), Ok(true));
    assert_eq!(at(next_update.plus(SKEW + MILLI * 1000), next_update.plus(SKEW)), stale);
}

/// The same response under a stricter policy.
#[test]
fn the_freshness_of_this_moment_counts() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let known = established(&world, &credential);
    let mut expected = Expected { now: T.plus(HOUR / 2), age_max: HOUR, ..world.expected() };
    assert_eq!(verdict(&known, &signed(&credential, T), &expected), Ok(true));
    expected.freshness.age_max = HOUR / 2 - MILLI;
    let stale = Err(OcspError::Stale { this_update: T }.into());
    assert_eq!(verdict(&known, &signed(&credential, T), &expected), stale);
}
