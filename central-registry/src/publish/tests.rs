//! Versions, half-lives, restarts.

use std::fs;
use std::path::PathBuf;

use kogge_proto::digest::Sha256;

use super::*;
use crate::clock::now;
use crate::operator::{change, open_ledger};
use crate::testing::{DAY, Home, PIN, add_member};

impl Home {
    fn start(&self, now: UnixMillis) -> Result<Publisher, RegistryError> {
        let ledger = open_ledger(&self.config)?;
        let token = SoftToken::open(&self.config.token_dir(), &kogge_signer::Pin::new(PIN))?;
        let archive = Arc::new(Archive::open(&self.config.published_dir(), &self.config.index_dir())?);
        Publisher::start(ledger, token, self.anchor.clone(), archive, self.config.snapshot_lifetime, now)
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.config.published_dir()).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|e| e == "snapshot")).collect();
        files.sort_unstable();
        files
    }
}

fn shown(publisher: &Publisher) -> (u64, Sha256) {
    (publisher.current().meta.version, publisher.current().meta.digest)
}

#[test]
fn what_is_published_verifies_with_the_anchor_and_is_on_disk() {
    let (home, now) = (Home::new(), now());
    let publisher = home.start(now).unwrap();
    let current = publisher.current();
    let snapshot = VerifiedSnapshot::verify(current.bytes.clone(), &home.anchor, now).unwrap();
    assert_eq!((snapshot.instance(), snapshot.version()), ("EE", current.meta.version));
    assert_eq!(snapshot.expires(), now.plus(DAY));
    let [file] = &home.files()[..] else { panic!("one file") };
    assert_eq!(fs::read(file).unwrap(), current.bytes);
}

#[test]
fn a_change_is_published_at_once_and_nothing_without_need() {
    let (home, now) = (Home::new(), now());
    let mut publisher = home.start(now).unwrap();
    let first = shown(&publisher);
    assert!(!publisher.tick(now.plus(DAY / 4)).unwrap());
    change(&home.config, add_member("1")).unwrap();
    assert!(publisher.tick(now.plus(DAY / 4)).unwrap());
    assert!(shown(&publisher).0 > first.0);
    let snapshot =
        VerifiedSnapshot::verify(publisher.current().bytes.clone(), &home.anchor, now.plus(DAY / 4)).unwrap();
    assert_eq!(snapshot.members().count(), 1);
    assert_eq!(home.files().len(), 2);
}

#[test]
fn a_snapshot_is_issued_anew_at_half_of_its_life() {
    let (home, now) = (Home::new(), now());
    let mut publisher = home.start(now).unwrap();
    let first = shown(&publisher);
    assert!(!publisher.tick(now.plus(DAY / 2 - Duration::from_millis(1))).unwrap());
    assert!(publisher.tick(now.plus(DAY / 2)).unwrap());
    assert!(shown(&publisher).0 > first.0);
    assert_eq!(publisher.current().meta.expires, now.plus(DAY / 2 + DAY));
}

#[test]
fn a_snapshot_from_the_future_is_replaced_once_the_clock_is_right() {
    let (home, now) = (Home::new(), now());
    let mut publisher = home.start(now.plus(30 * DAY)).unwrap();
    let first = shown(&publisher);
    let skew = publisher.state().policy().clock_skew;
    assert!(!publisher.tick(now.plus(30 * DAY).minus(skew)).unwrap());
    assert!(publisher.tick(now).unwrap());
    assert!(shown(&publisher).0 > first.0);
    assert_eq!(publisher.current().meta.issued, now);
}

#[test]
fn a_restart_serves_the_same_snapshot_and_a_late_one_a_newer() {
    let (home, now) = (Home::new(), now());
    let first = shown(&home.start(now).unwrap());
    assert_eq!(shown(&home.start(now.plus(DAY / 4)).unwrap()), first);
    let late = home.start(now.plus(2 * DAY)).unwrap();
    assert!(shown(&late).0 > first.0);
    assert_eq!(late.current().meta.issued, now.plus(2 * DAY));
}

#[test]
fn versions_rise_although_the_clock_stands_or_goes_back() {
    let (home, start) = (Home::new(), now());
    let mut last = 0;
    for (number, now) in
        [start, start, start.minus(DAY / 1000), start.minus(DAY / 2000)].into_iter().enumerate()
    {
        change(&home.config, add_member(&number.to_string())).unwrap();
        // The delegation was issued when the registry was made, so the clock goes back to that moment only.
        let now = UnixMillis(now.0.max(open_ledger(&home.config).unwrap().state().delegation().issued.0));
        let version = shown(&home.start(now).unwrap()).0;
        assert!(version > last, "{version} after {last}");
        last = version;
    }
}

