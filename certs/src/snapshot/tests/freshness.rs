//! Old, frozen, and rolled back snapshots: all of them correctly signed.

use std::time::Duration;

use kogge_proto::digest::sha256;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::registry as wire;
use prost::Message;

use super::fixture::{
    DAY, HOUR, KEYS, NOW, anchor, delegation, delegation_of, draft, forge, parts, sign, verified,
};
use crate::key::SigningKey;
use crate::snapshot::limits::{DELEGATION_LIFETIME_MAX, SNAPSHOT_LIFETIME_MAX};
use crate::snapshot::{
    Draft, Meta, Part, SnapshotError, VerifiedSnapshot, accept_over, sign_delegation, sign_snapshot,
};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_snapshot_is_valid_until_just_before_its_expiry() {
    let (bytes, expires) = (sign(&draft()), NOW.plus(DAY));
    let last = VerifiedSnapshot::verify(bytes.clone(), &anchor(), expires.minus(MILLI)).unwrap();
    assert!(!last.is_expired(expires.minus(MILLI)));
    assert!(last.is_expired(expires));
    let error = VerifiedSnapshot::verify(bytes.clone(), &anchor(), expires).unwrap_err();
    assert_eq!(error, SnapshotError::Expired { expires });
}

#[test]
fn a_snapshot_ends_with_its_delegation() {
    let ends = NOW.plus(HOUR);
    let bytes = sign_snapshot(&draft(), &delegation_of(1, NOW.minus(DAY), ends), &[&KEYS.online]).unwrap();
    assert_eq!(VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap().expires(), ends);
    let error = VerifiedSnapshot::verify(bytes.clone(), &anchor(), ends).unwrap_err();
    assert_eq!(error, SnapshotError::Expired { expires: ends });
}

#[test]
fn a_snapshot_from_the_future_is_accepted_within_the_tolerated_skew_only() {
    let bytes = sign(&draft());
    let skew = draft().policy.clock_skew;
    assert!(VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW.minus(skew)).is_ok());
    let error = VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW.minus(skew).minus(MILLI)).unwrap_err();
    assert_eq!(error, SnapshotError::IssuedInFuture { issued: NOW });
}

#[test]
fn auditors_read_old_snapshots_with_the_same_signatures() {
    let bytes = sign(&draft());
    let snapshot = VerifiedSnapshot::verify_archived(bytes.clone(), &anchor()).unwrap();
    assert!(snapshot.is_expired(NOW.plus(1000 * DAY)));
    let mut altered = bytes;
    *altered.last_mut().unwrap() ^= 1;
    let error = VerifiedSnapshot::verify_archived(altered, &anchor()).unwrap_err();
    assert!(matches!(error, SnapshotError::BadSignature { part: Part::Snapshot, .. }), "{error}");
}

#[test]
fn impossible_validities_are_refused_when_read_and_when_made() {
    let impossible = [
        (NOW, NOW),
        (NOW, NOW.minus(MILLI)),
        (NOW, NOW.plus(SNAPSHOT_LIFETIME_MAX).plus(MILLI)),
        (UnixMillis(i64::MIN), UnixMillis(i64::MAX)),
    ];
    let (signed, mut snapshot) = parts(&draft());
    for (issued, expires) in impossible {
        (snapshot.issued_ms, snapshot.expires_ms) = (issued.0, expires.0);
        let bytes = forge(&signed.delegation, &snapshot.encode_to_vec());
        let error = VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap_err();
        assert_eq!(error, SnapshotError::Validity(Part::Snapshot), "{issued} {expires}");
        let error =
            sign_snapshot(&Draft { issued, expires, ..draft() }, &delegation(), &[&KEYS.online]).unwrap_err();
        assert_eq!(error, SnapshotError::Validity(Part::Snapshot), "{issued} {expires}");
    }
}

#[test]
fn impossible_delegations_are_refused_when_read_and_when_made() {
    let (signed, _) = parts(&draft());
    for (issued, expires) in [(NOW, NOW), (NOW, NOW.plus(DELEGATION_LIFETIME_MAX).plus(MILLI))] {
        let mut delegation = wire::Delegation::decode(signed.delegation.as_slice()).unwrap();
        (delegation.issued_ms, delegation.expires_ms) = (issued.0, expires.0);
        let bytes = forge(&delegation.encode_to_vec(), &signed.snapshot);
        let error = VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap_err();
        assert_eq!(error, SnapshotError::Validity(Part::Delegation));
        let online = [KEYS.online.public_key().clone()];
        let error = sign_delegation("EE", 1, issued, expires, &online, 1, &[&KEYS.root[0]]).unwrap_err();
        assert_eq!(error, SnapshotError::Validity(Part::Delegation));
    }
}

