//! Whatever happens to the index, it answers as if nothing had.

use std::fs;

use tempfile::TempDir;

use super::*;

fn rows() -> Vec<Row> {
    (1..200)
        .map(|n| Row { version: n * 3, sequence: n, issued: UnixMillis(n.cast_signed() * 1000) })
        .collect()
}

/// An index of [`rows`], closed again.
fn closed() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    drop(Index::open(&path, &rows()).unwrap());
    (dir, path)
}

fn assert_whole(path: &Path) {
    let index = Index::open(path, &rows()).unwrap();
    assert_eq!(index.all().unwrap(), rows());
    assert_eq!(index.by_version(3).unwrap(), Some(rows()[0]));
    assert_eq!(index.by_version(4).unwrap(), None);
}

/// The files of the database, largest first.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.is_file());
    files.sort_by_key(|file| std::cmp::Reverse(fs::metadata(file).unwrap().len()));
    files
}

#[test]
fn old_snapshots_are_found_by_version_and_time() {
    let (_dir, path) = closed();
    let index = Index::open(&path, &rows()).unwrap();
    assert_eq!(index.as_of(UnixMillis(999)).unwrap(), None);
    assert_eq!(index.as_of(UnixMillis(1000)).unwrap(), Some(rows()[0]));
    assert_eq!(index.as_of(UnixMillis(2999)).unwrap(), Some(rows()[1]));
    assert_eq!(index.as_of(UnixMillis(i64::MAX)).unwrap(), rows().last().copied());
    assert_eq!(index.as_of(UnixMillis(i64::MIN)).unwrap(), None);
}

#[test]
fn of_two_at_the_same_moment_the_newer_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let at = |version, issued| Row { version, sequence: 1, issued: UnixMillis(issued) };
    let index = Index::open(&dir.path().join("index"), &[at(1, -5), at(2, 10), at(300, 10)]).unwrap();
    assert_eq!(index.as_of(UnixMillis(10)).unwrap(), Some(at(300, 10)));
    assert_eq!(index.as_of(UnixMillis(0)).unwrap(), Some(at(1, -5)));
}

#[test]
fn a_panic_is_an_error() {
    let path = Path::new("index");
    let error = guard(path, || -> sled::Result<()> { panic!("a damaged page") }).unwrap_err();
    assert!(matches!(error, IndexError::Panicked { .. }), "{error}");
    let error =
        guard(path, || sled::Result::<()>::Err(sled::Error::Unsupported("x".to_owned()))).unwrap_err();
    assert!(matches!(error, IndexError::Sled { .. }), "{error}");
}

#[test]
fn flipped_bytes() {
    let (_dir, path) = closed();
    let pristine: Vec<_> = files(&path).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    let (data, used) = {
        let (bytes, file) = &pristine[0];
        (file, bytes.iter().rposition(|byte| *byte != 0).unwrap())
    };
    for place in (0..used).step_by(used / FLIPS) {
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        pristine.iter().for_each(|(bytes, file)| fs::write(file, bytes).unwrap());
        let mut bytes = pristine[0].0.clone();
        bytes[place] ^= 0xff;
        bytes[place + 1] ^= 0xff;
        fs::write(data, &bytes).unwrap();
        assert_whole(&path);
    }
}

#[test]
fn cut_files() {
    for keep in [0, 30, 70, 99] {
        let (_dir, path) = closed();
        for file in files(&path) {
            let length = fs::metadata(&file).unwrap().len();
            fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length * keep / 100).unwrap();
        }
        assert_whole(&path);
    }
}

#[test]
fn missing_files_and_folders() {
    let (_dir, path) = closed();
    fs::remove_dir_all(&path).unwrap();
    assert_whole(&path);
    for number in 0..files(&path).len() {
        let (_dir, path) = closed();
        fs::remove_file(&files(&path)[number]).unwrap();
        assert_whole(&path);
    }
    let (_dir, path) = closed();
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            fs::remove_dir_all(entry).unwrap();
        }
    }
    assert_whole(&path);
}

#[test]
fn an_index_of_other_snapshots_is_rebuilt() {
    let (_dir, path) = closed();
    let index = Index::open(&path, &rows()[..50]).unwrap();
    assert_eq!(index.all().unwrap(), rows()[..50]);
    drop(index);
    assert_whole(&path);
    assert!(path.with_extension("damaged").exists());
}

#[test]
fn a_file_in_the_place_of_the_index_is_set_aside() {
    let (_dir, path) = closed();
    fs::remove_dir_all(&path).unwrap();
    fs::write(&path, b"not a directory").unwrap();
    assert_whole(&path);
}

/// Places in the data file at which bytes are flipped.
const FLIPS: usize = 60;