#[test]
fn a_version_that_was_taken_before_a_crash_is_never_given_to_other_content() {
    let (home, now) = (Home::new(), now());
    let first = shown(&home.start(now).unwrap());
    // The registry died after it stored this version and before it served it; then the disk ate it.
    let taken = first.0 + 10;
    let path = home.config.published_dir().join(format!("{taken}_1_{}.snapshot", now.0));
    fs::write(path, b"torn").unwrap();
    assert_eq!(shown(&home.start(now).unwrap()).0, taken + 1);
    // A temporary file of a write that did not come to its end takes nothing.
    let temporary = home.config.published_dir().join(format!(".{}_1_{}.snapshot.tmp", taken + 9, now.0));
    fs::write(temporary, b"torn").unwrap();
    assert_eq!(shown(&home.start(now).unwrap()).0, taken + 1);
}

#[test]
fn versions_follow_time_so_that_an_old_backup_does_not_fall_behind() {
    let now = UnixMillis(1_795_000_000_999);
    assert_eq!(next_version(0, now), 1_795_000_000);
    assert_eq!(next_version(1_795_000_000, now), 1_795_000_001);
    assert_eq!(next_version(1_800_000_000, now), 1_800_000_001);
    assert_eq!(next_version(0, UnixMillis(-1)), 1);
    assert_eq!(next_version(u64::MAX, now), u64::MAX);
}

#[test]
fn a_journal_restored_from_before_the_last_snapshot_is_published_under_a_higher_version() {
    let (home, now) = (Home::new(), now());
    let journal = home.config.journal_dir();
    let kept = ["decisions", "head"].map(|name| (journal.join(name), fs::read(journal.join(name)).unwrap()));
    change(&home.config, add_member("1")).unwrap();
    let before = home.start(now).unwrap();
    for (path, bytes) in kept {
        fs::write(path, bytes).unwrap();
    }
    let after = home.start(now).unwrap();
    assert!(shown(&after).0 > shown(&before).0);
    assert_eq!((before.current().sequence, after.current().sequence), (2, 1));
}

#[test]
fn old_snapshots_stay_available_without_the_index() {
    let (home, now) = (Home::new(), now());
    let first = shown(&home.start(now).unwrap());
    let publisher = home.start(now.plus(DAY)).unwrap();
    let second = shown(&publisher);
    // Asking makes the index.
    assert!(publisher.archive.by_version(first.0).unwrap().is_some());
    drop(publisher);
    fs::remove_dir_all(home.config.index_dir()).unwrap();
    let publisher = home.start(now.plus(DAY)).unwrap();
    let version = |row: Option<Row>| row.map(|row| row.version);
    let archive = &publisher.archive;
    assert_eq!(version(archive.by_version(first.0).unwrap()), Some(first.0));
    assert_eq!(version(archive.as_of(now.plus(DAY / 2)).unwrap()), Some(first.0));
    assert_eq!(version(archive.as_of(now.plus(DAY)).unwrap()), Some(second.0));
    assert_eq!(version(archive.as_of(now.minus(DAY)).unwrap()), None);
    let bytes = archive.read(&archive.by_version(first.0).unwrap().unwrap()).unwrap();
    assert_eq!(VerifiedSnapshot::verify_archived(bytes.clone(), &home.anchor).unwrap().version(), first.0);
}

#[test]
fn without_a_valid_delegation_nothing_is_published() {
    let home = Home::new();
    let expires = open_ledger(&home.config).unwrap().state().delegation().expires;
    let error = home.start(expires).map(drop).unwrap_err();
    assert!(matches!(error, RegistryError::DelegationExpired { .. }), "{error}");
    assert!(home.files().is_empty());
    // Shortly before, the snapshot ends with the delegation and is renewed in ever shorter steps.
    let mut publisher = home.start(expires.minus(DAY / 2)).unwrap();
    assert_eq!(publisher.current().meta.expires, expires);
    assert!(publisher.tick(expires.minus(DAY / 4)).unwrap());
    let error = publisher.tick(expires).unwrap_err();
    assert!(matches!(error, RegistryError::DelegationExpired { .. }), "{error}");
}

#[test]
fn a_journal_of_other_keys_does_not_go_with_this_token() {
    let (home, other) = (Home::new(), Home::new());
    for name in ["decisions", "head"] {
        fs::copy(other.config.journal_dir().join(name), home.config.journal_dir().join(name)).unwrap();
    }
    let error = home.start(now()).map(drop).unwrap_err();
    assert!(matches!(error, RegistryError::Token(TokenError::NoKey(_))), "{error}");
}
