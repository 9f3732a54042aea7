use tempfile::TempDir;

use super::*;

fn file(content: &[u8], mode: u32) -> (TempDir, PinSource) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pin");
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    (dir, PinSource::File(path))
}

fn refusal(source: &PinSource) -> String {
    match source.read().err().unwrap() {
        TokenError::Pin(reason) => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn is_parsed_and_never_repeated() {
    assert_eq!(PinSource::parse("file:/a:b").unwrap(), PinSource::File("/a:b".into()));
    assert_eq!(PinSource::parse("env:KOGGE_PIN").unwrap(), PinSource::Env("KOGGE_PIN".to_owned()));
    assert_eq!(PinSource::parse("prompt").unwrap(), PinSource::Prompt);
    for text in ["", "file:", "env:", "prompt:", "FILE:/x", "my-secret-pin"] {
        let error = PinSource::parse(text).unwrap_err();
        assert!(matches!(&error, TokenError::Pin(reason) if !reason.contains("secret")), "{error}");
    }
}

#[test]
fn a_file_gives_its_first_line() {
    for content in ["correct horse battery", "correct horse battery\n", "correct horse battery\r\nmore\n"] {
        let (_dir, source) = file(content.as_bytes(), 0o600);
        assert_eq!(source.read().unwrap().bytes(), b"correct horse battery", "{content:?}");
    }
}

#[test]
fn a_file_that_others_may_use_is_refused() {
    for mode in [0o640, 0o604, 0o620, 0o601] {
        let reason = refusal(&file(b"correct horse battery", mode).1);
        assert!(reason.contains("chmod 600"), "{mode:o}: {reason}");
    }
}

#[test]
fn missing_empty_and_overlong_files_are_refused() {
    assert!(refusal(&PinSource::File("/nonexistent/pin".into())).contains("/nonexistent/pin"));
    assert!(refusal(&file(b"\nsecond line\n", 0o600).1).contains("empty"));
    assert!(refusal(&file(b"", 0o400).1).contains("empty"));
    assert!(refusal(&file(&[b'x'; 1025], 0o600).1).contains("too long"));
    assert_eq!(file(&[b'x'; 1024], 0o600).1.read().unwrap().bytes().len(), 1024);
}

#[test]
fn a_variable_that_is_not_set_is_refused() {
    let reason = refusal(&PinSource::Env("KOGGE_TEST_PIN_THAT_NOBODY_SETS".to_owned()));
    assert!(reason.contains("KOGGE_TEST_PIN_THAT_NOBODY_SETS is not set"), "{reason}");
    assert!(!PinSource::Env("PATH".to_owned()).read().unwrap().bytes().is_empty());
}