#[test]
fn a_snapshot_is_issued_within_its_delegation() {
    for (from, until) in [(NOW.plus(MILLI), NOW.plus(DAY)), (NOW.minus(DAY), NOW)] {
        let delegation = delegation_of(1, from, until);
        let error = sign_snapshot(&draft(), &delegation, &[&KEYS.online]).unwrap_err();
        assert_eq!(error, SnapshotError::OutsideDelegation { issued: NOW });
        let (signed, _) = parts(&draft());
        let bytes = forge(&delegation.bytes, &signed.snapshot);
        let error = VerifiedSnapshot::verify_archived(bytes.clone(), &anchor()).unwrap_err();
        assert_eq!(error, SnapshotError::OutsideDelegation { issued: NOW });
    }
}

#[test]
fn versions_start_at_one() {
    let (signed, mut snapshot) = parts(&draft());
    snapshot.version = 0;
    let bytes = forge(&signed.delegation, &snapshot.encode_to_vec());
    let error = VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap_err();
    assert_eq!(error, SnapshotError::NoVersion(Part::Snapshot));

    let mut delegation = wire::Delegation::decode(signed.delegation.as_slice()).unwrap();
    delegation.version = 0;
    let bytes = forge(&delegation.encode_to_vec(), &signed.snapshot);
    let error = VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap_err();
    assert_eq!(error, SnapshotError::NoVersion(Part::Delegation));
}

#[test]
fn whatever_is_newer_or_the_same_may_take_the_place() {
    let accepted = verified(&draft()).meta().clone();
    assert_eq!(accept_over(None, &accepted), Ok(()));
    assert_eq!(accept_over(Some(&accepted), &accepted), Ok(()));
    let newer = verified(&Draft { version: 8, ..draft() });
    assert_eq!(accept_over(Some(&accepted), newer.meta()), Ok(()));
    // A new delegation alone, over the very same snapshot.
    let bytes = sign_snapshot(&draft(), &delegation_of(2, NOW, NOW.plus(DAY)), &[&KEYS.online]).unwrap();
    let renewed = VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap();
    assert_eq!(accept_over(Some(&accepted), renewed.meta()), Ok(()));
}

#[test]
fn an_older_version_is_a_rollback_although_it_is_still_valid() {
    let accepted = verified(&Draft { version: 8, ..draft() });
    let older = verified(&draft());
    let error = accept_over(Some(accepted.meta()), older.meta()).unwrap_err();
    assert_eq!(error, SnapshotError::RolledBack { accepted: 8, offered: 7 });
}

#[test]
fn an_older_delegation_is_a_rollback_even_with_a_newer_snapshot() {
    let delegation = delegation_of(2, NOW.minus(DAY), NOW.plus(DAY));
    let bytes = sign_snapshot(&draft(), &delegation, &[&KEYS.online]).unwrap();
    let accepted = VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap();
    // A stolen online key of the first delegation signs version 8.
    let stolen = verified(&Draft { version: 8, ..draft() });
    let error = accept_over(Some(accepted.meta()), stolen.meta()).unwrap_err();
    assert_eq!(error, SnapshotError::DelegationRolledBack { accepted: 2, offered: 1 });
}

/// Whoever stole the online key has published the highest version there is; the next delegation must be able to go on.
#[test]
fn a_new_delegation_recovers_the_version_numbers() {
    let stolen = verified(&Draft { version: u64::MAX, ..draft() });
    let under = |delegation: u64, draft: &Draft| {
        let delegation = delegation_of(delegation, NOW.minus(DAY), NOW.plus(DAY));
        let bytes = sign_snapshot(draft, &delegation, &[&KEYS.online]).unwrap();
        VerifiedSnapshot::verify_archived(bytes.clone(), &anchor()).unwrap()
    };
    let later = Draft { version: 8, issued: NOW.plus(MILLI), ..draft() };
    assert_eq!(accept_over(Some(stolen.meta()), under(2, &later).meta()), Ok(()));
    let rolled_back = Err(SnapshotError::RolledBack { accepted: u64::MAX, offered: 8 });
    assert_eq!(accept_over(Some(stolen.meta()), under(1, &later).meta()), rolled_back);
    // What was issued before is an old snapshot under whatever delegation.
    let same_time = Draft { version: 8, ..draft() };
    assert_eq!(accept_over(Some(stolen.meta()), under(2, &same_time).meta()), rolled_back);
}

#[test]
fn two_snapshots_of_one_version_are_refused() {
    let accepted = verified(&draft());
    let mut other = draft();
    other.members[1].suspended = true;
    let error = accept_over(Some(accepted.meta()), verified(&other).meta()).unwrap_err();
    assert_eq!(error, SnapshotError::SameVersionDiffers { version: 7 });
}

#[test]
fn a_snapshot_of_another_instance_never_takes_the_place() {
    let accepted = verified(&draft()).meta().clone();
    let other = Meta { instance: "FI".to_owned(), version: 9, digest: sha256(b"other"), ..accepted.clone() };
    let error = accept_over(Some(&accepted), &other).unwrap_err();
    assert_eq!(error, SnapshotError::Instance { expected: "EE".to_owned(), found: "FI".to_owned() });
}
