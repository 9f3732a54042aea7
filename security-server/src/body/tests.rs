use kogge_proto::digest::sha512;

use super::*;

fn bytes(length: usize) -> Bytes {
    (0..length).map(|i| (i * 31 % 251) as u8).collect::<Vec<u8>>().into()
}

async fn write(dir: &tempfile::TempDir, bytes: &Bytes, piece: usize, retention: Retention) -> Body {
    let mut writer = BodyWriter::new(dir.path().into(), u64::MAX, retention);
    let mut left = bytes.clone();
    while !left.is_empty() {
        writer.write(left.split_to(left.len().min(piece))).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn read(body: &Body) -> Vec<u8> {
    let mut read = Vec::new();
    let mut reader = body.reader();
    while let Some(chunk) = reader.next().await.unwrap() {
        assert!(chunk.len() <= kogge_proto::limits::BODY_CHUNK_BYTES);
        read.extend_from_slice(&chunk);
    }
    assert!(reader.next().await.unwrap().is_none());
    let mut whole = Vec::new();
    let mut reader = body.reader();
    while let Some(chunk) = reader.next_whole().await.unwrap() {
        whole.extend_from_slice(&chunk);
    }
    assert_eq!(read, whole);
    read
}

async fn round_trip(length: usize, piece: usize, retention: Retention) -> Body {
    let dir = tempfile::tempdir().unwrap();
    let bytes = bytes(length);
    let body = write(&dir, &bytes, piece, retention).await;
    assert_eq!(body.sha512(), &sha512(&bytes));
    assert_eq!((body.length(), body.retention()), (length as u64, retention));
    assert_eq!(read(&body).await, bytes);
    body
}

#[tokio::test]
async fn small_bodies_stay_in_memory_and_large_ones_do_not() {
    for retention in [Retention::Kept, Retention::DigestOnly] {
        for (length, piece) in [(0, 1), (1, 1), (65_536, 10_000), (65_536, 7), (262_144, 262_144)] {
            let body = round_trip(length, piece, retention).await;
            assert!(matches!(body.place(), Place::Memory(_)), "{length}");
        }
        for (length, piece) in [
            (262_145, 65_536),
            (262_145, 1_000_000),
            (262_145, 1),
            (5_000_000, 4095),
            (5_000_000, 4096),
            (40_000_000, 100_000),
        ] {
            let body = round_trip(length, piece, retention).await;
            assert!(matches!(body.place(), Place::File(_)), "{length}");
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = BodyWriter::new(dir.path().into(), 300_000, Retention::Kept);
    writer.write(bytes(300_000)).await.unwrap();
    let refused = writer.write(bytes(1)).await;
    assert!(matches!(refused, Err(BodyError::TooLarge { limit: 300_000 })));
    // What was queued may still be at work: the file goes with the last one who holds it.
    drop(writer);
    gone(dir.path()).await;
}

#[tokio::test]
async fn a_kept_body_has_a_file_until_nobody_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let body = write(&dir, &bytes(300_000), 65_536, Retention::Kept).await;
    let Place::File(file) = body.place() else { panic!("in memory") };
    let stored = std::fs::read(file.path()).unwrap();
    assert_eq!(stored.len() as u64, kogge_message_log::BodyKey::sealed_length(300_000));
    let plain = bytes(300_000);
    assert!(!stored.windows(64).any(|window| window == &plain[..64]), "it lies there as it came");
    drop(body);
    gone(dir.path()).await;
}

#[tokio::test]
async fn a_body_that_is_not_kept_never_has_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = BodyWriter::new(dir.path().into(), u64::MAX, Retention::DigestOnly);
    writer.write(bytes(300_000)).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let body = writer.finish().await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(read(&body).await, bytes(300_000));
}

#[tokio::test]
async fn a_spool_that_is_not_there_is_an_error() {
    let mut writer =
        BodyWriter::new(std::path::Path::new("/nowhere/at/all").into(), u64::MAX, Retention::Kept);
    let error = writer.write(bytes(300_000)).await.unwrap_err();
    assert!(matches!(error, BodyError::Spool(error) if error.kind() == io::ErrorKind::NotFound));
}

#[tokio::test]
async fn a_file_that_became_shorter_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let body = write(&dir, &bytes(900_000), 65_536, Retention::Kept).await;
    let Place::File(file) = body.place() else { panic!("in memory") };
    std::fs::OpenOptions::new().write(true).open(file.path()).unwrap().set_len(500_000).unwrap();
    let mut reader = body.reader();
    let mut read = 0;
    let error = loop {
        match reader.next().await {
            Ok(chunk) => read += chunk.unwrap().len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, BodyError::Spool(error) if error.kind() == io::ErrorKind::UnexpectedEof));
    assert!(read <= 500_000);
}

/// Waits until the directory is empty.
async fn gone(dir: &std::path::Path) {
    while std::fs::read_dir(dir).unwrap().count() > 0 {
        tokio::task::yield_now().await;
    }
}
