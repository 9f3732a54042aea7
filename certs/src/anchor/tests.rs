use super::*;
use crate::testing::TestKey;

const URL: &str = "https://registry.example/kogge";

fn key() -> PublicKey {
    crate::key::SigningKey::public_key(&TestKey::p256()).clone()
}

fn p384() -> PublicKey {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    PublicKey::from_spki(&rcgen::PublicKeyData::subject_public_key_info(&pair)).unwrap()
}

fn anchor(keys: Vec<PublicKey>, threshold: u32) -> Result<Anchor, AnchorError> {
    Anchor::new("EE", Environment::Production, vec![URL.to_owned()], keys, threshold)
}

/// An anchor file with one line replaced.
fn parse(line: &str) -> Result<Anchor, AnchorError> {
    let name = line.split(' ').next().unwrap();
    let root_keys = format!("root_keys = [{:?}]", STANDARD.encode(key().spki()));
    let lines = [
        "instance = \"EE\"",
        "environment = \"test\"",
        "registry_urls = [\"http://registry.example\"]",
        "root_threshold = 1",
        root_keys.as_str(),
    ];
    let kept = lines.iter().filter(|kept| !kept.starts_with(name));
    Anchor::parse(&kept.chain([&line]).copied().collect::<Vec<_>>().join("\n"))
}

#[test]
fn an_anchor_file_is_read_back_as_it_was_written() {
    let rsa = TestKey::rsa(2048);
    let keys = vec![key(), key(), crate::key::SigningKey::public_key(&rsa).clone()];
    let urls = vec![URL.to_owned(), "http://[::1]:8080".to_owned()];
    let written = Anchor::new("E \"E\"", Environment::Production, urls.clone(), keys.clone(), 2).unwrap();
    let read = Anchor::parse(&written.to_toml()).unwrap();
    assert_eq!((read.instance(), read.environment()), ("E \"E\"", Environment::Production));
    assert_eq!((read.registry_urls(), read.root_keys(), read.root_threshold()), (&urls[..], &keys[..], 2));
    assert_eq!(read.to_toml(), written.to_toml());
}

#[test]
fn root_keys_may_be_pem() {
    let key = key();
    let base64 = STANDARD.encode(key.spki());
    let (first, rest) = base64.split_at(64);
    let pem = format!("{PEM_BEGIN}\n{first}\n{rest}\n{PEM_END}\n");
    let anchor = parse(&format!("root_keys = [{pem:?}]")).unwrap();
    assert_eq!(anchor.root_keys(), [key]);
}

#[test]
fn what_is_unknown_or_missing_is_named() {
    let toml = |result: Result<Anchor, AnchorError>| match result.unwrap_err() {
        AnchorError::Toml(reason) => reason,
        other => panic!("{other}"),
    };
    assert!(toml(parse("insecure = true")).contains("unknown field `insecure`"));
    assert!(toml(parse("root_threshold")).contains("root_threshold"));
    assert!(toml(parse("environment = \"Test\"")).contains("environment"));
    assert!(toml(parse("environment = \"\"")).contains("environment"));
    assert!(toml(parse("root_threshold = -1")).contains("root_threshold"));
    assert!(toml(Anchor::parse("")).contains("missing field `instance`"));
    assert!(matches!(Anchor::parse(&" ".repeat(ANCHOR_BYTES_MAX + 1)), Err(AnchorError::TooLong)));
}

#[test]
fn the_instance_is_a_code() {
    assert!(matches!(parse("instance = \"\""), Err(AnchorError::Instance(IdError::Empty))));
    assert!(matches!(parse("instance = \"E/E\""), Err(AnchorError::Instance(IdError::Character('/')))));
}

#[test]
fn the_registry_has_usable_urls() {
    assert!(matches!(parse("registry_urls = []"), Err(AnchorError::NoUrls)));
    let many = vec![URL; ANCHOR_URLS_MAX + 1];
    assert!(matches!(parse(&format!("registry_urls = {many:?}")), Err(AnchorError::TooManyUrls)));
    let refused = parse("registry_urls = [\"ftp://registry.example\"]");
    assert!(
        matches!(refused, Err(AnchorError::Url(EndpointError::Url(url))) if url == "ftp://registry.example")
    );
}

#[test]
fn root_keys_are_keys_that_can_sign() {
    assert!(matches!(parse("root_keys = [\"not base64\"]"), Err(AnchorError::KeyEncoding)));
    let cut = format!("root_keys = [\"{PEM_BEGIN}AAAA\"]");
    assert!(matches!(parse(&cut), Err(AnchorError::KeyEncoding)));
    assert!(matches!(parse("root_keys = [\"AAAA\"]"), Err(AnchorError::Key(KeyError::Malformed))));
    assert!(matches!(anchor(vec![key(), p384()], 1), Err(AnchorError::Key(KeyError::Scheme))));
}

#[test]
fn the_threshold_can_be_reached_by_different_keys() {
    for (keys, threshold) in [(0, 0), (0, 1), (2, 0), (2, 3), (2, u32::MAX)] {
        let refused = anchor((0..keys).map(|_| key()).collect(), threshold).unwrap_err();
        let expected = (threshold, keys);
        assert!(
            matches!(refused, AnchorError::Threshold { threshold, keys } if (threshold, keys) == expected)
        );
    }
    let twice = key();
    assert!(matches!(anchor(vec![twice.clone(), twice], 2), Err(AnchorError::RepeatedKey)));
    let many = (0..=ANCHOR_KEYS_MAX).map(|_| key()).collect();
    assert!(matches!(anchor(many, 1), Err(AnchorError::TooManyKeys)));
}
