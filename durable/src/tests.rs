use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn replaces_content_and_leaves_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    write_atomic(&path, b"a longer first content", false).unwrap();
    write_atomic(&path, b"second", false).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"second");
    assert_eq!(names(dir.path()), ["state"]);
}

#[test]
fn what_a_crash_left_is_replaced_and_made_secret_before_it_is_filled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let left = dir.path().join(".key.tmp");
    std::fs::write(&left, b"half of a longer content that was cut off by a crash").unwrap();
    std::fs::set_permissions(&left, Permissions::from_mode(0o644)).unwrap();
    write_atomic(&path, b"whole", true).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(names(dir.path()), ["key"]);
}

#[test]
fn secret_files_are_for_the_owner_alone_even_if_the_old_one_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, b"open to all").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    write_atomic(&path, b"secret", true).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_failed_write_keeps_the_old_content_and_says_which_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("inside"), b"old").unwrap();
    let error = write_atomic(&path, b"new", false).unwrap_err();
    assert!(matches!(&error, DurableError::Io { what: "replace", path: at, .. } if at == &path), "{error}");
    assert_eq!(std::fs::read(path.join("inside")).unwrap(), b"old");
}

#[test]
fn a_write_that_is_given_up_keeps_the_old_content_and_leaves_no_remainder() {
    #[derive(Debug)]
    struct GivenUp;
    impl From<DurableError> for GivenUp {
        fn from(error: DurableError) -> Self {
            panic!("{error}")
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("container");
    write_atomic(&path, b"old", false).unwrap();
    let result = write_atomic_with(&path, false, |file| {
        file.write_all(b"half of the new").unwrap();
        Err(GivenUp)
    });
    assert!(matches!(result, Err(GivenUp)));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["container"]);
}

#[test]
fn a_missing_directory_and_a_path_without_a_name_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let error = write_atomic(&dir.path().join("missing/file"), b"x", false).unwrap_err();
    assert!(matches!(error, DurableError::Io { what: "create", .. }), "{error}");
    let error = write_atomic(Path::new("/"), b"x", false).unwrap_err();
    assert!(matches!(error, DurableError::Io { what: "write", .. }), "{error}");
}

#[test]
fn writers_of_one_file_take_turns_and_readers_see_whole_contents() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let contents: Vec<Vec<u8>> = (0..8u8).map(|n| vec![b'a' + n; 1000 + 500 * usize::from(n)]).collect();
    write_atomic(&path, &contents[0], false).unwrap();
    std::thread::scope(|scope| {
        for content in &contents {
            scope.spawn(|| (0..20).for_each(|_| write_atomic(&path, content, false).unwrap()));
        }
        for _ in 0..200 {
            let seen = std::fs::read(&path).unwrap();
            assert!(contents.contains(&seen), "a torn content of {} bytes", seen.len());
        }
    });
    assert_eq!(names(dir.path()), ["state"]);
}

#[test]
fn directories_are_created_with_parents_and_kept_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("a/b/c");
    create_dir(&inner, true).unwrap();
    assert_eq!((mode(&inner), mode(&dir.path().join("a"))), (0o700, 0o700));
    std::fs::set_permissions(&inner, Permissions::from_mode(0o750)).unwrap();
    create_dir(&inner, true).unwrap();
    assert_eq!(mode(&inner), 0o750);
}

#[test]
fn a_file_in_the_way_of_a_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let error = create_dir(&path.join("below"), false).unwrap_err();
    assert!(matches!(error, DurableError::Io { what: "create the directory", .. }), "{error}");
    let error = sync_dir(&dir.path().join("missing")).unwrap_err();
    assert!(matches!(error, DurableError::Io { what: "sync the directory", .. }), "{error}");
}

#[test]
fn a_lock_excludes_a_second_holder_until_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let held = DirLock::acquire(dir.path()).unwrap();
    let error = DirLock::acquire(dir.path()).unwrap_err();
    assert!(matches!(&error, DurableError::Locked { path } if path == dir.path()), "{error}");
    drop(held);
    DirLock::acquire(dir.path()).unwrap();
}

#[test]
fn a_lock_is_one_lock_whichever_way_the_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real");
    std::fs::create_dir(&real).unwrap();
    symlink(&real, dir.path().join("alias")).unwrap();
    let _held = DirLock::acquire(&real).unwrap();
    assert!(matches!(DirLock::acquire(&dir.path().join("alias")), Err(DurableError::Locked { .. })));
}

#[test]
fn a_lock_held_by_another_process_is_seen_and_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    // flock(1) of util-linux is the other process: it holds the lock until its child, a cat on our pipe, ends.
    let spawned = Command::new("flock")
        .arg(&path)
        .args(["sh", "-c", "echo locked; cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut other) = spawned else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "flock(1) is missing");
        eprintln!("SKIPPED: flock(1) is missing");
        return;
    };
    let mut said = [0u8; 7];
    io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut said).unwrap();
    assert!(matches!(DirLock::acquire(dir.path()), Err(DurableError::Locked { .. })));
    drop(other.stdin.take());
    other.wait().unwrap();
    DirLock::acquire(dir.path()).unwrap();
}
